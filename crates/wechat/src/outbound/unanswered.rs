//! Our own sends as they may come back: an echo can overtake its answer, and the commit of an echo
//! can overtake the far end's record of an answer.
//!
//! The service gives an echo no id of ours. Until the answer it is recognised by chat, content and time,
//! then by the id of the answer.
//! Source: the protocol sheet, section 6.4.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::digest;
use wechat_proto::UserName;
use wechat_proto::message::{App, Body, Message, msg_type};
use wxgate_contract::{DeliveryId, RemoteId, Timestamp};

/// Sends that are remembered: those in flight, the uncertain ones and the last answered. Chosen:
/// an echo comes within seconds.
const MAX_OPEN: usize = 32;
/// An echo was made this near to a try, by a clock that goes before ours or after it. Chosen: a try that hangs is
/// given up within a minute, and a photo that the owner takes on the phone comes later.
const NEAR: Duration = Duration::from_secs(120);
/// Tries of one send whose times are remembered, the last. Chosen: those of some minutes.
const MAX_TRIES: usize = 8;

/// What an echo is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Hash of the text: no message text is kept.
    Text([u8; 32]),
    /// A file of some kind.
    File(File),
    /// Answered: the id it got.
    Answered(RemoteId),
}

/// What a message tells of its file; 0 and empty where it tells nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) msg_type: i64,
    pub(crate) bytes: u64,
    /// Lower-case hex.
    pub(crate) md5: String,
}

impl File {
    /// Whether nothing that both tell says otherwise. What was said twice is seen twice; what is taken for an echo
    /// and is none is never seen.
    fn may_be(&self, other: &Self) -> bool {
        let of_one_size = self.bytes == 0 || other.bytes == 0 || self.bytes == other.bytes;
        let is_told = !self.md5.is_empty() && !other.md5.is_empty();
        self.msg_type == other.msg_type
            && of_one_size
            && (!is_told || self.md5.eq_ignore_ascii_case(&other.md5))
    }
}

impl What {
    pub(crate) fn text(text: &str) -> Self {
        let mut hash = [0; 32];
        let digest = digest::digest(&digest::SHA256, text.trim().as_bytes());
        hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self::Text(hash)
    }

    fn of(body: &Body) -> Option<Self> {
        let file = |msg_type, bytes, md5: &str| Self::File(File { msg_type, bytes, md5: md5.to_owned() });
        Some(match body {
            Body::Text { text, .. } => Self::text(text),
            Body::Image(image) => file(msg_type::IMAGE, image.bytes, &image.md5),
            Body::Video(video) => file(msg_type::VIDEO, video.bytes, ""),
            Body::Sticker(sticker) => file(msg_type::STICKER, 0, &sticker.md5),
            Body::App(App::File(made)) => file(msg_type::APP, made.bytes, ""),
            _ => return None,
        })
    }

    /// Whether a message with this content may be the echo of that send.
    fn may_be(&self, said: &Self) -> bool {
        match (self, said) {
            (Self::File(sent), Self::File(said)) => sent.may_be(said),
            (Self::Text(sent), Self::Text(said)) => sent == said,
            _ => false,
        }
    }
}

#[derive(Debug)]
struct Open {
    ticket: u64,
    delivery: DeliveryId,
    piece: usize,
    chat: UserName,
    what: What,
    /// When it was tried, the last few times.
    tries: VecDeque<Timestamp>,
    /// A try left us and got no answer: whatever becomes of later ones, it may have arrived.
    is_doubtful: bool,
}

impl Open {
    fn was_tried_near(&self, at: Timestamp) -> bool {
        self.tries.iter().any(|tried| at.since(*tried).max(tried.since(at)) <= NEAR)
    }

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
        let tries = VecDeque::new();
        open.push_back(Open { ticket, delivery, piece, chat, what, tries, is_doubtful: false });
        (ticket, false)
    }

    /// A try begins.
    pub(crate) fn tried(&self, ticket: u64, at: Timestamp) {
        if let Some(open) = self.inner().1.iter_mut().find(|open| open.ticket == ticket) {
            open.tries.truncate(MAX_TRIES - 1);
            open.tries.push_front(at);
        }
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

    /// The same, of what was sent to anybody but this one.
    pub(crate) fn may_have_reached_another(&self, delivery: DeliveryId, to: &UserName) -> bool {
        let inner = self.inner();
        let may_have = |open: &Open| open.is_doubtful && !open.is_answered() && open.chat != *to;
        inner.1.iter().any(|open| open.delivery == delivery && may_have(open))
    }

    /// The deliveries that have no answer yet.
    pub(crate) fn deliveries(&self) -> Vec<DeliveryId> {
        self.inner().1.iter().filter(|open| !open.is_answered()).map(|open| open.delivery).collect()
    }

    /// The delivery that an own message in a sync is the echo of, and the ticket to take it by; those that are
    /// `found` already are not found again.
    pub(crate) fn echo(&self, id: &RemoteId, said: &Message, found: &[u64]) -> Option<(u64, DeliveryId)> {
        let inner = self.inner();
        let open = || inner.1.iter().filter(|open| !found.contains(&open.ticket));
        let by_id = |open: &&Open| matches!(&open.what, What::Answered(answered) if answered == id);
        let what = What::of(&said.body);
        let at = Timestamp(said.created_s.saturating_mul(1000));
        let by_content = |open: &&Open| {
            open.chat == said.chat
                && what.as_ref().is_some_and(|what| open.what.may_be(what))
                && open.was_tried_near(at)
        };
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
    use wechat_proto::MsgId;
    use wechat_proto::message::{Image, Sender};

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn said(chat: &UserName, body: Body) -> Message {
        Message {
            id: MsgId::default(),
            chat: chat.clone(),
            sender: Sender::Own,
            created_s: NOW.ms() / 1000,
            body,
            hints: Vec::new(),
            msg_type: 1,
            app_msg_type: 0,
        }
    }

    fn text(chat: &UserName, text: &str) -> Message {
        said(chat, Body::Text { text: text.to_owned(), quote: None })
    }

    fn picture(bytes: u64, md5: &str) -> File {
        File { msg_type: msg_type::IMAGE, bytes, md5: md5.to_owned() }
    }

    /// A send that is under way.
    fn opened(open: &Unanswered, delivery: i64, chat: &UserName, what: What) -> u64 {
        let (ticket, _) = open.open((DeliveryId(delivery), 0), chat, what);
        open.tried(ticket, NOW);
        ticket
    }

    /// Finds an echo and takes it, as a batch that is committed at once does.
    fn taken(open: &Unanswered, id: &RemoteId, chat: &UserName, said: &str) -> Option<DeliveryId> {
        let (ticket, delivery) = open.echo(id, &text(chat, said), &[])?;
        open.take(&[ticket]);
        Some(delivery)
    }

    #[test]
    fn item_72_an_echo_that_overtakes_its_answer_is_found_once() {
        let open = Unanswered::default();
        let (anna, bo, id) = (UserName::from("@anna"), UserName::from("@bo"), RemoteId::from("5"));
        opened(&open, 1, &anna, What::text("hi"));
        let second = opened(&open, 2, &anna, What::text("hi"));
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
        opened(&open, 1, &anna, What::text("hi"));
        opened(&open, 2, &anna, What::text("hi"));
        for _ in 0..2 {
            let (one, delivery) = open.echo(&first, &text(&anna, "hi"), &[]).unwrap();
            let (other, another) = open.echo(&second, &text(&anna, "hi"), &[one]).unwrap();
            assert_eq!([delivery, another], [DeliveryId(1), DeliveryId(2)]);
            assert_eq!(open.echo(&first, &text(&anna, "hi"), &[one, other]), None);
        }
    }

    #[test]
    fn what_was_refused_has_no_echo() {
        let open = Unanswered::default();
        let anna = UserName::from("@anna");
        let ticket = opened(&open, 1, &anna, What::text("hi"));
        open.close(ticket);
        assert_eq!(taken(&open, &RemoteId::from("5"), &anna, "hi"), None);
    }

    #[test]
    fn what_may_have_arrived_stays_open_whatever_becomes_of_later_tries() {
        let open = Unanswered::default();
        let anna = UserName::from("@anna");
        let ticket = opened(&open, 1, &anna, What::text("hi"));
        open.doubt(ticket);
        open.close(ticket);
        assert!(open.is_doubtful(DeliveryId(1)));
        assert_eq!(open.open((DeliveryId(1), 0), &anna, What::text("hi")), (ticket, true));
        assert_eq!(open.deliveries(), [DeliveryId(1)]);
        assert_eq!(taken(&open, &RemoteId::from("5"), &anna, "hi"), Some(DeliveryId(1)));
        assert!(!open.is_doubtful(DeliveryId(1)), "the echo proves it");
    }

    #[test]
    fn what_the_owner_says_on_the_phone_later_is_no_echo_of_what_may_have_arrived() {
        let (anna, id) = (UserName::from("@anna"), RemoteId::from("5"));
        let open = Unanswered::default();
        for (delivery, what) in [(1, What::text("ok")), (2, What::File(picture(0, "")))] {
            let ticket = opened(&open, delivery, &anna, what);
            open.doubt(ticket);
        }
        let after = |seconds: i64, body: &Message| {
            let later = Message { created_s: body.created_s + seconds, ..body.clone() };
            open.echo(&id, &later, &[]).is_some()
        };
        for body in [text(&anna, "ok"), said(&anna, Body::Image(Image::default()))] {
            for (seconds, is_echo) in [(-600, false), (-60, true), (60, true), (600, false)] {
                assert_eq!(after(seconds, &body), is_echo, "{seconds} s, {body:?}");
            }
        }
        // Tried once more, at a later attempt: an echo of either try is one.
        let (ticket, _) = open.open((DeliveryId(1), 0), &anna, What::text("ok"));
        open.tried(ticket, NOW.after(Duration::from_secs(900)));
        let found = |seconds: i64| after(seconds, &text(&anna, "ok"));
        assert_eq!([0, 600, 900, 1500].map(found), [true, false, true, false]);
    }

    #[test]
    fn another_picture_is_no_echo() {
        let (anna, id) = (UserName::from("@anna"), RemoteId::from("5"));
        let open = Unanswered::default();
        opened(&open, 1, &anna, What::File(picture(3000, "0cc175b9c0f1b6a831c399e269772661")));
        let is_echo = |bytes: u64, md5: &str| {
            let image = Image { bytes, md5: md5.to_owned(), ..Image::default() };
            open.echo(&id, &said(&anna, Body::Image(image)), &[]).is_some()
        };
        assert!(is_echo(3000, "0CC175B9C0F1B6A831C399E269772661"));
        assert!(is_echo(0, ""), "what is not told contradicts nothing");
        assert!(!is_echo(48_213, ""));
        assert!(!is_echo(3000, "92eb5ffee6ae2fec3ad71c777531578f"));
    }

    #[test]
    fn it_is_bounded_and_what_was_answered_goes_first() {
        let open = Unanswered::default();
        let anna = UserName::from("@a");
        let doubtful = opened(&open, 0, &anna, What::File(picture(0, "")));
        open.doubt(doubtful);
        for at in 0..1000 {
            open.tried(doubtful, NOW.after(Duration::from_secs(at)));
        }
        assert_eq!(open.inner().1[0].tries.len(), MAX_TRIES);
        for id in 1..1000 {
            let ticket = opened(&open, id, &anna, What::File(picture(0, "")));
            open.answer(ticket, &RemoteId::from("5"));
        }
        assert_eq!(open.inner().1.len(), MAX_OPEN);
        assert!(open.is_doubtful(DeliveryId(0)));
    }
}
