//! Which fields may be believed at this login, measured on people who are recognised without them.

use std::collections::HashMap;

use crate::book::{Book, Login, Seen};
use crate::sight::{Field, Sight};

const WEEK_S: f64 = 604_800.0;
/// A field that disagrees for more people than this has gone dark or changed its meaning.
/// Source: the paper on contact identity, method, step 3.
const DARK: f64 = 0.25;
/// Fewer pairs than this say nothing about a field. Chosen.
const MIN_PAIRS: usize = 8;
/// Changes per week and person until a login has told better. Source: the paper on contact identity, the table
/// of evidence where it gives a rate; the rest chosen near it.
const RATES: [f64; Field::COUNT] = [
    0.025,   // Nick
    0.010,   // Remark
    0.035,   // Avatar
    0.020,   // Signature
    0.006,   // Region
    0.002,   // Sex
    0.004,   // Attr
    0.006,   // Sns
    0.004,   // Star
    0.004,   // Pin
    0.004,   // Mute
    0.000_1, // KeyWord
    0.000_1, // NameLen
];
/// Weight of the rates above against what this login shows, in expected changes. Chosen.
const RATE_WEIGHT: f64 = 10.0;
/// Versions are believed if this share of the records kept theirs … Chosen: a week of heavy change leaves more,
/// random numbers leave none.
const KEPT: f64 = 0.15;
/// … and this share of those kept their nickname or picture. Source: the same paper, method, step 2.
const SOUND: f64 = 0.95;

/// What this login's fields are worth.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trust {
    /// Equal versions mean the same record.
    pub(crate) versions: bool,
    /// 0 for a field that has gone dark.
    pub(crate) weight: [f64; Field::COUNT],
    /// Changes per week.
    pub(crate) rate: [f64; Field::COUNT],
    /// Of the people compared: how many kept each field, and how many there were.
    pub(crate) kept: [(u32, u32); Field::COUNT],
}

/// Weeks between two times, within what rates make sense for.
pub(crate) fn weeks(seen: Seen, at_s: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a human life are exact in a double")]
    let gap = at_s.saturating_sub(seen.at_s).max(0) as f64 / WEEK_S;
    gap.clamp(0.1, 52.0)
}

/// Chance of a change in that time.
pub(crate) fn change(rate: f64, weeks: f64) -> f64 {
    (1.0 - (-rate * weeks).exp()).clamp(1e-6, 0.9)
}

impl Trust {
    pub(crate) fn of(book: &Book, login: &Login) -> Self {
        let versions = version_pairs(book, login);
        let sound = versions.iter().filter(|&&(was, new)| {
            let (Some(was), Some(new)) = (book.people.get(was), login.people.get(new)) else { return false };
            [Field::Nick, Field::Avatar].iter().any(|&f| same(&was.sight, &new.sight, f))
        });
        let (kept, sound) = (versions.len(), sound.count());
        let could = book
            .people
            .iter()
            .filter(|was| was.seen.login == book.login && was.sight.seq != 0)
            .count()
            .min(login.people.iter().filter(|new| new.sight.seq != 0).count());
        // Within one login all versions are equal, which says nothing about earlier ones.
        let were_believed = login.known.is_empty() || book.versions_since != book.login;
        let versions =
            were_believed && kept > 0 && share(kept, could.max(1)) >= KEPT && share(sound, kept) >= SOUND;
        let mut trust =
            Self { versions, weight: [1.0; Field::COUNT], rate: RATES, kept: [(0, 0); Field::COUNT] };
        let joins = joins(book, login);
        for field in Field::ALL {
            trust.calibrate(field, book, login, &joins);
        }
        trust
    }

    fn calibrate(&mut self, field: Field, book: &Book, login: &Login, joins: &[Join]) {
        let at = field as usize;
        let mut pairs: Vec<(usize, usize)> = joins
            .iter()
            .filter(|join| join.by.0 != field && join.by.1 != field)
            .flat_map(|join| join.pairs.iter().copied())
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        let prior = RATES.get(at).copied().unwrap_or(0.01);
        let (mut seen, mut kept) = (0_u32, 0_u32);
        let (mut changed, mut expected) = (0_u32, 0.0);
        for (was, new) in pairs {
            let (Some(was), Some(new)) = (book.people.get(was), login.people.get(new)) else { continue };
            if was.sight.code(field) == 0 {
                continue;
            }
            let is_kept = was.sight.code(field) == new.sight.code(field);
            seen += 1;
            kept += u32::from(is_kept);
            // Who was seen minutes ago changed nothing, which says nothing about those who were away.
            if login.known.is_empty() || was.seen.login != book.login {
                changed += u32::from(!is_kept);
                expected += change(prior, weeks(was.seen, login.at_s));
            }
        }
        if let Some(slot) = self.kept.get_mut(at) {
            *slot = (kept, seen);
        }
        if seen as usize >= MIN_PAIRS && f64::from(seen - kept) > DARK * f64::from(seen) {
            if let Some(weight) = self.weight.get_mut(at) {
                *weight = 0.0;
            }
        } else if let Some(rate) = self.rate.get_mut(at) {
            let scale = (f64::from(changed) + RATE_WEIGHT) / (expected + RATE_WEIGHT);
            *rate = prior * scale.clamp(0.3, 30.0);
        }
    }

    pub(crate) fn is_dark(&self, field: Field) -> bool {
        self.weight.get(field as usize).is_some_and(|weight| *weight == 0.0)
    }
}

/// Both know the field and agree.
pub(crate) fn same(was: &Sight, new: &Sight, field: Field) -> bool {
    was.code(field) != 0 && was.code(field) == new.code(field)
}

pub(crate) fn share(part: usize, whole: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of contacts are small")]
    let share = part as f64 / whole as f64;
    share
}

/// Old and new records that alone carry one version, of one kind.
pub(crate) fn version_pairs(book: &Book, login: &Login) -> Vec<(usize, usize)> {
    let key = |sight: &Sight| (sight.seq != 0).then_some((sight.kind, sight.seq));
    unique_pairs(
        book.people.iter().map(|was| key(&was.sight)),
        login.people.iter().map(|new| key(&new.sight)),
    )
}

/// Pairs that share a key which occurs once on each side, in the order of the new ones.
pub(crate) fn unique_pairs<K: std::hash::Hash + Eq>(
    old: impl Iterator<Item = Option<K>>,
    fresh: impl Iterator<Item = Option<K>>,
) -> Vec<(usize, usize)> {
    let mut at: HashMap<K, (Option<usize>, Option<usize>)> = HashMap::new();
    for (was, key) in old.enumerate() {
        if let Some(key) = key {
            at.entry(key).and_modify(|pair| pair.0 = None).or_insert((Some(was), None));
        }
    }
    let mut taken: HashMap<usize, Option<usize>> = HashMap::new();
    for (new, key) in fresh.enumerate() {
        if let Some((Some(was), _)) = key.and_then(|key| at.get(&key).copied()) {
            taken.entry(was).and_modify(|first| *first = None).or_insert(Some(new));
        }
    }
    let mut pairs: Vec<(usize, usize)> =
        taken.into_iter().filter_map(|(was, new)| Some((was, new?))).collect();
    pairs.sort_unstable_by_key(|&(was, new)| (new, was));
    pairs
}

struct Join {
    by: (Field, Field),
    pairs: Vec<(usize, usize)>,
}

/// Pairs recognised by two fields together.
fn joins(book: &Book, login: &Login) -> Vec<Join> {
    const STRONG: [Field; 5] = [Field::Nick, Field::Remark, Field::Avatar, Field::Signature, Field::Attr];
    let mut joins = Vec::with_capacity(10);
    for (at, &one) in STRONG.iter().enumerate() {
        for &other in STRONG.iter().skip(at + 1) {
            let key = |sight: &Sight| {
                let (a, b) = (sight.code(one), sight.code(other));
                (a != 0 && b != 0).then_some((sight.kind, a, b))
            };
            let pairs = unique_pairs(
                book.people.iter().map(|was| key(&was.sight)),
                login.people.iter().map(|new| key(&new.sight)),
            );
            joins.push(Join { by: (one, other), pairs });
        }
    }
    joins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::{Person, Profile};
    use crate::sight::Kind;

    #[test]
    fn who_was_seen_a_moment_ago_does_not_slow_the_changes_of_those_who_were_away() {
        let sight = |n: u64| {
            let codes = std::array::from_fn(|at| (n + 1) * 1000 + at as u64);
            Sight { kind: Kind::Person, seq: 0, codes, marker: None }
        };
        let (mut book, mut login) = (Book { login: 1, ..Book::default() }, Login::default());
        login.at_s = 1_700_000_000;
        for n in 0..400 {
            // Half a year ago: hundreds of changes should be seen, and none is.
            let seen = Seen { login: 1, at_s: login.at_s - 26 * 604_800, bound: 0 };
            book.people.push(Profile::new(format!("p-{n}"), sight(n), seen));
            login.people.push(Person { name: format!("@{n}"), sight: sight(n) });
        }
        let rate = |login: &Login| Trust::of(&book, login).rate[Field::Nick as usize];
        let prior = RATES[Field::Nick as usize];
        assert!(rate(&login) < prior, "measured over the time away");
        login.known = (0..400).map(|n| (format!("@{n}"), format!("p-{n}"))).collect();
        assert!((rate(&login) - prior).abs() < 1e-12);
    }
}
