//! What outlives a connection: deliveries on their way, and what was heard and is not on disk yet.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use ring::digest;
use tokio::sync::mpsc;
use wxgate_contract::{
    Batch, BoxFuture, ChatKey, ChatProfile, ChatRef, Clock, Delivery, DeliveryId, Directory, FarEnd,
    FarError, Health, LinkedChats, MediaError, MediaId, MediaOwner, MediaVault, NetworkId, Note, Order,
    Outcome, Post, PostId, RemoteId, Stop, Timestamp,
};

use super::bound::Bound;
use super::catchup::NOTE as SEEN;
use super::config::IrcClientConfig;
use super::flights::{Flights, Step};
use super::named::{Name, Named};
use super::own::OwnNicks;
use super::rooms::Rooms;

/// Posts that may wait for the store; beyond it the socket is not read, and the server keeps what
/// is said. Chosen: minutes of the busiest channel, a few megabytes.
const WAITING_POSTS: usize = 5000;
/// Posts of one commit. Chosen: what one read can give, several times.
const BATCH_POSTS: usize = 500;
/// Pause after the store was unavailable.
const STORE_PAUSE: Duration = Duration::from_millis(500);
/// What one text holds of a backlog, in deliveries. Source: the IRC notes, section 8.
const MOST_BEHIND: usize = 500;
/// Deliveries that are settled at once. Chosen: what fits into one commit.
const TOGETHER: usize = 64;
/// The note that has the nicks of our connections.
pub(super) const CALLED: &str = "called";

/// Something that ran beside the connection has ended.
pub(super) enum Done {
    Committed {
        batch: Batch,
        result: Result<(), FarError>,
    },
    Settled {
        id: DeliveryId,
        outcome: Outcome,
    },
    /// The full text of a long message has this link.
    Stored {
        id: DeliveryId,
        link: Result<Option<String>, MediaError>,
    },
    /// What stands behind a delivery that is late.
    Behind {
        id: DeliveryId,
        behind: Result<Vec<Delivery>, FarError>,
    },
    /// The members of a chat elsewhere, from which words come to a chat here; `None` when they cannot be read now.
    Members {
        chat: ChatKey,
        home: ChatRef,
        members: Option<Vec<Name>>,
    },
}

/// Random bytes from the run's seed.
pub(super) struct Dice {
    seed: [u8; 32],
    drawn: u64,
}

impl Dice {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    pub(super) fn bytes(&mut self) -> [u8; 16] {
        self.drawn += 1;
        let drawn = [&self.seed[..], &self.drawn.to_be_bytes()[..]].concat();
        first_half(&drawn)
    }

    /// `wait`, up to 20 % more or less. Source: the IRC notes, section 8.
    pub(super) fn jitter(&mut self, wait: Duration) -> Duration {
        let [byte, ..] = self.bytes();
        wait.mul_f64(0.8 + 0.4 * f64::from(byte) / 255.0)
    }
}

fn first_half(bytes: &[u8]) -> [u8; 16] {
    let hash = digest::digest(&digest::SHA256, bytes);
    let mut half = [0; 16];
    half.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    half
}

/// What waits for the store.
#[derive(Default)]
struct Outbox {
    posts: VecDeque<Post>,
    chats: BTreeMap<ChatKey, ChatProfile>,
    notes: BTreeMap<String, Option<Bytes>>,
    /// Batches that could not be stored together: each is tried alone.
    alone: VecDeque<Batch>,
    is_under_way: bool,
}

/// The adapter's own state during one run.
pub(super) struct Relay {
    pub(super) config: IrcClientConfig,
    pub(super) network: NetworkId,
    pub(super) far: Arc<dyn FarEnd>,
    pub(super) media: Arc<dyn MediaVault>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) linked: LinkedChats,
    pub(super) stop: Stop,
    pub(super) dice: Dice,
    pub(super) flights: Flights,
    pub(super) rooms: Rooms,
    pub(super) work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// How far channels were heard, where the network tells what came before or later.
    seen: HashMap<ChatKey, Timestamp>,
    /// Whom the people of a channel may mean by a name.
    pub(super) named: Named,
    /// Whose linked queries are.
    pub(super) bound: Bound,
    /// Who said what was said lately, the last first.
    pub(super) said: VecDeque<(PostId, String)>,
    /// The template of nicks whose signs the network refused.
    pub(super) refused: Option<String>,
    /// Nicks that our connections have had, the relay's and those of people who speak; in this run and before.
    nicks: OwnNicks,
    outbox: Outbox,
    /// Distinguishes this run's own ids from every other's.
    run_id: String,
    heard: u64,
    health: Option<Health>,
}

/// What a run begins with.
pub(super) struct Parts {
    pub(super) config: IrcClientConfig,
    pub(super) network: NetworkId,
    pub(super) far: Arc<dyn FarEnd>,
    pub(super) media: Arc<dyn MediaVault>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) linked: LinkedChats,
    pub(super) stop: Stop,
    pub(super) seed: [u8; 32],
}

impl Relay {
    pub(super) fn new(parts: Parts, flights: Flights, seen: HashMap<ChatKey, Timestamp>) -> Self {
        let Parts { config, network, far, media, clock, directory, orders, linked, stop, seed } = parts;
        let mut dice = Dice::new(seed);
        let [a, b, c, d, ..] = dice.bytes();
        let run_id = format!("{:x}-{:08x}", clock.now().ms(), u32::from_be_bytes([a, b, c, d]));
        Self {
            config,
            network,
            far,
            media,
            clock,
            directory,
            orders,
            linked,
            stop,
            dice,
            flights,
            rooms: Rooms::default(),
            work: FuturesUnordered::new(),
            seen,
            named: Named::default(),
            bound: Bound::default(),
            said: VecDeque::new(),
            refused: None,
            nicks: OwnNicks::default(),
            outbox: Outbox::default(),
            run_id,
            heard: 0,
            health: None,
        }
    }

    /// An id for something that the network gave none. It has a space, so that it cannot be taken
    /// for one of the network's.
    pub(super) fn own_id(&mut self) -> RemoteId {
        self.heard += 1;
        RemoteId::new(format!("{} {}", self.run_id, self.heard))
    }

    pub(super) fn tell_health(&mut self, health: Health) {
        if self.health.as_ref() != Some(&health) {
            self.far.health(&self.network, health.clone());
            self.health = Some(health);
        }
    }

    /// Hands something heard to the store, in its order.
    pub(super) fn heard(&mut self, post: Post) {
        self.outbox.posts.push_back(post);
        self.commit();
    }

    /// When the last line of a chat was said that was heard, or when its link was made, which may have been while
    /// nobody here looked: what was said before that is nobody's beyond the channel.
    pub(super) fn seen(&self, chat: &ChatKey) -> Option<Timestamp> {
        let seen = self.seen.get(chat).copied()?;
        Some(self.linked.since(chat).map_or(seen, |since| since.max(seen)))
    }

    /// What is said in a chat while it is not linked is nobody's beyond it: a later link begins anew.
    pub(super) fn forget_unlinked(&mut self, linked: &BTreeSet<ChatKey>) {
        let gone: Vec<ChatKey> = self.seen.keys().filter(|chat| !linked.contains(chat)).cloned().collect();
        let mut unknown = self.named.forget_unlinked(linked);
        unknown.extend(self.bound.forget_unlinked(linked));
        if gone.is_empty() && unknown.is_empty() {
            return;
        }
        self.outbox.notes.extend(unknown.into_iter().map(|key| (key, None)));
        for chat in gone {
            self.seen.remove(&chat);
            self.outbox.notes.insert(format!("{SEEN}{chat}"), None);
        }
        self.commit();
    }

    /// A chat was heard up to here; on disk with what was heard.
    pub(super) fn saw(&mut self, chat: &ChatKey, at: Timestamp) {
        if self.seen.get(chat).is_none_or(|seen| *seen < at) {
            self.seen.insert(chat.clone(), at);
            self.outbox.notes.insert(format!("{SEEN}{chat}"), Some(at.ms().to_string().into()));
            self.commit();
        }
    }

    /// Tells what a channel is called.
    pub(super) fn describe(&mut self, chat: ChatProfile) {
        self.outbox.chats.insert(chat.chat.clone(), chat);
        self.commit();
    }

    pub(super) fn note(&mut self, (key, value): (String, Bytes)) {
        self.outbox.notes.insert(key, Some(value));
        self.commit();
    }

    /// False while so much waits for the store that nothing more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.outbox.posts.len() < WAITING_POSTS
    }

    /// True when all that was heard is on disk.
    pub(super) fn is_idle(&self) -> bool {
        !self.outbox.is_under_way && self.outbox.posts.is_empty()
    }

    /// Begins the next commit. One at a time keeps the order.
    fn commit(&mut self) {
        let outbox = &mut self.outbox;
        if outbox.is_under_way {
            return;
        }
        let batch = match outbox.alone.pop_front() {
            Some(batch) => batch,
            None => {
                let count = outbox.posts.len().min(BATCH_POSTS);
                let note = |(key, value)| Note { key, value, is_secret: false };
                let posts: Vec<Post> = outbox.posts.drain(..count).collect();
                let mut notes = std::mem::take(&mut outbox.notes);
                if !outbox.posts.is_empty() {
                    // How far was heard is on disk with the last of it, and not before.
                    let is_seen = |key: &String| key.starts_with(SEEN);
                    outbox.notes = notes.extract_if(.., |key, _| is_seen(key)).collect();
                }
                Batch {
                    posts,
                    chats: std::mem::take(&mut outbox.chats).into_values().collect(),
                    notes: notes.into_iter().map(note).collect(),
                    ..Batch::default()
                }
            }
        };
        if !batch.is_empty() {
            self.hand_over(batch, Duration::ZERO);
        }
    }

    fn hand_over(&mut self, batch: Batch, pause: Duration) {
        self.outbox.is_under_way = true;
        let (far, network) = (Arc::clone(&self.far), self.network.clone());
        self.work.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let result = far.commit(&network, batch.clone()).await.map(|_| ());
            Done::Committed { batch, result }
        }));
    }

    /// What became of a commit.
    pub(super) fn committed(&mut self, batch: Batch, result: Result<(), FarError>) {
        self.outbox.is_under_way = false;
        match result {
            Ok(()) => self.flights.written(&batch.notes),
            // The gateway is stopping: the next run begins where the notes stand.
            // (A commit opens no seals.)
            Err(FarError::Stopping | FarError::Sealed { .. }) => return,
            Err(FarError::Unavailable(_)) => return self.hand_over(batch, STORE_PAUSE),
            Err(FarError::Invalid(why)) => {
                let count = batch.posts.len() + batch.chats.len() + batch.notes.len();
                if count > 1 {
                    self.outbox.alone.extend(apart(batch));
                } else {
                    tracing::error!(network = %self.network, %why, "something heard cannot be stored");
                }
            }
        }
        self.commit();
    }

    /// Records an outcome, again and again until it is on disk.
    pub(super) fn settle(&mut self, id: DeliveryId, outcome: Outcome) {
        let mut behind = Vec::new();
        if let Some(flight) = self.flights.all.iter_mut().find(|flight| flight.delivery.id == id) {
            flight.step = Step::Settling;
            if !matches!(outcome, Outcome::TryLater { .. }) {
                behind.clone_from(&flight.behind);
            }
        }
        let (far, network) = (Arc::clone(&self.far), self.network.clone());
        self.work.push(Box::pin(async move {
            let settle = async |id| {
                while let Err(FarError::Unavailable(_)) = far.settle(&network, id, outcome.clone()).await {
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            };
            // The lane goes on with the last of them; those that share a commit are told together.
            for together in behind.chunks(TOGETHER) {
                join_all(together.iter().copied().map(&settle)).await;
            }
            settle(id).await;
            Done::Settled { id, outcome }
        }));
    }

    /// Reads what stands behind a delivery of the first flight's.
    pub(super) fn look_behind(&mut self, delivery: Delivery) {
        let (far, network) = (Arc::clone(&self.far), self.network.clone());
        self.work.push(Box::pin(async move {
            let behind = far.behind(&network, &delivery, MOST_BEHIND).await;
            Done::Behind { id: delivery.id, behind }
        }));
    }

    /// An outcome is on disk: the note about its line says nothing any more, unless the rest is put off.
    pub(super) fn settled(&mut self, id: DeliveryId, outcome: Outcome) {
        if let Some(key) = self.flights.outlived_note(id, &outcome) {
            self.outbox.notes.insert(key, None);
            self.commit();
        }
        self.flights.settled(id, outcome);
    }

    /// Puts a long text where a link leads to it.
    pub(super) fn store(&mut self, id: DeliveryId, post: PostId, name: &'static str, text: String) {
        let media = Arc::clone(&self.media);
        let place = MediaId(first_half(format!("{name}/{}/{id}", self.network).as_bytes()));
        self.work.push(Box::pin(async move {
            let stored = async {
                let mut writer =
                    media.writer(place, name, "text/plain; charset=utf-8", MediaOwner::Post(post)).await?;
                writer.write(text.into()).await?;
                writer.finish().await
            };
            let link = stored.await.map(|_| media.link(place, name));
            Done::Stored { id, link }
        }));
    }

    /// One of our connections has this nick, folded, or says something under it.
    pub(super) fn is_called(&mut self, folded: String) {
        if let Some(list) = self.nicks.in_use(folded, self.clock.now()) {
            // A new one is on disk before anything is said under it: that has a note too, and comes later.
            self.note((CALLED.to_owned(), list.into()));
        }
    }

    /// The nicks that earlier runs wrote down.
    pub(super) fn was_called_before(&mut self, list: &str) {
        self.nicks = OwnNicks::read(list, self.clock.now());
    }

    /// One of our connections has this nick, folded, or had it lately.
    pub(super) fn was_called(&self, folded: &str) -> bool {
        self.nicks.has(folded, self.clock.now())
    }
}

fn apart(batch: Batch) -> Vec<Batch> {
    let posts = batch.posts.into_iter().map(|post| Batch { posts: vec![post], ..Batch::default() });
    let chats = batch.chats.into_iter().map(|chat| Batch { chats: vec![chat], ..Batch::default() });
    let notes = batch.notes.into_iter().map(|note| Batch { notes: vec![note], ..Batch::default() });
    posts.chain(chats).chain(notes).collect()
}
