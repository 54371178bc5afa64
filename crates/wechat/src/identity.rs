//! Who is who across logins: every login renames everybody.
//!
//! Conservative on purpose. A split (the same person gets a second chat) can be mended; a wrong
//! merge puts messages into the wrong room. So a match needs two independent things that agree and
//! that nobody else shares, on both sides; everything else is new. Asking the owner and weighing
//! further evidence are a later step and replace this function alone.
//! Source: the protocol sheet, section 5.6.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Members that must agree, of the larger of the two groups. Chosen: one in five may have come or
/// gone while nobody looked.
const MEMBERS_PERCENT: usize = 80;

/// What a login shows of somebody, reduced to what is compared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Evidence {
    /// A group, not a person.
    #[serde(rename = "g", default)]
    pub(crate) is_group: bool,
    /// Version of the record in the owner's number space; 0 tells nothing.
    #[serde(rename = "s", default)]
    pub(crate) seq: i64,
    /// Hash of nickname and remark; 0 when there is neither.
    #[serde(rename = "n", default)]
    pub(crate) name: u64,
    /// Hashes of the members' nicknames, sorted.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<u32>,
}

/// For each of `fresh` the one of `old` that it certainly is.
pub(crate) fn match_all(old: &[Evidence], fresh: &[Evidence]) -> Vec<Option<usize>> {
    let by_seq = Pairs::of(old, fresh, |e| (e.seq != 0).then_some((e.is_group, e.seq, 0)));
    let by_name = Pairs::of(old, fresh, |e| (e.is_group && e.name != 0).then_some((true, 0, e.name)));
    let mut found: Vec<Option<usize>> = Vec::with_capacity(fresh.len());
    let mut claims: HashMap<usize, usize> = HashMap::new();
    for (at, new) in fresh.iter().enumerate() {
        let same_record =
            by_seq.partner(at).filter(|&was| old.get(was).is_some_and(|was| is_same_record(was, new)));
        let same_group =
            by_name.partner(at).filter(|&was| old.get(was).is_some_and(|was| is_same_crowd(was, new)));
        let hit = match (same_record, same_group) {
            // Two rules that point to two different groups: nobody knows.
            (Some(one), Some(other)) if one != other => None,
            (one, other) => one.or(other),
        };
        if let Some(was) = hit {
            *claims.entry(was).or_default() += 1;
        }
        found.push(hit);
    }
    found.iter().map(|hit| hit.filter(|was| claims.get(was) == Some(&1))).collect()
}

/// The same version of the same record: the name cannot have changed either.
fn is_same_record(was: &Evidence, new: &Evidence) -> bool {
    was.name == new.name && (new.is_group || new.name != 0)
}

fn is_same_crowd(was: &Evidence, new: &Evidence) -> bool {
    let larger = was.members.len().max(new.members.len());
    let (mut at, mut shared) = (was.members.iter().peekable(), 0_usize);
    for token in &new.members {
        while at.next_if(|other| *other < token).is_some() {}
        shared += usize::from(at.next_if(|other| *other == token).is_some());
    }
    larger > 0 && shared * 100 >= larger * MEMBERS_PERCENT
}

/// Pairs that share a key which occurs once on each side.
struct Pairs(HashMap<usize, usize>);

impl Pairs {
    fn of<K: std::hash::Hash + Eq>(
        old: &[Evidence],
        fresh: &[Evidence],
        key: impl Fn(&Evidence) -> Option<K>,
    ) -> Self {
        let unique = |side: &[Evidence]| {
            let mut seen: HashMap<K, Option<usize>> = HashMap::new();
            for (at, evidence) in side.iter().enumerate() {
                if let Some(key) = key(evidence) {
                    seen.entry(key).and_modify(|first| *first = None).or_insert(Some(at));
                }
            }
            seen
        };
        let was = unique(old);
        let pair = |(key, at): (K, Option<usize>)| Some((at?, (*was.get(&key)?)?));
        Self(unique(fresh).into_iter().filter_map(pair).collect())
    }

    fn partner(&self, fresh: usize) -> Option<usize> {
        self.0.get(&fresh).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn person(seq: i64, name: u64) -> Evidence {
        Evidence { seq, name, ..Evidence::default() }
    }

    fn group(seq: i64, name: u64, members: &[u32]) -> Evidence {
        Evidence { is_group: true, seq, name, members: members.to_vec() }
    }

    #[test]
    fn the_same_version_with_the_same_name_is_the_same_person() {
        let old = [person(5, 1), person(6, 2)];
        assert_eq!(match_all(&old, &[person(6, 2), person(5, 1)]), [Some(1), Some(0)]);
    }

    #[test]
    fn thin_evidence_is_no_match() {
        let old = [person(5, 1), person(0, 2), person(7, 3), person(7, 4), person(9, 0)];
        let fresh = [
            person(5, 9), // renamed: the version would have changed too, so something is odd
            person(0, 2), // a name alone
            person(7, 3), // a version that two old ones share
            person(9, 0), // no name at all
        ];
        assert_eq!(match_all(&old, &fresh), [None, None, None, None]);
        let twins = [person(5, 1), person(5, 1)];
        assert_eq!(match_all(&old, &twins), [None, None]);
    }

    #[test]
    fn a_group_is_known_by_its_name_and_most_of_its_members() {
        let old = [group(0, 1, &[1, 2, 3, 4, 5]), group(0, 2, &[1, 2]), group(0, 3, &[])];
        assert_eq!(match_all(&old, &[group(8, 1, &[2, 3, 4, 5, 9])]), [Some(0)]);
        assert_eq!(match_all(&old, &[group(0, 1, &[3, 4, 5, 8, 9])]), [None], "too many strangers");
        assert_eq!(match_all(&old, &[group(0, 3, &[])]), [None], "nobody to compare");
        assert_eq!(
            match_all(&old, &[group(0, 2, &[1, 2]), group(0, 2, &[1, 2])]),
            [None, None],
            "two of a name"
        );
    }

    #[test]
    fn rules_that_contradict_each_other_match_nothing() {
        let old = [group(5, 1, &[7]), group(6, 1, &[1, 2])];
        assert_eq!(
            match_all(&old, &[group(5, 1, &[1, 2])]),
            [Some(0)],
            "the name is not unique, the version is"
        );
        let old = [group(5, 2, &[7]), group(6, 1, &[1, 2])];
        assert_eq!(match_all(&old, &[group(5, 1, &[1, 2])]), [Some(1)], "the version is of another name");
    }

    prop_compose! {
        fn anybody()(is_group: bool, seq in 0_i64..6, name in 0_u64..4, mut members in proptest::collection::vec(0_u32..5, 0..4))
            -> Evidence {
            members.sort_unstable();
            Evidence { is_group, seq, name, members: if is_group { members } else { Vec::new() } }
        }
    }

    proptest! {
        #[test]
        fn nobody_is_matched_twice_and_nobody_across_kinds(
            old in proptest::collection::vec(anybody(), 0..12),
            fresh in proptest::collection::vec(anybody(), 0..12),
        ) {
            let found = match_all(&old, &fresh);
            prop_assert_eq!(found.len(), fresh.len());
            let mut hits: Vec<usize> = found.iter().flatten().copied().collect();
            let all = hits.len();
            hits.sort_unstable();
            hits.dedup();
            prop_assert_eq!(hits.len(), all);
            for (new, was) in fresh.iter().zip(&found) {
                if let Some(was) = was {
                    prop_assert_eq!(old[*was].is_group, new.is_group);
                    prop_assert_eq!(old[*was].name, new.name, "never against the name");
                }
            }
        }
    }
}
