//! Rooms in which people speak through somebody else's account: how they are named there, and what keeps
//! two bridges from answering each other for ever.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use wxgate_contract::Timestamp;

use crate::names::hex;

/// Longest name in front of a message, in characters. Chosen: what leaves room for the message.
const NAME_CHARS: usize = 64;

/// The name in front of what somebody says. What would begin a second line, hide or turn letters is left
/// out: nobody can put words into somebody else's mouth.
pub(super) fn relayed_name(template: &str, user_id: &str, told: &str) -> String {
    let localpart = user_id.trim_start_matches('@').split(':').next().unwrap_or(user_id);
    let told = tidy(told);
    let name = if told.is_empty() { localpart } else { told.as_str() };
    // The name last: it may hold what looks like a part of the template.
    tidy(&template.replace("{user_id}", user_id).replace("{localpart}", localpart).replace("{name}", name))
}

fn tidy(text: &str) -> String {
    // Source: Unicode 16.0, section 23.2: controls of direction, and what has no width.
    let is_hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let shown: String = text
        .chars()
        .filter(|c| !is_hidden(*c))
        .map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c })
        .collect();
    shown
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(NAME_CHARS)
        .collect()
}

/// How long what was relayed is remembered.
const WHILE: Duration = Duration::from_secs(60);
/// The same words so often within that time are no conversation. Chosen: people say "ok" after each
/// other; two bridges that answer each other pass this within seconds.
const OFTEN: usize = 6;
/// Words at hand; beyond it the oldest go. Chosen: a busy minute of a busy instance.
const AT_HAND: usize = 4096;

/// Whether words may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    No,
    /// They go round; whoever says them is to be told once.
    Begins,
    /// The same, and it was told.
    GoesOn,
}

/// What was relayed lately.
#[derive(Default)]
pub(crate) struct Relayed {
    // Locked for the length of a lookup.
    lately: Mutex<Lately>,
}

#[derive(Default)]
struct Lately {
    /// Which events said the words, by the hash of room and words.
    said: HashMap<String, Vec<String>>,
    order: VecDeque<(Timestamp, String)>,
}

impl Relayed {
    /// Counts words that are to be relayed; the same event counts once, however often it is given.
    pub(super) fn count(&self, room_id: &str, event_id: &str, text: &str, now: Timestamp) -> Echo {
        let key = hex(format!("{room_id} {}", core_of(text)).as_bytes());
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((at, _)) = lately.order.front()
            && (now.since(*at) > WHILE || lately.order.len() > AT_HAND)
            && let Some((_, key)) = lately.order.pop_front()
            && let Some(events) = lately.said.get_mut(&key)
        {
            events.remove(0);
            if events.is_empty() {
                lately.said.remove(&key);
            }
        }
        let events = lately.said.entry(key.clone()).or_default();
        let place = events.iter().position(|known| known == event_id).unwrap_or_else(|| {
            events.push(event_id.to_owned());
            usize::MAX
        });
        let is_new = place == usize::MAX;
        let place = place.min(events.len() - 1);
        if is_new {
            lately.order.push_back((now, key));
        }
        match place {
            _ if place < OFTEN => Echo::No,
            OFTEN => Echo::Begins,
            _ => Echo::GoesOn,
        }
    }
}

/// The words without the names that bridges put in front of them, one more in each round.
fn core_of(text: &str) -> &str {
    text.rsplit(": ").next().unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_and_cannot_pose_as_another() {
        let name = |told: &str| relayed_name("{name}", "@bob:x", told);
        assert_eq!(name("Bob"), "Bob");
        assert_eq!(name("  \n"), "bob");
        assert_eq!(name("Bob\nAlice: I quit"), "Bob Alice: I quit");
        assert_eq!(name("Bob\u{202e}ecilA\u{200b}"), "BobecilA");
        assert_eq!(name(&"x".repeat(500)).len(), NAME_CHARS);
        let both = relayed_name("{name} ({user_id})", "@bob:x", "{user_id}");
        assert_eq!(both, "{user_id} (@bob:x)");
    }

    #[test]
    fn what_goes_round_is_stopped_and_what_people_say_is_not() {
        let relayed = Relayed::default();
        let count =
            |n: usize, text: &str, at: i64| relayed.count("!r", &format!("${n}"), text, Timestamp(at));
        // Each round puts one more name in front.
        let mut text = "hi".to_owned();
        let mut fates = Vec::new();
        for n in 0..OFTEN + 3 {
            fates.push(count(n, &text, 1));
            text = format!("Bob (WeChat): {text}");
        }
        assert!(fates[..OFTEN].iter().all(|fate| *fate == Echo::No));
        assert_eq!(fates[OFTEN..], [Echo::Begins, Echo::GoesOn, Echo::GoesOn]);
        // The same transaction again changes nothing.
        assert_eq!((count(0, "hi", 2), count(OFTEN, "hi", 2)), (Echo::No, Echo::Begins));
        assert_eq!(count(100, "something else", 2), Echo::No);
        assert_eq!(count(101, "hi", 70_000), Echo::No);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let relayed = Relayed::default();
        for n in 0..3 * AT_HAND {
            relayed.count("!r", &format!("${n}"), &format!("words {n}"), Timestamp(1));
        }
        let lately = relayed.lately.lock().unwrap();
        assert!(lately.order.len() <= AT_HAND + 1 && lately.said.len() <= AT_HAND + 1);
    }
}
