//! Plain text with mentions → content of a message, with HTML where somebody is named or quoted.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// What stands for itself in a matrix.to link.
const LINK: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'@');

/// Who is named, and in which bytes of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// `None` is the whole room.
    pub(crate) user_id: Option<String>,
    pub(crate) range: (usize, usize),
}

/// The content of a text message.
pub(crate) fn message(msgtype: &str, text: &str, named: &[Named]) -> Value {
    let mut content = json!({ "msgtype": msgtype, "body": text });
    if named.iter().any(|named| named.user_id.is_some()) {
        content["format"] = json!("org.matrix.custom.html");
        content["formatted_body"] = json!(with_pills(text, named));
    }
    content["m.mentions"] = mentions(named);
    content
}

/// The text in quotes and what is said about it, for what is not known as an event.
pub(crate) fn add_quote(content: &mut Value, author: &str, excerpt: &str) {
    let head = if author.is_empty() { String::new() } else { format!("{author}: ") };
    let body = content["body"].as_str().unwrap_or_default().to_owned();
    let html = content["formatted_body"].as_str().map_or_else(|| escape(&body), str::to_owned);
    let quoted = format!("{head}{excerpt}");
    let lines: Vec<String> = quoted.lines().map(|line| format!("> {line}")).collect();
    content["body"] = json!(format!("{}\n\n{body}", lines.join("\n")));
    content["format"] = json!("org.matrix.custom.html");
    content["formatted_body"] = json!(format!("<blockquote>{}</blockquote>{html}", escape(&quoted)));
}

/// Source: client-server API, "User and room mentions": present also when nobody is named, so that
/// clients do not look for names in the text.
fn mentions(named: &[Named]) -> Value {
    let mut users: Vec<&str> = named.iter().filter_map(|named| named.user_id.as_deref()).collect();
    users.sort_unstable();
    users.dedup();
    let mut mentions = json!({});
    if !users.is_empty() {
        mentions["user_ids"] = json!(users);
    }
    if named.iter().any(|named| named.user_id.is_none()) {
        mentions["room"] = json!(true);
    }
    mentions
}

fn with_pills(text: &str, named: &[Named]) -> String {
    let mut named: Vec<&Named> = named.iter().collect();
    named.sort_by_key(|named| named.range.0);
    let mut html = String::with_capacity(text.len() * 2);
    let mut done = 0;
    for Named { user_id, range: (from, to) } in named {
        let (Some(user_id), Some(before), Some(name)) =
            (user_id, text.get(done..*from), text.get(*from..*to))
        else {
            continue;
        };
        html.push_str(&escape(before));
        let target = utf8_percent_encode(user_id, LINK);
        html.push_str(&format!("<a href=\"https://matrix.to/#/{target}\">{}</a>", escape(name)));
        done = *to;
    }
    html.push_str(&escape(text.get(done..).unwrap_or("")));
    html
}

/// Text inside HTML, in attributes as well.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("<br/>"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_text_has_no_html_and_names_nobody() {
        let content = message("m.text", "a < b", &[]);
        assert_eq!(content, json!({ "msgtype": "m.text", "body": "a < b", "m.mentions": {} }));
    }

    #[test]
    fn a_mention_becomes_a_pill() {
        let named = [
            Named { user_id: Some("@bob:x".to_owned()), range: (3, 7) },
            Named { user_id: None, range: (8, 12) },
        ];
        let content = message("m.text", "hi @Bob @all <3\nbye", &named);
        assert_eq!(content["body"], "hi @Bob @all <3\nbye");
        let html = "hi <a href=\"https://matrix.to/#/@bob:x\">@Bob</a> @all &lt;3<br/>bye";
        assert_eq!(content["formatted_body"], html);
        assert_eq!(content["m.mentions"], json!({ "user_ids": ["@bob:x"], "room": true }));
    }

    #[test]
    fn what_came_through_html_comes_back_the_same() {
        let named = [Named { user_id: Some("@wechat_a_=5f:x".to_owned()), range: (0, 4) }];
        let content = message("m.text", "@Bob 1 < 2 & 3", &named);
        let back = super::super::html::to_plain(content["formatted_body"].as_str().unwrap());
        assert_eq!(back.text, "@Bob 1 < 2 & 3");
        assert_eq!(back.pills, [("@wechat_a_=5f:x".to_owned(), (0, 4))]);
    }

    #[test]
    fn a_quote_without_an_event_stands_above_the_text() {
        let mut content = message("m.text", "yes", &[]);
        add_quote(&mut content, "Bob", "one\ntwo");
        assert_eq!(content["body"], "> Bob: one\n> two\n\nyes");
        assert_eq!(content["formatted_body"], "<blockquote>Bob: one<br/>two</blockquote>yes");
    }
}
