//! Who is signed in to the web pages. It is kept in memory: a restart asks for the password again, and what is stolen
//! from the disk signs nobody in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use wxgate_contract::{Clock, Credential, Timestamp, UserName};

use crate::clock;

/// Sessions at once. Chosen: some for each person of a large host; one costs two hundred bytes.
const SESSIONS: usize = 20_000;
/// Sessions of one person; the one used longest ago ends for another.
const SESSIONS_EACH: usize = 16;
/// A session that nobody used for so long ends. Chosen: three days.
const IDLE_MS: i64 = 3 * 86_400_000;
/// … and every session after this time. Chosen: thirty days.
const LIFE_MS: i64 = 30 * 86_400_000;

struct Session {
    user: UserName,
    /// With what they came in: it ends when that opens nothing any more.
    credential: Credential,
    made: Timestamp,
    used: Timestamp,
}

/// Everybody's sessions.
pub(crate) struct Sessions {
    /// By the digest of the token, so that a lookup tells nothing about tokens by its time.
    open: Mutex<HashMap<[u8; 32], Session>>,
    /// Makes each session's form key out of its token.
    key: hmac::Key,
    clock: Arc<dyn Clock>,
}

impl Sessions {
    /// `secret` differs at each start.
    pub(crate) fn new(secret: &[u8; 32], clock: Arc<dyn Clock>) -> Self {
        Self { open: Mutex::default(), key: hmac::Key::new(hmac::HMAC_SHA256, secret), clock }
    }

    /// Begins a session and gives its token; `None` when the system gives no random numbers.
    pub(crate) fn begin(&self, user: UserName, credential: Credential) -> Option<String> {
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
        open.insert(hashed(&token), Session { user, credential, made: now, used: now });
        Some(token)
    }

    /// Whose session a token is, and with what they came in.
    pub(crate) fn whose(&self, token: &str) -> Option<(UserName, Credential)> {
        let now = self.clock.now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get_mut(&hashed(token)).filter(|session| is_alive(session, now))?;
        session.used = now;
        Some((session.user.clone(), session.credential.clone()))
    }

    /// Whose session it is while it goes on; looking does not count as using it.
    pub(crate) fn look(&self, token: &str) -> Option<(UserName, Credential)> {
        let now = self.clock.now();
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get(&hashed(token)).filter(|session| is_alive(session, now))?;
        Some((session.user.clone(), session.credential.clone()))
    }

    /// A session goes on with something else than what it began with: the password that replaced that one.
    pub(crate) fn renew(&self, token: &str, credential: Credential) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = open.get_mut(&hashed(token)) {
            session.credential = credential;
        }
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

    fn password() -> Credential {
        Credential::Password("mark".to_owned())
    }

    #[test]
    fn a_session_lasts_while_it_is_used_and_not_for_ever() {
        let (sessions, now) = sessions();
        let token = sessions.begin("ann".into(), password()).unwrap();
        assert_eq!(sessions.whose(&token), Some(("ann".into(), password())));
        assert_eq!(sessions.whose("other"), None);
        for _ in 0..14 {
            now.fetch_add(2 * 86_400_000, Ordering::Relaxed);
            assert!(sessions.whose(&token).is_some());
        }
        assert!(sessions.look(&token).is_some());
        now.fetch_add(2 * 86_400_000, Ordering::Relaxed);
        assert!(sessions.look(&token).is_none(), "thirty days");
        assert_eq!(sessions.whose(&token), None, "thirty days");
        let token = sessions.begin("ann".into(), password()).unwrap();
        now.fetch_add(IDLE_MS, Ordering::Relaxed);
        assert_eq!(sessions.whose(&token), None, "not used");
        let token = sessions.begin("ann".into(), password()).unwrap();
        sessions.end(&token);
        assert_eq!(sessions.whose(&token), None, "signed out");
        let [here, there] = [(); 2].map(|()| sessions.begin("ann".into(), password()).unwrap());
        let bobs = sessions.begin("bob".into(), password()).unwrap();
        sessions.end_others(&"ann".into(), &here);
        let is_open = |token: &str| sessions.look(token).is_some();
        assert!(is_open(&here) && !is_open(&there) && is_open(&bobs));
        sessions.renew(&here, Credential::Token("other".to_owned()));
        assert_eq!(sessions.look(&here), Some(("ann".into(), Credential::Token("other".to_owned()))));
    }

    #[test]
    fn a_person_has_only_so_many_sessions() {
        let (sessions, now) = sessions();
        let first = sessions.begin("ann".into(), password()).unwrap();
        let other = sessions.begin("bob".into(), password()).unwrap();
        let mut last = String::new();
        for _ in 0..SESSIONS_EACH {
            now.fetch_add(1, Ordering::Relaxed);
            last = sessions.begin("ann".into(), password()).unwrap();
        }
        assert_eq!(sessions.whose(&first), None);
        assert!(sessions.whose(&last).is_some() && sessions.whose(&other).is_some());
    }

    #[test]
    fn a_form_key_belongs_to_one_session() {
        let (sessions, _) = sessions();
        let (one, two) = (
            sessions.begin("ann".into(), password()).unwrap(),
            sessions.begin("ann".into(), password()).unwrap(),
        );
        assert!(sessions.is_form_key(&one, &sessions.form_key(&one)));
        assert!(!sessions.is_form_key(&one, &sessions.form_key(&two)));
        assert!(!sessions.is_form_key(&one, ""));
    }
}
