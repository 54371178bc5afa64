//! One entry per family of parsers, for fuzzing: whatever comes in, they return.
//!
//! Used by the fuzz targets and by the test that mutates fixtures on the stable toolchain.

use bytes::Bytes;
use http::Response;

use crate::{
    Call, ClientMsgId, Family, MsgId, Profile, RawMessage, Secret, SyncKey, UserName, contact, decode,
    emoji::Corrections,
    endpoint::{
        BatchGetContact, CheckUpload, CreateChatroom, Endpoint, FetchChanges, GetContact, GetMsgImg,
        ImageSize, Init, JsLogin, LoginPoll, Logout, NewLoginPage, Notify, Pin, PushLogin, Reading,
        RevokeMsg, RoomChange, Scanned, SearchContact, SendText, SetPin, SetRemark, StatusNotify, SyncCheck,
        To, UpdateChatroom, Verify, VerifyUser, new_login_page::Shell, upload_media,
    },
    faces, hosts, mention,
    message::DecodeOptions,
    names, percent, qr, quote, text,
    upload::{MediaKind, PIECE_BYTES, Plan},
    xml,
};

/// Reads the bytes as the answer of every endpoint, and decodes the messages of a sync.
pub fn answers(bytes: &[u8]) {
    let reply = Response::new(Bytes::copy_from_slice(bytes));
    let (own, to, id, msg_id) =
        (UserName::new("@s"), UserName::new("@a"), ClientMsgId::from_stable(1), MsgId::new("1"));
    let key = SyncKey::default();
    let _ = JsLogin.parse(&reply);
    let _ = LoginPoll { uuid: "u", scanned: Scanned::Asked }.parse(&reply);
    let _ = PushLogin { uin: 1 }.parse(&reply);
    if let Ok(redirect) = hosts::check_redirect("https://wx.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage") {
        let _ = NewLoginPage { redirect: &redirect, shell: Shell::default() }.parse(&reply);
    }
    let _ = Init.parse(&reply).map(|initial| initial.chats().count());
    let _ = GetContact::default().parse(&reply).map(|page| {
        page.member_list.iter().for_each(|contact| drop(contact.shown_name()));
    });
    let _ = BatchGetContact { wanted: &[] }.parse(&reply);
    let _ = SyncCheck { key: &key }.parse(&reply);
    if let Ok(changes) = (FetchChanges { key: &key, reading: Reading::Whole }).parse(&reply) {
        for raw in &changes.messages {
            drop(decode(raw, &own, DecodeOptions::default()));
        }
        for change in &changes.modified {
            drop(change.to_contact());
        }
    }
    let _ = SendText { to: To { own: &own, to: &to, id: &id }, text: "" }.parse(&reply);
    let _ = RevokeMsg { msg_id: &msg_id, to: &to, id: &id }.parse(&reply);
    let _ = CreateChatroom { members: &[], topic: "" }.parse(&reply);
    let _ = SearchContact { key_word: "" }.parse(&reply);
    let _ = CheckUpload { own: &own, to: &to, bytes: 1, md5: "", name: "" }.parse(&reply);
    let _ = GetMsgImg { msg_id: &msg_id, size: ImageSize::Original }.parse(&reply);
    let _ = Logout::default().parse(&reply);
    let _ = StatusNotify { own: &own, notify: Notify::Began }.parse(&reply);
    let _ = SetRemark { user_name: &to, remark: "" }.parse(&reply);
    let _ = SetPin { user_name: &to, pin: Pin::Pinned, present_remark: "" }.parse(&reply);
    let _ = UpdateChatroom { room: &to, change: RoomChange::Topic("") }.parse(&reply);
    let _ = VerifyUser { user_name: &to, verify: Verify::Accept { ticket: "" } }.parse(&reply);
    let plan = Plan {
        name: "a.txt",
        mime: "text/plain",
        total_bytes: PIECE_BYTES + 1,
        md5: "",
        kind: MediaKind::Document,
        own: &own,
        to: &to,
        client_media_id: 1,
        file_number: 0,
        last_modified: "",
        data_ticket: &Secret::default(),
        checked: None,
        boundary: "-",
    };
    for index in 0..plan.pieces() {
        let _ = upload_media::parse(&plan, index, &reply);
    }
}

/// Reads the bytes as the content of a message of every type, private and in a group.
pub fn content(bytes: &[u8]) {
    const TYPES: [(i64, i64, i64); 34] = [
        (1, 0, 0),
        (1, 0, 48),
        (1, 2001, 0),
        (3, 0, 0),
        (34, 0, 0),
        (37, 0, 0),
        (40, 0, 0),
        (42, 0, 0),
        (43, 0, 0),
        (47, 0, 0),
        (48, 0, 0),
        (49, 0, 0),
        (49, 1, 0),
        (49, 2, 0),
        (49, 3, 0),
        (49, 4, 0),
        (49, 5, 0),
        (49, 6, 0),
        (49, 8, 0),
        (49, 17, 0),
        (49, 19, 0),
        (49, 33, 0),
        (49, 57, 0),
        (49, 2000, 0),
        (49, 2001, 0),
        (50, 0, 0),
        (51, 0, 0),
        (52, 0, 0),
        (53, 0, 0),
        (62, 0, 0),
        (9999, 0, 0),
        (10000, 0, 0),
        (10002, 0, 0),
        (77, 0, 0),
    ];
    let content = String::from_utf8_lossy(bytes);
    let own = UserName::new("@s");
    for (msg_type, app_msg_type, sub_msg_type) in TYPES {
        for from in ["@a", "@@r", "newsapp", "@s"] {
            let raw = RawMessage {
                from_user_name: from.into(),
                to_user_name: "@s".into(),
                msg_type,
                app_msg_type,
                sub_msg_type,
                status_notify_code: 4,
                status_notify_user_name: content.chars().take(200).collect(),
                ori_content: content.to_string(),
                url: content.chars().take(200).collect(),
                content: content.to_string(),
                ..RawMessage::default()
            };
            drop(decode(&raw, &own, DecodeOptions::default()));
        }
    }
    drop(xml::parse(&content));
}

/// Reads the bytes as names and other short texts.
pub fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    drop(names::decode_name(&text));
    drop(text::decode(&text, Corrections::Off));
    drop(text::split_sender(&text));
    drop(faces::to_emoji(&text));
    drop(quote::split(&text));
    drop(percent::decode(&percent::encode(&text)));
    drop(xml::unescape(&text));
    drop(SyncKey::from_text(&text));
    drop(hosts::check_redirect(&text));
    drop(qr::text(&text));
    drop(crate::PermanentId::parse(&text));
    let _ = UserName::new(&text).kind();
    let _ = contact::head_img_seq(&text);
    let _ = mention::mentions(&text, &["a", &text]);
    let call = Call {
        credentials: None,
        family: &Family::of_host(&text),
        profile: Profile::Web,
        lang: &text,
        user_agent: &text,
        now_ms: i64::MIN,
        poll_counter_ms: i64::MAX,
        nonce: u64::MAX,
    };
    let _ = JsLogin.request(&call);
    let _ = LoginPoll { uuid: &text, scanned: Scanned::NotYet }.request(&call);
}
