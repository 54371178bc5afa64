//! From a line's bytes to text. A line that is not UTF-8 ends nothing and loses nothing but what
//! its guessed charset does not know.

use std::borrow::Cow;

use encoding_rs::Encoding;

/// The text of a line: UTF-8, else the network's fallback charset. NUL and CR cannot stand in a
/// line and are left out, as everybody else on the network does.
pub(super) fn decode<'a>(line: &'a [u8], fallback: &'static Encoding) -> Cow<'a, str> {
    let text = match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => fallback.decode_without_bom_handling(line).0,
    };
    match text.contains(['\0', '\r']) {
        false => text,
        true => Cow::Owned(text.replace(['\0', '\r'], "")),
    }
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
        assert_eq!(decode(&[0xff, 0xff], encoding_rs::GB18030).chars().count(), 2);
    }
}
