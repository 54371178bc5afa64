//! Members of groups who are no contacts: recognised inside the groups that were recognised, or not at all.
//!
//! Nothing is asked about them: somebody new in a member list harms nobody.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::book::{Book, KnownMember, Login};
use crate::crowd::Overlap;
use crate::sight::MemberSight;

/// Bits of one agreement or change inside a group, and what a link needs. Chosen: a name that is rare among the
/// members, or the settings, with the place in the list.
const NICK: f64 = 7.0;
const NICK_CHANGED: f64 = -5.0;
const ATTR: f64 = 5.0;
const ATTR_CHANGED: f64 = -7.0;
const CARD: f64 = 4.0;
const PLACE: f64 = 3.0;
const OUT_OF_PLACE: f64 = -5.0;
const NEVER: f64 = -60.0;
const LINK: f64 = 10.0;
const MARGIN: f64 = 6.0;

/// A member who is no contact, recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Name in this session.
    pub name: String,
    /// The lasting id.
    pub id: String,
}

/// `links` leads from people of the book to those of the login and says which of these are settled; `groups`
/// are (old, new, overlap). A contact who is new may be a member known as a stranger.
pub(crate) fn recognise(
    book: &Book,
    login: &Login,
    (links, settled): (&[Option<usize>], &[bool]),
    groups: &[(usize, usize, Overlap)],
    trusts_order: bool,
) -> Vec<Stranger> {
    let contacts: HashMap<&str, bool> =
        login.people.iter().zip(settled).map(|(new, settled)| (new.name.as_str(), *settled)).collect();
    let taken: HashSet<&str> = book
        .people
        .iter()
        .zip(links)
        .filter(|(_, link)| link.is_some())
        .map(|(was, _)| was.id.as_str())
        .collect();
    let nicks: HashMap<&str, u64> =
        book.people.iter().map(|was| (was.id.as_str(), was.sight.code(crate::sight::Field::Nick))).collect();
    let mut pairs: BTreeMap<(&str, &str), (f64, f64)> = BTreeMap::new();
    for (old, new, lists) in groups {
        let (Some(was), Some(now)) = (book.groups.get(*old), login.groups.get(*new)) else { continue };
        let anchors = Anchors::of(lists);
        let olds: Vec<(usize, &KnownMember)> = was
            .members
            .iter()
            .enumerate()
            .filter(|(_, member)| !member.id.is_empty() && !taken.contains(member.id.as_str()))
            .collect();
        let mut by_code: HashMap<u64, Vec<usize>> = HashMap::new();
        for (at, (_, member)) in olds.iter().enumerate() {
            for code in codes(&member.sight, nicks.get(member.id.as_str()).copied()) {
                by_code.entry(code).or_default().push(at);
            }
        }
        for (place, member) in now.members.iter().enumerate() {
            let contact = contacts.get(member.name.as_str());
            if member.is_self || contact == Some(&true) {
                continue;
            }
            let mut near: Vec<usize> =
                codes(&member.sight, None).filter_map(|code| by_code.get(&code)).flatten().copied().collect();
            near.sort_unstable();
            near.dedup();
            for (was_at, known) in near.into_iter().filter_map(|at| olds.get(at)) {
                let nick = nicks.get(known.id.as_str()).copied();
                // Whether a new contact is an old one has been decided with more evidence than this.
                if contact.is_some() && nick.is_some() {
                    continue;
                }
                let common = common(&known.sight, nick, &member.sight);
                let here =
                    inside(&known.sight, &member.sight, trusts_order.then(|| anchors.agree(*was_at, place)));
                let slot = pairs.entry((member.name.as_str(), known.id.as_str())).or_insert((NEVER, 0.0));
                slot.0 = slot.0.max(common);
                slot.1 += here;
            }
        }
    }
    one_to_one(pairs)
}

/// What candidates are found by.
fn codes(sight: &MemberSight, also: Option<u64>) -> impl Iterator<Item = u64> {
    let attr = if sight.attr == 0 { 0 } else { crate::sight::mix(&[sight.attr, sight.key_word]) };
    [sight.nick, attr, also.unwrap_or(0)].into_iter().filter(|code| *code != 0)
}

/// Evidence that is the same in all groups.
fn common(was: &MemberSight, nick: Option<u64>, now: &MemberSight) -> f64 {
    if was.name_len != now.name_len
        || (was.key_word != now.key_word && was.key_word != 0 && now.key_word != 0)
    {
        return NEVER;
    }
    let name =
        if now.nick != 0 && (was.nick == now.nick || nick == Some(now.nick)) { NICK } else { NICK_CHANGED };
    let attr = match (was.attr, now.attr) {
        (0, _) | (_, 0) => 0.0,
        (a, b) if a == b => ATTR,
        _ => ATTR_CHANGED,
    };
    let prefix = if was.key_word != 0 && was.key_word == now.key_word { 4.0 } else { 0.0 };
    name + attr + prefix
}

/// Evidence of one group.
fn inside(was: &MemberSight, now: &MemberSight, in_place: Option<bool>) -> f64 {
    let card = if was.card != 0 && was.card == now.card { CARD } else { 0.0 };
    card + match in_place {
        Some(true) => PLACE,
        Some(false) => OUT_OF_PLACE,
        None => 0.0,
    }
}

struct Anchors {
    old: Vec<usize>,
    new: Vec<usize>,
}

impl Anchors {
    fn of(lists: &Overlap) -> Self {
        let mut new: Vec<usize> = lists.anchors.iter().map(|both| both.1).collect();
        new.sort_unstable();
        Self { old: lists.anchors.iter().map(|both| both.0).collect(), new }
    }

    /// Whether both places have as many known members before them.
    fn agree(&self, old: usize, new: usize) -> bool {
        self.old.partition_point(|&at| at < old) == self.new.partition_point(|&at| at < new)
    }
}

/// Best first; a pair needs a margin over all that compete for either side.
fn one_to_one(pairs: BTreeMap<(&str, &str), (f64, f64)>) -> Vec<Stranger> {
    let mut all: Vec<(f64, &str, &str)> = pairs
        .into_iter()
        .map(|((name, id), (common, inside))| (common + inside, name, id))
        .filter(|(bits, ..)| *bits > 0.0)
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut names, mut ids): (HashMap<&str, f64>, HashMap<&str, f64>) = (HashMap::new(), HashMap::new());
    let (mut second_names, mut second_ids): (HashMap<&str, f64>, HashMap<&str, f64>) =
        (HashMap::new(), HashMap::new());
    for (bits, name, id) in &all {
        for (first, second, key) in [(&mut names, &mut second_names, *name), (&mut ids, &mut second_ids, *id)]
        {
            if first.contains_key(key) {
                second.entry(key).or_insert(*bits);
            } else {
                first.insert(key, *bits);
            }
        }
    }
    let mut found = Vec::new();
    for (bits, name, id) in all {
        let clear = |first: &HashMap<&str, f64>, second: &HashMap<&str, f64>, key: &str| {
            first.get(key) == Some(&bits) && second.get(key).is_none_or(|next| bits - next >= MARGIN)
        };
        if bits >= LINK && clear(&names, &second_names, name) && clear(&ids, &second_ids, id) {
            found.push(Stranger { name: name.to_owned(), id: id.to_owned() });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
