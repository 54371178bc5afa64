//! The nicks that our connections have had, over restarts.
//!
//! What was said under one of them is no news when the network tells of the past. Somebody else may have it later:
//! once we have said nothing under it for long, it is theirs.

use std::collections::VecDeque;
use std::time::Duration;

use wxgate_contract::Timestamp;

/// Nicks that are remembered, the last ones. Chosen: more people than speak while a network remembers what they said.
const MOST: usize = 1000;
/// How long after its use. Chosen: longer than networks keep what was said, which is days.
const KEPT: Duration = Duration::from_secs(14 * 86_400);
/// How exactly a use is noted. Chosen: much less than the above, and rare enough for the disk.
const NOTED: Duration = Duration::from_secs(86_400);

/// Nicks, folded, and when each was in use, to the day.
#[derive(Debug, Default)]
pub(super) struct OwnNicks(VecDeque<(String, Timestamp)>);

impl OwnNicks {
    /// As a note has them. Those without a time are from before there were any.
    pub(super) fn read(note: &str, now: Timestamp) -> Self {
        let one = |word: &str| {
            let (nick, at) = word.split_once('@').unwrap_or((word, ""));
            (nick.to_owned(), at.parse().map_or(now, Timestamp))
        };
        Self(note.split_whitespace().take(MOST).map(one).collect())
    }

    /// One of our connections has this nick, or says something under it. Gives the note when that has to be on disk.
    pub(super) fn in_use(&mut self, folded: String, now: Timestamp) -> Option<String> {
        let known = self.0.iter().position(|(nick, _)| *nick == folded).and_then(|at| self.0.remove(at));
        let noted = known.map(|(_, at)| at).filter(|at| now.since(*at) < NOTED);
        self.0.push_back((folded, noted.unwrap_or(now)));
        if noted.is_some() {
            return None;
        }
        self.0.retain(|(_, at)| now.since(*at) < KEPT);
        if self.0.len() > MOST {
            self.0.pop_front();
        }
        let words: Vec<String> = self.0.iter().map(|(nick, at)| format!("{nick}@{}", at.ms())).collect();
        Some(words.join(" "))
    }

    /// What is said under this nick may be ours.
    pub(super) fn has(&self, folded: &str, now: Timestamp) -> bool {
        self.0.iter().any(|(nick, at)| nick == folded && now.since(*at) < KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nick_that_is_used_no_more_is_somebody_elses_in_the_end() {
        let day = |day: i64| Timestamp(1_700_000_000_000 + day * 86_400_000);
        let mut nicks = OwnNicks::read("old", day(0));
        assert_eq!(nicks.in_use("relay".into(), day(0)).unwrap().split(' ').count(), 2);
        for at in 1..=40 {
            assert!(nicks.in_use("relay".into(), day(at)).is_some(), "a day that is not noted");
            let later = Timestamp(day(at).ms() + 1000);
            assert_eq!(nicks.in_use("relay".into(), later), None, "written again and again");
        }
        nicks.in_use("guest7".into(), day(40));
        assert!(!nicks.has("old", day(14)) && nicks.has("guest7", day(53)) && !nicks.has("guest7", day(54)));
        let note = nicks.in_use("relay".into(), day(53)).unwrap();
        assert!(!note.contains("old"), "{note}");
        let again = OwnNicks::read(&note, day(53));
        assert!(again.has("guest7", day(53)) && !again.has("guest7", day(54)), "{note}");
    }
}
