//! The one task that owns what all clients of an account share.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use wxgate_contract::{
    Attachment, Batch, ChatKey, FarError, FeedEvent, Health, HistoryRange, NetworkId, Note, Question,
    RemoteId, Timestamp, UserName,
};

use super::asking::Talk;
use super::choices::Choices;
use super::client::{Client, Mode};
use super::faces::Faces;
use super::hall::{UserId, Values};
use super::names;
use super::registration::bad_text;
use super::registry::{Arrival, ClientId, Incoming, Lag, Refusal, SessionKey, Shared};
use super::rejoin::Kept;
use super::roster::Roster;
use super::sasl::Sasl;
use crate::wire::casemap::is_same;
use crate::wire::message::Message;

mod attach;
mod cursors;
mod deeds;
mod doors;
mod elsewhere;
mod load;
mod tidings;
mod updates;

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
    /// Its first client was turned away: there is nobody to wait for.
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
            away: None,
            health: Health::Starting,
            told: HashMap::new(),
            ill_elsewhere: BTreeMap::new(),
            clients: BTreeMap::new(),
            roster: Roster::new(account),
            choices: Choices::default(),
            pending: HashMap::new(),
            pending_order: VecDeque::new(),
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
        let mut had_clients = false;
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
            had_clients |= !self.clients.is_empty();
            if self.clients.is_empty() && (had_clients || self.is_over) {
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

    async fn incoming(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Attach(arrival) => self.arrived(*arrival).await,
            Incoming::Line(client, line, turn) => self.line(client, &line, turn).await,
            Incoming::BadText(client, line) => {
                let server = self.shared.config.server_name.clone();
                if let Some(client) = self.clients.get_mut(&client) {
                    let tags = Message::parse(&line).map(|message| message.tags).unwrap_or_default();
                    let label = tags.get("label").filter(|_| client.has(super::caps::Caps::LABELED_RESPONSE));
                    client.line(&bad_text(&server, &line, label.as_deref()));
                }
            }
            Incoming::TooLong(client) => {
                self.numeric(client, crate::wire::numeric::ERR_INPUTTOOLONG, ":Input line was too long");
            }
            Incoming::Drained(client) => {
                self.go_on(client);
                self.pump(client).await;
            }
            Incoming::Gone(client) => self.left(client).await,
            Incoming::Told(client, asking, told) => self.told(client, *asking, told).await,
            Incoming::Answered(client, sent, answer) => self.errand_done(client, *sent, answer),
            Incoming::Face(person, link) => self.face_came(person, link),
            Incoming::CursorsKept(are_kept) => self.cursors_kept(are_kept),
            Incoming::SignIn(client, account, step) => self.sign_in_step(client, &account, &step),
        }
    }

    async fn arrived(&mut self, arrival: Arrival) {
        let limit = self.shared.config.limits.connections_per_account;
        if self.clients.len() >= limit {
            // A connection that is gone needs no answer.
            let why = format!("more than {limit} connections to this account");
            let _ = arrival.taken.send(Err(Refusal::Why(why)));
            return;
        }
        if arrival.taken.is_closed() {
            return;
        }
        if self.clients.is_empty() {
            self.nick = arrival.nick.clone();
            let service = &self.shared.config.service_nick;
            self.roster.reserve(&[service]);
            let now = self.shared.clock.now();
            if self.roster.by_nick(&self.nick, now).is_some() {
                // A contact had the nick first and keeps it.
                let roster = &self.roster;
                let taken = |folded: &str| roster.by_nick(folded, now).is_some() || is_same(folded, service);
                self.nick = names::free_name(&self.nick, names::NICK_BYTES, taken);
            }
            self.roster.reserve(&[service, &self.nick]);
            self.realname.clone_from(&arrival.realname);
            self.away.clone_from(&arrival.away);
            self.user = match self.key.guest {
                Some(_) => names::guest_user(&arrival.username),
                None => names::own_user(&arrival.username, self.key.user.as_str()),
            };
            self.step_aside();
            if !self.enter_hall() {
                // A connection that is gone needs no answer.
                let _ = arrival.taken.send(Err(Refusal::NickInUse));
                self.is_over = true;
                return;
            }
            self.enter_local_channels();
        }
        let id = arrival.id;
        let client = Client {
            id,
            queue: arrival.queue,
            negotiation: arrival.negotiation,
            name: arrival.client_name,
            address: arrival.address,
            is_secure: arrival.is_secure,
            fingerprint: arrival.fingerprint,
            credential: arrival.credential,
            mode: Mode::Reading,
            sent_seq: 0,
            floor_seq: 0,
            asked_seq: 0,
            asked_at: None,
            confirmed_seq: 0,
            unasked: None,
            monitored: BTreeMap::new(),
            subscribed: BTreeSet::new(),
            sasl: Sasl::default(),
            held: None,
            open_batch: None,
            failed_batches: Vec::new(),
            capture: None,
            answer: None,
            is_dirty: true,
        };
        self.sit(&client);
        self.clients.insert(id, client);
        if arrival.taken.send(Ok(())).is_err() {
            self.clients.remove(&id);
            self.stand_up(id, "connection closed");
            return;
        }
        // What it came in with may have been taken away on its way here, when this session heard of it for nobody.
        self.look_at_doors(Some(id)).await;
        self.take_early(id, arrival.metadata).await;
        self.welcome(id, &arrival.nick).await;
    }

    async fn left(&mut self, id: ClientId) {
        self.flush_held(id).await;
        self.talks.remove(&id);
        if let Some(client) = self.clients.remove(&id) {
            client.queue.close(b"");
            self.stand_up(id, "connection closed");
            self.save_cursors().await;
        }
    }

    /// The next moment at which something has to be done.
    fn next_deadline(&self) -> Instant {
        let limits = &self.shared.config.limits;
        let mut next = Instant::now() + IDLE;
        for client in self.clients.values() {
            if let Some(held) = &client.held {
                next = next.min(held.until);
            }
            next = client.ask_at(limits).map_or(next, |at| next.min(at));
        }
        next = self.save_names_at.map_or(next, |at| next.min(at));
        next = self.reread_at.map_or(next, |at| next.min(at));
        next = self.look_again_at.map_or(next, |at| next.min(at));
        self.cursors_changed.map_or(next, |changed| next.min(changed + SAVE_EVERY))
    }

    async fn tick(&mut self) {
        let now = Instant::now();
        let due: Vec<ClientId> = self
            .clients
            .values()
            .filter(|client| client.held.as_ref().is_some_and(|held| held.until <= now))
            .map(|client| client.id)
            .collect();
        for client in due {
            self.flush_held(client).await;
        }
        self.ask_for_confirmation(now);
        if self.look_again_at.is_some_and(|at| at <= now) {
            self.look_at_doors(None).await;
        }
        if self.cursors_changed.is_some_and(|changed| changed + SAVE_EVERY <= now) {
            self.begin_saving_cursors();
        }
    }

    /// Stores names that were given. They are shown before they are stored: a name that is lost in
    /// a crash is given again from the same profile.
    pub(super) async fn save_names(&mut self) {
        if self.save_names_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        self.save_names_at = None;
        while !self.roster.unsaved.is_empty() {
            let count = self.roster.unsaved.len().min(NOTES_AT_ONCE);
            let notes: Vec<Note> = self.roster.unsaved.drain(..count).collect();
            if let Err(error) = self.commit(Batch { notes: notes.clone(), ..Batch::default() }).await {
                tracing::debug!(%error, "names could not be stored yet");
                self.roster.unsaved.splice(0..0, notes);
                self.save_names_at = Some(Instant::now() + RETRY_AFTER);
                return;
            }
        }
    }

    /// Commits within the configured time.
    pub(super) async fn commit(&self, batch: Batch) -> Result<(), Unstored> {
        let wait = self.shared.config.limits.commit_timeout;
        match tokio::time::timeout(wait, self.shared.far.commit(&self.shared.network, batch)).await {
            Ok(committed) => committed.map(|_| ()).map_err(Unstored::Not),
            Err(_) => Err(Unstored::Perhaps),
        }
    }

    /// Remembers a line whose fate is to be told.
    pub(super) fn expect_fate(&mut self, id: RemoteId, pending: Pending) {
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

    /// Events passed by: read what they were about.
    /// Reads what passed by; false when it has to be tried again.
    async fn reread(&mut self) -> bool {
        const PAGE: usize = 500;
        self.look_at_doors(None).await;
        if !self.look_at_accounts().await {
            return false;
        }
        self.look_elsewhere().await;
        let Some(account) = self.key.account.clone() else { return true };
        self.refresh().await;
        loop {
            let range = HistoryRange::After(self.last_seq);
            let page = match self.shared.directory.history(&account, None, range, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, %account, "the timeline could not be read again yet");
                    return false;
                }
            };
            let count = page.len();
            for item in page {
                self.floor_seq = self.floor_seq.max(item.seq);
                self.show(Arc::new(item)).await;
            }
            self.wake_writers();
            if count < PAGE {
                return true;
            }
        }
    }

    async fn event(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::Shown(item) if item.seq > self.floor_seq => self.show_new(item).await,
            FeedEvent::Shown(_) => {}
            FeedEvent::Chats(_, chats) => self.chats_changed(&chats).await,
            FeedEvent::People(_, people) => self.people_changed(&people).await,
            FeedEvent::Health(network, health) => {
                self.account_is(&network, &health);
                self.networks_changed().await;
            }
            FeedEvent::Face(network, health) => self.elsewhere_is(&network, &health).await,
            FeedEvent::Accounts(_) => {
                self.accounts_changed().await;
                self.networks_changed().await;
            }
            FeedEvent::Read(chat, at) => self.read_elsewhere(&chat.chat, at).await,
            FeedEvent::Doors(_) => self.look_at_doors(None).await,
            // The registry makes it a reading of the timeline.
            FeedEvent::Missed => {}
        }
    }

    fn wake_writers(&mut self) {
        for client in self.clients.values_mut() {
            if std::mem::take(&mut client.is_dirty) {
                client.queue.wake();
            }
        }
    }

    /// The chats and people of this session live here.
    pub(super) fn account(&self) -> Option<&NetworkId> {
        self.key.account.as_ref()
    }

    pub(super) fn own_prefix(&self) -> String {
        format!("{}!{}@wxgate", self.nick, self.own_user())
    }

    pub(super) fn own_user(&self) -> String {
        self.user.clone()
    }

    /// Whom one is logged in as; `None` for guests.
    pub(super) fn account_name(&self) -> Option<&str> {
        match self.key.guest {
            Some(_) => self.known_as.as_ref().map(UserName::as_str),
            None => Some(self.key.user.as_str()),
        }
    }

    pub(super) fn service_prefix(&self) -> String {
        let service = &self.shared.config.service_nick;
        format!("{service}!{service}@{}", self.shared.config.server_name)
    }

    /// Sends `:server NNN nick rest`, cut at a character border when it would be too long.
    pub(super) fn numeric(&mut self, id: ClientId, code: u16, rest: &str) {
        let line = format!(":{} {code:03} {} {rest}", self.shared.config.server_name, self.nick);
        self.to(id, &line);
    }

    /// Sends one line without tags.
    pub(super) fn to(&mut self, id: ClientId, line: &str) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.line(fitting(line));
        }
    }

    pub(super) fn chat_ref(&self, chat: &ChatKey) -> Option<wxgate_contract::ChatRef> {
        let network = self.account()?.clone();
        Some(wxgate_contract::ChatRef { network, chat: chat.clone() })
    }
}

/// What fits a line; tags have room of their own. Only descriptions are ever that long; messages are split.
pub(super) fn fitting(line: &str) -> &str {
    const MAX_BYTES: usize = 510;
    let tags = if line.starts_with('@') { line.find(' ').map_or(0, |at| at + 1) } else { 0 };
    names::cut_text(line, tags + MAX_BYTES)
}
