//! Has a device of ours get what it needs to send keys to everybody's devices, also to those whose clients have
//! run out of it for a moment.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use wxgate_e2ee::{Claimed, Request};

use super::devices::Device;
use crate::api::keys::Ask;
use crate::client::Actor;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// How long somebody's device is waited for, all of ours together. Chosen: a client that is there puts new ones on the
/// homeserver with its next sync.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// After that a device that had nothing to give is waited for anew.
const FORGIVEN: Duration = Duration::from_secs(900);
/// Devices that are remembered. Chosen: those of a large room; beyond it they are waited for once more.
const MOST: usize = 4_096;
/// Until a device that could not be sent a key is looked at again; doubles up to the cap. Source: matrix-sdk-crypto
/// 0.18 asks again for one device no sooner than after 15 seconds, and after 15 minutes at the latest.
const FIRST_LOOK: Duration = Duration::from_secs(60);
const LONGEST_LOOK: Duration = Duration::from_secs(3_600);

/// Devices of people that had no key to give, and since when.
#[derive(Default)]
pub(super) struct Dry {
    // Locked for the length of a lookup.
    since: Mutex<HashMap<String, Instant>>,
}

impl Dry {
    /// Whether one of these may have something to give in a moment.
    fn is_worth_waiting(&self, devices: &[String], now: Instant) -> bool {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.len() + devices.len() > MOST {
            since.clear();
        }
        let mut is_worth = false;
        for device in devices {
            let seen = since.entry(device.clone()).or_insert(now);
            if now.duration_since(*seen) >= FORGIVEN {
                *seen = now;
            }
            is_worth |= now.duration_since(*seen) < PATIENCE;
        }
        is_worth
    }
}

/// People whom a device of ours could not get something of.
#[derive(Default)]
pub(super) struct LeftOut {
    // Locked for the length of a lookup.
    people: Mutex<HashSet<String>>,
}

impl LeftOut {
    /// It was asked for these: whether each is left out.
    pub(super) fn note(&self, asked: impl IntoIterator<Item = (String, bool)>) {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        for (user_id, is_left_out) in asked {
            match is_left_out {
                true => people.insert(user_id),
                false => people.remove(&user_id),
            };
        }
    }

    /// True when one of these is.
    pub(super) fn has_any(&self, of: &[String]) -> bool {
        let people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        !people.is_empty() && of.iter().any(|user_id| people.contains(user_id))
    }
}

/// When a device of ours looks again for those in a room that it could not send a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    at: Option<(Instant, Duration)>,
}

impl Look {
    /// True when it is time to.
    pub(super) fn is_due(self, now: Instant) -> bool {
        self.at.is_some_and(|(at, _)| at <= now)
    }

    /// When the next one is, after it was looked and somebody in the room was left out, or nobody. One that is still to
    /// come stays: whatever changes anywhere is a reason to look, and must not put it off.
    pub(super) fn after(self, leaves_out: bool, now: Instant) -> Self {
        match leaves_out {
            false => Self::default(),
            true if self.at.is_some_and(|(at, _)| at > now) => self,
            true => self.later(now),
        }
    }

    fn later(self, now: Instant) -> Self {
        let pause = self.at.map_or(FIRST_LOOK, |(_, pause)| (pause * 2).min(LONGEST_LOOK));
        Self { at: Some((now + pause, pause)) }
    }
}

impl Shared {
    /// Makes a claim, and looks a few times for devices that have nothing to give. Notes whose are left out.
    pub(super) async fn claim(&self, device: &Device, claim: &Request) -> Result<(), Trouble> {
        let machine = &device.machine;
        let actor = Actor::As { user_id: &device.user_id, device_id: Some(machine.device_id()) };
        let mut claimed = Claimed::default();
        claimed.add(&told(&self.client.call(actor, &Ask(claim)).await?));
        while let Some((rest, names)) = claim.left_out(&claimed) {
            if !self.crypto.dry.is_worth_waiting(&names, Instant::now()) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            // What was given is used, whatever becomes of the rest.
            let Ok(more) = self.client.call(actor, &Ask(&rest)).await else { break };
            claimed.add(&told(&more));
        }
        machine.answered(claim, &claimed.body()).await?;
        // Those of homeservers that were away are not waited for, and are left out all the same; so are those whose keys
        // were bad.
        device.keyless.note(machine.lacks(claim).await?);
        Ok(())
    }
}

fn told(answer: &serde_json::value::RawValue) -> serde_json::Value {
    serde_json::from_str(answer.get()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_wait_for_a_device_together_and_not_again_soon() {
        let dry = Dry::default();
        let one = ["@ann:test ONE".to_owned()];
        let begun = Instant::now();
        assert!(dry.is_worth_waiting(&one, begun) && dry.is_worth_waiting(&one, begun + PATIENCE / 2));
        assert!(!dry.is_worth_waiting(&one, begun + PATIENCE));
        let two = [one[0].clone(), "@ann:test TWO".to_owned()];
        assert!(dry.is_worth_waiting(&two, begun + PATIENCE));
        assert!(dry.is_worth_waiting(&one, begun + FORGIVEN));
    }

    #[test]
    fn a_device_that_was_left_out_is_looked_at_again_ever_later() {
        let now = Instant::now();
        assert!(!Look::default().is_due(now));
        let first = Look::default().later(now);
        assert!(!first.is_due(now) && first.is_due(now + FIRST_LOOK));
        let second = first.later(now + FIRST_LOOK);
        assert!(!second.is_due(now + 2 * FIRST_LOOK) && second.is_due(now + 3 * FIRST_LOOK));
        let last = (0..20).fold(second, |look, _| look.later(now));
        assert!(last.is_due(now + LONGEST_LOOK));
        assert_eq!(first.after(true, now), first, "it is still to come");
        assert_eq!(first.after(true, now + FIRST_LOOK), second);
        assert_eq!(first.after(false, now), Look::default());
    }

    #[test]
    fn whoever_is_left_out_is_so_until_they_answer() {
        let left_out = LeftOut::default();
        let [ann, sue] = ["@ann:test".to_owned(), "@sue:test".to_owned()];
        left_out.note([(ann.clone(), true), (sue.clone(), false)]);
        left_out.note([(sue.clone(), false)]);
        assert!(left_out.has_any(&[sue.clone(), ann.clone()]) && !left_out.has_any(&[sue]));
        left_out.note([(ann.clone(), false)]);
        assert!(!left_out.has_any(&[ann]));
    }
}
