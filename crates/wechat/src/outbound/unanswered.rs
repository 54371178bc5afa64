//! Our own sends as they may come back: an echo can overtake its answer, and the commit of an echo
//! can overtake the far end's record of an answer.
//!
//! The service gives an echo no id of ours. Until the answer it is recognised by chat and content,
//! then by the id of the answer.
//! Source: the protocol sheet, section 6.4.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::digest;
use wechat_proto::UserName;
use wechat_proto::message::{App, Body};
use wxgate_contract::{DeliveryId, RemoteId};

/// Sends that are remembered: those in flight, the uncertain ones and the last answered. Chosen:
/// an echo comes within seconds.
const MAX_OPEN: usize = 32;

/// What an echo is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Hash of the text: no message text is kept.
    Text([u8; 32]),
    /// `MsgType` of a file of some kind.
    File(i64),
    /// Answered: the id it got.
    Answered(RemoteId),
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
    piece: usize,
    chat: UserName,
    what: What,
    /// A try left us and got no answer: whatever becomes of later ones, it may have arrived.
    is_doubtful: bool,
}

impl Open {
    fn is_answered(&self) -> bool {
        matches!(self.what, What::Answered(_))
    }
}

/// A lock, not messages: the sync road asks while a send of the same task is in flight, and the
/// answer is needed before the batch is complete.
#[derive(Debug, Default)]
pub(crate) struct Unanswered(Mutex<(u64, VecDeque<Open>)>);

impl Unanswered {
    fn inner(&self) -> MutexGuard<'_, (u64, VecDeque<Open>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A send begins; the ticket closes it. The same piece at a later attempt has the same ticket if an earlier
    /// one may have arrived, which is said.
    pub(crate) fn open(
        &self,
        (delivery, piece): (DeliveryId, usize),
        chat: &UserName,
        what: What,
    ) -> (u64, bool) {
        let mut inner = self.inner();
        let (next, open) = &mut *inner;
        let known = open.iter().find(|open| open.delivery == delivery && open.piece == piece);
        if let Some(known) = known.filter(|open| open.is_doubtful && !open.is_answered()) {
            return (known.ticket, true);
        }
        *next += 1;
        if open.len() >= MAX_OPEN {
            // What was answered is known by its id in the store too, or will be in a moment.
            let at = open.iter().position(Open::is_answered).unwrap_or(0);
            open.remove(at);
        }
        let (ticket, chat) = (*next, chat.clone());
        open.push_back(Open { ticket, delivery, piece, chat, what, is_doubtful: false });
        (ticket, false)
    }

    /// A try got no answer: it may have arrived.
    pub(crate) fn doubt(&self, ticket: u64) {
        if let Some(open) = self.inner().1.iter_mut().find(|open| open.ticket == ticket) {
            open.is_doubtful = true;
        }
    }

    /// It was said, and this is its id.
    pub(crate) fn answer(&self, ticket: u64, id: &RemoteId) {
        if let Some(open) = self.inner().1.iter_mut().find(|open| open.ticket == ticket) {
            open.what = What::Answered(id.clone());
        }
    }

    /// This try was not said. What an earlier one may have said stays open: an echo in a later sync still proves
    /// that it arrived.
    pub(crate) fn close(&self, ticket: u64) {
        self.inner().1.retain(|open| open.ticket != ticket || open.is_doubtful);
    }

    /// Whether something of a delivery may have arrived that got no answer.
    pub(crate) fn is_doubtful(&self, delivery: DeliveryId) -> bool {
        let inner = self.inner();
        inner.1.iter().any(|open| open.delivery == delivery && open.is_doubtful && !open.is_answered())
    }

    /// The deliveries that have no answer yet.
    pub(crate) fn deliveries(&self) -> Vec<DeliveryId> {
        self.inner().1.iter().filter(|open| !open.is_answered()).map(|open| open.delivery).collect()
    }

    /// The delivery that an own message in a sync is the echo of, and the ticket to take it by; those that are
    /// `found` already are not found again.
    pub(crate) fn echo(
        &self,
        id: &RemoteId,
        (chat, body): (&UserName, &Body),
        found: &[u64],
    ) -> Option<(u64, DeliveryId)> {
        let inner = self.inner();
        let open = || inner.1.iter().filter(|open| !found.contains(&open.ticket));
        let by_id = |open: &&Open| matches!(&open.what, What::Answered(answered) if answered == id);
        let what = What::of(body);
        let by_content = |open: &&Open| open.chat == *chat && what.as_ref() == Some(&open.what);
        let echoed = open().find(by_id).or_else(|| open().find(by_content))?;
        Some((echoed.ticket, echoed.delivery))
    }

    /// These echoes are on disk: each was found for the last time. Not before: a batch that could not be committed is
    /// read from the service once more.
    pub(crate) fn take(&self, echoes: &[u64]) {
        if !echoes.is_empty() {
            self.inner().1.retain(|open| !echoes.contains(&open.ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Body {
        Body::Text { text: text.to_owned(), quote: None }
    }

    /// Finds an echo and takes it, as a batch that is committed at once does.
    fn taken(open: &Unanswered, id: &RemoteId, chat: &UserName, said: &str) -> Option<DeliveryId> {
        let (ticket, delivery) = open.echo(id, (chat, &text(said)), &[])?;
        open.take(&[ticket]);
        Some(delivery)
    }

    #[test]
    fn item_72_an_echo_that_overtakes_its_answer_is_found_once() {
        let open = Unanswered::default();
        let (anna, bo, id) = (UserName::from("@anna"), UserName::from("@bo"), RemoteId::from("5"));
        open.open((DeliveryId(1), 0), &anna, What::text("hi"));
        let (second, _) = open.open((DeliveryId(2), 0), &anna, What::text("hi"));
        assert_eq!(taken(&open, &id, &bo, "hi"), None);
        assert_eq!(taken(&open, &id, &anna, "ho"), None);
        open.answer(second, &id);
        assert_eq!(taken(&open, &id, &anna, "hi"), Some(DeliveryId(2)), "the id says which");
        assert_eq!(taken(&open, &id, &anna, "hi"), Some(DeliveryId(1)));
        assert_eq!(taken(&open, &id, &anna, "hi"), None);
    }

    #[test]
    fn two_messages_of_one_batch_are_the_echoes_of_two_sends_and_found_again_if_it_fails() {
        let open = Unanswered::default();
        let (anna, first, second) = (UserName::from("@anna"), RemoteId::from("5"), RemoteId::from("6"));
        open.open((DeliveryId(1), 0), &anna, What::text("hi"));
        open.open((DeliveryId(2), 0), &anna, What::text("hi"));
        for _ in 0..2 {
            let (one, delivery) = open.echo(&first, (&anna, &text("hi")), &[]).unwrap();
            let (other, another) = open.echo(&second, (&anna, &text("hi")), &[one]).unwrap();
            assert_eq!([delivery, another], [DeliveryId(1), DeliveryId(2)]);
            assert_eq!(open.echo(&first, (&anna, &text("hi")), &[one, other]), None);
        }
    }

    #[test]
    fn what_was_refused_has_no_echo() {
        let open = Unanswered::default();
        let anna = UserName::from("@anna");
        let (ticket, _) = open.open((DeliveryId(1), 0), &anna, What::text("hi"));
        open.close(ticket);
        assert_eq!(taken(&open, &RemoteId::from("5"), &anna, "hi"), None);
    }

    #[test]
    fn what_may_have_arrived_stays_open_whatever_becomes_of_later_tries() {
        let open = Unanswered::default();
        let anna = UserName::from("@anna");
        let (ticket, _) = open.open((DeliveryId(1), 0), &anna, What::text("hi"));
        open.doubt(ticket);
        open.close(ticket);
        assert!(open.is_doubtful(DeliveryId(1)));
        assert_eq!(open.open((DeliveryId(1), 0), &anna, What::text("hi")), (ticket, true));
        assert_eq!(open.deliveries(), [DeliveryId(1)]);
        assert_eq!(taken(&open, &RemoteId::from("5"), &anna, "hi"), Some(DeliveryId(1)));
        assert!(!open.is_doubtful(DeliveryId(1)), "the echo proves it");
    }

    #[test]
    fn it_is_bounded_and_what_was_answered_goes_first() {
        let open = Unanswered::default();
        let anna = UserName::from("@a");
        let (doubtful, _) = open.open((DeliveryId(0), 0), &anna, What::File(3));
        open.doubt(doubtful);
        for id in 1..1000 {
            let (ticket, _) = open.open((DeliveryId(id), 0), &anna, What::File(3));
            open.answer(ticket, &RemoteId::from("5"));
        }
        assert_eq!(open.inner().1.len(), MAX_OPEN);
        assert!(open.is_doubtful(DeliveryId(0)));
    }
}
