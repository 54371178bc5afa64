//! How often deliveries have failed, so that each is given up in the end.

use std::collections::BTreeMap;

use wxgate_contract::DeliveryId;

/// Deliveries that are counted at once. Chosen: more chats than one account writes to while nothing gets through.
/// Beyond it the oldest begins anew, and counts on when others are done.
const COUNTED: usize = 4096;

/// In which way an attempt failed; those that only waited for the account have not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Miss {
    /// The bytes of the attachment were not there yet.
    Bytes,
    /// They are there and could not be read, or not as many as they are said to be.
    Read,
    /// The service was asked, and did not do it.
    Call,
    /// An upload was not done in the time that its size has.
    Slow,
}

/// Failures of deliveries that are not done.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<(DeliveryId, Miss), u32>);

impl Failures {
    /// Counts one more failure of a delivery, and says how many of that kind there were.
    pub(super) fn count(&mut self, delivery: DeliveryId, miss: Miss) -> u32 {
        let count = self.0.entry((delivery, miss)).or_default();
        *count = count.saturating_add(1);
        let count = *count;
        if self.0.len() > COUNTED {
            self.0.pop_first();
        }
        count
    }

    /// The delivery is done.
    pub(super) fn forget(&mut self, delivery: DeliveryId) {
        for miss in [Miss::Bytes, Miss::Read, Miss::Call, Miss::Slow] {
            self.0.remove(&(delivery, miss));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_many_that_fail_in_turn_is_counted_to_its_end() {
        let mut failures = Failures::default();
        for round in 1..=12 {
            for id in 0..1000 {
                assert_eq!(failures.count(DeliveryId(id), Miss::Call), round);
            }
        }
        for miss in [Miss::Bytes, Miss::Read, Miss::Slow] {
            failures.count(DeliveryId(7), miss);
        }
        failures.forget(DeliveryId(7));
        assert_eq!(failures.count(DeliveryId(7), Miss::Call), 1, "it is done");
        (0..1000).for_each(|id| failures.forget(DeliveryId(id)));
        assert!(failures.0.is_empty(), "what is done takes no place");
    }

    #[test]
    fn beyond_the_bound_the_newer_are_counted_on() {
        let mut failures = Failures::default();
        let all = i64::try_from(COUNTED).unwrap() + 1;
        for round in 1..=3 {
            for id in 1..all {
                assert_eq!(failures.count(DeliveryId(id), Miss::Call), round);
            }
            assert_eq!(failures.count(DeliveryId(0), Miss::Call), 1);
        }
        assert_eq!(failures.0.len(), COUNTED);
    }
}
