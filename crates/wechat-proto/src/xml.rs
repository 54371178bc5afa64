//! A small reader for the XML inside messages: it takes what a strict one refuses.
//!
//! Stray `&` and `<`, text before the first tag, spaces around `=`, missing end tags, CDATA. Depth
//! and number of elements are bounded. Source: the protocol sheet, section 4.2 ("decoding order
//! for XML contents") and 4.8 (spaces around `=`).

use std::borrow::Cow;

/// Deeper elements are treated as siblings. Chosen: real contents have a depth of 6.
const MAX_DEPTH: usize = 32;
/// Further elements are ignored. Chosen: real contents have below 200.
const MAX_ELEMENTS: usize = 5_000;

/// One element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name, as written.
    pub name: String,
    /// Its attributes, entities resolved.
    pub attributes: Vec<(String, String)>,
    /// The text directly inside it, entities resolved once, CDATA included.
    pub text: String,
    /// The elements directly inside it.
    pub children: Vec<Node>,
}

impl Node {
    /// The first element of that name directly inside.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|node| node.name == name)
    }

    /// The element at a path of names.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.child(name))
    }

    /// The trimmed text at a path; empty if there is none.
    #[must_use]
    pub fn text_at(&self, path: &[&str]) -> &str {
        self.at(path).map_or("", |node| node.text.trim())
    }

    /// The first element of that name at any depth, itself included.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Self> {
        if self.name == name {
            return Some(self);
        }
        self.children.iter().find_map(|node| node.find(name))
    }

    /// An attribute; empty if there is none.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
    }

    /// An attribute that is a number; 0 if it is none.
    #[must_use]
    pub fn number(&self, name: &str) -> i64 {
        self.attribute(name).parse().unwrap_or(0)
    }
}

/// Reads a document; the result is a nameless element around everything.
///
/// `None` if there is no element at all: then the content is no XML.
#[must_use]
pub fn parse(text: &str) -> Option<Node> {
    let mut open: Vec<Node> = vec![Node::default()];
    let mut elements = 0;
    let mut rest = text.get(text.find('<')?..)?;
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            push_text(&mut open, rest.get(..end).unwrap_or_default());
            rest = rest.get(end..).unwrap_or_default();
            continue;
        };
        if let Some(data) = after.strip_prefix("![CDATA[") {
            let (inside, tail) = data.split_once("]]>").unwrap_or((data, ""));
            push_text(&mut open, inside);
            rest = tail;
        } else if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, tail)| tail);
        } else if after.starts_with(['!', '?']) {
            rest = after.split_once('>').map_or("", |(_, tail)| tail);
        } else if let Some(closing) = after.strip_prefix('/') {
            let (name, tail) = closing.split_once('>').unwrap_or((closing, ""));
            close(&mut open, name.trim());
            rest = tail;
        } else if after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            let (node, is_empty, tail) = start_tag(after);
            elements += 1;
            if elements <= MAX_ELEMENTS {
                if is_empty || open.len() > MAX_DEPTH {
                    adopt(&mut open, node);
                } else {
                    open.push(node);
                }
            }
            rest = tail;
        } else {
            push_text(&mut open, "<");
            rest = after;
        }
    }
    while open.len() > 1 {
        close_last(&mut open);
    }
    open.pop().filter(|root| !root.children.is_empty())
}

fn push_text(open: &mut [Node], text: &str) {
    if let Some(node) = open.last_mut() {
        node.text.push_str(&unescape(text));
    }
}

fn adopt(open: &mut [Node], node: Node) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(node);
    }
}

fn close_last(open: &mut Vec<Node>) {
    if open.len() > 1
        && let Some(node) = open.pop()
    {
        adopt(open, node);
    }
}

/// Closes up to the element of that name; an end tag that fits nothing is ignored.
fn close(open: &mut Vec<Node>, name: &str) {
    if let Some(at) = open.iter().rposition(|node| node.name == name).filter(|at| *at > 0) {
        while open.len() > at {
            close_last(open);
        }
    }
}

/// Reads a start tag behind its `<`: the element, whether it is empty, and what follows.
fn start_tag(text: &str) -> (Node, bool, &str) {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let take_name = |text: &str| text.find(|c| !is_name(c)).unwrap_or(text.len());
    let end = take_name(text);
    let mut node = Node { name: text.get(..end).unwrap_or_default().to_owned(), ..Node::default() };
    let mut rest = text.get(end..).unwrap_or_default();
    loop {
        rest = rest.trim_start();
        if let Some(tail) = rest.strip_prefix("/>") {
            return (node, true, tail);
        }
        if let Some(tail) = rest.strip_prefix('>') {
            return (node, false, tail);
        }
        // A new tag begins: this one was never closed.
        if rest.is_empty() || rest.starts_with('<') {
            return (node, false, rest);
        }
        let end = take_name(rest);
        if end == 0 {
            let mut chars = rest.chars();
            chars.next();
            rest = chars.as_str();
            continue;
        }
        let (key, tail) = (rest.get(..end).unwrap_or_default(), rest.get(end..).unwrap_or_default());
        let Some(tail) = tail.trim_start().strip_prefix('=') else {
            rest = tail;
            continue;
        };
        let (value, tail) = attribute_value(tail.trim_start());
        node.attributes.push((key.to_owned(), unescape(value).into_owned()));
        rest = tail;
    }
}

fn attribute_value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(inside) = text.strip_prefix(quote) {
            return inside.split_once(quote).unwrap_or((inside, ""));
        }
    }
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).unwrap_or(text.len());
    (text.get(..end).unwrap_or_default(), text.get(end..).unwrap_or_default())
}

/// Longest entity that is looked for, in bytes: `&#x10ffff;`.
const ENTITY_BYTES: usize = 10;

/// Resolves entities once, numeric ones too; what is none stays.
#[must_use]
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let resolved = after
            .bytes()
            .take(ENTITY_BYTES)
            .position(|byte| byte == b';')
            .and_then(|end| Some((entity(after.get(..end)?)?, after.get(end + 1..)?)));
        if let Some((c, tail)) = resolved {
            out.push(c);
            rest = tail;
        } else {
            out.push('&');
            rest = after;
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn entity(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code).filter(|c| *c != '\0')
        }
    }
}

/// Escapes what may not stand in the text of an element: `&`, `<`, `>`.
///
/// Source: the protocol sheet, section 2.19.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn odd_xml_is_read() {
        let text = "noise <?xml version=\"1.0\"?><!-- c --><msg>\n<emoji fromusername = \"wxid_a\" len= '8' flag url=http://x/y md5=\"\" ></emoji><title>a & b <3 &amp; c</title><des><![CDATA[x <b> & y]]></des><br><open></msg> tail";
        let root = parse(text).unwrap();
        let msg = root.child("msg").unwrap();
        let emoji = msg.child("emoji").unwrap();
        assert_eq!((emoji.attribute("fromusername"), emoji.number("len")), ("wxid_a", 8));
        assert_eq!(msg.text_at(&["title"]), "a & b <3 & c");
        assert_eq!(msg.text_at(&["des"]), "x <b> & y");
        assert!(root.find("open").is_some());
    }

    #[test]
    fn what_is_no_xml_is_none() {
        for text in ["", "plain", "a < b", "<", "</x>", "<!", "<![CDATA["] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = "<a>".repeat(100_000);
        let root = parse(&deep).unwrap();
        assert!(root.find("b").is_none());
        let wide = format!("<r>{}</r>", "<a/>".repeat(100_000));
        assert!(parse(&wide).unwrap().child("r").unwrap().children.len() <= MAX_ELEMENTS);
    }

    #[test]
    fn entities_are_resolved_once() {
        assert_eq!(unescape("&amp;lt; &#65;&#x42; &#0; &nope; &"), "&lt; AB &#0; &nope; &");
    }

    proptest! {
        #[test]
        fn text_round_trips(text in "[^\u{0}]*") {
            let root = parse(&format!("<t>{}</t>", escape(&text))).unwrap();
            prop_assert_eq!(&root.child("t").unwrap().text, &text);
        }
    }
}
