//! A post → the lines that are sent: names, mentions, quotations, and cutting what is too long.

use std::borrow::Cow;

use wechat_proto::faces;
use wxgate_contract::{Body, Say};

/// Longest text of one send. Source: the protocol sheet, section 6.3 (uncertain; no limit is known).
pub(crate) const MAX_CHARS: usize = 2000;
/// A quoted text is cut to this. Chosen: two lines on a phone.
const MAX_QUOTE_CHARS: usize = 100;
/// Between a quotation and the reply, as the page writes it. Source: the protocol sheet, 2.15.
const RULE: &str = "—————————";

/// Texts around the attachment of a post; without one everything is in `before`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) before: String,
    pub(super) after: String,
}

/// How emoji that people write are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emoji {
    /// As they are.
    Kept,
    /// As WeChat's own faces, where it has one.
    Faces,
}

impl Emoji {
    fn written(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Kept => Cow::Borrowed(text),
            Self::Faces => faces::from_emoji_in(text),
        }
    }
}

/// `names` are the names inside the group for the mentions, in their order.
pub(super) fn compose(say: &Say, names: &[Option<String>], emoji: Emoji) -> Words {
    let named = |text: &str| match say.author_prefix.as_str() {
        "" => text.to_owned(),
        name => format!("{name}: {text}"),
    };
    let mut words = Words::default();
    match &say.post.body {
        Body::Text { text } => words.before = named(&with_mentions(text, say, names, emoji)),
        Body::Action { text } => {
            let text = emoji.written(text);
            words.before = match say.author_prefix.as_str() {
                "" => format!("* {text}"),
                name => format!("* {name} {text}"),
            };
        }
        Body::Attachment(file) if say.author_prefix.is_empty() => {
            words.after = with_mentions(&file.caption, say, names, emoji);
        }
        Body::Attachment(file) if file.caption.is_empty() => words.before = named(&file.name),
        Body::Attachment(file) => words.before = named(&with_mentions(&file.caption, say, names, emoji)),
        Body::Card(card) => {
            let place = card.place.map(|(lat, lng)| format!("{lat}, {lng}")).unwrap_or_default();
            let lines = [&card.title, &card.detail, &place, &card.url].map(String::as_str);
            let lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty()).collect();
            words.before = named(&lines.join("\n"));
        }
        Body::Recall { notice, .. } => words.before = named(notice),
        Body::Event { text, .. } => words.before = named(text),
        Body::FriendRequest { name, greeting } => words.before = named(&format!("{name}: {greeting}")),
        Body::Unsupported { summary } => words.before = named(summary),
    }
    if let Some(quote) = say.post.quote.as_ref().filter(|quote| !quote.excerpt.is_empty()) {
        let mut excerpt: String = quote.excerpt.chars().take(MAX_QUOTE_CHARS).collect();
        if excerpt.len() < quote.excerpt.len() {
            excerpt.push('…');
        }
        let head = match quote.author_name.as_str() {
            "" => format!("「{excerpt}」\n{RULE}\n"),
            name => format!("「{name}: {excerpt}」\n{RULE}\n"),
        };
        words.before.insert_str(0, &head);
    }
    words
}

/// `@Name ` in the form that phones highlight. Source: the protocol sheet, section 2.15.
fn with_mentions(text: &str, say: &Say, names: &[Option<String>], emoji: Emoji) -> String {
    let mut spans: Vec<((usize, usize), &str)> = say
        .mentions
        .iter()
        .zip(names)
        .filter_map(|((_, range), name)| Some((*range, name.as_deref()?)))
        .filter(|((start, end), _)| start <= end && text.get(*start..*end).is_some())
        .collect();
    spans.sort_unstable();
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for ((start, end), name) in spans {
        let Some(between) = text.get(at..start) else { continue };
        out += &emoji.written(between);
        out += "@";
        out += name;
        at = end;
        // Some networks write `name:`; the colon would stand inside the mention.
        let rest = text.get(at..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix([':', ',']) {
            at = text.len() - after.len();
        }
        if !text.get(at..).unwrap_or_default().starts_with(char::is_whitespace) {
            out.push(' ');
        }
    }
    out += &emoji.written(text.get(at..).unwrap_or_default());
    out
}

/// Cuts a text into pieces of at most [`MAX_CHARS`], at a line, a sentence or a space where there
/// is one in the last half of the piece; nothing is lost but the white space at the cuts.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_end();
    while !rest.is_empty() {
        let Some((limit, _)) = rest.char_indices().nth(MAX_CHARS) else {
            pieces.push(rest.to_owned());
            break;
        };
        let cut = border(rest, limit);
        let (piece, later) = rest.split_at(cut);
        pieces.push(piece.trim_end().to_owned());
        rest = later.trim_start_matches(['\n', ' ']);
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// A good place to cut at or before `limit`, which is a character border.
fn border(text: &str, limit: usize) -> usize {
    let head = text.get(..limit).unwrap_or(text);
    let half = limit / 2;
    let ends = ['。', '！', '？', '.', '!', '?', ';', '；'];
    let after = |at: Option<(usize, char)>| at.map(|(at, c)| at + c.len_utf8()).filter(|at| *at > half);
    let last = |wanted: &dyn Fn(char) -> bool| after(head.char_indices().rfind(|(_, c)| wanted(*c)));
    last(&|c| c == '\n')
        .or_else(|| last(&|c| ends.contains(&c)))
        .or_else(|| last(&|c| c.is_whitespace()))
        .unwrap_or_else(|| whole_emoji(text, limit))
}

/// Moves a cut before an emoji that is made of several characters.
fn whole_emoji(text: &str, limit: usize) -> usize {
    const JOINER: char = '\u{200d}';
    let sticks = |c: char| matches!(c, JOINER | '\u{fe0f}' | '\u{20e3}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{300}'..='\u{36f}');
    let mut cut = limit;
    // Longer chains than this are no emoji.
    for _ in 0..12 {
        let next = text.get(cut..).and_then(|rest| rest.chars().next());
        let Some(before) = text.get(..cut).and_then(|head| head.chars().next_back()) else { return limit };
        if !next.is_some_and(sticks) && before != JOINER {
            return cut;
        }
        cut -= before.len_utf8();
    }
    limit
}

#[cfg(test)]
mod tests;
