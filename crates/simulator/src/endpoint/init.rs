//! `webwxinit`, `webwxstatusnotify`, `webwxlogout`.

use serde_json::{Value, json};

use super::{Call, entry, text_of};
use crate::content::recent_chats;
use crate::http::{Answer, form};
use crate::keys::{KeyObject, Which};
use crate::ledger::{LedgerEntry, Way};
use crate::message::Kind;
use crate::who::Who;
use crate::wire::{self, Members};

/// A refused answer: every field there, and empty. Source: the protocol sheet, section 2.7.
pub(super) fn nothing(code: i32) -> Value {
    json!({
        "BaseResponse": {"Ret": code, "ErrMsg": ""},
        "Count": 0, "ContactList": [], "SyncKey": {"Count": 0, "List": []},
        "User": {
            "Uin": 0, "UserName": "", "NickName": "", "HeadImgUrl": "", "RemarkName": "",
            "PYInitial": "", "PYQuanPin": "", "RemarkPYInitial": "", "RemarkPYQuanPin": "",
            "HideInputBarFlag": 0, "StarFriend": 0, "Sex": 0, "Signature": "",
            "AppAccountFlag": 0, "VerifyFlag": 0, "ContactFlag": 0, "WebWxPluginSwitch": 0,
            "HeadImgFlag": 0, "SnsFlag": 0
        },
        "ChatSet": "", "SKey": "", "ClientVersion": 0, "SystemTime": 0, "GrayScale": 0,
        "InviteStartCount": 0, "MPSubscribeMsgCount": 0, "MPSubscribeMsgList": [],
        "ClickReportInterval": 0
    })
}

/// Source: the protocol sheet, section 2.7.
pub(super) fn init(call: &Call<'_>) -> Answer {
    let now_s = call.world.now_ms() / 1_000;
    let done = call.with_session(|account, state| {
        call.body(state)?;
        let head = state.head();
        let session = state.session.as_mut().ok_or(1_100)?;
        session.inited = true;
        session.synced = false;
        let loadtime = entry::cookie(
            call.world,
            session,
            "wxloadtime",
            &format!("{}_expired", session.login_s),
            entry::Life::Session,
        );
        let view = state.view().ok_or(1_100)?;
        let chats = recent_chats(&view);
        let shown: Vec<_> = chats
            .iter()
            .copied()
            // The last group of the conversation list is in ChatSet only.
            .filter(|who| !matches!(who, Who::Group(at) if at % 4 == 2))
            .take(12)
            .chain([Who::Special(1)])
            .map(|who| view.contact(who, Members::Bare))
            .collect();
        let chat_set: String = chats.iter().map(|who| view.name(*who) + ",").collect();
        let articles = (7..view.people.contacts).step_by(20).next().map(Who::Contact).map(|who| {
            json!({
                "UserName": view.name(who), "MPArticleCount": 1,
                "MPArticleList": [{"Title": "Hello &amp; welcome", "Digest": "",
                    "Cover": "http://example.com/c.jpg", "Url": "http://example.com/1"}],
                "Time": now_s, "NickName": view.people.nick(who)
            })
        });
        let mut value = nothing(0);
        value["Count"] = json!(shown.len());
        value["ContactList"] = json!(shown);
        value["SyncKey"] = json!(KeyObject::at(head, Which::Sync));
        value["ChatSet"] = json!(chat_set);
        value["SKey"] = json!(view.skey);
        value["ClientVersion"] = json!(369_297_683);
        value["SystemTime"] = json!(now_s);
        value["GrayScale"] = json!(1);
        value["InviteStartCount"] = json!(call.world.0.config.invite_start);
        value["MPSubscribeMsgCount"] = json!(articles.iter().len());
        value["MPSubscribeMsgList"] = json!(articles.into_iter().collect::<Vec<_>>());
        value["ClickReportInterval"] = json!(600_000);
        let user = &mut value["User"];
        user["Uin"] = json!(account.uin);
        user["UserName"] = json!(view.name(Who::Own));
        user["NickName"] = json!(view.people.nick(Who::Own));
        user["HeadImgUrl"] = json!(view.avatar(Who::Own));
        user["Sex"] = json!(view.people.sex(Who::Own));
        user["HeadImgFlag"] = json!(1);
        user["SnsFlag"] = json!(1);
        Ok((value, loadtime))
    });
    match done {
        Ok((value, loadtime)) => {
            let mut answer = Answer::new(200, "text/plain", wire::print(&value));
            answer.set_cookies.push(loadtime);
            answer
        }
        Err(code) => call.refuse(code),
    }
}

/// Source: the protocol sheet, section 2.8.
pub(super) fn status_notify(call: &Call<'_>) -> Answer {
    let world = call.world;
    let done = call.with_session(|account, state| {
        let body = call.body(state)?;
        let names = state.view().ok_or(1_100)?.names;
        let who = |field: &str| body.get(field).and_then(Value::as_str).and_then(|name| names.who(name));
        if text_of(body.get("ClientMsgId")).is_none() {
            call.violation("ClientMsgId missing");
            return Err(1);
        }
        if who("FromUserName") != Some(Who::Own) {
            call.violation("FromUserName is not self");
            return Err(1);
        }
        let code = body.get("Code").and_then(Value::as_u64);
        match (code, who("ToUserName")) {
            (Some(3), Some(Who::Own)) => {
                let own = (Who::Own, Who::Own);
                world.say_once(state, own, Kind::PhoneState { code: 2 }, world.next_msg_id());
                let ids = world.0.config.permanent_ids;
                world.say_once(
                    state,
                    (Who::Own, Who::Own),
                    Kind::ConversationList { ids },
                    world.next_msg_id(),
                );
                account.wake.notify_waiters();
            }
            (Some(1), Some(chat)) if chat != Who::Own => {
                let entry = LedgerEntry {
                    n: 0,
                    at_ms: world.now_ms(),
                    way: Way::FromAccount,
                    chat,
                    from: Who::Own,
                    kind: "read",
                    text: "".into(),
                    msg_id: 0,
                    client_msg_id: None,
                    media_md5: None,
                    media_bytes: None,
                    deliveries: 0,
                    delivered_ms: None,
                    repeats: 0,
                };
                state.ledger.write(entry, world.0.config.ledger_limit);
            }
            _ => {
                call.violation("Code and ToUserName do not fit");
                return Err(1);
            }
        }
        Ok(world.next_msg_id())
    });
    match done {
        Ok(id) => Answer::new(
            200,
            "text/plain",
            wire::print(&json!({"BaseResponse": {"Ret": 0, "ErrMsg": ""}, "MsgID": id.to_string()})),
        ),
        Err(code) => call.refuse(code),
    }
}

/// Source: the protocol sheet, section 2.13.
pub(super) fn logout(call: &Call<'_>) -> Answer {
    let request = call.request;
    // Whatever was wrong with the request, the browser is sent back to the front page.
    let _ = call.with_session(|account, state| {
        let skey = request.param("skey");
        let session = state.session.as_deref().ok_or(1_100)?;
        if skey != Some(session.skey.as_str()) {
            call.violation("skey is not the session's");
        }
        call.demand(&["redirect", "type"]);
        if request.method == "POST" && !request.body.is_empty() {
            let fields = form(&String::from_utf8_lossy(&request.body));
            let has =
                |name: &str, value: &str| fields.iter().any(|(known, given)| known == name && given == value);
            if !has("sid", &session.sid) || !has("uin", &account.uin.to_string()) {
                call.violation("form does not carry sid and uin");
            }
        } else {
            call.tolerate("no form with sid and uin");
        }
        state.ended = Some((session.sid.clone(), 1_101));
        state.session = None;
        account.wake.notify_waiters();
        Ok(())
    });
    let mut answer = Answer::new(301, "text/html", "");
    answer.location = Some("https://wx.qq.com/?&lang=zh_CN".to_owned());
    answer
}
