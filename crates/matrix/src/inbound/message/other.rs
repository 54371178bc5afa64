//! What WeChat has no form for: said in words.

use serde_json::Value;
use wxgate_contract::{Body, Card, CardKind, map_of};

use super::{Heard, Sentence, reply_to, text_of};

/// Longest key of a reaction that is repeated, in characters. Clients put short texts there as well.
const KEY_CHARS: usize = 32;
/// Answers of a poll that are listed. Source: MSC3381 allows 20.
const ANSWERS: usize = 20;

/// A reaction is a short answer. Source: client-server API, "m.reaction".
pub(super) fn reaction(content: &Value) -> Heard {
    let Some(relation) = content.get("m.relates_to") else { return Heard::Nothing };
    let (key, target) = (text_of(relation, "key"), text_of(relation, "event_id"));
    if key.is_empty() || target.is_empty() {
        return Heard::Nothing;
    }
    // The address of a picture: its short name is all that can be said.
    let shown = match (key.starts_with("mxc://"), text_of(content, "shortcode")) {
        (false, _) => key,
        (true, "") => return Heard::NotHere("a reaction that is a picture cannot be sent to WeChat"),
        (true, name) => name,
    };
    let shown: String = shown.chars().take(KEY_CHARS).collect();
    let mut sentence = Sentence::new(Body::text(format!("[{shown}]")));
    sentence.reply_to = Some(target.to_owned());
    Heard::Said(Box::new(sentence))
}

/// True when the key of a reaction is more than signs: letters, numbers, or the address of a picture with a name.
pub(super) fn reacts_with_words(content: &Value) -> bool {
    /// A digit and this sign, which makes a key of it. Source: Unicode 16.0, "Combining Enclosing Keycap".
    const KEYCAP: char = '\u{20e3}';
    let key = content.get("m.relates_to").map_or("", |relation| text_of(relation, "key"));
    let is_keycap = key.ends_with(KEYCAP) && key.chars().count() <= 3;
    !is_keycap && key.chars().any(char::is_alphanumeric)
}

/// A poll is its question and its answers. Source: MSC3381.
pub(super) fn poll(content: &Value) -> Heard {
    let start = content.get("m.poll").or_else(|| content.get("org.matrix.msc3381.poll.start"));
    let Some(start) = start else { return Heard::NotHere("this poll cannot be read") };
    let mut text = format!("[Poll] {}", start.get("question").map(inner_text).unwrap_or_default());
    let answers = start.get("answers").and_then(Value::as_array);
    for (n, answer) in answers.into_iter().flatten().take(ANSWERS).enumerate() {
        text.push_str(&format!("\n{}. {}", n + 1, inner_text(answer)));
    }
    let mut sentence = Sentence::new(Body::Text { text });
    sentence.reply_to = reply_to(content).map(str::to_owned);
    Heard::Said(Box::new(sentence))
}

/// A text in one of the three forms that polls have used.
fn inner_text(value: &Value) -> String {
    let new = value.get("m.text").and_then(|text| match text {
        Value::Array(all) => all.first()?.get("body")?.as_str(),
        other => other.as_str(),
    });
    let old = value.get("org.matrix.msc1767.text").and_then(Value::as_str);
    new.or(old).or_else(|| value.get("body")?.as_str()).unwrap_or_default().trim().to_owned()
}

/// Source: client-server API, "m.location"; RFC 5870 for the address.
pub(super) fn location(content: &Value) -> Heard {
    let uri = text_of(content, "geo_uri");
    let Some(place) = coordinates(uri) else {
        return Heard::NotHere("the place in it cannot be read");
    };
    let told = content.get("org.matrix.msc3488.location").map(|location| text_of(location, "description"));
    let title = told.filter(|told| !told.is_empty()).unwrap_or_else(|| text_of(content, "body")).to_owned();
    let card = Card {
        kind: CardKind::Location,
        title,
        detail: String::new(),
        url: map_of(place),
        place: Some(place),
        source: String::new(),
    };
    Heard::Said(Box::new(Sentence::new(Body::Card(card))))
}

fn coordinates(uri: &str) -> Option<(f64, f64)> {
    let numbers = uri.strip_prefix("geo:")?.split(';').next()?;
    let mut numbers = numbers.split(',').map(|number| number.trim().parse::<f64>().ok());
    let (latitude, longitude) = (numbers.next()??, numbers.next()??);
    ((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude))
        .then_some((latitude, longitude))
}
