//! The one table from a result code of a send to what becomes of the delivery.

use std::time::Duration;

use wechat_proto::{Reaction, RetCode};
use wxgate_contract::Outcome;

/// Attempts after which "the recipient is stale" is believed. Source: the protocol sheet, 6.2.
const STALE_ATTEMPTS: u32 = 2;
/// Attempts after which a send that keeps saying "session over" while the session stands is given
/// up; about ten minutes. Chosen.
const OVER_ATTEMPTS: u32 = 20;

/// Why a message waits for the phone.
pub(super) const PHONE_OFF: &str = "the phone has been offline for too long";

/// What becomes of a message that the phone has kept waiting for so long.
pub(super) fn given_up() -> Outcome {
    Outcome::Refused { why: format!("{PHONE_OFF}; open WeChat on it and say it again") }
}

/// When to come again while the session is coming back: at first soon, then every half minute.
pub(super) fn soon(attempt: u32) -> Duration {
    Duration::from_secs(1 << attempt.clamp(1, 5)).min(Duration::from_secs(30))
}

/// When to come again while the account is coming back. A restart takes a tenth of a second, and what waited for
/// it should not wait for two; whoever stays away is asked for no more often than anybody else.
pub(super) fn when_back(attempt: u32) -> Duration {
    let step = attempt.clamp(1, 8) - 1;
    Duration::from_millis(250 << step).min(Duration::from_secs(30))
}

/// Source: the protocol sheet, sections 2.1.8 and 6.2.
pub(super) fn of_ret(ret: RetCode, attempt: u32) -> Outcome {
    let refused = |why: &str| Outcome::Refused { why: why.to_owned() };
    let later = |seconds: u64, why: &str| Outcome::TryLater {
        after: Duration::from_secs(seconds),
        why: why.to_owned(),
    };
    match (ret, ret.reaction()) {
        (RetCode::PhoneOffline, _) => later(60, PHONE_OFF),
        (_, Reaction::SlowDown) => later(60, "WeChat says that this account sends too much"),
        // One send that says so is no proof: whether the session is over, the poll decides.
        (_, Reaction::SessionOver) if attempt < OVER_ATTEMPTS => {
            later(30, "WeChat did not accept the session")
        }
        (_, Reaction::RefreshContact) if attempt < STALE_ATTEMPTS => {
            later(5, "WeChat did not find the recipient")
        }
        (RetCode::NoAccess, _) => {
            refused("the recipient is no contact, has blocked you, or the group is gone")
        }
        (_, Reaction::RefreshContact) => refused("WeChat does not find the recipient"),
        (_, Reaction::Refused) => refused("WeChat does not let this account send from here"),
        (_, Reaction::Bug) => refused("WeChat could not read the message"),
        (_, Reaction::SessionOver | Reaction::Report | Reaction::Proceed) => {
            Outcome::Refused { why: format!("WeChat refused it: {ret}") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_session_asks_soon_at_first_and_half_a_minute_later_in_the_end() {
        let waits: Vec<u128> = (0..11).map(|attempt| when_back(attempt).as_millis()).collect();
        assert_eq!(waits, [250, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(when_back(u32::MAX), Duration::from_secs(30));
    }

    #[test]
    fn every_code_has_its_outcome() {
        let at = |number: i64, attempt: u32| of_ret(RetCode::from_number(number), attempt).word();
        let table: Vec<(i64, &str, &str)> =
            [1, 3, -1, -2, -14, 1100, 1101, 1102, 1200, 1201, 1203, 1204, 1205, 4711]
                .into_iter()
                .map(|number| (number, at(number, 1), at(number, 30)))
                .collect();
        assert_eq!(
            table,
            [
                (1, "refused", "refused"),
                (3, "later", "later"),
                (-1, "later", "refused"),
                (-2, "refused", "refused"),
                (-14, "later", "refused"),
                (1100, "later", "refused"),
                (1101, "later", "refused"),
                (1102, "later", "refused"),
                (1200, "refused", "refused"),
                (1201, "later", "refused"),
                (1203, "refused", "refused"),
                (1204, "later", "refused"),
                (1205, "later", "later"),
                (4711, "refused", "refused"),
            ]
        );
    }

    #[test]
    fn reasons_are_clauses_for_people() {
        for row in wechat_proto::ret::RET_TABLE.iter().filter(|row| !row.code.is_ok()) {
            for attempt in [1, 30] {
                let (Outcome::Refused { why } | Outcome::TryLater { why, .. }) = of_ret(row.code, attempt)
                else {
                    panic!("{row:?}");
                };
                assert!(!why.is_empty() && !why.ends_with('.'), "{why}");
                assert!(crate::in_chinese(&why).is_some(), "{why}");
            }
        }
    }
}
