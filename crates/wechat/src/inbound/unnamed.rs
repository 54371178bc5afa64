//! Names that were asked for and brought nothing: asked again later, ever more seldom.
//!
//! Asking holds up the messages of the sync that asks, so nobody is asked for at every one.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use wechat_proto::UserName;

/// First pause before a name is asked for again; doubles. Chosen: what is late comes within it.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause. Chosen.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// So often a name is asked for although nobody speaks. Chosen: half an hour.
const UNASKED: u32 = 6;
/// Names that are remembered. Chosen: more than a burst of strangers, some ten kilobytes.
const MAX_NAMES: usize = 64;

#[derive(Debug)]
struct Rest {
    tries: u32,
    until: Instant,
}

/// What brought nothing in one login.
#[derive(Debug, Default)]
pub(super) struct Unnamed {
    generation: u32,
    names: HashMap<UserName, Rest>,
}

impl Unnamed {
    /// Which of these are to be asked for now, and those that were asked for in vain and are due again. Names of
    /// another login mean nothing.
    pub(super) fn due(
        &mut self,
        wanted: BTreeSet<UserName>,
        generation: u32,
        now: Instant,
    ) -> BTreeSet<UserName> {
        if self.generation != generation {
            (self.generation, self.names) = (generation, HashMap::new());
        }
        let rests = |name: &UserName| self.names.get(name).is_some_and(|rest| now < rest.until);
        let mut due: BTreeSet<UserName> = wanted.into_iter().filter(|name| !rests(name)).collect();
        let again = self.names.iter().filter(|(_, rest)| rest.tries <= UNASKED && now >= rest.until);
        due.extend(again.map(|(name, _)| name.clone()));
        due
    }

    /// These brought what was wanted.
    pub(super) fn named<'a>(&mut self, names: impl Iterator<Item = &'a UserName>) {
        for name in names {
            self.names.remove(name);
        }
    }

    /// These brought nothing, or not what was wanted.
    pub(super) fn rest<'a>(&mut self, names: impl Iterator<Item = &'a UserName>, now: Instant) {
        for name in names {
            let tries = self.names.get(name).map_or(0, |rest| rest.tries) + 1;
            let pause = FIRST_PAUSE.saturating_mul(1 << (tries - 1).min(16)).min(LONGEST_PAUSE);
            if tries == 1 && self.names.len() >= MAX_NAMES {
                // Whoever has been asked for most often is least likely to be told.
                let most = self.names.iter().max_by_key(|(_, rest)| rest.tries).map(|(name, _)| name.clone());
                most.map(|name| self.names.remove(&name));
            }
            self.names.insert(name.clone(), Rest { tries, until: now + pause });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> BTreeSet<UserName> {
        of.iter().map(|name| UserName::from(*name)).collect()
    }

    #[test]
    fn who_brings_nothing_is_asked_for_ever_more_seldom() {
        let (mut unnamed, began) = (Unnamed::default(), Instant::now());
        let both = names(&["@anna", "@bo"]);
        assert_eq!(unnamed.due(both.clone(), 1, began), both);
        unnamed.rest(both.iter(), began);
        unnamed.named(names(&["@bo"]).iter());
        assert_eq!(unnamed.due(both.clone(), 1, began), names(&["@bo"]));
        // Though nobody speaks, up to a point.
        let mut asked = Vec::new();
        for second in 0..20_000 {
            let now = began + Duration::from_secs(second);
            if !unnamed.due(BTreeSet::new(), 1, now).is_empty() {
                asked.push(second);
                unnamed.rest(names(&["@anna"]).iter(), now);
            }
        }
        assert_eq!(asked, [30, 90, 210, 450, 930, 1890]);
        let much_later = began + Duration::from_secs(20_000);
        assert_eq!(unnamed.due(names(&["@anna"]), 1, much_later), names(&["@anna"]), "somebody speaks");
        assert_eq!(unnamed.due(names(&["@anna"]), 2, began), names(&["@anna"]), "another login");
    }

    #[test]
    fn it_is_bounded() {
        let (mut unnamed, began) = (Unnamed::default(), Instant::now());
        for at in 0..1000 {
            unnamed.rest([UserName::new(format!("@{at}"))].iter(), began);
        }
        assert_eq!(unnamed.names.len(), MAX_NAMES);
    }
}
