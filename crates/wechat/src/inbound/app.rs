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

/// All articles: the first one is the card, the others are lines of its detail.
pub(super) fn articles(list: &[Article]) -> Body {
    let Some((first, others)) = list.split_first() else {
        return Body::Unsupported { summary: "articles, to be seen on the phone".to_owned() };
    };
    let mut detail = first.digest.clone();
    for article in others {
        if !detail.is_empty() {
            detail.push('\n');
        }
        detail += &format!("{} {}", article.title, article.url);
    }
    card(CardKind::Link, &first.title, &detail, &first.url, "")
}

fn card(kind: CardKind, title: &str, detail: &str, url: &str, source: &str) -> Body {
    Body::Card(Card {
        kind,
        title: title.replace('\n', " "),
        detail: detail.chars().take(MAX_DETAIL_CHARS).collect(),
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
