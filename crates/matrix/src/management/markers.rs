//! Markers in the owner's remarks, by which contacts are known after a new sign-in.

use wxgate_contract::{Answer as Told, Marking, Request};

use super::answer::Answer;
use super::words::Wish;
use super::{No, Question, no};
use crate::shared::Shared;

/// Markers shown at once: those that need their owner come first. Chosen.
const SHOWN: usize = 30;

impl Shared {
    /// Lists markers, or has one written or taken away.
    pub(super) async fn markers(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let (verb, rest) = wish.rest.split_once(char::is_whitespace).unwrap_or((wish.rest.as_str(), ""));
        let marking = match verb.to_ascii_lowercase().as_str() {
            "" => return self.show_markers(question).await,
            "put" => Marking::Put,
            "take" => Marking::Take,
            _ => {
                let answer = Answer::of("Say ").code("marker put <name or id>").text(", ");
                return Err(No::Because(
                    answer.code("marker take <name or id>").text(", or all in place of the name."),
                ));
            }
        };
        let rest = rest.trim();
        if rest == "all" {
            let (user, accounts) = self.accounts_of(&question.addressed.sender).await?;
            let mut answer = Answer::default();
            for view in &accounts {
                let request = Request::Mark { chats: Vec::new(), marking };
                let said = match self.ask(&user, &view.network, request).await {
                    Ok(Told::Text(words)) => words,
                    Ok(_) => "the account gave no answer".to_owned(),
                    // One account's trouble is its own.
                    Err(No::Because(why)) => why.plain().to_owned(),
                    Err(trouble) => return Err(trouble),
                };
                answer = answer.item().strong(view.network.name()).text(&format!(": {said}"));
            }
            return Ok(answer);
        }
        let named = Wish { verb: wish.verb, rest: rest.to_owned() };
        let (user, chat, name) = self.meant(question, &named, "marker").await?;
        let request = Request::Mark { chats: vec![chat.chat.clone()], marking };
        match self.ask(&user, &chat.network, request).await? {
            Told::Text(words) => Ok(Answer::default().strong(&name).text(&format!(": {words}"))),
            _ => no("The account gave no answer."),
        }
    }

    async fn show_markers(&self, question: &Question) -> Result<Answer, No> {
        let (user, accounts) = self.accounts_of(&question.addressed.sender).await?;
        let mut all = Vec::new();
        for view in &accounts {
            // An account that is not there now has its say later.
            if let Ok(Told::Markers(markers)) = self.ask(&user, &view.network, Request::Markers).await {
                all.extend(markers);
            }
        }
        if all.is_empty() {
            return no("No contact has a marker.");
        }
        let mut answer = Answer::of("Contacts with a marker in your remark:");
        for marker in all.iter().take(SHOWN) {
            answer = answer.item().strong(&marker.title).text(&format!(": {}", marker.state));
            if !marker.wanted.is_empty() {
                answer = answer.text("; the remark to type: ").code(&marker.wanted);
            }
        }
        if all.len() > SHOWN {
            answer = answer.line().text(&format!("And {} more.", all.len() - SHOWN));
        }
        Ok(answer)
    }
}
