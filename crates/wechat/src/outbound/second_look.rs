//! Whom a message did not reach is looked at once more: their name may be stale, or they are gone.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use wechat_proto::{Reaction, RetCode, UserName};

use crate::inbound::Inbound;

/// Nobody is looked at twice within this. Chosen: who says ten lines to a group that is gone asks for it once.
const REST: Duration = Duration::from_secs(600);
/// Those who were looked at lately and are remembered. Chosen: more chats than one account writes to in vain.
const REMEMBERED: usize = 64;

/// Who was looked at lately, the oldest first.
#[derive(Debug, Default)]
struct Lately(VecDeque<(UserName, Instant)>);

impl Lately {
    /// Whether somebody is to be looked at now; then they were.
    fn is_due(&mut self, name: &UserName, now: Instant) -> bool {
        self.0.retain(|(_, at)| now.saturating_duration_since(*at) < REST);
        if self.0.iter().any(|(known, _)| known == name) {
            return false;
        }
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((name.clone(), now));
        true
    }
}

/// A reader of contacts beside the sync's own, and what it has done lately. A lock of tokio: one after the other, and
/// whoever comes while somebody is looked at waits for what comes of it.
pub(super) struct SecondLook(Mutex<(Inbound, Lately)>);

impl SecondLook {
    pub(super) fn new(looker: Inbound) -> Self {
        Self(Mutex::new((looker, Lately::default())))
    }

    /// Looks at whom the service refused a message with a code that says so, and takes in what it says of them. Before
    /// the outcome: a next try finds them as they are now. Source: the protocol sheet, sections 2.1.8 and 6.2.
    pub(super) async fn at(&self, name: &UserName, generation: u32, ret: RetCode) {
        if ret.reaction() != Reaction::RefreshContact || name.survives_login() {
            return;
        }
        let mut inner = self.0.lock().await;
        let (looker, lately) = &mut *inner;
        if !lately.is_due(name, Instant::now()) {
            return;
        }
        if let Err(error) = looker.look_again(name, generation, ret).await {
            tracing::warn!(%error, "what is known of whom a message did not reach could not be stored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_looked_at_twice_in_ten_minutes_and_it_is_bounded() {
        let (mut lately, began) = (Lately::default(), Instant::now());
        let (anna, bo) = (UserName::from("@anna"), UserName::from("@bo"));
        assert!(lately.is_due(&anna, began) && lately.is_due(&bo, began));
        assert!(!lately.is_due(&anna, began + REST - Duration::from_secs(1)));
        assert!(lately.is_due(&anna, began + REST));
        for at in 0..1000 {
            lately.is_due(&UserName::new(format!("@{at}")), began + REST);
        }
        assert_eq!(lately.0.len(), REMEMBERED);
    }
}
