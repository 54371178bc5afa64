//! What is learned after a login: the owner's answers, and permanent names that messages show.

use crate::book::{Book, GroupProfile, KnownMember, Profile, Seen};
use crate::sight::{GroupSight, Sight};

/// What an answer or a permanent name changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lesson {
    /// Present records that go by another id from now on: from, to.
    pub moved: Vec<(String, String)>,
    /// Ids that are settled without moving: somebody new after all.
    pub settled: Vec<String>,
    /// Ids that were settled and are open again: the owner took the answer back.
    pub reopened: Vec<String>,
}

impl Lesson {
    /// Where each record goes in the end, by the id it had before: one that was displaced and recognised in the same
    /// lesson goes straight to who it is.
    #[must_use]
    pub fn ends(&self) -> Vec<(&str, &str)> {
        let mut ends: Vec<(&str, &str)> = Vec::with_capacity(self.moved.len());
        for (from, to) in &self.moved {
            match ends.iter_mut().rev().find(|(_, end)| *end == from) {
                Some((_, end)) => *end = to,
                None => ends.push((from, to)),
            }
        }
        ends.retain(|(from, to)| from != to);
        ends
    }
}

/// What people and groups have in common here.
trait Known {
    type Record: Clone;
    fn id(&self) -> &str;
    fn seen(&self) -> Seen;
    fn permanent(&mut self) -> &mut u64;
    fn open(&mut self) -> &mut Vec<String>;
    fn ruled_out(&mut self) -> &mut Vec<String>;
    fn answered(&mut self) -> &mut Vec<String>;
    fn taken_back(&mut self) -> &mut Vec<String>;
    /// The present record.
    fn record(&self) -> Self::Record;
    /// Puts a record on top; what was there can be had back.
    fn put(&mut self, record: Self::Record, seen: Seen);
    /// Takes the last record off again; `false` if nothing is below it.
    fn restore(&mut self) -> bool;
    fn proven(&mut self);
    fn fresh(id: String, record: Self::Record, seen: Seen) -> Self;
}

impl Known for Profile {
    type Record = Sight;
    fn id(&self) -> &str {
        &self.id
    }
    fn seen(&self) -> Seen {
        self.seen
    }
    fn permanent(&mut self) -> &mut u64 {
        &mut self.permanent
    }
    fn open(&mut self) -> &mut Vec<String> {
        &mut self.open
    }
    fn ruled_out(&mut self) -> &mut Vec<String> {
        &mut self.ruled_out
    }
    fn answered(&mut self) -> &mut Vec<String> {
        &mut self.answered
    }
    fn taken_back(&mut self) -> &mut Vec<String> {
        &mut self.taken_back
    }
    fn record(&self) -> Sight {
        self.sight.clone()
    }
    fn put(&mut self, record: Sight, seen: Seen) {
        let was = std::mem::replace(&mut self.sight, record);
        self.before = Some(Box::new((was, self.seen)));
        self.seen = seen;
        self.why = None;
    }
    fn restore(&mut self) -> bool {
        self.why = None;
        let Some(before) = self.before.take() else { return false };
        (self.sight, self.seen) = *before;
        true
    }
    fn proven(&mut self) {
        self.before = None;
    }
    fn fresh(id: String, record: Sight, seen: Seen) -> Self {
        Self::new(id, record, seen)
    }
}

impl Known for GroupProfile {
    type Record = (GroupSight, Vec<KnownMember>);
    fn id(&self) -> &str {
        &self.id
    }
    fn seen(&self) -> Seen {
        self.seen
    }
    fn permanent(&mut self) -> &mut u64 {
        &mut self.permanent
    }
    fn open(&mut self) -> &mut Vec<String> {
        &mut self.open
    }
    fn ruled_out(&mut self) -> &mut Vec<String> {
        &mut self.ruled_out
    }
    fn answered(&mut self) -> &mut Vec<String> {
        &mut self.answered
    }
    fn taken_back(&mut self) -> &mut Vec<String> {
        &mut self.taken_back
    }
    fn record(&self) -> Self::Record {
        (self.sight.clone(), self.members.clone())
    }
    fn put(&mut self, (sight, members): Self::Record, seen: Seen) {
        let was = std::mem::replace(&mut self.sight, sight);
        let members = std::mem::replace(&mut self.members, members);
        self.before = Some(Box::new((was, members, self.seen)));
        self.seen = seen;
        self.why = None;
    }
    fn restore(&mut self) -> bool {
        self.why = None;
        let Some(before) = self.before.take() else { return false };
        (self.sight, self.members, self.seen) = *before;
        true
    }
    fn proven(&mut self) {
        self.before = None;
    }
    fn fresh(id: String, (sight, members): Self::Record, seen: Seen) -> Self {
        Self { members, ..Self::new(id, sight, seen) }
    }
}

impl Book {
    /// The owner says who an id is: somebody known, or (`None`) somebody new. Final until withdrawn. `mint` says under
    /// which id the present record of an id goes as somebody new.
    pub fn resolve(
        &mut self,
        id: &str,
        same_as: Option<&str>,
        mut mint: impl FnMut(&str) -> String,
    ) -> Lesson {
        let login = self.login;
        let mut lesson = Lesson::default();
        if self.people.iter().any(|known| known.id == id) {
            resolve(&mut self.people, (id, same_as), login, &mut mint, &mut lesson);
        } else {
            resolve(&mut self.groups, (id, same_as), login, &mut mint, &mut lesson);
        }
        self.rename_members(&lesson);
        lesson
    }

    /// A message showed the permanent name of a chat. `mint` as for [`Book::resolve`].
    pub fn learn(&mut self, id: &str, permanent: u64, mut mint: impl FnMut(&str) -> String) -> Lesson {
        let login = self.login;
        let mut lesson = Lesson::default();
        if permanent == 0 {
            return lesson;
        }
        if self.people.iter().any(|known| known.id == id) {
            learn(&mut self.people, (id, permanent), login, &mut mint, &mut lesson);
        } else {
            learn(&mut self.groups, (id, permanent), login, &mut mint, &mut lesson);
        }
        self.disown_markers(&lesson.moved);
        self.rename_members(&lesson);
        lesson
    }

    /// Takes what was decided in this login back: that it is somebody new, and the question is open again; or a link,
    /// and the record goes by a new id, the profile gets its previous one. `mint` as for [`Book::resolve`].
    pub fn undo(&mut self, id: &str, mut mint: impl FnMut(&str) -> String) -> Lesson {
        let login = self.login;
        let mut lesson = Lesson::default();
        if self.people.iter().any(|known| known.id == id) {
            undo(&mut self.people, id, login, &mut mint, &mut lesson);
        } else {
            undo(&mut self.groups, id, login, &mut mint, &mut lesson);
        }
        self.disown_markers(&lesson.moved);
        self.rename_members(&lesson);
        lesson
    }

    /// Member lists of this login name the people by what they are called now.
    fn rename_members(&mut self, lesson: &Lesson) {
        let login = self.login;
        for (from, to) in &lesson.moved {
            let lists = self.groups.iter_mut().filter(|group| group.seen.login == login);
            for member in lists.flat_map(|group| &mut group.members).filter(|member| member.id == *from) {
                member.id.clone_from(to);
            }
        }
    }
}

fn resolve<K: Known>(
    all: &mut Vec<K>,
    (id, same_as): (&str, Option<&str>),
    login: u32,
    mint: &mut impl FnMut(&str) -> String,
    lesson: &mut Lesson,
) {
    match same_as.filter(|to| *to != id) {
        Some(to) if all.iter().any(|known| known.id() == to) => {
            hand_over(all, id, to, login, mint, lesson);
        }
        _ => {
            if let Some(known) = all.iter_mut().find(|known| known.id() == id) {
                *known.ruled_out() = std::mem::take(known.open());
                lesson.settled.push(id.to_owned());
            }
        }
    }
}

fn undo<K: Known>(
    all: &mut Vec<K>,
    id: &str,
    login: u32,
    mint: &mut impl FnMut(&str) -> String,
    lesson: &mut Lesson,
) {
    let Some(known) = all.iter_mut().find(|known| known.id() == id) else { return };
    let mut candidates = std::mem::take(known.ruled_out());
    let mut present = id.to_owned();
    absent(all, &mut candidates, login);
    if candidates.is_empty() {
        let known = all.iter_mut().find(|known| known.id() == id);
        candidates = known.map(|known| std::mem::take(known.answered())).unwrap_or_default();
        displace(all, id, login, mint, lesson);
        // The profile that the answer named is absent again.
        absent(all, &mut candidates, login);
        let Some((_, to)) = lesson.moved.last() else { return };
        present.clone_from(to);
    }
    if candidates.is_empty() {
        return;
    }
    if let Some(known) = all.iter_mut().find(|known| known.id() == present) {
        *known.open() = candidates;
        lesson.reopened.push(present);
    }
}

/// Whoever is somebody else's past by now cannot be asked about.
fn absent<K: Known>(all: &[K], candidates: &mut Vec<String>, login: u32) {
    candidates.retain(|of| all.iter().any(|other| other.id() == of && other.seen().login != login));
}

fn learn<K: Known>(
    all: &mut Vec<K>,
    (id, permanent): (&str, u64),
    login: u32,
    mint: &mut impl FnMut(&str) -> String,
    lesson: &mut Lesson,
) {
    let Some(known) = all.iter_mut().find(|known| known.id() == id) else { return };
    let was = *known.permanent();
    if was == permanent {
        known.proven();
        return;
    }
    let owner =
        all.iter_mut().find_map(|other| (*other.permanent() == permanent).then(|| other.id().to_owned()));
    let mut present = id.to_owned();
    if was != 0 {
        // The profile is somebody else: the record was linked wrongly.
        displace(all, id, login, mint, lesson);
        let Some((_, to)) = lesson.moved.last() else { return };
        present.clone_from(to);
    }
    if let Some(owner) = owner.filter(|owner| *owner != present) {
        hand_over(all, &present, &owner, login, mint, lesson);
        return;
    }
    let others: Vec<String> =
        all.iter_mut().filter_map(|other| (*other.permanent() != 0).then(|| other.id().to_owned())).collect();
    if let Some(known) = all.iter_mut().find(|known| known.id() == present) {
        *known.permanent() = permanent;
        // Whoever has another permanent name is ruled out.
        let was_open = !known.open().is_empty();
        known.open().retain(|candidate| !others.contains(candidate));
        if was_open && known.open().is_empty() {
            lesson.settled.push(present);
        }
    }
}

/// The present record of `from` is one of `to`.
fn hand_over<K: Known>(
    all: &mut Vec<K>,
    from: &str,
    to: &str,
    login: u32,
    mint: &mut impl FnMut(&str) -> String,
    lesson: &mut Lesson,
) {
    // Whoever holds the profile at this login was taken for it wrongly.
    if all.iter().any(|known| known.id() == to && known.seen().login == login) {
        displace(all, to, login, mint, lesson);
    }
    let Some(at) = all.iter().position(|known| known.id() == from) else { return };
    let Some(source) = all.get_mut(at) else { return };
    let (record, seen, permanent) = (source.record(), source.seen(), *source.permanent());
    let (asked, taken_back) = (std::mem::take(source.open()), std::mem::take(source.taken_back()));
    let was_open = !asked.is_empty();
    // An id that only stood in for the answer is gone; one with a past of its own keeps that.
    if was_open || !source.restore() {
        all.remove(at);
    }
    if let Some(target) = all.iter_mut().find(|known| known.id() == to) {
        // Whoever a sync made is in this login, though no list has shown them yet.
        let login = if seen.login == 0 { login } else { seen.login };
        target.put(record, Seen { login, ..seen });
        target.open().clear();
        target.ruled_out().clear();
        (*target.answered(), *target.taken_back()) = (asked, taken_back);
        if *target.permanent() == 0 {
            *target.permanent() = permanent;
        }
    }
    lesson.moved.push((from.to_owned(), to.to_owned()));
    // Nobody else is that profile any more.
    for known in all {
        let had = known.open().len();
        known.open().retain(|candidate| candidate != to);
        if had > 0 && known.open().is_empty() {
            lesson.settled.push(known.id().to_owned());
        }
    }
}

/// This id, or the first one after it that is nobody's: the id that a record would have as somebody new can be a
/// profile already, and that is somebody else then.
fn unused<K: Known>(all: &[K], wanted: String) -> String {
    let is_taken = |id: &str| all.iter().any(|known| known.id() == id);
    let mut id = wanted.clone();
    let mut number = 2;
    while is_taken(&id) {
        id = format!("{wanted}-{number}");
        number += 1;
    }
    id
}

/// The present record leaves the profile and goes by a new id.
fn displace<K: Known>(
    all: &mut Vec<K>,
    id: &str,
    login: u32,
    mint: &mut impl FnMut(&str) -> String,
    lesson: &mut Lesson,
) {
    let Some(known) = all.iter_mut().find(|known| known.id() == id) else { return };
    let (record, seen) = (known.record(), known.seen());
    known.ruled_out().clear();
    known.answered().clear();
    let mut taken_back = std::mem::take(known.taken_back());
    if !taken_back.iter().any(|from| from == id) {
        taken_back.push(id.to_owned());
    }
    if !known.restore() && seen.login == login {
        // Nothing is known from before: the profile keeps what it has, as seen before this login.
        let mut before = seen;
        before.login = login.saturating_sub(1);
        known.put(record.clone(), before);
        known.proven();
    }
    let fresh = unused(all, mint(id));
    lesson.moved.push((id.to_owned(), fresh.clone()));
    let mut fresh = K::fresh(fresh, record, seen);
    *fresh.taken_back() = taken_back;
    all.push(fresh);
}
