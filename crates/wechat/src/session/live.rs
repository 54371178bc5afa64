//! What the sync road, sends and downloads share: the current credentials and cookies.
//!
//! A lock, not messages: every request of every branch reads it for some microseconds, and a
//! request that waits for another branch to answer a message would couple their speeds. The lock
//! is never held across an await.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderValue};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::sync::watch;
use wechat_proto::{Call, Credentials, Family, Profile, Secret, UserName};
use wxgate_contract::{Clock, Timestamp};

use super::hold::{Hold, Reason};
use super::machine::{Ending, Standing};
use crate::jar::{Jar, Place};

/// Who we are in this login.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Own {
    pub(crate) user_name: UserName,
    pub(crate) nickname: String,
}

/// What is known beyond the session itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Known since the first sign-in, and kept over a sign-out.
    pub(crate) uin: Option<i64>,
    pub(crate) is_roster_loaded: bool,
    /// Notes of this and later generations may exist.
    pub(crate) oldest_generation: u32,
    /// Contacts and members that did not fit when the roster was loaded.
    pub(crate) left_out: u64,
    /// From how many members on a group invites people, as the service told; 0: not told.
    pub(crate) invite_start: u32,
}

struct Inner {
    credentials: Option<Credentials>,
    family: Family,
    jar: Jar,
    own: Own,
    /// Counts the logins of the account; names of one never mean anything in another.
    generation: u32,
    poll_counter_ms: i64,
    rng: SmallRng,
    rest: Rest,
    /// How the last session ended, until there is another one or the owner signs out.
    ending: Option<Ending>,
    /// Being signed out: what is stored has no session any more, though the service still has.
    is_leaving: bool,
    /// What is stored cannot be read and stays, until a new login or a sign-out takes its place.
    keeps_stored: bool,
    /// The jar or the credentials differ from what is stored.
    is_dirty: bool,
}

/// All that is stored of a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) family: Family,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) jar: Jar,
    pub(crate) own: Own,
    pub(crate) generation: u32,
    pub(crate) rest: Rest,
    pub(crate) ending: Option<Ending>,
}

/// The current session of one account.
pub(crate) struct Live {
    inner: Mutex<Inner>,
    clock: Arc<dyn Clock>,
    profile: Profile,
    lang: String,
    user_agent: &'static str,
    standing: watch::Sender<Standing>,
    /// Why what people say waits though the session stands.
    hold: watch::Sender<Option<Hold>>,
    /// Held by whoever decides who somebody is, from the reading of what is known to its commit: of two answers the
    /// second has to see the first. Taken before `settling`. Held across awaits, hence of tokio.
    deciding: tokio::sync::Mutex<()>,
    /// Held while a batch is committed and while somebody gets another key: a batch translated
    /// before must not be committed after. Held across awaits, hence of tokio.
    settling: tokio::sync::Mutex<()>,
    who: AtomicU64,
    contacts: AtomicU64,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("standing", &*self.standing.borrow()).finish_non_exhaustive()
    }
}

/// A desktop browser, the same for the whole life of a session.
///
/// Source: the protocol sheet, sections 2.1.5 and 2.1.6 (the desktop shell's own one works too).
pub(crate) const USER_AGENT: &str = "Mozilla/5.0 (Linux; U; UOS x86_64; zh-cn) AppleWebKit/537.36 \
     (KHTML, like Gecko) Chrome/91.0.4472.124 Safari/537.36 UOSBrowser/6.0.1.1001";

impl Live {
    pub(crate) fn new(clock: Arc<dyn Clock>, profile: Profile, lang: &str, rng: SmallRng) -> Self {
        let standing = Standing::Away { why: "the account is just starting".to_owned() };
        Self {
            inner: Mutex::new(Inner {
                credentials: None,
                family: Family::default(),
                jar: Jar::default(),
                own: Own::default(),
                generation: 0,
                rest: Rest::default(),
                ending: None,
                is_leaving: false,
                keeps_stored: false,
                poll_counter_ms: clock.now().ms(),
                rng,
                is_dirty: false,
            }),
            clock,
            profile,
            lang: lang.to_owned(),
            user_agent: USER_AGENT,
            standing: watch::channel(standing).0,
            hold: watch::channel(None).0,
            deciding: tokio::sync::Mutex::new(()),
            settling: tokio::sync::Mutex::new(()),
            who: AtomicU64::new(0),
            contacts: AtomicU64::new(0),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn deciding(&self) -> &tokio::sync::Mutex<()> {
        &self.deciding
    }

    pub(crate) fn settling(&self) -> &tokio::sync::Mutex<()> {
        &self.settling
    }

    /// Counts how often somebody got another key after a login.
    pub(crate) fn who(&self) -> u64 {
        self.who.load(Ordering::Acquire)
    }

    pub(crate) fn who_changed(&self) {
        self.who.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts how often a sync changed what was known of contacts.
    pub(crate) fn contacts(&self) -> u64 {
        self.contacts.load(Ordering::Acquire)
    }

    pub(crate) fn contacts_changed(&self) {
        self.contacts.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Runs `build` with the circumstances of one request, fresh for each.
    pub(crate) fn with_call<T>(&self, build: impl FnOnce(Call<'_>) -> T) -> T {
        let mut inner = self.inner();
        let nonce = inner.rng.random();
        inner.poll_counter_ms += 1;
        let inner = &*inner;
        build(Call {
            credentials: inner.credentials.as_ref(),
            family: &inner.family,
            profile: self.profile,
            lang: &self.lang,
            user_agent: self.user_agent,
            now_ms: self.clock.now().ms(),
            poll_counter_ms: inner.poll_counter_ms,
            nonce,
        })
    }

    pub(crate) fn cookies(&self, place: Place<'_>) -> Option<HeaderValue> {
        self.inner().jar.header(place, self.clock.now().ms())
    }

    pub(crate) fn keep_cookies(&self, place: Place<'_>, headers: &HeaderMap) {
        let now_ms = self.clock.now().ms();
        let mut inner = self.inner();
        inner.is_dirty |= inner.jar.keep(place, headers, now_ms);
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<Secret> {
        self.inner().jar.value(name)
    }

    /// A new login: its names are a new generation.
    pub(crate) fn enter(&self, family: Family, credentials: Credentials) {
        let mut inner = self.inner();
        inner.family = family;
        inner.credentials = Some(credentials);
        inner.generation = inner.generation.saturating_add(1);
        inner.own = Own::default();
        inner.rest.uin = inner.credentials.as_ref().map(|credentials| credentials.uin);
        inner.rest.is_roster_loaded = false;
        inner.ending = None;
        inner.is_leaving = false;
        inner.keeps_stored = false;
        inner.is_dirty = true;
        drop(inner);
        self.release(|_| true);
    }

    pub(crate) fn restore(&self, stored: Snapshot) {
        let mut inner = self.inner();
        let Snapshot { family, credentials, jar, own, generation, rest, ending } = stored;
        inner.ending = ending;
        (inner.family, inner.credentials, inner.jar, inner.own, inner.generation, inner.rest) =
            (family, credentials, jar, own, generation, rest);
    }

    /// Nothing is stored over what could not be read, until there is a new session or the account is signed out.
    pub(crate) fn keep_stored(&self) {
        self.inner().keeps_stored = true;
    }

    pub(crate) fn rest(&self) -> Rest {
        self.inner().rest
    }

    pub(crate) fn set_rest(&self, change: impl FnOnce(&mut Rest)) {
        let mut inner = self.inner();
        let was = inner.rest;
        change(&mut inner.rest);
        inner.is_dirty |= inner.rest != was;
    }

    pub(crate) fn jar(&self) -> Jar {
        self.inner().jar.clone()
    }

    /// Takes back what a login that is refused has set.
    pub(crate) fn set_jar(&self, jar: Jar) {
        self.inner().jar = jar;
    }

    /// A session that was begun here and is somebody else's, apart from this one; the cookies are those of now.
    pub(crate) fn of_another(&self, family: Family, credentials: Credentials) -> Self {
        let (jar, rng) = {
            let mut inner = self.inner();
            (inner.jar.clone(), SmallRng::from_rng(&mut inner.rng))
        };
        let other = Self::new(Arc::clone(&self.clock), self.profile, &self.lang, rng);
        other.set_jar(jar);
        other.enter(family, credentials);
        other
    }

    /// The session is over; the cookies stay for a push login.
    pub(crate) fn forget_session(&self, ending: Option<Ending>) {
        let mut inner = self.inner();
        inner.is_dirty |= inner.credentials.take().is_some() || inner.ending != ending;
        inner.ending = ending;
    }

    /// A non-empty key of an answer replaces the old one. Source: the protocol sheet, section 2.12.
    pub(crate) fn renew_skey(&self, skey: Secret) {
        let mut inner = self.inner();
        if !skey.is_empty() && inner.credentials.as_ref().is_some_and(|c| c.skey != skey) {
            if let Some(credentials) = &mut inner.credentials {
                credentials.skey = skey;
            }
            inner.is_dirty = true;
        }
    }

    pub(crate) fn set_own(&self, own: Own) {
        let mut inner = self.inner();
        inner.is_dirty |= inner.own != own;
        inner.own = own;
    }

    /// Whatever happens from here on, the session is not resumed: it is stored as gone before the
    /// service is asked to end it.
    pub(crate) fn begin_leave(&self) {
        let mut inner = self.inner();
        inner.is_leaving = true;
        inner.ending = None;
        inner.keeps_stored = false;
        inner.is_dirty = true;
    }

    /// Signed out: only what a later push login needs stays.
    pub(crate) fn leave(&self) {
        let mut inner = self.inner();
        inner.credentials = None;
        inner.jar.keep_long_lived();
        inner.is_dirty = true;
    }

    pub(crate) fn own(&self) -> Own {
        self.inner().own.clone()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.inner().generation
    }

    pub(crate) fn uin(&self) -> Option<i64> {
        self.inner().credentials.as_ref().map(|credentials| credentials.uin)
    }

    pub(crate) fn has_credentials(&self) -> bool {
        self.inner().credentials.is_some()
    }

    /// What is to be stored, if it differs from what is stored, or `always`; nothing while what is stored stays.
    pub(crate) fn to_save(&self, always: bool) -> Option<Snapshot> {
        let mut inner = self.inner();
        if inner.keeps_stored {
            return None;
        }
        if !std::mem::take(&mut inner.is_dirty) && !always {
            return None;
        }
        let is_leaving = inner.is_leaving;
        let mut jar = inner.jar.clone();
        if is_leaving {
            jar.keep_long_lived();
        }
        Some(Snapshot {
            family: inner.family,
            credentials: inner.credentials.clone().filter(|_| !is_leaving),
            jar,
            own: inner.own.clone(),
            generation: inner.generation,
            rest: inner.rest,
            ending: inner.ending.clone(),
        })
    }

    /// What was handed out by [`Live::to_save`] did not reach the disk.
    pub(crate) fn not_saved(&self) {
        self.inner().is_dirty = true;
    }

    pub(crate) fn set_standing(&self, standing: Standing) {
        self.standing.send_if_modified(|old| {
            let changed = *old != standing;
            *old = standing;
            changed
        });
    }

    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Why what people say waits, and since when.
    pub(crate) fn hold(&self) -> Option<Hold> {
        *self.hold.borrow()
    }

    pub(crate) fn held(&self) -> watch::Receiver<Option<Hold>> {
        self.hold.subscribe()
    }

    /// What people say waits from now on, or still does; says since when.
    pub(crate) fn hold_back(&self, reason: Reason) -> Hold {
        let new = Hold { reason, since: self.now() };
        self.hold.send_if_modified(|hold| {
            let is_new = hold.is_none_or(|known| known.reason != reason);
            if is_new {
                *hold = Some(new);
            }
            is_new
        });
        self.hold().unwrap_or(new)
    }

    /// What waited for one of these reasons waits no more.
    pub(crate) fn release(&self, is_over: impl FnOnce(Reason) -> bool) {
        self.hold.send_if_modified(|hold| hold.take_if(|hold| is_over(hold.reason)).is_some());
    }
}
