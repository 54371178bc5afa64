//! The id that we give to a message before the service gives it one.

use std::fmt;

use serde::Serialize;

/// `ClientMsgId` and `LocalID`, in the page's form: 13 digits of milliseconds, `0`, 3 more digits.
///
/// Unique per message within a session; a repetition of a send keeps it, so that the service can
/// drop the duplicate. Source: the protocol sheet, section 6.1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ClientMsgId(String);

impl ClientMsgId {
    /// From the time and three digits (0–999; more is taken modulo 1000).
    #[must_use]
    pub fn new(now_ms: i64, digits: u16) -> Self {
        Self(format!("{:013}0{:03}", now_ms.clamp(0, 9_999_999_999_999), digits % 1000))
    }

    /// From a number that the caller keeps with the message: the same number is the same id, also
    /// after a restart. The number stands for milliseconds·1000 + three digits, so numbers below
    /// 10^16 stay distinct.
    #[must_use]
    pub fn from_stable(number: u64) -> Self {
        let number = number % 10_000_000_000_000_000;
        Self(format!("{:013}0{:03}", number / 1000, number % 1000))
    }

    /// Takes an id as it was stored.
    #[must_use]
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientMsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_form_is_the_pages() {
        assert_eq!(ClientMsgId::new(1_700_000_060_000, 123).as_str(), "17000000600000123");
        assert_eq!(ClientMsgId::from_stable(1_700_000_060_000_123).as_str(), "17000000600000123");
        assert_eq!(ClientMsgId::from_stable(7).as_str(), "00000000000000007");
    }

    #[test]
    fn item_70_the_same_number_gives_the_same_id() {
        assert_eq!(ClientMsgId::from_stable(42), ClientMsgId::from_stable(42));
    }

    proptest! {
        #[test]
        fn ids_have_17_digits_and_differ(a in 0..10_000_000_000_000_000u64, b in 0..10_000_000_000_000_000u64) {
            let (first, second) = (ClientMsgId::from_stable(a), ClientMsgId::from_stable(b));
            prop_assert_eq!(first.as_str().len(), 17);
            prop_assert_eq!(a == b, first == second);
        }
    }
}
