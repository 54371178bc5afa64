//! Percent-encoding, once and only once.

/// Encodes one query value or path piece: everything but letters, digits and `-_.~`.
///
/// Source: the protocol sheet, section 2.1.3 (`+` → `%2B`, `/` → `%2F`, `@` → `%40`, `|` → `%7C`).
#[must_use]
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode_into(&mut out, text);
    out
}

/// Like [`encode`], appending.
pub fn encode_into(out: &mut String, text: &str) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend(HEX.get(usize::from(byte >> 4)));
            out.extend(HEX.get(usize::from(byte & 15)));
        }
    }
}

/// Decodes `%XX` once; a `%` that is not followed by two hex digits stays, bad UTF-8 is replaced.
#[must_use]
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%'
            && let [high, low, tail @ ..] = after
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            bytes.push(high * 16 + low);
            rest = tail;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn item_11_plus_slash_and_equals_are_encoded_once() {
        assert_eq!(encode("bXk+Vt/Rz0LpWn7s="), "bXk%2BVt%2FRz0LpWn7s%3D");
        assert_eq!(encode("1_2|3_4@"), "1_2%7C3_4%40");
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(decode("100% %zz %4"), "100% %zz %4");
        assert_eq!(decode("%252B"), "%2B");
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(text in ".*") {
            prop_assert_eq!(decode(&encode(&text)), text);
        }
    }
}
