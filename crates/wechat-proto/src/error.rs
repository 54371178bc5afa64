//! The one error of this crate.

use std::borrow::Cow;

/// How many characters of an unreadable answer are described.
///
/// Chosen: enough to tell an HTML page from JSON and from the service's scripts.
pub const SNIPPET_CHARS: usize = 60;

/// Something could not be built or read.
///
/// `found` never contains text of a user or a secret: it is either a sentence of this crate or the
/// [`shape`] of what came in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint}: expected {expected}, found {found}")]
pub struct ProtoError {
    /// The endpoint or the piece of the protocol that was being dealt with.
    pub endpoint: &'static str,
    /// What should have been there.
    pub expected: Cow<'static, str>,
    /// What was there instead, redacted.
    pub found: String,
}

impl ProtoError {
    /// A request cannot be built from what the caller gave.
    #[must_use]
    pub fn request(endpoint: &'static str, expected: impl Into<Cow<'static, str>>, found: &str) -> Self {
        Self { endpoint, expected: expected.into(), found: found.to_owned() }
    }

    /// An answer cannot be read; keeps its shape only.
    #[must_use]
    pub fn answer(endpoint: &'static str, expected: impl Into<Cow<'static, str>>, answer: &[u8]) -> Self {
        Self { endpoint, expected: expected.into(), found: shape(answer) }
    }
}

/// Describes bytes without repeating them: letters become `x`, digits `9`, everything that is not
/// ASCII `·`; punctuation stays, because it is what tells formats apart.
///
/// ```
/// assert_eq!(wechat_proto::error::shape(b"<html>hi 12"), "11 bytes `<xxxx>xx 99`");
/// ```
#[must_use]
pub fn shape(bytes: &[u8]) -> String {
    let mut out = format!("{} bytes `", bytes.len());
    for &byte in bytes.iter().take(SNIPPET_CHARS) {
        out.push(match byte {
            b'a'..=b'z' | b'A'..=b'Z' => 'x',
            b'0'..=b'9' => '9',
            b'\n' | b'\r' | b'\t' => ' ',
            0x20..=0x7e => char::from(byte),
            _ => '·',
        });
    }
    if bytes.len() > SNIPPET_CHARS {
        out.push('…');
    }
    out.push('`');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_shape_of_the_answer_and_none_of_its_text() {
        let error = ProtoError::answer("webwxsync", "a JSON object", "秘密 secret @crypt_12".as_bytes());
        let text = format!("{error} {error:?}");
        assert!(!text.contains("secret") && !text.contains("秘") && !text.contains("crypt"), "{text}");
        assert!(text.contains("webwxsync") && text.contains("@xxxxx_99"), "{text}");
    }

    #[test]
    fn a_long_answer_is_cut() {
        assert!(shape(&[b'a'; 5000]).chars().count() < 100);
    }
}
