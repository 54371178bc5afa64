//! Who may come in over HTTP: passwords are checked here for every door. Who is signed in to the web pages
//! is kept in memory: a restart asks for the password again, and what is stolen from the disk signs nobody in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use tokio::sync::Semaphore;
use wxgate_contract::{Clock, Command, CommandError, Control, Timestamp, UserName};

use crate::clock;

/// Sessions at once. Chosen: some for each person of a large host; one costs two hundred bytes.
const SESSIONS: usize = 20_000;
/// Sessions of one person; the one used longest ago ends for another.
const SESSIONS_EACH: usize = 16;
/// A session that nobody used for so long ends. Chosen: three days.
const IDLE_MS: i64 = 3 * 86_400_000;
/// … and every session after this time. Chosen: thirty days.
const LIFE_MS: i64 = 30 * 86_400_000;
/// Passwords that are checked at once: each takes 19 MiB and some 20 ms of a core.
const CHECKS: usize = 2;
/// Attempts that a name has in reserve, and the time in which one comes back.
const NAME_TRIES: Bucket = Bucket { most: 10, each_ms: 30_000 };
/// The same for an address, from where many people may come.
const ADDRESS_TRIES: Bucket = Bucket { most: 30, each_ms: 2_000 };
/// Names and addresses whose attempts are remembered at once.
const REMEMBERED: usize = 10_000;

struct Session {
    user: UserName,
    made: Timestamp,
    used: Timestamp,
}

struct Bucket {
    most: i64,
    each_ms: i64,
}

/// Why somebody is not let in.
pub(crate) enum Wrong {
    /// The name or the address has no attempt left.
    TooOften,
    /// Wrong user or password; which of the two is not told.
    Denied,
    /// It could not be checked.
    Failed(String),
}

/// Everybody's sessions, and who tried how often.
pub(crate) struct Sessions {
    /// By the digest of the token, so that a lookup tells nothing about tokens by its time.
    open: Mutex<HashMap<[u8; 32], Session>>,
    /// When the reserve of a name or an address will be full again.
    tries: Mutex<HashMap<String, i64>>,
    checks: Semaphore,
    /// Makes each session's form key out of its token.
    key: hmac::Key,
    clock: Arc<dyn Clock>,
}

impl Sessions {
    /// `secret` differs at each start.
    pub(crate) fn new(secret: &[u8; 32], clock: Arc<dyn Clock>) -> Self {
        Self {
            open: Mutex::default(),
            tries: Mutex::default(),
            checks: Semaphore::new(CHECKS),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            clock,
        }
    }

    /// Checks a password or token, as often as a name and an address may try and only some at once. What was
    /// right costs no attempt.
    pub(crate) async fn check(
        &self,
        control: &dyn Control,
        user: &UserName,
        password: String,
        from: Option<IpAddr>,
    ) -> Result<(), Wrong> {
        let command = Command::Authenticate { user: user.clone(), password };
        let is_right = async {
            match control.run(None, command).await {
                Ok(_) => Ok(true),
                Err(CommandError::Failed(why)) => Err(why),
                Err(_) => Ok(false),
            }
        };
        self.attempt(user, from, is_right).await
    }

    /// One attempt at a secret of a person: what `is_right` finds, as often as a name and an address may try.
    pub(crate) async fn attempt(
        &self,
        user: &UserName,
        from: Option<IpAddr>,
        is_right: impl Future<Output = Result<bool, String>>,
    ) -> Result<(), Wrong> {
        if !self.may_try(user.as_str(), from) {
            return Err(Wrong::TooOften);
        }
        let _place =
            self.checks.acquire().await.map_err(|_| Wrong::Failed("the gateway is stopping".to_owned()))?;
        match is_right.await {
            Ok(true) => {
                self.give_back(user.as_str(), from);
                Ok(())
            }
            Ok(false) => Err(Wrong::Denied),
            Err(why) => Err(Wrong::Failed(why)),
        }
    }

    /// Takes one attempt of a name and of an address; false when either has none left.
    fn may_try(&self, user: &str, from: Option<IpAddr>) -> bool {
        let now = self.clock.now().ms();
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.len() >= REMEMBERED {
            tries.retain(|_, full| *full > now);
        }
        if tries.len() >= REMEMBERED {
            // Somebody tries ten thousand names; whoever is among them waits a moment.
            return false;
        }
        let mut take = |key: String, bucket: &Bucket| {
            let full = tries.entry(key).or_insert(now);
            let next = (*full).max(now) + bucket.each_ms;
            let fits = next - now <= bucket.most * bucket.each_ms;
            if fits {
                *full = next;
            }
            fits
        };
        take(name_key(user), &NAME_TRIES) && from.is_none_or(|from| take(address_key(from), &ADDRESS_TRIES))
    }

    fn give_back(&self, user: &str, from: Option<IpAddr>) {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = [(Some(name_key(user)), NAME_TRIES), (from.map(address_key), ADDRESS_TRIES)];
        for (key, bucket) in keys {
            if let Some(full) = key.and_then(|key| tries.get_mut(&key)) {
                *full -= bucket.each_ms;
            }
        }
    }

    /// Begins a session and gives its token; `None` when the system gives no random numbers.
    pub(crate) fn begin(&self, user: UserName) -> Option<String> {
        let token = URL_SAFE_NO_PAD.encode(clock::random::<32>().ok()?);
        let now = self.clock.now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| is_alive(session, now));
        let theirs = open.iter().filter(|(_, session)| session.user == user);
        let is_full = theirs.clone().count() >= SESSIONS_EACH;
        let oldest = match is_full {
            true => theirs.min_by_key(|(_, session)| session.used).map(|(key, _)| *key),
            false if open.len() >= SESSIONS => {
                open.iter().min_by_key(|(_, session)| session.used).map(|(key, _)| *key)
            }
            false => None,
        };
        if let Some(key) = oldest {
            open.remove(&key);
        }
        open.insert(hashed(&token), Session { user, made: now, used: now });
        Some(token)
    }

    /// Whose session a token is.
    pub(crate) fn whose(&self, token: &str) -> Option<UserName> {
        let now = self.clock.now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get_mut(&hashed(token)).filter(|session| is_alive(session, now))?;
        session.used = now;
        Some(session.user.clone())
    }

    /// Whether a session goes on; looking does not count as using it.
    pub(crate) fn is_open(&self, token: &str) -> bool {
        let now = self.clock.now();
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&hashed(token)).is_some_and(|session| is_alive(session, now))
    }

    /// Ends a session.
    pub(crate) fn end(&self, token: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&hashed(token));
    }

    /// Ends every session of a person but this one.
    pub(crate) fn end_others(&self, user: &UserName, token: &str) {
        let kept = hashed(token);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|key, session| session.user != *user || *key == kept);
    }

    /// What a form of this session carries, which no other site can know.
    pub(crate) fn form_key(&self, token: &str) -> String {
        URL_SAFE_NO_PAD.encode(&hmac::sign(&self.key, token.as_bytes()).as_ref()[..16])
    }

    /// Whether a form came from a page of this session; takes the same time for every wrong key.
    pub(crate) fn is_form_key(&self, token: &str, given: &str) -> bool {
        hashed(&self.form_key(token)) == hashed(given)
    }
}

/// A digest, because what is typed into a form has any length.
fn name_key(user: &str) -> String {
    format!("name {}", URL_SAFE_NO_PAD.encode(hashed(user)))
}

fn address_key(from: IpAddr) -> String {
    format!("from {from}")
}

fn is_alive(session: &Session, now: Timestamp) -> bool {
    now.ms() - session.used.ms() < IDLE_MS && now.ms() - session.made.ms() < LIFE_MS
}

/// What stands for a token in memory.
pub(super) fn hashed(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    fn sessions() -> (Sessions, Arc<AtomicI64>) {
        let now = Arc::new(AtomicI64::new(1_700_000_000_000));
        let clock = Arc::clone(&now);
        let read = Arc::new(move || Timestamp(clock.load(Ordering::Relaxed)));
        (Sessions::new(&[7; 32], read), now)
    }

    #[test]
    fn a_session_lasts_while_it_is_used_and_not_for_ever() {
        let (sessions, now) = sessions();
        let token = sessions.begin("ann".into()).unwrap();
        assert_eq!(sessions.whose(&token), Some("ann".into()));
        assert_eq!(sessions.whose("other"), None);
        for _ in 0..14 {
            now.fetch_add(2 * 86_400_000, Ordering::Relaxed);
            assert!(sessions.whose(&token).is_some());
        }
        assert!(sessions.is_open(&token));
        now.fetch_add(2 * 86_400_000, Ordering::Relaxed);
        assert!(!sessions.is_open(&token), "thirty days");
        assert_eq!(sessions.whose(&token), None, "thirty days");
        let token = sessions.begin("ann".into()).unwrap();
        now.fetch_add(IDLE_MS, Ordering::Relaxed);
        assert_eq!(sessions.whose(&token), None, "not used");
        let token = sessions.begin("ann".into()).unwrap();
        sessions.end(&token);
        assert_eq!(sessions.whose(&token), None, "signed out");
        let [here, there] = [(); 2].map(|()| sessions.begin("ann".into()).unwrap());
        let bobs = sessions.begin("bob".into()).unwrap();
        sessions.end_others(&"ann".into(), &here);
        assert!(sessions.is_open(&here) && !sessions.is_open(&there) && sessions.is_open(&bobs));
    }

    #[test]
    fn a_person_has_only_so_many_sessions() {
        let (sessions, now) = sessions();
        let first = sessions.begin("ann".into()).unwrap();
        let other = sessions.begin("bob".into()).unwrap();
        let mut last = String::new();
        for _ in 0..SESSIONS_EACH {
            now.fetch_add(1, Ordering::Relaxed);
            last = sessions.begin("ann".into()).unwrap();
        }
        assert_eq!(sessions.whose(&first), None);
        assert!(sessions.whose(&last).is_some() && sessions.whose(&other).is_some());
    }

    #[test]
    fn attempts_run_out_and_come_back() {
        let (sessions, now) = sessions();
        let tried = (0..100).filter(|_| sessions.may_try("ann", None)).count();
        assert_eq!(tried, 10);
        assert!(sessions.may_try("bob", None), "another name has its own");
        now.fetch_add(30_000, Ordering::Relaxed);
        assert!(sessions.may_try("ann", None) && !sessions.may_try("ann", None));
        for _ in 0..100 {
            assert!(sessions.may_try("right", None), "what was right costs nothing");
            sessions.give_back("right", None);
        }
        let from = Some("192.0.2.1".parse().unwrap());
        let tried = (0..100).filter(|at| sessions.may_try(&format!("name{at}"), from)).count();
        assert_eq!(tried, 30);
        for at in 0..2 * REMEMBERED {
            sessions.may_try(&format!("many{at}"), None);
        }
        assert!(sessions.tries.lock().unwrap().len() <= REMEMBERED + 1);
    }

    #[test]
    fn a_form_key_belongs_to_one_session() {
        let (sessions, _) = sessions();
        let (one, two) = (sessions.begin("ann".into()).unwrap(), sessions.begin("ann".into()).unwrap());
        assert!(sessions.is_form_key(&one, &sessions.form_key(&one)));
        assert!(!sessions.is_form_key(&one, &sessions.form_key(&two)));
        assert!(!sessions.is_form_key(&one, ""));
    }
}
