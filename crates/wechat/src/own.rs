//! What one account has of its own where the others follow the configuration: notes that are read at the beginning of a
//! run.

use bytes::Bytes;
use wxgate_contract::{FarEnd, FarError, NetworkId, Note};

use crate::proxy::WayOut;

/// Why a setting of an account is not known.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// It could not be read now.
    #[error(transparent)]
    Far(#[from] FarError),
    /// What is stored is none; said without the value, which may hold a password.
    #[error(
        "the {what} that is stored for {account} cannot be read; set it again: wxgate account {what} {account} VALUE"
    )]
    Unreadable {
        /// The account's name.
        account: String,
        /// Which setting, as the command line calls it.
        what: &'static str,
    },
}

/// The note that says how often an account may send.
const RATE: &str = "send-rate";
/// Most messages a minute. Chosen: what `limits.sends_per_minute` takes at most.
const MOST_SENDS: u32 = 6000;

/// How often one account sends to WeChat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendRate {
    /// As `limits.sends_per_minute` says.
    #[default]
    AsAll,
    /// So many messages a minute.
    PerMinute(u32),
}

impl SendRate {
    /// `default`, or messages a minute.
    ///
    /// # Errors
    /// A sentence that says what is taken.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "default" {
            return Ok(Self::AsAll);
        }
        match text.parse() {
            Ok(sends @ 1..=MOST_SENDS) => Ok(Self::PerMinute(sends)),
            _ => Err(format!("must be \"default\", or 1 to {MOST_SENDS} messages a minute")),
        }
    }

    /// For people: as it was given.
    #[must_use]
    pub fn shown(self) -> String {
        match self {
            Self::AsAll => "default".to_owned(),
            Self::PerMinute(sends) => sends.to_string(),
        }
    }

    /// The note that keeps it.
    #[must_use]
    pub fn note(self) -> Note {
        let value = match self {
            Self::AsAll => None,
            Self::PerMinute(sends) => Some(Bytes::from(sends.to_string())),
        };
        Note { key: RATE.to_owned(), value, is_secret: false }
    }

    /// The rate of an account.
    ///
    /// # Errors
    /// `Far` when the store cannot be read now, `Unreadable` when somebody has to set it anew.
    pub async fn of(far: &dyn FarEnd, account: &NetworkId) -> Result<Self, OwnError> {
        let Some(value) = far.note(account, RATE).await? else { return Ok(Self::AsAll) };
        let unreadable = |_| OwnError::Unreadable { account: account.name().to_owned(), what: "rate" };
        Self::parse(&String::from_utf8_lossy(&value)).map_err(unreadable)
    }

    /// Messages a minute where all others send `all`.
    pub(crate) fn per_minute(self, all: u32) -> u32 {
        match self {
            Self::AsAll => all,
            Self::PerMinute(sends) => sends,
        }
    }
}

/// All of it.
#[derive(Clone, Default)]
pub(crate) struct Own {
    pub way: WayOut,
    pub rate: SendRate,
}

impl Own {
    pub(crate) async fn of(far: &dyn FarEnd, account: &NetworkId) -> Result<Self, OwnError> {
        Ok(Self { way: WayOut::of(far, account).await?, rate: SendRate::of(far, account).await? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_of_messages_a_minute_or_that_of_all() {
        for (text, of_thirty) in [("default", 30), ("1", 1), ("6000", 6000)] {
            let rate = SendRate::parse(text).unwrap();
            assert_eq!((rate.shown().as_str(), rate.per_minute(30)), (text, of_thirty));
        }
        for bad in ["", "0", "6001", "-1", "1.5", "fast", "99999999999"] {
            assert!(SendRate::parse(bad).is_err(), "{bad:?}");
        }
    }
}
