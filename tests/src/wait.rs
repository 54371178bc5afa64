//! Waiting for a condition, with an end.

use std::time::Duration;

use anyhow::{Error, Result, bail};
use tokio::time::Instant;

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A wait under way, for those who write the loop themselves.
#[derive(Debug)]
pub struct Wait<'a> {
    what: &'a str,
    limit: Duration,
    end: Instant,
}

impl<'a> Wait<'a> {
    /// Begins to wait for `what`.
    pub fn begin(what: &'a str, limit: Duration) -> Self {
        Self { what, limit, end: Instant::now() + limit }
    }

    /// Not yet, because of `why`: pauses before the next look, or fails when the time is over.
    pub async fn again(&self, why: Option<Error>) -> Result<()> {
        if Instant::now() >= self.end {
            let Self { what, limit, .. } = self;
            match why {
                Some(why) => bail!("waited {limit:?} in vain for {what}: {why:#}"),
                None => bail!("waited {limit:?} in vain for {what}"),
            }
        }
        tokio::time::sleep_until((Instant::now() + LOOK_EVERY).min(self.end)).await;
        Ok(())
    }
}

/// Asks again and again until there is an answer, and fails after `limit` naming `what`.
/// An error of `ask` counts as "not yet" and is told when the time is over.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let wait = Wait::begin(what, limit);
    loop {
        let why = match tokio::time::timeout_at(wait.end, ask()).await {
            Ok(Ok(Some(answer))) => return Ok(answer),
            Ok(Ok(None)) | Err(_) => None,
            Ok(Err(error)) => Some(error),
        };
        wait.again(why).await?;
    }
}
