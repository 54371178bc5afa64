//! The records of a login as the matcher reads them.

use wechat_proto::{Contact, SyncKey, UserName};
use wxgate_identity::{Field, Group, GroupMember, GroupSight, Kept, Login, MemberSight, Person, Sight};

/// Reads the records; built-in accounts keep their names and are nobody's double.
///
/// Pictures are not fetched for this: a request per contact, for next to nothing.
/// Source: the paper on contact identity, evidence ("avatar bytes").
pub(crate) fn of(records: &[Contact], own: &UserName, uin: i64, at_s: i64, key: &SyncKey) -> Login {
    // Counters from 1000 on are times. Source: the protocol sheet, section 2.12.
    let counters = key.list.iter().filter(|pair| (1..1000).contains(&pair.key)).map(|pair| pair.val);
    let mut login = Login { uin, at_s, bound: counters.min().unwrap_or(0), ..Login::default() };
    for record in records.iter().filter(|record| !record.user_name.survives_login()) {
        let name = record.user_name.to_string();
        if record.is_room() {
            let (sight, members) = group(record, own);
            login.groups.push(Group { name, sight, members });
        } else {
            login.people.push(Person { name, sight: Sight::of(record, 0) });
        }
    }
    login
}

/// A group and its members.
pub(crate) fn group(room: &Contact, own: &UserName) -> (GroupSight, Vec<GroupMember>) {
    let members = room.member_list.iter().take(crate::roster::record::MAX_MEMBERS);
    let member = members.map(|member| GroupMember {
        name: member.user_name.to_string(),
        is_self: member.user_name == *own,
        sight: MemberSight::of(member),
    });
    (GroupSight::of(room, 0), member.collect())
}

/// What share of the people recognised without it kept each field, in per cent: no personal data,
/// the only way to learn the true rates, and the first sign that the protocol moved.
pub(crate) fn shares(kept: &Kept) -> String {
    let share = |(field, (kept, seen)): (Field, &(u32, u32))| {
        let share = 100.0 * f64::from(*kept) / f64::from((*seen).max(1));
        (*seen > 0).then(|| format!("{} {share:.1} of {seen}", field.word()))
    };
    Field::ALL.into_iter().zip(&kept.fields).filter_map(share).collect::<Vec<_>>().join(", ")
}
