//! Texts that are too long for one event.

/// Longest text of one event in bytes. An event may have 65,536 bytes with everything: the text
/// twice (plain and formatted, with its escapes) and the envelope. Source: Matrix specification,
/// "Size limits"; the Matrix notes, section 4, item 8.
pub(crate) const PART_BYTES: usize = 16_000;

/// Cuts at line breaks, else at spaces, else between characters; nothing is lost but the white
/// space at a cut.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while rest.len() > PART_BYTES {
        let mut end = PART_BYTES;
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let head = rest.get(..end).unwrap_or(rest);
        // A break in the first half would make parts that are needlessly short.
        let far_enough = |at: &usize| *at > PART_BYTES / 2;
        let cut =
            head.rfind('\n').filter(far_enough).or_else(|| head.rfind(' ').filter(far_enough)).unwrap_or(end);
        let (part, tail) = rest.split_at(cut);
        parts.push(part);
        rest = tail.strip_prefix(['\n', ' ']).unwrap_or(tail);
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(rest);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_stays_whole() {
        assert_eq!(split("hi\nthere"), ["hi\nthere"]);
        assert_eq!(split(""), [""]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_nothing_is_lost() {
        let text = "家😀".repeat(9000);
        let parts = split(&text);
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() <= PART_BYTES));
        assert_eq!(parts.concat(), text);
    }

    #[test]
    fn lines_are_kept_together_where_they_can() {
        let line = "x".repeat(9000);
        let text = format!("{line}\n{line}");
        assert_eq!(split(&text), [line.as_str(), line.as_str()]);
    }
}
