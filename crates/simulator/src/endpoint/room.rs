//! Groups, remarks, pins and friend requests.

use serde_json::{Value, json};

use super::Call;
use crate::account::State;
use crate::http::Answer;
use crate::ledger::{LedgerEntry, Way};
use crate::message::Event;
use crate::who::Who;
use crate::wire;

fn person(state: &State, value: Option<&Value>) -> Option<Who> {
    let view = state.view()?;
    let who = view.names.who(value?.as_str()?)?;
    view.people.exists(who).then_some(who)
}

/// Notes in the ledger what the client did to a chat.
fn note(call: &Call<'_>, state: &mut State, chat: Who, kind: &'static str, text: &str) {
    let mut entry = LedgerEntry {
        n: 0,
        at_ms: call.world.now_ms(),
        way: Way::FromAccount,
        chat,
        from: Who::Own,
        kind,
        text: text.into(),
        msg_id: 0,
        client_msg_id: None,
        media_md5: None,
        media_bytes: None,
        deliveries: 0,
        delivered_ms: None,
        repeats: 0,
    };
    entry.n = state.ledger.write(entry.clone(), call.world.0.config.ledger_limit);
    if let Some(account) = call.account.as_ref() {
        call.world.tell(&account.name, entry);
    }
}

fn wake(call: &Call<'_>) {
    if let Some(account) = call.account.as_ref() {
        account.wake.notify_waiters();
    }
}

/// Source: the protocol sheet, section 2.23.
pub(super) fn create(call: &Call<'_>) -> Answer {
    let done = call.with_session(|_, state| {
        let body = call.body(state)?;
        let list = body.get("MemberList").and_then(Value::as_array).ok_or(1)?;
        if body.get("MemberCount").and_then(Value::as_u64) != Some(list.len() as u64) {
            call.violation("MemberCount is not the length of MemberList");
        }
        let members: Vec<Who> =
            list.iter().filter_map(|entry| person(state, entry.get("UserName"))).collect();
        if members.len() < 2 || members.len() != list.len() || members.contains(&Who::Own) {
            call.violation("a group needs two others whose names are known");
            return Err(-1);
        }
        let people = &mut state.people;
        let group = people.groups.max(1_000_000 - 1)
            + 1
            + u32::try_from(people.edits.extra_groups.len()).unwrap_or(0);
        let topic = body.get("Topic").and_then(Value::as_str).unwrap_or("");
        people.edits.extra_groups.insert(group, members.clone());
        people.edits.nicks.insert(Who::Group(group), topic.to_owned());
        state.push(Event::Modified(Who::Group(group)));
        note(call, state, Who::Group(group), "create_group", topic);
        let view = state.view().ok_or(1_100)?;
        let list: Vec<Value> = members
            .iter()
            .map(|who| json!({"UserName": view.name(*who), "NickName": view.people.nick(*who)}))
            .collect();
        Ok(json!({
            "BaseResponse": {"Ret": 0, "ErrMsg": ""}, "Topic": topic, "PYInitial": "",
            "QuanPin": "", "MemberCount": list.len(), "MemberList": list,
            "ChatRoomName": view.name(Who::Group(group)), "BlackList": ""
        }))
    });
    wake(call);
    match done {
        Ok(value) => Answer::new(200, "text/plain", wire::print(&value)),
        Err(code) => call.refuse(code),
    }
}

/// Source: the protocol sheet, section 2.24.
pub(super) fn update(call: &Call<'_>) -> Answer {
    let answer = call.plain(|state, body| {
        let Some(Who::Group(group)) = person(state, body.get("ChatRoomName")) else {
            return Err(-1);
        };
        let text = |field: &str| body.get(field).and_then(Value::as_str);
        let listed = |state: &State, field: &str| -> Result<Vec<Who>, i32> {
            let names = text(field).ok_or(1)?;
            names.split(',').map(|name| person(state, Some(&json!(name))).ok_or(-1)).collect()
        };
        let size = state.people.members(group).len();
        let fun = call.request.param("fun").unwrap_or_default().to_owned();
        match fun.as_str() {
            "addmember" | "invitemember" => {
                let field = if fun == "addmember" { "AddMemberList" } else { "InviteMemberList" };
                let fresh = listed(state, field)?;
                let start = call.world.0.config.invite_start;
                if (size + fresh.len() >= start) != (fun == "invitemember") {
                    call.tolerate("invitation threshold counted otherwise");
                }
                let edits = &mut state.people.edits;
                edits.members_added.entry(group).or_default().extend(fresh);
            }
            "delmember" => {
                let gone = listed(state, "DelMemberList")?;
                if state.people.room_owner(group) != Who::Own {
                    return Err(-1);
                }
                let edits = &mut state.people.edits;
                edits.members_gone.entry(group).or_default().extend(gone);
            }
            "modtopic" => {
                let topic = text("NewTopic").ok_or(1)?.to_owned();
                state.people.edits.nicks.insert(Who::Group(group), topic);
            }
            "quitchatroom" => {
                state.people.edits.gone.insert(Who::Group(group));
                state.push(Event::Deleted(Who::Group(group)));
                note(call, state, Who::Group(group), "update_group", &fun);
                return Ok(());
            }
            _ => {
                call.violation("parameter fun is unknown");
                return Err(1);
            }
        }
        state.push(Event::Modified(Who::Group(group)));
        note(call, state, Who::Group(group), "update_group", &fun);
        Ok(())
    });
    wake(call);
    answer
}

/// Source: the protocol sheet, section 2.25.
pub(super) fn oplog(call: &Call<'_>) -> Answer {
    let answer = call.plain(|state, body| {
        let who = person(state, body.get("UserName")).ok_or(-1)?;
        let remark = body.get("RemarkName").and_then(Value::as_str);
        match body.get("CmdId").and_then(Value::as_u64) {
            Some(2) => {
                let remark = remark.ok_or(1)?.to_owned();
                note(call, state, who, "remark", &remark);
                // Success code, no effect. Source: the protocol sheet, section 2.25.
                if !call.world.0.config.keeps_remarks {
                    return Ok(());
                }
                state.people.edits.remarks.insert(who, remark);
            }
            Some(3) => {
                let on = body.get("OP").and_then(Value::as_u64) == Some(1);
                if remark.is_none_or(|remark| remark != state.people.remark(who)) {
                    call.violation("pin without the current RemarkName erases it");
                    state.people.edits.remarks.insert(who, remark.unwrap_or_default().to_owned());
                }
                if on {
                    state.people.edits.pinned.insert(who);
                } else {
                    state.people.edits.pinned.remove(&who);
                }
                note(call, state, who, "pin", if on { "1" } else { "0" });
            }
            _ => {
                call.violation("CmdId is neither 2 nor 3");
                return Err(1);
            }
        }
        state.push(Event::Modified(who));
        Ok(())
    });
    wake(call);
    answer
}

/// Source: the protocol sheet, section 2.27.
pub(super) fn verify(call: &Call<'_>) -> Answer {
    let answer = call.plain(|state, body| {
        let entry =
            body.get("VerifyUserList").and_then(Value::as_array).and_then(|list| list.first()).ok_or(1)?;
        if body.get("VerifyUserListSize").and_then(Value::as_u64) != Some(1) {
            call.violation("VerifyUserListSize is not the length of the list");
        }
        let ticket = entry.get("VerifyUserTicket").and_then(Value::as_str).unwrap_or_default();
        let names = state.view().ok_or(1_100)?.names;
        let who = entry.get("Value").and_then(Value::as_str).and_then(|name| names.who(name)).ok_or(-1)?;
        match body.get("Opcode").and_then(Value::as_u64) {
            Some(3) => {
                if !ticket.ends_with("@stranger") {
                    // Source: the protocol sheet, section 2.27: an empty ticket fails.
                    call.violation("accepting needs the request's ticket");
                    return Err(-1);
                }
                let friend = Who::Contact(state.people.contact_count());
                state.people.edits.extra_contacts += 1;
                state.people.edits.nicks.insert(friend, format!("New friend {friend}"));
                state.push(Event::Modified(friend));
                note(call, state, friend, "accept", ticket);
                let text = format!("你已添加了New friend {friend}，现在可以开始聊天了。");
                let line = crate::message::Kind::system(&text);
                call.world.say_once(state, (friend, friend), line, call.world.next_msg_id());
                Ok(())
            }
            Some(1 | 2 | 4 | 5 | 6) => {
                note(call, state, who, "verify", "");
                Ok(())
            }
            _ => {
                call.violation("Opcode is unknown");
                Err(1)
            }
        }
    });
    wake(call);
    answer
}
