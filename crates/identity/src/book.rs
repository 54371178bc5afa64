//! What is known from earlier logins.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::marker::Marked;
use crate::sight::{GroupSight, MemberSight, Sight};
use crate::why::Why;

/// When something was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Seconds since 1970, by the service's clock.
    #[serde(rename = "t")]
    pub at_s: i64,
    /// Number of the login.
    #[serde(rename = "l")]
    pub login: u32,
    /// All changes up to this version were in that login; 0 if unknown.
    #[serde(rename = "b", default)]
    pub bound: i64,
}

/// A person or an official account, as last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The lasting id.
    pub id: String,
    /// The last record.
    pub sight: Sight,
    /// When that was.
    pub seen: Seen,
    /// Identity not settled: ids of those it may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
    /// Ids of those it could have been before the owner said, in this login, that it is somebody new: to take that back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ruled_out: Vec<String>,
    /// Ids of those the last record could have been before it was answered, in this login, that it is this one: to ask
    /// again when that is taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answered: Vec<String>,
    /// Ids of those the last record stood under in this login until that was taken back, in this order, each once.
    #[serde(rename = "stood", default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<String>,
    /// Code of the permanent account name, 0 until the service named it. Stored as `proof`: what was stored as
    /// `permanent` came from inside of media too, and is not believed.
    #[serde(rename = "proof", default, skip_serializing_if = "is_zero")]
    pub permanent: u64,
    /// Why the last record was taken for this person; `None`: it was new, or the owner said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// What was known before the last link, until the link is proven: to take it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<(Sight, Seen)>>,
    /// The marker that the owner wants in the remark.
    #[serde(rename = "mark", default, skip_serializing_if = "Option::is_none")]
    pub marked: Option<Marked>,
}

/// A group, as last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupProfile {
    /// The lasting id.
    pub id: String,
    /// The last record.
    pub sight: GroupSight,
    /// Its members in the order of the list.
    pub members: Vec<KnownMember>,
    /// When that was.
    pub seen: Seen,
    /// Identity not settled: ids of those it may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
    /// Ids of those it could have been before the owner said, in this login, that it is somebody new: to take that back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ruled_out: Vec<String>,
    /// Ids of those the last record could have been before it was answered, in this login, that it is this one: to ask
    /// again when that is taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answered: Vec<String>,
    /// Ids of those the last record stood under in this login until that was taken back, in this order, each once.
    #[serde(rename = "stood", default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<String>,
    /// Code of the permanent name, as for [`Profile::permanent`].
    #[serde(rename = "proof", default, skip_serializing_if = "is_zero")]
    pub permanent: u64,
    /// Why the last record was taken for this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// What was known before the last link, until the link is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<(GroupSight, Vec<KnownMember>, Seen)>>,
}

fn is_zero(code: &u64) -> bool {
    *code == 0
}

/// A member of a group, as last seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownMember {
    /// The lasting id of the person; empty for the owner of the account.
    #[serde(rename = "i", default)]
    pub id: String,
    /// The entry.
    #[serde(flatten)]
    pub sight: MemberSight,
}

/// Everything known of one account. Order is no matter, but the same order gives the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// The account's own number: profiles of another account match nothing. 0 if never seen.
    pub uin: i64,
    /// The last login that was matched.
    pub login: u32,
    /// The login since which versions grow: those of earlier logins are of another count.
    #[serde(default)]
    pub versions_since: u32,
    /// People and official accounts.
    pub people: Vec<Profile>,
    /// Groups.
    pub groups: Vec<GroupProfile>,
}

impl Book {
    /// Groups that somebody from before and somebody of this login are both in, as far as it is kept who was in one
    /// before: for a group that is not settled, in each that it may be.
    #[must_use]
    pub fn shared_groups(&self, was: &str, now: &str) -> usize {
        let is_in = |members: &[KnownMember], id: &str| members.iter().any(|member| member.id == id);
        let had = |group: &GroupProfile, id: &str| {
            is_in(&group.members, id) || group.before.as_ref().is_some_and(|before| is_in(&before.1, id))
        };
        let was_in = |group: &GroupProfile| {
            had(group, was)
                || self.groups.iter().any(|known| group.open.contains(&known.id) && had(known, was))
        };
        self.groups.iter().filter(|group| is_in(&group.members, now) && was_in(group)).count()
    }
}

/// What a login shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// The account's own number.
    pub uin: i64,
    /// Seconds since 1970, by the service's clock.
    pub at_s: i64,
    /// The lowest of the counters that number changes; 0 if unknown.
    pub bound: i64,
    /// Contacts and official accounts.
    pub people: Vec<Person>,
    /// Groups.
    pub groups: Vec<Group>,
    /// When the list is looked at once more in one login: lasting ids by the names that are settled already. Empty
    /// the first time.
    pub known: HashMap<String, String>,
    /// Codes of the permanent names that messages of this login have shown already, by names of the session.
    pub proven: HashMap<String, u64>,
}

impl Login {
    /// Whether a record may be whoever has this permanent name (0: not known): two that differ are two people.
    pub(crate) fn may_be(&self, name: &str, permanent: u64) -> bool {
        permanent == 0 || self.proven.get(name).is_none_or(|proof| *proof == 0 || *proof == permanent)
    }
}

/// One record of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Its name in this session.
    pub name: String,
    /// What it shows.
    pub sight: Sight,
}

/// A group of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name in this session.
    pub name: String,
    /// What it shows.
    pub sight: GroupSight,
    /// Its members in the order of the list.
    pub members: Vec<GroupMember>,
}

/// A member of a group of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Name in this session.
    pub name: String,
    /// The owner of the account.
    pub is_self: bool,
    /// What the entry shows.
    pub sight: MemberSight,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: &str, members: &[&str], before: &[&str], open: &[&str]) -> GroupProfile {
        let all = |ids: &[&str]| -> Vec<KnownMember> {
            ids.iter().map(|id| KnownMember { id: (*id).to_owned(), ..KnownMember::default() }).collect()
        };
        let mut group = GroupProfile::new(id.to_owned(), GroupSight::default(), Seen::default());
        group.members = all(members);
        group.before =
            (!before.is_empty()).then(|| Box::new((GroupSight::default(), all(before), Seen::default())));
        group.open = open.iter().map(|id| (*id).to_owned()).collect();
        group
    }

    #[test]
    fn groups_of_two_logins_are_counted_where_both_were() {
        let groups = vec![
            // The same group, before and now.
            group("g1", &["now", "x"], &["was", "x"], &[]),
            // Of somebody else before.
            group("g2", &["now"], &["x"], &[]),
            // Not settled: it may be the next one.
            group("g3", &["now"], &[], &["g4"]),
            group("g4", &["was"], &[], &[]),
            // Only before.
            group("g5", &["x"], &["was"], &[]),
        ];
        let book = Book { groups, ..Book::default() };
        assert_eq!(book.shared_groups("was", "now"), 2);
        assert_eq!(book.shared_groups("x", "now"), 2);
        assert_eq!(book.shared_groups("nobody", "now"), 0);
    }
}
