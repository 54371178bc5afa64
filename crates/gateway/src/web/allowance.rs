//! How many bytes each person may hand over, so that nobody fills the disk or pushes everybody else's files out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::UserName;

/// In how long somebody may hand over as much again.
const DAY: Duration = Duration::from_secs(86_400);

/// What each person handed over lately; it wears off by the hour.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// For one person, a day.
    each_bytes: u64,
    given: Mutex<HashMap<UserName, (u64, Instant)>>,
}

impl Allowance {
    /// So many bytes a day for each person.
    pub(crate) fn new(each_bytes: u64) -> Self {
        Self { each_bytes: each_bytes.max(1), given: Mutex::default() }
    }

    /// Whether somebody may hand over a further file: as long as something is left, however large the file is.
    ///
    /// # Errors
    /// For how long not.
    pub(crate) fn ask(&self, user: &UserName) -> Result<(), Duration> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let over = given.get(user).map_or(0, |given| self.left_of(*given)).checked_sub(self.each_bytes);
        over.map_or(Ok(()), |over| Err(self.wears_off(over + 1)))
    }

    /// Somebody handed over so many bytes.
    pub(crate) fn took(&self, user: &UserName, bytes: u64) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let before = given.get(user).map_or(0, |given| self.left_of(*given));
        given.insert(user.clone(), (before.saturating_add(bytes), Instant::now()));
        given.retain(|_, given| self.left_of(*given) > 0);
    }

    /// What has not worn off yet.
    fn left_of(&self, (bytes, at): (u64, Instant)) -> u64 {
        let worn = u128::from(self.each_bytes) * at.elapsed().as_millis() / DAY.as_millis();
        bytes.saturating_sub(u64::try_from(worn).unwrap_or(u64::MAX))
    }

    /// How long it takes until so many bytes have.
    fn wears_off(&self, bytes: u64) -> Duration {
        let millis = (u128::from(bytes) * DAY.as_millis()).div_ceil(u128::from(self.each_bytes));
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_gave_much_waits_and_nobody_else_does() {
        let allowance = Allowance::new(240);
        let (ann, bob) = (UserName::from("ann"), UserName::from("bob"));
        for bytes in [100, 139] {
            allowance.ask(&ann).unwrap();
            allowance.took(&ann, bytes);
        }
        allowance.ask(&ann).unwrap();
        // The last one may be large.
        allowance.took(&ann, 100);
        let wait = allowance.ask(&ann).unwrap_err();
        // 100 bytes wear off in ten hours.
        assert_eq!(wait, Duration::from_secs(10 * 3_600));
        assert_eq!(allowance.ask(&bob), Ok(()));
        tokio::time::advance(wait - Duration::from_secs(1)).await;
        assert!(allowance.ask(&ann).is_err());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(allowance.ask(&ann), Ok(()));
        tokio::time::advance(DAY).await;
        allowance.took(&bob, 1);
        assert_eq!(allowance.given.lock().unwrap().len(), 1, "what has worn off is forgotten");
    }
}
