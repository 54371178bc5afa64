//! Uploads, piece by piece.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::send::LARGE;
use super::{Call, text_of};
use crate::account::{Session, State, Stored, Upload};
use crate::http::{Answer, Part, decode, multipart};
use crate::seed::hex;
use crate::who::Who;
use crate::wire;
use crate::world::md5_hex;

/// Source: the protocol sheet, section 2.20.
const PIECE: usize = 524_288;
/// Uploads that one session may have open at once, and files kept for sending.
const OPEN: usize = 8;
const KEPT: usize = 32;
/// The largest file that the service takes.
const LARGEST: u64 = 200 << 20;

/// The text fields and the file of one piece.
struct Form {
    fields: HashMap<String, String>,
    file: Part,
}

fn read(call: &Call<'_>) -> Result<Form, i32> {
    let content_type = call.request.header("content-type").unwrap_or_default();
    let Some(parts) = multipart(content_type, &call.request.body) else {
        call.violation("body is not multipart/form-data");
        return Err(1);
    };
    let mut fields = HashMap::new();
    let mut file = None;
    let last = parts.len().saturating_sub(1);
    for (at, part) in parts.into_iter().enumerate() {
        if part.is_file {
            if at != last {
                call.tolerate("the file is not the last field");
            }
            file = Some(part);
        } else {
            fields.insert(part.name, String::from_utf8_lossy(&part.data).into_owned());
        }
    }
    let Some(file) = file else {
        call.violation("no file in the form");
        return Err(1);
    };
    if file.extended_name {
        // Source: the protocol sheet, section 2.20: the RFC 2231 form makes the upload fail.
        call.violation("file name in the filename*= form");
        return Err(1);
    }
    if file.name != "filename" {
        call.violation("the file field is not called filename");
    }
    if file.file_name.contains('/') || file.file_name.contains('\\') {
        call.violation("file name with a path");
    }
    Ok(Form { fields, file })
}

/// Source: the protocol sheet, section 2.20.
pub(super) fn piece(call: &Call<'_>) -> Answer {
    if call.request.method == "OPTIONS" {
        return Answer::new(200, "text/plain", "");
    }
    let form = match read(call) {
        Ok(form) => form,
        Err(code) => return call.refuse(code),
    };
    if form.file.data.len() > PIECE {
        call.violation("piece larger than 524288 bytes");
        return Answer::status(502);
    }
    if call.request.param("f") != Some("json") {
        call.violation("parameter f is not json");
    }
    let done = call.with_session(|_, state| {
        let request =
            form.fields.get("uploadmediarequest").and_then(|text| serde_json::from_str::<Value>(text).ok());
        let Some(request) = request else {
            call.violation("uploadmediarequest is not JSON");
            return Err(1);
        };
        call.base_request(state, request.get("BaseRequest"))?;
        check_form(call, state, &form)?;
        check_request(call, state, &request, &form)?;
        accept(call, state, &request, &form)
    });
    match done {
        Ok((media_id, length)) => {
            let finished = !media_id.is_empty();
            let name = if finished { form.file.file_name.replace('.', "%2E") } else { String::new() };
            let thumb = if finished { 100 } else { 0 };
            Answer::new(
                200,
                "text/plain",
                wire::print(&json!({
                    "BaseResponse": {"Ret": 0, "ErrMsg": ""}, "MediaId": media_id,
                    "StartPos": length, "CDNThumbImgHeight": thumb, "CDNThumbImgWidth": thumb,
                    "EncryFileName": name
                })),
            )
        }
        Err(code) => call.refuse(code),
    }
}

fn check_form(call: &Call<'_>, state: &State, form: &Form) -> Result<(), i32> {
    let session = state.session.as_deref().ok_or(1_100)?;
    for name in ["name", "type", "lastModifiedDate", "size"] {
        if !form.fields.contains_key(name) {
            call.violation(&format!("form field {name} missing"));
        }
    }
    if !form.fields.contains_key("id") {
        call.tolerate("form field id missing");
    }
    if !matches!(form.fields.get("mediatype").map(String::as_str), Some("pic" | "video" | "doc")) {
        call.violation("mediatype is neither pic, video nor doc");
    }
    match form.fields.get("webwx_data_ticket") {
        Some(ticket) if session.knows_ticket(ticket, call.world.now_ms()) => {}
        Some(ticket) if *ticket == Session::make_ticket(session.names.key, 0) => {
            call.tolerate("webwx_data_ticket of the login kept after a refresh");
        }
        _ => {
            call.violation("form field webwx_data_ticket is not the session's");
            return Err(1);
        }
    }
    match form.fields.get("pass_ticket") {
        Some(ticket) if *ticket == session.pass_ticket => {}
        Some(ticket)
            if decode(ticket) == session.pass_ticket || decode(&decode(ticket)) == session.pass_ticket =>
        {
            call.tolerate("pass_ticket in the form is encoded");
        }
        _ => call.violation("form field pass_ticket is not the session's"),
    }
    Ok(())
}

fn check_request(call: &Call<'_>, state: &State, request: &Value, form: &Form) -> Result<(), i32> {
    let view = state.view().ok_or(1_100)?;
    let number = |field: &str| request.get(field).and_then(Value::as_u64);
    let who = |field: &str| request.get(field).and_then(Value::as_str).and_then(|name| view.names.who(name));
    let expected = [("UploadType", 2), ("StartPos", 0), ("MediaType", 4)];
    for (field, value) in expected {
        if number(field) != Some(value) {
            call.violation(&format!("{field} is not {value}"));
        }
    }
    let size = form.fields.get("size").and_then(|size| size.parse::<u64>().ok());
    let total = number("TotalLen");
    if total != number("DataLen") || total != size {
        call.violation("TotalLen, DataLen and size are not all the file's length");
    }
    match total {
        None | Some(0) => {
            call.violation("file of no bytes");
            return Err(1);
        }
        Some(total) if total > LARGEST => return Err(1),
        Some(_) => {}
    }
    if who("FromUserName") != Some(Who::Own) {
        call.violation("FromUserName is not self");
    }
    if who("ToUserName").is_none() {
        call.violation("ToUserName is nobody");
    }
    match request.get("FileMd5").and_then(Value::as_str) {
        None => call.tolerate("FileMd5 missing"),
        Some(md5) => {
            let session = state.session.as_deref().ok_or(1_100)?;
            if total > Some(LARGE) {
                let issued = session.large.get(md5);
                let shown = (
                    request.get("AESKey").and_then(Value::as_str),
                    request.get("Signature").and_then(Value::as_str),
                );
                if issued.map(|(key, signature)| (Some(key.as_str()), Some(signature.as_str())))
                    != Some(shown)
                {
                    call.violation("file above 25 MB without AESKey and Signature");
                    return Err(1);
                }
            }
        }
    }
    Ok(())
}

/// Adds the piece; the last one yields a media id.
fn accept(call: &Call<'_>, state: &mut State, request: &Value, form: &Form) -> Result<(String, u64), i32> {
    let field = |name: &str| form.fields.get(name).and_then(|text| text.parse::<u64>().ok());
    let chunks = field("chunks").unwrap_or(1);
    let chunk = field("chunk").unwrap_or(0);
    if chunks == 1 && form.fields.contains_key("chunks") {
        call.tolerate("chunks sent for a single piece");
    }
    let total = request.get("TotalLen").and_then(Value::as_u64).ok_or(1)?;
    if chunks != total.div_ceil(PIECE as u64) {
        call.violation("chunks does not fit the file's length");
    }
    let Some(id) = text_of(request.get("ClientMediaId")) else {
        call.violation("ClientMediaId missing");
        return Err(1);
    };
    let key = {
        let session = state.session.as_mut().ok_or(1_100)?;
        if chunk == 0 {
            session.uploads.retain(|upload| upload.client_media_id != id);
            if session.uploads.len() >= OPEN {
                session.uploads.remove(0);
            }
            session.uploads.push(Upload {
                client_media_id: id.clone(),
                chunks,
                next: 0,
                total,
                data: Vec::new(),
            });
        }
        let open = session.uploads.iter().position(|upload| upload.client_media_id == id);
        let Some(at) = open else {
            call.violation("ClientMediaId differs from piece to piece");
            return Err(1);
        };
        let upload = session.uploads.get_mut(at).ok_or(1)?;
        let full = upload.next + 1 == upload.chunks || form.file.data.len() == PIECE;
        if upload.next != chunk || upload.chunks != chunks || !full {
            call.violation("pieces out of order or of uneven length");
            return Err(1);
        }
        upload.data.extend_from_slice(&form.file.data);
        upload.next += 1;
        if upload.next < upload.chunks {
            return Ok((String::new(), upload.data.len() as u64));
        }
        session.names.key
    };
    finish(call, state, request, form, &id, key)
}

fn finish(
    call: &Call<'_>,
    state: &mut State,
    request: &Value,
    form: &Form,
    id: &str,
    key: u64,
) -> Result<(String, u64), i32> {
    let session = state.session.as_mut().ok_or(1_100)?;
    let at = session.uploads.iter().position(|upload| upload.client_media_id == id).ok_or(1)?;
    let upload = session.uploads.remove(at);
    if upload.data.len() as u64 != upload.total {
        call.violation("file is not as long as announced");
        return Err(1);
    }
    let md5 = md5_hex(&upload.data);
    if request.get("FileMd5").and_then(Value::as_str).is_some_and(|told| told != md5) {
        call.violation("FileMd5 is not the file's");
        return Err(1);
    }
    let number = call.world.next_number();
    let media_id = format!("@crypt_{}_{}", hex(&[key, number, 81], 8), hex(&[key, number, 82], 32));
    let length = upload.total;
    session.stored.push_back(Stored {
        media_id: media_id.clone(),
        media_type: form.fields.get("mediatype").cloned().unwrap_or_default(),
        data: Bytes::from(upload.data),
    });
    if session.stored.len() > KEPT {
        session.stored.pop_front();
    }
    Ok((media_id, length))
}

/// Source: the protocol sheet, section 2.21.
pub(super) fn check(call: &Call<'_>) -> Answer {
    let done = call.with_session(|_, state| {
        let body = call.body(state)?;
        if body.get("FileType").and_then(Value::as_u64) != Some(7) {
            call.violation("FileType is not 7");
            return Err(1);
        }
        let size = body.get("FileSize").and_then(Value::as_u64).unwrap_or(0);
        if size <= LARGE {
            call.tolerate("webwxcheckupload for a file of 25 MB or less");
        }
        let md5 = body.get("FileMd5").and_then(Value::as_str).filter(|md5| md5.len() == 32);
        let (Some(md5), Some(name)) = (md5, body.get("FileName").and_then(Value::as_str)) else {
            call.violation("FileMd5 or FileName missing");
            return Err(1);
        };
        let session = state.session.as_mut().ok_or(1_100)?;
        let known = session
            .stored
            .iter()
            .find(|stored| md5_hex(&stored.data) == md5)
            .map(|stored| stored.media_id.clone());
        let key = session.names.key;
        let issued = (hex(&[key, size, 83], 32), hex(&[key, size, 84], 64));
        session.large.insert(md5.to_owned(), issued.clone());
        if session.large.len() > KEPT {
            session.large.pop_first();
        }
        Ok(json!({
            "BaseResponse": {"Ret": 0, "ErrMsg": ""}, "MediaId": known.unwrap_or_default(),
            "AESKey": issued.0, "Signature": issued.1,
            "EncryFileName": name.replace('.', "%2E")
        }))
    });
    match done {
        Ok(value) => Answer::new(200, "text/plain", wire::print(&value)),
        Err(code) => call.refuse(code),
    }
}
