//! Removals: they may take minutes, and what stands between a browser and us does not wait for that long.

use std::time::Duration;

/// How long somebody is kept waiting for one. Chosen: most are over by then, and proxies wait for a minute
/// (nginx, `proxy_read_timeout`).
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a removal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    Done,
    /// It goes on whoever waits for it, and so it does when the program is started anew.
    GoesOn,
}

/// Waits for a removal, which is brought to its end also when nobody does.
pub(super) async fn for_a_while<T, E>(removal: impl Future<Output = Result<T, E>>) -> Result<Removed, E> {
    match tokio::time::timeout(PATIENCE, removal).await {
        Ok(done) => done.map(|_| Removed::Done),
        Err(_) => Ok(Removed::GoesOn),
    }
}

#[cfg(test)]
mod tests {
    use wxgate_contract::CommandError;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_for_a_removal_than_a_proxy_does() {
        let begun = tokio::time::Instant::now();
        let long = for_a_while(std::future::pending::<Result<(), CommandError>>()).await;
        assert_eq!(long, Ok(Removed::GoesOn));
        assert!(begun.elapsed() < Duration::from_secs(60));
        let failed = CommandError::Denied;
        assert_eq!(for_a_while(async { Err::<(), _>(failed.clone()) }).await, Err(failed));
        assert_eq!(for_a_while(async { Ok::<_, CommandError>(7) }).await, Ok(Removed::Done));
    }
}
