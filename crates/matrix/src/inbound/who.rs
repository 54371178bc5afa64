//! Who speaks, who is named and who is quoted.

use wxgate_contract::{Author, ChatRef, Mention, PersonKey, PersonRef, Quote, RemoteId};

use super::message;
use super::relay::relayed_name;
use crate::outbound::voice;
use crate::shared::Shared;
use crate::trouble::Trouble;

impl Shared {
    /// The author of what `sender` says in a room of a chat; `None` when they may not speak in it.
    pub(super) async fn author(
        &self,
        room_id: &str,
        sender: &str,
        chat: &ChatRef,
    ) -> Result<Option<Author>, Trouble> {
        if self.owners.owns(sender, &chat.network).await? {
            return Ok(Some(Author::Owner));
        }
        let relays = self.memory.room_of(chat).await?.is_some_and(|room| room.relay);
        if !relays {
            return Ok(None);
        }
        let told = self.name_in(room_id, sender).await;
        let name = relayed_name(&self.config.relay_name_template, sender, &told);
        Ok(Some(Author::Person { person: PersonKey::new(sender), name }))
    }

    /// Who is named, as the chat's own network knows them; others stay words.
    pub(super) async fn mentions(
        &self,
        pills: Vec<(String, (usize, usize))>,
        everybody: Option<(usize, usize)>,
        chat: &ChatRef,
    ) -> Result<Vec<Mention>, Trouble> {
        let mut mentions = Vec::new();
        for (user_id, range) in pills {
            if let Some(person) = self.person_here(&user_id, chat).await? {
                mentions.push(Mention { person: Some(person), is_owner: false, range });
            }
        }
        mentions.extend(everybody.map(|range| Mention { person: None, is_owner: false, range }));
        mentions.sort_by_key(|mention| mention.range);
        Ok(mentions)
    }

    /// Whom a ghost stands for.
    pub(crate) async fn person_of(&self, user_id: &str) -> Result<Option<PersonRef>, Trouble> {
        let Some(localpart) = self.names.localpart_of(user_id) else { return Ok(None) };
        Ok(self.memory.ghosts.get(&self.memory, localpart).await?.and_then(|ghost| ghost.person.clone()))
    }

    /// What is answered to. Its words are for those who see the answer alone; without them it is a
    /// quote all the same.
    pub(super) async fn quote(
        &self,
        room_id: &str,
        event_id: String,
        chat: &ChatRef,
    ) -> Result<Quote, Trouble> {
        // Whatever the homeserver says: the answer itself must not wait for what it answers to.
        let event = self.event_of(room_id, &event_id).await.unwrap_or_default();
        let sender = event.get("sender").and_then(serde_json::Value::as_str).unwrap_or_default();
        let excerpt = event.get("content").map(message::excerpt).unwrap_or_default();
        let is_ours = self.names.who(sender) == crate::names::Who::Bot;
        let voice = event.get("content").and_then(|content| voice::heard(content, &excerpt));
        if let Some((name, words)) = voice.filter(|_| is_ours) {
            let (author_name, excerpt) = (name.to_owned(), words.to_owned());
            return Ok(Quote { target: Some(RemoteId::new(event_id)), author_name, excerpt });
        }
        let author_name = self.quoted_name(sender, chat).await?;
        let target = self.known_as(room_id, &event_id, chat, Some(sender)).await?;
        Ok(Quote { target: Some(target), author_name, excerpt })
    }

    /// How the chat's own network calls whoever is quoted.
    async fn quoted_name(&self, sender: &str, chat: &ChatRef) -> Result<String, Trouble> {
        // By the name that the account has for them, where it knows them.
        let here = self.person_here(sender, chat).await?;
        let here = here.map(|person| PersonRef { network: chat.network.clone(), person });
        let person = match here {
            None => self.person_of(sender).await?,
            here => here,
        };
        if let Some(person) = person {
            let people = self.directory.people(&person.network, &[person.person]).await?;
            return Ok(people.first().map(|profile| profile.display_name().to_owned()).unwrap_or_default());
        }
        let is_own = self.names.who(sender) == crate::names::Who::Ghost
            || self.owners.owns(sender, &chat.network).await?;
        match self.owners.account(&chat.network).await? {
            Some(account) if is_own => Ok(account.own_name.clone()),
            _ => Ok(String::new()),
        }
    }
}
