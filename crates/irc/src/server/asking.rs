//! What the service asks of an account for somebody who talks to it. The session goes on meanwhile: an account that is
//! slow must not keep lines and PINGs of its owner's clients waiting. What a client says to the service before it was
//! answered waits for the answer.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use wxgate_contract::{Answer, ChatKey, Command, CommandError, NetworkId, Reply, Request};

use super::registry::{ClientId, Incoming};
use super::session::Session;

/// Lines of one client to the service that wait for an answer. Chosen: more than anybody types while waiting.
const WAITING: usize = 16;

/// What was asked, to word the answer.
#[derive(Debug)]
pub(super) enum Asking {
    Questions,
    /// The questions, which nobody asked for.
    Unasked,
    /// The questions, to find the one that is answered.
    Answering {
        question: String,
        candidate: Option<String>,
    },
    Resolved {
        title: String,
        is_new: bool,
    },
    Why(String),
    Undone(String),
    Markers,
    Marked,
    SignIn(NetworkId),
    SignOut(NetworkId),
}

/// A client that talks to the service.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// An answer is on its way.
    is_asking: bool,
    waiting: VecDeque<String>,
}

impl Session {
    /// Keeps what is said to the service before it has answered; false when it has.
    pub(super) fn has_to_wait(&mut self, id: ClientId, text: &str) -> bool {
        let Some(talk) = self.talks.get_mut(&id).filter(|talk| talk.is_asking) else { return false };
        match talk.waiting.len() < WAITING {
            true => talk.waiting.push_back(text.to_owned()),
            false => self.service_says(id, "I am still waiting for an answer; say that again when I have it"),
        }
        true
    }

    /// Orders something of the gateway in the owner's name; the answer comes back as [`Incoming::Told`].
    pub(super) fn order(&mut self, id: ClientId, command: Command, asking: Asking) {
        self.talks.entry(id).or_default().is_asking = true;
        let (control, user, own) = (self.shared.control.clone(), self.key.user.clone(), self.own.clone());
        self.tasks.spawn(async move {
            let told = AssertUnwindSafe(control.run(Some(user), command)).catch_unwind().await;
            let told = told.unwrap_or_else(|_| Err(CommandError::Failed("a bug in the gateway".to_owned())));
            // A session that is gone has nobody to tell.
            if let Some(session) = own.upgrade() {
                let _ = session.send(Incoming::Told(id, Box::new(asking), told)).await;
            }
        });
    }

    /// Asks something of the account that this session shows.
    pub(super) fn ask_account(&mut self, id: ClientId, request: Request, asking: Asking) {
        match self.account().cloned() {
            Some(account) => self.order(id, Command::Ask { account, request }, asking),
            None => self.service_says(id, "log in as user/account to speak about its chats"),
        }
    }

    /// An answer came; what the client said meanwhile comes next.
    pub(super) async fn told(&mut self, id: ClientId, asking: Asking, told: Result<Reply, CommandError>) {
        if let Some(talk) = self.talks.get_mut(&id) {
            talk.is_asking = false;
        }
        match told {
            told if matches!(asking, Asking::Unasked) => self.point_out_questions(told).await,
            Ok(reply) => self.told_well(id, asking, reply),
            Err(error) => self.told_no(id, &asking, &error),
        }
        while let Some(talk) = self.talks.get_mut(&id).filter(|talk| !talk.is_asking) {
            match talk.waiting.pop_front() {
                Some(text) => self.service(id, &text).await,
                None => drop(self.talks.remove(&id)),
            }
        }
    }

    fn told_well(&mut self, id: ClientId, asking: Asking, reply: Reply) {
        match (asking, reply) {
            (Asking::Questions, Reply::Answer(Answer::Questions(questions))) => {
                self.show_questions(id, questions);
            }
            (Asking::Answering { question, candidate }, Reply::Answer(Answer::Questions(questions))) => {
                self.questions_shown = questions;
                self.answer(id, &question, candidate.as_deref());
            }
            (Asking::Resolved { title, is_new: true }, _) => {
                self.service_says(id, &format!("noted: {title} is somebody new"));
            }
            (Asking::Resolved { .. }, _) => {
                self.service_says(id, "noted; what was said meanwhile is in the right chat now");
            }
            (Asking::Why(name), Reply::Answer(Answer::Text(words))) => {
                self.service_says(id, &format!("{name}: {words}"));
            }
            (Asking::Undone(name), _) => self.service_says(
                id,
                &format!("undone: whoever writes now has a chat of their own, {name} keeps its past"),
            ),
            (Asking::Markers, Reply::Answer(Answer::Markers(markers))) => self.show_markers(id, &markers),
            (Asking::Marked, Reply::Answer(Answer::Text(words))) => self.service_says(id, &words),
            (Asking::SignIn(account), Reply::SignIn(steps)) => self.follow_sign_in(id, account, steps),
            (Asking::SignIn(_), _) => self.service_says(id, "the sign-in was started"),
            (Asking::SignOut(account), _) => {
                self.service_says(id, &format!("{} is being signed out", account.name()));
            }
            _ => self.service_says(id, "the account gave no answer"),
        }
    }

    fn told_no(&mut self, id: ClientId, asking: &Asking, error: &CommandError) {
        let what = match asking {
            Asking::Questions
            | Asking::Unasked
            | Asking::Answering { .. }
            | Asking::Why(_)
            | Asking::Markers => "look it up",
            Asking::Resolved { .. } => "note it",
            Asking::Undone(_) => "undo it",
            Asking::Marked => "do it",
            Asking::SignIn(_) => "sign in",
            Asking::SignOut(_) => "sign out",
        };
        self.service_says(id, &format!("I could not {what}: {error}"));
    }

    /// The key of the chat that a client calls so.
    pub(super) fn chat_or_say(&mut self, id: ClientId, name: &str) -> Option<ChatKey> {
        let chat = self.chat_named(name);
        if chat.is_none() {
            self.service_says(id, &format!("there is no chat {name}"));
        }
        chat
    }
}
