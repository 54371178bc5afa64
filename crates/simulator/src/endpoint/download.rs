//! Downloads: pictures, voices, films, files and avatars.

use bytes::Bytes;

use super::Call;
use crate::account::{Media, State};
use crate::content::media_id;
use crate::http::Answer;
use crate::media::{Sort, jpeg, make};
use crate::seed::mix_all;
use crate::who::Who;

/// An empty 200, which is how the service fails at downloads.
fn empty() -> Answer {
    Answer::file("application/octet-stream", Bytes::new())
}

fn check_skey(call: &Call<'_>, state: &State) -> Result<(), i32> {
    let session = state.session.as_deref().ok_or(1_100)?;
    if call.request.param("skey") == Some(session.skey.as_str()) {
        return Ok(());
    }
    call.violation("skey is not the session's");
    Err(1_101)
}

fn check_referer(call: &Call<'_>) {
    if call.request.header("referer").is_none() {
        call.tolerate("Referer missing");
    }
}

/// Whether the file is not there yet.
fn is_late(call: &Call<'_>, state: &mut State, msg_id: u64) -> bool {
    call.world.0.config.late_media
        && msg_id.is_multiple_of(7)
        && state.session.as_mut().is_some_and(|session| session.asked_media.insert(msg_id))
}

/// Source: the protocol sheet, section 2.22.
pub(super) fn of_message(call: &Call<'_>) -> Answer {
    let request = call.request;
    check_referer(call);
    let done = call.with_session(|_, state| {
        let endpoint = request.endpoint();
        if endpoint == "webwxgetpubliclinkimg" {
            if request.param("url") != Some("xxx") || request.param("pictype") != Some("location") {
                call.violation("url is not xxx or pictype is not location");
            }
        } else {
            check_skey(call, state)?;
        }
        let Some(msg_id) = request.param("MsgID").and_then(|id| id.parse::<u64>().ok()) else {
            call.violation("MsgID is not a number");
            return Err(1);
        };
        if is_late(call, state, msg_id) {
            return Ok(empty());
        }
        let Some(media) = state.media.get(&msg_id) else {
            return Ok(empty());
        };
        let small = request.param("type") == Some("slave");
        Ok(match (endpoint, media) {
            ("webwxgetvideo", Media::Made(Sort::Mp4)) => film(call, msg_id),
            ("webwxgetvoice", Media::Made(Sort::Mp3)) => {
                Answer::file(Sort::Mp3.mime(), make(Sort::Mp3, msg_id))
            }
            ("webwxgetvideo" | "webwxgetvoice", _) => empty(),
            (_, Media::Made(Sort::Mp4)) => Answer::file("image/jpeg", jpeg(msg_id, 12)),
            (_, Media::Made(Sort::Mp3 | Sort::Pdf)) => empty(),
            (_, Media::Made(_)) if small => Answer::file("image/jpeg", jpeg(msg_id, 6)),
            (_, Media::Made(sort)) => Answer::file(sort.mime(), make(*sort, msg_id)),
            (_, Media::Sent(data, mime)) => Answer::file(mime, data.clone()),
        })
    });
    done.unwrap_or_else(|code| call.refuse(code))
}

/// Source: the protocol sheet, section 2.22: empty without `Range`.
fn film(call: &Call<'_>, msg_id: u64) -> Answer {
    let Some(range) = call.request.header("range") else {
        call.violation("webwxgetvideo without Range");
        return empty();
    };
    let data = make(Sort::Mp4, msg_id);
    let from = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split('-').next())
        .and_then(|from| from.parse::<usize>().ok())
        .unwrap_or(0)
        .min(data.len());
    let mut answer = Answer::new(206, Sort::Mp4.mime(), data.slice(from..));
    answer.content_range = Some(format!("bytes {from}-{}/{}", data.len().saturating_sub(1), data.len()));
    answer
}

/// Source: the protocol sheet, section 2.22.
pub(super) fn file(call: &Call<'_>) -> Answer {
    let request = call.request;
    check_referer(call);
    let done = call.with_session(|account, state| {
        let now_ms = call.world.now_ms();
        let session = state.session.as_deref().ok_or(1_100)?;
        match request.param("webwx_data_ticket") {
            Some(ticket) if session.knows_ticket(ticket, now_ms) => {}
            _ => {
                call.violation("webwx_data_ticket is not the session's");
                return Ok(empty());
            }
        }
        let own = session.names.name(Who::Own);
        match request.param("fromuser") {
            Some(uin) if uin == account.uin.to_string() => {}
            Some(name) if name == own => call.tolerate("fromuser is the UserName"),
            _ => call.violation("fromuser is not the uin"),
        }
        if request.param("encryfilename").is_none() {
            if request.param("filename").is_none() {
                call.violation("encryfilename missing");
                return Ok(empty());
            }
            call.tolerate("filename in place of encryfilename");
        }
        let sender = request.param("sender").and_then(|name| session.names.who(name));
        if sender.is_none() {
            call.violation("sender is nobody");
            return Ok(empty());
        }
        let wanted = request.param("mediaid").unwrap_or_default();
        let found =
            state.media.iter().find(|(msg_id, _)| media_id(**msg_id) == wanted).map(|(msg_id, _)| *msg_id);
        let Some(msg_id) = found else {
            call.violation("mediaid was never issued");
            return Ok(empty());
        };
        if is_late(call, state, msg_id) {
            return Ok(empty());
        }
        Ok(Answer::file("application/octet-stream", make(Sort::Pdf, msg_id)))
    });
    done.unwrap_or_else(|code| call.refuse(code))
}

/// Source: the protocol sheet, section 2.22.
pub(super) fn avatar(call: &Call<'_>) -> Answer {
    let request = call.request;
    let done = call.with_session(|_, state| {
        check_skey(call, state)?;
        call.demand(&["seq"]);
        let view = state.view().ok_or(1_100)?;
        let who = request.param("username").and_then(|name| view.names.who(name));
        let Some(who) = who else {
            return Ok(empty());
        };
        let wrong_page = who.is_group() != (request.endpoint() == "webwxgetheadimg");
        if wrong_page {
            call.violation("avatar of a group and of a person have different endpoints");
        }
        if let Who::Stranger(group, _) = who
            && group < view.people.groups
            && request.param("chatroomid") != Some(view.names.room_id(group).as_str())
        {
            call.tolerate("avatar of a member without chatroomid");
            return Ok(empty());
        }
        Ok(Answer::file(
            "image/jpeg",
            jpeg(mix_all(&[view.people.seed, who.number(), view.people.version(who)]), 12),
        ))
    });
    done.unwrap_or_else(|code| call.refuse(code))
}

/// Source: the protocol sheet, section 2.22.
pub(super) fn preview(call: &Call<'_>) -> Answer {
    let done = call.with_session(|_, state| {
        let session = state.session.as_deref().ok_or(1_100)?;
        let wanted = call.request.param("mediaid").unwrap_or_default();
        Ok(session
            .stored
            .iter()
            .find(|stored| stored.media_id == wanted)
            .map_or_else(empty, |stored| Answer::file("application/octet-stream", stored.data.clone())))
    });
    done.unwrap_or_else(|code| call.refuse(code))
}

/// `webwxcheckurl`: sends the browser to a link outside.
pub(super) fn outside(call: &Call<'_>) -> Answer {
    let mut answer = Answer::new(302, "text/html", "");
    answer.location = call.request.param("requrl").map(str::to_owned);
    answer
}
