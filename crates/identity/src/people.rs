//! People and official accounts: what speaks for and against two records being one person, in bits.

use std::collections::HashMap;

use crate::assign::{Left, Pair, Stories};
use crate::bits::exp;
use crate::book::{Book, Login};
use crate::census::Census;
use crate::crowd::Bonds;
use crate::sight::{Codes, Field, Kind};
use crate::trust::{Trust, change, weeks};

/// Never so, short of a change of the protocol.
const IMPOSSIBLE: f64 = -60.0;
/// One field that disagrees counts no more than this. Chosen.
const FLOOR: f64 = -10.0;
/// People redo their profile in one go: nickname, picture and signature, per week. Chosen, near the rate of
/// the rarest of the three on its own.
const REDO: f64 = 0.003;
/// The same with the region. Chosen.
const REDO_ALL: f64 = 0.001;
/// One equal version. Chosen: what is left is the chance that versions mean something else.
const VERSION: f64 = 9.0;
/// No two official accounts carry one name, so an equal one says more than its rarity. Chosen.
const OFFICIAL_NAME: f64 = 6.0;
/// Pairs below this many bits are no candidates. Chosen: a whole profile redone stays above.
const CANDIDATE: f64 = -16.0;
/// More pairs than this are not looked at one by one. Chosen: a quarter of a second.
const DENSE: usize = 6_000_000;
/// A value that more share is no way to find candidates. Chosen.
const COMMON: usize = 40;

/// Chances of the rival stories, as logs; of the number of contacts one is meant. Chosen, on the safe side:
/// they are far rarer in life.
mod story {
    /// A newcomer copies the public profile of a contact.
    pub(super) const IMPOSTOR: f64 = -3.0;
    /// The same for official accounts, whose names the service hands out once.
    pub(super) const IMPOSTOR_OFFICIAL: f64 = -12.0;
    /// The owner gave a contact's remark to a newcomer.
    pub(super) const REMARK_MOVED: f64 = -3.0;
    /// Both at once: the same human with another account, or a trick.
    pub(super) const REPLACED: f64 = -7.0;
    /// Two contacts exchanged nicknames or pictures.
    pub(super) const FACE_SWAPPED: f64 = -7.0;
    /// The owner exchanged two remarks.
    pub(super) const REMARK_SWAPPED: f64 = -8.0;
    /// Both at once.
    pub(super) const ALL_SWAPPED: f64 = -11.0;
}

/// All that is weighed at one login.
pub(crate) struct People<'a> {
    book: &'a Book,
    login: &'a Login,
    trust: &'a Trust,
    /// Bits of an agreement, by new record and field.
    agree: Vec<[f64; Field::COUNT]>,
    /// Bits of a change, by old profile and field.
    differ: Vec<[f64; Field::COUNT]>,
    redo: Vec<(f64, f64)>,
    presence: Vec<f64>,
    contacts: f64,
    newcomers: f64,
}

impl<'a> People<'a> {
    pub(crate) fn new(book: &'a Book, login: &'a Login, trust: &'a Trust) -> Self {
        let census = [Kind::Person, Kind::Official].map(|kind| {
            Census::of(kind, book.people.iter().map(|p| &p.sight), login.people.iter().map(|p| &p.sight))
        });
        let [humans, officials] = &census;
        let agree = login.people.iter().map(|new| {
            let census = if new.sight.kind == Kind::Person { humans } else { officials };
            let is_official = new.sight.kind == Kind::Official;
            Field::ALL.map(|field| {
                let code = new.sight.code(field);
                let unique =
                    if is_official && field == Field::Nick && code != 0 { OFFICIAL_NAME } else { 0.0 };
                (census.bits(field, code) + unique) * trust.weight[field as usize]
            })
        });
        let mut differ = Vec::with_capacity(book.people.len());
        let mut redo = Vec::with_capacity(book.people.len());
        let mut presence = Vec::with_capacity(book.people.len());
        for was in &book.people {
            let weeks = weeks(was.seen, login.at_s);
            differ.push(Field::ALL.map(|field| {
                let at = field as usize;
                change(trust.rate[at], weeks).log2().max(FLOOR) * trust.weight[at]
            }));
            redo.push((change(REDO, weeks).log2(), change(REDO_ALL, weeks).log2()));
            // Who was not there last time has probably been deleted. Chosen.
            presence.push(if was.seen.login == book.login { -0.1 } else { -1.5 });
        }
        let count = crate::trust::share(login.people.len().max(book.people.len()).max(1), 1);
        let gap = book.people.iter().map(|was| was.seen.at_s).max().unwrap_or(login.at_s);
        let gap = weeks(crate::book::Seen { at_s: gap, ..Default::default() }, login.at_s);
        Self {
            book,
            login,
            trust,
            agree: agree.collect(),
            differ,
            redo,
            presence,
            contacts: count.log2(),
            // One in a hundred a week, and one. Chosen.
            newcomers: 1.0 + 0.01 * count * gap,
        }
    }

    /// Weighs all free records against all free profiles, sorted by record.
    pub(crate) fn pairs(&self, free_new: &[bool], free_old: &[bool], bonds: &Bonds) -> Vec<Pair> {
        let free = |flags: &[bool]| {
            flags.iter().enumerate().filter(|(_, free)| **free).map(|(at, _)| at).collect::<Vec<_>>()
        };
        let (news, olds) = (free(free_new), free(free_old));
        let mut pairs = Vec::new();
        if news.len().saturating_mul(olds.len()) <= DENSE {
            for &new in &news {
                pairs.extend(olds.iter().filter_map(|&old| self.weigh(new, old, bonds)));
            }
        } else {
            for (new, old) in self.likely(&news, &olds) {
                pairs.extend(self.weigh(new, old, bonds));
            }
        }
        pairs
    }

    /// Pairs that agree in something rare, sorted.
    fn likely(&self, news: &[usize], olds: &[usize]) -> Vec<(usize, usize)> {
        let key = |codes: &Codes, kind: Kind, by: usize| {
            let code = |field: Field| codes.get(field as usize).copied().unwrap_or(0);
            let (main, also) = match by {
                0 => (code(Field::Nick), 0),
                1 => (code(Field::Remark), 0),
                2 => (code(Field::Avatar), 0),
                3 => (code(Field::Signature), 0),
                4 => (code(Field::Attr), code(Field::KeyWord)),
                _ => (code(Field::Attr), code(Field::Region)),
            };
            (main != 0).then_some((kind, main, also))
        };
        let mut found = Vec::new();
        for by in 0..6 {
            let mut index: HashMap<(Kind, u64, u64), Vec<usize>> = HashMap::new();
            for &old in olds {
                let Some(was) = self.book.people.get(old) else { continue };
                if let Some(key) = key(&was.sight.codes, was.sight.kind, by) {
                    index.entry(key).or_default().push(old);
                }
            }
            for &new in news {
                let Some(now) = self.login.people.get(new) else { continue };
                let hits = key(&now.sight.codes, now.sight.kind, by).and_then(|key| index.get(&key));
                if let Some(hits) = hits.filter(|hits| hits.len() <= COMMON) {
                    found.extend(hits.iter().map(|&old| (new, old)));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn weigh(&self, new: usize, old: usize, bonds: &Bonds) -> Option<Pair> {
        let (now, was) = (self.login.people.get(new)?, self.book.people.get(old)?);
        if now.sight.kind != was.sight.kind || !self.login.may_be(&now.name, was.permanent) {
            return None;
        }
        let (agree, differ) = (self.agree.get(new)?, self.differ.get(old)?);
        let mut private = self.version(new, old);
        if private <= IMPOSSIBLE {
            return None;
        }
        let mut pair = Pair { new, old, ..Pair::default() };
        let (mut redone, mut all_redone) = (0.0, 0.0);
        for field in Field::ALL {
            let at = field as usize;
            let (a, b) = (now.sight.code(field), was.sight.code(field));
            let (plus, minus) = (agree.get(at)?, differ.get(at)?);
            match field {
                // A picture that did not come says nothing.
                Field::Avatar if a == 0 || b == 0 => {}
                Field::Nick | Field::Avatar | Field::Signature | Field::Region | Field::Sex if a == b => {
                    pair.public_plus += plus;
                    if matches!(field, Field::Nick | Field::Avatar) {
                        pair.face += plus;
                    } else {
                        pair.rest += plus;
                    }
                }
                Field::Nick | Field::Avatar | Field::Signature => redone += minus,
                Field::Region => all_redone += minus,
                // The new value is one of few, and a common one is no surprise.
                Field::Sex => all_redone += self.live(field, (minus - 1.0 + plus).clamp(FLOOR, -1.0)),
                Field::Sns if a != b => private += self.live(field, (minus - 2.6 + plus).clamp(FLOOR, -1.0)),
                Field::Star | Field::Pin | Field::Mute if a != b => {
                    private += (minus + plus).clamp(FLOOR, 0.0)
                }
                Field::Remark => pair.remark += if a == b { *plus } else { *minus },
                Field::Attr => private += self.settings(a, b, *plus, *minus),
                // First letters and lengths never change. Source: the paper on contact identity, evidence.
                Field::KeyWord | Field::NameLen if a != b && !self.trust.is_dark(field) => {
                    let is_sure = a != 0 && b != 0;
                    private += if is_sure { IMPOSSIBLE } else { FLOOR };
                }
                _ if a == b => private += plus,
                _ => private += minus,
            }
        }
        let (redo, redo_all) = self.redo.get(old)?;
        let redone = redone.max(*redo);
        pair.public = pair.public_plus + (redone + all_redone).max(redo_all.min(redone));
        pair.private = private + bonds.bits(new, old);
        (pair.total() >= CANDIDATE || pair.public_plus + pair.remark >= 8.0 && pair.private > IMPOSSIBLE)
            .then_some(pair)
    }

    /// Versions never decrease, and what was not touched kept its own.
    fn version(&self, new: usize, old: usize) -> f64 {
        let (Some(now), Some(was)) = (self.login.people.get(new), self.book.people.get(old)) else {
            return 0.0;
        };
        let (a, b) = (now.sight.seq, was.sight.seq);
        if !self.trust.versions || a == 0 || was.seen.login < self.book.versions_since {
            0.0
        } else if a == b {
            VERSION
        } else if a < b || a <= was.seen.bound {
            IMPOSSIBLE
        } else {
            0.0
        }
    }

    fn live(&self, field: Field, bits: f64) -> f64 {
        if self.trust.is_dark(field) { 0.0 } else { bits }
    }

    /// One changed bit is likelier than a different value.
    fn settings(&self, now: u64, was: u64, plus: f64, minus: f64) -> f64 {
        if now == 0 || was == 0 || self.trust.is_dark(Field::Attr) {
            return 0.0;
        }
        match (now ^ was).count_ones() {
            0 => plus,
            // About a dozen of the bits move. Chosen.
            1 => (minus - 3.6 + plus).clamp(FLOOR, -1.0),
            2 => (2.0 * minus - 6.0 + plus).clamp(FLOOR, -4.0),
            _ => FLOOR,
        }
    }
}

impl Stories for People<'_> {
    fn presence(&self, old: usize) -> f64 {
        self.presence.get(old).copied().unwrap_or(0.0)
    }

    fn newcomers(&self) -> f64 {
        self.newcomers
    }

    fn are_one(&self, old: usize, other: usize) -> bool {
        let (Some(old), Some(other)) = (self.book.people.get(old), self.book.people.get(other)) else {
            return false;
        };
        old.open.contains(&other.id) || other.open.contains(&old.id)
    }

    fn rivals(&self, best: &Pair, row: &[Pair], left: Left) -> f64 {
        let is_official = self.login.people.get(best.new).is_some_and(|new| new.sight.kind == Kind::Official);
        let impostor = if is_official { story::IMPOSTOR_OFFICIAL } else { story::IMPOSTOR };
        let one_of = left.suspect - self.contacts;
        let (copied, remark) = (best.public_plus, best.remark.max(0.0));
        let mut sum = exp(one_of + impostor + copied);
        if remark > 0.0 {
            sum += exp(one_of + story::REMARK_MOVED + remark);
            sum += exp(one_of + story::REPLACED.min(impostor) + copied + remark);
        }
        for other in row.iter().filter(|other| other.old != best.old) {
            let base = left.profile + self.presence(other.old) - self.contacts;
            let own = other.private + other.rest;
            let swapped = if is_official { story::IMPOSTOR_OFFICIAL } else { story::FACE_SWAPPED };
            sum += exp(base + own + other.remark + best.face + swapped);
            if remark > 0.0 {
                sum += exp(base + other.private + other.public + remark + story::REMARK_SWAPPED);
                sum += exp(base + own + best.face + remark + story::ALL_SWAPPED);
            }
        }
        sum
    }
}
