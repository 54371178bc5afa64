//! What needs no evidence: who was settled at an earlier look at the same login, and who is proven.

use std::collections::HashMap;

use super::Work;
use crate::why::Why;

impl Work<'_> {
    /// What an earlier look at the same login has settled: a name says more than any evidence. Whoever had a name then
    /// and is not in this list has it still, and is nobody else.
    pub(super) fn settled(&mut self) {
        let (book, login) = (self.book, self.login);
        if login.known.is_empty() {
            return;
        }
        let people: HashMap<&str, usize> =
            book.people.iter().enumerate().map(|(at, was)| (was.id.as_str(), at)).collect();
        for (new, now) in login.people.iter().enumerate() {
            let known = login.known.get(&now.name).and_then(|id| people.get(id.as_str()));
            if let Some(&old) = known.filter(|old| self.free_old.get(**old) == Some(&true)) {
                self.link_person(new, old, Why::default());
            }
        }
        let groups: HashMap<&str, usize> =
            book.groups.iter().enumerate().map(|(at, was)| (was.id.as_str(), at)).collect();
        for (new, now) in login.groups.iter().enumerate() {
            let known = login.known.get(&now.name).and_then(|id| groups.get(id.as_str()));
            if let Some(&old) = known.filter(|old| self.free_old_groups.get(**old) == Some(&true)) {
                self.link_group(new, old, Why::default());
            }
        }
        for (free, was) in self.free_old.iter_mut().zip(&book.people) {
            *free &= was.seen.login != book.login;
        }
        for (free, was) in self.free_old_groups.iter_mut().zip(&book.groups) {
            *free &= was.seen.login != book.login;
        }
    }

    /// A record of which a message has shown the permanent name is whoever has that name, if anybody has.
    pub(super) fn proven(&mut self) {
        let (book, login) = (self.book, self.login);
        let code = |name: &str| login.proven.get(name).copied().filter(|code| *code != 0);
        for (new, now) in login.people.iter().enumerate() {
            let Some(code) = code(&now.name) else { continue };
            let mut known = book.people.iter().enumerate();
            let owner = known.find(|(old, was)| was.permanent == code && self.are_free(new, *old));
            if let Some((old, was)) = owner {
                self.link_person(new, old, Why::between(&was.sight, &now.sight));
            }
        }
        for (new, now) in login.groups.iter().enumerate() {
            let Some(code) = code(&now.name) else { continue };
            let are_free = |old: usize| {
                self.free_new_groups.get(new) == Some(&true) && self.free_old_groups.get(old) == Some(&true)
            };
            let mut known = book.groups.iter().enumerate();
            if let Some((old, _)) = known.find(|(old, was)| was.permanent == code && are_free(*old)) {
                self.link_group(new, old, Why::default());
            }
        }
    }
}
