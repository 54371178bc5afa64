//! People and their nicks: first come keeps the name, a rename leaves the old one behind for a while.

use wxgate_contract::{ChatKey, Note, PersonKey, PersonKind, PersonProfile, Timestamp};

use super::{MAX_WHOWAS, Person, PersonIx, Renamed, Roster, Stored, Was};
use crate::server::names;

impl Roster {
    pub(in crate::server) fn set_private_chat(&mut self, ix: PersonIx, chat: &ChatKey) {
        if self.by_private_chat.get(chat) != Some(&ix) {
            self.by_private_chat.insert(chat.clone(), ix);
        }
        if let Some(person) = self.people.get_mut(ix.0)
            && person.chat.as_ref() != Some(chat)
        {
            person.chat = Some(chat.clone());
        }
    }

    /// A nick as it was stored.
    pub(in crate::server) fn load_nick(&mut self, key: &str, value: &[u8]) {
        let Some(stored) = Stored::read(value) else { return };
        let key = PersonKey::new(key);
        if self.by_key.contains_key(&key) {
            return;
        }
        let ix = self.push_person(key, stored.name, stored.base);
        if let Some((old, until)) = stored.retired {
            self.known.people.load_retired(&old, ix, until);
        }
    }

    /// A person as the directory has them now.
    pub(in crate::server) fn update_person(
        &mut self,
        profile: &PersonProfile,
        now: Timestamp,
    ) -> (PersonIx, Option<Renamed>) {
        // A built-in account has one name everywhere: `filehelper`, not its title in some language.
        let is_built_in = profile.kind == PersonKind::System && !profile.person.as_str().is_empty();
        let name = if is_built_in { profile.person.as_str() } else { profile.display_name() };
        let is_new = self.by_key(&profile.person).is_none();
        let ix = self.name_person(&profile.person, name, now);
        let mut renamed = None;
        // A profile glitch (no name) renames nobody.
        if !name.is_empty() {
            renamed = self.rename_person(ix, name, now);
        }
        if let Some(person) = self.people.get_mut(ix.0) {
            person.kind = profile.kind;
            let host = if profile.kind == PersonKind::Official { "biz.wechat" } else { "wechat" };
            if !is_new && person.host != host {
                self.moved.push((ix, person.prefix()));
            }
            person.host = host;
            person.is_contact = profile.is_contact;
            if !profile.nickname.is_empty() {
                person.realname.clone_from(&profile.nickname);
            }
        }
        (ix, renamed)
    }

    /// Somebody of whom only a name is known: gets a nick if there is none yet.
    pub(in crate::server) fn name_person(&mut self, key: &PersonKey, name: &str, now: Timestamp) -> PersonIx {
        if let Some(ix) = self.by_key.get(key) {
            return *ix;
        }
        let base = self.nick_base(name, key);
        let nick = names::free_name(&base, names::NICK_BYTES, |folded| self.is_nick_taken(folded, None, now));
        let ix = self.push_person(key.clone(), nick, base);
        if let Some(person) = self.people.get_mut(ix.0)
            && !name.is_empty()
        {
            name.clone_into(&mut person.realname);
        }
        self.save_nick(ix, None);
        ix
    }

    pub(super) fn rename_person(&mut self, ix: PersonIx, name: &str, now: Timestamp) -> Option<Renamed> {
        let person = self.people.get(ix.0)?;
        let base = self.nick_base(name, &person.key);
        if base == person.base {
            return None;
        }
        let (old, old_prefix) = (person.nick.clone(), person.prefix());
        let was = Was {
            nick: old.clone(),
            user: person.user.clone(),
            host: person.host,
            realname: person.realname.clone(),
            now: String::new(),
        };
        self.known.people.take(&old);
        let is_taken = |folded: &str| self.is_nick_taken(folded, Some(ix), now);
        let new = names::free_name(&base, names::NICK_BYTES, is_taken);
        self.known.people.give(&new, ix);
        if let Some(person) = self.people.get_mut(ix.0) {
            person.nick.clone_from(&new);
            person.base = base;
        }
        if new == old {
            self.save_nick(ix, None);
            return None;
        }
        let until = self.known.people.retire(&old, ix, now);
        self.save_nick(ix, Some((&old, until)));
        self.was.push_front(Was { now: new.clone(), ..was });
        self.was.truncate(MAX_WHOWAS);
        Some(Renamed { old, old_prefix, new })
    }

    /// Whether a name is not to be had by `by`: people's, one's own, and those of users of the gateway whom one
    /// can see now.
    fn is_nick_taken(&self, folded: &str, by: Option<PersonIx>, now: Timestamp) -> bool {
        self.known.people.is_taken(folded, by, now)
            || self.reserved.iter().any(|reserved| reserved == folded)
            || self.place.as_ref().is_some_and(|(hall, _)| hall.is_taken(folded))
    }

    fn push_person(&mut self, key: PersonKey, nick: String, base: String) -> PersonIx {
        let ix = PersonIx(self.people.len());
        self.known.people.give(&nick, ix);
        self.by_key.insert(key.clone(), ix);
        self.people.push(Person {
            user: names::user_part(key.as_str()),
            key,
            realname: base.clone(),
            nick,
            base,
            host: "wechat",
            kind: PersonKind::Human,
            is_contact: false,
            chat: None,
        });
        ix
    }

    fn save_nick(&mut self, ix: PersonIx, retired: Option<(&str, Timestamp)>) {
        let Some(person) = self.person(ix) else { return };
        let value = Stored::write(&person.nick, &person.base, retired);
        let key = self.note_key("nick", person.key.as_str());
        self.unsaved.push(Note { key, value: Some(value), is_secret: false });
    }
}
