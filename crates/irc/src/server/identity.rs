//! What the service nick says and hears about chats of which it is not settled who they are.

use std::collections::BTreeSet;

use wxgate_contract::{Answer, Batch, ChatKey, Command, CommandError, Note, Question, Reply, Request};

use super::asking::Asking;
use super::inbound::Target;
use super::registry::{ClientId, Incoming};
use super::roster::Person;
use super::session::{Session, one_line};

/// The note that says of which chats the owner was told.
const NOTE: &str = "asked";
/// Questions shown at once: the most active chats come first, and the rest can wait. Chosen.
const MAX_SHOWN: usize = 20;

/// Nobody asks: what is told is told to all.
const ALL: ClientId = ClientId(0);

impl Session {
    /// Looks beside the session whether there are questions that the owner has not heard of: an account that is slow
    /// must not keep anybody waiting. The answer comes back as [`Incoming::Told`]; one that does not come is asked for
    /// again when the account is back, or has the next question.
    pub(super) fn look_for_questions(&mut self) {
        let Some(account) = self.account().cloned() else { return };
        let (control, user, own) = (self.shared.control.clone(), self.key.user.clone(), self.own.clone());
        self.tasks.spawn(async move {
            let command = Command::Ask { account, request: Request::Questions };
            let told = control.run(Some(user), command).await;
            if let Some(session) = own.upgrade() {
                let _ = session.send(Incoming::Told(ALL, Box::new(Asking::Unasked), told)).await;
            }
        });
    }

    /// Tells whoever is here, once of each, that it is not settled who some chats are.
    pub(super) async fn point_out_questions(&mut self, told: Result<Reply, CommandError>) {
        let Ok(Reply::Answer(Answer::Questions(questions))) = told else { return };
        let clients = self.client_ids();
        let key = self.roster.note_key(NOTE, "");
        let Some(latest) = questions.first().filter(|_| !clients.is_empty()) else { return };
        let known = match self.shared.far.note(&self.shared.network, &key).await {
            Ok(known) => known.unwrap_or_default(),
            Err(error) => return tracing::debug!(%error, "which questions were told cannot be read now"),
        };
        let known: BTreeSet<&str> = std::str::from_utf8(&known).unwrap_or_default().lines().collect();
        if questions.iter().all(|question| known.contains(question.chat.as_str())) {
            return;
        }
        let who = match questions.len() {
            1 => format!("\"{}\" is", one_line(&latest.title)),
            count => format!("\"{}\" and {} more are", one_line(&latest.title), count - 1),
        };
        let text = format!(
            "it is not settled who {who} since the last sign-in; say \"identity\" to see whom I take into account"
        );
        for id in clients {
            self.service_says(id, &text);
        }
        let chats: Vec<&str> = questions.iter().map(|question| question.chat.as_str()).collect();
        let notes = vec![Note { key, value: Some(chats.join("\n").into()), is_secret: false }];
        if let Err(error) = self.commit(Batch { notes, ..Batch::default() }).await {
            tracing::debug!(%error, "that there are questions will be told again");
        }
    }

    /// Carries out a command about identity; `false` if it is none.
    pub(super) fn identity(&mut self, id: ClientId, word: &str, rest: &[&str]) -> bool {
        match (word, rest) {
            ("identity", []) => self.ask_account(id, Request::Questions, Asking::Questions),
            ("same", [question, candidate]) => self.answer_shown(id, question, Some(candidate)),
            ("same", _) => self.service_says(id, "say: same <question> <candidate>, by their numbers"),
            ("new", [question]) => self.answer_shown(id, question, None),
            ("later", [_]) => self.service_says(id, "it stays open; I show it again with \"identity\""),
            ("why", [name]) => {
                if let Some(chat) = self.chat_or_say(id, name) {
                    self.ask_account(id, Request::Why(chat), Asking::Why((*name).to_owned()));
                }
            }
            ("undo", [name]) => {
                if let Some(chat) = self.chat_or_say(id, name) {
                    self.ask_account(id, Request::Undo(chat), Asking::Undone((*name).to_owned()));
                }
            }
            ("new" | "later", _) => self.service_says(id, &format!("say: {word} <question>, by its number")),
            ("why" | "undo", _) => self.service_says(id, &format!("say: {word} <#group or nick>")),
            _ => return false,
        }
        true
    }

    /// The open questions, in the order of their numbers.
    pub(super) fn show_questions(&mut self, id: ClientId, questions: Vec<Question>) {
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

    /// The owner answers a question by its number. Where none was shown yet, they are asked for first.
    fn answer_shown(&mut self, id: ClientId, question: &str, candidate: Option<&str>) {
        if !self.questions_shown.is_empty() {
            return self.answer(id, question, candidate);
        }
        let (question, candidate) = (question.to_owned(), candidate.map(str::to_owned));
        self.ask_account(id, Request::Questions, Asking::Answering { question, candidate });
    }

    /// The owner answers a question by its number.
    pub(super) fn answer(&mut self, id: ClientId, question: &str, candidate: Option<&str>) {
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
        let asking = Asking::Resolved { title: asked.title, is_new: same_as.is_none() };
        self.ask_account(id, Request::Resolve { chat: asked.chat, same_as }, asking);
    }

    pub(super) fn chat_named(&self, name: &str) -> Option<ChatKey> {
        match self.target(name)? {
            Target::Channel(ix) => self.roster.channel(ix).map(|channel| channel.chat.clone()),
            Target::Person(ix) => self.roster.person(ix).map(Person::private_chat),
        }
    }
}
