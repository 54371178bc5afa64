//! The words of an item. Source: the IRC notes, section 5.

use std::borrow::Cow;

use wxgate_contract::{
    Attachment, AttachmentKind, Author, Body, Card, CardKind, Fate, GroupEvent, Mention, POSTER_NAME,
    TimelineItem,
};

use super::Window;
use super::shape::Shape;
use crate::server::choices::Lang;
use crate::server::session::Session;
use crate::wire::format::strip;

/// Characters of a quoted line. Source: the IRC notes, section 5.
const QUOTE_CHARS: usize = 24;
/// Characters of a lost line. Source: the IRC notes, section 5.
const EXCERPT_CHARS: usize = 40;

/// Who says a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The author of the post.
    Author,
    /// The gateway, about the post.
    Gateway,
    /// The service nick, in its own window.
    Service,
}

pub(super) struct Content {
    pub(super) verb: &'static str,
    pub(super) speaker: Speaker,
    pub(super) shape: Shape,
    pub(super) text: String,
}

impl Content {
    fn said(text: String, shape: Shape) -> Self {
        Self { verb: "PRIVMSG", speaker: Speaker::Author, shape, text }
    }

    fn notice(text: String) -> Self {
        Self { verb: "NOTICE", speaker: Speaker::Gateway, shape: Shape::Lines, text }
    }
}

/// The first characters of a text, on one line.
pub(in crate::server) fn excerpt(text: &str) -> String {
    shorten(text, EXCERPT_CHARS)
}

fn shorten(text: &str, max_chars: usize) -> String {
    let flat = strip(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = flat.chars().take(max_chars).collect();
    if short.len() < flat.len() {
        short.push('…');
    }
    short
}

impl Session {
    /// What an item says, and who says it. What was recalled says nothing any more; its recall stands behind it.
    pub(super) fn content(&mut self, item: &TimelineItem, window: Window) -> Option<Content> {
        if let Some(failed) = self.failure(&item.fate) {
            let words = match &item.post.body {
                Body::Text { text } | Body::Action { text } => excerpt(text),
                _ => self.word("a file", "文件").to_owned(),
            };
            let gateway = self.word("gateway", "网关");
            return Some(Content::notice(format!("[{gateway}] \"{words}\" {failed}")));
        }
        if item.is_recalled && !self.keeps_recalled() {
            return None;
        }
        let mut content = match &item.post.body {
            Body::Text { text } => {
                let text = strip(&self.mentions(text, &item.post.mentions, window)).into_owned();
                let text = format!("{}{text}", self.quote(item, window));
                // An empty text would show nothing at all.
                let text = if text.is_empty() { " ".to_owned() } else { text };
                let by_network = matches!(item.post.author, Author::Network | Author::Gateway);
                if by_network { Content::notice(text) } else { Content::said(text, Shape::Lines) }
            }
            Body::Action { text } => Content::said(strip(text).into_owned(), Shape::Actions),
            Body::Attachment(file) => {
                let caption = strip(&self.mentions(&file.caption, &item.post.mentions, window)).into_owned();
                Content::said(self.attachment(file, &caption), Shape::Captioned)
            }
            Body::Card(card) => Content::said(self.card(card), Shape::OneLine),
            Body::Recall { notice, .. } => Content::notice(self.recalled(item, notice)),
            Body::Event { event, text } => Content::notice(event_text(event, &self.in_language(text))),
            Body::FriendRequest { name, greeting } => {
                let greeting = shorten(greeting, 200);
                let said = if greeting.is_empty() { String::new() } else { format!(": {greeting}") };
                let (name, number) = (shorten(name, 60), item.post_id);
                let text = format!(
                    "{name} asks to become your contact{said} (say: accept {number}, or: decline {number})"
                );
                Content { speaker: Speaker::Service, ..Content::notice(text) }
            }
            Body::Unsupported { summary } => {
                Content::said(format!("[{}]", shorten(summary, 300)), Shape::Lines)
            }
        };
        if item.is_recalled {
            content.text.push_str(self.word(" (recalled)", "（已撤回）"));
        }
        Some(content)
    }

    pub(in crate::server) fn author_name(&self, author: &Author) -> String {
        match author {
            Author::Owner => self.nick.clone(),
            Author::Person { person, name } => {
                let known = self.roster.by_key(person).and_then(|ix| self.roster.person(ix));
                known.map_or_else(|| shorten(name, 30), |person| person.nick.clone())
            }
            Author::Network | Author::Gateway => self.shared.config.service_nick.clone(),
        }
    }

    fn recalled(&self, item: &TimelineItem, notice: &str) -> String {
        if notice.is_empty() {
            let word = self.word("recalled a message", "撤回了一条消息");
            format!("{} {word}", self.author_name(&item.post.author))
        } else {
            shorten(notice, 200)
        }
    }

    /// `「张三: first 24 characters…」 `, unless the quoted line is the one above.
    fn quote(&self, item: &TimelineItem, window: Window) -> String {
        let Some(quote) = &item.post.quote else { return String::new() };
        if let Window::Channel(ix) = window
            && item.target.is_some()
            && self.roster.channel(ix).is_some_and(|channel| channel.last_post == item.target)
        {
            return String::new();
        }
        let words = shorten(&quote.excerpt, QUOTE_CHARS);
        let name = shorten(&quote.author_name, 30);
        match (name.is_empty(), words.is_empty()) {
            (true, true) => String::new(),
            (true, false) => format!("「{words}」 "),
            (false, true) => format!("「{name}」 "),
            (false, false) => format!("「{name}: {words}」 "),
        }
    }

    /// Mentions as clients highlight them: `nick: ` at the start, `@nick` inside.
    fn mentions(&self, text: &str, mentions: &[Mention], window: Window) -> String {
        let mut mentions: Vec<&Mention> = mentions.iter().collect();
        mentions.sort_by_key(|mention| mention.range);
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for mention in mentions {
            let (start, end) = mention.range;
            let nick = match (&mention.person, mention.is_owner) {
                (_, true) => Some(self.nick.clone()),
                (Some(person), false) => self
                    .roster
                    .by_key(person)
                    .and_then(|ix| self.roster.person(ix))
                    .map(|person| person.nick.clone()),
                // Everybody stays as it is written.
                (None, false) => None,
            };
            // Ranges come from outside: one that does not fit is left alone.
            let (Some(nick), Some(before), Some(_)) = (nick, text.get(at..start), text.get(start..end))
            else {
                continue;
            };
            out.push_str(before);
            let mut rest = end;
            if start == 0 && matches!(window, Window::Channel(_)) {
                out.push_str(&nick);
                out.push(':');
                let tail = text.get(rest..).unwrap_or("");
                rest += tail.len() - tail.trim_start_matches([' ', '\u{2005}', ':', '：', ',']).len();
                if rest < text.len() {
                    out.push(' ');
                }
            } else {
                out.push('@');
                out.push_str(&nick);
            }
            at = rest;
        }
        out.push_str(text.get(at..).unwrap_or(""));
        // The four-per-em space that ends a mention is a plain space to everybody else.
        if out.contains('\u{2005}') { out.replace('\u{2005}', " ") } else { out }
    }

    pub(in crate::server) fn word(&self, english: &'static str, chinese: &'static str) -> &'static str {
        match self.choices.lang {
            Lang::English => english,
            Lang::Chinese => chinese,
        }
    }

    /// What became of a post that did not get through, to stand behind its words.
    pub(super) fn failure(&self, fate: &Fate) -> Option<String> {
        let (became, why) = match fate {
            Fate::Said => return None,
            Fate::NotDelivered { why } => (self.word("was not delivered, because ", "未送达："), why),
            Fate::MaybeDelivered { why } => (self.word("may not have been delivered: ", "可能未送达："), why),
        };
        Some(format!("{became}{}", self.in_language(why)))
    }

    /// What an account says about itself, in the language that was chosen.
    pub(in crate::server) fn in_language<'a>(&self, sentence: &'a str) -> Cow<'a, str> {
        let chinese = match self.choices.lang {
            Lang::English => None,
            Lang::Chinese => (self.shared.config.in_chinese)(sentence),
        };
        chinese.map_or(Cow::Borrowed(sentence), Cow::Owned)
    }

    /// `[image] link (1.2 MB)`, of a video a picture, and the caption, for [`Shape::Captioned`].
    fn attachment(&mut self, attachment: &Attachment, caption: &str) -> String {
        let label = match attachment.kind {
            AttachmentKind::Image => self.word("image", "图片"),
            AttachmentKind::Sticker => self.word("sticker", "表情"),
            AttachmentKind::Voice => self.word("voice", "语音"),
            AttachmentKind::Video => self.word("video", "视频"),
            AttachmentKind::File => self.word("file", "文件"),
        };
        let name = match attachment.kind {
            AttachmentKind::File if !attachment.name.is_empty() => {
                format!(" {}", shorten(&attachment.name, 80))
            }
            _ => String::new(),
        };
        let measures = attachment.measures();
        let measures = if measures.is_empty() { measures } else { format!(" ({measures})") };
        let link = self.shared.media.link(attachment.media, &attachment.name).unwrap_or_default();
        if !link.is_empty() {
            self.remember_link(&link, attachment);
        }
        let poster = attachment.poster.and_then(|poster| self.shared.media.link(poster, POSTER_NAME));
        let poster = poster.map(|link| format!(" {}: {link}", self.word("preview", "预览")));
        format!("[{label}]{name}\0{link}\0{measures}\0{}\0{caption}", poster.unwrap_or_default())
    }

    fn card(&self, card: &Card) -> String {
        let label = match card.kind {
            CardKind::Link => self.word("link", "链接"),
            CardKind::Music => self.word("music", "音乐"),
            CardKind::Location => self.word("location", "位置"),
            CardKind::NameCard => self.word("name card", "名片"),
            CardKind::MiniProgram => self.word("mini program", "小程序"),
            CardKind::RedPacket => self.word("red packet", "红包"),
            CardKind::Transfer => self.word("transfer", "转账"),
            CardKind::MergedHistory => self.word("chat history", "聊天记录"),
            CardKind::Call => self.word("call", "通话"),
        };
        let mut text = format!("[{label}]");
        let mut add = |part: &str| {
            let part = strip(part).split_whitespace().collect::<Vec<_>>().join(" ");
            if !part.is_empty() {
                text.push(' ');
                text.push_str(&part);
            }
        };
        add(&card.title);
        let detail = if card.detail == card.title { "" } else { card.detail.as_str() };
        if !detail.is_empty() {
            add(&format!("– {}", shorten(detail, 120)));
        }
        if !card.source.is_empty() {
            add(&format!("({})", shorten(&card.source, 40)));
        }
        if card.is_for_the_phone() {
            add(self.word("(open on the phone)", "(请在手机上查看)"));
        }
        let url: String = card.link().chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
        // A link that no line could hold is shown cut like any other text.
        if url.is_empty() { text } else { format!("{text} \0{url}\0") }
    }
}

fn event_text(event: &GroupEvent, text: &str) -> String {
    let text = shorten(text, 400);
    if !text.is_empty() {
        return text;
    }
    let by = |by: &String| if by.is_empty() { String::new() } else { format!(" by {}", shorten(by, 40)) };
    match event {
        GroupEvent::Joined { names, by: who } => {
            format!("joined{}: {}", by(who), shorten(&names.join(", "), 300))
        }
        GroupEvent::Removed { names, by: who } => {
            format!("removed{}: {}", by(who), shorten(&names.join(", "), 300))
        }
        GroupEvent::OwnerGone => "you are no longer in this group".to_owned(),
        GroupEvent::Renamed { title, by: who } => format!("renamed to \"{}\"{}", shorten(title, 80), by(who)),
        GroupEvent::Notice => "something happened in this group".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_end_with_an_ellipsis() {
        assert_eq!(excerpt("short\n text"), "short text");
        assert_eq!(excerpt(&"字".repeat(50)).chars().count(), 41);
    }
}
