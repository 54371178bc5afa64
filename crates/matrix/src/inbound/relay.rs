//! Rooms in which people speak through somebody else's account: how they are named there, and what keeps
//! two bridges from answering each other for ever.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use wxgate_contract::Timestamp;

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
/// Rounds in which words come back with one more name in front. Chosen: nobody quotes so deep word for word,
/// and two bridges that answer each other pass it within seconds.
const ROUNDS: u32 = 6;
/// Names in front of words that are looked behind. Chosen: more than a round puts there.
const NAMES: usize = 8;
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

/// By the hash of room and words, so that no words are kept.
#[derive(Default)]
struct Lately {
    /// In which round words were said, and when last.
    rounds: HashMap<u64, (u32, Timestamp)>,
    order: VecDeque<(Timestamp, u64)>,
}

impl Relayed {
    /// Looks whether words that are to be relayed are earlier ones with a name in front, again and again. The same
    /// words said by many people are no echo: "+1" and "got it" are how groups answer. Asking twice gives the same.
    pub(super) fn round(&self, room_id: &str, text: &str, now: Timestamp) -> Echo {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        lately.forget_before(now);
        let text = text.trim();
        let behind_names =
            text.match_indices(": ").take(NAMES).filter_map(|(at, sign)| text.get(at + sign.len()..));
        let earlier = behind_names.filter_map(|words| lately.rounds.get(&key(room_id, words.trim())));
        let round = earlier.map(|(round, _)| round + 1).max().unwrap_or(0);
        let key = key(room_id, text);
        lately.rounds.insert(key, (round, now));
        lately.order.push_back((now, key));
        match round {
            ..ROUNDS => Echo::No,
            ROUNDS => Echo::Begins,
            _ => Echo::GoesOn,
        }
    }
}

impl Lately {
    fn forget_before(&mut self, now: Timestamp) {
        while let Some(&(at, key)) = self.order.front()
            && (now.since(at) > WHILE || self.order.len() > AT_HAND)
        {
            self.order.pop_front();
            // Unless they were said again since.
            if self.rounds.get(&key).is_some_and(|(_, last)| *last == at) {
                self.rounds.remove(&key);
            }
        }
    }
}

fn key(room_id: &str, words: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (room_id, words).hash(&mut hasher);
    hasher.finish()
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
    fn what_goes_round_is_stopped() {
        let relayed = Relayed::default();
        let round = |text: &str, at: i64| relayed.round("!r", text, Timestamp(at));
        // Each round puts one more name in front.
        let texts: Vec<String> =
            (0..=ROUNDS + 2).map(|round| format!("{}hi", "Bob (WeChat): ".repeat(round as usize))).collect();
        let fates: Vec<Echo> = texts.iter().map(|text| round(text, 1)).collect();
        let (free, stopped) = fates.split_at(ROUNDS as usize);
        assert!(free.iter().all(|fate| *fate == Echo::No));
        assert_eq!(stopped, [Echo::Begins, Echo::GoesOn, Echo::GoesOn]);
        // The same transaction again changes nothing.
        assert_eq!((round(&texts[0], 2), round(&texts[ROUNDS as usize], 2)), (Echo::No, Echo::Begins));
        assert_eq!(relayed.round("!other", &texts[3], Timestamp(2)), Echo::No);
        assert_eq!(round(&texts[ROUNDS as usize], 70_000), Echo::No, "a minute later it is no echo");
    }

    #[test]
    fn what_many_people_say_alike_goes_on() {
        let relayed = Relayed::default();
        for at in 0..100 {
            for text in ["+1", "收到", "Bob: hi", "dinner: yes"] {
                assert_eq!(relayed.round("!r", text, Timestamp(at)), Echo::No, "{text}");
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let relayed = Relayed::default();
        for n in 0..3 * AT_HAND {
            relayed.round("!r", &format!("words {n}"), Timestamp(1));
        }
        let lately = relayed.lately.lock().unwrap();
        assert!(lately.order.len() <= AT_HAND + 1 && lately.rounds.len() <= AT_HAND + 1);
    }
}
