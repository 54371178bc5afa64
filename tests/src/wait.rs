//! Waiting for a condition, with an end.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks again and again until there is an answer, and fails after `limit` naming `what`.
/// An error of `ask` counts as "not yet" and is told when the time is over.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        let why = match tokio::time::timeout_at(end, ask()).await {
            Ok(Ok(Some(answer))) => return Ok(answer),
            Ok(Ok(None)) | Err(_) => None,
            Ok(Err(error)) => Some(error),
        };
        if Instant::now() >= end {
            match why {
                Some(why) => bail!("waited {limit:?} in vain for {what}: {why:#}"),
                None => bail!("waited {limit:?} in vain for {what}"),
            }
        }
        tokio::time::sleep_until((Instant::now() + LOOK_EVERY).min(end)).await;
    }
}

/// How long something lasts: as the environment says, for a story that is told by hand, or as it does every day.
pub fn stretch(variable: &str, everyday: Duration) -> Result<Duration> {
    match std::env::var(variable) {
        Ok(text) => {
            let seconds =
                text.parse().with_context(|| format!("{variable}: {text} is no number of seconds"))?;
            Ok(Duration::from_secs(seconds))
        }
        Err(_) => Ok(everyday),
    }
}
