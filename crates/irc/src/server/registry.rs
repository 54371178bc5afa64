//! Which sessions live, and who is connected.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinSet;
use wxgate_contract::{
    Answer, CommandError, Credential, FeedEvent, MediaId, NetworkId, PersonKey, Reply, SignInStep, UserName,
    household,
};

use super::asking::Asking;
use super::caps::Negotiation;
use super::errands::Sent;
use super::metadata::Early;
use super::queue::SendQueue;
use super::session;
use super::shared::Shared;

/// Lines of all clients of one session that wait for it; beyond it their sockets are not read.
const MAX_WAITING_LINES: usize = 256;
/// Events that wait for one session; beyond it the session reads the timeline instead.
const MAX_WAITING_EVENTS: usize = 4096;

/// One client connection, for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClientId(pub(super) u64);

/// Whose session, on which of their accounts; `None` shows only the service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionKey {
    pub(super) user: UserName,
    pub(super) account: Option<NetworkId>,
    /// Somebody without a password: the connection that the session is for.
    pub(super) guest: Option<ClientId>,
}

impl SessionKey {
    /// True for a session of this person. Whoever has the name that stands for guests is none of them.
    fn is_of(&self, user: &UserName) -> bool {
        self.guest.is_none() && self.user == *user
    }
}

/// Why a session does not take a client.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Somebody else has the nick.
    NickInUse,
    /// For people.
    Why(String),
}

/// A client that has registered.
pub(super) struct Arrival {
    pub(super) id: ClientId,
    pub(super) negotiation: Negotiation,
    pub(super) nick: String,
    pub(super) username: String,
    pub(super) realname: String,
    /// Set before the registration was done. Source: IRCv3 draft/pre-away.
    pub(super) away: Option<String>,
    /// What it said of itself before the registration was done.
    pub(super) metadata: Early,
    /// Keys the replay position.
    pub(super) client_name: String,
    pub(super) queue: Arc<SendQueue>,
    pub(super) address: IpAddr,
    pub(super) is_secure: bool,
    /// Of the client's certificate, where it showed one.
    pub(super) fingerprint: Option<String>,
    /// With what it came in; `None` for guests.
    pub(super) credential: Option<Credential>,
    /// Told that the session took the client, or why it cannot.
    pub(super) taken: oneshot::Sender<Result<(), Refusal>>,
}

/// How long a busy session may take to hear of a choice. Chosen: whoever made it waits for that.
const CHOSEN_PATIENCE: Duration = Duration::from_secs(1);

/// What reaches a session.
pub(super) enum Incoming {
    Attach(Box<Arrival>),
    /// With the client's turn, which is over when the line was answered.
    Line(ClientId, String, Option<OwnedSemaphorePermit>),
    /// A line that was not UTF-8.
    BadText(ClientId, String),
    /// A line longer than clients may send.
    TooLong(ClientId),
    /// Everything queued was written.
    Drained(ClientId),
    Gone(ClientId),
    /// A sign-in that a client follows made a step.
    SignIn(ClientId, NetworkId, SignInStep),
    /// The picture of a contact, if there is one.
    Face(PersonKey, Option<MediaId>),
    /// The gateway answered what the service asked of it for a client.
    Told(ClientId, Box<Asking>, Result<Reply, CommandError>),
    /// Where client names stand was stored, or could not be.
    CursorsKept(bool),
    /// WeChat answered what a command asked of it.
    Answered(ClientId, Box<Sent>, Result<Answer, CommandError>),
    /// Something was chosen for the account on another face.
    Chosen,
}

/// Sessions by key and connections by address.
///
/// A lock and not an owner task: a connection that waits in front of a busy session must not make
/// the others wait for the task that knows all sessions. Held for look-ups only.
#[derive(Default)]
pub(super) struct Registry {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<SessionKey, Handle>,
    /// An account has one owner and so one session.
    by_account: HashMap<NetworkId, SessionKey>,
    tasks: JoinSet<()>,
    unregistered: HashMap<IpAddr, usize>,
    guests: HashMap<IpAddr, usize>,
    clients: usize,
    max_clients: usize,
}

struct Handle {
    lines: mpsc::Sender<Incoming>,
    feed: mpsc::Sender<FeedEvent>,
    lag: Arc<Lag>,
}

/// Tells a session that events passed it by.
#[derive(Default)]
pub(super) struct Lag {
    is_behind: AtomicBool,
    pub(super) wake: Notify,
}

impl Lag {
    fn is_set(&self) -> bool {
        self.is_behind.load(Ordering::Acquire)
    }

    pub(super) fn set(&self) {
        self.is_behind.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(super) fn take(&self) -> bool {
        self.is_behind.swap(false, Ordering::AcqRel)
    }
}

/// Clients that wait or are there.
pub(super) struct Counts {
    pub(super) clients: usize,
    pub(super) max_clients: usize,
    pub(super) unregistered: usize,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn session(&self, shared: &Arc<Shared>, key: &SessionKey) -> mpsc::Sender<Incoming> {
        let mut state = self.lock();
        while state.tasks.try_join_next().is_some() {}
        if let Some(handle) = state.sessions.get(key)
            && !handle.lines.is_closed()
        {
            return handle.lines.clone();
        }
        let (lines, lines_rx) = mpsc::channel(MAX_WAITING_LINES);
        let (feed, feed_rx) = mpsc::channel(MAX_WAITING_EVENTS);
        let lag = Arc::new(Lag::default());
        let inputs =
            session::Inputs { lines: lines_rx, feed: feed_rx, lag: Arc::clone(&lag), own: lines.downgrade() };
        state.tasks.spawn(session::run(Arc::clone(shared), key.clone(), inputs));
        if let Some(account) = &key.account {
            state.by_account.insert(account.clone(), key.clone());
        }
        state.sessions.insert(key.clone(), Handle { lines: lines.clone(), feed, lag });
        lines
    }

    /// Tells the session of an account, if one lives, that something was chosen for it. One that does not hear of it in
    /// time reads it when it begins anew.
    pub(super) async fn chosen(&self, account: &NetworkId) {
        let lines = {
            let state = self.lock();
            let key = state.by_account.get(account);
            key.and_then(|key| state.sessions.get(key)).map(|handle| handle.lines.clone())
        };
        if let Some(lines) = lines {
            let _ = lines.send_timeout(Incoming::Chosen, CHOSEN_PATIENCE).await;
        }
    }

    /// A session that nobody is attached to any more ends.
    pub(super) fn forget(&self, key: &SessionKey) {
        let mut state = self.lock();
        state.sessions.remove(key);
        if let Some(account) = &key.account {
            state.by_account.remove(account);
        }
    }

    /// Gives events to the sessions they concern. Never waits: a session that is full is told to
    /// read the timeline.
    pub(super) fn feed(&self, events: &[FeedEvent]) {
        let state = self.lock();
        for event in events {
            match event {
                FeedEvent::Shown(item) => state.give(&item.post.chat.network, event),
                FeedEvent::Chats(network, _) | FeedEvent::People(network, _) | FeedEvent::Asks(network) => {
                    state.give(network, event);
                }
                FeedEvent::Health(network, _) => {
                    state.give(network, event);
                    // Who looks at the list of accounts sees all of them; guests have none.
                    let lists =
                        state.sessions.iter().filter(|(key, _)| key.account.is_none() && key.guest.is_none());
                    lists.for_each(|(_, handle)| handle.give(event));
                }
                FeedEvent::Face(..) => {
                    let people = state.sessions.iter().filter(|(key, _)| key.guest.is_none());
                    people.for_each(|(_, handle)| handle.give(event));
                }
                FeedEvent::Read(chat, _) => state.give(&chat.network, event),
                FeedEvent::Accounts(user) => {
                    let theirs = state.sessions.iter().filter(|(key, _)| key.is_of(user));
                    theirs.for_each(|(_, handle)| handle.give(event));
                }
                FeedEvent::Doors(user) => {
                    // A guest may have said later who they are.
                    let may_be = |key: &SessionKey| key.is_of(user) || key.guest.is_some();
                    let theirs = state.sessions.iter().filter(|(key, _)| may_be(key));
                    theirs.for_each(|(_, handle)| handle.give(event));
                }
                FeedEvent::Missed => state.sessions.values().for_each(|handle| handle.lag.set()),
            }
        }
    }

    /// The feed itself lost events.
    pub(super) fn lagged(&self) {
        self.lock().sessions.values().for_each(|handle| handle.lag.set());
    }

    /// Counts a connection in; false when its household has too many that have not registered.
    pub(super) fn arrive(&self, address: IpAddr, max_unregistered: usize) -> bool {
        count_in(&mut self.lock().unregistered, address, max_unregistered)
    }

    pub(super) fn registered(&self, address: IpAddr) {
        count_out(&mut self.lock().unregistered, address);
    }

    /// Counts a guest in; false when there are too many of its household.
    pub(super) fn guest_came(&self, address: IpAddr, max_guests: usize) -> bool {
        count_in(&mut self.lock().guests, address, max_guests)
    }

    pub(super) fn guest_left(&self, address: IpAddr) {
        count_out(&mut self.lock().guests, address);
    }

    pub(super) fn count_client(&self, is_here: bool) {
        let mut state = self.lock();
        state.clients = if is_here { state.clients + 1 } else { state.clients.saturating_sub(1) };
        state.max_clients = state.max_clients.max(state.clients);
    }

    pub(super) fn counts(&self) -> Counts {
        let state = self.lock();
        Counts {
            clients: state.clients,
            max_clients: state.max_clients,
            unregistered: state.unregistered.values().sum(),
        }
    }

    /// Ends all sessions where they are.
    pub(super) fn abandon(&self) {
        let tasks = std::mem::take(&mut self.lock().tasks);
        drop(tasks);
    }

    /// Waits for all sessions to end.
    pub(super) async fn finish(&self) {
        let mut tasks = std::mem::take(&mut self.lock().tasks);
        while tasks.join_next().await.is_some() {}
    }
}

fn count_in(counts: &mut HashMap<IpAddr, usize>, address: IpAddr, max: usize) -> bool {
    let household = household(address);
    let count = counts.get(&household).copied().unwrap_or_default();
    if count < max {
        counts.insert(household, count + 1);
    }
    count < max
}

fn count_out(counts: &mut HashMap<IpAddr, usize>, address: IpAddr) {
    let household = household(address);
    if let Some(count) = counts.get_mut(&household) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&household);
        }
    }
}

impl State {
    fn give(&self, network: &NetworkId, event: &FeedEvent) {
        if let Some(handle) = self.by_account.get(network).and_then(|key| self.sessions.get(key)) {
            handle.give(event);
        }
    }
}

impl Handle {
    /// Nothing may overtake an event that found no room: showing a later one first would move the
    /// session's position past it, and the timeline would be read from behind the gap.
    fn give(&self, event: &FeedEvent) {
        if self.lag.is_set() {
            return;
        }
        if let Err(mpsc::error::TrySendError::Full(_)) = self.feed.try_send(event.clone()) {
            self.lag.set();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_hear_nothing_of_somebody_whose_name_is_guest() {
        let registry = Registry::default();
        let (lines, _lines) = mpsc::channel(1);
        let add = |guest: Option<ClientId>| {
            let (feed, waiting) = mpsc::channel(8);
            let key = SessionKey { user: "guest".into(), account: None, guest };
            registry.lock().sessions.insert(key, Handle { lines: lines.clone(), feed, lag: Arc::default() });
            waiting
        };
        let (mut person, mut guest) = (add(None), add(Some(ClientId(1))));
        registry.feed(&[FeedEvent::Accounts("guest".into()), FeedEvent::Accounts("ann".into())]);
        assert!(matches!(person.try_recv(), Ok(FeedEvent::Accounts(user)) if user.as_str() == "guest"));
        assert!(person.try_recv().is_err() && guest.try_recv().is_err());
        registry.feed(&[FeedEvent::Doors("ann".into())]);
        assert!(matches!(guest.try_recv(), Ok(FeedEvent::Doors(_))), "a guest may be known as ann by now");
        assert!(person.try_recv().is_err());
    }

    #[test]
    fn nothing_overtakes_an_event_that_found_no_room() {
        let (lines, _lines) = mpsc::channel(1);
        let (feed, mut waiting) = mpsc::channel(2);
        let handle = Handle { lines, feed, lag: Arc::default() };
        let event = |user: &str| FeedEvent::Accounts(user.into());
        let next = |waiting: &mut mpsc::Receiver<FeedEvent>| match waiting.try_recv() {
            Ok(FeedEvent::Accounts(user)) => user.as_str().to_owned(),
            other => format!("{other:?}"),
        };
        for user in ["one", "two", "three"] {
            handle.give(&event(user));
        }
        assert_eq!(next(&mut waiting), "one");
        // There is room again, but "three" is missing.
        handle.give(&event("four"));
        assert_eq!(next(&mut waiting), "two");
        assert!(waiting.try_recv().is_err());
        assert!(handle.lag.take(), "the session reads the timeline");
        handle.give(&event("five"));
        assert_eq!(next(&mut waiting), "five");
    }
}
