//! Links that open the pages once, as the person who asked for one on another network. In memory: after a
//! restart none of them opens anything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wxgate_contract::{Clock, Credential, Timestamp, UserName};

use super::sessions::hashed;
use crate::clock;

/// How long a link waits for its reader. Chosen: the way from a phone to another screen.
const LIFE_MS: i64 = 10 * 60_000;
/// Links of one person; the oldest ends for another. Chosen.
const EACH: usize = 4;
/// Links of all. Chosen: one costs a hundred bytes.
const ALL: usize = 10_000;

struct Invitation {
    user: UserName,
    /// With what they were inside where they asked for it.
    credential: Credential,
    ends: Timestamp,
}

/// Who was given a link.
pub(crate) struct Invitations {
    /// By the digest of the token, so that a lookup tells nothing about tokens by its time.
    open: Mutex<HashMap<[u8; 32], Invitation>>,
    clock: Arc<dyn Clock>,
}

impl Invitations {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { open: Mutex::default(), clock }
    }

    /// A new token for a person; `None` when the system gives no random numbers.
    pub(crate) fn make(&self, user: &UserName, credential: &Credential) -> Option<String> {
        let token = URL_SAFE_NO_PAD.encode(clock::random::<32>().ok()?);
        let now = self.clock.now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, invitation| invitation.ends > now);
        let is_full = open.len() >= ALL;
        let theirs = open.iter().filter(|(_, invitation)| is_full || invitation.user == *user);
        if is_full || theirs.clone().count() >= EACH {
            let oldest = theirs.min_by_key(|(_, invitation)| invitation.ends).map(|(key, _)| *key);
            oldest.and_then(|key| open.remove(&key));
        }
        let ends = Timestamp(now.ms().saturating_add(LIFE_MS));
        open.insert(hashed(&token), Invitation { user: user.clone(), credential: credential.clone(), ends });
        Some(token)
    }

    /// Whom a token would let in.
    pub(crate) fn whose(&self, token: &str) -> Option<UserName> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let invitation = open.get(&hashed(token))?;
        (invitation.ends > self.clock.now()).then(|| invitation.user.clone())
    }

    /// Whom a token lets in, this once, and with what.
    pub(crate) fn redeem(&self, token: &str) -> Option<(UserName, Credential)> {
        let invitation = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&hashed(token))?;
        (invitation.ends > self.clock.now()).then_some((invitation.user, invitation.credential))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[test]
    fn a_link_opens_once_and_not_for_ever() {
        let now = Arc::new(AtomicI64::new(1_700_000_000_000));
        let clock = Arc::clone(&now);
        let invitations = Invitations::new(Arc::new(move || Timestamp(clock.load(Ordering::Relaxed))));
        let ann = UserName::from("ann");
        let by = Credential::Password("mark".to_owned());
        let token = invitations.make(&ann, &by).unwrap();
        assert_eq!(invitations.whose(&token), Some(ann.clone()), "looking does not use it up");
        assert_eq!(invitations.redeem(&token), Some((ann.clone(), by.clone())));
        assert_eq!((invitations.whose(&token), invitations.redeem(&token)), (None, None));
        let late = invitations.make(&ann, &by).unwrap();
        now.fetch_add(LIFE_MS, Ordering::Relaxed);
        assert_eq!((invitations.whose(&late), invitations.redeem(&late)), (None, None));
        let bobs = invitations.make(&"bob".into(), &by).unwrap();
        let first = invitations.make(&ann, &by).unwrap();
        for _ in 0..EACH {
            now.fetch_add(1, Ordering::Relaxed);
            invitations.make(&ann, &by).unwrap();
        }
        assert_eq!(invitations.redeem(&first), None, "the oldest of too many");
        assert!(invitations.redeem(&bobs).is_some(), "nobody takes another's");
        for at in 0..ALL + 10 {
            invitations.make(&format!("user{at}").into(), &by).unwrap();
        }
        assert!(invitations.open.lock().unwrap().len() <= ALL);
    }
}
