//! Whom the names of a login stand for since its list was read: a second look decides about the others only.

use std::collections::{HashMap, HashSet};

use wechat_proto::{Contact, UserName};
use wxgate_contract::{FarEnd, FarError};
use wxgate_identity::{Book, Group};

use crate::roster::record::Login;
use crate::roster::{Named, PAGE, member_note, name_note, stranger_note};

/// Contacts and groups that have a profile, except those for the time being, and members: former contacts, those who
/// were recognised, and whoever else is in a group that is settled.
pub(super) async fn names(
    far: &dyn FarEnd,
    login: &Login<'_>,
    seen: &wxgate_identity::Login,
    book: &Book,
) -> Result<HashMap<String, String>, FarError> {
    let people = book.people.iter().map(|known| (known.id.as_str(), known.seen.login));
    let groups = book.groups.iter().map(|known| (known.id.as_str(), known.seen.login));
    let logins: HashMap<&str, u32> = people.chain(groups).collect();
    let is_settled = |name: &str, key: &str| match logins.get(key) {
        Some(0) => login.key_for(&UserName::from(name)) != key,
        known => known.is_some(),
    };
    let records = || seen.people.iter().map(|person| &person.name);
    let members = || seen.groups.iter().flat_map(others);
    let all = records().chain(seen.groups.iter().map(|group| &group.name)).chain(members());
    let generation = login.generation;
    let named = all.map(|name| (name_note(generation, &UserName::from(name.as_str())), name)).collect();
    let mut known = keys(far, login, named).await?;
    known.retain(|name, key| is_settled(name, key));

    let listed: HashSet<&String> = records().collect();
    let is_missing = |name: &String| !known.contains_key(name) && !listed.contains(name);
    let (mut strangers, mut in_group) = (HashMap::new(), HashMap::new());
    for group in &seen.groups {
        let key = known.get(&group.name);
        for name in others(group).filter(|name| is_missing(name)) {
            let user_name = UserName::from(name.as_str());
            strangers.insert(stranger_note(generation, &user_name), name);
            in_group.extend(key.map(|key| (member_note(generation, key, &user_name), name)));
        }
    }
    // Whoever was recognised is so in every group.
    let recognised = keys(far, login, strangers).await?;
    for (name, key) in recognised.into_iter().chain(keys(far, login, in_group).await?) {
        known.entry(name).or_insert(key);
    }
    Ok(known)
}

/// Groups that we are not in any more and contacts who were deleted in this login. They may be named by somebody who
/// remembers them, and the service answers: with a group without members, with a record that is in no address book.
/// Source: the protocol sheet, section 2.10.
pub(super) async fn gone(
    far: &dyn FarEnd,
    login: &Login<'_>,
    records: &[Contact],
) -> Result<HashSet<UserName>, FarError> {
    let may_be = |record: &&Contact| match record.is_room() {
        true => record.member_list.is_empty(),
        false => !record.is_in_address_book(),
    };
    let names = records.iter().filter(may_be).map(|record| &record.user_name);
    let notes: HashMap<String, &UserName> =
        names.map(|name| (name_note(login.generation, name), name)).collect();
    let keys: Vec<String> = notes.keys().cloned().collect();
    let mut gone = HashSet::new();
    for part in keys.chunks(PAGE) {
        for (note, value) in far.notes_of(login.network, part).await? {
            let is_gone = serde_json::from_slice::<Named>(&value).is_ok_and(|named| named.is_gone);
            gone.extend(notes.get(&note).filter(|_| is_gone).map(|name| (*name).clone()));
        }
    }
    Ok(gone)
}

/// Names of the members but the owner of the account.
fn others(group: &Group) -> impl Iterator<Item = &String> {
    group.members.iter().filter(|member| !member.is_self).map(|member| &member.name)
}

/// The lasting keys that these notes name, by names of the session.
async fn keys(
    far: &dyn FarEnd,
    login: &Login<'_>,
    names: HashMap<String, &String>,
) -> Result<HashMap<String, String>, FarError> {
    let notes: Vec<String> = names.keys().cloned().collect();
    let mut found = HashMap::with_capacity(notes.len());
    for part in notes.chunks(PAGE) {
        let read = far.notes_of(login.network, part).await?.into_iter();
        found.extend(read.filter_map(|(note, value)| {
            Some(((*names.get(&note)?).clone(), serde_json::from_slice::<Named>(&value).ok()?.key))
        }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use wxgate_contract::conformance::Double;
    use wxgate_contract::{Batch, NetworkId};
    use wxgate_identity::{GroupMember, GroupSight, MemberSight, Person, Profile, Seen, Sight};

    use super::*;
    use crate::roster::{Kind, note};
    use crate::session::live::Own;

    #[tokio::test]
    async fn who_is_gone_does_not_come_back_because_somebody_remembers_the_name() {
        let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
        let login = Login { network: &network, uin: 1, generation: 2, own: Own::default() };
        let names = ["@@left", "@@back", "@@here", "@deleted", "@again", "@here"];
        let named = |name: &str| {
            let is_gone = !name.ends_with("here");
            note(name_note(2, &name.into()), &Named { is_gone, ..Named::new(name, Kind::Group, "") })
        };
        let notes = names.map(named).into();
        double.commit(&network, Batch { notes, ..Batch::default() }).await.unwrap();
        let record = |name: &str| Contact { user_name: name.into(), ..Contact::default() };
        let mut records: Vec<Contact> = names.map(record).into();
        records[1].member_list = vec![wechat_proto::Member::default()];
        records[4].contact_flag = 1;
        let gone = gone(&double, &login, &records).await.unwrap();
        assert_eq!(gone, ["@@left", "@deleted"].map(UserName::from).into());
    }

    #[tokio::test]
    async fn members_who_were_here_before_are_who_they_were_and_stand_ins_are_left() {
        let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
        let login = Login { network: &network, uin: 1, generation: 2, own: Own::default() };
        let name = |name: &str| UserName::from(name);
        let made = login.key_for(&name("@made"));
        let named = |key: &str, kind: Kind| Named::new(key, kind, "");
        let deleted = Named { is_gone: true, ..named("p-deleted", Kind::Person) };
        let notes = vec![
            note(name_note(2, &name("@anna")), &named("p-anna", Kind::Person)),
            note(name_note(2, &name("@made")), &named(&made, Kind::Person)),
            note(name_note(2, &name("@deleted")), &deleted),
            note(name_note(2, &name("@@club")), &named("g-club", Kind::Group)),
            note(stranger_note(2, &name("@again")), &named("p-again", Kind::Person)),
            note(member_note(2, "g-club", &name("@first")), &named("p-first", Kind::Person)),
            note(member_note(2, "g-club", &name("@made")), &named(&made, Kind::Person)),
            note(member_note(2, "g-other", &name("@elsewhere")), &named("p-elsewhere", Kind::Person)),
        ];
        double.commit(&network, Batch { notes, ..Batch::default() }).await.unwrap();
        let sight = || Sight::of(&wechat_proto::Contact::default(), 0);
        let known =
            |id: &str, login: u32| Profile::new(id.to_owned(), sight(), Seen { login, ..Seen::default() });
        let club = wxgate_identity::GroupProfile {
            id: "g-club".to_owned(),
            sight: GroupSight::default(),
            members: Vec::new(),
            seen: Seen { login: 2, ..Seen::default() },
            open: Vec::new(),
            ruled_out: Vec::new(),
            answered: Vec::new(),
            taken_back: Vec::new(),
            permanent: 0,
            why: None,
            before: None,
        };
        let people = vec![known("p-anna", 2), known("p-deleted", 2), known(&made, 0)];
        let book = Book { people, groups: vec![club], ..Book::default() };
        let person = |name: &str| Person { name: name.to_owned(), sight: sight() };
        let member =
            |name: &str| GroupMember { name: name.to_owned(), is_self: false, sight: MemberSight::default() };
        let members = ["@anna", "@made", "@deleted", "@again", "@first", "@elsewhere"];
        let group = Group {
            name: "@@club".to_owned(),
            sight: GroupSight::default(),
            members: members.map(member).into(),
        };
        let people = ["@anna", "@made"].map(person).into();
        let seen = wxgate_identity::Login { people, groups: vec![group], ..Default::default() };
        let found = names(&double, &login, &seen, &book).await.unwrap();
        let expected = [
            ("@anna", "p-anna"),
            ("@deleted", "p-deleted"),
            ("@@club", "g-club"),
            ("@again", "p-again"),
            ("@first", "p-first"),
        ];
        assert_eq!(found, expected.map(|(name, key)| (name.to_owned(), key.to_owned())).into());
    }
}
