//! What a login came to becomes what is known.

use std::collections::{HashMap, HashSet};

use crate::book::{Book, Group, GroupProfile, KnownMember, Login, Profile, Seen};
use crate::marker::{Marked, Marker};
use crate::matching::{Verdict, Verdicts};
use crate::sight::{Field, GroupSight, Sight};

/// What a record of the login is called from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Name in this session.
    pub name: String,
    /// The lasting id.
    pub id: String,
    /// The id is for the time being: the owner has to say who it is.
    pub is_open: bool,
    /// The marker that the owner wants in the remark.
    pub marked: Option<Marked>,
}

/// The lasting ids of a login.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// People, official accounts and groups.
    pub records: Vec<Answer>,
    /// Members who are no contacts, by session name.
    pub strangers: HashMap<String, String>,
}

impl Book {
    /// Takes a login over; `mint` makes a lasting id for a record that needs a new one.
    pub fn apply(
        &mut self,
        login: &Login,
        verdicts: &Verdicts,
        mut mint: impl FnMut(&str) -> String,
    ) -> Answers {
        if self.uin != 0 && login.uin != 0 && self.uin != login.uin {
            *self = Self::default();
        }
        self.uin = if login.uin == 0 { self.uin } else { login.uin };
        if login.known.is_empty() {
            self.login = self.login.saturating_add(1);
        }
        if !verdicts.kept.versions {
            self.versions_since = self.login;
        }
        let seen = Seen { at_s: login.at_s, login: self.login, bound: login.bound };
        let mut answers = Answers::default();
        let known = known_names(login, verdicts);
        for (person, verdict) in login.people.iter().zip(&verdicts.people) {
            let place = match verdict {
                Verdict::Known { old, .. } | Verdict::Open { of: Some(old), .. } => *old,
                Verdict::New | Verdict::Open { of: None, .. } => {
                    let id = known.get(person.name.as_str()).map(|id| (*id).to_owned());
                    let id = id.filter(|id| self.people.iter().all(|was| was.id != *id));
                    let id = id.unwrap_or_else(|| mint(&person.name));
                    self.people.push(Profile::new(id, person.sight.clone(), seen));
                    self.people.len() - 1
                }
            };
            let open = open_ids(verdict, |at| self.people.get(at).map(|was| was.id.clone()));
            let Some(profile) = self.people.get_mut(place) else { continue };
            profile.open = open;
            if login.known.get(&person.name) == Some(&profile.id) {
                profile.renew(&person.sight, seen, verdicts.kept.dark);
            } else {
                profile.ruled_out.clear();
                (profile.answered, profile.taken_back) = (Vec::new(), Vec::new());
                if let Verdict::Known { why, .. } = verdict {
                    profile.why = Some(*why);
                }
                profile.see(&person.sight, seen, verdicts.kept.dark);
            }
            answers.records.push(Answer {
                name: person.name.clone(),
                id: profile.id.clone(),
                is_open: !profile.open.is_empty(),
                marked: profile.marked,
            });
        }
        // What was to be taken away is gone, whoever is who.
        let carried: HashSet<Marker> = login.people.iter().filter_map(|now| now.sight.marker).collect();
        for profile in &mut self.people {
            profile.marked =
                profile.marked.filter(|marked| !marked.is_leaving || carried.contains(&marked.marker));
        }
        let ids: HashMap<String, String> =
            answers.records.iter().map(|answer| (answer.name.clone(), answer.id.clone())).collect();
        for (group, verdict) in login.groups.iter().zip(&verdicts.groups) {
            let members = group.members.iter().map(|member| {
                let id = if member.is_self {
                    String::new()
                } else if let Some(id) = ids.get(&member.name) {
                    id.clone()
                } else {
                    let known = known.get(member.name.as_str()).map(|id| (*id).to_owned());
                    let strangers = answers.strangers.entry(member.name.clone());
                    strangers.or_insert_with(|| known.unwrap_or_else(|| mint(&member.name))).clone()
                };
                KnownMember { id, sight: member.sight.clone() }
            });
            let members = members.collect();
            let settled = login.known.get(&group.name).map(String::as_str);
            let answer = self.apply_group((group, settled), members, verdict, seen, &mut mint);
            answers.records.extend(answer);
        }
        answers
    }

    fn apply_group(
        &mut self,
        (group, settled): (&Group, Option<&str>),
        members: Vec<KnownMember>,
        verdict: &Verdict,
        seen: Seen,
        mint: &mut impl FnMut(&str) -> String,
    ) -> Option<Answer> {
        let place = match verdict {
            Verdict::Known { old, .. } | Verdict::Open { of: Some(old), .. } => *old,
            Verdict::New | Verdict::Open { of: None, .. } => {
                self.groups.push(GroupProfile::new(mint(&group.name), group.sight.clone(), seen));
                self.groups.len() - 1
            }
        };
        let open = open_ids(verdict, |at| self.groups.get(at).map(|was| was.id.clone()));
        let profile = self.groups.get_mut(place)?;
        profile.open = open;
        let is_settled = settled == Some(profile.id.as_str());
        if !is_settled {
            profile.ruled_out.clear();
            (profile.answered, profile.taken_back) = (Vec::new(), Vec::new());
            if let Verdict::Known { why, .. } = verdict {
                profile.why = Some(*why);
            }
        }
        if profile.seen.login != seen.login && !is_settled {
            let before = (profile.sight.clone(), std::mem::take(&mut profile.members), profile.seen);
            if members.is_empty() {
                profile.members.clone_from(&before.1);
            }
            let is_exact = profile.why.is_some_and(|why| why.version);
            profile.before = (!is_exact).then(|| Box::new(before));
        }
        if !members.is_empty() {
            profile.members = members;
        }
        let avatar = profile.sight.avatar;
        profile.sight = group.sight.clone();
        if profile.sight.avatar == 0 {
            profile.sight.avatar = avatar;
        }
        profile.seen = seen;
        let (name, id) = (group.name.clone(), profile.id.clone());
        Some(Answer { name, id, is_open: !profile.open.is_empty(), marked: None })
    }
}

/// Lasting ids by names that are settled or were recognised as members; nobody is recognised as somebody who is
/// settled under another name.
fn known_names<'a>(login: &'a Login, verdicts: &'a Verdicts) -> HashMap<&'a str, &'a str> {
    let taken: HashSet<&str> = login.known.values().map(String::as_str).collect();
    let found = verdicts.strangers.iter().map(|found| (found.name.as_str(), found.id.as_str()));
    let settled = login.known.iter().map(|(name, id)| (name.as_str(), id.as_str()));
    found.filter(|(_, id)| !taken.contains(id)).chain(settled).collect()
}

fn open_ids(verdict: &Verdict, id: impl Fn(usize) -> Option<String>) -> Vec<String> {
    match verdict {
        Verdict::Open { candidates, .. } => candidates.iter().filter_map(|(old, _)| id(*old)).collect(),
        Verdict::Known { .. } | Verdict::New => Vec::new(),
    }
}

impl GroupProfile {
    /// A group seen for the first time, of which no member is known yet.
    #[must_use]
    pub fn new(id: String, sight: GroupSight, seen: Seen) -> Self {
        Self {
            id,
            sight,
            members: Vec::new(),
            seen,
            open: Vec::new(),
            ruled_out: Vec::new(),
            answered: Vec::new(),
            taken_back: Vec::new(),
            permanent: 0,
            why: None,
            before: None,
        }
    }
}

impl Profile {
    /// Somebody seen for the first time.
    #[must_use]
    pub fn new(id: String, sight: Sight, seen: Seen) -> Self {
        Self {
            id,
            sight,
            seen,
            open: Vec::new(),
            ruled_out: Vec::new(),
            answered: Vec::new(),
            taken_back: Vec::new(),
            permanent: 0,
            why: None,
            before: None,
            marked: None,
        }
    }

    /// Takes the record of another login over; that link can be taken back.
    fn see(&mut self, sight: &Sight, seen: Seen, dark: u16) {
        if self.seen.login == seen.login {
            return;
        }
        let was = (self.sight.clone(), self.seen);
        self.renew(sight, seen, dark);
        self.before = (was.0 != self.sight).then(|| Box::new(was));
    }

    /// Takes a newer record over; what it does not tell stays.
    fn renew(&mut self, sight: &Sight, seen: Seen, dark: u16) {
        let mut next = sight.clone();
        for field in Field::ALL {
            let at = field as usize;
            let is_silent = field == Field::Avatar || dark & (1 << at) != 0;
            if let (Some(code), was) = (next.codes.get_mut(at), self.sight.code(field))
                && *code == 0
                && is_silent
            {
                *code = was;
            }
        }
        self.sight = next;
        self.seen = seen;
    }
}
