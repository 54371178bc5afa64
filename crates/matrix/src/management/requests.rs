//! Friend requests: a card where the owner talks to the bot, and the answer to it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wxgate_contract::{ChatRef, Command, NetworkId, RemoteId, Request, Say, Verdict};

use super::answer::Answer;
use super::words::Wish;
use super::{No, Question, no};
use crate::inbound::PREFIX;
use crate::shared::Shared;
use crate::speak::{Speaker, Utterance, txn_id};
use crate::trouble::Trouble;

/// The number of a request, in the content of its card.
const NUMBER: &str = "wxgate.request";

/// A request that was shown and not answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    account: NetworkId,
    request: RemoteId,
    name: String,
}

impl Pending {
    /// In which account somebody asked.
    pub(crate) fn account(&self) -> &NetworkId {
        &self.account
    }
}

impl Shared {
    /// Shows a request in the owner's private chat with the bot; where there is none, in the room of
    /// the chat that it came in.
    pub(crate) async fn show_request(
        &self,
        chat: &ChatRef,
        say: &Say,
        (name, greeting): (&str, &str),
    ) -> Result<Vec<RemoteId>, Trouble> {
        let number = say.post_id.0.to_string();
        let (account, request) = (chat.network.clone(), say.post.remote_id.clone());
        let pending = Pending { account: account.clone(), request, name: name.to_owned() };
        self.memory.requests.put(&self.memory, &number, pending).await?;
        let owner = self.owners.id_of_owner(&account).await?.unwrap_or_default();
        if let Some(desk) = self.memory.desks.get(&self.memory, &owner).await? {
            match self.say_as_bot(&desk, &card(say, &number, (name, greeting), "")).await {
                Ok(event_id) => return Ok(vec![RemoteId::new(event_id)]),
                Err(error) if error.is_passing() => return Err(error.into()),
                // The bot was sent away from there.
                Err(_) => self.memory.desks.forget(&self.memory, &owner).await?,
            }
        }
        let room = self.room(chat).await?;
        let prefix = format!("{PREFIX} ");
        let (event_id, _) =
            self.say(room, &Speaker::Bot, &card(say, &number, (name, greeting), &prefix)).await?;
        Ok(vec![RemoteId::new(event_id)])
    }

    /// Answers the request that is meant: by its number, or by the card that is answered to.
    pub(super) async fn befriend(
        &self,
        question: &Question,
        wish: &Wish,
        verdict: Verdict,
    ) -> Result<Answer, No> {
        let number = match wish.words().next() {
            Some(word) => word.trim_start_matches('#').to_owned(),
            None => self.number_of_card(question).await?,
        };
        let (user, accounts) = self.accounts_of(&question.addressed.sender).await?;
        let pending = self.memory.requests.get(&self.memory, &number).await?;
        let is_theirs = |pending: &Pending| accounts.iter().any(|view| view.network == pending.account);
        let Some(pending) = pending.filter(|pending| is_theirs(pending)) else {
            return no("There is no request of that number that waits for an answer.");
        };
        let request = Request::Befriend { request: pending.request.clone(), verdict };
        let command = Command::Ask { account: pending.account.clone(), request };
        self.control.run(Some(user), command).await?;
        self.memory.requests.forget(&self.memory, &number).await?;
        let answer = Answer::default();
        Ok(match verdict {
            Verdict::Accept => answer.strong(&pending.name).text(" is your contact now."),
            Verdict::Decline => answer.text("The request of ").strong(&pending.name).text(" was declined."),
        })
    }

    async fn number_of_card(&self, question: &Question) -> Result<String, No> {
        let asked = &question.addressed;
        let Some(event_id) = &asked.reply_to else {
            return no("Which request? Say its number, or answer to its card.");
        };
        let card = self.event_of(&asked.room_id, event_id).await?;
        let is_ours = card.get("sender").and_then(Value::as_str) == Some(self.names.bot());
        match card.pointer(&format!("/content/{NUMBER}")).and_then(Value::as_str) {
            Some(number) if is_ours => Ok(number.to_owned()),
            _ => no("That is no card of a request."),
        }
    }
}

fn card(say: &Say, number: &str, (name, greeting): (&str, &str), prefix: &str) -> Utterance {
    let answer = Answer::default().strong(name).text(" wants to become your contact in WeChat");
    let answer = match greeting {
        "" => answer.text("."),
        greeting => answer.text(&format!(": “{greeting}”")),
    };
    let answer = answer.line().text("Say ").code(&format!("{prefix}accept {number}")).text(" or ");
    let answer = answer.code(&format!("{prefix}decline {number}"));
    let answer = answer.text(", or answer to this with one of the two words.");
    let mut content = answer.content();
    content[NUMBER] = json!(number);
    let txn_id = txn_id(&say.post, if prefix.is_empty() { "desk" } else { "0" });
    Utterance { kind: "m.room.message", content, txn_id, at: Some(say.post.at) }
}
