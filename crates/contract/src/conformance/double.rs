//! The double itself: state behind one lock, a wake-up at each change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, broadcast, mpsc, watch};

use crate::batch::{Batch, Committed, Post, PostFate};
use crate::body::Body;
use crate::context::{
    AdapterContext, BoxFuture, FarEnd, FarError, LinkTable, LinkedChats, Order, Stop, StopHandle,
};
use crate::control::{Answer, Command, CommandError, Control, Reply, Request, SignInStep};
use crate::delivery::{Delivery, Job, Outcome, Say};
use crate::directory::{
    AccountView, Directory, Fate, FeedEvent, HistoryRange, Landmark, Spoken, TimelineItem,
};
use crate::doors::{Credential, ScramVerifier, SecretLink};
use crate::health::Health;
use crate::ids::{ChatKey, ChatRef, DeliveryId, NetworkId, PersonKey, PersonRef, PostId, RemoteId, UserName};
use crate::loading::Loading;
use crate::profile::{ChatProfile, PersonProfile};
use crate::time::{Clock, Timestamp};

/// A clock that tests move.
#[derive(Debug, Default)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// Starts at `ms` since the epoch.
    pub fn at(ms: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(ms)))
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap_or(0), Ordering::Relaxed);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// A bug that stands in for any other: where the adapter's own code fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bug {
    /// While a post with this text is committed.
    CommitOf(String),
    /// While an account is told what was read.
    ToldRead,
}

/// Everything the double remembers. Tests read and change it freely through [`Double::state`].
#[derive(Debug, Default)]
pub struct State {
    /// Posts in commit order: id, the network that handed it over, the post.
    pub posts: Vec<(PostId, NetworkId, Post)>,
    /// Notes as last committed, by network and key.
    pub notes: BTreeMap<(NetworkId, String), Bytes>,
    /// Chats by network and key.
    pub chats: BTreeMap<(NetworkId, ChatKey), ChatProfile>,
    /// People by network and key.
    pub people: BTreeMap<(NetworkId, PersonKey), PersonProfile>,
    /// Chats whose links others take over, in commit order.
    pub follows: Vec<(NetworkId, ChatKey, ChatKey)>,
    /// The timeline in order.
    pub timeline: Vec<Arc<TimelineItem>>,
    /// Accounts that faces can see.
    pub accounts: Vec<AccountView>,
    /// Networks that are nobody's account.
    pub faces: Vec<(NetworkId, Health)>,
    /// Users and their passwords.
    pub users: HashMap<UserName, String>,
    /// Those of them who look after the instance.
    pub administrators: HashSet<UserName>,
    /// What became of deliveries, in the order they were settled.
    pub outcomes: Vec<(DeliveryId, Outcome)>,
    /// Deliveries that wait; what stands behind one of a chat is told when it is asked for.
    pub waiting: Vec<Delivery>,
    /// The last health each network told.
    pub health: HashMap<NetworkId, Health>,
    /// Every sign-in step told.
    pub steps: Vec<(NetworkId, SignInStep)>,
    /// Everything told of how far the reading of contacts is.
    pub loading: Vec<(NetworkId, Option<Loading>)>,
    /// Who somebody on a network is.
    pub persons: HashMap<PersonRef, UserName>,
    /// Which accounts a network mirrors: account and face.
    pub mirrors: Vec<(NetworkId, NetworkId)>,
    /// What checks SCRAM, by person.
    pub verifiers: HashMap<UserName, ScramVerifier>,
    /// Certificates and whose doors they open.
    pub certificates: Vec<(String, UserName)>,
    /// What accounts answer; an error of the double when nothing is set.
    pub answer: Option<Answer>,
    /// While set, accounts that are asked something do not answer.
    pub is_silent: bool,
    /// Every command run through `Control`.
    pub commands: Vec<Command>,
    /// While set, commits fail as unavailable and change nothing.
    pub store_is_down: bool,
    /// While set, notes cannot be read.
    pub cannot_be_read: bool,
    /// The note of this key does not open until it is written anew.
    pub sealed: Option<String>,
    /// While set, nobody may try to log in.
    pub is_tired: bool,
    /// Whoever comes upon it panics, once.
    pub bug: Option<Bug>,
    /// How many commits there were, failed ones included.
    pub commits: u64,
    /// When set, posts of browsing faces are shown as `Said` at once.
    pub says_at_once: bool,
    next: i64,
}

impl State {
    /// Who may come in.
    fn let_in(&self, command: Command) -> Result<Reply, CommandError> {
        match command {
            Command::Authenticate { .. } | Command::Scram { .. } | Command::Proved { .. }
                if self.is_tired =>
            {
                Err(CommandError::TooOften)
            }
            Command::Administer { user, password, .. } => {
                let is_theirs = self.users.get(&user) == Some(&password);
                if is_theirs && self.administrators.contains(&user) {
                    Ok(Reply::Done)
                } else {
                    Err(CommandError::Denied)
                }
            }
            Command::Authenticate { names, password, .. } => {
                let fits = names.into_iter().find(|name| self.users.get(name) == Some(&password));
                fits.map(|name| Reply::Opened(name, Credential::Password(password)))
                    .ok_or(CommandError::Denied)
            }
            Command::Scram { user, .. } => {
                self.verifiers.get(&user).cloned().map(Reply::Scram).ok_or(CommandError::Denied)
            }
            Command::Proved { is_right: true, .. } => Ok(Reply::Done),
            Command::Recognise { fingerprint } => {
                let whose = self.certificates.iter().find(|(print, _)| *print == fingerprint);
                whose.map(|(_, user)| Reply::User(user.clone())).ok_or(CommandError::Denied)
            }
            Command::StillOpens { user, credential } => {
                let opens = match credential {
                    Credential::Password(password) => self.users.get(&user) == Some(&password),
                    Credential::Token(_) => false,
                    Credential::Certificate(print) => self.certificates.contains(&(print, user)),
                    Credential::Identity(person) => self.persons.get(&person) == Some(&user),
                };
                if opens { Ok(Reply::Done) } else { Err(CommandError::Denied) }
            }
            _ => Err(CommandError::Denied),
        }
    }

    fn next(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    fn come_upon(&mut self, is_met: impl Fn(&Bug) -> bool) {
        if self.bug.take_if(|bug| is_met(bug)).is_some() {
            // Without the hook that prints a backtrace.
            std::panic::resume_unwind(Box::new("the test says so"));
        }
    }
}

pub(super) struct Inner {
    pub(super) state: Mutex<State>,
    changed: Notify,
    feed: broadcast::Sender<FeedEvent>,
    sign_in: watch::Sender<SignInStep>,
    links: watch::Sender<LinkTable>,
    pub(super) vault: super::vault::Vault,
}

/// The far end in memory.
#[derive(Clone)]
pub struct Double(pub(super) Arc<Inner>);

/// The test's side of one running adapter.
pub struct Running {
    /// Deliveries and orders to the adapter.
    pub orders: mpsc::Sender<Order>,
    /// Ends it.
    pub stop: StopHandle,
}

impl Default for Double {
    fn default() -> Self {
        Self::new()
    }
}

impl Double {
    /// An empty far end.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            changed: Notify::new(),
            feed: broadcast::channel(4096).0,
            sign_in: watch::channel(SignInStep::Starting).0,
            links: watch::channel(LinkTable::default()).0,
            vault: super::vault::Vault::default(),
        }))
    }

    /// A context for one run of the adapter of `network`, and the test's side of it.
    pub fn context(&self, network: &NetworkId, clock: Arc<dyn Clock>) -> (AdapterContext, Running) {
        let (tx, rx) = mpsc::channel(16);
        let (handle, stop): (StopHandle, Stop) = StopHandle::new();
        let context = AdapterContext {
            network: network.clone(),
            far: Arc::new(self.clone()),
            media: Arc::new(self.clone()),
            directory: Arc::new(self.clone()),
            control: Arc::new(self.clone()),
            orders: rx,
            clock,
            linked: LinkedChats::new(network.clone(), self.0.links.subscribe()),
            seed: [7; 32],
            stop,
        };
        (context, Running { orders: tx, stop: handle })
    }

    /// The state, locked. Do not hold it across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits in [`Double::wait_for`] after a change made by hand.
    pub fn changed(&self) {
        self.0.changed.notify_waiters();
    }

    /// Waits until `what` gives something, at most `limit`.
    ///
    /// # Panics
    /// When the limit passes: the test has failed.
    pub async fn wait_for<T>(&self, limit: Duration, mut what: impl FnMut(&mut State) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.0.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = what(&mut self.state()) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(limit, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("waited {limit:?} in vain; the state is {:#?}", self.state()),
        }
    }

    async fn while_silent(&self) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.state().is_silent {
                return;
            }
            changed.await;
        }
    }

    /// Adds a user with one account that is up.
    pub fn add_account(&self, owner: &str, password: &str, network: &str) {
        let mut state = self.state();
        state.users.insert(owner.into(), password.to_owned());
        state.accounts.push(AccountView {
            network: network.into(),
            owner: owner.into(),
            health: Health::Up,
            own_name: owner.to_owned(),
        });
    }

    /// Says which chats of a network are members of a link.
    pub fn link(&self, network: &NetworkId, chats: &[&str]) {
        self.link_since(network, chats, Timestamp(0));
    }

    /// The same, in links that were made then.
    pub fn link_since(&self, network: &NetworkId, chats: &[&str], at: Timestamp) {
        let chats: BTreeMap<ChatKey, Timestamp> =
            chats.iter().map(|chat| (ChatKey::from(*chat), at)).collect();
        self.0.links.send_modify(|table| {
            Arc::make_mut(table).insert(network.clone(), chats);
        });
    }

    /// Tells faces something.
    pub fn tell(&self, event: FeedEvent) {
        // Nobody listening is a normal state of affairs.
        let _ = self.0.feed.send(event);
    }

    /// Sets the step that those who follow a sign-in see.
    pub fn set_sign_in(&self, step: SignInStep) {
        self.0.sign_in.send_replace(step);
    }

    /// Adds a post said on its chat's own network to the timeline, and tells faces.
    pub fn show(&self, post: Post) -> Arc<TimelineItem> {
        let item = {
            let mut state = self.state();
            let id = PostId(state.next());
            let origin = post.chat.network.clone();
            state.posts.push((id, origin.clone(), post.clone()));
            push_item(&mut state, id, origin, post, Fate::Said)
        };
        self.tell(FeedEvent::Shown(Arc::clone(&item)));
        self.changed();
        item
    }

    /// Decides the fate of a post that came through a face, and tells faces.
    ///
    /// # Panics
    /// When there is no such post.
    pub fn decide(&self, post: PostId, fate: Fate) -> Arc<TimelineItem> {
        let item = {
            let mut state = self.state();
            let Some((id, origin, post)) = state.posts.iter().find(|p| p.0 == post).cloned() else {
                panic!("there is no post {post}");
            };
            push_item(&mut state, id, origin, post, fate)
        };
        self.tell(FeedEvent::Shown(Arc::clone(&item)));
        self.changed();
        item
    }

    /// Wraps a post into a delivery with a fresh id.
    pub fn delivery(&self, chat: &ChatKey, post: Post) -> Delivery {
        let mut state = self.state();
        let (id, post_id) = (DeliveryId(state.next()), PostId(state.next()));
        let say = Say {
            native_ids: vec![post.remote_id.clone()],
            post_id,
            post,
            author_prefix: String::new(),
            quoted: None,
            quoted_remote_id: None,
            mentions: Vec::new(),
        };
        Delivery { id, attempt: 1, chat: chat.clone(), job: Job::Say(Box::new(say)) }
    }
}

fn push_item(state: &mut State, id: PostId, origin: NetworkId, post: Post, fate: Fate) -> Arc<TimelineItem> {
    let wanted: Option<RemoteId> = match &post.body {
        Body::Recall { target, .. } => target.clone(),
        _ => post.quote.as_ref().and_then(|quote| quote.target.clone()),
    };
    let target = wanted.and_then(|wanted| state.posts.iter().find(|p| p.2.remote_id == wanted).map(|p| p.0));
    let native_id = (origin == post.chat.network).then(|| post.remote_id.clone());
    if let (Body::Recall { .. }, Fate::Said, Some(target)) = (&post.body, &fate, target) {
        for item in state.timeline.iter_mut().filter(|item| item.post_id == target) {
            *item = Arc::new(TimelineItem { is_recalled: true, ..(**item).clone() });
        }
    }
    let item = Arc::new(TimelineItem {
        seq: state.next(),
        post_id: id,
        origin,
        post,
        fate,
        target,
        native_id,
        is_recalled: false,
    });
    state.timeline.push(Arc::clone(&item));
    item
}

impl FarEnd for Double {
    fn commit<'a>(
        &'a self,
        network: &'a NetworkId,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Committed, FarError>> {
        Box::pin(async move {
            let mut committed = Committed::default();
            let mut shown = Vec::new();
            {
                let mut state = self.state();
                state.commits += 1;
                state.come_upon(|bug| {
                    let says = |text: &str| batch.posts.iter().any(|post| post.body == Body::text(text));
                    matches!(bug, Bug::CommitOf(text) if says(text))
                });
                if state.store_is_down {
                    drop(state);
                    self.changed();
                    return Err(FarError::Unavailable("the test says so".to_owned()));
                }
                for post in batch.posts {
                    let known =
                        state.posts.iter().find(|p| p.1 == *network && p.2.remote_id == post.remote_id);
                    if let Some(known) = known {
                        committed.posts.push(PostFate::Known(known.0));
                        continue;
                    }
                    if post.echo_of.is_some() {
                        committed.posts.push(PostFate::Known(PostId(0)));
                        continue;
                    }
                    let id = PostId(state.next());
                    state.posts.push((id, network.clone(), post.clone()));
                    committed.posts.push(PostFate::Kept(id));
                    if post.chat.network == *network || state.says_at_once {
                        shown.push(push_item(&mut state, id, network.clone(), post, Fate::Said));
                    }
                }
                for chat in batch.chats {
                    state.chats.insert((network.clone(), chat.chat.clone()), chat);
                }
                for person in batch.people {
                    state.people.insert((network.clone(), person.person.clone()), person);
                }
                for note in batch.notes {
                    if state.sealed.as_ref() == Some(&note.key) {
                        state.sealed = None;
                    }
                    match note.value {
                        Some(value) => state.notes.insert((network.clone(), note.key), value),
                        None => state.notes.remove(&(network.clone(), note.key)),
                    };
                }
            }
            self.0.vault.announce(network, batch.media);
            let follows = batch.follows.into_iter().map(|(from, to)| (network.clone(), from, to));
            self.state().follows.extend(follows);
            shown.into_iter().for_each(|item| self.tell(FeedEvent::Shown(item)));
            for (chat, at) in batch.read {
                self.tell(FeedEvent::Read(ChatRef { network: network.clone(), chat }, at));
            }
            if batch.asks {
                self.tell(FeedEvent::Asks(network.clone()));
            }
            self.changed();
            Ok(committed)
        })
    }

    fn settle<'a>(
        &'a self,
        _network: &'a NetworkId,
        delivery: DeliveryId,
        outcome: Outcome,
    ) -> BoxFuture<'a, Result<(), FarError>> {
        Box::pin(async move {
            self.state().outcomes.push((delivery, outcome));
            self.changed();
            Ok(())
        })
    }

    fn behind<'a>(
        &'a self,
        _network: &'a NetworkId,
        delivery: &'a Delivery,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Delivery>, FarError>> {
        Box::pin(async move {
            let state = self.state();
            let is_behind = |other: &&Delivery| other.chat == delivery.chat && other.id > delivery.id;
            let is_open = |other: &&Delivery| !state.outcomes.iter().any(|(id, _)| *id == other.id);
            Ok(state.waiting.iter().filter(is_behind).filter(is_open).take(limit).cloned().collect())
        })
    }

    fn note<'a>(
        &'a self,
        network: &'a NetworkId,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Bytes>, FarError>> {
        Box::pin(async move {
            let state = self.state();
            match state.cannot_be_read {
                true => Err(FarError::Unavailable("the disk is away".to_owned())),
                false if state.sealed.as_deref() == Some(key) => {
                    Err(FarError::Sealed { key: key.to_owned() })
                }
                false => Ok(state.notes.get(&(network.clone(), key.to_owned())).cloned()),
            }
        })
    }

    fn notes_of<'a>(
        &'a self,
        network: &'a NetworkId,
        keys: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
        Box::pin(async move {
            let state = self.state();
            let found =
                |key: &String| Some((key.clone(), state.notes.get(&(network.clone(), key.clone()))?.clone()));
            Ok(keys.iter().filter_map(found).collect())
        })
    }

    fn notes<'a>(
        &'a self,
        network: &'a NetworkId,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, Bytes)>, FarError>> {
        Box::pin(async move {
            let state = self.state();
            let wanted = |key: &str| key.starts_with(prefix) && after.is_none_or(|after| key > after);
            if let Some(key) = state.sealed.clone().filter(|key| wanted(key)) {
                return Err(FarError::Sealed { key });
            }
            let hits = state.notes.iter().filter(|((owner, key), _)| owner == network && wanted(key));
            Ok(hits.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
        })
    }

    fn health(&self, network: &NetworkId, health: Health) {
        self.state().health.insert(network.clone(), health);
        self.changed();
    }

    fn sign_in(&self, network: &NetworkId, step: SignInStep) {
        self.state().steps.push((network.clone(), step.clone()));
        self.set_sign_in(step);
        self.changed();
    }

    fn loading(&self, network: &NetworkId, how: Option<Loading>) {
        self.state().loading.push((network.clone(), how));
        self.changed();
    }
}

impl Control for Double {
    fn run(&self, user: Option<UserName>, command: Command) -> BoxFuture<'_, Result<Reply, CommandError>> {
        Box::pin(async move {
            if matches!(&command, Command::Ask { .. }) {
                self.while_silent().await;
            }
            let mut state = self.state();
            if matches!(&command, Command::Ask { request: Request::Read { .. }, .. }) {
                state.come_upon(|bug| *bug == Bug::ToldRead);
            }
            // A question that comes with every arrival is none that a test waits for.
            if !matches!(command, Command::StillOpens { .. }) {
                state.commands.push(command.clone());
            }
            let owns = |state: &State, account: &NetworkId| {
                let mine =
                    |a: &&AccountView| a.network == *account && user.as_ref().is_none_or(|u| a.owner == *u);
                state.accounts.iter().find(mine).is_some()
            };
            let reply = match command {
                Command::Authenticate { .. }
                | Command::Administer { .. }
                | Command::Scram { .. }
                | Command::Proved { .. }
                | Command::StillOpens { .. }
                | Command::Recognise { .. } => state.let_in(command),
                Command::Trust { user, fingerprint } => {
                    state.certificates.push((fingerprint, user));
                    Ok(Reply::Done)
                }
                Command::Distrust { user, fingerprint } => {
                    let before = state.certificates.len();
                    state.certificates.retain(|known| *known != (fingerprint.clone(), user.clone()));
                    match state.certificates.len() < before {
                        true => Ok(Reply::Done),
                        false => Err(CommandError::Refused("there is no such certificate".to_owned())),
                    }
                }
                Command::Trusted { user } => {
                    let theirs = state.certificates.iter().filter(|(_, of)| *of == user);
                    Ok(Reply::Fingerprints(theirs.map(|(print, _)| print.clone()).collect()))
                }
                Command::OpenPages { user, .. } => {
                    Ok(Reply::Link(SecretLink(format!("https://pages.example/{user}"))))
                }
                Command::AddAccount { owner, name } => {
                    let network = NetworkId::new(format!("wechat:{name}"));
                    let health = Health::signed_out(None);
                    let own_name = String::new();
                    state.accounts.push(AccountView { network: network.clone(), owner, health, own_name });
                    Ok(Reply::Added(network))
                }
                Command::SignIn { account } if owns(&state, &account) => {
                    Ok(Reply::SignIn(self.0.sign_in.subscribe()))
                }
                Command::SignOut { account } if owns(&state, &account) => Ok(Reply::Done),
                Command::RemoveAccount { account } if owns(&state, &account) => {
                    state.accounts.retain(|a| a.network != account);
                    Ok(Reply::Done)
                }
                Command::Mirror { account, face } if owns(&state, &account) => {
                    if !state.mirrors.contains(&(account.clone(), face.clone())) {
                        state.mirrors.push((account, face));
                    }
                    Ok(Reply::Done)
                }
                Command::Unmirror { account, face } if owns(&state, &account) => {
                    state.mirrors.retain(|mirror| *mirror != (account.clone(), face.clone()));
                    Ok(Reply::Done)
                }
                Command::Introduce { person } => {
                    let name = UserName::new(person.person.as_str());
                    Ok(Reply::User(state.persons.entry(person).or_insert(name).clone()))
                }
                Command::Identify { person, user } => {
                    state.persons.insert(person, user);
                    Ok(Reply::Done)
                }
                Command::Ask { account, .. } if owns(&state, &account) => match state.answer.clone() {
                    Some(answer) => Ok(Reply::Answer(answer)),
                    None => Err(CommandError::Failed("the test gave no answer".to_owned())),
                },
                Command::SignIn { account }
                | Command::SignOut { account }
                | Command::RemoveAccount { account }
                | Command::Mirror { account, .. }
                | Command::Unmirror { account, .. }
                | Command::Ask { account, .. } => Err(CommandError::NoSuchAccount(account.to_string())),
            };
            drop(state);
            self.changed();
            reply
        })
    }
}

impl Directory for Double {
    fn all_accounts(&self) -> BoxFuture<'_, Result<Vec<AccountView>, FarError>> {
        Box::pin(async move { Ok(self.state().accounts.clone()) })
    }

    fn faces(&self) -> Vec<(NetworkId, Health)> {
        self.state().faces.clone()
    }

    fn user_of<'a>(&'a self, person: &'a PersonRef) -> BoxFuture<'a, Result<Option<UserName>, FarError>> {
        Box::pin(async move { Ok(self.state().persons.get(person).cloned()) })
    }

    fn person_of<'a>(
        &'a self,
        user: &'a UserName,
        network: &'a NetworkId,
    ) -> BoxFuture<'a, Result<Option<PersonKey>, FarError>> {
        Box::pin(async move {
            let state = self.state();
            let mut all = state.persons.iter();
            let found = all.find(|(person, name)| *name == user && person.network == *network);
            Ok(found.map(|(person, _)| person.person.clone()))
        })
    }

    fn accounts<'a>(&'a self, owner: &'a UserName) -> BoxFuture<'a, Result<Vec<AccountView>, FarError>> {
        Box::pin(
            async move { Ok(self.state().accounts.iter().filter(|a| a.owner == *owner).cloned().collect()) },
        )
    }

    fn chats<'a>(
        &'a self,
        network: &'a NetworkId,
        after: Option<&'a ChatKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<ChatProfile>, FarError>> {
        Box::pin(async move {
            let state = self.state();
            let hits = state
                .chats
                .iter()
                .filter(|((n, key), _)| n == network && after.is_none_or(|after| key > after));
            Ok(hits.take(limit).map(|(_, chat)| ChatProfile { members: None, ..chat.clone() }).collect())
        })
    }

    fn chat<'a>(&'a self, chat: &'a ChatRef) -> BoxFuture<'a, Result<Option<ChatProfile>, FarError>> {
        Box::pin(
            async move { Ok(self.state().chats.get(&(chat.network.clone(), chat.chat.clone())).cloned()) },
        )
    }

    fn people<'a>(
        &'a self,
        network: &'a NetworkId,
        keys: &'a [PersonKey],
    ) -> BoxFuture<'a, Result<Vec<PersonProfile>, FarError>> {
        Box::pin(async move {
            let state = self.state();
            Ok(keys
                .iter()
                .filter_map(|key| state.people.get(&(network.clone(), key.clone())).cloned())
                .collect())
        })
    }

    fn contacts<'a>(
        &'a self,
        network: &'a NetworkId,
        after: Option<&'a PersonKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<PersonProfile>, FarError>> {
        Box::pin(async move {
            let state = self.state();
            let wanted =
                |n: &NetworkId, key: &PersonKey| n == network && after.is_none_or(|after| key > after);
            let hits = state.people.iter().filter(|((n, key), person)| wanted(n, key) && person.is_contact);
            Ok(hits.take(limit).map(|(_, person)| person.clone()).collect())
        })
    }

    fn history<'a>(
        &'a self,
        network: &'a NetworkId,
        chat: Option<&'a ChatKey>,
        range: HistoryRange,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TimelineItem>, FarError>> {
        Box::pin(async move {
            let state = self.state();
            let here = |item: &&Arc<TimelineItem>| {
                item.post.chat.network == *network && chat.is_none_or(|chat| item.post.chat.chat == *chat)
            };
            let mut found: Vec<TimelineItem> = match range {
                HistoryRange::After(seq) => {
                    let later = state.timeline.iter().filter(here).filter(|item| item.seq > seq);
                    later.take(limit).map(|item| (**item).clone()).collect()
                }
                HistoryRange::Before(seq) => {
                    let earlier = state.timeline.iter().rev().filter(here).filter(|item| item.seq < seq);
                    earlier.take(limit).map(|item| (**item).clone()).collect()
                }
            };
            found.sort_by_key(|item| item.seq);
            Ok(found)
        })
    }

    fn locate<'a>(
        &'a self,
        chat: &'a ChatRef,
        landmark: Landmark,
    ) -> BoxFuture<'a, Result<Option<i64>, FarError>> {
        Box::pin(async move {
            let state = self.state();
            let found =
                state.timeline.iter().filter(|item| item.post.chat == *chat).find(|item| match landmark {
                    Landmark::Post(id) => item.post_id == id,
                    Landmark::Since(at) => item.post.at >= at,
                });
            Ok(found.map(|item| item.seq))
        })
    }

    fn spoken<'a>(
        &'a self,
        network: &'a NetworkId,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Spoken>, FarError>> {
        Box::pin(async move {
            let mut spoken: Vec<Spoken> = Vec::new();
            for item in self.state().timeline.iter().rev().filter(|item| item.post.chat.network == *network) {
                let chat = &item.post.chat.chat;
                if spoken.len() < limit && !spoken.iter().any(|known| known.chat == *chat) {
                    spoken.push(Spoken { chat: chat.clone(), seq: item.seq, at: item.post.at });
                }
            }
            Ok(spoken)
        })
    }

    fn subscribe(&self) -> broadcast::Receiver<FeedEvent> {
        self.0.feed.subscribe()
    }
}
