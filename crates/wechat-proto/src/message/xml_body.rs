//! Messages whose content is a small piece of XML.

use super::{IdHint, Parts, hint};
use crate::{
    RawMessage, UserName, names, text,
    xml::{self, Node},
};

/// A picture. Source: the protocol sheet, section 4.5.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Size of the original in bytes; 0 if it is not told.
    pub bytes: u64,
    /// Of the original; empty if it is not told.
    pub md5: String,
    /// Pixels of the thumbnail.
    pub thumb_width: u32,
    /// Pixels of the thumbnail.
    pub thumb_height: u32,
}

/// A voice message. Source: the protocol sheet, section 4.6.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Voice {
    /// How long it is.
    pub duration_ms: u64,
}

/// A video. Source: the protocol sheet, section 4.7.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Video {
    /// How long it is.
    pub duration_s: u64,
    /// Size in bytes; 0 if it is not told.
    pub bytes: u64,
    /// Pixels of the cover.
    pub width: u32,
    /// Pixels of the cover.
    pub height: u32,
    /// Type 62.
    pub is_short: bool,
}

/// A sticker. Source: the protocol sheet, section 4.8.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sticker {
    /// With it the sticker can be sent on; empty for those of the store.
    pub md5: String,
    /// From the store: neither to be fetched nor sent on, only the phone shows it.
    pub is_store: bool,
    /// GIF rather than a still.
    pub is_animated: bool,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Where else it can be fetched; not checked in any way.
    pub cdn_url: String,
}

impl std::fmt::Debug for Sticker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sticker(store: {}, {}×{})", self.is_store, self.width, self.height)
    }
}

/// A place. Source: the protocol sheet, section 4.10.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Location {
    /// Degrees north, as written: latitude is `x`. Empty if it is not told.
    pub latitude: String,
    /// Degrees east, as written: longitude is `y`. Empty if it is not told.
    pub longitude: String,
    /// Address, or whatever describes the place.
    pub label: String,
    /// Name of the place; empty if it has none.
    pub name: String,
    /// A map in the web; not checked in any way.
    pub map_url: String,
    /// The XML, for passing the place on.
    pub xml: String,
}

/// A card of a person or account. Source: the protocol sheet, section 4.11.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// In this session; with it the person can be asked to be friends.
    pub user_name: UserName,
    /// Decoded.
    pub nick_name: String,
    /// WeChat id; often empty.
    pub alias: String,
    /// Where from.
    pub province: String,
    /// Where from.
    pub city: String,
    /// 0 unknown, 1 male, 2 female.
    pub sex: i64,
    /// An official account.
    pub is_official: bool,
}

/// Somebody wants to be friends. Source: the protocol sheet, section 4.11.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FriendRequest {
    /// Who.
    pub card: Card,
    /// What they say.
    pub greeting: String,
    /// What accepting needs.
    pub ticket: String,
    /// How they found us.
    pub scene: i64,
    /// Our own request, to be ignored. Source: the protocol sheet, section 4.11 (the page does so).
    pub is_own: bool,
}

/// Finds the element in the content, whatever is around it.
fn element(parts: &Parts<'_>, name: &str) -> Option<Node> {
    let root = xml::parse(&parts.xml_text())?;
    root.find(name).cloned()
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn pixels(first: i64, second: i64) -> u32 {
    u32::try_from(if first > 0 { first } else { second }).unwrap_or(0)
}

pub(super) fn image(parts: &Parts<'_>) -> Image {
    let img = element(parts, "img").unwrap_or_default();
    Image {
        bytes: unsigned(img.number("hdlength").max(img.number("length"))),
        md5: img.attribute("md5").to_owned(),
        thumb_width: pixels(parts.raw.img_width, img.number("cdnthumbwidth")),
        thumb_height: pixels(parts.raw.img_height, img.number("cdnthumbheight")),
    }
}

pub(super) fn voice(parts: &Parts<'_>) -> Voice {
    let voice = element(parts, "voicemsg").unwrap_or_default();
    let duration =
        if parts.raw.voice_length > 0 { parts.raw.voice_length } else { voice.number("voicelength") };
    Voice { duration_ms: unsigned(duration) }
}

pub(super) fn video(parts: &Parts<'_>) -> Video {
    let video = element(parts, "videomsg").or_else(|| element(parts, "img")).unwrap_or_default();
    let duration = if parts.raw.play_length > 0 { parts.raw.play_length } else { video.number("playlength") };
    Video {
        duration_s: unsigned(duration),
        bytes: unsigned(video.number("length")),
        width: pixels(parts.raw.img_width, video.number("cdnthumbwidth")),
        height: pixels(parts.raw.img_height, video.number("cdnthumbheight")),
        is_short: parts.raw.msg_type == super::msg_type::SHORT_VIDEO,
    }
}

pub(super) fn sticker(parts: &Parts<'_>) -> Sticker {
    let Some(emoji) = element(parts, "emoji") else {
        return Sticker { is_store: true, ..Sticker::default() };
    };
    let is_store = parts.raw.has_product_id != 0;
    Sticker {
        md5: if is_store { String::new() } else { emoji.attribute("md5").to_owned() },
        is_store,
        is_animated: emoji.number("type") == 2,
        width: pixels(parts.raw.img_width, emoji.number("width")),
        height: pixels(parts.raw.img_height, emoji.number("height")),
        cdn_url: emoji.attribute("cdnurl").to_owned(),
    }
}

pub(super) fn location(parts: &Parts<'_>) -> Location {
    // Whether `OriContent` is escaped varies. Source: the protocol sheet, section 4.10.
    let source = if parts.raw.ori_content.is_empty() { parts.content } else { &parts.raw.ori_content };
    let xml = super::xml_text(source, parts.corrections);
    let node = xml::parse(&xml).and_then(|root| root.find("location").cloned());
    let xml = if node.is_some() { xml } else { String::new() };
    let node = node.unwrap_or_default();
    let described = parts.text();
    let described = described.split(":\n").next().unwrap_or_default().trim();
    let described = if described.starts_with('<') || described.starts_with('/') { "" } else { described };
    let label = node.attribute("label");
    let name = node.attribute("poiname");
    let (latitude, longitude) = coordinates(&node, parts.raw);
    Location {
        latitude,
        longitude,
        label: if label.is_empty() { described.to_owned() } else { label.to_owned() },
        // The placeholder of places without a name.
        name: if name == "[位置]" || name == "[Location]" { String::new() } else { name.to_owned() },
        map_url: text::unescape(&parts.raw.url).into_owned(),
        xml,
    }
}

/// From the XML, else from `coord=lat,lng` of the map's URL; only what is a number.
fn coordinates(node: &Node, raw: &RawMessage) -> (String, String) {
    let is_number = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
    let (x, y) = (node.attribute("x"), node.attribute("y"));
    if is_number(x) && is_number(y) {
        return (x.to_owned(), y.to_owned());
    }
    let coord = raw.url.split_once("coord=").map_or("", |(_, after)| after);
    let coord = coord.split('&').next().unwrap_or_default();
    match coord.split_once(',') {
        Some((x, y)) if is_number(x) && is_number(y) => (x.to_owned(), y.to_owned()),
        _ => (String::new(), String::new()),
    }
}

pub(super) fn card(parts: &Parts<'_>) -> Card {
    let msg = element(parts, "msg").unwrap_or_default();
    let info = &parts.raw.recommend_info;
    let or = |own: &str, attribute: &str| {
        if own.is_empty() { msg.attribute(attribute).to_owned() } else { own.to_owned() }
    };
    let nick_name = info.nick_name.decoded();
    Card {
        user_name: info.user_name.clone(),
        nick_name: if nick_name.is_empty() { names::decode_name(&or("", "nickname")) } else { nick_name },
        alias: or(&info.alias, "alias"),
        province: or(&info.province, "province"),
        city: or(&info.city, "city"),
        sex: if info.sex == 0 { msg.number("sex") } else { info.sex },
        is_official: crate::contact::flags::is_official(info.verify_flag),
    }
}

pub(super) fn friend_request(parts: &Parts<'_>, hints: &mut Vec<IdHint>) -> FriendRequest {
    let msg = element(parts, "msg").unwrap_or_default();
    let info = &parts.raw.recommend_info;
    hints.extend(hint(info.user_name.clone(), msg.attribute("fromusername")));
    let mut card = card(parts);
    if card.nick_name.is_empty() {
        card.nick_name = names::decode_name(msg.attribute("fromnickname"));
    }
    let greeting = info.content.decoded();
    let ticket = [info.ticket.as_str(), &parts.raw.ticket, msg.attribute("ticket")];
    FriendRequest {
        greeting: if greeting.is_empty() { names::decode_name(msg.attribute("content")) } else { greeting },
        ticket: ticket.into_iter().find(|ticket| !ticket.is_empty()).unwrap_or_default().to_owned(),
        scene: if info.scene == 0 { msg.number("scene") } else { info.scene },
        is_own: info.user_name == *parts.own,
        card,
    }
}
