//! From a line's bytes to text. A line that is not UTF-8 ends nothing and loses nothing but what
//! its guessed charset does not know.

use std::borrow::Cow;
use std::str::Utf8Error;

use encoding_rs::Encoding;

/// The text of a line: UTF-8, else the network's fallback charset. A server that cuts a long line may do so
/// within a character: without that it is UTF-8 all the same, where more than its end says so. NUL and CR cannot
/// stand in a line and are left out, as everybody else on the network does.
pub(super) fn decode<'a>(line: &'a [u8], fallback: &'static Encoding) -> Cow<'a, str> {
    let is_cut = |error: &Utf8Error| error.error_len().is_none();
    let text = match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(error) if is_cut(&error) && begins_utf8(line, &error) => {
            String::from_utf8_lossy(line.get(..error.valid_up_to()).unwrap_or_default())
        }
        Err(_) => fallback.decode_without_bom_handling(line).0,
    };
    match text.contains(['\0', '\r']) {
        false => text,
        true => Cow::Owned(text.replace(['\0', '\r'], "")),
    }
}

/// True when there are whole characters that another charset has not. (`caf\xe9` ends as if it were cut.)
fn begins_utf8(line: &[u8], error: &Utf8Error) -> bool {
    line.get(..error.valid_up_to()).is_some_and(|whole| !whole.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf8_is_taken_for_the_fallback() {
        let gbk = [b'a', 0xc4, 0xe3, 0xba, 0xc3];
        assert_eq!(decode(&gbk, encoding_rs::GB18030), "a你好");
        assert_eq!(decode("a你好".as_bytes(), encoding_rs::GB18030), "a你好");
        assert_eq!(decode(b"caf\xe9\0!", encoding_rs::WINDOWS_1252), "café!");
        assert_eq!(decode(b"caf\xe9", encoding_rs::WINDOWS_1252), "café");
        assert_eq!(decode(&[0xff, 0xff], encoding_rs::GB18030).chars().count(), 2);
    }

    #[test]
    fn what_a_server_cut_within_a_character_loses_that_character_alone() {
        let whole = format!("{}好", "你".repeat(160));
        for bytes in 1..3 {
            let cut = &whole.as_bytes()[..whole.len() - bytes];
            for fallback in [encoding_rs::WINDOWS_1252, encoding_rs::GB18030] {
                assert_eq!(decode(cut, fallback), "你".repeat(160));
            }
        }
        assert_eq!(decode("🙂".repeat(3).as_bytes().split_last().unwrap().1, encoding_rs::GB18030), "🙂🙂");
    }
}
