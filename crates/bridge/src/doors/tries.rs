//! Wrong attempts by name and by address, within bounds.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;

use wxgate_contract::{Timestamp, UserName, household};

/// Attempts in reserve, and the time in which one comes back.
struct Reserve {
    most: i64,
    each_ms: i64,
}

/// Of a name, from everywhere or from one of its own places.
const NAME: Reserve = Reserve { most: 10, each_ms: 30_000 };
/// Of an address, where many people may be.
const ADDRESS: Reserve = Reserve { most: 30, each_ms: 2_000 };
/// Reserves that are not full and remembered at once. Beyond, the one that would be full first is: to wear off what
/// is counted of one name takes more wrong attempts than are worked at. Chosen.
const REMEMBERED: usize = 10_000;
/// Places from which names came in that are remembered at once; beyond, the one that was used longest ago is
/// forgotten. Chosen: two for each person of a large host; one costs thirty bytes.
const PLACES: usize = 20_000;
/// For how long a place stays one of a name's own. Chosen: ninety days.
const OWN_MS: i64 = 90 * 86_400_000;

/// What has a reserve.
#[derive(Hash)]
enum Holder<'a> {
    Name(&'a str),
    Address(IpAddr),
    /// A name at a place of its own.
    Own(&'a str, IpAddr),
}

/// Who tried how often. By hashes that nobody outside foresees: what is typed as a name has any length.
#[derive(Default)]
pub(super) struct Tries {
    hasher: RandomState,
    /// When a reserve will be full again.
    full: HashMap<u64, i64>,
    /// When a name last came in from a place.
    own: HashMap<u64, i64>,
}

impl Tries {
    fn hash(&self, what: &impl Hash) -> u64 {
        self.hasher.hash_one(what)
    }

    fn is_own(&self, name: &str, from: Option<IpAddr>, now: i64) -> bool {
        let last = from.and_then(|from| self.own.get(&self.hash(&Holder::Own(name, household(from)))));
        last.is_some_and(|last| now - last < OWN_MS)
    }

    /// What an attempt costs: one of each of these.
    fn cost<'a>(&self, name: &'a str, from: Option<IpAddr>, now: i64) -> Vec<(Holder<'a>, Reserve)> {
        match from {
            Some(from) if self.is_own(name, Some(from), now) => {
                vec![(Holder::Own(name, household(from)), NAME)]
            }
            Some(from) => vec![(Holder::Name(name), NAME), (Holder::Address(household(from)), ADDRESS)],
            None => vec![(Holder::Name(name), NAME)],
        }
    }

    /// True when this name may be tried from there.
    pub(super) fn has_one(&self, name: &UserName, from: Option<IpAddr>, now: Timestamp) -> bool {
        let now = now.ms();
        self.cost(name.as_str(), from, now).iter().all(|(holder, reserve)| {
            let full = self.full.get(&self.hash(holder)).copied().unwrap_or(now);
            full.max(now) + reserve.each_ms - now <= reserve.most * reserve.each_ms
        })
    }

    /// Takes an attempt of each of these names that has one, and tells which those are.
    pub(super) fn take(&mut self, names: &[UserName], from: Option<IpAddr>, now: Timestamp) -> Vec<UserName> {
        let mut taken = Vec::new();
        for name in names {
            if !self.has_one(name, from, now) {
                continue;
            }
            let now = now.ms();
            for (holder, reserve) in self.cost(name.as_str(), from, now) {
                let key = self.hash(&holder);
                make_room(&mut self.full, key, REMEMBERED, now);
                let full = self.full.entry(key).or_insert(now);
                *full = (*full).max(now) + reserve.each_ms;
            }
            taken.push(name.clone());
        }
        taken
    }

    /// Gives back what was taken, because `name` was right: from there it comes in from now on whatever others try.
    pub(super) fn was_right(
        &mut self,
        taken: &[UserName],
        name: &UserName,
        from: Option<IpAddr>,
        now: Timestamp,
    ) {
        let now = now.ms();
        for name in taken {
            for (holder, reserve) in self.cost(name.as_str(), from, now) {
                let key = self.hash(&holder);
                if let Some(full) = self.full.get_mut(&key) {
                    *full -= reserve.each_ms;
                }
            }
        }
        let Some(from) = from else { return };
        let key = self.hash(&Holder::Own(name.as_str(), household(from)));
        make_room(&mut self.own, key, PLACES, now - OWN_MS);
        self.own.insert(key, now);
    }
}

/// Makes room for one more: what is over at `now` goes, or else what would be over first.
fn make_room(map: &mut HashMap<u64, i64>, key: u64, most: usize, now: i64) {
    if map.len() < most || map.contains_key(&key) {
        return;
    }
    map.retain(|_, until| *until > now);
    if map.len() >= most
        && let Some(first) = map.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key)
    {
        map.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_700_000_000_000);

    fn at(seconds: i64) -> Timestamp {
        Timestamp(START.ms() + seconds * 1000)
    }

    fn from(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// How many of `count` wrong attempts are taken.
    fn wrong(tries: &mut Tries, name: &str, from: Option<IpAddr>, now: Timestamp, count: usize) -> usize {
        (0..count).filter(|_| !tries.take(&[name.into()], from, now).is_empty()).count()
    }

    #[test]
    fn attempts_run_out_and_come_back() {
        let mut tries = Tries::default();
        assert_eq!(wrong(&mut tries, "ann", None, START, 100), 10);
        assert_eq!(wrong(&mut tries, "bob", None, START, 1), 1, "another name has its own");
        assert_eq!(wrong(&mut tries, "ann", None, at(29), 1), 0);
        assert_eq!(wrong(&mut tries, "ann", None, at(30), 5), 1);
        let here = from("192.0.2.1");
        let named = (0..100).filter(|n| wrong(&mut tries, &format!("n{n}"), here, START, 1) == 1);
        assert_eq!(named.count(), 30, "of an address");
        assert_eq!(wrong(&mut tries, "eve", here, at(2), 5), 1);
        assert_eq!(
            wrong(&mut tries, "eve", from("::ffff:192.0.2.1"), at(2), 5),
            0,
            "the same, written otherwise"
        );
    }

    #[test]
    fn what_was_right_costs_nothing() {
        let mut tries = Tries::default();
        let names: [UserName; 2] = ["whoever".into(), "ann".into()];
        for _ in 0..100 {
            let taken = tries.take(&names, from("192.0.2.1"), START);
            assert_eq!(taken, names);
            tries.was_right(&taken, &names[1], from("192.0.2.1"), START);
        }
    }

    #[test]
    fn others_guesses_lock_nobody_out_of_their_own_places() {
        let mut tries = Tries::default();
        let (home, away, ann) = (from("2001:db8:0:1::7"), from("203.0.113.9"), UserName::from("ann"));
        let taken = tries.take(std::slice::from_ref(&ann), home, START);
        tries.was_right(&taken, &ann, home, START);
        assert_eq!(wrong(&mut tries, "ann", away, at(1), 100), 10);
        assert!(!tries.has_one(&ann, from("198.51.100.3"), at(1)), "elsewhere ann has to wait");
        assert!(tries.has_one(&ann, home, at(1)) && tries.has_one(&ann, from("2001:db8:0:1::8"), at(1)));
        // Neither do those who try other names from there, as behind a proxy that does not say who comes.
        for n in 0..60 {
            wrong(&mut tries, &format!("n{n}"), home, at(1), 1);
        }
        assert!(tries.has_one(&ann, home, at(1)) && !tries.has_one(&"bob".into(), home, at(1)));
        assert_eq!(wrong(&mut tries, "ann", home, at(1), 100), 10, "but there is a bound there too");
        assert!(!tries.has_one(&ann, home, at(30)) && tries.has_one(&ann, home, at(31)));
        assert!(!tries.has_one(&ann, from("2001:db8:0:2::7"), at(30)), "the next household is another place");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_wears_off_nothing() {
        let mut tries = Tries::default();
        assert_eq!(wrong(&mut tries, "ann", None, START, 100), 10);
        for n in 0..2 * REMEMBERED {
            wrong(&mut tries, &format!("many{n}"), None, START, 1);
        }
        assert!(tries.full.len() <= REMEMBERED);
        assert!(!tries.has_one(&"ann".into(), None, START), "what counts most is kept");
        let ann = UserName::from("ann");
        for n in 0..PLACES + 10 {
            let here = Some(IpAddr::V4(u32::try_from(n).unwrap().into()));
            tries.was_right(&[], &ann, here, Timestamp(START.ms() + i64::try_from(n).unwrap()));
        }
        assert_eq!(tries.own.len(), PLACES);
    }
}
