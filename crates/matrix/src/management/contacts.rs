//! People and groups: looking for them, and opening their rooms before they say something.

use wxgate_contract::ChatKind;

use super::answer::Answer;
use super::pick::{FOUND, Found, Words};
use super::words::Wish;
use super::{No, Question, no};
use crate::shared::Shared;

impl Shared {
    pub(super) async fn search(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let (_, accounts) = self.accounts_of(&question.addressed.sender).await?;
        if accounts.is_empty() {
            return no("You have no WeChat account here yet.");
        }
        let found = self.find_chats(&accounts, &Words::new(&wish.rest)).await?;
        if found.is_empty() {
            return no("Nobody and no group has that name.");
        }
        let head = if found.len() == FOUND { "Among others I found:" } else { "I found:" };
        self.listed(Answer::of(head), &found, accounts.len()).await
    }

    /// All groups, or those whose names have some words.
    pub(super) async fn list_groups(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let (_, accounts) = self.accounts_of(&question.addressed.sender).await?;
        let (mut found, words) = (Vec::new(), Words::new(&wish.rest));
        for view in &accounts {
            self.find_groups(&view.network, &words, &mut found).await?;
        }
        if found.is_empty() {
            return no("I know of no such group.");
        }
        let head = match found.len() {
            FOUND => Answer::of("Some of your groups; say ").code("list-groups <words>").text(" for others:"),
            _ => Answer::of("Your groups:"),
        };
        self.listed(head, &found, accounts.len()).await
    }

    /// Each with the way to its room, or the words that open it.
    async fn listed(&self, mut answer: Answer, found: &[Found], accounts: usize) -> Result<Answer, No> {
        for one in found {
            let what = if one.kind == ChatKind::Group { " (group)" } else { "" };
            answer = answer.item().strong(&one.name).text(&format!("{what}{} – ", one.detail));
            answer = match self.memory.room_of(&one.chat).await? {
                Some(room) => answer.link(&room.room_id, "its room"),
                None => answer.code(&format!("start-chat {}", one.id(accounts))),
            };
        }
        Ok(answer)
    }

    pub(super) async fn start_chat(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let sender = &question.addressed.sender;
        let (_, accounts) = self.accounts_of(sender).await?;
        let found = self.pick(&accounts, &wish.rest, "start-chat").await?;
        let room = self.room(&found.chat).await?;
        self.let_in(&room.room_id, sender).await?;
        let answer = Answer::of("Here is the room with ").strong(&found.name);
        Ok(answer.text(": ").link(&room.room_id, &found.name))
    }
}
