//! What is kept of somebody follows what is seen of them while the session lasts: the next login
//! is compared with the newest record, and changes seen under one name are not guessed later.

use wechat_proto::{Contact, UserName};
use wxgate_contract::Note;
use wxgate_identity::{Field, GroupProfile, KnownMember, Profile, Seen, Sight};

use super::{evidence, shelf};

/// A changed record does not carry these, or carries them as "not told".
/// Source: the protocol sheet, section 3.4.
const NOT_TOLD: [Field; 4] = [Field::Avatar, Field::Star, Field::Attr, Field::Sns];

/// The profile with a newer record; somebody not known yet gets one.
pub(crate) fn person(known: Option<Profile>, key: &str, record: &Contact, at_s: i64) -> Note {
    let mut sight = Sight::of(record, 0);
    let Some(mut profile) = known else {
        return shelf::person_note(&Profile::new(key.to_owned(), sight, Seen { at_s, ..Seen::default() }));
    };
    for field in NOT_TOLD {
        if let Some(code) = sight.codes.get_mut(field as usize)
            && (*code == 0 || field == Field::Star)
        {
            *code = profile.sight.code(field);
        }
    }
    // A record that changed has another version, and only the list tells which.
    profile.sight = sight;
    profile.seen.at_s = at_s;
    shelf::person_note(&profile)
}

/// The same for a group; an empty list of members says nothing.
pub(crate) fn group(
    known: Option<GroupProfile>,
    (key, own): (&str, &UserName),
    room: &Contact,
    id_of: impl Fn(&str) -> String,
    at_s: i64,
) -> Note {
    let (mut sight, members) = evidence::group(room, own);
    let members: Vec<KnownMember> = members
        .into_iter()
        .map(|member| {
            let id = if member.is_self { String::new() } else { id_of(&member.name) };
            KnownMember { id, sight: member.sight }
        })
        .collect();
    let Some(mut profile) = known else {
        let seen = Seen { at_s, ..Seen::default() };
        return shelf::group_note(&GroupProfile {
            members,
            ..GroupProfile::new(key.to_owned(), sight, seen)
        });
    };
    // Whose group it is stands in the list only. Source: the protocol sheet, section 3.4.
    sight.is_owned |= profile.sight.is_owned;
    profile.sight = sight;
    if !members.is_empty() {
        profile.members = members;
    }
    profile.seen.at_s = at_s;
    shelf::group_note(&profile)
}
