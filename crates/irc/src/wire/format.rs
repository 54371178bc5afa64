//! Formatting codes inside texts.
//!
//! Source: "Formatting" in Modern IRC: 02 bold, 1D italic, 1F underline, 1E strike, 11 monospace,
//! 16 reverse, 03 colour (up to two digits, comma, two digits), 04 hex colour, 0F reset.

use std::borrow::Cow;

const BOLD: char = '\x02';
const COLOUR: char = '\x03';
const HEX_COLOUR: char = '\x04';
const RESET: char = '\x0f';
const TOGGLES: [char; 6] = [BOLD, '\x1d', '\x1f', '\x1e', '\x11', '\x16'];

/// The text without formatting codes and other control characters (a tab becomes a space; line
/// breaks stay).
pub fn strip(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let code = code_len(rest);
        if code > 0 {
            rest = rest.get(code..).unwrap_or("");
            continue;
        }
        match c {
            '\t' => out.push(' '),
            '\n' => out.push('\n'),
            c if c.is_control() => {}
            c => out.push(c),
        }
        rest = rest.get(c.len_utf8()..).unwrap_or("");
    }
    Cow::Owned(out)
}

/// How many bytes of formatting code the text starts with; 0 when it starts with none.
pub fn code_len(text: &str) -> usize {
    match text.chars().next() {
        Some(COLOUR) => 1 + colour_len(text.get(1..).unwrap_or("").as_bytes(), 2, u8::is_ascii_digit),
        Some(HEX_COLOUR) => 1 + colour_len(text.get(1..).unwrap_or("").as_bytes(), 6, u8::is_ascii_hexdigit),
        Some(c) if c == RESET || TOGGLES.contains(&c) => 1,
        _ => 0,
    }
}

fn colour_len(bytes: &[u8], max: usize, is_digit: fn(&u8) -> bool) -> usize {
    let count = |bytes: &[u8]| bytes.iter().take(max).take_while(|b| is_digit(b)).count();
    let foreground = count(bytes);
    if foreground == 0 || bytes.get(foreground) != Some(&b',') {
        return foreground;
    }
    match count(bytes.get(foreground + 1..).unwrap_or_default()) {
        0 => foreground,
        background => foreground + 1 + background,
    }
}

/// Which codes are open at some point of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    toggles: [bool; TOGGLES.len()],
    colour: String,
}

impl Open {
    /// Reads over `text`.
    pub fn read(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_control()) {
            rest = rest.get(at..).unwrap_or("");
            let length = code_len(rest).max(1);
            let code = rest.get(..length).unwrap_or("");
            match code.chars().next() {
                Some(RESET) => *self = Self::default(),
                Some(COLOUR | HEX_COLOUR) => {
                    self.colour.clear();
                    if length > 1 {
                        self.colour.push_str(code);
                    }
                }
                Some(c) => {
                    let slots = self.toggles.iter_mut().zip(TOGGLES);
                    slots.filter(|(_, toggle)| *toggle == c).for_each(|(open, _)| *open = !*open);
                }
                None => {}
            }
            rest = rest.get(length..).unwrap_or("");
        }
    }

    /// The codes that open the same on another line. A colour comes first: a digit of the text
    /// behind it would otherwise belong to it.
    pub fn codes(&self) -> String {
        let open = TOGGLES.iter().zip(self.toggles).filter(|(_, open)| *open).map(|(toggle, _)| *toggle);
        let mut codes = self.colour.clone();
        codes.extend(open);
        codes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_are_stripped_whole() {
        assert_eq!(strip("\x02bold\x02 \x0304,12red\x03 \x04ff0000hex\x0f"), "bold red hex");
        assert_eq!(strip("\x0304,x"), ",x");
        assert_eq!(strip("a\tb\x01c\0\nd"), "a bc\nd");
        assert_eq!(strip("你好"), "你好");
    }

    #[test]
    fn open_codes_are_known() {
        let mut open = Open::default();
        open.read("a\x02b\x1dc\x1d\x0305d");
        assert_eq!(open.codes(), "\x0305\x02");
        open.read("\x0f");
        assert_eq!(open.codes(), "");
    }

    proptest! {
        #[test]
        fn stripping_leaves_no_control(text in any::<String>()) {
            let plain = strip(&text).into_owned();
            prop_assert!(plain.chars().all(|c| !c.is_control() || c == '\n'));
        }
    }
}
