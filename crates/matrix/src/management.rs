//! The management room: what people ask of the bot, and its answers.
//!
//! In a private chat with the bot every text is for it; elsewhere those that begin with the prefix.
//! What one person asks is answered in order, what several ask side by side: a slow account keeps
//! nobody else waiting.

mod accounts;
pub(crate) mod answer;
mod contacts;
mod encryption;
pub(crate) mod groups;
mod help;
pub(crate) mod identity;
mod markers;
pub(crate) mod pick;
mod portals;
mod qr;
mod replaced;
pub(crate) mod requests;
mod set;
mod share;
mod sign_in;
mod tidings;
mod words;

pub(crate) use accounts::described;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use wxgate_contract::{ChatRef, CommandError, FarError, Stop, UserName, Verdict};

use crate::client::CallError;
use crate::config::Level;
use crate::inbound::effects::Addressed;
use crate::shared::Shared;
use crate::speak::{Utterance, derived_txn_id};
use crate::trouble::Trouble;
use answer::Answer;
use words::{Unclear, Verb, Wish};

/// Questions of one person that may wait. Chosen: more than anybody types while an answer is made;
/// what comes on top is told to come slower.
const WAITING: usize = 16;
/// Answers in the making at once. Chosen: each is a few calls to the homeserver.
const AT_ONCE: usize = 32;
/// Sign-ins that are followed at once, over all people. Chosen: each holds a room and two events;
/// a host who invites more people within five minutes has them come again.
const SIGN_INS: usize = 256;

/// What the bot was asked, with what is known about it.
pub(crate) struct Question {
    pub(crate) addressed: Addressed,
    pub(crate) level: Level,
    /// The chat that the room mirrors.
    pub(crate) chat: Option<Arc<ChatRef>>,
}

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum No {
    /// What is told to the person.
    Because(Answer),
    /// Everything was said already.
    Silent,
    /// The homeserver or the gateway failed.
    Trouble(Trouble),
}

impl From<Trouble> for No {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<CallError> for No {
    fn from(error: CallError) -> Self {
        Self::Trouble(error.into())
    }
}

impl From<FarError> for No {
    fn from(error: FarError) -> Self {
        Self::Trouble(error.into())
    }
}

impl From<CommandError> for No {
    fn from(error: CommandError) -> Self {
        Self::Because(Answer::of(&format!("I could not do that: {error}.")))
    }
}

/// Says no, in one sentence.
pub(crate) fn no<T>(text: &str) -> Result<T, No> {
    Err(No::Because(Answer::of(text)))
}

/// The sign-in of whoever asks something.
struct SignIns {
    /// The one that is followed, if there is one.
    followed: Option<sign_in::Followed>,
    /// Where another one goes that is to be followed.
    begun: mpsc::Sender<sign_in::Following>,
}

/// What somebody asked while they are being answered.
#[derive(Default)]
struct Waiting {
    questions: VecDeque<Addressed>,
    /// The first that did not fit any more.
    dropped: Option<Addressed>,
}

impl Waiting {
    /// False for what does not fit.
    fn add(&mut self, question: Addressed) -> bool {
        // Once something was dropped, what comes after it is not done before they hear of that.
        let fits = self.questions.len() < WAITING && self.dropped.is_none();
        match fits {
            true => self.questions.push_back(question),
            false => drop(self.dropped.get_or_insert(question)),
        }
        fits
    }

    fn next(&mut self) -> Option<Task> {
        let question = self.questions.pop_front().map(Task::Answer);
        question.or_else(|| self.dropped.take().map(Task::OwnUp))
    }
}

/// What the desk does for somebody.
enum Task {
    Answer(Addressed),
    /// To say that this was dropped, and what came after it.
    OwnUp(Addressed),
}

/// The bot's desk.
struct Desk {
    shared: Arc<Shared>,
    /// Answers in the making; each gives back whom it was for.
    making: JoinSet<String>,
    /// Who is being answered, and what else they asked.
    waiting: HashMap<String, Waiting>,
    /// Sign-ins that are followed; each gives back whose it was.
    sign_ins: JoinSet<String>,
    following: HashMap<String, (sign_in::Followed, AbortHandle)>,
    begun: mpsc::Sender<sign_in::Following>,
    begins: mpsc::Receiver<sign_in::Following>,
}

/// Answers until told to stop.
pub(crate) async fn run(shared: Arc<Shared>, mut questions: mpsc::Receiver<Addressed>, stop: Stop) {
    // One slot for each answer in the making: none of them ever waits for the desk.
    let (begun, begins) = mpsc::channel(AT_ONCE);
    let mut desk = Desk {
        shared,
        making: JoinSet::new(),
        waiting: HashMap::new(),
        sign_ins: JoinSet::new(),
        following: HashMap::new(),
        begun,
        begins,
    };
    loop {
        tokio::select! {
            () = stop.stopping() => return,
            question = questions.recv(), if desk.making.len() < AT_ONCE => match question {
                Some(question) => desk.take(question),
                None => return,
            },
            Some(begun) = desk.begins.recv() => desk.follow(begun),
            Some(done) = desk.making.join_next(), if !desk.making.is_empty() => desk.answered(done),
            Some(done) = desk.sign_ins.join_next(), if !desk.sign_ins.is_empty() => {
                // One that was given up has been taken out already.
                if let Ok(sender) = done {
                    desk.following.retain(|who, (_, task)| *who != sender || !task.is_finished());
                }
            }
        }
    }
}

impl Desk {
    fn take(&mut self, question: Addressed) {
        let sender = question.sender.clone();
        match self.waiting.get_mut(&sender) {
            Some(waiting) => {
                if !waiting.add(question) {
                    tracing::warn!(
                        sender,
                        "somebody asks faster than they can be answered; a question is dropped"
                    );
                }
            }
            None => {
                self.waiting.insert(sender, Waiting::default());
                self.make(question);
            }
        }
    }

    fn make(&mut self, question: Addressed) {
        // What they asked last may have begun one.
        while let Ok(begun) = self.begins.try_recv() {
            self.follow(begun);
        }
        let followed = self.following.get(&question.sender).map(|(followed, _)| followed.clone());
        let (shared, sign_ins) = (Arc::clone(&self.shared), SignIns { followed, begun: self.begun.clone() });
        self.making.spawn(async move {
            let sender = question.sender.clone();
            Box::pin(answer(&shared, question, &sign_ins)).await;
            sender
        });
    }

    fn own_up(&mut self, dropped: Addressed) {
        let shared = Arc::clone(&self.shared);
        self.making.spawn(async move {
            let Addressed { room_id, event_id, sender, .. } = dropped;
            let said = Answer::of(
                "You ask faster than I can answer: I passed this over, and what you asked after it until now.",
            );
            if let Err(error) = shared.answer(&room_id, &event_id, &said).await {
                tracing::warn!(%error, "somebody could not be told that they were passed over");
            }
            sender
        });
    }

    fn answered(&mut self, done: Result<String, tokio::task::JoinError>) {
        let Ok(sender) = done else {
            // Nobody knows whose it was: everybody who waits is taken for answered.
            tracing::error!("an answer of the bot failed");
            self.waiting.clear();
            return;
        };
        match self.waiting.get_mut(&sender).and_then(Waiting::next) {
            Some(Task::Answer(next)) => self.make(next),
            Some(Task::OwnUp(dropped)) => self.own_up(dropped),
            None => drop(self.waiting.remove(&sender)),
        }
    }

    /// Follows a sign-in in the room where it was asked for; a second one replaces the first.
    fn follow(&mut self, following: sign_in::Following) {
        let sender = following.sender.clone();
        if let Some((_, earlier)) = self.following.remove(&sender) {
            earlier.abort();
        }
        let Some(followed) = following.followed().filter(|_| self.sign_ins.len() < SIGN_INS) else { return };
        let shared = Arc::clone(&self.shared);
        let task = self.sign_ins.spawn(async move {
            let sender = following.sender.clone();
            Box::pin(following.run(&shared)).await;
            sender
        });
        self.following.insert(sender, (followed, task));
    }
}

/// Answers one question.
async fn answer(shared: &Shared, addressed: Addressed, sign_ins: &SignIns) {
    let (room_id, event_id) = (addressed.room_id.clone(), addressed.event_id.clone());
    let said = match consider(shared, addressed, sign_ins).await {
        Ok(None) | Err(No::Silent) => return,
        Ok(Some(said)) | Err(No::Because(said)) => said,
        Err(No::Trouble(trouble)) => {
            tracing::warn!(error = %trouble, "the bot could not do what it was asked");
            Answer::of(&format!("I could not do that now: {trouble}."))
        }
    };
    if let Err(error) = shared.answer(&room_id, &event_id, &said).await {
        tracing::warn!(%error, "somebody could not be answered");
    }
}

/// What there is to say; nothing where nobody asked the bot.
async fn consider(shared: &Shared, addressed: Addressed, sign_ins: &SignIns) -> Result<Option<Answer>, No> {
    let level = shared.config.permissions.of(&addressed.sender);
    let stranger = "You have no permission to use this gateway; whoever runs it can give it to you.";
    if addressed.has_prefix && level == Level::Nobody {
        return no(stranger);
    }
    let chat = shared.chat_for(&addressed.room_id, &addressed.sender).await?;
    let is_private = chat.is_none() && shared.is_private(&addressed.room_id).await?;
    if !addressed.has_prefix && !is_private {
        return Ok(None);
    }
    if level == Level::Nobody {
        return no(stranger);
    }
    let wish = match words::understand(&addressed.text) {
        Ok(wish) => wish,
        Err(unclear) => return Ok(Some(unclear_answer(&unclear))),
    };
    let needs = words::spec(wish.verb).map_or(Level::Admin, |spec| spec.level);
    if level < needs {
        return no("You have no permission for that; whoever runs this gateway can give it to you.");
    }
    if is_private {
        shared.note_desk(&addressed).await?;
    }
    let question = Question { addressed, level, chat };
    carry_out(shared, &question, &wish, sign_ins).await.map(Some)
}

async fn carry_out(
    shared: &Shared,
    question: &Question,
    wish: &Wish,
    sign_ins: &SignIns,
) -> Result<Answer, No> {
    match wish.verb {
        Verb::Help => Ok(help::help(question.level, question.chat.is_some())),
        Verb::Version => Ok(Answer::of(&format!("This is wxgate {}.", env!("CARGO_PKG_VERSION")))),
        Verb::Login => shared.log_in(question, wish, &sign_ins.begun).await,
        Verb::Cancel => shared.cancel(question, sign_ins).await,
        Verb::Logout => shared.log_out(question, wish).await,
        Verb::Logins => shared.list_logins(question).await,
        Verb::Ping => shared.ping(question, wish).await,
        Verb::Web => shared.open_pages(question).await,
        Verb::Forget => shared.forget_account(question, wish).await,
        Verb::LoginMatrix => shared.login_matrix(question, wish).await,
        Verb::LogoutMatrix => shared.logout_matrix(question).await,
        Verb::PingMatrix => shared.ping_matrix(question).await,
        Verb::Set => shared.set(question, wish).await,
        Verb::Groups => shared.list_groups(question, wish).await,
        Verb::Search => shared.search(question, wish).await,
        Verb::StartChat => shared.start_chat(question, wish).await,
        Verb::CreateGroup => shared.create_group(question, wish).await,
        Verb::Accept => shared.befriend(question, wish, Verdict::Accept).await,
        Verb::Decline => shared.befriend(question, wish, Verdict::Decline).await,
        Verb::Identity => shared.show_questions(question).await,
        Verb::Same => shared.settle(question, wish, false).await,
        Verb::New => shared.settle(question, wish, true).await,
        Verb::Why => shared.why(question, wish).await,
        Verb::Undo => shared.undo(question, wish).await,
        Verb::Marker => shared.markers(question, wish).await,
        Verb::Id => shared.describe_room(question).await,
        // In the room of a chat it is something said, and never comes here.
        Verb::Retry => no("Say that in the room of a chat, as an answer to what was not delivered."),
        Verb::Encryption => shared.tell_fingerprint().await,
        Verb::Verify => shared.verify(question, wish).await,
        Verb::Encrypt => shared.encrypt_room(question).await,
        Verb::Sync => shared.sync(question).await,
        Verb::SetRelay => shared.set_relay(question, true).await,
        Verb::UnsetRelay => shared.set_relay(question, false).await,
        Verb::Share => shared.share(question, wish).await,
        Verb::Unshare => shared.unshare(question).await,
        Verb::Bridge => shared.bridge(question, wish).await,
        Verb::Unbridge => shared.unbridge(question).await,
        Verb::DeletePortal => shared.delete_portal(question).await,
    }
}

fn unclear_answer(unclear: &Unclear) -> Answer {
    match unclear {
        Unclear::Unknown { nearest: Some(nearest) } => {
            Answer::of("I do not know that command; did you mean ").code(nearest).text("?")
        }
        Unclear::Unknown { nearest: None } => {
            Answer::of("I do not know that command; say ").code("help").text(" for those I know.")
        }
        Unclear::Incomplete { name, arguments } => {
            Answer::of("Something is missing; say ").code(&format!("{name} {arguments}")).text(".")
        }
    }
}

impl Shared {
    /// Says it as an answer to an event; doing it again says it once.
    pub(crate) async fn answer(&self, room_id: &str, event_id: &str, said: &Answer) -> Result<(), CallError> {
        let mut content = said.content();
        content["m.relates_to"] = serde_json::json!({ "m.in_reply_to": { "event_id": event_id } });
        let txn_id = derived_txn_id(&["answer", event_id]);
        let what = Utterance { kind: "m.room.message", content, txn_id, at: None };
        self.say_in_time(room_id, &what).await.map(drop)
    }

    /// Somebody talks to the bot alone: what the bot has to tell them by itself, it tells them there.
    async fn note_desk(&self, addressed: &Addressed) -> Result<(), FarError> {
        let known = self.memory.desks.get(&self.memory, &addressed.sender).await?;
        if known.is_none_or(|known| *known != addressed.room_id) {
            self.memory.desks.put(&self.memory, &addressed.sender, addressed.room_id.clone()).await?;
        }
        Ok(())
    }

    /// The person of this instance that somebody on Matrix is, made when there is none.
    pub(crate) async fn user(&self, user_id: &str) -> Result<UserName, No> {
        if let Some(user) = self.owners.user_of(user_id).await? {
            return Ok(user);
        }
        let person = wxgate_contract::PersonRef { network: self.network.clone(), person: user_id.into() };
        match self.control.run(None, wxgate_contract::Command::Introduce { person }).await? {
            wxgate_contract::Reply::User(user) => {
                self.owners.changed();
                Ok(user)
            }
            _ => no("I could not write down who you are."),
        }
    }
}
