//! What apps made: links, articles, files, mini programs; places and name cards.

use wechat_proto::MsgId;
use wechat_proto::message::app::{App, Article, Link};
use wechat_proto::message::body::CallEvent;
use wechat_proto::message::{Card as Contact, Location, Message};
use wxgate_contract::{Body, Card, CardKind, Quote, RemoteId};

use super::text::written;
use super::{Content, Place, media};
use crate::roster::Draft;

/// Longest detail of a card. Chosen: a screenful.
const MAX_DETAIL_CHARS: usize = 1000;
/// Longest list of articles, in bytes. Chosen: twice what eight of them have, which is as many as come together; an
/// address alone has some 230.
const MAX_ARTICLES_BYTES: usize = 6000;

pub(super) fn content(message: &Message, app: &App, place: &Place<'_>, draft: &mut Draft) -> Content {
    match app {
        App::Text { text } => Body::text(written(text)).into(),
        App::Image { title } => media::app_image(message, title, place, draft).into(),
        App::Emoji => media::app_emoji(message, place, draft).into(),
        App::File(file) => media::file(message, file, place, draft).into(),
        App::Music { link, data_url } => {
            let url = if link.url.is_empty() { data_url } else { &link.url };
            card(CardKind::Music, &link.title, &link.description, url, &link.source).into()
        }
        App::Video(link) | App::Link(link) | App::Other { link, .. } => of_link(CardKind::Link, link).into(),
        App::Articles(list) => articles(list).into(),
        App::LiveLocation { title } => card(CardKind::Location, title, "open on the phone", "", "").into(),
        App::ChatHistory { title, preview } => card(CardKind::MergedHistory, title, preview, "", "").into(),
        App::MiniProgram { link, program } => {
            card(CardKind::MiniProgram, &link.title, &link.description, &link.url, program).into()
        }
        App::Quote { text, quoted } => Content {
            body: Body::text(written(text)),
            quote: Some(Quote {
                target: quoted.id.as_ref().map(MsgId::as_str).map(RemoteId::from),
                author_name: quoted.name.clone(),
                excerpt: written(&quoted.text).into_owned(),
            }),
        },
        App::Transfer(transfer) => {
            let detail = if transfer.memo.is_empty() { &transfer.description } else { &transfer.memo };
            card(CardKind::Transfer, &transfer.amount, detail, "", "").into()
        }
        App::RedPacket { text } => card(CardKind::RedPacket, text, "", "", "").into(),
    }
}

fn of_link(kind: CardKind, link: &Link) -> Body {
    card(kind, &link.title, &link.description, &link.url, &link.source)
}

/// All articles: the first one is the card, the others are lines of its detail. A line is whole or not there: half an
/// address leads nowhere. Source: the protocol sheet, section 7 (item 59).
pub(super) fn articles(list: &[Article]) -> Body {
    let Some((first, others)) = list.split_first() else {
        return Body::Unsupported { summary: "articles, to be seen on the phone".to_owned() };
    };
    let mut detail: String = first.digest.chars().take(MAX_DETAIL_CHARS).collect();
    for (at, article) in others.iter().enumerate() {
        let line = format!("{} {}", article.title.replace('\n', " "), article.url);
        let is_full = detail.len() + line.len() > MAX_ARTICLES_BYTES;
        if !detail.is_empty() {
            detail.push('\n');
        }
        if is_full {
            detail += &format!("and {} more on the phone", others.len() - at);
            break;
        }
        detail += &line;
    }
    of_detail(CardKind::Link, &first.title, detail, &first.url, "")
}

fn card(kind: CardKind, title: &str, detail: &str, url: &str, source: &str) -> Body {
    of_detail(kind, title, detail.chars().take(MAX_DETAIL_CHARS).collect(), url, source)
}

fn of_detail(kind: CardKind, title: &str, detail: String, url: &str, source: &str) -> Body {
    Body::Card(Card {
        kind,
        title: title.replace('\n', " "),
        detail,
        url: url.to_owned(),
        place: None,
        source: source.to_owned(),
    })
}

pub(super) fn location(location: &Location) -> Body {
    let degrees =
        |text: &str, limit: f64| text.trim().parse::<f64>().ok().filter(|value| value.abs() <= limit);
    let place = degrees(&location.latitude, 90.0).zip(degrees(&location.longitude, 180.0));
    let title = if location.label.is_empty() { &location.name } else { &location.label };
    let detail = if location.name == *title { "" } else { &location.name };
    match card(CardKind::Location, title, detail, &location.map_url, "") {
        Body::Card(card) => Body::Card(Card { place, ..card }),
        other => other,
    }
}

pub(super) fn name_card(contact: &Contact) -> Body {
    let region = [contact.province.as_str(), contact.city.as_str()].join(" ");
    card(CardKind::NameCard, &contact.nick_name, region.trim(), "", &contact.alias)
}

pub(super) fn call(event: CallEvent) -> Body {
    let title = match event {
        CallEvent::Call | CallEvent::Invited => "a call, to be taken on the phone",
        CallEvent::Ended => "a call has ended",
    };
    card(CardKind::Call, title, "", "", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The detail of a card of so many articles, with the lines that it should have.
    fn detail(count: usize) -> (String, Vec<String>) {
        let article = |at: usize| Article {
            title: format!("标题{at}"),
            url: format!("https://mp.weixin.qq.com/s?__biz={}&idx={at}", "x".repeat(200)),
            ..Article::default()
        };
        let list: Vec<Article> = (0..count).map(article).collect();
        let lines = list.iter().skip(1).map(|article| format!("{} {}", article.title, article.url)).collect();
        let Body::Card(card) = articles(&list) else { panic!() };
        (card.detail, lines)
    }

    #[test]
    fn item_59_all_articles_are_shown_and_none_in_part() {
        let (shown, lines) = detail(8);
        assert_eq!(shown, lines.join("\n"));
        let (shown, lines) = detail(100);
        let shown: Vec<&str> = shown.lines().collect();
        let (last, whole) = shown.split_last().unwrap();
        assert_eq!(whole, &lines[..whole.len()]);
        assert_eq!(*last, format!("and {} more on the phone", 99 - whole.len()));
    }
}
