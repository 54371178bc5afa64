//! How common each value is: agreeing on a rare one says more.

use std::collections::HashMap;

use crate::sight::{Field, Kind, Sight};

/// Per field: how many would carry a value that nobody else was seen with, among the contacts and so many more.
/// Chosen.
const SMOOTH: [(f64, f64); Field::COUNT] = [
    (0.3, 100.0), // Nick
    (0.3, 100.0), // Remark
    (0.5, 100.0), // Avatar
    (0.3, 100.0), // Signature
    (0.5, 20.0),  // Region
    (1.0, 3.0),   // Sex
    (0.5, 50.0),  // Attr
    (1.0, 6.0),   // Sns
    (0.5, 2.0),   // Star
    (0.5, 2.0),   // Pin
    (0.5, 2.0),   // Mute
    (0.3, 100.0), // KeyWord
    (1.0, 2.0),   // NameLen
];

/// Counts of one kind of record.
#[derive(Debug)]
pub(crate) struct Census {
    counts: Vec<HashMap<u64, (u32, u32)>>,
    total: f64,
}

impl Census {
    pub(crate) fn of<'a>(
        kind: Kind,
        old: impl Iterator<Item = &'a Sight>,
        fresh: impl Iterator<Item = &'a Sight>,
    ) -> Self {
        let mut counts = vec![HashMap::<u64, (u32, u32)>::new(); Field::COUNT];
        let (mut olds, mut freshes) = (0_u32, 0_u32);
        for sight in old.filter(|sight| sight.kind == kind) {
            olds += 1;
            for (map, code) in counts.iter_mut().zip(sight.codes) {
                map.entry(code).or_default().0 += 1;
            }
        }
        for sight in fresh.filter(|sight| sight.kind == kind) {
            freshes += 1;
            for (map, code) in counts.iter_mut().zip(sight.codes) {
                map.entry(code).or_default().1 += 1;
            }
        }
        Self { counts, total: f64::from(olds.max(freshes)) }
    }

    /// How surprising it is that somebody else has this value, in bits.
    pub(crate) fn bits(&self, field: Field, code: u64) -> f64 {
        let at = field as usize;
        let (alpha, beta) = SMOOTH.get(at).copied().unwrap_or((1.0, 1.0));
        let (old, fresh) = self.counts.get(at).and_then(|map| map.get(&code)).copied().unwrap_or_default();
        // The others who have it, and those who might: few contacts must not make a value that all share look rare.
        let others = f64::from(old.max(fresh).saturating_sub(1)) / self.total.max(1.0);
        (-(others + alpha / (self.total + beta)).log2()).max(0.0)
    }
}
