//! New groups.

use wxgate_contract::{Answer as Told, ChatKind, ChatRef, NetworkId, PersonKey, Request, UserName};

use super::answer::Answer;
use super::words::Wish;
use super::{No, Question, no};
use crate::api::membership::Invite;
use crate::memory::Room;
use crate::shared::Shared;

/// Stands between the title and the people.
const COLON: [char; 2] = [':', '：'];
/// Stand between two people.
const COMMAS: [char; 3] = [',', '，', '、'];

/// A group to be.
pub(crate) struct Planned {
    pub(crate) account: NetworkId,
    pub(crate) people: Vec<PersonKey>,
    pub(crate) title: String,
}

impl Shared {
    /// `create-group Title: one, another`.
    pub(super) async fn create_group(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let sender = &question.addressed.sender;
        let Some((title, people)) = wish.rest.split_once(COLON) else {
            return Err(No::Because(usage()));
        };
        let (user, accounts) = self.accounts_of(sender).await?;
        let mut planned: Option<Planned> = None;
        for name in people.split(COMMAS).map(str::trim).filter(|name| !name.is_empty()) {
            let found = self.pick(&accounts, name, "start-chat").await?;
            if found.kind == ChatKind::Group {
                return Err(No::Because(Answer::default().strong(&found.name).text(" is a group.")));
            }
            let account = found.chat.network.clone();
            let planned = planned.get_or_insert_with(|| Planned {
                account: account.clone(),
                people: Vec::new(),
                title: title.trim().to_owned(),
            });
            if planned.account != account {
                return no("People of two of your accounts cannot be in one group.");
            }
            // A private chat and its person share their key.
            let person = PersonKey::new(found.chat.chat.as_str());
            if !planned.people.contains(&person) {
                planned.people.push(person);
            }
        }
        let Some(planned) = planned else { return Err(No::Because(usage())) };
        let (title, room) = (planned.title.clone(), self.gather(&user, planned, None).await?);
        self.let_in(&room.room_id, sender).await?;
        let name = if title.is_empty() { "a group without a name" } else { &title };
        Ok(Answer::of("Here is the new group: ").link(&room.room_id, name))
    }

    /// Makes a group and the room that mirrors it: a new one, or the one that somebody hands over.
    pub(crate) async fn gather(
        &self,
        user: &UserName,
        planned: Planned,
        room_id: Option<String>,
    ) -> Result<std::sync::Arc<Room>, No> {
        let Planned { account, people, title } = planned;
        let name = title.clone();
        let chat = match self.ask(user, &account, Request::Gather { people, title }).await? {
            Told::Chat(chat) => ChatRef { network: account, chat },
            _ => return no("The account gave no answer."),
        };
        match room_id {
            Some(room_id) => {
                self.hand_over(room_id, chat, if name.is_empty() { "the group" } else { &name }).await
            }
            None => Ok(self.room(&chat).await?),
        }
    }

    /// Sees to it that somebody is in a room or invited to it.
    pub(crate) async fn let_in(&self, room_id: &str, user_id: &str) -> Result<(), No> {
        match self.client.call(self.bot(), &Invite { room_id, user_id }).await {
            Err(error) if error.is_passing() => Err(error.into()),
            // In a new room they are invited already, and one who is in it cannot be.
            _ => Ok(()),
        }
    }
}

fn usage() -> Answer {
    Answer::of("Say ").code("create-group Title: one, another").text(", with the people by name or id.")
}
