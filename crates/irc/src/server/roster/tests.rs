use wxgate_contract::{ChatKind, ChatProfile, Member, PersonProfile};

use super::*;

fn profile(key: &str, nickname: &str) -> PersonProfile {
    PersonProfile {
        person: key.into(),
        kind: PersonKind::Human,
        nickname: nickname.to_owned(),
        remark: String::new(),
        public_id: String::new(),
        signature: String::new(),
        region: String::new(),
        is_contact: true,
    }
}

fn group(key: &str, title: &str) -> ChatProfile {
    ChatProfile {
        chat: key.into(),
        kind: ChatKind::Group,
        title: title.to_owned(),
        topic: String::new(),
        is_owned: false,
        owner: None,
        members: None,
        is_gone: false,
    }
}

fn restarted(roster: &Roster) -> Roster {
    let mut next = Roster::new("wechat:a".into());
    for note in &roster.unsaved {
        let value = note.value.as_ref().unwrap();
        if let Some(key) = note.key.strip_prefix("nick/wechat:a/") {
            next.load_nick(key, value);
        } else if let Some(key) = note.key.strip_prefix("chan/wechat:a/") {
            next.load_channel(key, value);
        }
    }
    next
}

#[test]
fn who_came_first_keeps_the_bare_nick_over_a_restart() {
    let now = Timestamp(1);
    let mut roster = Roster::new("wechat:a".into());
    roster.reserve(&["wechat", "me"]);
    roster.update_person(&profile("z", "张伟"), now);
    roster.update_person(&profile("a", "张伟"), now);
    roster.update_person(&profile("m", "ME"), now);
    let mut next = restarted(&roster);
    for key in ["a", "m", "z"] {
        next.update_person(&profile(key, if key == "m" { "ME" } else { "张伟" }), now);
    }
    let nick = |key: &str| next.person(next.by_key(&key.into()).unwrap()).unwrap().nick.clone();
    assert_eq!((nick("z"), nick("a"), nick("m")), ("张伟".into(), "张伟_2".into(), "ME_2".into()));
    assert!(next.unsaved.is_empty(), "nothing new is to be stored");
}

#[test]
fn a_rename_retires_the_old_nick_for_a_day() {
    let mut roster = Roster::new("wechat:a".into());
    let now = Timestamp(0);
    let (ix, renamed) = roster.update_person(&profile("z", "老张"), now);
    assert_eq!(renamed, None);
    let (_, renamed) = roster.update_person(&profile("z", ""), now);
    assert_eq!(renamed, None, "a glitch renames nobody");
    let (_, renamed) = roster.update_person(&profile("z", "张三"), now);
    let renamed = renamed.unwrap();
    assert_eq!((renamed.old.as_str(), renamed.new.as_str()), ("老张", "张三"));
    assert_eq!(roster.by_nick("老张", now), Some((ix, IsRetired(true))));
    roster.update_person(&profile("y", "老张"), now);
    let other = roster.by_key(&"y".into()).unwrap();
    assert_eq!(roster.person(other).unwrap().nick, "老张_2");
    let later = now.after(RETIRED_FOR);
    assert_eq!(roster.by_nick("老张", later), None);
    assert_eq!(roster.was.front().map(|was| was.now.as_str()), Some("张三"));
    let mut next = Roster::new("wechat:a".into());
    let note = roster.unsaved.iter().rev().find(|note| note.key.ends_with("/z")).unwrap();
    next.load_nick("z", note.value.as_ref().unwrap());
    assert!(next.by_nick("老张", now).is_some(), "a retired nick outlives a restart");
}

#[test]
fn groups_with_one_title_are_told_apart_and_renamed() {
    let mut roster = Roster::new("wechat:a".into());
    let now = Timestamp(0);
    let (one, _) = roster.update_channel(&group("1", "家"), now);
    let (two, _) = roster.update_channel(&group("2", "家"), now);
    assert_eq!(roster.channel(one).unwrap().name, "#家");
    assert_eq!(roster.channel(two).unwrap().name, "#家_2");
    let (_, renamed) = roster.update_channel(&group("1", "新家"), now);
    assert_eq!(renamed.unwrap().new, "#新家");
    assert_eq!(roster.by_name("#家", now), Some(one), "the old name is an alias for a day");
    let (_, renamed) = roster.update_channel(&group("1", ""), now);
    assert_eq!(renamed, None);
}

#[test]
fn member_lists_tell_who_came_and_went() {
    let mut roster = Roster::new("wechat:a".into());
    let now = Timestamp(0);
    let (ix, _) = roster.update_channel(&group("1", "g"), now);
    let member = |key: &str| Member {
        person: key.into(),
        name: key.to_owned(),
        is_self: key == "me",
        is_contact: false,
    };
    let changed = roster.set_members(ix, None, &[member("me"), member("a"), member("b")], now);
    assert_eq!(changed, Changed::default(), "the first list is no change");
    let changed = roster.set_members(ix, Some(&"c".into()), &[member("b"), member("c")], now);
    assert_eq!(changed.came.iter().map(|m| m.rank).collect::<Vec<_>>(), [Rank::Op]);
    assert_eq!((changed.went.len(), changed.ranked), (1, vec![]));
    assert_eq!(roster.channel(ix).unwrap().member_count(), 3);
    let changed = roster.set_members(ix, Some(&"b".into()), &[member("b"), member("c")], now);
    let ranks: Vec<_> = changed.ranked.iter().map(|(member, before)| (*before, member.rank)).collect();
    assert_eq!(ranks, [(Rank::None, Rank::Op), (Rank::Op, Rank::None)]);
    // Whom one befriends is seen; who owns the group stays its owner.
    for key in ["b", "c"] {
        let (person, _) = roster.update_person(&profile(key, key), now);
        let wanted = if key == "c" { vec![(ix, Rank::None)] } else { vec![] };
        assert_eq!(roster.rank_contact(person), wanted, "{key}");
        assert_eq!(roster.rank_contact(person), [], "once");
    }
    assert_eq!(Rank::Op.change(Rank::Voice, "c").as_deref(), Some("-o+v c c"));
    assert_eq!(Rank::None.change(Rank::Op, "c").as_deref(), Some("+o c"));
    assert_eq!(Rank::Voice.change(Rank::None, "c").as_deref(), Some("-v c"));
    assert_eq!(Rank::Op.change(Rank::Op, "c"), None);
}

#[test]
fn a_group_without_a_title_is_named_after_its_members() {
    let mut roster = Roster::new("wechat:a".into());
    let members = ["me", "甲", "乙", "丙", "丁"].map(|name| Member {
        person: name.into(),
        name: name.to_owned(),
        is_self: name == "me",
        is_contact: false,
    });
    let chat = ChatProfile { members: Some(members.to_vec()), ..group("1", "") };
    let (ix, _) = roster.update_channel(&chat, Timestamp(0));
    assert_eq!(roster.channel(ix).unwrap().name, "#甲_乙_丙");
}

#[test]
fn new_names_do_not_collide_with_users_of_the_gateway() {
    use crate::server::caps::Caps;
    use crate::server::hall::{Act, Identity};
    use crate::server::registry::ClientId;

    let now = Timestamp(0);
    let mut roster = Roster::new("wechat:a".into());
    let hall = Arc::new(Hall::new("run"));
    let enter = |nick: &str, known| {
        let id = Identity { nick: nick.into(), user: nick.into(), realname: nick.into(), account: None };
        hall.enter(id, known, "wx.test", now).unwrap()
    };
    let me = enter("me", Arc::clone(roster.known()));
    enter("bob", Arc::default());
    let act = Act { me, client: ClientId(1), caps: Caps::NONE, server: "wx.test", now };
    assert!(hall.floor(act).join("#Work", None));
    let known = roster.name_person(&"p-1".into(), "bob", now);
    assert_eq!(roster.person(known).unwrap().nick, "bob", "whoever is not there sees nobody");
    roster.set_place(Some((Arc::clone(&hall), me)));
    let stranger = roster.name_person(&"p-2".into(), "Bob", now);
    assert_eq!(roster.person(stranger).unwrap().nick, "Bob_2");
    let renamed = roster.update_person(&profile("p-1", "me"), now).1.unwrap();
    assert_eq!(renamed.new, "me_2");
    let (group_ix, _) = roster.update_channel(&group("g", "work"), now);
    assert_eq!(roster.channel(group_ix).unwrap().name, "#work_2");
    let (other, _) = roster.update_channel(&group("h", "home"), now);
    assert_eq!(roster.channel(other).unwrap().name, "#home", "what one is not in is in nobody's way");
    assert_eq!(roster.update_channel(&group("h", "WORK"), now).1.unwrap().new, "#WORK_3");
}
