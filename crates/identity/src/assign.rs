//! One to one, the most certain first, against every rival story.

use crate::bits::exp;
use crate::trust::share;

/// A link is made when all rivals together are less likely than this.
/// Source: the paper on contact identity, method, step 5.
pub(crate) const LINK: f64 = 0.001;
/// A newcomer is made when all old profiles together are less likely than this. Source: the same.
pub(crate) const NEWCOMER: f64 = 0.2;

/// A record less likely than this to be anybody known is an obvious newcomer. Chosen.
const OBVIOUS: f64 = 0.001;
/// Newcomers that are expected among the rest however many were obvious. Chosen.
const AT_LEAST: f64 = 0.5;

/// A new record that may be an old profile.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Pair {
    pub(crate) new: usize,
    pub(crate) old: usize,
    /// Nickname and picture: agreement only, what an impostor would copy first.
    pub(crate) face: f64,
    /// All public agreement.
    pub(crate) public_plus: f64,
    /// Public fields without nickname and picture.
    pub(crate) rest: f64,
    /// All public fields, agreement and change.
    pub(crate) public: f64,
    /// The owner's remark (for groups: the name).
    pub(crate) remark: f64,
    /// What nobody can copy.
    pub(crate) private: f64,
}

impl Pair {
    pub(crate) fn total(&self) -> f64 {
        self.public + self.remark + self.private
    }
}

/// What is left to be settled, in expected numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    /// Log of the chance that a record is a newcomer.
    pub(crate) newcomer: f64,
    /// Log of the chance that a record is a given profile which should be here.
    pub(crate) profile: f64,
    /// Log of the chance that a record is one of the newcomers there may be in all: whoever plays
    /// tricks is not found among the obvious ones.
    pub(crate) suspect: f64,
}

impl Left {
    /// `obvious` of the records are nobody known, and leave the others with fewer newcomers among them.
    pub(crate) fn of(records: usize, obvious: usize, present: f64, expected: f64) -> Self {
        let records = share(records.saturating_sub(obvious).max(1), 1);
        let newcomers = (expected - share(obvious, 1)).max(AT_LEAST).min(0.8 * records);
        // At least as many places as candidates: otherwise few records would make weak evidence strong.
        let known = (records - newcomers).max(0.2 * records);
        let scale = (known / present.max(0.5)).min(1.0);
        Self {
            newcomer: (newcomers / records).log2(),
            profile: (scale / records).log2(),
            suspect: (expected / records).min(1.0).log2(),
        }
    }
}

/// The stories that compete with the best pair of a record.
pub(crate) trait Stories {
    /// Log of the chance that the profile is in this login.
    fn presence(&self, old: usize) -> f64;
    /// Summed weight of the stories in which the record is not `best.old` although it looks so.
    fn rivals(&self, best: &Pair, row: &[Pair], left: Left) -> f64;
    /// Expected newcomers among all records.
    fn newcomers(&self) -> f64;
    /// Whether two profiles may be one: a record whose identity is open, and those it may be.
    fn are_one(&self, old: usize, other: usize) -> bool;
}

/// How one record stands at the end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    pub(crate) new: usize,
    /// Chance of any old profile.
    pub(crate) known: f64,
    /// The old profiles by chance, best first.
    pub(crate) candidates: Vec<(usize, f64)>,
}

/// Links what can be linked; `pairs` are sorted by record and hold free records and profiles only.
pub(crate) fn settle(
    pairs: &mut Vec<Pair>,
    free_new: &mut [bool],
    free_old: &mut [bool],
    stories: &impl Stories,
) -> Vec<(Pair, f64)> {
    let mut links = Vec::new();
    loop {
        let left = left(pairs, free_new, free_old, stories);
        let mut best: Vec<(usize, f64)> = Vec::new(); // index into pairs, odds
        let mut claims = vec![0.0_f64; free_old.len()];
        for row in rows(pairs) {
            let Some((at, odds)) =
                judge(pairs.get(row.clone()).unwrap_or_default(), stories, left, &mut claims)
            else {
                continue;
            };
            best.push((row.start + at, odds));
        }
        let mut sure: Vec<(usize, f64)> = best
            .into_iter()
            .filter_map(|(at, odds)| {
                let pair = pairs.get(at)?;
                let others = (claims.get(pair.old)? - odds).max(0.0);
                let wrong = (1.0 + others) / odds;
                (wrong < LINK).then_some((at, wrong))
            })
            .collect();
        if sure.is_empty() {
            return links;
        }
        sure.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        for (at, wrong) in sure {
            let Some(&pair) = pairs.get(at) else { continue };
            let (Some(new), Some(old)) = (free_new.get_mut(pair.new), free_old.get_mut(pair.old)) else {
                continue;
            };
            if *new && *old {
                (*new, *old) = (false, false);
                links.push((pair, wrong));
            }
        }
        pairs.retain(|pair| is_free(free_new, pair.new) && is_free(free_old, pair.old));
    }
}

/// How the records stand that were not linked; only those with any candidate are in it.
pub(crate) fn standings(
    pairs: &[Pair],
    free_new: &[bool],
    free_old: &[bool],
    stories: &impl Stories,
) -> Vec<Standing> {
    let left = left(pairs, free_new, free_old, stories);
    let mut out = Vec::new();
    for range in rows(pairs) {
        let row = pairs.get(range).unwrap_or_default();
        let Some(best) =
            row.iter().max_by(|a, b| weight(a, stories, left).total_cmp(&weight(b, stories, left)))
        else {
            continue;
        };
        let rivals = exp(left.newcomer) + stories.rivals(best, row, left);
        let known: f64 = row.iter().map(|pair| exp(weight(pair, stories, left))).sum();
        let whole = known + rivals;
        let mut candidates: Vec<(usize, f64)> =
            row.iter().map(|pair| (pair.old, exp(weight(pair, stories, left)) / whole)).collect();
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        out.push(Standing { new: best.new, known: known / whole, candidates });
    }
    out
}

fn is_free(free: &[bool], at: usize) -> bool {
    free.get(at).copied().unwrap_or(false)
}

fn left(pairs: &[Pair], free_new: &[bool], free_old: &[bool], stories: &impl Stories) -> Left {
    let records = free_new.iter().filter(|free| **free).count();
    let present = free_old
        .iter()
        .enumerate()
        .filter(|(_, free)| **free)
        .map(|(old, _)| exp(stories.presence(old)))
        .sum();
    let first = Left::of(records, 0, present, stories.newcomers());
    let mut has_candidates = 0;
    let mut obvious = 0;
    for range in rows(pairs) {
        let row = pairs.get(range).unwrap_or_default();
        has_candidates += 1;
        let known: f64 = row.iter().map(|pair| exp(weight(pair, stories, first))).sum();
        obvious += usize::from(known < OBVIOUS * exp(first.newcomer));
    }
    obvious += records.saturating_sub(has_candidates);
    Left::of(records, obvious, present, stories.newcomers())
}

fn weight(pair: &Pair, stories: &impl Stories, left: Left) -> f64 {
    left.profile + stories.presence(pair.old) + pair.total()
}

/// The best pair of a row and its odds; adds the odds of the others to `claims`.
fn judge(row: &[Pair], stories: &impl Stories, left: Left, claims: &mut [f64]) -> Option<(usize, f64)> {
    let weights: Vec<f64> = row.iter().map(|pair| exp(weight(pair, stories, left))).collect();
    let sum: f64 = weights.iter().sum();
    let newcomer = exp(left.newcomer);
    let (at, &most) = weights.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)))?;
    let best = row.get(at)?;
    let rest: f64 = row
        .iter()
        .zip(&weights)
        .enumerate()
        .filter(|(other, (pair, _))| *other != at && !stories.are_one(best.old, pair.old))
        .map(|(_, (_, w))| w)
        .sum();
    let odds = most / (rest + newcomer + stories.rivals(best, row, left)).max(f64::MIN_POSITIVE);
    for (other, (pair, w)) in row.iter().zip(&weights).enumerate() {
        let claim = if other == at { odds } else { w / (sum - w + newcomer).max(f64::MIN_POSITIVE) };
        if let Some(slot) = claims.get_mut(pair.old) {
            *slot += claim;
        }
    }
    Some((at, odds))
}

/// Ranges of pairs of one record each.
fn rows(pairs: &[Pair]) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for (at, pair) in pairs.iter().enumerate() {
        if pairs.get(at + 1).is_none_or(|next| next.new != pair.new) {
            ranges.push(start..at + 1);
            start = at + 1;
        }
    }
    ranges
}
