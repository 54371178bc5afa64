//! HTML into tags and text. Never fails: what is no tag is text.
//!
//! Source: client-server API, "m.room.message msgtypes", the list of HTML that clients write; HTML
//! Living Standard, section 13.2.5 for what a tag looks like.

/// A piece of HTML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Text(&'a str),
    /// Name in lower case and what stands after it.
    Open(String, &'a str),
    Close(String),
}

/// Cuts HTML into pieces.
pub(crate) fn tokens(html: &str) -> Vec<Token<'_>> {
    let mut out = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        if !text.is_empty() {
            out.push(Token::Text(text));
        }
        if let Some(comment) = tag.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
            continue;
        }
        match read_tag(tag) {
            Some((token, tail)) => {
                out.push(token);
                rest = tail;
            }
            None => {
                let (sign, tail) = tag.split_at(1);
                out.push(Token::Text(sign));
                rest = tail;
            }
        }
    }
    if !rest.is_empty() {
        out.push(Token::Text(rest));
    }
    out
}

fn read_tag(tag: &str) -> Option<(Token<'_>, &str)> {
    let inner = tag.strip_prefix('<')?;
    let (is_close, inner) = match inner.strip_prefix('/') {
        Some(inner) => (true, inner),
        None => (false, inner),
    };
    if !inner.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let end = end_of_tag(inner)?;
    let (words, tail) = inner.split_at(end);
    let tail = tail.strip_prefix('>')?;
    let name_end = words.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(words.len());
    let (name, attributes) = words.split_at(name_end);
    let name = name.to_ascii_lowercase();
    let token = if is_close { Token::Close(name) } else { Token::Open(name, attributes) };
    Some((token, tail))
}

/// Where the `>` of a tag is; those in quotes do not count.
fn end_of_tag(words: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in words.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// The value of an attribute, decoded.
pub(crate) fn attribute(attributes: &str, wanted: &str) -> Option<String> {
    let mut rest = attributes;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let name_end = rest.find(|c: char| c == '=' || c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(name_end);
        if name.is_empty() {
            return None;
        }
        let tail = tail.trim_start();
        let (value, tail) = match tail.strip_prefix('=') {
            None => ("", tail),
            Some(tail) => read_value(tail.trim_start()),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(decode(value));
        }
        rest = tail;
    }
}

fn read_value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            return inner.split_once(quote).unwrap_or((inner, ""));
        }
    }
    let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
    text.split_at(end)
}

/// Character references, as far as clients write them.
pub(crate) fn decode(text: &str) -> String {
    /// Longest reference that is looked for.
    const LONGEST: usize = 10;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let end = tail.bytes().take(LONGEST).position(|b| b == b';');
        let named = end.and_then(|end| Some((tail.get(1..end)?, tail.get(end + 1..)?)));
        match named.and_then(|(name, tail)| Some((reference(name)?, tail))) {
            Some((c, tail)) => {
                out.push(c);
                rest = tail;
            }
            None => {
                out.push('&');
                rest = tail.get(1..).unwrap_or("");
            }
        }
    }
    out.push_str(rest);
    out
}

fn reference(name: &str) -> Option<char> {
    let code = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => match name.strip_prefix('#')? {
            hex if hex.starts_with(['x', 'X']) => code(hex.get(1..)?, 16),
            digits => code(digits, 10),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tag_is_text() {
        assert_eq!(tokens("1 < 2"), [Token::Text("1 "), Token::Text("<"), Token::Text(" 2")]);
        assert_eq!(tokens("<b"), [Token::Text("<"), Token::Text("b")]);
        assert_eq!(tokens("<!-- <b> -->x"), [Token::Text("x")]);
    }

    #[test]
    fn attributes_are_found_in_every_form() {
        let tag = tokens(r#"<A title='a > b' HREF="x&amp;y" data-k=v checked>"#);
        let Some(Token::Open(name, attributes)) = tag.first() else { panic!("no tag") };
        assert_eq!(name, "a");
        assert_eq!(attribute(attributes, "href").as_deref(), Some("x&y"));
        assert_eq!(attribute(attributes, "title").as_deref(), Some("a > b"));
        assert_eq!(attribute(attributes, "data-k").as_deref(), Some("v"));
        assert_eq!(attribute(attributes, "checked").as_deref(), Some(""));
        assert_eq!(attribute(attributes, "class"), None);
    }

    #[test]
    fn references_are_decoded_and_loose_ampersands_stay() {
        assert_eq!(decode("a &amp; b &lt;&#x4f60;&#22909; & &unknown; &"), "a & b <你好 & &unknown; &");
    }
}
