//! One login against everything known: exact versions, then people and groups by turns.

mod certain;

use std::collections::HashSet;

use crate::assign::{NEWCOMER, Pair, Standing, settle, standings};
use crate::book::{Book, Login};
use crate::crowd::{Bonds, Crowds, Overlap, overlap};
use crate::groups::{GroupTrust, Groups, Ties};
use crate::marker;
use crate::people::People;
use crate::sight::Field;
use crate::strangers::{self, Stranger};
use crate::trust::{Trust, share, unique_pairs, version_pairs};
use crate::why::Why;

/// People and groups help each other this often. Source: the paper on contact identity, method, step 7.
const ROUNDS: usize = 3;
/// Candidates that a question names. Chosen: more are no help to anybody.
const CANDIDATES: usize = 4;
/// A candidate of a question is at least so likely. Chosen.
const WORTH_NAMING: f64 = 0.01;

/// What became of one record.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is this profile of the book.
    Known {
        /// Its place in the book.
        old: usize,
        /// The evidence.
        why: Why,
    },
    /// Nobody known.
    New,
    /// The evidence does not decide.
    Open {
        /// Places in the book of those it may be, and the chance of each, best first.
        candidates: Vec<(usize, f64)>,
        /// The record of an earlier login that was open too and certainly is this one.
        of: Option<usize>,
    },
}

/// What a login's fields did, for statistics: no personal data.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    /// Versions were believed.
    pub versions: bool,
    /// Member lists kept their order.
    pub order: bool,
    /// Bits of the fields that told nothing at this login, by [`Field`].
    pub dark: u16,
    /// Of the people compared without it: how many kept the field, and how many there were.
    pub fields: [(u32, u32); Field::COUNT],
}

/// What a login came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdicts {
    /// As the records of the login.
    pub people: Vec<Verdict>,
    /// As the groups of the login.
    pub groups: Vec<Verdict>,
    /// Members who are no contacts and were recognised: session name and lasting id.
    pub strangers: Vec<Stranger>,
    /// What the fields did.
    pub kept: Kept,
}

/// Decides for every record of a login. The same input gives the same answer.
#[must_use]
pub fn recognise(book: &Book, login: &Login) -> Verdicts {
    // Source: the paper on contact identity, method, step 10.
    let is_other_account = book.uin != 0 && login.uin != 0 && book.uin != login.uin;
    if is_other_account || (book.people.is_empty() && book.groups.is_empty()) {
        return Verdicts {
            people: vec![Verdict::New; login.people.len()],
            groups: vec![Verdict::New; login.groups.len()],
            ..Verdicts::default()
        };
    }
    Work::new(book, login).run()
}

struct Work<'a> {
    book: &'a Book,
    login: &'a Login,
    trust: Trust,
    crowds: Crowds,
    free_new: Vec<bool>,
    free_old: Vec<bool>,
    /// New people by old ones.
    links: Vec<Option<usize>>,
    found: Vec<Option<(usize, Why)>>,
    free_new_groups: Vec<bool>,
    free_old_groups: Vec<bool>,
    found_groups: Vec<Option<(usize, Why)>>,
}

impl<'a> Work<'a> {
    fn new(book: &'a Book, login: &'a Login) -> Self {
        Self {
            book,
            login,
            trust: Trust::of(book, login),
            crowds: Crowds::new(book, login),
            free_new: vec![true; login.people.len()],
            free_old: vec![true; book.people.len()],
            links: vec![None; book.people.len()],
            found: vec![None; login.people.len()],
            free_new_groups: vec![true; login.groups.len()],
            free_old_groups: vec![true; book.groups.len()],
            found_groups: vec![None; login.groups.len()],
        }
    }

    fn run(mut self) -> Verdicts {
        let (book, login) = (self.book, self.login);
        let trust = self.trust.clone();
        let people = People::new(book, login, &trust);
        self.settled();
        self.proven();
        self.exact();
        let doubted = self.marked();
        let mut group_pairs = Vec::new();
        let mut own = GroupTrust { order: false, title: true, owner: true, card: true };
        let crowds = Crowds::new(book, login);
        for round in 0..ROUNDS {
            let bonds = self.bonds(own.order);
            let mut pairs = people.pairs(&self.free_new, &self.free_old, &bonds);
            let links = settle(&mut pairs, &mut self.free_new, &mut self.free_old, &people);
            let moved = !links.is_empty();
            self.link_people(links, &bonds);
            let ties = self.ties();
            own = self.group_trust(&ties);
            if round == 0 {
                self.exact_groups(&ties);
            }
            let groups = Groups::new(book, login, &crowds, &trust, own);
            group_pairs = groups.pairs(&ties, &self.free_new_groups, &self.free_old_groups);
            let links =
                settle(&mut group_pairs, &mut self.free_new_groups, &mut self.free_old_groups, &groups);
            let grouped = !links.is_empty();
            self.link_groups(links, &ties);
            if round > 0 && !moved && !grouped {
                break;
            }
        }
        let bonds = self.bonds(own.order);
        let mut pairs = people.pairs(&self.free_new, &self.free_old, &bonds);
        let links = settle(&mut pairs, &mut self.free_new, &mut self.free_old, &people);
        self.link_people(links, &bonds);
        let groups = Groups::new(book, login, &crowds, &trust, own);
        let mut open = standings(&pairs, &self.free_new, &self.free_old, &people);
        self.doubt(doubted, &mut open);
        let open_groups = standings(&group_pairs, &self.free_new_groups, &self.free_old_groups, &groups);
        self.finish(own, open, open_groups)
    }

    fn are_free(&self, new: usize, old: usize) -> bool {
        self.free_new.get(new) == Some(&true) && self.free_old.get(old) == Some(&true)
    }

    /// Both are free, and no permanent names say that they are two.
    fn may_be(&self, new: usize, old: usize) -> bool {
        let (now, was) = (self.login.people.get(new), self.book.people.get(old));
        let is_allowed = now.zip(was).is_some_and(|(now, was)| self.login.may_be(&now.name, was.permanent));
        is_allowed && self.are_free(new, old)
    }

    /// The same version of the same record, nothing else changed.
    fn exact(&mut self) {
        if !self.trust.versions {
            return;
        }
        for (old, new) in version_pairs(self.book, self.login) {
            let (Some(was), Some(now)) = (self.book.people.get(old), self.login.people.get(new)) else {
                continue;
            };
            let why = Why::between(&was.sight, &now.sight);
            let count = |fields: &[Field]| {
                let live = fields.iter().filter(|field| !self.trust.is_dark(**field));
                live.filter(|field| why.differ & (1 << **field as usize) != 0).count()
            };
            let never = count(&[Field::KeyWord, Field::NameLen]);
            let faces = count(&[Field::Nick, Field::Avatar]);
            let changed =
                faces + count(&[Field::Remark, Field::Signature, Field::Region, Field::Sex, Field::Attr]);
            if never == 0 && changed <= 1 && was.open.is_empty() && self.may_be(new, old) {
                self.link_person(new, old, why);
            }
        }
    }

    /// A marker in the remark, and something of the contact's own that agrees: the owner may have given the
    /// whole remark to somebody else. Returns the pairs where nothing but the remark speaks for it.
    fn marked(&mut self) -> Vec<(usize, usize)> {
        let mut doubted = Vec::new();
        for (old, new) in marker::pairs(self.book, self.login) {
            let (Some(was), Some(now)) = (self.book.people.get(old), self.login.people.get(new)) else {
                continue;
            };
            let may_be = self.may_be(new, old);
            let why = Why::between(&was.sight, &now.sight);
            // First letters and lengths never change. Source: the paper on contact identity, evidence.
            let never = [Field::KeyWord, Field::NameLen].into_iter().any(|field| {
                let are_told = was.sight.code(field) != 0 && now.sight.code(field) != 0;
                are_told && why.differ & (1 << field as usize) != 0 && !self.trust.is_dark(field)
            });
            if !may_be || never {
                continue;
            }
            let agree = |fields: &[Field]| {
                fields.iter().filter(|field| why.agree & (1 << **field as usize) != 0).count()
            };
            let own = agree(&[Field::Nick, Field::Avatar, Field::Signature, Field::KeyWord]);
            let settings = agree(&[Field::Attr, Field::Sns, Field::Region, Field::Sex]);
            if own > 0 || settings >= 3 {
                self.link_person(new, old, Why { marker: true, ..why });
            } else {
                doubted.push((new, old));
            }
        }
        doubted
    }

    /// A marker that nothing else speaks for is a question, whatever the rest says.
    fn doubt(&self, doubted: Vec<(usize, usize)>, open: &mut Vec<Standing>) {
        for (new, old) in doubted {
            if !self.are_free(new, old) {
                continue;
            }
            let at = open.iter().position(|standing| standing.new == new);
            let mut standing = at.map_or_else(
                || Standing { new, known: 0.0, candidates: Vec::new() },
                |at| open.swap_remove(at),
            );
            standing.candidates.retain(|(other, _)| *other != old);
            standing.candidates.insert(0, (old, 0.5));
            standing.known = standing.known.max(0.5);
            open.push(standing);
        }
    }

    fn link_person(&mut self, new: usize, old: usize, why: Why) {
        if let (Some(link), Some(found)) = (self.links.get_mut(old), self.found.get_mut(new)) {
            (*link, *found) = (Some(new), Some((old, why)));
        }
        if let (Some(a), Some(b)) = (self.free_new.get_mut(new), self.free_old.get_mut(old)) {
            (*a, *b) = (false, false);
        }
    }

    fn link_people(&mut self, links: Vec<(Pair, f64)>, bonds: &Bonds) {
        for (pair, wrong) in links {
            let (Some(was), Some(now)) = (self.book.people.get(pair.old), self.login.people.get(pair.new))
            else {
                continue;
            };
            let why = Why::between(&was.sight, &now.sight).with(bonds.shared(pair.new, pair.old), wrong);
            self.link_person(pair.new, pair.old, why);
        }
    }

    fn link_groups(&mut self, links: Vec<(Pair, f64)>, ties: &Ties) {
        for (pair, wrong) in links {
            let shared = ties.overlap(pair.old, pair.new).both.len();
            self.link_group(pair.new, pair.old, Why::default().with(shared, wrong));
        }
    }

    fn link_group(&mut self, new: usize, old: usize, mut why: Why) {
        if let (Some(was), Some(now)) = (self.book.groups.get(old), self.login.groups.get(new)) {
            why.version = was.sight.seq != 0 && was.sight.seq == now.sight.seq;
            let bit = 1 << Field::Nick as usize;
            if was.sight.title == now.sight.title {
                why.agree |= bit;
            } else {
                why.differ |= bit;
            }
        }
        if let Some(found) = self.found_groups.get_mut(new) {
            *found = Some((old, why));
        }
        if let (Some(a), Some(b)) = (self.free_new_groups.get_mut(new), self.free_old_groups.get_mut(old)) {
            (*a, *b) = (false, false);
        }
    }

    fn ties(&self) -> Ties {
        let is_linked: Vec<bool> = self.found.iter().map(Option::is_some).collect();
        Ties::of(&self.crowds, &self.links, &is_linked)
    }

    fn bonds(&self, trusts_order: bool) -> Bonds {
        let ties = self.ties();
        let mut links: Vec<(usize, usize, Overlap)> = Vec::new();
        for (new, found) in self.found_groups.iter().enumerate() {
            if let Some((old, _)) = found {
                links.push((*old, new, ties.overlap(*old, new)));
            }
        }
        Bonds::of(self.book, self.login, &self.crowds, &links, trusts_order)
    }

    fn group_versions(&self) -> Vec<(usize, usize)> {
        let (book, login) = (self.book, self.login);
        let seq = |seq: i64| (seq != 0).then_some(seq);
        unique_pairs(
            book.groups.iter().map(|was| seq(was.sight.seq)),
            login.groups.iter().map(|now| seq(now.sight.seq)),
        )
    }

    fn exact_groups(&mut self, ties: &Ties) {
        if !self.trust.versions {
            return;
        }
        for (old, new) in self.group_versions() {
            let (Some(was), Some(now)) = (self.book.groups.get(old), self.login.groups.get(new)) else {
                continue;
            };
            let lists = ties.overlap(old, new);
            let moved = lists.left + lists.joined;
            let are_free =
                self.free_new_groups.get(new) == Some(&true) && self.free_old_groups.get(old) == Some(&true);
            let is_same = was.sight.title == now.sight.title && moved * 3 <= lists.both.len();
            let is_allowed = self.login.may_be(&now.name, was.permanent);
            if are_free && is_same && was.open.is_empty() && is_allowed {
                self.link_group(new, old, Why::default().with(lists.both.len(), 0.0));
            }
        }
    }

    /// Measured on the groups that share nearly all members with one old group.
    fn group_trust(&self, ties: &Ties) -> GroupTrust {
        let versions = if self.trust.versions { self.group_versions() } else { Vec::new() };
        let alike = if versions.len() >= 5 { versions } else { self.alike(ties) };
        let (mut all, mut ordered, mut title, mut owner) = (0, 0, 0, 0);
        let (mut cards, mut kept_cards) = (0, 0);
        for &(old, new) in &alike {
            let (Some(was), Some(now)) = (self.book.groups.get(old), self.login.groups.get(new)) else {
                continue;
            };
            let lists = overlap(
                ties.old.get(old).map_or(&[][..], Vec::as_slice),
                ties.new.get(new).map_or(&[][..], Vec::as_slice),
            );
            if lists.both.len() < 4 {
                continue;
            }
            all += 1;
            ordered += usize::from(lists.ordered * 5 >= lists.both.len() * 4);
            title += usize::from(was.sight.title == now.sight.title);
            owner += usize::from(was.sight.is_owned == now.sight.is_owned);
            for &(a, b) in &lists.both {
                let (a, b) = (was.members.get(a), now.members.get(b));
                let (Some(a), Some(b)) = (a, b) else { continue };
                cards += usize::from(a.sight.card != 0);
                kept_cards += usize::from(a.sight.card != 0 && a.sight.card == b.sight.card);
            }
        }
        let most = |part: usize, whole: usize| whole < 4 || share(part, whole) >= 0.75;
        GroupTrust {
            order: all > 0 && share(ordered, all) >= 0.6,
            title: most(title, all),
            owner: most(owner, all),
            card: most(kept_cards, cards),
        }
    }

    /// For each new group the old one with most members in common, if nearly all are.
    fn alike(&self, ties: &Ties) -> Vec<(usize, usize)> {
        let groups = Groups::new(
            self.book,
            self.login,
            &self.crowds,
            &self.trust,
            GroupTrust { order: false, title: true, owner: true, card: true },
        );
        let all = (vec![true; self.login.groups.len()], vec![true; self.book.groups.len()]);
        let mut best: Vec<Option<(usize, usize)>> = vec![None; self.login.groups.len()];
        for (new, old) in groups.candidates(ties, &all.0, &all.1) {
            let lists = ties.overlap(old, new);
            let shared = lists.both.len();
            if (lists.left + lists.joined) * 4 > shared {
                continue;
            }
            if let Some(slot) = best.get_mut(new)
                && slot.is_none_or(|(_, most)| shared > most)
            {
                *slot = Some((old, shared));
            }
        }
        best.into_iter().enumerate().filter_map(|(new, best)| Some((best?.0, new))).collect()
    }

    fn finish(self, own: GroupTrust, open: Vec<Standing>, open_groups: Vec<Standing>) -> Verdicts {
        let open_at: HashSet<usize> =
            open.iter().filter(|open| open.known >= NEWCOMER).map(|open| open.new).collect();
        let settled: Vec<bool> = self
            .found
            .iter()
            .enumerate()
            .map(|(new, found)| found.is_some() || open_at.contains(&new))
            .collect();
        let strangers = {
            let ties = self.ties();
            let groups: Vec<(usize, usize, Overlap)> = self
                .found_groups
                .iter()
                .enumerate()
                .filter_map(|(new, found)| found.map(|(old, _)| (old, new, ties.overlap(old, new))))
                .collect();
            strangers::recognise(self.book, self.login, (&self.links, &settled), &groups, own.order)
        };
        let is_open = |old: usize| self.book.people.get(old).is_some_and(|was| !was.open.is_empty());
        let may_be = |old: usize| {
            let ids = self.book.people.get(old).map_or(&[][..], |was| &was.open);
            let free =
                self.book.people.iter().enumerate().filter(|(at, _)| self.free_old.get(*at) == Some(&true));
            free.filter(|(_, was)| ids.contains(&was.id)).map(|(at, _)| (at, 0.5)).collect()
        };
        let people = verdicts(&self.found, open, is_open, may_be);
        let is_open = |old: usize| self.book.groups.get(old).is_some_and(|was| !was.open.is_empty());
        let may_be = |old: usize| {
            let ids = self.book.groups.get(old).map_or(&[][..], |was| &was.open);
            let free = self
                .book
                .groups
                .iter()
                .enumerate()
                .filter(|(at, _)| self.free_old_groups.get(*at) == Some(&true));
            free.filter(|(_, was)| ids.contains(&was.id)).map(|(at, _)| (at, 0.5)).collect()
        };
        let groups = verdicts(&self.found_groups, open_groups, is_open, may_be);
        let dark = Field::ALL.into_iter().filter(|field| self.trust.is_dark(*field));
        let dark = dark.fold(0, |bits, field| bits | 1 << field as usize);
        let kept = Kept { versions: self.trust.versions, order: own.order, dark, fields: self.trust.kept };
        Verdicts { people, groups, strangers, kept }
    }
}

fn verdicts(
    found: &[Option<(usize, Why)>],
    open: Vec<Standing>,
    is_open: impl Fn(usize) -> bool,
    may_be: impl Fn(usize) -> Vec<(usize, f64)>,
) -> Vec<Verdict> {
    let mut out: Vec<Verdict> = found
        .iter()
        .map(|found| match found {
            Some((old, why)) if is_open(*old) => {
                let candidates = may_be(*old);
                // All that it might have been turned up as somebody else: it is somebody new.
                if candidates.is_empty() {
                    Verdict::Known { old: *old, why: *why }
                } else {
                    Verdict::Open { candidates, of: Some(*old) }
                }
            }
            Some((old, why)) => Verdict::Known { old: *old, why: *why },
            None => Verdict::New,
        })
        .collect();
    for standing in open {
        let Some(verdict) = out.get_mut(standing.new).filter(|verdict| **verdict == Verdict::New) else {
            continue;
        };
        if standing.known < NEWCOMER {
            continue;
        }
        let mut candidates: Vec<(usize, f64)> = standing
            .candidates
            .into_iter()
            .filter(|(_, chance)| *chance >= WORTH_NAMING)
            .take(CANDIDATES)
            .collect();
        candidates.retain(|(old, _)| !is_open(*old) || may_be(*old).is_empty());
        if !candidates.is_empty() {
            *verdict = Verdict::Open { candidates, of: None };
        }
    }
    out
}
