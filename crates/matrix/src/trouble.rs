//! What stands in the way of a delivery, and the one table from it to an outcome.

use std::time::Duration;

use wxgate_contract::{FarError, Outcome};

use crate::client::{CallError, TOO_LARGE};

/// Pause after the first failure; doubles with each attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Pause when a file is on its way into the vault; grows to ten times this.
const SOON: Duration = Duration::from_millis(300);
/// Longest pause. Chosen: a homeserver that is back is used within it.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Attempts after which a homeserver that keeps saying no is believed: some twenty minutes, in
/// which an operator can mend a registration. Chosen.
const ATTEMPTS: u32 = 25;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Far(#[from] FarError),
    /// Not now; a clause for people.
    #[error("{0}")]
    NotYet(String),
    /// Not now, and probably within a moment; a clause for people.
    #[error("{0}")]
    Soon(String),
    /// The file that it is about is in the vault no more.
    #[error("the attachment is not there any more")]
    Gone,
}

impl Trouble {
    /// The same where only a call could have failed.
    pub(crate) fn into_call(self) -> CallError {
        match self {
            Self::Call(error) => error,
            other => CallError::NotSealed { why: other.to_string() },
        }
    }

    /// Another try may go better.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Call(error) => error.is_passing(),
            Self::Far(_) | Self::NotYet(_) | Self::Soon(_) => true,
            Self::Gone => false,
        }
    }

    /// It is not this alone that does not go: the homeserver or our own store is away.
    pub(crate) fn is_of_all(&self) -> bool {
        match self {
            Self::Call(error) => error.is_of_all(),
            Self::Far(_) => true,
            Self::NotYet(_) | Self::Soon(_) | Self::Gone => false,
        }
    }

    /// What the bridge does about it.
    pub(crate) fn outcome(self, attempt: u32) -> Outcome {
        let why = self.to_string();
        match self {
            Self::Soon(_) => Outcome::TryLater { after: SOON.saturating_mul(attempt.clamp(1, 10)), why },
            Self::NotYet(_) | Self::Far(_) => Outcome::TryLater { after: pause(attempt), why },
            Self::Gone => Outcome::Refused { why },
            Self::Call(CallError::Limited { after, .. }) => Outcome::TryLater { after, why },
            Self::Call(ref call) if call.is_passing() => Outcome::TryLater { after: pause(attempt), why },
            Self::Call(call) => match call.code() {
                // Source: client-server API, "Common error codes": the request itself is at fault.
                TOO_LARGE => Outcome::Refused { why: "it is too large for the homeserver".to_owned() },
                "M_BAD_JSON" | "M_NOT_JSON" | "M_INVALID_PARAM" => Outcome::Refused { why },
                // A missing registration or right can be mended: nothing is lost meanwhile.
                _ if attempt < ATTEMPTS => Outcome::TryLater { after: pause(attempt), why },
                _ => Outcome::Refused { why },
            },
        }
    }
}

fn pause(attempt: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> Trouble {
        CallError::Refused { endpoint: "send", status: 403, code: code.to_owned(), message: String::new() }
            .into()
    }

    #[test]
    fn what_a_proxy_says_is_of_all_and_what_the_homeserver_says_is_of_this_alone() {
        let is_of_all = |status, by_homeserver| {
            Trouble::from(CallError::Failed { endpoint: "members", status, by_homeserver }).is_of_all()
        };
        for status in [200, 403, 502, 503, 504, 522] {
            assert!(is_of_all(status, false) && !is_of_all(status, true), "{status}");
        }
        assert!(!is_of_all(500, false) && !is_of_all(500, true));
    }

    #[test]
    fn what_can_be_mended_waits_and_what_cannot_is_refused() {
        assert!(matches!(refused("M_TOO_LARGE").outcome(1), Outcome::Refused { .. }));
        assert!(matches!(refused("M_UNKNOWN_TOKEN").outcome(1), Outcome::TryLater { .. }));
        assert!(matches!(refused("M_FORBIDDEN").outcome(ATTEMPTS), Outcome::Refused { .. }));
        let spoiled = || Trouble::from(CallError::Unreadable { endpoint: "upload" });
        assert!(matches!(spoiled().outcome(1), Outcome::TryLater { .. }));
        assert!(matches!(spoiled().outcome(ATTEMPTS), Outcome::Refused { .. }));
        // Somebody may put right how a room is encrypted; it must not hold up the lane for good.
        let unsealed = || Trouble::from(CallError::NotToSeal { why: "so".to_owned() });
        assert!(!unsealed().is_of_all());
        assert!(matches!(unsealed().outcome(1), Outcome::TryLater { .. }));
        assert!(matches!(unsealed().outcome(ATTEMPTS), Outcome::Refused { .. }));
        let limited = Trouble::from(CallError::Limited { endpoint: "send", after: Duration::from_secs(7) });
        assert!(
            matches!(limited.outcome(90), Outcome::TryLater { after, .. } if after == Duration::from_secs(7))
        );
        let away = Trouble::from(CallError::Network { endpoint: "send" });
        assert!(matches!(away.outcome(u32::MAX), Outcome::TryLater { after, .. } if after == LONGEST_PAUSE));
    }
}
