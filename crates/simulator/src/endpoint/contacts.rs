//! The address book, details of given names, and search.

use serde::Serialize;
use serde_json::{Value, json};

use super::Call;
use crate::http::Answer;
use crate::people::People;
use crate::who::Who;
use crate::wire::{self, BaseResponse, Contact, Members};

/// Pages start at this `Seq`, so that a client cannot mistake it for an offset.
const SEQ_BASE: usize = 600_000_900;
/// The largest page.
const PAGE: usize = 500;
/// Source: the protocol sheet, section 2.10.
const BATCH: usize = 50;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    base_response: BaseResponse,
    member_count: usize,
    member_list: Vec<Contact>,
    seq: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    base_response: BaseResponse,
    count: usize,
    contact_list: Vec<Contact>,
}

/// Friends, followed accounts, built-in accounts and the groups that are saved.
fn book(people: &People) -> Vec<Who> {
    (0..people.contact_count())
        .map(Who::Contact)
        .chain([Who::Special(0), Who::Special(1), Who::Special(2)])
        .chain((0..people.groups).filter(|group| people.is_saved(*group)).map(Who::Group))
        .filter(|who| people.exists(*who))
        .collect()
}

/// Source: the protocol sheet, section 2.9.
pub(super) fn all(call: &Call<'_>) -> Answer {
    let request = call.request;
    let done = call.with_session(|_, state| {
        let view = state.view().ok_or(1_100)?;
        if request.param("skey") != Some(view.skey) {
            call.violation("skey is not the session's");
        }
        call.demand(&["r"]);
        if request.method != "GET" {
            call.tolerate("method is POST");
        }
        let from = match request.param("seq") {
            None => {
                call.tolerate("seq missing");
                0
            }
            Some("0") => 0,
            Some(seq) => {
                let at = seq.parse::<usize>().ok().and_then(|seq| seq.checked_sub(SEQ_BASE));
                if at.is_none() {
                    call.violation("seq was never issued");
                }
                at.unwrap_or(0)
            }
        };
        let book = book(view.people);
        // Three pages at least, so that a client that reads one is seen to miss the rest.
        let page = book.len().div_ceil(3).clamp(1, PAGE);
        let list: Vec<Contact> =
            book.iter().skip(from).take(page).map(|who| view.contact(*who, Members::Hidden)).collect();
        let next = from + list.len();
        Ok(Page {
            base_response: BaseResponse::of(0),
            member_count: list.len(),
            member_list: list,
            seq: if next < book.len() { SEQ_BASE + next } else { 0 },
        })
    });
    match done {
        Ok(page) => Answer::json(&page),
        Err(code) => call.refuse(code),
    }
}

/// Source: the protocol sheet, section 2.10.
pub(super) fn batch(call: &Call<'_>) -> Answer {
    let late_members = call.world.0.config.late_members;
    let done = call.with_session(|_, state| {
        let body = call.body(state)?;
        call.demand(&["type", "r"]);
        let wanted = body.get("List").and_then(Value::as_array).ok_or(1)?;
        if body.get("Count").and_then(Value::as_u64) != Some(wanted.len() as u64) {
            call.violation("Count is not the length of List");
        }
        if wanted.len() > BATCH {
            call.violation("more than 50 entries");
        }
        let mut late = Vec::new();
        let mut found = Vec::new();
        for entry in wanted.iter().take(BATCH) {
            let view = state.view().ok_or(1_100)?;
            let name = entry.get("UserName").and_then(Value::as_str).unwrap_or_default();
            let room = ["EncryChatRoomId", "ChatRoomId"].iter().find_map(|field| entry.get(*field));
            if room.is_none() {
                call.tolerate("entry without EncryChatRoomId");
            }
            let Some(who) = view.names.who(name).filter(|who| view.people.exists(*who)) else {
                continue;
            };
            if let Who::Stranger(group, _) = who {
                let room = room.and_then(Value::as_str).unwrap_or_default();
                let known = room == view.names.room_id(group) || room == view.name(Who::Group(group));
                if !known {
                    continue;
                }
            }
            found.push(who);
            if let Who::Group(group) = who
                && late_members
                && group % 5 == 2
            {
                late.push(group);
            }
        }
        let session = state.session.as_mut().ok_or(1_100)?;
        late.retain(|group| session.asked_groups.insert(*group));
        let view = state.view().ok_or(1_100)?;
        // In another order than asked.
        let list: Vec<Contact> = found
            .iter()
            .rev()
            .map(|who| {
                let how = match who {
                    Who::Group(group) if late.contains(group) => Members::Late,
                    _ => Members::Full,
                };
                view.contact(*who, how)
            })
            .collect();
        Ok(Batch { base_response: BaseResponse::of(0), count: list.len(), contact_list: list })
    });
    match done {
        Ok(batch) => Answer::json(&batch),
        Err(code) => call.refuse(code),
    }
}

/// Source: the protocol sheet, section 2.28.
pub(super) fn search(call: &Call<'_>) -> Answer {
    let done = call.with_session(|_, state| {
        let body = call.body(state)?;
        let view = state.view().ok_or(1_100)?;
        let word = body.get("KeyWord").and_then(Value::as_str).unwrap_or_default();
        let list: Vec<Value> = book(view.people)
            .into_iter()
            .filter(|who| view.people.nick(*who).contains(word))
            .take(BATCH)
            .map(|who| json!({"EncryUserName": view.name(who)}))
            .collect();
        Ok(json!({"BaseResponse": {"Ret": 0, "ErrMsg": ""}, "List": list}))
    });
    match done {
        Ok(value) => Answer::new(200, "text/plain", wire::print(&value)),
        Err(code) => call.refuse(code),
    }
}
