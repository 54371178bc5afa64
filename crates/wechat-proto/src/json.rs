//! Reading JSON answers: UTF-8 whatever the header says, bad bytes replaced, odd escapes repaired.

use bytes::Bytes;
use http::Response;
use serde::de::DeserializeOwned;

use crate::ProtoError;

/// Reads an answer that must be a JSON object.
///
/// The content type is not looked at: the service calls its JSON `text/plain` without a charset.
/// Source: the protocol sheet, section 2.1.4.
pub(crate) fn parse<T: DeserializeOwned>(
    endpoint: &'static str,
    reply: &Response<Bytes>,
) -> Result<T, ProtoError> {
    if !reply.status().is_success() {
        return Err(ProtoError::request(
            endpoint,
            "status 200",
            &format!("status {}", reply.status().as_u16()),
        ));
    }
    let text = String::from_utf8_lossy(reply.body());
    let text = text.trim_start_matches('\u{feff}').trim();
    if !text.starts_with('{') {
        return Err(ProtoError::answer(endpoint, "a JSON object", reply.body()));
    }
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&repaired(text)))
        .map_err(|_| ProtoError::answer(endpoint, "JSON with a BaseResponse", reply.body()))
}

/// Escapes raw control characters inside strings and replaces escapes that are no character.
///
/// Such text fails a strict reader, and one bad nickname must not cost the whole contact list.
/// Source: the protocol sheet, section 7 (item 44).
pub(crate) fn repaired(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars();
    let mut inside = false;
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                inside = !inside;
                out.push('"');
            }
            '\\' if inside => escape(&mut out, &mut chars),
            c if inside && u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Copies one escape behind its backslash, or something harmless in its place.
fn escape(out: &mut String, chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('u') => match unit(chars) {
            Some(high @ 0xd800..=0xdbff) => {
                let mut ahead = chars.clone();
                let low = (ahead.next() == Some('\\') && ahead.next() == Some('u'))
                    .then(|| unit(&mut ahead))
                    .flatten();
                if let Some(low @ 0xdc00..=0xdfff) = low {
                    *chars = ahead;
                    out.push_str(&format!("\\u{high:04x}\\u{low:04x}"));
                } else {
                    out.push('\u{fffd}');
                }
            }
            None | Some(0xdc00..=0xdfff) => out.push('\u{fffd}'),
            Some(unit) => out.push_str(&format!("\\u{unit:04x}")),
        },
        Some(c @ ('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't')) => {
            out.push('\\');
            out.push(c);
        }
        Some(c) => out.push(c),
        None => {}
    }
}

/// Four hex digits; leaves `chars` where it was if they are not.
fn unit(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let mut ahead = chars.clone();
    let mut value = 0;
    for _ in 0..4 {
        value = value * 16 + ahead.next()?.to_digit(16)?;
    }
    *chars = ahead;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn read(body: impl Into<Bytes>) -> Result<Value, ProtoError> {
        parse("test", &Response::new(body.into()))
    }

    #[test]
    fn item_44_bad_utf8_costs_one_character_not_the_answer() {
        let value = read(&b"{\"NickName\":\"ab\xe5\xbe\",\"Next\":1}"[..]).unwrap();
        assert_eq!(value["NickName"], "ab\u{fffd}");
        assert_eq!(value["Next"], 1);
    }

    #[test]
    fn odd_layout_and_raw_control_characters_are_read() {
        let value =
            read("{\n\"BaseResponse\": {\n\"Ret\": 0,\n\"ErrMsg\": \"\"\n}\n,\n\"Count\": 3\n}").unwrap();
        assert_eq!(value["Count"], 3);
        assert_eq!(read("{\"a\":\"x\ty\"}").unwrap()["a"], "x\ty");
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        assert_eq!(read(r#"{"a":"x\ud83dy"}"#).unwrap()["a"], "x\u{fffd}y");
        assert_eq!(read(r#"{"a":"x\ude00y"}"#).unwrap()["a"], "x\u{fffd}y");
        assert_eq!(read(r#"{"a":"\ud83d\ude00\ud83d"}"#).unwrap()["a"], "😀\u{fffd}");
        assert_eq!(read(r#"{"a":"\uzz\q"}"#).unwrap()["a"], "\u{fffd}zzq");
    }

    #[test]
    fn pages_and_errors_are_not_json() {
        for body in ["", "<html></html>", "null", "[]", "\"x\"", "{\"a\":"] {
            assert!(read(body).is_err(), "{body}");
        }
        let mut reply = Response::new(Bytes::from_static(b"{}"));
        *reply.status_mut() = http::StatusCode::BAD_GATEWAY;
        assert!(parse::<Value>("test", &reply).is_err());
    }
}
