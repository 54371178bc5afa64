//! Contact changes of a sync, and names that had to be fetched.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use wechat_proto::endpoint::{Changes, Wanted};
use wechat_proto::{Contact, SelfUser, UserName, contact};
use wxgate_contract::{ChatKey, ChatKind, ChatProfile, FarError, PersonKey, PersonProfile};

use wxgate_identity::Profile;

use super::Inbound;
use crate::identity::{refresh, shelf};
use crate::roster::record::{Keys, Login, Mark, owner, put_group, put_person};
use crate::roster::{Draft, Kind, Named, OWNER, lasting_note, load, member_note, name_note, stranger_note};
use crate::session::live::Own;

/// Messages wait so long for the names of whoever speaks. Source: the protocol sheet, section 5.3.
pub(super) const NAMES_LIMIT: Duration = Duration::from_secs(3);
/// People asked for at once. Chosen: a page of a large group.
const PAGE: usize = 500;

impl Inbound {
    pub(super) fn apply_profile(&mut self, changes: &Changes, draft: &mut Draft) {
        if !changes.profile.is_change() {
            return;
        }
        let was = self.live.own();
        let mut own = SelfUser { user_name: was.user_name.clone(), ..SelfUser::default() };
        changes.profile.apply(&mut own);
        let nickname = own.nick_name.decoded();
        if !nickname.is_empty() && nickname != was.nickname {
            let own = Own { nickname, ..was };
            draft.batch.people.push(owner(&own));
            self.live.set_own(own);
        }
    }

    pub(super) async fn apply_deleted(
        &mut self,
        changes: &Changes,
        login: &Login<'_>,
        draft: &mut Draft,
    ) -> Result<(), FarError> {
        let keys: Vec<String> =
            changes.deleted.iter().map(|gone| name_note(login.generation, &gone.user_name)).collect();
        let mut known = self.roster.look_up(draft, keys.clone()).await?;
        for key in keys {
            let Some(named) = known.remove(&key) else { continue };
            self.put_gone(key, named, draft).await?;
        }
        Ok(())
    }

    /// Writes down that a contact or a group is none any more.
    pub(super) async fn put_gone(
        &self,
        key: String,
        named: Named,
        draft: &mut Draft,
    ) -> Result<(), FarError> {
        draft.changes_known = true;
        draft.batch.chats.push(ChatProfile {
            chat: ChatKey::from(named.key.as_str()),
            kind: named.kind.chat(),
            title: named.name.clone(),
            topic: String::new(),
            is_owned: false,
            owner: None,
            members: None,
            is_gone: true,
        });
        if named.kind != Kind::Group {
            let former = self.profile(&named.key, draft).await?.map(former_contact);
            draft.batch.people.extend(former);
        }
        // Whoever comes back in the same login has the same name, and is no contact in groups until then.
        draft.put(key, Named { is_gone: true, ..named });
        Ok(())
    }

    /// Modified records; those that do not tell enough are left to be fetched.
    pub(super) async fn apply_modified(
        &mut self,
        changes: &Changes,
        login: &Login<'_>,
        draft: &mut Draft,
        stale: &mut BTreeSet<UserName>,
    ) -> Result<(), FarError> {
        for modified in &changes.modified {
            let name = &modified.user_name;
            if name.is_empty() || name.is_hidden() || login.is_own(name) {
                continue;
            }
            let is_told = modified.is_full() && (!name.is_room() || !modified.member_list.is_empty());
            if is_told {
                stale.remove(name);
                self.put_record(&modified.to_contact(), modified.owner(), login, draft).await?;
            } else {
                stale.insert(name.clone());
            }
        }
        Ok(())
    }

    /// Fetches names that nobody knows, groups first, and says of those that were asked for which came; `None` when
    /// nobody had to be asked for. Failing is no reason to hold messages back for longer than a few seconds.
    pub(super) async fn fetch_names(
        &mut self,
        names: BTreeSet<UserName>,
        login: &Login<'_>,
        draft: &mut Draft,
    ) -> Result<Option<Vec<(UserName, bool)>>, FarError> {
        let names = self.unnamed.due(names, login.generation, Instant::now());
        if names.is_empty() {
            return Ok(None);
        }
        let wanted = names.iter().cloned().map(Wanted::plain).collect();
        let fetched = load::fetch_wanted(&self.transport, &self.live, wanted);
        let records = match tokio::time::timeout(NAMES_LIMIT, fetched).await {
            Ok(Ok(records)) => records,
            Ok(Err(error)) => {
                tracing::warn!(network = %self.network, %error, "names could not be fetched; messages go on without");
                HashMap::new()
            }
            Err(_) => {
                tracing::warn!(network = %self.network, "names take too long; messages go on without");
                HashMap::new()
            }
        };
        for record in records.values() {
            self.put_record(record, None, login, draft).await?;
        }
        let came = names.into_iter().map(|name| {
            let has_come = records.contains_key(&name);
            (name, has_come)
        });
        Ok(Some(came.collect()))
    }

    pub(super) async fn put_record(
        &mut self,
        record: &Contact,
        owner: Option<&UserName>,
        login: &Login<'_>,
        draft: &mut Draft,
    ) -> Result<(), FarError> {
        let note_key = name_note(login.generation, &record.user_name);
        // A member of groups who becomes a contact stays who they were.
        let stranger = stranger_note(login.generation, &record.user_name);
        let mut found = self.roster.look_up(draft, vec![note_key.clone(), stranger.clone()]).await?;
        let known = found.remove(&note_key);
        draft.changes_known |= known.is_some();
        let key = known.as_ref().or_else(|| found.get(&stranger)).map(|named| named.key.clone());
        draft.has_unlisted |= key.is_none() && !record.user_name.survives_login();
        let key = key.unwrap_or_else(|| login.key_for(&record.user_name));
        let mark = Mark::of(known.as_ref().is_some_and(|named| named.is_open));
        let at_s = self.live.now().ms() / 1000;
        if !record.is_room() {
            let lasts = record.user_name.survives_login();
            let kept: Option<Profile> =
                if lasts { None } else { self.roster.kept(draft, &shelf::person_key(&key)).await? };
            let marked = kept.as_ref().and_then(|kept| kept.marked);
            put_person(draft, login, (&key, mark, marked), record);
            if !lasts {
                draft.batch.notes.push(refresh::person(kept, &key, record, at_s));
            }
            return Ok(());
        }
        if record.member_list.is_empty() && known.as_ref().is_some_and(|known| known.is_gone) {
            // So answers the service for a group that we are not in. Source: the protocol sheet, section 2.10.
            return Ok(());
        }
        let mut record = record.clone();
        if record.encry_chat_room_id.is_empty() {
            record.encry_chat_room_id = known.map(|named| named.room_id).unwrap_or_default();
        }
        let before = self.roster.members(draft, login.generation, &key).await?;
        let keys = self.keys_of(&record, &key, &before, login, draft).await?;
        let own = SelfUser { uin: login.uin, user_name: login.own.user_name.clone(), ..SelfUser::default() };
        let owner = contact::room_owner(&record, owner, &own);
        put_group(draft, login, (&key, mark), &record, owner.as_ref(), &keys);
        let kept = self.roster.kept(draft, &shelf::group_key(&key)).await?;
        let id_of = |name: &str| keys.of(login, &UserName::from(name));
        let own_name = &login.own.user_name;
        draft.batch.notes.push(refresh::group(kept, (&key, own_name), &record, id_of, at_s));
        if !record.member_list.is_empty() {
            draft.keep_only_members(login.generation, &key, &record, before.into_keys());
        }
        Ok(())
    }
}

impl Inbound {
    /// The lasting keys of a group's members: as contacts, as before in this group, as strangers
    /// who were recognised in another.
    async fn keys_of(
        &mut self,
        room: &Contact,
        key: &str,
        before: &HashMap<String, Named>,
        login: &Login<'_>,
        draft: &Draft,
    ) -> Result<Keys, FarError> {
        let members = room.member_list.iter().map(|member| &member.user_name);
        let names: Vec<String> = members
            .clone()
            .flat_map(|name| [name_note(login.generation, name), stranger_note(login.generation, name)])
            .collect();
        let found =
            if names.is_empty() { HashMap::new() } else { self.roster.look_up_all(draft, names).await? };
        let mut keys = Keys::default();
        for name in members {
            let named = found.get(&name_note(login.generation, name));
            if let Some(named) = named.filter(|named| !named.is_gone) {
                keys.contacts.insert(name.clone(), named.key.clone());
                continue;
            }
            let known = before.get(&member_note(login.generation, key, name));
            let known = named.or(known).or_else(|| found.get(&stranger_note(login.generation, name)));
            keys.strangers.extend(known.map(|named| (name.clone(), named.key.clone())));
        }
        keys.own_names = self.own_names(&keys.contacts, draft).await?;
        Ok(keys)
    }

    /// Somebody as drafted, else as known.
    async fn profile(&self, key: &str, draft: &Draft) -> Result<Option<PersonProfile>, FarError> {
        let drafted = draft.batch.people.iter().rev().find(|person| person.person.as_str() == key).cloned();
        match drafted {
            None => Ok(self.directory.people(&self.network, &[PersonKey::from(key)]).await?.pop()),
            drafted => Ok(drafted),
        }
    }

    /// What these people call themselves, as drafted, else as known.
    async fn own_names(
        &self,
        people: &HashMap<UserName, String>,
        draft: &Draft,
    ) -> Result<HashMap<UserName, String>, FarError> {
        let keys: Vec<PersonKey> = people.values().map(|key| PersonKey::from(key.as_str())).collect();
        let mut names = HashMap::with_capacity(keys.len());
        for part in keys.chunks(PAGE) {
            let known = self.directory.people(&self.network, part).await?;
            names.extend(known.into_iter().map(|person| (person.person, person.nickname)));
        }
        let drafted = draft.batch.people.iter();
        names.extend(drafted.map(|person| (person.person.clone(), person.nickname.clone())));
        let of = |key: &str| names.get(&PersonKey::from(key)).cloned();
        Ok(people.iter().filter_map(|(name, key)| Some((name.clone(), of(key)?))).collect())
    }
}

/// What the owner called somebody is nobody else's business, and less so once they are no contact.
fn former_contact(known: PersonProfile) -> PersonProfile {
    PersonProfile { remark: String::new(), is_contact: false, ..known }
}

/// The chat with oneself exists only once something was said in it.
pub(super) fn put_self_chat(draft: &mut Draft, login: &Login<'_>) {
    draft.batch.notes.push(crate::roster::note(
        lasting_note(OWNER),
        &crate::roster::Lasting {
            user_name: login.own.user_name.clone(),
            generation: login.generation,
            seq: 0,
        },
    ));
    draft.batch.chats.push(ChatProfile {
        chat: ChatKey::from(OWNER),
        kind: ChatKind::Private,
        title: login.own.nickname.clone(),
        topic: String::new(),
        is_owned: false,
        owner: None,
        members: None,
        is_gone: false,
    });
}
