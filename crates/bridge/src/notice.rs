//! What people are told about their own messages, in one honest sentence.

use wxgate_contract::{Author, Body, ChatRef, DeliveryId, Outcome, Post, RemoteId, Timestamp};

/// Characters of the lost text that a notice repeats. Source: the IRC notes, section 5.
const EXCERPT_CHARS: usize = 40;

/// What is said of an outcome that is not a success, and why it is none.
fn failure(outcome: &Outcome) -> Option<(&str, &str)> {
    match outcome {
        Outcome::Sent { .. } | Outcome::TryLater { .. } => None,
        Outcome::Refused { why } => Some(("was not delivered", why)),
        Outcome::Uncertain { why } => Some(("may not have been delivered", why)),
    }
}

/// The sentence for an outcome that is not a success, where the post cannot be read any more.
pub(crate) fn of_damaged(outcome: &Outcome) -> Option<String> {
    let (verb, why) = failure(outcome)?;
    Some(format!("a message in this chat that cannot be read any more {verb}, because {why}"))
}

/// The sentence for an outcome that is not a success; `None` when there is nothing to tell.
pub(crate) fn sentence(post: &Post, place: &str, outcome: &Outcome) -> Option<String> {
    let (verb, why) = failure(outcome)?;
    let what = excerpt(post);
    let place = if place.is_empty() { String::new() } else { format!(" to {place}") };
    Some(format!("{what} {verb}{place}, because {why}"))
}

/// A line of the gateway in a chat, about a delivery.
pub(crate) fn post(home: &ChatRef, delivery: DeliveryId, text: String, at: Timestamp) -> Post {
    Post {
        remote_id: RemoteId::new(format!("notice/{delivery}")),
        chat: home.clone(),
        author: Author::Gateway,
        at,
        body: Body::text(text),
        quote: None,
        mentions: Vec::new(),
        echo_of: None,
    }
}

fn excerpt(post: &Post) -> String {
    let text = match &post.body {
        Body::Text { text } | Body::Action { text } => text,
        Body::Attachment(file) if !file.name.is_empty() => &file.name,
        Body::Card(card) if !card.title.is_empty() => &card.title,
        Body::Recall { .. } => return "your request to take a message back".to_owned(),
        _ => return "your message".to_owned(),
    };
    let short: String = text.chars().take(EXCERPT_CHARS).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("\"{short}{more}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(text: &str) -> Post {
        Post {
            remote_id: "1".into(),
            chat: ChatRef { network: "a:b".into(), chat: "c".into() },
            author: Author::Owner,
            at: Timestamp(0),
            body: Body::text(text),
            quote: None,
            mentions: Vec::new(),
            echo_of: None,
        }
    }

    #[test]
    fn was_not_and_may_not_have_been_are_told_apart() {
        let refused = Outcome::Refused { why: "you are not a member".to_owned() };
        let told = sentence(&post("hi"), "", &refused);
        assert_eq!(told.as_deref(), Some("\"hi\" was not delivered, because you are not a member"));
        let uncertain = Outcome::Uncertain { why: "the connection broke".to_owned() };
        let told = sentence(&post("hi"), "#b", &uncertain);
        assert_eq!(
            told.as_deref(),
            Some("\"hi\" may not have been delivered to #b, because the connection broke")
        );
        assert_eq!(sentence(&post("hi"), "", &Outcome::Sent { remote_ids: Vec::new() }), None);
    }

    #[test]
    fn a_long_text_is_cut_at_characters() {
        let refused = Outcome::Refused { why: "x".to_owned() };
        let told = sentence(&post(&"家".repeat(100)), "", &refused).unwrap();
        assert!(told.starts_with(&format!("\"{}…\"", "家".repeat(40))));
    }
}
