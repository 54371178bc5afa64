//! The one place that asks the system for the time and for randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use wxgate_contract::Timestamp;

use crate::failure::Failure;

/// The time of day.
pub(crate) fn now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program's edge: from here on the clock is an argument"
    )]
    let now = SystemTime::now();
    // A clock before 1970 gives 0; `doctor` complains about such a clock.
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0_u8; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Failure::environment("the system gives no random numbers"))?;
    Ok(bytes)
}

/// A password that nobody guesses: 120 bits, in characters that need no quoting.
pub(crate) fn password() -> Result<String, Failure> {
    Ok(URL_SAFE_NO_PAD.encode(random::<15>()?))
}

/// `2026-11-24 00:10:14`, in UTC.
pub(crate) fn written(at: Timestamp) -> String {
    let c = at.civil();
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

/// `HH:MM:SS` in UTC.
pub(crate) fn time_of_day(at: Timestamp) -> String {
    let seconds = at.seconds().rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
