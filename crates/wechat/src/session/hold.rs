//! Why what people say waits although the session stands: the service takes no sends, and says so to sends only. What
//! the owner does not hear here they hear from nobody.

use std::time::Duration;

use wxgate_contract::Timestamp;

/// How long a message waits for the phone before it is given up. Chosen: whoever wrote it still means it after a
/// meeting, and hardly on the next morning. Source: the protocol sheet, section 5.4 (12 to 28 hours until the session
/// ends, with everything that waits).
pub(crate) const PATIENCE: Duration = Duration::from_secs(4 * 3600);

/// What the service said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The phone has been off for too long. Source: the protocol sheet, section 2.1.8 (3).
    PhoneOff,
    /// The account sends too much. Source: the protocol sheet, section 2.1.8 (1205).
    TooMuch,
}

impl Reason {
    /// For people: what it is, what becomes of what they say, and what to do.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::PhoneOff => {
                "the phone has been offline for too long; open WeChat on it; what you say waits for that, up to four \
                 hours"
            }
            Self::TooMuch => {
                "WeChat says that this account sends too much; what you say waits until WeChat takes it"
            }
        }
    }
}

/// A reason that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) reason: Reason,
    /// Since when it is known here.
    pub(crate) since: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chinese::in_chinese;

    #[test]
    fn what_is_told_is_told_in_chinese_too_and_says_how_long() {
        for reason in [Reason::PhoneOff, Reason::TooMuch] {
            assert!(in_chinese(reason.in_words()).is_some(), "{}", reason.in_words());
        }
        assert_eq!(PATIENCE.as_secs(), 4 * 3600, "the words say four hours");
    }
}
