//! Contact changes of a sync, and names that had to be fetched.

use std::collections::{BTreeSet, HashMap};

use wechat_proto::endpoint::{Changes, Wanted};
use wechat_proto::{Contact, SelfUser, UserName, contact};
use wxgate_contract::{ChatKey, ChatKind, ChatProfile, FarError, PersonKey, PersonKind, PersonProfile};

use super::Inbound;
use crate::roster::record::{Login, owner, put_group, put_person};
use crate::roster::{Draft, Kind, OWNER, lasting_note, load, name_note};
use crate::session::live::Own;

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
                draft.batch.people.push(former_contact(&named.key, &named.name, named.kind));
            } else {
                // A group that comes back is a new chat only if its members do not say otherwise;
                // its evidence stays in the lasting note.
                draft.remove(key);
            }
        }
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

    /// Fetches names that nobody knows, groups first. Failing is no reason to hold messages back.
    pub(super) async fn fetch_names(
        &mut self,
        names: BTreeSet<UserName>,
        login: &Login<'_>,
        draft: &mut Draft,
    ) -> Result<(), FarError> {
        if names.is_empty() {
            return Ok(());
        }
        let wanted = names.into_iter().map(Wanted::plain).collect();
        let records = match load::fetch_wanted(&self.transport, &self.live, wanted).await {
            Ok(records) => records,
            Err(error) => {
                tracing::warn!(network = %self.network, %error, "names could not be fetched; messages go on without");
                return Ok(());
            }
        };
        for record in records.values() {
            self.put_record(record, None, login, draft).await?;
        }
        Ok(())
    }

    async fn put_record(
        &mut self,
        record: &Contact,
        owner: Option<&UserName>,
        login: &Login<'_>,
        draft: &mut Draft,
    ) -> Result<(), FarError> {
        let note_key = name_note(login.generation, &record.user_name);
        let known = self.roster.look_up(draft, vec![note_key.clone()]).await?.remove(&note_key);
        let key = known.as_ref().map_or_else(|| login.key_for(&record.user_name), |named| named.key.clone());
        if !record.is_room() {
            put_person(draft, login, &key, record);
            return Ok(());
        }
        let mut record = record.clone();
        if record.encry_chat_room_id.is_empty() {
            record.encry_chat_room_id = known.map(|named| named.room_id).unwrap_or_default();
        }
        let names: Vec<String> =
            record.member_list.iter().map(|member| name_note(login.generation, &member.user_name)).collect();
        let mut contacts: HashMap<UserName, String> = HashMap::new();
        let found =
            if names.is_empty() { HashMap::new() } else { self.roster.look_up_all(draft, names).await? };
        for member in &record.member_list {
            if let Some(named) = found.get(&name_note(login.generation, &member.user_name)) {
                contacts.insert(member.user_name.clone(), named.key.clone());
            }
        }
        let own = SelfUser { uin: login.uin, user_name: login.own.user_name.clone(), ..SelfUser::default() };
        let owner = contact::room_owner(&record, owner, &own);
        let before = self.roster.members(draft, login.generation, &key).await?;
        put_group(draft, login, &key, &record, owner.as_ref(), &contacts);
        if !record.member_list.is_empty() {
            draft.keep_only_members(login.generation, &key, &record, before.into_keys());
        }
        Ok(())
    }
}

fn former_contact(key: &str, name: &str, kind: Kind) -> PersonProfile {
    PersonProfile {
        person: PersonKey::from(key),
        kind: if kind == Kind::Official { PersonKind::Official } else { PersonKind::Human },
        nickname: name.to_owned(),
        remark: String::new(),
        public_id: String::new(),
        signature: String::new(),
        region: String::new(),
        is_contact: false,
    }
}

/// The chat with oneself exists only once something was said in it.
pub(super) fn put_self_chat(draft: &mut Draft, login: &Login<'_>) {
    draft.batch.notes.push(crate::roster::note(
        lasting_note(OWNER),
        &crate::roster::Lasting {
            user_name: login.own.user_name.clone(),
            generation: login.generation,
            evidence: crate::identity::Evidence::default(),
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
