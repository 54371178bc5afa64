//! Deliveries → what WeChat understands, and one outcome for each.
//!
//! Runs beside the sync road and shares only the current credentials with it. Deliveries of
//! different chats overlap; sends are paced per account, uploads go one at a time.

mod doubts;
mod failures;
mod media;
pub(crate) mod pace;
mod second_look;
mod spoken;
mod text;
mod turn;
pub(crate) mod unanswered;
mod verdict;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use ring::digest;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wechat_proto::endpoint::{Endpoint, RevokeMsg, SendText, Sent, To, revoke_msg};
use wechat_proto::message::msg_type;
use wechat_proto::{ClientMsgId, MsgId, Reaction, UserName};
use wxgate_contract::{
    Body, Delivery, DeliveryId, FarEnd, Job, MediaVault, NetworkId, Outcome, RemoteId, Say,
};
use wxgate_convert::Converter;

use crate::config::WechatConfig;
use crate::identity::settle::{self, service_id};
use crate::inbound::Inbound;
use crate::roster::{self, Roster};
use crate::session::live::Live;
use crate::transport::{CallError, Transport};
use doubts::Doubts;
use failures::{Failures, Miss};
use pace::Pace;
use second_look::SecondLook;
use spoken::Spoken;
pub(crate) use text::MAX_CHARS as MAX_TEXT_CHARS;
use unanswered::{Unanswered, What};

/// Failures of a recall that gets no answer, before the chat goes on without one. Chosen: with the
/// pauses of [`verdict::soon`] the two minutes in which the service takes messages back.
const RECALL_ATTEMPTS: u32 = 7;

/// The sending side of one account.
pub(crate) struct Outbound {
    transport: Arc<Transport>,
    live: Arc<Live>,
    far: Arc<dyn FarEnd>,
    vault: Arc<dyn MediaVault>,
    converter: Option<Arc<Converter>>,
    emoji: text::Emoji,
    network: NetworkId,
    unanswered: Arc<Unanswered>,
    second_look: SecondLook,
    doubts: Doubts,
    /// Locks, not messages: deliveries of several chats run in the same task and each touches
    /// these for microseconds, never across an await.
    pace: Mutex<(Pace, SmallRng)>,
    spoken: Mutex<VecDeque<Spoken>>,
    failures: Mutex<Failures>,
    /// One upload at a time. Source: the protocol sheet, section 6.3.
    uploads: Semaphore,
    files: AtomicU64,
    last_media_id: AtomicI64,
    started: Instant,
}

/// One delivery on its way.
struct Errand<'a> {
    delivery: &'a Delivery,
    /// The login that the names are of.
    generation: u32,
    /// Who was who when `to` was looked up, as [`Live::who`] counts.
    who: u64,
    own: UserName,
    to: UserName,
    is_room: bool,
}

impl Outbound {
    pub(crate) fn new(
        transport: Arc<Transport>,
        live: Arc<Live>,
        (far, vault): (Arc<dyn FarEnd>, Arc<dyn MediaVault>),
        (unanswered, looker): (Arc<Unanswered>, Inbound),
        config: &WechatConfig,
        (sends_per_minute, seed): (u32, u64),
    ) -> Self {
        let doubts = Doubts::new(Arc::clone(&far), config.network.clone());
        Self {
            transport,
            live,
            far,
            vault,
            converter: config.converter.clone(),
            emoji: if config.emoji_as_faces { text::Emoji::Faces } else { text::Emoji::Kept },
            network: config.network.clone(),
            unanswered,
            second_look: SecondLook::new(looker),
            doubts,
            pace: Mutex::new((Pace::new(sends_per_minute), SmallRng::seed_from_u64(seed))),
            spoken: Mutex::default(),
            failures: Mutex::default(),
            uploads: Semaphore::new(1),
            files: AtomicU64::new(0),
            last_media_id: AtomicI64::new(0),
            started: Instant::now(),
        }
    }

    /// Carries a delivery out. Exactly one outcome, whatever happens.
    pub(crate) async fn carry_out(&self, delivery: &Delivery) -> Outcome {
        let done = async {
            self.not_again(delivery).await?;
            let errand = self.errand(delivery).await?;
            match &delivery.job {
                Job::Say(say) => self.say(&errand, say).await,
                Job::Recall { remote_ids, .. } => self.recall(&errand, remote_ids).await,
                // Never ordered here: this network shows its own chats and mirrors nobody's.
                Job::Report(_) => Err(Outcome::Refused { why: "WeChat takes no reports".to_owned() }),
            }
        };
        let outcome = done.await.unwrap_or_else(|outcome| outcome);
        let outcome = self.in_doubt(delivery, outcome).await;
        if !matches!(outcome, Outcome::TryLater { .. }) {
            self.failures().forget(delivery.id);
        }
        outcome
    }

    async fn errand<'a>(&self, delivery: &'a Delivery) -> Result<Errand<'a>, Outcome> {
        self.stands(delivery)?;
        let (generation, who) = (self.live.generation(), self.live.who());
        let found = roster::lasting(&*self.far, &self.network, delivery.chat.as_str(), generation).await;
        let to = match found {
            Ok(Some(to)) => to,
            // The list of contacts may still say who it is.
            Ok(None) if !self.live.rest().is_roster_loaded => {
                let after = verdict::when_back(delivery.attempt);
                let why = "WeChat's list of contacts is not there yet".to_owned();
                return Err(Outcome::TryLater { after, why });
            }
            Ok(None) => return Err(self.not_here(delivery).await),
            Err(error) => {
                return Err(Outcome::TryLater {
                    after: verdict::soon(delivery.attempt),
                    why: error.to_string(),
                });
            }
        };
        Ok(Errand { delivery, generation, who, own: self.live.own().user_name, is_room: to.is_room(), to })
    }

    /// What becomes of what is said in a chat that nobody of the present login is known to be.
    async fn not_here(&self, delivery: &Delivery) -> Outcome {
        match settle::may_be_asked(&*self.far, &self.network, delivery.chat.as_str()).await {
            Ok(true) => {
                let why = "it is not settled who this is since the last sign-in to WeChat; say \"identity\" to the bot \
                           or the service nick";
                Outcome::Refused { why: why.to_owned() }
            }
            Ok(false) => {
                let why = "this chat is not known since the last sign-in to WeChat".to_owned();
                Outcome::Refused { why }
            }
            Err(error) => {
                Outcome::TryLater { after: verdict::soon(delivery.attempt), why: error.to_string() }
            }
        }
    }

    async fn say(&self, errand: &Errand<'_>, say: &Say) -> Result<Outcome, Outcome> {
        let names = self.mention_names(errand, say).await;
        let words = text::compose(say, &names, self.emoji);
        self.not_begun_elsewhere(errand)?;
        let mut remote_ids = self.spoken_before(errand.delivery.id);
        let done = remote_ids.len();
        let mut piece = 0;
        for line in text::split(&words.before) {
            if piece >= done {
                let id = self.send_text(errand, piece, &line).await?;
                self.note_spoken(errand, &id);
                remote_ids.push(id);
            }
            piece += 1;
        }
        if let Body::Attachment(attachment) = &say.post.body {
            if piece >= done {
                let id = self.send_file(errand, piece, attachment).await?;
                self.note_spoken(errand, &id);
                remote_ids.push(id);
            }
            piece += 1;
        }
        for line in text::split(&words.after) {
            if piece >= done {
                let id = self.send_text(errand, piece, &line).await?;
                self.note_spoken(errand, &id);
                remote_ids.push(id);
            }
            piece += 1;
        }
        if remote_ids.is_empty() {
            return Err(Outcome::Refused { why: "there was nothing to say".to_owned() });
        }
        Ok(Outcome::Sent { remote_ids })
    }

    /// The names inside the group of those who are mentioned.
    async fn mention_names(&self, errand: &Errand<'_>, say: &Say) -> Vec<Option<String>> {
        if !errand.is_room || say.mentions.is_empty() {
            return vec![None; say.mentions.len()];
        }
        let roster = Roster::new(Arc::clone(&self.far), self.network.clone());
        let draft = roster::Draft::default();
        let members = roster.members(&draft, self.live.generation(), errand.delivery.chat.as_str()).await;
        let members = members.unwrap_or_default();
        let name = |key: &str| {
            let named = members.values().find(|named| named.key == key && !named.name.is_empty());
            named.map(|named| named.name.clone())
        };
        say.mentions.iter().map(|(person, _)| name(person.as_str())).collect()
    }

    async fn send_text(&self, errand: &Errand<'_>, piece: usize, line: &str) -> Result<RemoteId, Outcome> {
        let id = client_msg_id(&self.network, errand.delivery, piece);
        let to = To { own: &errand.own, to: &errand.to, id: &id };
        self.send(errand, (piece, What::text(line)), &SendText { to, text: line }).await
    }

    /// One send. A failure that may have arrived is repeated once with the same id, at a later attempt if that could
    /// not be made or was put off, then told as uncertain. Source: the protocol sheet, sections 6.1 and 6.2.
    async fn send<E: Endpoint<Reply = Sent>>(
        &self,
        errand: &Errand<'_>,
        (piece, what): (usize, What),
        endpoint: &E,
    ) -> Result<RemoteId, Outcome> {
        self.wait_for_turn(errand).await?;
        let (open, mut is_repetition) = self.unanswered.open((errand.delivery.id, piece), &errand.to, what);
        loop {
            self.unanswered.tried(open, self.live.now());
            let why = match self.transport.ask(&self.live, endpoint).await {
                Ok(sent) if sent.base.ret.is_ok() => {
                    let id = RemoteId::from(sent.msg_id.as_str());
                    self.unanswered.answer(open, &id);
                    self.pace().0.went_well();
                    self.live.release(|_| true);
                    return Ok(id);
                }
                Ok(sent) => {
                    self.unanswered.close(open);
                    let outcome = self.said_no(sent.base.ret, errand);
                    self.second_look.at(&errand.to, errand.generation, sent.base.ret).await;
                    return Err(outcome);
                }
                Err(CallError::Network { sent: false, .. }) => {
                    self.unanswered.close(open);
                    let why = "WeChat could not be reached".to_owned();
                    return Err(Outcome::TryLater { after: verdict::soon(errand.delivery.attempt), why });
                }
                Err(_) if !self.live.has_credentials() => "the account was signed out meanwhile",
                Err(CallError::Network { .. } | CallError::TimedOut { .. }) => {
                    "the connection was lost while sending"
                }
                Err(CallError::Proto(_) | CallError::Refused { .. }) => "WeChat's answer could not be read",
            };
            self.unanswered.doubt(open);
            if is_repetition {
                return Err(Outcome::Uncertain { why: why.to_owned() });
            }
            // The try may have taken a minute.
            if self.still_reaches(errand).await.is_err() {
                return Err(Outcome::Uncertain { why: why.to_owned() });
            }
            is_repetition = true;
        }
    }

    async fn recall(&self, errand: &Errand<'_>, remote_ids: &[RemoteId]) -> Result<Outcome, Outcome> {
        let refuse = |why: &str| Err(Outcome::Refused { why: why.to_owned() });
        let known: Option<Vec<MsgId>> = remote_ids.iter().map(service_id).collect();
        let Some(known) = known.filter(|known| !known.is_empty()) else {
            return refuse("WeChat never confirmed the message, so it cannot be taken back");
        };
        if errand.to.as_str() == "filehelper" {
            return refuse("WeChat does not take messages back in this chat");
        }
        let now = self.live.now();
        let is_late = self.sent_at(&known).is_some_and(|at| now.since(at) > revoke_msg::REVOKE_WINDOW);
        if is_late {
            return refuse("WeChat takes messages back for two minutes only");
        }
        self.not_paused()?;
        for (piece, msg_id) in known.iter().enumerate() {
            let id = client_msg_id(&self.network, errand.delivery, piece);
            let revoke = RevokeMsg { msg_id, to: &errand.to, id: &id };
            match self.transport.ask(&self.live, &revoke).await {
                Ok(done) if done.base.ret.is_ok() => {}
                Ok(done)
                    if !done.base.err_msg.is_empty() && done.base.ret.reaction() != Reaction::SlowDown =>
                {
                    let why = done.base.err_msg.chars().take(200).collect();
                    return Err(Outcome::Refused { why });
                }
                Ok(done) => return Err(self.said_no(done.base.ret, errand)),
                // Taking back twice does no harm, so it is tried for as long as the service takes it.
                Err(error) => {
                    let failed = self.failed(errand.delivery.id, Miss::Call);
                    if failed >= RECALL_ATTEMPTS {
                        let why = "WeChat did not say whether it took the message back".to_owned();
                        return Err(Outcome::Uncertain { why });
                    }
                    return Err(Outcome::TryLater { after: verdict::soon(failed), why: error.to_string() });
                }
            }
        }
        Ok(Outcome::Sent { remote_ids: Vec::new() })
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, (Pace, SmallRng)> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn random(&self) -> u64 {
        self.pace().1.random()
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts one more failure of a delivery, and says how many of that kind there were.
    fn failed(&self, delivery: DeliveryId, miss: Miss) -> u32 {
        self.failures().count(delivery, miss)
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for all pieces of a file, and for no other file.
    fn media_id(&self) -> i64 {
        let now_ms = self.live.now().ms();
        let next = |last: i64| Some(now_ms.max(last + 1));
        match self.last_media_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(last) | Err(last) => now_ms.max(last + 1),
        }
    }
}

/// Stable over attempts and restarts, so that the service can drop a repetition, and never that of another message.
/// The number of the delivery alone would not do: a database that is put back as it once was gives numbers again
/// that the session, which lived on, has seen.
fn client_msg_id(network: &NetworkId, delivery: &Delivery, piece: usize) -> ClientMsgId {
    let what = match &delivery.job {
        Job::Say(say) => format!("{}\0{}", say.post.remote_id, say.post.at.ms()),
        Job::Recall { remote_ids, .. } => remote_ids.get(piece).map(ToString::to_string).unwrap_or_default(),
        Job::Report(_) => String::new(),
    };
    let text = format!("{network}\0{}\0{piece}\0{what}", delivery.id);
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let number = hash.as_ref().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    ClientMsgId::from_stable(number)
}

/// The kind of message that an attachment comes back as, for recognising echoes.
fn echo_type(kind: wechat_proto::upload::MediaKind) -> i64 {
    use wechat_proto::upload::MediaKind;
    match kind {
        MediaKind::Picture => msg_type::IMAGE,
        MediaKind::Video => msg_type::VIDEO,
        MediaKind::Emoticon => msg_type::STICKER,
        MediaKind::Document => msg_type::APP,
    }
}
