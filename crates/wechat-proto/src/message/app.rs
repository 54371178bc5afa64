//! App messages (49): links, articles, files, mini programs, money.
//!
//! Source: the protocol sheet, section 4.9.

use super::{Parts, body, body::Body, msg_type::app as kind, prompt};
use crate::{
    MsgId, text,
    xml::{self, Node},
};

/// What an app made.
#[derive(Clone, PartialEq, Eq)]
pub enum App {
    /// 1: text, which is in the title.
    Text {
        /// The text.
        text: String,
    },
    /// 2: a picture, to be fetched by the message's id.
    Image {
        /// Its title, if any.
        title: String,
    },
    /// 3.
    Music {
        /// What links to it.
        link: Link,
        /// The sound itself; may be empty.
        data_url: String,
    },
    /// 4.
    Video(Link),
    /// 5 with one article, or any page.
    Link(Link),
    /// 5 with a list of articles, all of them.
    Articles(Vec<Article>),
    /// 6: to be fetched with `MediaId` and `EncryFileName`.
    File(File),
    /// 8: a sticker of an app, to be fetched by the message's id.
    Emoji,
    /// 17: somebody shares where they are; only the phone shows it.
    LiveLocation {
        /// What the service says.
        title: String,
    },
    /// 19: other messages, bundled; only the phone shows them.
    ChatHistory {
        /// Whose.
        title: String,
        /// The first few.
        preview: String,
    },
    /// 33 and 36.
    MiniProgram {
        /// The page in it.
        link: Link,
        /// Its name.
        program: String,
    },
    /// 57: an answer that quotes.
    Quote {
        /// What is said.
        text: String,
        /// To what.
        quoted: Quoted,
    },
    /// 2000: money, to be taken on the phone.
    Transfer(Transfer),
    /// 2001: to be opened on the phone.
    RedPacket {
        /// What the service says.
        text: String,
    },
    /// 7, 9, 10, 13, 15, 16 with something to show: the phone can do more.
    Other {
        /// `AppMsgType`.
        kind: i64,
        /// What links to it.
        link: Link,
    },
}

/// A page.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Headline.
    pub title: String,
    /// Summary.
    pub description: String,
    /// Where; not checked in any way.
    pub url: String,
    /// A small picture; not checked in any way.
    pub thumb_url: String,
    /// The account or app that it comes from.
    pub source: String,
}

/// One article of an official account.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Article {
    /// Headline.
    pub title: String,
    /// Summary.
    pub digest: String,
    /// Where.
    pub url: String,
    /// A picture.
    pub cover: String,
    /// Unix seconds; 0 if it is not told.
    pub published_s: i64,
}

/// A file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct File {
    /// As it was sent.
    pub name: String,
    /// Size; 0 if it is not told.
    pub bytes: u64,
    /// For the download.
    pub media_id: String,
    /// For the download.
    pub encry_file_name: String,
    /// Above 25 MB the web has no download. Source: the protocol sheet, section 2.22.
    pub is_downloadable: bool,
}

/// What an answer refers to.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Quoted {
    /// The message; `None` if it is not told.
    pub id: Option<MsgId>,
    /// Who said it, as their name was shown to the sender.
    pub name: String,
    /// What was said; for other kinds than text its title, or nothing.
    pub text: String,
    /// `MsgType` of the quoted message.
    pub msg_type: i64,
}

/// Money.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    /// As written, with its currency: `￥50.00`.
    pub amount: String,
    /// What is said along.
    pub memo: String,
    /// What the service says.
    pub description: String,
    /// 1: offered; the others are not known.
    pub subtype: i64,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text { .. } => "App::Text",
            Self::Image { .. } => "App::Image",
            Self::Music { .. } => "App::Music",
            Self::Video(_) => "App::Video",
            Self::Link(_) => "App::Link",
            Self::Articles(_) => "App::Articles",
            Self::File(_) => "App::File",
            Self::Emoji => "App::Emoji",
            Self::LiveLocation { .. } => "App::LiveLocation",
            Self::ChatHistory { .. } => "App::ChatHistory",
            Self::MiniProgram { .. } => "App::MiniProgram",
            Self::Quote { .. } => "App::Quote",
            Self::Transfer(_) => "App::Transfer",
            Self::RedPacket { .. } => "App::RedPacket",
            Self::Other { .. } => "App::Other",
        })
    }
}

pub(super) fn decode(parts: &Parts<'_>) -> Body {
    let Some(root) = xml::parse(&parts.xml_text()) else {
        // The service put a prompt or nothing in place of the XML.
        return match parts.raw.app_msg_type {
            kind::RED_PACKET => Body::App(App::RedPacket { text: parts.text() }),
            kind::FILE if !parts.raw.media_id.is_empty() => {
                Body::App(App::File(file(parts, &Node::default())))
            }
            _ => body::unsupported(parts, parts.text()),
        };
    };
    let appmsg = root.find("appmsg").cloned().unwrap_or_default();
    let msg = root.child("msg").unwrap_or(&root);

    let number = match parts.raw.app_msg_type {
        kind::REPLACED => appmsg.text_at(&["type"]).parse().unwrap_or(kind::REPLACED),
        number => number,
    };
    let title = first([appmsg.text_at(&["title"]), &parts.raw.file_name.decoded()]);
    if prompt::is_prompt(&title) {
        return body::unsupported(parts, title);
    }
    match app(number, parts, &appmsg, msg, &title) {
        Some(app) => Body::App(app),
        None => body::unsupported(parts, title),
    }
}

/// Source: the protocol sheet, section 4.1 (table of `AppMsgType`, every row) and section 4.9.
fn app(number: i64, parts: &Parts<'_>, appmsg: &Node, msg: &Node, title: &str) -> Option<App> {
    let title = title.to_owned();
    let link = || link(parts, appmsg, msg, &title);
    Some(match number {
        kind::TEXT => App::Text { text: title },
        kind::IMAGE => App::Image { title },
        kind::MUSIC => App::Music {
            link: link(),
            data_url: first([appmsg.text_at(&["dataurl"]), appmsg.text_at(&["lowdataurl"])]),
        },
        kind::VIDEO => App::Video(link()),
        kind::LINK => {
            let articles = appmsg.find("mmreader").map(articles).unwrap_or_default();
            if articles.is_empty() { App::Link(link()) } else { App::Articles(articles) }
        }
        kind::FILE => App::File(file(parts, appmsg)),
        kind::EMOJI => App::Emoji,
        kind::LIVE_LOCATION => App::LiveLocation { title },
        kind::CHAT_HISTORY => App::ChatHistory { title, preview: appmsg.text_at(&["des"]).to_owned() },
        kind::MINI_PROGRAM | kind::MINI_PROGRAM_PAGE => {
            App::MiniProgram { program: appmsg.text_at(&["sourcedisplayname"]).to_owned(), link: link() }
        }
        kind::QUOTE => App::Quote { text: title, quoted: quoted(appmsg.child("refermsg")?) },
        kind::TRANSFER => App::Transfer(transfer(appmsg)),
        kind::RED_PACKET => App::RedPacket { text: title },
        kind::OPEN
        | kind::VOICE_REMIND
        | kind::SCANNED_GOODS
        | kind::GOODS
        | kind::STICKER_SET
        | kind::COUPON => App::Other { kind: number, link: link() },
        _ => return None,
    })
}

/// The first that is not empty.
fn first<const N: usize>(texts: [&str; N]) -> String {
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
}

fn link(parts: &Parts<'_>, appmsg: &Node, msg: &Node, title: &str) -> Link {
    let raw_url = text::unescape(&parts.raw.url);
    Link {
        title: title.to_owned(),
        description: appmsg.text_at(&["des"]).to_owned(),
        url: first([appmsg.text_at(&["url"]), &raw_url, appmsg.text_at(&["lowurl"])]),
        thumb_url: appmsg.text_at(&["thumburl"]).to_owned(),
        source: first([appmsg.text_at(&["sourcedisplayname"]), msg.text_at(&["appinfo", "appname"])]),
    }
}

/// All articles of a reader, wherever in it they are.
pub(super) fn articles(reader: &Node) -> Vec<Article> {
    let mut items = Vec::new();
    collect(reader, &mut items);
    items
}

fn collect(node: &Node, items: &mut Vec<Article>) {
    for child in &node.children {
        if child.name == "item" {
            items.push(Article {
                title: child.text_at(&["title"]).to_owned(),
                digest: child.text_at(&["digest"]).to_owned(),
                url: first([child.text_at(&["url"]), child.text_at(&["shorturl"])]),
                // May be `url|width|height`.
                cover: child.text_at(&["cover"]).split('|').next().unwrap_or_default().to_owned(),
                published_s: child.text_at(&["pub_time"]).parse().unwrap_or(0),
            });
        } else {
            collect(child, items);
        }
    }
}

/// Above this, files of others cannot be downloaded. Source: the protocol sheet, section 2.22.
const MAX_DOWNLOAD_BYTES: u64 = 26_214_400;

fn file(parts: &Parts<'_>, appmsg: &Node) -> File {
    let attach = appmsg.child("appattach").cloned().unwrap_or_default();
    let total = attach.text_at(&["totallen"]);
    let bytes = parts.raw.file_size.trim().parse().or_else(|_| total.parse()).unwrap_or(0);
    let media_id = first([&parts.raw.media_id, attach.text_at(&["attachid"])]);
    File {
        name: first([appmsg.text_at(&["title"]), &parts.raw.file_name.decoded()]),
        bytes,
        is_downloadable: !media_id.is_empty() && bytes <= MAX_DOWNLOAD_BYTES,
        media_id,
        encry_file_name: parts.raw.encry_file_name.clone(),
    }
}

fn quoted(refer: &Node) -> Quoted {
    let content = refer.text_at(&["content"]);
    let msg_type = refer.text_at(&["type"]).parse().unwrap_or(0);
    // Of anything but text, the content is XML again; its title is what can be shown.
    let text = if msg_type == super::msg_type::TEXT {
        content.to_owned()
    } else {
        let inner = xml::parse(content).or_else(|| xml::parse(&xml::unescape(content)));
        inner.and_then(|root| Some(root.find("title")?.text.trim().to_owned())).unwrap_or_default()
    };
    let id = refer.text_at(&["svrid"]);
    let well_formed = !id.is_empty() && id != "0" && id.bytes().all(|byte| byte.is_ascii_digit());
    Quoted {
        id: well_formed.then(|| MsgId::new(id)),
        name: refer.text_at(&["displayname"]).to_owned(),
        text,
        msg_type,
    }
}

fn transfer(appmsg: &Node) -> Transfer {
    let info = appmsg.child("wcpayinfo").cloned().unwrap_or_default();
    Transfer {
        amount: info.text_at(&["feedesc"]).to_owned(),
        memo: info.text_at(&["pay_memo"]).to_owned(),
        description: appmsg.text_at(&["des"]).to_owned(),
        subtype: info.text_at(&["paysubtype"]).parse().unwrap_or(0),
    }
}
