//! Groups and their members: who is in both lists, in which order, and what that says about a person.

use std::collections::HashMap;

use crate::book::{Book, Login};
use crate::trust::{change, share, weeks};

/// Chance per week that a member leaves. Source: the paper on contact identity, the table of evidence.
const LEAVES: f64 = 0.015;
/// Bits taken away for having joined a group since. Chosen: about the chance to join one in particular.
const JOINED: f64 = -4.0;
/// The groups of a person are not independent: together they say no more than this. Chosen.
const MOST: f64 = 16.0;
/// Nor less than this when somebody left several at once. Chosen.
const LEAST: f64 = -8.0;
/// The place in the member list says no more than this. Chosen.
const PLACE: f64 = 5.0;
/// An equal name inside the group. Chosen: mostly a real name.
const CARD: f64 = 4.0;

/// An entry of a member list, with indices in place of names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Contact of the login or profile of the book.
    pub(crate) person: Option<usize>,
    pub(crate) is_self: bool,
    pub(crate) token: u64,
    pub(crate) card: u64,
}

/// The member lists of both sides.
pub(crate) struct Crowds {
    pub(crate) old: Vec<Vec<Entry>>,
    pub(crate) new: Vec<Vec<Entry>>,
}

/// What identifies a member on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tie {
    Owner,
    /// A linked contact, by its new index.
    Person(usize),
    Token(u64),
}

impl Crowds {
    pub(crate) fn new(book: &Book, login: &Login) -> Self {
        let ids: HashMap<&str, usize> =
            book.people.iter().enumerate().map(|(at, was)| (was.id.as_str(), at)).collect();
        let names: HashMap<&str, usize> =
            login.people.iter().enumerate().map(|(at, new)| (new.name.as_str(), at)).collect();
        let old = book.groups.iter().map(|group| {
            let entry = |member: &crate::book::KnownMember| Entry {
                person: ids.get(member.id.as_str()).copied(),
                is_self: member.id.is_empty(),
                token: member.sight.token(),
                card: member.sight.card,
            };
            group.members.iter().map(entry).collect()
        });
        let new = login.groups.iter().map(|group| {
            let entry = |member: &crate::book::GroupMember| Entry {
                person: names.get(member.name.as_str()).copied(),
                is_self: member.is_self,
                token: member.sight.token(),
                card: member.sight.card,
            };
            group.members.iter().map(entry).collect()
        });
        Self { old: old.collect(), new: new.collect() }
    }

    /// The tie of an old member; `links` leads from old people to new ones.
    pub(crate) fn old_tie(entry: &Entry, links: &[Option<usize>]) -> Option<Tie> {
        if entry.is_self {
            return Some(Tie::Owner);
        }
        match entry.person.map(|old| links.get(old).copied().flatten()) {
            Some(Some(new)) => Some(Tie::Person(new)),
            // A former contact may be in the list as a stranger now.
            _ => (entry.token != 0).then_some(Tie::Token(entry.token)),
        }
    }

    /// The tie of a new member; `is_linked` tells of contacts.
    pub(crate) fn new_tie(entry: &Entry, is_linked: &[bool]) -> Option<Tie> {
        if entry.is_self {
            return Some(Tie::Owner);
        }
        match entry.person {
            Some(new) => is_linked.get(new).copied().unwrap_or(false).then_some(Tie::Person(new)),
            None => (entry.token != 0).then_some(Tie::Token(entry.token)),
        }
    }
}

/// Two member lists laid side by side.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Overlap {
    /// Places of those in both, by the old place.
    pub(crate) both: Vec<(usize, usize)>,
    /// How many of them are in the same order.
    pub(crate) ordered: usize,
    /// The same, those out of order left out.
    pub(crate) anchors: Vec<(usize, usize)>,
    /// Surely gone, and surely come.
    pub(crate) left: usize,
    pub(crate) joined: usize,
}

/// Lays the lists side by side; ties that occur twice on a side tie nothing.
pub(crate) fn overlap(old: &[Option<Tie>], new: &[Option<Tie>]) -> Overlap {
    let places = |ties: &[Option<Tie>]| {
        let mut at: HashMap<Tie, Option<usize>> = HashMap::with_capacity(ties.len());
        for (place, tie) in ties.iter().enumerate() {
            if let Some(tie) = tie {
                at.entry(*tie).and_modify(|first| *first = None).or_insert(Some(place));
            }
        }
        at
    };
    let (was, now) = (places(old), places(new));
    let mut found = Overlap::default();
    for (place, tie) in old.iter().enumerate() {
        match tie.map(|tie| now.get(&tie)) {
            Some(Some(Some(to))) if tie.is_some_and(|tie| was.get(&tie) == Some(&Some(place))) => {
                found.both.push((place, *to));
            }
            Some(None) => found.left += 1,
            _ => {}
        }
    }
    found.joined = new.iter().flatten().filter(|tie| !was.contains_key(tie)).count();
    found.anchors = longest_ordered(&found.both);
    found.ordered = found.anchors.len();
    found
}

/// The longest part whose second places grow with the first.
fn longest_ordered(both: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut tails: Vec<usize> = Vec::new(); // indices into `both`
    let mut before: Vec<Option<usize>> = vec![None; both.len()];
    for (at, &(_, place)) in both.iter().enumerate() {
        let len = tails.partition_point(|&tail| both.get(tail).is_some_and(|other| other.1 < place));
        if let Some(slot) = before.get_mut(at) {
            *slot = len.checked_sub(1).and_then(|len| tails.get(len).copied());
        }
        match tails.get_mut(len) {
            Some(tail) => *tail = at,
            None => tails.push(at),
        }
    }
    let mut chain = Vec::with_capacity(tails.len());
    let mut at = tails.last().copied();
    while let Some(here) = at {
        chain.extend(both.get(here).copied());
        at = before.get(here).copied().flatten();
    }
    chain.reverse();
    chain
}

/// A person's place in a linked group.
#[derive(Debug, Clone, Copy)]
struct Bond {
    group: usize,
    /// How many of the members known on both sides stand before.
    rank: usize,
    card: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Shared {
    /// Bits of both being in it.
    both: f64,
    /// Bits of having left it.
    left: f64,
    place: f64,
}

/// What linked groups say about people.
#[derive(Debug, Default)]
pub(crate) struct Bonds {
    groups: Vec<Shared>,
    old: Vec<Vec<Bond>>,
    new: Vec<Vec<Bond>>,
    trusts_order: bool,
}

impl Bonds {
    /// `links` are (old group, new group, their overlap).
    pub(crate) fn of(
        book: &Book,
        login: &Login,
        crowds: &Crowds,
        links: &[(usize, usize, Overlap)],
        trusts_order: bool,
    ) -> Self {
        let mut bonds = Self {
            groups: Vec::with_capacity(links.len()),
            old: vec![Vec::new(); book.people.len()],
            new: vec![Vec::new(); login.people.len()],
            trusts_order,
        };
        let contacts = share(login.people.len() + 10, 1);
        for (at, (old, new, lists)) in links.iter().enumerate() {
            let (Some(was), Some(now)) = (crowds.old.get(*old), crowds.new.get(*new)) else { continue };
            let inside = share(now.iter().filter(|entry| entry.person.is_some()).count() + 1, 1);
            let weeks = book.groups.get(*old).map_or(1.0, |group| weeks(group.seen, login.at_s));
            bonds.groups.push(Shared {
                both: (contacts / inside).log2().max(0.0),
                left: change(LEAVES, weeks).log2(),
                place: share(lists.anchors.len() + 1, 1).log2().min(PLACE),
            });
            let places: Vec<usize> = lists.anchors.iter().map(|both| both.0).collect();
            stand(&mut bonds.old, was, at, &places);
            let mut places: Vec<usize> = lists.anchors.iter().map(|both| both.1).collect();
            places.sort_unstable();
            stand(&mut bonds.new, now, at, &places);
        }
        bonds
    }

    /// Whether both are in a linked group, and how many such groups there are.
    pub(crate) fn shared(&self, new: usize, old: usize) -> usize {
        let olds = self.old.get(old).map_or(&[][..], Vec::as_slice);
        let news = self.new.get(new).map_or(&[][..], Vec::as_slice);
        news.iter().filter(|bond| olds.iter().any(|was| was.group == bond.group)).count()
    }

    pub(crate) fn bits(&self, new: usize, old: usize) -> f64 {
        let olds = self.old.get(old).map_or(&[][..], Vec::as_slice);
        let news = self.new.get(new).map_or(&[][..], Vec::as_slice);
        if olds.is_empty() && news.is_empty() {
            return 0.0;
        }
        let (mut plus, mut minus, mut first) = (0.0_f64, 0.0_f64, true);
        let (mut i, mut j) = (0, 0);
        loop {
            let (was, now) = (olds.get(i), news.get(j));
            match (was, now) {
                (None, None) => break,
                (Some(was), Some(now)) if was.group == now.group => {
                    (i, j) = (i + 1, j + 1);
                    let shared = self.groups.get(was.group).copied().unwrap_or_default();
                    if self.trusts_order && was.rank != now.rank {
                        minus += shared.left;
                        continue;
                    }
                    let place = if self.trusts_order { shared.place } else { 0.0 };
                    plus += (shared.both + place) * if first { 1.0 } else { 0.5 };
                    first = false;
                    if was.card != 0 && was.card == now.card {
                        plus += CARD;
                    }
                }
                (Some(was), now) if now.is_none_or(|now| was.group < now.group) => {
                    minus += self.groups.get(was.group).map_or(0.0, |shared| shared.left);
                    i += 1;
                }
                _ => {
                    minus += JOINED;
                    j += 1;
                }
            }
        }
        plus.min(MOST) + minus.max(LEAST)
    }
}

fn stand(bonds: &mut [Vec<Bond>], entries: &[Entry], group: usize, anchors: &[usize]) {
    for (place, entry) in entries.iter().enumerate() {
        let Some(list) = entry.person.and_then(|person| bonds.get_mut(person)) else { continue };
        if list.last().is_none_or(|last| last.group != group) {
            list.push(Bond { group, rank: anchors.partition_point(|&at| at < place), card: entry.card });
        }
    }
}
