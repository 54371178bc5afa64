//! What a post says in a channel of somebody else's network.

use wxgate_contract::{Author, Body, Say};

use super::nicks;
use crate::wire::format::strip;

/// Characters of a quoted line. Source: the IRC notes, section 5.
const QUOTE_CHARS: usize = 24;
/// Characters of a server's sentence that are passed on.
const WHY_CHARS: usize = 120;

/// How the author is called; empty when the words need no name.
pub(super) fn author(say: &Say) -> String {
    let name = match (&say.post.author, say.author_prefix.as_str()) {
        (Author::Network | Author::Gateway, _) => "",
        (Author::Person { name, .. }, "") => name,
        // The owner has no name before the first sign-in; their account has.
        (Author::Owner, "") => say.post.chat.network.name(),
        (_, name) => name,
    };
    nicks::clean(name)
}

/// The author's key among all people of all networks.
pub(super) fn person(say: &Say) -> String {
    let key = match &say.post.author {
        Author::Person { person, .. } => person.as_str(),
        Author::Owner | Author::Network | Author::Gateway => "",
    };
    format!("{}/{key}", say.post.chat.network)
}

/// The text, several lines perhaps; `None` for what cannot be shown.
pub(super) fn text(say: &Say) -> Option<String> {
    let text = match &say.post.body {
        Body::Text { text } => format!("{}{}", quote(say), strip(text)),
        Body::Action { text } => format!("* {}", strip(text)),
        Body::Attachment(file) if file.name.is_empty() => "[file]".to_owned(),
        Body::Attachment(file) => format!("[{}]", strip(&file.name)),
        Body::Card(card) => strip(&card.summary()).into_owned(),
        Body::Event { text, .. } => strip(text).into_owned(),
        Body::Unsupported { summary } => format!("[{}]", strip(summary)),
        Body::Recall { .. } | Body::FriendRequest { .. } => return None,
    };
    // The four-per-em space that ends a mention is a plain space to everybody else.
    let text = text.replace('\u{2005}', " ");
    let text = text.trim_matches('\n').trim_end();
    Some(if text.is_empty() { " ".to_owned() } else { text.to_owned() })
}

/// `@bob hi` is `bob: hi` to the client of bob: a nick in front of a line is what it looks for.
pub(super) fn addressed(text: String, nick_of: impl Fn(&str) -> Option<String>) -> String {
    const AFTER: [char; 8] = [' ', ':', ',', '：', '，', '\n', '!', '！'];
    let Some(rest) = text.strip_prefix('@') else { return text };
    let word = rest.split(AFTER).next().unwrap_or("");
    match nick_of(word) {
        Some(nick) => {
            let said = rest.get(word.len()..).unwrap_or("").trim_start_matches([' ', ':', ',', '：', '，']);
            format!("{nick}: {said}")
        }
        None => text,
    }
}

/// `「张三: first 24 characters…」 `
fn quote(say: &Say) -> String {
    let Some(quote) = &say.post.quote else { return String::new() };
    let (name, words) = (nicks::clean(&quote.author_name), shorten(&quote.excerpt, QUOTE_CHARS));
    match (name.is_empty(), words.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!("「{name}」 "),
        (true, false) => format!("「{words}」 "),
        (false, false) => format!("「{name}: {words}」 "),
    }
}

fn shorten(text: &str, chars: usize) -> String {
    let flat = strip(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = flat.chars().take(chars).collect();
    let more = if short.len() < flat.len() { "…" } else { "" };
    format!("{short}{more}")
}

/// A server's sentence as a clause for people.
pub(super) fn from_server(text: &str) -> String {
    let text = shorten(text, WHY_CHARS);
    if text.is_empty() { "the network refused it".to_owned() } else { format!("the network said: {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_addressed_in_front_is_highlighted() {
        let nick = |word: &str| (word.to_lowercase() == "bob").then(|| "Bob".to_owned());
        for (text, shown) in [
            ("@bob hi", "Bob: hi"),
            ("@BOB：你好", "Bob: 你好"),
            ("@bob", "Bob: "),
            ("@bobby hi", "@bobby hi"),
            ("hi @bob", "hi @bob"),
            ("@ bob", "@ bob"),
        ] {
            assert_eq!(addressed(text.to_owned(), nick), shown, "{text}");
        }
    }
}
