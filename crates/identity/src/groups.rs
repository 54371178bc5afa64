//! Groups: the same one, another of the same people, or a new one?

use std::collections::HashMap;

use crate::assign::{Left, Pair, Stories};
use crate::bits::{exp, factorial};
use crate::book::{Book, Login};
use crate::crowd::{Crowds, Entry, Overlap, Tie, overlap};
use crate::trust::{Trust, change, share, weeks};

const IMPOSSIBLE: f64 = -60.0;
/// A member of both lists; what a member list says in all is bounded. Chosen.
const MEMBER: f64 = 4.0;
const MEMBERS_MOST: f64 = 40.0;
/// Members that left or came, per week and member. Source: the paper on contact identity, evidence.
const MOVES: f64 = 0.015;
/// Order: an outlier left and came again. Chosen.
const OUTLIER: f64 = 7.0;
const ORDER_MOST: f64 = 20.0;
/// The name changes, per week; other settings. Source: the same for the first; chosen near it.
const RENAMED: f64 = 0.02;
const SWITCHED: f64 = 0.01;
/// The picture is made of the first members: equal, it vouches for their order. Chosen.
const PICTURE: f64 = 5.0;
/// Cards: equal, come or gone, different. Chosen near their rate of change.
const CARD: [f64; 3] = [4.0, -4.0, -5.0];
const CARDS: (f64, f64) = (-14.0, 12.0);
/// A second group of the same people, or one made again, per week and group. Chosen, on the safe side.
const TWIN: f64 = 0.008;
/// A group that is made again can have kept the order of a few members by chance: links of groups need more
/// than those of people. Chosen.
const VERSION: f64 = 12.0;

/// What holds for all groups of a login.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GroupTrust {
    /// Member lists keep their order.
    pub(crate) order: bool,
    pub(crate) title: bool,
    pub(crate) owner: bool,
    pub(crate) card: bool,
}

pub(crate) struct Groups<'a> {
    book: &'a Book,
    login: &'a Login,
    crowds: &'a Crowds,
    trust: &'a Trust,
    own: GroupTrust,
    titles: HashMap<u64, usize>,
    newcomers: f64,
}

/// Ties of all members of all groups, given the links of people.
pub(crate) struct Ties {
    pub(crate) old: Vec<Vec<Option<Tie>>>,
    pub(crate) new: Vec<Vec<Option<Tie>>>,
}

impl Ties {
    pub(crate) fn of(crowds: &Crowds, links: &[Option<usize>], is_linked: &[bool]) -> Self {
        let old = crowds.old.iter().map(|list| list.iter().map(|e| Crowds::old_tie(e, links)).collect());
        let new = crowds.new.iter().map(|list| list.iter().map(|e| Crowds::new_tie(e, is_linked)).collect());
        Self { old: old.collect(), new: new.collect() }
    }

    pub(crate) fn overlap(&self, old: usize, new: usize) -> Overlap {
        let none = Vec::new();
        overlap(self.old.get(old).unwrap_or(&none), self.new.get(new).unwrap_or(&none))
    }
}

impl<'a> Groups<'a> {
    pub(crate) fn new(
        book: &'a Book,
        login: &'a Login,
        crowds: &'a Crowds,
        trust: &'a Trust,
        own: GroupTrust,
    ) -> Self {
        let mut titles: HashMap<u64, usize> = HashMap::new();
        for group in &login.groups {
            *titles.entry(group.sight.title).or_default() += 1;
        }
        let gap = book.people.iter().map(|was| was.seen.at_s).max().unwrap_or(login.at_s);
        let gap = weeks(crate::book::Seen { at_s: gap, ..Default::default() }, login.at_s);
        let newcomers = 0.5 + 0.02 * share(login.groups.len(), 1) * gap;
        Self { book, login, crowds, trust, own, titles, newcomers }
    }

    /// Old groups that share a quarter of the members or the name, sorted by new group.
    pub(crate) fn candidates(
        &self,
        ties: &Ties,
        free_new: &[bool],
        free_old: &[bool],
    ) -> Vec<(usize, usize)> {
        let mut index: HashMap<Tie, Vec<usize>> = HashMap::new();
        for (old, list) in ties.old.iter().enumerate().filter(|(old, _)| free_old.get(*old) == Some(&true)) {
            for tie in list.iter().flatten().filter(|tie| **tie != Tie::Owner) {
                index.entry(*tie).or_default().push(old);
            }
        }
        let mut found = Vec::new();
        for (new, list) in ties.new.iter().enumerate().filter(|(new, _)| free_new.get(*new) == Some(&true)) {
            let mut common: HashMap<usize, usize> = HashMap::new();
            for old in list.iter().flatten().filter_map(|tie| index.get(tie)).flatten() {
                *common.entry(*old).or_default() += 1;
            }
            let title = self.login.groups.get(new).map_or(0, |group| group.sight.title);
            for (old, group) in self.book.groups.iter().enumerate() {
                if free_old.get(old) != Some(&true) {
                    continue;
                }
                let size = group.members.len().min(list.len()).saturating_sub(1).max(1);
                let shared = common.get(&old).copied().unwrap_or(0);
                if shared * 4 >= size || (title != 0 && title == group.sight.title) {
                    found.push((new, old));
                }
            }
        }
        found
    }

    pub(crate) fn pairs(&self, ties: &Ties, free_new: &[bool], free_old: &[bool]) -> Vec<Pair> {
        let candidates = self.candidates(ties, free_new, free_old);
        candidates.into_iter().filter_map(|(new, old)| self.weigh(new, old, ties)).collect()
    }

    fn weigh(&self, new: usize, old: usize, ties: &Ties) -> Option<Pair> {
        let (now, was) = (self.login.groups.get(new)?, self.book.groups.get(old)?);
        let (a, b) = (&now.sight, &was.sight);
        if a.name_len != b.name_len || !self.login.may_be(&now.name, was.permanent) {
            return None;
        }
        let weeks = weeks(was.seen, self.login.at_s);
        let mut private = 0.0;
        let is_comparable = was.seen.login >= self.book.versions_since;
        if self.trust.versions && is_comparable && a.seq != 0 && b.seq != 0 {
            match a.seq.cmp(&b.seq) {
                std::cmp::Ordering::Equal => private += VERSION,
                std::cmp::Ordering::Less => return None,
                std::cmp::Ordering::Greater if a.seq <= was.seen.bound => return None,
                std::cmp::Ordering::Greater => {}
            }
        }
        let lists = ties.overlap(old, new);
        let shared = lists.both.len().saturating_sub(1);
        let moved = change(MOVES, weeks).log2();
        let members = share(shared, 1) * MEMBER + share(lists.left + lists.joined, 1) * moved;
        let switched = change(SWITCHED, weeks).log2();
        let mut title = 0.0;
        if self.own.title {
            let alike = self.titles.get(&a.title).copied().unwrap_or(1);
            let rare = (share(self.login.groups.len() + 10, 1) / share(alike, 1)).log2().min(7.0);
            title = if a.title == b.title { rare } else { change(RENAMED, weeks).log2() };
        }
        if self.own.order {
            private += order(&lists);
        }
        if self.own.card {
            private += self.cards(old, new, &lists);
        }
        if self.own.owner {
            private += if a.is_owned == b.is_owned { if a.is_owned { 2.0 } else { 0.3 } } else { -8.0 };
        }
        private += if a.is_muted == b.is_muted { 0.5 } else { switched.max(-5.0) };
        private +=
            if a.is_pinned == b.is_pinned { if a.is_pinned { 3.0 } else { 0.1 } } else { switched.max(-5.0) };
        if a.remark != 0 || b.remark != 0 {
            private += if a.remark == b.remark { 6.0 } else { switched.max(-5.0) };
        }
        if a.avatar != 0 && b.avatar != 0 && a.avatar == b.avatar {
            private += PICTURE;
        }
        let pair = Pair {
            new,
            old,
            public_plus: members.clamp(0.0, MEMBERS_MOST),
            public: members.min(MEMBERS_MOST),
            remark: title,
            private,
            ..Pair::default()
        };
        (pair.total() > -14.0 && private > IMPOSSIBLE).then_some(pair)
    }

    fn cards(&self, old: usize, new: usize, lists: &Overlap) -> f64 {
        let card = |side: &[Vec<Entry>], group: usize, place: usize| {
            side.get(group).and_then(|list| list.get(place)).map_or(0, |entry| entry.card)
        };
        let mut sum = 0.0;
        for &(was, now) in &lists.both {
            let (was, now) = (card(&self.crowds.old, old, was), card(&self.crowds.new, new, now));
            let [equal, moved, differs] = CARD;
            sum += match (was, now) {
                (0, 0) => 0.1,
                (was, now) if was == now => equal,
                (0, _) | (_, 0) => moved,
                _ => differs,
            };
        }
        sum.clamp(CARDS.0, CARDS.1)
    }
}

/// The rest of the members keeps its order when some leave or join; another group has its own.
fn order(lists: &Overlap) -> f64 {
    let (both, out) = (lists.both.len(), lists.both.len() - lists.ordered);
    (factorial(both) - share(out, 1) * (OUTLIER + 2.0 * share(both.max(1), 1).log2()))
        .clamp(-ORDER_MOST, ORDER_MOST)
}

impl Stories for Groups<'_> {
    fn presence(&self, old: usize) -> f64 {
        // Groups that are not saved to the address book show only when somebody spoke.
        let is_recent = self.book.groups.get(old).is_some_and(|was| was.seen.login == self.book.login);
        if is_recent { -0.2 } else { -1.0 }
    }

    fn newcomers(&self) -> f64 {
        self.newcomers
    }

    fn are_one(&self, old: usize, other: usize) -> bool {
        let (Some(old), Some(other)) = (self.book.groups.get(old), self.book.groups.get(other)) else {
            return false;
        };
        old.open.contains(&other.id) || other.open.contains(&old.id)
    }

    fn rivals(&self, best: &Pair, _row: &[Pair], left: Left) -> f64 {
        let Some(was) = self.book.groups.get(best.old) else { return 0.0 };
        let twin = change(TWIN, weeks(was.seen, self.login.at_s)).log2();
        let base = left.profile + self.presence(best.old) + twin;
        exp(base + best.public_plus + best.remark.max(0.0))
    }
}
