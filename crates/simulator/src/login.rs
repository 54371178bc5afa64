//! Login attempts: a uuid from its QR code to its ticket.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::account::Account;
use crate::seed::base64_like;

/// After this long a QR code is expired, and a ticket useless.
///
/// Source: the protocol sheet, section 5.2.
const LIFETIME_MS: u64 = 300_000;

/// Where an attempt stands.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Waiting,
    Scanned,
    Confirmed(String),
    Cancelled,
    Expired,
    /// The poll server is out of order (500).
    Broken,
}

#[derive(Debug)]
pub(crate) struct AttemptState {
    pub(crate) step: Step,
    pub(crate) account: Option<Arc<Account>>,
    /// Whether a poll was told of the scan.
    pub(crate) scan_told: bool,
    pub(crate) desktop: bool,
    /// Whether its ticket was exchanged for a session.
    pub(crate) redeemed: bool,
}

/// One QR code or push login.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) uuid: String,
    pub(crate) push: bool,
    pub(crate) made_ms: u64,
    /// Changed by the control API, read by the poll; never held across a wait.
    state: Mutex<AttemptState>,
    pub(crate) wake: Notify,
}

impl Attempt {
    pub(crate) fn state(&self) -> MutexGuard<'_, AttemptState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, step: Step) {
        self.state().step = step;
        self.wake.notify_waiters();
    }
}

/// All attempts that are not over.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// Looked up by every login poll; never held across a wait.
    open: Mutex<HashMap<String, Arc<Attempt>>>,
}

impl Attempts {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Attempt>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(
        &self,
        number: u64,
        now_ms: u64,
        push_for: Option<Arc<Account>>,
        desktop: bool,
    ) -> Arc<Attempt> {
        let attempt = Arc::new(Attempt {
            uuid: format!("{}==", base64_like(&[number, now_ms, 71], 10)),
            push: push_for.is_some(),
            made_ms: now_ms,
            state: Mutex::new(AttemptState {
                step: Step::Waiting,
                account: push_for,
                scan_told: false,
                desktop,
                redeemed: false,
            }),
            wake: Notify::new(),
        });
        let mut open = self.open();
        open.retain(|_, known| now_ms.saturating_sub(known.made_ms) < 2 * LIFETIME_MS);
        open.insert(attempt.uuid.clone(), attempt.clone());
        attempt
    }

    /// The attempt with this uuid; one that is too old has expired.
    pub(crate) fn find(&self, uuid: &str, now_ms: u64) -> Option<Arc<Attempt>> {
        let attempt = self.open().get(uuid).cloned()?;
        if now_ms.saturating_sub(attempt.made_ms) >= LIFETIME_MS {
            attempt.set(Step::Expired);
        }
        Some(attempt)
    }

    pub(crate) fn list(&self) -> Vec<Arc<Attempt>> {
        let mut all: Vec<_> = self.open().values().cloned().collect();
        all.sort_by_key(|attempt| attempt.made_ms);
        all
    }

    /// The account for which `ticket` was issued, and whether its login is a desktop one.
    pub(crate) fn redeem(&self, uuid: &str, ticket: &str, now_ms: u64) -> Option<(Arc<Account>, bool)> {
        let attempt = self.find(uuid, now_ms)?;
        let mut state = attempt.state();
        if !matches!(&state.step, Step::Confirmed(issued) if issued == ticket) {
            return None;
        }
        state.redeemed = true;
        Some((state.account.clone()?, state.desktop))
    }
}
