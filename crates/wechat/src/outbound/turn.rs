//! Whose turn it is to send: spaced, and not at all while the service wants to be left alone.

use wechat_proto::{Reaction, RetCode};
use wxgate_contract::Outcome;

use super::{Errand, Outbound, verdict};

impl Outbound {
    /// What becomes of a delivery that the service refused; all of the account's pause when it says "too frequent".
    pub(super) fn said_no(&self, ret: RetCode, errand: &Errand<'_>) -> Outcome {
        if ret.reaction() == Reaction::SlowDown {
            let now_ms = self.elapsed_ms();
            self.pace().0.slow_down(now_ms);
        }
        verdict::of_ret(ret, errand.delivery.attempt)
    }

    /// Whether the service wants to be left alone.
    pub(super) fn not_paused(&self) -> Result<(), Outcome> {
        let paused = self.pace().0.paused_for(self.elapsed_ms());
        let why = || "WeChat says that this account sends too much".to_owned();
        paused.map_or(Ok(()), |after| Err(Outcome::TryLater { after, why: why() }))
    }

    /// Waits for this account's next place, unless the service wants to be left alone, then or meanwhile.
    pub(super) async fn wait_for_turn(&self) -> Result<(), Outcome> {
        self.not_paused()?;
        let now_ms = self.elapsed_ms();
        let wait = {
            let mut guard = self.pace();
            let (pace, rng) = &mut *guard;
            pace.reserve(now_ms, rng)
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        self.not_paused()
    }
}
