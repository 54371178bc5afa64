//! Result codes: one table for `BaseResponse.Ret`, `retcode` and `<ret>`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::flex;

/// What a caller does about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// It worked.
    Proceed,
    /// The session is over once `synccheck` or `webwxsync` says so; a single send saying so is no
    /// proof. Source: the protocol sheet, sections 5.4 and 6.2.
    SessionOver,
    /// The service does not want this account here: show its message, do not try again.
    Refused,
    /// Too much, too fast: pause for minutes (hours when it comes at init).
    SlowDown,
    /// The recipient's name may be stale: fetch it again, try once more later, then report.
    RefreshContact,
    /// Nothing to repair: tell the user.
    Report,
    /// Our request was wrong: a bug, never to be repeated as it is.
    Bug,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct RetRow {
    /// The number on the wire.
    pub number: i64,
    /// Its name here.
    pub code: RetCode,
    /// What it means, for logs and messages.
    pub meaning: &'static str,
    /// What to do.
    pub reaction: Reaction,
    /// Where the fact comes from.
    pub source: &'static str,
}

/// A result code of the service; an unknown one is a value, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RetCode {
    /// 0.
    #[default]
    Ok,
    /// 1.
    Param,
    /// 3.
    PhoneOffline,
    /// -1.
    System,
    /// -2.
    Logic,
    /// -14.
    Ticket,
    /// 1100.
    NotLoggedIn,
    /// 1101.
    SessionInvalid,
    /// 1102.
    CookieInvalid,
    /// 1103.
    Expired,
    /// 1200.
    Unparseable,
    /// 1201.
    Unexplained,
    /// 1203.
    LoginRefused,
    /// 1204.
    NoAccess,
    /// 1205.
    TooFrequent,
    /// -2013.
    RoomPartlyCreated,
    /// Any other number.
    Other(i64),
}

/// Every code that some source explains.
///
/// Source: the protocol sheet, section 2.1.8; each row names the evidence. The numbers -1000 to
/// -1006 are inventions of another client and never come from the service.
pub const RET_TABLE: [RetRow; 16] = {
    use Reaction::{Bug, Proceed, RefreshContact, Refused, Report, SessionOver, SlowDown};
    const fn row(
        number: i64,
        code: RetCode,
        meaning: &'static str,
        reaction: Reaction,
        source: &'static str,
    ) -> RetRow {
        RetRow { number, code, meaning, reaction, source }
    }
    [
        // Source: the protocol sheet, section 2.1.8, row 0.
        row(0, RetCode::Ok, "done", Proceed, "2.1.8: all sources"),
        // Source: the protocol sheet, section 2.1.8, row 1.
        row(1, RetCode::Param, "a parameter is wrong", Bug, "2.1.8: OW name; wxBot#35, WXB#252"),
        // Source: the protocol sheet, section 2.1.8, row 3.
        row(3, RetCode::PhoneOffline, "the phone has been offline too long", Report, "2.1.8: EWS#113"),
        // Source: the protocol sheet, section 2.1.8, row -1.
        row(-1, RetCode::System, "the recipient is unknown or stale", RefreshContact, "2.1.8: PAGE ERR_SYS"),
        // Source: the protocol sheet, section 2.1.8, row -2.
        row(-2, RetCode::Logic, "the request makes no sense to the service", Report, "2.1.8: PAGE constant"),
        // Source: the protocol sheet, section 2.1.8, row -14.
        row(-14, RetCode::Ticket, "the ticket is wrong", SessionOver, "2.1.8: OW"),
        // Source: the protocol sheet, section 2.1.8, row 1100.
        row(1100, RetCode::NotLoggedIn, "not logged in", SessionOver, "2.1.8: PAGE constant; 5.4"),
        // Source: the protocol sheet, section 2.1.8, row 1101.
        row(
            1101,
            RetCode::SessionInvalid,
            "the session is invalid",
            SessionOver,
            "2.1.8: PAGE constant; 5.4",
        ),
        // Source: the protocol sheet, section 2.1.8, row 1102.
        row(1102, RetCode::CookieInvalid, "the login is invalid", SessionOver, "2.1.8: OW, WXPY, EWS"),
        // Source: the protocol sheet, section 2.1.8, row 1103 (uncertain).
        row(1103, RetCode::Expired, "the login has expired", SessionOver, "2.1.8: EWS only, uncertain"),
        // Source: the protocol sheet, section 2.1.8, row 1200.
        row(
            1200,
            RetCode::Unparseable,
            "the request cannot be read",
            Bug,
            "2.1.8: PAGE constant; ItChat#838",
        ),
        // Source: the protocol sheet, section 2.1.8, row 1201 (uncertain), and section 6.2.
        row(
            1201,
            RetCode::Unexplained,
            "refused without a known reason",
            RefreshContact,
            "2.1.8, 6.2: uncertain",
        ),
        // Source: the protocol sheet, section 2.1.8, row 1203.
        row(
            1203,
            RetCode::LoginRefused,
            "this account may not use the web",
            Refused,
            "2.1.8: OW name, many issues",
        ),
        // Source: the protocol sheet, section 2.1.8, row 1204, and section 6.2.
        row(
            1204,
            RetCode::NoAccess,
            "the recipient cannot be reached",
            RefreshContact,
            "2.1.8, 6.2: WXPY, EWS",
        ),
        // Source: the protocol sheet, section 2.1.8, row 1205.
        row(1205, RetCode::TooFrequent, "too frequent", SlowDown, "2.1.8: PAGE ERR_FREQ"),
        // Source: the protocol sheet, section 2.1.8, row -2013, and section 2.23.
        row(-2013, RetCode::RoomPartlyCreated, "not all could be added to the group", Report, "2.23: PW"),
    ]
};

impl RetCode {
    /// The code of a number.
    #[must_use]
    pub fn from_number(number: i64) -> Self {
        RET_TABLE.iter().find(|row| row.number == number).map_or(Self::Other(number), |row| row.code)
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Other(number) => number,
            known => RET_TABLE.iter().find(|row| row.code == known).map_or(0, |row| row.number),
        }
    }

    /// What to do about it; unknown codes are reported.
    #[must_use]
    pub fn reaction(self) -> Reaction {
        RET_TABLE.iter().find(|row| row.code == self).map_or(Reaction::Report, |row| row.reaction)
    }

    /// What it means, in a few words without the number.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        RET_TABLE.iter().find(|row| row.code == self).map_or("an unknown result code", |row| row.meaning)
    }

    /// Whether it is 0.
    #[must_use]
    pub fn is_ok(self) -> bool {
        self == Self::Ok
    }

    /// Whether a poll or a sync that says so ends the session, as the table has it: 1100, 1101 and 1102 alike, 1103,
    /// and -14, after which only a new sign-in helps.
    ///
    /// Source: the protocol sheet, sections 5.4 and 2.1.8.
    #[must_use]
    pub fn ends_session(self) -> bool {
        self.reaction() == Reaction::SessionOver
    }
}

impl fmt::Display for RetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number(), self.meaning())
    }
}

impl From<i64> for RetCode {
    fn from(number: i64) -> Self {
        Self::from_number(number)
    }
}

impl Serialize for RetCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.number())
    }
}

impl<'de> Deserialize<'de> for RetCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        flex::int(deserializer).map(Self::from_number)
    }
}

/// The head of every JSON answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BaseResponse {
    /// The result.
    pub ret: RetCode,
    /// Usually empty; in the language of the request.
    #[serde(default, deserialize_with = "flex::string")]
    pub err_msg: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_goes_both_ways_and_names_its_sources() {
        for row in RET_TABLE {
            assert_eq!(RetCode::from_number(row.number), row.code);
            assert_eq!(row.code.number(), row.number);
            assert!(!row.source.is_empty() && !row.meaning.is_empty());
        }
        assert_eq!(RetCode::from_number(4711), RetCode::Other(4711));
        assert_eq!(RetCode::Other(4711).number(), 4711);
        assert_eq!(RetCode::Other(4711).reaction(), Reaction::Report);
        assert_eq!(RetCode::TooFrequent.to_string(), "1205 (too frequent)");
    }

    #[test]
    fn item_19_only_the_110x_codes_and_a_wrong_ticket_end_a_session() {
        for number in [-2, -1, 0, 1, 2, 3, 1099, 1200, 1201, 1203, 1204, 1205, 9999] {
            assert!(!RetCode::from_number(number).ends_session(), "{number}");
        }
        for number in [-14, 1100, 1101, 1102, 1103] {
            assert!(RetCode::from_number(number).ends_session(), "{number}");
        }
    }

    #[test]
    fn item_09_a_refused_account_is_never_retried_by_its_reaction() {
        assert_eq!(RetCode::LoginRefused.reaction(), Reaction::Refused);
        assert_eq!(RetCode::TooFrequent.reaction(), Reaction::SlowDown);
    }

    #[test]
    fn a_base_response_may_hold_texts() {
        let base: BaseResponse = serde_json::from_str(r#"{"Ret":"1101","ErrMsg":null}"#).unwrap();
        assert_eq!(base, BaseResponse { ret: RetCode::SessionInvalid, err_msg: String::new() });
        assert!(serde_json::from_str::<BaseResponse>("{}").is_err(), "no Ret is not success");
    }
}
