//! Does what the machine says and tells it what came of it. Takes no decisions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use url::Url;
use wechat_proto::endpoint::{
    Endpoint, Exchange, FetchChanges, Init, JsLogin, LoginPoll, LoginStatus, Logout, NewLoginPage,
    Notify as Told, PushLogin, Reading, Scanned, StatusNotify, SyncCheck, new_login_page::Shell,
};
use wechat_proto::{ProtoError, RetCode};
use wxgate_contract::{Batch, Body, BoxFuture, FarEnd, FarError, Health, NetworkId, PendingMedia, Stop};

use super::live::{Live, Own};
use super::look::{Look, Opened};
use super::machine::{Action, Checked, Ending, Entry, Event, Fault, Fetched, Keys, Machine, Phone, Work};
use super::passing::Passing;
use super::saved;
use crate::config::OnSynced;
use crate::identity::settle::Settler;
use crate::inbound::Inbound;
use crate::roster::Fresh;
use crate::transport::{CallError, Transport};

/// Longest picture of whoever scanned a code. Chosen: it is a thumbnail; a larger one is left out.
const PICTURE_CHARS: usize = 96 << 10;
/// The host that a login starts from while none is assigned, for URLs of a configured service.
const ENTRY_ORIGIN: &str = "https://wx.qq.com";

/// For a sign-out that is under way when the end is announced. Chosen: within any grace period.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How long news wait for the list of contacts when a session opens. Chosen: most lists take a second or two, and a
/// long one is read beside the news. Source: the protocol sheet, sections 5.1 (G) and 5.3.
const FIRST_LOOK: Duration = Duration::from_secs(20);
/// How long news wait for a list that they overtook again and again. Chosen: a large book on a slow day.
const LOOK_ALONE: Duration = Duration::from_secs(180);

/// Until a permanent name that could not be taken in is looked at again. Chosen: the store is back by then, or an error
/// in the log every minute says that something is damaged.
const TAKE_IN_AGAIN: Duration = Duration::from_secs(60);

/// What somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    SignIn,
    SignOut,
}

/// Everything the work needs; the machine stands beside it.
pub(crate) struct Hands {
    pub(crate) live: Arc<Live>,
    pub(crate) transport: Arc<Transport>,
    pub(crate) far: Arc<dyn FarEnd>,
    pub(crate) network: NetworkId,
    pub(crate) inbound: Inbound,
    pub(crate) bell: Arc<Notify>,
    /// As last committed.
    keys: Option<Keys>,
    /// What the opening of the session told, until the roster is loaded.
    opened: Option<Arc<Opened>>,
    /// What the last sync brought, until it is committed.
    prepared: Option<(Batch, Fresh, Keys, u64)>,
    /// When that sync was asked for.
    asked: Option<Instant>,
    on_synced: OnSynced,
    settler: Arc<Settler>,
    /// As of the last translation.
    who: u64,
    /// Messages may have shown permanent names that are not taken in yet.
    has_shown: bool,
    /// What could not be taken in is not looked at before.
    shown_after: Option<Instant>,
}

impl Hands {
    pub(crate) fn new(
        settler: Arc<Settler>,
        transport: Arc<Transport>,
        inbound: Inbound,
        bell: Arc<Notify>,
        on_synced: OnSynced,
    ) -> Self {
        let (live, far) = (Arc::clone(&settler.live), Arc::clone(&settler.far));
        let network = settler.network.clone();
        Self {
            live,
            transport,
            far,
            network,
            inbound,
            bell,
            keys: None,
            opened: None,
            prepared: None,
            asked: None,
            on_synced,
            settler,
            who: 0,
            has_shown: true,
            shown_after: None,
        }
    }
}

/// Runs the session until told to stop.
pub(crate) async fn run(
    mut machine: Machine,
    mut hands: Hands,
    mut wishes: mpsc::Receiver<Wish>,
    stop: Stop,
    save_every: Duration,
) {
    let (far, network, live) = (Arc::clone(&hands.far), hands.network.clone(), Arc::clone(&hands.live));
    let mut shown =
        Shown { far: Arc::clone(&far), network: network.clone(), live: Arc::clone(&live), health: None };
    // Boxed, as what comes later is.
    let begin: BoxFuture<'_, _> = Box::pin(async {
        let found = restore(&hands).await;
        // What a crash cut off.
        hands.take_in_shown().await;
        found
    });
    let found = tokio::select! {
        found = begin => found,
        () = stop.stopping() => return,
    };
    hands.keys.clone_from(&found.keys);
    let mut passing = Passing::from(live.now(), Instant::now());
    let mut actions = machine.step(Event::Found(found), passing.read(live.now(), Instant::now()));
    let mut save = tokio::time::interval_at(Instant::now() + save_every, save_every);
    save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looking: Option<BoxFuture<'static, Result<(), Fault>>> = None;
    let mut held = live.held();
    loop {
        let (mut next, mut is_leaving) = (None, false);
        for action in actions {
            match action {
                Action::Cancel => next = None,
                Action::Run(work) => {
                    is_leaving = matches!(work, Work::Leave);
                    next = Some(work);
                }
                Action::Tell(step) => far.sign_in(&network, step),
                Action::Forget(ending) => hands.forget(Some(ending)).await,
            }
        }
        shown.update(&machine);
        match machine.is_looking() {
            true => looking = looking.or_else(|| Some(hands.look_beside(machine.keys()))),
            false => looking = None,
        }
        // Boxed: what a sync needs while it is read must not be part of an idle account.
        let mut doing: BoxFuture<'_, Event> = match next {
            Some(work) => hands.perform(work, machine.keys().cloned()),
            None => Box::pin(std::future::pending()),
        };
        actions = loop {
            tokio::select! {
                event = &mut doing => break machine.step(event, passing.read(live.now(), Instant::now())),
                done = beside(&mut looking) => {
                    looking = None;
                    // It asks for nothing: the work goes on.
                    machine.step(Event::Looked(done), passing.read(live.now(), Instant::now()));
                    shown.update(&machine);
                }
                Some(wish) = wishes.recv() => {
                    let event = match wish { Wish::SignIn => Event::SignIn, Wish::SignOut => Event::SignOut };
                    let answer = machine.step(event, passing.read(live.now(), Instant::now()));
                    let is_told_only = answer.iter().all(|action| matches!(action, Action::Tell(_)));
                    if !is_told_only {
                        break answer;
                    }
                    for action in answer {
                        if let Action::Tell(step) = action { far.sign_in(&network, step) }
                    }
                    shown.update(&machine);
                }
                Ok(()) = held.changed() => shown.update(&machine),
                _ = save.tick() => store(&*far, &network, &live).await,
                () = stop.stopping() => {
                    if is_leaving {
                        // An account that is removed is signed out first: what has begun is said to the service.
                        let _ = tokio::time::timeout(LAST_WORDS, &mut doing).await;
                    }
                    drop(doing);
                    store(&*far, &network, &live).await;
                    return;
                }
            }
        };
    }
}

/// What becomes of the look that is under way; never, when there is none.
async fn beside(looking: &mut Option<BoxFuture<'static, Result<(), Fault>>>) -> Result<(), Fault> {
    match looking {
        Some(look) => look.await,
        None => std::future::pending().await,
    }
}

/// What others see, told on change.
struct Shown {
    far: Arc<dyn FarEnd>,
    network: NetworkId,
    live: Arc<Live>,
    health: Option<Health>,
}

impl Shown {
    fn update(&mut self, machine: &Machine) {
        self.live.set_standing(machine.standing());
        let health = match (machine.health(), self.live.hold(), self.live.rest().left_out) {
            (Health::Up | Health::Limited { .. }, Some(hold), _) => {
                Health::Degraded { why: hold.reason.in_words().to_owned() }
            }
            (Health::Up, None, left_out @ 1..) => Health::Limited {
                why: format!(
                    "{left_out} contacts or members of groups are left out: there are more than fit; messages \
                     are not affected"
                ),
            },
            (health, ..) => health,
        };
        if self.health.as_ref() != Some(&health) {
            self.far.health(&self.network, health.clone());
            self.health = Some(health);
        }
    }
}

async fn restore(hands: &Hands) -> super::machine::Found {
    let mut wait = Duration::from_millis(250);
    loop {
        match saved::restore(&*hands.far, &hands.network, &hands.live).await {
            Ok(found) => return found,
            Err(error) => {
                tracing::warn!(network = %hands.network, %error, "the stored session cannot be read yet")
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(30));
    }
}

/// Stores the session if it changed; what does not reach the disk is tried again later.
async fn store(far: &dyn FarEnd, network: &NetworkId, live: &Live) {
    let Some(note) = saved::session_note(live, false) else { return };
    let batch = Batch { notes: vec![note], ..Batch::default() };
    if let Err(error) = far.commit(network, batch).await {
        live.not_saved();
        tracing::warn!(%network, %error, "the session could not be stored");
    }
}

impl Hands {
    fn perform(&mut self, work: Work, keys: Option<Keys>) -> BoxFuture<'_, Event> {
        match work {
            Work::Wait(wait) => Box::pin(async move {
                tokio::time::sleep(wait).await;
                Event::Waited
            }),
            Work::FetchQr => Box::pin(async { Event::Ticket(self.fetch_qr().await) }),
            Work::AskPhone => Box::pin(async { Event::Ticket(self.ask_phone().await) }),
            Work::PollPhone { uuid, polled } => Box::pin(async move {
                let began = Instant::now();
                let answer = self.poll_phone(&uuid, polled).await;
                Event::Phone { answer, took: began.elapsed() }
            }),
            Work::Enter { redirect } => Box::pin(async move { Event::Entered(self.enter(&redirect).await) }),
            Work::Open => Box::pin(async { Event::Opened(self.open().await) }),
            Work::LoadRoster => Box::pin(async { Event::RosterLoaded(self.load_roster().await) }),
            Work::LookAlone => {
                let look = self.look_beside(keys.as_ref());
                Box::pin(async move {
                    let done = tokio::time::timeout(LOOK_ALONE, look).await;
                    Event::RosterLoaded(done.unwrap_or(Err(Fault::TimedOut)))
                })
            }
            Work::Check => Box::pin(async move { Event::Checked(self.check(keys).await) }),
            Work::Fetch => Box::pin(async move { Event::Fetched(self.fetch(keys, Reading::Whole).await) }),
            Work::FetchWhatCanBeRead => {
                Box::pin(async move { Event::Fetched(self.fetch(keys, Reading::WhatCanBe).await) })
            }
            Work::Commit => Box::pin(async { Event::Committed(self.commit().await) }),
            Work::Leave => {
                self.live.begin_leave();
                Box::pin(async {
                    self.leave().await;
                    Event::Left
                })
            }
        }
    }

    async fn fetch_qr(&self) -> Result<String, Fault> {
        let reply = self.transport.call(&self.live, &JsLogin).await.map_err(|error| self.fault(&error))?;
        reply.uuid.ok_or(Fault::Garbled)
    }

    async fn ask_phone(&self) -> Result<String, Fault> {
        // Without these the service says so itself. Source: the protocol sheet, section 2.5.
        let has_cookies =
            ["webwxuvid", "webwx_auth_ticket"].iter().all(|name| self.live.cookie(name).is_some());
        let uin = self.live.rest().uin.filter(|_| has_cookies);
        let uin = uin.ok_or_else(|| Fault::Ret(RetCode::CookieInvalid, String::new()))?;
        let reply =
            self.transport.ask(&self.live, &PushLogin { uin }).await.map_err(|error| self.fault(&error))?;
        reply.uuid().map(str::to_owned).ok_or(Fault::Ret(reply.ret, reply.msg.clone()))
    }

    async fn poll_phone(&self, uuid: &str, polled: bool) -> Result<Phone, Fault> {
        let scanned = if polled { Scanned::Asked } else { Scanned::NotYet };
        let poll = Standing { poll: LoginPoll { uuid, scanned }, service: self.transport.service() };
        Ok(match self.transport.ask(&self.live, &poll).await.map_err(|error| self.fault(&error))? {
            LoginStatus::Confirmed { redirect } => Phone::Confirmed { redirect },
            LoginStatus::Scanned { avatar_base64 } => {
                let fits = |text: &String| text.len() <= PICTURE_CHARS;
                Phone::Scanned { picture: avatar_base64.filter(fits).map(Arc::from) }
            }
            LoginStatus::Waiting => Phone::Waiting,
            LoginStatus::Declined => Phone::Declined,
            LoginStatus::Expired { .. } | LoginStatus::Unknown { .. } => Phone::Gone,
        })
    }

    async fn enter(&mut self, redirect: &Url) -> Result<Entry, Fault> {
        let before = self.live.jar();
        let exchanged = match self.exchange(redirect).await? {
            // Once: two hosts that send it to each other must not go on for ever.
            Exchange::Elsewhere(other) => self.exchange(&other).await?,
            exchanged => exchanged,
        };
        match exchanged {
            Exchange::Accepted { family, credentials }
                if self.live.rest().uin.is_some_and(|uin| uin != credentials.uin) =>
            {
                // Somebody else's session: its cookies must not stay among ours, and their phone must not go on showing
                // a session that nobody has.
                let uin = credentials.uin;
                let theirs = self.live.of_another(family, credentials);
                self.live.set_jar(before);
                self.log_out(&theirs).await;
                Ok(Entry::Accepted { uin })
            }
            Exchange::Accepted { family, credentials } => {
                let uin = credentials.uin;
                // They are of names of the login before.
                self.take_in_shown().await;
                self.live.enter(family, credentials);
                self.keys = None;
                self.inbound.roster.forget();
                self.commit_session().await?;
                Ok(Entry::Accepted { uin })
            }
            Exchange::Refused { ret, message } => Ok(Entry::Refused { ret, message }),
            Exchange::WantsBrowser => Ok(Entry::WantsBrowser),
            Exchange::Elsewhere(_) => Err(Fault::Garbled),
        }
    }

    async fn exchange(&self, redirect: &Url) -> Result<Exchange, Fault> {
        let page = NewLoginPage { redirect, shell: Shell::default() };
        self.transport.ask(&self.live, &page).await.map_err(|error| self.fault(&error))
    }

    async fn open(&mut self) -> Result<Keys, Fault> {
        let initial = self.transport.ask(&self.live, &Init).await.map_err(|error| self.fault(&error))?;
        if !initial.base.ret.is_ok() {
            return Err(Fault::Ret(initial.base.ret, initial.base.err_msg));
        }
        self.live.renew_skey(initial.skey.clone());
        let own =
            Own { user_name: initial.user.user_name.clone(), nickname: initial.user.nick_name.decoded() };
        self.live.set_own(own.clone());
        let invite_start = u32::try_from(initial.invite_start_count).unwrap_or(0);
        self.live.set_rest(|rest| rest.invite_start = invite_start);
        let began = StatusNotify { own: &own.user_name, notify: Told::Began };
        // Only the phone's "logged in" banner and its list of chats depend on it.
        // Source: the protocol sheet, section 5.1 (F).
        if let Err(error) = self.transport.call(&self.live, &began).await {
            tracing::debug!(network = %self.network, %error, "the phone was not told about the session");
        }
        let keys = self.keys.get_or_insert_with(|| Keys::first(initial.sync_key.clone())).clone();
        self.opened = Some(Arc::new((initial.contact_list.clone(), initial.chats().collect())));
        self.commit_session().await?;
        Ok(keys)
    }

    async fn load_roster(&mut self) -> Result<(), Fault> {
        let look = self.look(self.keys.as_ref());
        tokio::time::timeout(FIRST_LOOK, look.load()).await.map_err(|_| Fault::TimedOut)??;
        self.opened = None;
        self.inbound.roster.forget();
        self.commit_session().await?;
        look.sweep().await
    }

    fn look(&self, keys: Option<&Keys>) -> Look {
        Look {
            transport: Arc::clone(&self.transport),
            settler: Arc::clone(&self.settler),
            opened: self.opened.clone(),
            key: keys.map(|keys| keys.sync.clone()).unwrap_or_default(),
        }
    }

    /// What comes of it is stored with the next news, or when the session is.
    fn look_beside(&self, keys: Option<&Keys>) -> BoxFuture<'static, Result<(), Fault>> {
        let look = self.look(keys);
        Box::pin(async move {
            look.load().await?;
            look.sweep().await
        })
    }

    async fn check(&mut self, keys: Option<Keys>) -> Result<Checked, Fault> {
        if self.live.rest().is_roster_loaded {
            self.opened = None;
        }
        let keys = keys.ok_or(Fault::Garbled)?;
        let began = Instant::now();
        let poll = self.transport.ask(&self.live, &SyncCheck { key: &keys.check }).await;
        let poll = poll.map_err(|error| self.fault(&error))?;
        if !poll.has_news() {
            // Nothing came for as long as the service holds a poll: the burst that the names were kept for
            // is over.
            self.inbound.roster.forget();
        }
        Ok(Checked { ret: poll.ret, has_news: poll.has_news(), took: began.elapsed() })
    }

    async fn fetch(&mut self, keys: Option<Keys>, reading: Reading) -> Result<Fetched, Fault> {
        let keys = keys.ok_or(Fault::Garbled)?;
        let asked = Instant::now();
        let changes = self.transport.ask(&self.live, &FetchChanges { key: &keys.sync, reading }).await;
        let changes = changes.map_err(|error| self.fault(&error))?;
        if !changes.base.ret.is_ok() {
            return Err(Fault::Ret(changes.base.ret, changes.base.err_msg));
        }
        if changes.damaged > 0 {
            let (network, messages) = (&self.network, changes.damaged);
            tracing::error!(%network, messages, "messages of WeChat could not be read as a whole, again and again");
        }
        self.live.renew_skey(changes.skey.clone());
        let next = keys.after(changes.sync_key.clone(), changes.sync_check_key.clone());
        let (has_content, more) = (!changes.is_empty(), changes.continues());
        let who = self.live.who();
        if std::mem::replace(&mut self.who, who) != who {
            self.inbound.roster.forget();
        }
        let draft = self.inbound.translate(changes).await.map_err(|error| store_fault(&error))?;
        let has_unlisted = draft.has_unlisted;
        let (batch, fresh) = draft.split();
        self.prepared = Some((batch, fresh, next.clone(), who));
        self.asked = has_content.then_some(asked);
        Ok(Fetched { keys: next, has_content, more, has_unlisted })
    }

    async fn commit(&mut self) -> Result<(), Fault> {
        let Some((mut batch, fresh, keys, who)) = self.prepared.take() else { return Ok(()) };
        let live = Arc::clone(&self.live);
        let alone = live.settling().lock().await;
        if live.who() != who {
            // The key was not adopted: the same answer comes again, and is read anew.
            self.inbound.roster.forget();
            return Err(Fault::Superseded);
        }
        let has_media = !batch.media.is_empty();
        let session = saved::session_note(&self.live, false);
        let saves_session = session.is_some();
        batch.notes.push(saved::keys_note(Some(&keys)));
        batch.notes.extend(session);
        let committed = match self.far.commit(&self.network, batch.clone()).await {
            Err(FarError::Invalid(why)) => self.commit_singly(batch, &why).await,
            other => other.map(drop),
        };
        if let Err(error) = committed {
            if saves_session {
                self.live.not_saved();
            }
            self.inbound.roster.forget();
            return Err(store_fault(&error));
        }
        if fresh.changes_known {
            live.contacts_changed();
        }
        if let Some(asked) = self.asked.take() {
            self.on_synced.tell(asked.elapsed());
        }
        self.has_shown |= fresh.has_shown;
        self.inbound.committed(fresh);
        self.keys = Some(keys);
        if has_media {
            self.bell.notify_one();
        }
        drop(alone);
        self.take_in_shown().await;
        Ok(())
    }

    /// Takes in the permanent names that messages showed. What cannot be taken in now is with the next news, or at the
    /// next start.
    async fn take_in_shown(&mut self) {
        if !self.has_shown || self.shown_after.is_some_and(|after| Instant::now() < after) {
            return;
        }
        match self.settler.take_in_shown().await {
            Ok(()) => self.has_shown = false,
            Err(error) => {
                tracing::error!(network = %self.network, %error, "a permanent name could not be taken in yet");
                self.shown_after = Some(Instant::now() + TAKE_IN_AGAIN);
            }
        }
        self.inbound.roster.forget();
    }

    /// A batch that can never be stored must not stop the account for good: what can be stored is,
    /// and of the rest people at least learn that there was something.
    async fn commit_singly(&self, mut batch: Batch, why: &str) -> Result<(), FarError> {
        tracing::error!(network = %self.network, why, posts = batch.posts.len(), "a batch cannot be stored as a whole");
        let posts = std::mem::take(&mut batch.posts);
        let media = std::mem::take(&mut batch.media);
        let notes = std::mem::take(&mut batch.notes);
        let asks = batch.asks;
        let people = Batch { people: batch.people, chats: batch.chats, ..Batch::default() };
        let told = |error: &FarError| tracing::error!(network = %self.network, %error, "left out");
        match self.far.commit(&self.network, people).await {
            Err(error @ FarError::Invalid(_)) => told(&error),
            other => drop(other?),
        }
        for post in posts {
            let mut stand_in = post.clone();
            stand_in.body =
                Body::Unsupported { summary: "a message that the gateway could not store".to_owned() };
            (stand_in.mentions, stand_in.quote) = (Vec::new(), None);
            let is_named = |pending: &&PendingMedia| match &post.body {
                Body::Attachment(file) => file.media == pending.media || file.poster == Some(pending.media),
                _ => false,
            };
            let own_media = media.iter().filter(is_named).cloned().collect();
            let whole = Batch { posts: vec![post], media: own_media, ..Batch::default() };
            match self.far.commit(&self.network, whole).await {
                Err(FarError::Invalid(_)) => {
                    let least = Batch { posts: vec![stand_in], ..Batch::default() };
                    match self.far.commit(&self.network, least).await {
                        Err(error @ FarError::Invalid(_)) => told(&error),
                        other => drop(other?),
                    }
                }
                other => drop(other?),
            }
        }
        // Last, as an acknowledgement.
        self.far.commit(&self.network, Batch { notes, asks, ..Batch::default() }).await.map(drop)
    }

    async fn commit_session(&mut self) -> Result<(), Fault> {
        // None while one that does not open stays: neither does its place in the news change.
        let Some(session) = saved::session_note(&self.live, true) else { return Ok(()) };
        let notes = vec![saved::keys_note(self.keys.as_ref()), session];
        let committed = self.far.commit(&self.network, Batch { notes, ..Batch::default() }).await;
        committed.map(drop).map_err(|error| {
            self.live.not_saved();
            store_fault(&error)
        })
    }

    /// Not the service's business: the session ended by itself. Why is kept, for whoever asks after a restart.
    async fn forget(&mut self, ending: Option<Ending>) {
        self.live.forget_session(ending);
        self.keys = None;
        self.prepared = None;
        self.opened = None;
        if let Err(Fault::Store(why)) = self.commit_session().await {
            tracing::warn!(network = %self.network, why, "the end of the session could not be stored");
        }
    }

    async fn leave(&mut self) {
        // First on disk: a stop or crash during the call must not bring the session back.
        self.keys = None;
        if let Err(fault) = self.commit_session().await {
            tracing::warn!(network = %self.network, ?fault, "the sign-out could not be stored yet");
        }
        if self.live.has_credentials() {
            self.log_out(&self.live).await;
        }
        self.live.leave();
        self.forget(None).await;
    }

    async fn log_out(&self, session: &Live) {
        let logout: Result<(), CallError> = self.transport.call(session, &Logout::default()).await;
        if let Err(error) = logout {
            // The answer is no JSON and may be nothing at all. Source: the protocol sheet, 2.13.
            tracing::debug!(network = %self.network, %error, "the service did not answer the sign-out");
        }
    }

    fn fault(&self, error: &CallError) -> Fault {
        fault(&self.network, error)
    }
}

pub(super) fn fault(network: &NetworkId, error: &CallError) -> Fault {
    tracing::debug!(%network, %error, "call failed");
    match error {
        CallError::Network { .. } => Fault::Network,
        CallError::TimedOut { .. } => Fault::TimedOut,
        CallError::Refused { ret, .. } => Fault::Ret(*ret, String::new()),
        CallError::Proto(_) => Fault::Garbled,
    }
}

pub(super) fn store_fault(error: &FarError) -> Fault {
    Fault::Store(error.to_string())
}

/// The login poll of a configured service: URLs that point to itself mean the service's own hosts.
struct Standing<'a> {
    poll: LoginPoll<'a>,
    service: Option<&'a Url>,
}

impl Endpoint for Standing<'_> {
    type Reply = LoginStatus;
    const NAME: &'static str = <LoginPoll<'static> as Endpoint>::NAME;
    const TIMEOUT: Duration = <LoginPoll<'static> as Endpoint>::TIMEOUT;
    const BODY_LIMIT: usize = <LoginPoll<'static> as Endpoint>::BODY_LIMIT;

    fn request(&self, call: &wechat_proto::Call<'_>) -> Result<http::Request<bytes::Bytes>, ProtoError> {
        self.poll.request(call)
    }

    fn parse(&self, reply: &http::Response<bytes::Bytes>) -> Result<LoginStatus, ProtoError> {
        let Some(service) = self.service else { return self.poll.parse(reply) };
        let origin = service.origin().ascii_serialization();
        let text = String::from_utf8_lossy(reply.body())
            .replace(&format!("\"{origin}/"), &format!("\"{ENTRY_ORIGIN}/"));
        let mut own = http::Response::new(bytes::Bytes::from(text));
        *own.status_mut() = reply.status();
        self.poll.parse(&own)
    }

    fn verdict(reply: &LoginStatus) -> wechat_proto::RetCode {
        LoginPoll::verdict(reply)
    }
}
