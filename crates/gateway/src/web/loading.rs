//! How far the first reading of an account's contacts is, for whoever looks at the account or waits for its sign-in.

use tokio::sync::watch;
use wxgate_contract::{Loading, NetworkId};

use crate::wiring::Parts;

/// How far it is now; `None` while nothing is read.
pub(super) fn now(parts: &Parts, account: &NetworkId) -> Option<Loading> {
    parts.bridge.loading_of(account).and_then(|told| *told.borrow())
}

/// Follows it.
pub(super) struct Followed(Option<watch::Receiver<Option<Loading>>>);

impl Followed {
    /// Of an account; of one that is not there nothing is told.
    pub(super) fn of(parts: &Parts, account: &NetworkId) -> Self {
        Self(parts.bridge.loading_of(account))
    }

    #[cfg(test)]
    pub(super) fn new(told: watch::Receiver<Option<Loading>>) -> Self {
        Self(Some(told))
    }

    /// The latest word.
    pub(super) fn now(&mut self) -> Option<Loading> {
        self.0.as_mut().and_then(|told| *told.borrow_and_update())
    }

    /// Waits for another word; for ever, where none comes any more. Cancel safe.
    pub(super) async fn changed(&mut self) {
        if let Some(told) = &mut self.0
            && told.changed().await.is_ok()
        {
            return;
        }
        self.0 = None;
        std::future::pending().await
    }
}
