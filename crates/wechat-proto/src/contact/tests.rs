use super::{member::NameOrder, *};

fn anna() -> Contact {
    Contact {
        user_name: "@anna".into(),
        nick_name: "Anna".into(),
        remark_name: "安娜".into(),
        star_friend: 1,
        contact_flag: 3,
        alias: "anna-id".into(),
        head_img_url: "/cgi-bin/mmwebwx-bin/webwxgeticon?seq=633000001&username=@anna".into(),
        ..Contact::default()
    }
}

#[test]
fn item_34_silence_keeps_and_a_full_record_clears() {
    let mut known = anna();
    ModContact { user_name: "@anna".into(), sex: 2, ..ModContact::default() }
        .merge_into(&mut known, ClearedRemark::Believe);
    assert_eq!((known.sex, known.remark_name.raw(), known.alias.as_str()), (2, "安娜", "anna-id"));

    let full = ModContact {
        user_name: "@anna".into(),
        nick_name: "Anna B".into(),
        contact_flag: 2051,
        ..ModContact::default()
    };
    let mut cautious = known.clone();
    full.merge_into(&mut known, ClearedRemark::Believe);
    assert_eq!((known.nick_name.raw(), known.remark_name.raw(), known.sex), ("Anna B", "", 0));
    assert_eq!(known.star_friend, 1, "the shape has no such field");
    assert_eq!(known.head_img_seq(), 633_000_001, "an empty picture address is silence");
    assert!(known.is_pinned());
    full.merge_into(&mut cautious, ClearedRemark::Ignore);
    assert_eq!(cautious.remark_name.raw(), "安娜");
}

#[test]
fn item_39_an_empty_member_list_says_nothing() {
    let member = |name: &str| Member { user_name: name.into(), ..Member::default() };
    let mut room = Contact {
        user_name: "@@room".into(),
        member_list: vec![member("@a"), member("@b")],
        member_count: 2,
        ..Contact::default()
    };
    ModContact {
        user_name: "@@room".into(),
        nick_name: "T".into(),
        contact_flag: 2,
        ..ModContact::default()
    }
    .merge_into(&mut room, ClearedRemark::Believe);
    assert_eq!(room.member_list.len(), 2);
    let list = ModContact {
        user_name: "@@room".into(),
        nick_name: "T".into(),
        member_list: vec![member("@b")],
        ..ModContact::default()
    };
    list.merge_into(&mut room, ClearedRemark::Believe);
    assert_eq!(room.member_list.iter().map(|m| m.user_name.as_str()).collect::<Vec<_>>(), ["@b"]);
    assert_eq!(room.member_count, 1);
}

#[test]
fn item_40_official_accounts_are_told_by_one_bit() {
    for (flag, official) in
        [(0, false), (1, false), (8, true), (24, true), (56, true), (136, true), (16, false)]
    {
        assert_eq!(flags::is_official(flag), official, "{flag}");
    }
}

#[test]
fn item_41_pinned_is_a_bit_not_a_value() {
    for (flag, pinned) in [(2051, true), (2050, true), (0x800 | 0x200 | 7, true), (3, false), (2047, false)] {
        assert_eq!(Contact { contact_flag: flag, ..Contact::default() }.is_pinned(), pinned, "{flag}");
    }
}

#[test]
fn item_42_large_numbers_keep_their_value() {
    let contact: Contact = serde_json::from_str(r#"{"UserName":"@a","AttrStatus":2147584103}"#).unwrap();
    assert_eq!(contact.attr_status, 2_147_584_103);
    let message: crate::RawMessage =
        serde_json::from_str(r#"{"MsgId":"7294813305518270461","NewMsgId":7294813305518270461}"#).unwrap();
    assert_eq!(
        (message.new_msg_id, message.msg_id.as_str()),
        (7_294_813_305_518_270_461, "7294813305518270461")
    );
}

#[test]
fn item_47_the_owner_of_a_group_comes_from_whatever_tells_it() {
    let own = SelfUser { uin: 5, user_name: "@self".into(), ..SelfUser::default() };
    let room = Contact { user_name: "@@room".into(), ..Contact::default() };
    assert_eq!(room_owner(&room, None, &own), None);
    assert_eq!(room_owner(&room, Some(&"@anna".into()), &own), Some("@anna".into()));
    assert_eq!(room_owner(&Contact { is_owner: 1, ..room.clone() }, None, &own), Some("@self".into()));
    let members = vec![Member { uin: 9, user_name: "@bo".into(), ..Member::default() }];
    assert_eq!(
        room_owner(&Contact { owner_uin: 9, member_list: members, ..room }, None, &own),
        Some("@bo".into())
    );
}

#[test]
fn item_33_a_contact_without_uin_is_still_told_apart_by_its_name() {
    let contacts: Vec<Contact> =
        serde_json::from_str(r#"[{"Uin":0,"UserName":"@a"},{"Uin":0,"UserName":"@b"}]"#).unwrap();
    assert_ne!(contacts[0].user_name, contacts[1].user_name);
}

#[test]
fn names_are_shown_in_the_pages_order() {
    assert_eq!(anna().shown_name(), "安娜");
    let member = Member { nick_name: "Bo".into(), display_name: "波".into(), ..Member::default() };
    let remark = WireText::from("R");
    assert_eq!(member.shown_name_with(Some(&remark), NameOrder::RemarkFirst), "R");
    assert_eq!(member.shown_name_with(Some(&remark), NameOrder::GroupNameFirst), "波");
    let unnamed = Contact {
        user_name: "@@room".into(),
        member_list: (0..12)
            .map(|n| Member { nick_name: format!("m{n}").as_str().into(), ..Member::default() })
            .collect(),
        ..Contact::default()
    };
    assert_eq!(unnamed.shown_name(), "m0, m1, m2, m3, m4, m5, m6, m7, m8, m9");
}

#[test]
fn muting_is_told_differently_for_groups() {
    assert!(Contact { user_name: "@@r".into(), statues: 0, ..Contact::default() }.is_muted());
    assert!(!Contact { user_name: "@@r".into(), statues: 1, ..Contact::default() }.is_muted());
    assert!(Contact { user_name: "@a".into(), contact_flag: 0x203, ..Contact::default() }.is_muted());
}

#[test]
fn a_profile_change_is_applied_only_where_it_says_something() {
    let mut own = SelfUser { nick_name: "林一".into(), head_img_url: "/old".into(), ..SelfUser::default() };
    let change: ProfileChange = serde_json::from_str(
        r#"{"BitFlag":190,"NickName":{"Buff":"林二"},"HeadImgUpdateFlag":0,"HeadImgUrl":"/new","UserName":null}"#,
    )
    .unwrap();
    change.apply(&mut own);
    assert_eq!((own.nick_name.raw(), own.head_img_url.as_str()), ("林二", "/old"));
    ProfileChange {
        bit_flag: 0,
        head_img_update_flag: 1,
        head_img_url: "/x".into(),
        ..ProfileChange::default()
    }
    .apply(&mut own);
    assert_eq!(own.head_img_url, "/old");
}
