//! The one task that owns what all clients of an account share.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use wxgate_contract::{
    Attachment, Batch, ChatKey, FarError, FeedEvent, Health, NetworkId, Question, RemoteId, Timestamp,
    UserName,
};

use super::asking::Talk;
use super::choices::Choices;
use super::client::Client;
use super::faces::Faces;
use super::hall::{UserId, Values};
use super::names;
use super::registry::{ClientId, Incoming, Lag, Refusal, SessionKey};
use super::rejoin::Kept;
use super::roster::Roster;
use super::shared::Shared;
use removals::Removal;

mod attach;
mod called;
mod coming;
mod cursors;
mod deeds;
mod doors;
mod due;
mod elsewhere;
mod feed;
mod load;
mod removals;
#[cfg(test)]
mod tests;
mod tidings;
mod topics;
mod updates;
mod voice;

pub(super) use called::Called;
pub(super) use updates::{one_line, state_word};

/// Lines and events taken at once, so that writers are woken once for all of them.
const LINES_AT_ONCE: usize = 64;
const EVENTS_AT_ONCE: usize = 512;
/// Lines that wait for their fate; the oldest is forgotten beyond (its fate is then shown to all).
const MAX_PENDING: usize = 1000;
/// Media links that a client may send back as files. Chosen.
const MAX_LINKS: usize = 500;
/// Cursors are written at most this often.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Pause after a store that failed: while it fails, every attempt holds the session up.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Notes in one commit.
const NOTES_AT_ONCE: usize = 500;
/// Nothing to wait for.
const IDLE: Duration = Duration::from_secs(3600);

/// What a session listens to.
pub(super) struct Inputs {
    pub(super) lines: mpsc::Receiver<Incoming>,
    pub(super) feed: mpsc::Receiver<FeedEvent>,
    pub(super) lag: Arc<Lag>,
    /// For work done beside the session that reports back to it.
    pub(super) own: mpsc::WeakSender<Incoming>,
}

/// Why something is not known to be on disk.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unstored {
    /// It is not.
    #[error("{0}")]
    Not(FarError),
    /// It may be.
    #[error("the store takes too long")]
    Perhaps,
}

/// A line that was committed and whose fate is not known yet.
pub(super) struct Pending {
    pub(super) client: ClientId,
    pub(super) labels: Vec<String>,
    /// The target as the client wrote it.
    pub(super) target: String,
    pub(super) excerpt: String,
    /// The id of the message that it takes back, as the client wrote it.
    pub(super) redacts: Option<String>,
}

pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) key: SessionKey,
    pub(super) own: mpsc::WeakSender<Incoming>,
    pub(super) nick: String,
    /// Its last client is gone, or its first one was not taken: there is nobody to wait for.
    is_over: bool,
    /// The user part of the own prefix.
    user: String,
    /// The most people that LUSERS told of.
    most_people: usize,
    /// A guest who said later who they are.
    pub(super) known_as: Option<UserName>,
    /// Oneself among the users of the gateway.
    pub(super) local: Option<UserId>,
    pub(super) realname: String,
    /// How one is called in WeChat; empty while that is not known.
    own_name: String,
    pub(super) away: Option<String>,
    pub(super) health: Health,
    /// How accounts are, as clients were told.
    told: HashMap<NetworkId, Health>,
    /// Other networks of the person that need somebody, as clients were told.
    ill_elsewhere: BTreeMap<NetworkId, Health>,
    pub(super) clients: BTreeMap<ClientId, Client>,
    pub(super) roster: Roster,
    pub(super) choices: Choices,
    pub(super) pending: HashMap<RemoteId, Pending>,
    pending_order: VecDeque<RemoteId>,
    /// Who was put out of a group lately, until the list of members says so too.
    removals: VecDeque<Removal>,
    /// Links of attachments that were shown, oldest first.
    pub(super) links: VecDeque<(String, Attachment)>,
    /// Work beside the session.
    pub(super) tasks: JoinSet<()>,
    pub(super) local_kept: Kept,
    /// What one says of oneself by keys.
    pub(super) metadata: Values,
    pub(super) faces: Faces,
    /// The accounts as clients were told of them. Source: soju.im/bouncer-networks-notify.
    pub(super) told_networks: HashMap<String, String>,
    /// How far the person has read, by chat.
    pub(super) marks: HashMap<ChatKey, Timestamp>,
    /// The newest position that this session has seen.
    pub(super) last_seq: i64,
    /// Events at or below this were read from the timeline.
    floor_seq: i64,
    cursors: HashMap<String, i64>,
    cursors_changed: Option<Instant>,
    unsaved_cursors: Vec<String>,
    /// Client names whose place is being stored.
    saving_cursors: Vec<String>,
    /// A store that failed is left alone until then.
    save_names_at: Option<Instant>,
    /// The timeline could not be read after a gap, and is read again then.
    reread_at: Option<Instant>,
    /// It could not be told whether what clients came in with still opens anything, and is asked again then.
    look_again_at: Option<Instant>,
    /// The command being carried out answers later, with its label.
    pub(super) is_deferred: bool,
    /// As last shown: answers name them by number.
    pub(super) questions_shown: Vec<Question>,
    /// Clients whom the service has yet to answer.
    pub(super) talks: HashMap<ClientId, Talk>,
}

/// Runs a session from its first client to its last.
pub(super) async fn run(shared: Arc<Shared>, key: SessionKey, mut inputs: Inputs) {
    let mut session = Session::new(Arc::clone(&shared), key.clone(), inputs.own.clone());
    if let Err(error) = session.load().await {
        tracing::warn!(%error, user = %key.user, "the account cannot be shown on IRC now");
        shared.registry.forget(&key);
        inputs.lines.close();
        while let Some(incoming) = inputs.lines.recv().await {
            if let Incoming::Attach(arrival) = incoming {
                // A connection that is gone needs no answer.
                let why = format!("cannot read the account: {error}");
                let _ = arrival.taken.send(Err(Refusal::Why(why)));
            }
        }
        return;
    }
    session.look_for_questions();
    let served = AssertUnwindSafe(Box::pin(session.serve(&mut inputs))).catch_unwind().await;
    let farewell: &[u8] = match served {
        Ok(()) => b"ERROR :The gateway is stopping\r\n",
        Err(_) => {
            tracing::error!(user = %key.user, "a bug ended a session of the IRC server; its clients are sent away");
            b"ERROR :Closing link: a bug in the gateway ended the session; connect again\r\n"
        }
    };
    // What a bug left behind may be more than this can bear; the clients are sent away in any case.
    let _ = AssertUnwindSafe(session.put_away()).catch_unwind().await;
    session.finish(farewell).await;
    shared.registry.forget(&key);
    // Whoever arrives in this very moment is turned away and tries again with the next session.
    inputs.lines.close();
    while inputs.lines.recv().await.is_some() {}
}

impl Session {
    fn new(shared: Arc<Shared>, key: SessionKey, own: mpsc::WeakSender<Incoming>) -> Self {
        let account = match (&key.account, key.guest) {
            (Some(account), _) => account.clone(),
            // What is written down of somebody without an account is theirs alone.
            (None, None) => NetworkId::from(format!("user:{}", key.user).as_str()),
            (None, Some(_)) => NetworkId::from("none"),
        };
        Self {
            user: names::user_part(key.user.as_str()),
            most_people: 0,
            known_as: None,
            local: None,
            is_over: false,
            shared,
            key,
            own,
            nick: String::new(),
            realname: String::new(),
            own_name: String::new(),
            away: None,
            health: Health::Starting,
            told: HashMap::new(),
            ill_elsewhere: BTreeMap::new(),
            clients: BTreeMap::new(),
            roster: Roster::new(account),
            choices: Choices::default(),
            pending: HashMap::new(),
            pending_order: VecDeque::new(),
            removals: VecDeque::new(),
            links: VecDeque::new(),
            tasks: JoinSet::new(),
            local_kept: Kept::default(),
            metadata: Values::new(),
            faces: Faces::default(),
            told_networks: HashMap::new(),
            marks: HashMap::new(),
            last_seq: 0,
            floor_seq: 0,
            cursors: HashMap::new(),
            cursors_changed: None,
            unsaved_cursors: Vec::new(),
            saving_cursors: Vec::new(),
            save_names_at: None,
            reread_at: None,
            look_again_at: None,
            is_deferred: false,
            questions_shown: Vec::new(),
            talks: HashMap::new(),
        }
    }

    async fn serve(&mut self, inputs: &mut Inputs) {
        let (mut lines, mut events) = (Vec::new(), Vec::new());
        let stop = self.shared.stop.clone();
        loop {
            let deadline = self.next_deadline();
            tokio::select! {
                count = inputs.lines.recv_many(&mut lines, LINES_AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    for incoming in lines.drain(..) {
                        self.incoming(incoming).await;
                    }
                }
                _ = inputs.feed.recv_many(&mut events, EVENTS_AT_ONCE) => {
                    for event in events.drain(..) {
                        self.event(event).await;
                    }
                }
                () = inputs.lag.wake.notified() => {}
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                () = sleep_until(deadline) => self.tick().await,
                () = stop.stopping() => return,
            }
            if self.reread_at.is_none_or(|at| at <= Instant::now()) && inputs.lag.take() {
                self.reread_at = None;
                if !self.reread().await {
                    // Once more, and until then nothing may overtake what could not be read.
                    self.reread_at = Some(Instant::now() + RETRY_AFTER);
                    inputs.lag.set();
                    while inputs.feed.try_recv().is_ok() {}
                }
            }
            self.save_names().await;
            self.keep_local_channels().await;
            self.wake_writers();
            if self.clients.is_empty() && self.is_over {
                return;
            }
        }
    }

    async fn put_away(&mut self) {
        self.flush_all_held().await;
        self.note_local_channels();
        self.keep_local_channels().await;
        self.save_cursors().await;
    }

    async fn finish(&mut self, farewell: &[u8]) {
        for client in self.clients.values() {
            client.queue.close(farewell);
        }
        self.leave_hall(ClientId(0), "the gateway is stopping");
        self.tasks.shutdown().await;
    }

    /// Commits within the configured time.
    pub(super) async fn commit(&self, batch: Batch) -> Result<(), Unstored> {
        let wait = self.shared.config.limits.commit_timeout;
        match tokio::time::timeout(wait, self.shared.far.commit(&self.shared.network, batch)).await {
            Ok(committed) => committed.map(|_| ()).map_err(Unstored::Not),
            Err(_) => Err(Unstored::Perhaps),
        }
    }

    /// Remembers a line whose fate is to be told, and with it its label is answered.
    pub(super) fn expect_fate(&mut self, id: RemoteId, pending: Pending) {
        self.is_deferred |= !pending.labels.is_empty();
        self.pending_order.push_back(id.clone());
        self.pending.insert(id, pending);
        while self.pending_order.len() > MAX_PENDING {
            if let Some(oldest) = self.pending_order.pop_front() {
                self.pending.remove(&oldest);
            }
        }
    }

    pub(super) fn remember_link(&mut self, link: &str, attachment: &Attachment) {
        if self.links.iter().any(|(known, _)| known == link) {
            return;
        }
        self.links.push_back((link.to_owned(), attachment.clone()));
        if self.links.len() > MAX_LINKS {
            self.links.pop_front();
        }
    }
}
