//! Since when each account is as it is; managers show it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use wxgate_contract::{Health, NetworkId, Timestamp};

/// As first seen in this run, by account: at most as many as the instance has.
#[derive(Default)]
pub(crate) struct States {
    // Locked for the length of a lookup.
    seen: Mutex<HashMap<NetworkId, (Health, Timestamp)>>,
}

impl States {
    /// When this state was first seen.
    pub(crate) fn since(&self, account: &NetworkId, health: &Health, now: Timestamp) -> Timestamp {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(account) {
            Some((known, at)) if known == health => *at,
            _ => {
                seen.insert(account.clone(), (health.clone(), now));
                now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_keeps_its_time_until_it_changes() {
        let (states, account) = (States::default(), NetworkId::from("wechat:a"));
        assert_eq!(states.since(&account, &Health::Up, Timestamp(1)), Timestamp(1));
        assert_eq!(states.since(&account, &Health::Up, Timestamp(2)), Timestamp(1));
        assert_eq!(states.since(&account, &Health::Starting, Timestamp(3)), Timestamp(3));
    }
}
