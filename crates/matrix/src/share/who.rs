//! Who is who in a shared room. Every account knows the people of the group under keys of its own; who is the
//! same person is learned from messages that two of them heard under one number, and from nothing else.

use std::sync::Arc;

use wxgate_contract::{ChatRef, NetworkId, Note, PersonKey, PersonRef, RemoteId};

use super::{Sharing, Voice, alias};
use crate::api::event::GetEvent;
use crate::chores::Chore;
use crate::names::Who;
use crate::shared::Shared;
use crate::trouble::Trouble;

impl Sharing {
    fn same_key(&self, person: &PersonRef) -> String {
        format!("{}/{}/{}", self.key, person.network, person.person)
    }

    /// Where it is written who is behind a voice in the eyes of an account.
    fn behind_key(&self, account: &NetworkId, voice: &Voice) -> String {
        let key = &self.key;
        match voice {
            Voice::Network => format!("{key}/{account}/"),
            Voice::Owner(network) => format!("{key}/{account}/o/{network}"),
            Voice::Person(person) => format!("{key}/{account}/p/{}/{}", person.network, person.person),
        }
    }

    /// Two accounts heard one message from these two, who are one person: who is shown as whom.
    pub(super) fn pair<'a>(&self, here: &'a Voice, there: &'a Voice) -> Option<(&'a PersonRef, &'a Voice)> {
        match (here, there) {
            _ if here == there => None,
            (Voice::Person(person), Voice::Owner(_)) => Some((person, there)),
            (Voice::Owner(_), Voice::Person(person)) => Some((person, here)),
            (Voice::Person(one), Voice::Person(other)) => {
                // The people of the account that leads are shown.
                let is_shown = self.lead().is_some_and(|lead| lead.network == one.network);
                Some(if is_shown { (other, here) } else { (one, there) })
            }
            _ => None,
        }
    }
}

impl Shared {
    /// Whom the room shows for somebody, where that is another one.
    pub(super) async fn same_as(
        &self,
        sharing: &Sharing,
        person: &PersonRef,
    ) -> Result<Option<Arc<Voice>>, Trouble> {
        Ok(self.memory.same.get(&self.memory, &sharing.same_key(person)).await?)
    }

    /// Who speaks with a voice, in the eyes of an account.
    pub(crate) async fn person_behind(
        &self,
        sharing: &Sharing,
        account: &NetworkId,
        voice: &Voice,
    ) -> Result<Option<PersonKey>, Trouble> {
        let key = sharing.behind_key(account, voice);
        Ok(self.memory.behind.get(&self.memory, &key).await?.map(|person| (*person).clone()))
    }

    /// Two accounts heard one message from these two, who are one person.
    pub(super) async fn learn_same(
        &self,
        sharing: &Sharing,
        here: &Voice,
        there: &Voice,
    ) -> Result<(), Trouble> {
        let Some((person, voice)) = sharing.pair(here, there) else { return Ok(()) };
        let notes = self.same_notes(sharing, person, voice);
        if self.same_as(sharing, person).await?.is_some_and(|known| *known == *voice) {
            return Ok(());
        }
        self.memory.save(notes).await?;
        self.keep_same(sharing, person, voice);
        if let (Voice::Owner(_), Some(lead)) = (voice, sharing.lead()) {
            // They are there themselves, and need no ghost.
            if let Some(room) = self.memory.room_of(lead).await? {
                self.memory.update_room(lead, &room.room_id, |room| room.members.clear()).await?;
            }
            self.chores.add(Chore::Room(lead.clone()));
        }
        Ok(())
    }

    pub(super) fn same_notes(&self, sharing: &Sharing, person: &PersonRef, voice: &Voice) -> Vec<Note> {
        let behind = sharing.behind_key(&person.network, voice);
        vec![
            self.memory.same.note(&sharing.same_key(person), voice),
            self.memory.behind.note(&behind, &person.person),
        ]
    }

    pub(super) fn keep_same(&self, sharing: &Sharing, person: &PersonRef, voice: &Voice) {
        self.memory.same.keep(&sharing.same_key(person), voice.clone());
        self.memory.behind.keep(&sharing.behind_key(&person.network, voice), person.person.clone());
    }

    /// Whom of the chat's own account a user of the room stands for.
    pub(crate) async fn person_here(
        &self,
        user_id: &str,
        chat: &ChatRef,
    ) -> Result<Option<PersonKey>, Trouble> {
        let found = self.person_of(user_id).await?;
        if let Some(person) = &found
            && person.network == chat.network
        {
            return Ok(Some(person.person.clone()));
        }
        let Some(room) = self.memory.room_of(chat).await? else { return Ok(None) };
        let Some(sharing) = self.sharing(&room).await? else { return Ok(None) };
        if let Some(person) = found {
            return self.person_behind(&sharing, &chat.network, &Voice::Person(person)).await;
        }
        for other in &sharing.chats {
            if self.owners.owns(user_id, &other.network).await? {
                let voice = Voice::Owner(other.network.clone());
                return self.person_behind(&sharing, &chat.network, &voice).await;
            }
        }
        Ok(None)
    }

    /// The user that the room shows for somebody whom an account names.
    pub(crate) async fn user_shown(&self, chat: &ChatRef, person: &PersonRef) -> Result<String, Trouble> {
        if let Some(room) = self.memory.room_of(chat).await?
            && let Some(sharing) = self.sharing(&room).await?
        {
            match self.same_as(&sharing, person).await?.as_deref() {
                Some(Voice::Owner(network)) => {
                    if let Some(user_id) = self.owners.id_of_owner(network).await? {
                        return Ok(user_id);
                    }
                }
                Some(Voice::Person(shown)) => return Ok(self.names.user_id(&self.names.ghost(shown))),
                Some(Voice::Network) | None => {}
            }
        }
        Ok(self.names.user_id(&self.names.ghost(person)))
    }

    /// What an event is called in the lane of a chat: its own id where its post is the chat's, else an alias.
    pub(crate) async fn known_as(
        &self,
        room_id: &str,
        event_id: &str,
        chat: &ChatRef,
        sender: Option<&str>,
    ) -> Result<RemoteId, Trouble> {
        let Some(sharing) = self.sharing_in(chat, room_id).await? else {
            return Ok(RemoteId::new(event_id));
        };
        let sender = match sender {
            Some(sender) => sender.to_owned(),
            None => {
                let event = self.client.call(self.bot(), &GetEvent { room_id, event_id }).await;
                match event {
                    Err(error) if error.is_of_all() => return Err(error.into()),
                    event => {
                        let event = event.unwrap_or_default();
                        event.get("sender").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
                    }
                }
            }
        };
        let holder = match self.names.who(&sender) {
            Who::Human => self.chat_for(room_id, &sender).await?.map(|chat| (*chat).clone()),
            Who::Bot | Who::Ghost => sharing.lead().cloned(),
        };
        Ok(match holder.as_ref() == Some(chat) {
            true => RemoteId::new(event_id),
            false => alias(event_id, chat),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_shown_before_people_and_those_of_the_lead_before_others() {
        let chat = |account: &str| ChatRef { network: account.into(), chat: "g".into() };
        let sharing = Sharing { key: "k".to_owned(), chats: vec![chat("w:a"), chat("w:b"), chat("w:c")] };
        let person = |account: &str| {
            Voice::Person(PersonRef { network: account.into(), person: format!("p-{account}").into() })
        };
        let owner = Voice::Owner("w:b".into());
        let (a, b, c) = (person("w:a"), person("w:b"), person("w:c"));
        let pair = |here, there| {
            sharing.pair(here, there).map(|(who, shown)| (who.network.to_string(), shown.clone()))
        };
        assert_eq!(pair(&a, &owner), Some(("w:a".to_owned(), owner.clone())));
        assert_eq!(pair(&owner, &a), Some(("w:a".to_owned(), owner.clone())));
        assert_eq!(pair(&a, &b), Some(("w:b".to_owned(), a.clone())));
        assert_eq!(pair(&b, &a), Some(("w:b".to_owned(), a.clone())));
        assert_eq!(pair(&c, &b), Some(("w:c".to_owned(), b.clone())));
        assert_eq!((pair(&a, &a), pair(&Voice::Network, &a)), (None, None));
    }
}
