//! Sends and recalls.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Call, text_of};
use crate::account::{Media, Sent, State, Stored};
use crate::http::Answer;
use crate::ledger::{LedgerEntry, Way};
use crate::message::Kind;
use crate::seed::mix_all;
use crate::who::Who;
use crate::wire;
use crate::world::{World, md5_hex};

/// Source: the protocol sheet, section 6.3.
const RECALL_MS: u64 = 120_000;
/// How many `ClientMsgId`s a session remembers.
const SENT_KEPT: usize = 1_024;
/// Source: the protocol sheet, section 2.21.
pub(super) const LARGE: u64 = 26_214_400;

/// What a send carries besides its address.
struct Payload {
    kind: &'static str,
    text: String,
    file: Option<Stored>,
}

impl Payload {
    /// As the other accounts in a group hear it; `None` for what they are not told of.
    fn as_kind(&self) -> Option<Kind> {
        match self.kind {
            "text" => Some(Kind::text(&self.text)),
            "image" => Some(Kind::Image),
            "video" => Some(Kind::Video),
            "sticker" => Some(Kind::Sticker { store: false }),
            "file" => Some(Kind::File { name: self.text.as_str().into() }),
            _ => None,
        }
    }

    fn data(&self) -> Option<bytes::Bytes> {
        self.file.as_ref().map(|stored| stored.data.clone())
    }
}

/// Source: the protocol sheet, sections 2.14 to 2.19.
pub(super) fn send(call: &Call<'_>) -> Answer {
    let mut for_others = None;
    let done = call.with_session(|account, state| {
        let body = call.body(state)?;
        if state.phone_offline {
            return Err(3);
        }
        let msg = body.get("Msg").cloned().unwrap_or(Value::Null);
        let (chat, id) = envelope(call, state, &body, &msg)?;
        let payload = payload(call, state, &msg)?;
        let print = payload
            .text
            .bytes()
            .fold(mix_all(&[chat.number()]), |state, byte| mix_all(&[state, u64::from(byte)]));
        let session = state.session.as_mut().ok_or(1_100)?;
        if let Some(sent) = session.sent.iter().find(|sent| sent.client_msg_id == id) {
            if sent.print != print {
                call.violation("ClientMsgId reused for another message");
            }
            let msg_id = sent.msg_id;
            state.ledger.repeat(msg_id);
            return Ok((msg_id, id));
        }
        let msg_id = call.world.next_msg_id();
        for_others = payload.as_kind().map(|kind| (account.name.clone(), chat, kind, payload.data()));
        session.sent.push_back(Sent { client_msg_id: id.clone(), print, msg_id });
        if session.sent.len() > SENT_KEPT {
            session.sent.pop_front();
        }
        record(call.world, &account.name, state, chat, msg_id, &id, payload);
        account.wake.notify_waiters();
        Ok((msg_id, id))
    });
    if let (Ok((msg_id, _)), Some((account, chat, kind, sent))) = (&done, &for_others) {
        call.world.tell_others(account, (*chat, Who::Own), kind, *msg_id, sent.as_ref());
    }
    match done {
        Ok((msg_id, id)) => Answer::new(
            200,
            "text/plain",
            wire::print(&json!({
                "BaseResponse": {"Ret": 0, "ErrMsg": ""},
                "MsgID": msg_id.to_string(), "LocalID": id
            })),
        ),
        Err(code) => call.refuse(code),
    }
}

/// Reads and checks who writes to whom under which id.
fn envelope(call: &Call<'_>, state: &State, body: &Value, msg: &Value) -> Result<(Who, String), i32> {
    let view = state.view().ok_or(1_100)?;
    let name = |field: &str| msg.get(field).and_then(Value::as_str).unwrap_or_default();
    if view.names.who(name("FromUserName")) != Some(Who::Own) {
        call.violation("Msg.FromUserName is not self");
        return Err(1);
    }
    let local = text_of(msg.get("LocalID"));
    let Some(id) = text_of(msg.get("ClientMsgId")) else {
        call.violation("Msg.ClientMsgId missing");
        return Err(1);
    };
    if local.as_deref() != Some(&id) {
        call.violation("Msg.LocalID is not Msg.ClientMsgId");
    }
    if id.len() != 17 {
        call.tolerate("ClientMsgId is not 17 digits");
    }
    match body.get("Scene").and_then(Value::as_u64) {
        Some(0 | 2) => {}
        None => call.tolerate("Scene missing"),
        Some(_) => call.violation("Scene is neither 0 nor 2"),
    }
    let chat = view.names.who(name("ToUserName"));
    match chat {
        Some(Who::Own | Who::Stranger(..)) => Err(1_204),
        Some(chat) if view.people.exists(chat) => {
            if let Who::Group(group) = chat
                && !view.people.members(group).contains(&Who::Own)
            {
                return Err(1_204);
            }
            Ok((chat, id))
        }
        _ => Err(-1),
    }
}

fn payload(call: &Call<'_>, state: &State, msg: &Value) -> Result<Payload, i32> {
    let endpoint = call.request.endpoint();
    let number = msg.get("Type").and_then(Value::as_u64);
    let content = match msg.get("Content") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        // Source: the protocol sheet, section 2.15: a JSON object gives 1200.
        Some(_) => {
            call.violation("Msg.Content is not a string");
            return Err(1_200);
        }
    };
    let stored = |id: &str| {
        let session = state.session.as_deref()?;
        session.stored.iter().find(|stored| stored.media_id == id).cloned()
    };
    let media_id = msg.get("MediaId").and_then(Value::as_str).unwrap_or_default();
    let wanted = match endpoint {
        "webwxsendmsg" => return text(call, number, content),
        "webwxsendappmsg" => return file(call, state, msg, number, content),
        "webwxsendmsgimg" => ("image", 3, "pic"),
        "webwxsendvideomsg" => ("video", 43, "video"),
        _ => ("sticker", 47, "doc"),
    };
    let (kind, type_number, media_type) = wanted;
    if number != Some(type_number) && !(kind == "video" && number == Some(62)) {
        call.violation("Msg.Type does not fit the endpoint");
    }
    if kind != "sticker" {
        if call.request.param("fun") != Some("async") || call.request.param("f") != Some("json") {
            call.tolerate("fun=async and f=json missing");
        }
    } else if msg.get("EmojiFlag").and_then(Value::as_u64) != Some(2) {
        call.violation("Msg.EmojiFlag is not 2");
    }
    let known_sticker = msg.get("EMoticonMd5").and_then(Value::as_str).filter(|md5| md5.len() == 32);
    let forward = (!content.is_empty() && media_id.is_empty()) || known_sticker.is_some();
    if forward {
        return Ok(Payload { kind, text: known_sticker.unwrap_or(content).to_owned(), file: None });
    }
    let Some(stored) = stored(media_id) else {
        call.violation("Msg.MediaId was never issued");
        return Err(-1);
    };
    if stored.media_type != media_type {
        call.violation("uploaded under another mediatype than the endpoint's");
    }
    Ok(Payload { kind, text: media_id.to_owned(), file: Some(stored) })
}

fn text(call: &Call<'_>, number: Option<u64>, content: &str) -> Result<Payload, i32> {
    let kind = match number {
        Some(1) => "text",
        Some(42) => "card",
        Some(48) => "location",
        _ => {
            call.violation("Msg.Type does not fit the endpoint");
            return Err(1);
        }
    };
    if content.is_empty() {
        call.violation("Msg.Content is empty");
        return Err(1);
    }
    Ok(Payload { kind, text: content.to_owned(), file: None })
}

/// The text between `<name>` and `</name>`.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let from = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let rest = xml.get(from..)?;
    rest.get(..rest.find(&format!("</{name}>"))?)
}

/// Whether every `&` begins an entity and no `<` is left.
fn well_escaped(text: &str) -> bool {
    !text.contains('<')
        && text.split('&').skip(1).all(|rest| {
            ["amp;", "lt;", "gt;", "quot;", "apos;", "#"].iter().any(|entity| rest.starts_with(entity))
        })
}

/// Source: the protocol sheet, section 2.19.
fn file(
    call: &Call<'_>,
    state: &State,
    msg: &Value,
    number: Option<u64>,
    content: &str,
) -> Result<Payload, i32> {
    if number != Some(6) {
        call.violation("Msg.Type does not fit the endpoint");
    }
    let session = state.session.as_deref().ok_or(1_100)?;
    let desktop = call.request.param("mod") == Some("desktop");
    if desktop != session.desktop {
        call.tolerate("desktop profile applied half");
    }
    if !content.starts_with("<appmsg ") || !content.ends_with("</appmsg>") {
        call.violation("Msg.Content is not an appmsg");
        return Err(1);
    }
    let title = element(content, "title").unwrap_or_default();
    if !well_escaped(title) {
        call.violation("title is not escaped for XML");
    }
    if msg.get("MediaId").is_some() {
        call.tolerate("Msg.MediaId beside attachid");
    }
    let id = element(content, "attachid").unwrap_or_default();
    let Some(stored) = session.stored.iter().find(|stored| stored.media_id == id) else {
        call.violation("attachid was never issued");
        return Err(-1);
    };
    let length = stored.data.len() as u64;
    if element(content, "totallen") != Some(length.to_string().as_str()) {
        call.violation("totallen is not the length of the file");
    }
    if stored.media_type != "doc" {
        call.violation("uploaded under another mediatype than the endpoint's");
    }
    if length > LARGE {
        let issued = session.large.get(&md5_hex(&stored.data));
        if issued.map(|(_, signature)| signature.as_str()) != msg.get("Signature").and_then(Value::as_str) {
            call.violation("Msg.Signature is not the one that webwxcheckupload issued");
            return Err(1);
        }
    }
    Ok(Payload {
        kind: "file",
        text: title.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"),
        file: Some(stored.clone()),
    })
}

fn record(
    world: &World,
    account: &str,
    state: &mut State,
    chat: Who,
    msg_id: u64,
    id: &str,
    payload: Payload,
) {
    let file = payload.file.as_ref();
    let text: Arc<str> =
        if file.is_some() && payload.kind != "file" { "".into() } else { payload.text.as_str().into() };
    let mut entry = LedgerEntry {
        n: 0,
        at_ms: world.now_ms(),
        way: Way::FromAccount,
        chat,
        from: Who::Own,
        kind: payload.kind,
        text: text.clone(),
        msg_id,
        client_msg_id: Some(id.into()),
        media_md5: file.map(|stored| md5_hex(&stored.data).into()),
        media_bytes: file.map(|stored| stored.data.len() as u64),
        deliveries: 0,
        delivered_ms: None,
        repeats: 0,
    };
    entry.n = state.ledger.write(entry.clone(), world.0.config.ledger_limit);
    if let Some(stored) = payload.file {
        state.keep_media(msg_id, Media::Sent(stored.data, "application/octet-stream"));
    }
    if world.0.config.echo_before_answer && payload.kind == "text" {
        state.push(crate::message::Event::Message(Box::new(crate::message::Message {
            id: msg_id,
            chat,
            from: Who::Own,
            at_s: entry.at_ms / 1_000,
            kind: Kind::Text { text },
            entry: None,
        })));
    }
    world.tell(account, entry);
}

/// Source: the protocol sheet, section 2.26.
pub(super) fn revoke(call: &Call<'_>) -> Answer {
    let world = call.world;
    let done = call.with_session(|account, state| {
        let body = call.body(state)?;
        if text_of(body.get("ClientMsgId")).is_none() {
            call.violation("ClientMsgId missing");
            return Err(1);
        }
        if !matches!(body.get("SvrMsgId"), Some(Value::String(_))) {
            call.tolerate("SvrMsgId is not a string");
        }
        let msg_id = text_of(body.get("SvrMsgId")).and_then(|id| id.parse::<u64>().ok());
        let chat =
            body.get("ToUserName").and_then(Value::as_str).and_then(|name| state.view()?.names.who(name));
        let now_ms = world.now_ms();
        let known = msg_id.and_then(|id| state.ledger.find(id)).cloned();
        let Some(entry) = known.filter(|entry| {
            entry.from == Who::Own && Some(entry.chat) == chat && chat != Some(Who::filehelper())
        }) else {
            call.violation("nothing of our own to recall under this id");
            return Err(1);
        };
        if now_ms.saturating_sub(entry.at_ms) > RECALL_MS {
            return Err(-2);
        }
        let mut recall = LedgerEntry {
            at_ms: now_ms,
            way: Way::FromAccount,
            kind: "recall",
            text: entry.msg_id.to_string().into(),
            client_msg_id: None,
            media_md5: None,
            media_bytes: None,
            repeats: 0,
            ..entry
        };
        recall.n = state.ledger.write(recall.clone(), world.0.config.ledger_limit);
        let told = (account.name.clone(), recall.chat, recall.msg_id);
        world.tell(&account.name, recall);
        Ok(told)
    });
    if let Ok((account, chat, msg_id)) = &done {
        let recall = Kind::Recall { msg_id: *msg_id };
        world.tell_others(account, (*chat, Who::Own), &recall, world.next_msg_id(), None);
    }
    match done {
        Ok(_) => Answer::new(
            200,
            "text/plain",
            wire::print(
                &json!({"BaseResponse": {"Ret": 0, "ErrMsg": ""}, "Introduction": "", "SysWording": ""}),
            ),
        ),
        Err(code) => call.refuse(code),
    }
}
