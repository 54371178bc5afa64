//! What the service nick says and hears about chats of which it is not settled who they are.

use wxgate_contract::{Answer, ChatKey, Command, CommandError, NetworkId, Question, Reply, Request};

use super::inbound::Target;
use super::registry::ClientId;
use super::roster::Person;
use super::session::Session;

/// Questions shown at once: the most active chats come first, and the rest can wait. Chosen.
const MAX_SHOWN: usize = 20;

impl Session {
    /// Carries out a command about identity; `false` if it is none.
    pub(super) async fn identity(&mut self, id: ClientId, word: &str, rest: &[&str]) -> bool {
        match (word, rest) {
            ("identity", []) => self.show_questions(id).await,
            ("same", [question, candidate]) => self.answer(id, question, Some(candidate)).await,
            ("same", _) => self.service_says(id, "say: same <question> <candidate>, by their numbers"),
            ("new", [question]) => self.answer(id, question, None).await,
            ("later", [_]) => self.service_says(id, "it stays open; I show it again with \"identity\""),
            ("why", [chat]) => self.why(id, chat).await,
            ("undo", [chat]) => self.undo(id, chat).await,
            ("new" | "later", _) => self.service_says(id, &format!("say: {word} <question>, by its number")),
            ("why" | "undo", _) => self.service_says(id, &format!("say: {word} <#group or nick>")),
            _ => return false,
        }
        true
    }

    pub(super) async fn ask_account(&mut self, request: Request) -> Result<Answer, CommandError> {
        let Some(account): Option<NetworkId> = self.account().cloned() else {
            return Err(CommandError::Refused("log in as user/account to speak about its chats".to_owned()));
        };
        let user = self.key.user.clone();
        match self.shared.control.run(Some(user), Command::Ask { account, request }).await? {
            Reply::Answer(answer) => Ok(answer),
            _ => Err(CommandError::Failed("the account gave no answer".to_owned())),
        }
    }

    /// The open questions, in the order of their numbers.
    async fn questions(&mut self) -> Result<Vec<Question>, CommandError> {
        match self.ask_account(Request::Questions).await? {
            Answer::Questions(questions) => Ok(questions),
            _ => Ok(Vec::new()),
        }
    }

    async fn show_questions(&mut self, id: ClientId) {
        let questions = match self.questions().await {
            Ok(questions) => questions,
            Err(error) => return self.service_says(id, &format!("I could not look it up: {error}")),
        };
        if questions.is_empty() {
            return self
                .service_says(id, "there is nothing to settle: I know who is who in every chat that spoke");
        }
        for (at, question) in questions.iter().take(MAX_SHOWN).enumerate() {
            self.service_says(id, &format!("{}. who is \"{}\"?", at + 1, question.title));
            for (of, candidate) in question.candidates.iter().enumerate() {
                let (title, evidence) = (&candidate.title, &candidate.evidence);
                // Two people may have one name; their nicks differ.
                let here = self.shown_as(&candidate.chat);
                self.service_says(id, &format!("   {}) \"{title}\"{here}: {evidence}", of + 1));
            }
        }
        if questions.len() > MAX_SHOWN {
            self.service_says(id, &format!("and {} more", questions.len() - MAX_SHOWN));
        }
        self.service_says(
            id,
            "say: same <question> <candidate>, new <question>, or later <question>. A recalled message in that \
             chat, by either side, would make it certain.",
        );
        self.questions_shown = questions;
    }

    /// ` (Anna2 here)`, where this account's clients see the chat.
    pub(super) fn shown_as(&self, chat: &ChatKey) -> String {
        let person = self.roster.by_private_chat(chat).and_then(|ix| self.roster.person(ix));
        let nick = person.map(|person| person.nick.as_str());
        let channel = || self.roster.channel(self.roster.by_chat(chat)?).map(|channel| channel.name.as_str());
        nick.or_else(channel).map(|name| format!(" ({name} here)")).unwrap_or_default()
    }

    async fn answer(&mut self, id: ClientId, question: &str, candidate: Option<&str>) {
        if self.questions_shown.is_empty() {
            self.questions_shown = self.questions().await.unwrap_or_default();
        }
        let number = |text: &str| text.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let Some(asked) = number(question).and_then(|at| self.questions_shown.get(at)).cloned() else {
            return self
                .service_says(id, &format!("there is no question {question}; say \"identity\" to see them"));
        };
        let same_as: Option<ChatKey> = match candidate {
            None => None,
            Some(text) => match number(text).and_then(|at| asked.candidates.get(at)) {
                Some(candidate) => Some(candidate.chat.clone()),
                None => {
                    let text =
                        format!("question {question} has no candidate {text}; say \"identity\" to see them");
                    return self.service_says(id, &text);
                }
            },
        };
        let is_new = same_as.is_none();
        match self.ask_account(Request::Resolve { chat: asked.chat, same_as }).await {
            Ok(_) if is_new => self.service_says(id, &format!("noted: {} is somebody new", asked.title)),
            Ok(_) => self.service_says(id, "noted; what was said meanwhile is in the right chat now"),
            Err(error) => self.service_says(id, &format!("I could not note it: {error}")),
        }
    }

    async fn why(&mut self, id: ClientId, name: &str) {
        let Some(chat) = self.chat_named(name) else {
            return self.service_says(id, &format!("there is no chat {name}"));
        };
        match self.ask_account(Request::Why(chat)).await {
            Ok(Answer::Text(words)) => self.service_says(id, &format!("{name}: {words}")),
            Ok(_) => self.service_says(id, "the account gave no answer"),
            Err(error) => self.service_says(id, &format!("I could not look it up: {error}")),
        }
    }

    async fn undo(&mut self, id: ClientId, name: &str) {
        let Some(chat) = self.chat_named(name) else {
            return self.service_says(id, &format!("there is no chat {name}"));
        };
        match self.ask_account(Request::Undo(chat)).await {
            Ok(_) => self.service_says(
                id,
                &format!("undone: whoever writes now has a chat of their own, {name} keeps its past"),
            ),
            Err(error) => self.service_says(id, &format!("I could not undo it: {error}")),
        }
    }

    pub(super) fn chat_named(&self, name: &str) -> Option<ChatKey> {
        match self.target(name)? {
            Target::Channel(ix) => self.roster.channel(ix).map(|channel| channel.chat.clone()),
            Target::Person(ix) => self.roster.person(ix).map(Person::private_chat),
        }
    }
}
