//! Whose turn it is to send: spaced, and not at all while the service wants to be left alone.

use wechat_proto::{Reaction, RetCode};
use wxgate_contract::{Delivery, Job, Outcome};

use super::pace::FIRST_PAUSE;
use super::{Errand, Miss, Outbound, verdict};
use crate::roster;
use crate::session::hold::{Hold, PATIENCE, Reason};
use crate::session::machine::Standing;

impl Outbound {
    /// Whether the account can send at all.
    pub(super) fn stands(&self, delivery: &Delivery) -> Result<(), Outcome> {
        match &*self.live.standing().borrow() {
            Standing::Online => Ok(()),
            Standing::Out { why } => Err(Outcome::Refused { why: why.clone() }),
            Standing::Away { why } => {
                Err(Outcome::TryLater { after: verdict::when_back(delivery.attempt), why: why.clone() })
            }
        }
    }

    /// What becomes of a delivery that the service refused; all of the account's pause when it says "too frequent".
    pub(super) fn said_no(&self, ret: RetCode, errand: &Errand<'_>) -> Outcome {
        if ret.reaction() == Reaction::SlowDown {
            let now_ms = self.elapsed_ms();
            let pause = self.pace().0.slow_down(now_ms);
            if pause > FIRST_PAUSE {
                self.live.hold_back(Reason::TooMuch);
            }
            // It waits with all others, and has not failed.
            return verdict::of_ret(ret, 1);
        }
        if ret == RetCode::PhoneOffline {
            let hold = self.live.hold_back(Reason::PhoneOff);
            return match self.has_waited_for(errand.delivery, hold) {
                true => verdict::given_up(),
                false => verdict::of_ret(ret, 1),
            };
        }
        self.live.release(|reason| reason == Reason::TooMuch);
        verdict::of_ret(ret, self.failed(errand.delivery.id, Miss::Call))
    }

    /// Whether a delivery has waited for the phone for as long as one does: what waited for something else before has
    /// its time as well.
    fn has_waited_for(&self, delivery: &Delivery, hold: Hold) -> bool {
        let said = match &delivery.job {
            Job::Say(say) => say.post.at,
            Job::Recall { .. } | Job::Report(_) => hold.since,
        };
        self.live.now().since(said.max(hold.since)) >= PATIENCE
    }

    /// Whether the service wants to be left alone.
    pub(super) fn not_paused(&self) -> Result<(), Outcome> {
        let paused = self.pace().0.paused_for(self.elapsed_ms());
        let why = || "WeChat says that this account sends too much".to_owned();
        paused.map_or(Ok(()), |after| Err(Outcome::TryLater { after, why: why() }))
    }

    /// Waits for this account's next place, unless the service wants to be left alone, then or meanwhile. Whoever
    /// waits has said nothing: a session that ends meanwhile leaves no doubt about that.
    pub(super) async fn wait_for_turn(&self, errand: &Errand<'_>) -> Result<(), Outcome> {
        self.not_paused()?;
        let now_ms = self.elapsed_ms();
        let wait = {
            let mut guard = self.pace();
            let (pace, rng) = &mut *guard;
            pace.reserve(now_ms, rng)
        };
        if !wait.is_zero() {
            let mut standing = self.live.standing();
            let signed_out = standing.wait_for(|standing| matches!(standing, Standing::Out { .. }));
            let _ = tokio::time::timeout(wait, signed_out).await;
        }
        self.may_send(errand)?;
        if self.live.who() != errand.who {
            self.still_reaches(errand).await?;
            self.may_send(errand)?;
        }
        Ok(())
    }

    /// Whether the chat of a delivery still stands for whom it was looked up to be. An answer of the owner, or a proof,
    /// may have come while it waited: then the next attempt finds who it is now.
    /// Source: the paper on contact identity, method, step 9.
    pub(super) async fn still_reaches(&self, errand: &Errand<'_>) -> Result<(), Outcome> {
        let (mut who, chat) = (errand.who, errand.delivery.chat.as_str());
        while who != self.live.who() {
            who = self.live.who();
            let why = match roster::lasting(&*self.far, &self.network, chat, errand.generation).await {
                Ok(Some(to)) if to == errand.to => continue,
                Ok(_) => "it turned out meanwhile that this chat is somebody else".to_owned(),
                Err(error) => error.to_string(),
            };
            return Err(Outcome::TryLater { after: verdict::soon(errand.delivery.attempt), why });
        }
        Ok(())
    }

    /// Whether the account may send in the login that the names are of.
    fn may_send(&self, errand: &Errand<'_>) -> Result<(), Outcome> {
        self.stands(errand.delivery)?;
        if self.live.generation() != errand.generation {
            let why = "the account signed in anew".to_owned();
            return Err(Outcome::TryLater { after: verdict::when_back(errand.delivery.attempt), why });
        }
        self.not_paused()
    }
}
