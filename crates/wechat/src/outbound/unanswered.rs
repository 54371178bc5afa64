//! Sends whose answer is still out: an echo can overtake it.
//!
//! The service gives an echo no id of ours, so it is recognised by chat and content.
//! Source: the protocol sheet, section 6.4.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::digest;
use wechat_proto::UserName;
use wechat_proto::message::{App, Body};
use wxgate_contract::DeliveryId;

/// Sends kept open: those in flight and the last uncertain ones. Chosen.
const MAX_OPEN: usize = 32;

/// What an echo is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Hash of the text: no message text is kept.
    Text([u8; 32]),
    /// `MsgType` of a file of some kind.
    File(i64),
}

impl What {
    pub(crate) fn text(text: &str) -> Self {
        let mut hash = [0; 32];
        let digest = digest::digest(&digest::SHA256, text.trim().as_bytes());
        hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self::Text(hash)
    }

    fn of(body: &Body) -> Option<Self> {
        use wechat_proto::message::msg_type;
        Some(match body {
            Body::Text { text, .. } => Self::text(text),
            Body::Image(_) => Self::File(msg_type::IMAGE),
            Body::Video(_) => Self::File(msg_type::VIDEO),
            Body::Sticker(_) => Self::File(msg_type::STICKER),
            Body::App(App::File(_)) => Self::File(msg_type::APP),
            _ => return None,
        })
    }
}

#[derive(Debug)]
struct Open {
    ticket: u64,
    delivery: DeliveryId,
    chat: UserName,
    what: What,
}

/// A lock, not messages: the sync road asks while a send of the same task is in flight, and the
/// answer is needed before the batch is complete.
#[derive(Debug, Default)]
pub(crate) struct Unanswered(Mutex<(u64, VecDeque<Open>)>);

impl Unanswered {
    fn inner(&self) -> MutexGuard<'_, (u64, VecDeque<Open>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A send begins; the ticket closes it.
    pub(crate) fn open(&self, delivery: DeliveryId, chat: &UserName, what: What) -> u64 {
        let mut inner = self.inner();
        let (next, open) = &mut *inner;
        *next += 1;
        if open.len() >= MAX_OPEN {
            open.pop_front();
        }
        open.push_back(Open { ticket: *next, delivery, chat: chat.clone(), what });
        *next
    }

    /// The answer is here.
    pub(crate) fn close(&self, ticket: u64) {
        self.inner().1.retain(|open| open.ticket != ticket);
    }

    /// The delivery that an own message in a sync is the echo of, if one is open; each is found once.
    pub(crate) fn take_echo(&self, chat: &UserName, body: &Body) -> Option<DeliveryId> {
        let mut inner = self.inner();
        if inner.1.is_empty() {
            return None;
        }
        let what = What::of(body)?;
        let at = inner.1.iter().position(|open| open.chat == *chat && open.what == what)?;
        inner.1.remove(at).map(|open| open.delivery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Body {
        Body::Text { text: text.to_owned(), quote: None }
    }

    #[test]
    fn item_72_an_echo_that_overtakes_its_answer_is_found_once() {
        let open = Unanswered::default();
        let (anna, bo) = (UserName::from("@anna"), UserName::from("@bo"));
        let ticket = open.open(DeliveryId(1), &anna, What::text("hi"));
        open.open(DeliveryId(2), &anna, What::text("hi"));
        assert_eq!(open.take_echo(&bo, &text("hi")), None);
        assert_eq!(open.take_echo(&anna, &text("ho")), None);
        assert_eq!(open.take_echo(&anna, &text("hi")), Some(DeliveryId(1)));
        open.close(ticket);
        assert_eq!(open.take_echo(&anna, &text("hi")), Some(DeliveryId(2)));
        assert_eq!(open.take_echo(&anna, &text("hi")), None);
    }

    #[test]
    fn it_is_bounded() {
        let open = Unanswered::default();
        for id in 0..1000 {
            open.open(DeliveryId(id), &UserName::from("@a"), What::File(3));
        }
        assert_eq!(open.inner().1.len(), MAX_OPEN);
    }
}
