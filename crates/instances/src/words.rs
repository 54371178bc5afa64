//! What leader and workers say to each other: MessagePack, each word in a frame of its own.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wxgate_contract::{
    AdapterError, Answer, Batch, ChatKey, ChatProfile, ChatRef, CommandError, Committed, Delivery,
    DeliveryId, FarError, Health, HistoryRange, Loading, MediaError, MediaId, MediaInfo, MediaOwner,
    NetworkId, Outcome, PendingMedia, PersonKey, PersonProfile, Request, SignInStep, Spoken, TimelineItem,
};

/// One run of an account on a worker. The leader gives the numbers, each once.
pub(crate) type RunId = u64;

/// A worker's words.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToLeader {
    /// First of all. Whoever says it runs nothing.
    Hello {
        /// How the instance is called.
        name: String,
        /// The process, by a number of chance: the same one when it comes back.
        instance: u64,
        /// The program's version: others speak other words.
        version: String,
    },
    /// It is still there; each asks for a `Pong`.
    Ping(u64),
    /// An adapter asks something of its context; asks for an `Answer` with the same number.
    Call {
        run: RunId,
        call: u64,
        what: Box<Call>,
    },
    Health {
        run: RunId,
        health: Health,
    },
    Step {
        run: RunId,
        step: SignInStep,
    },
    Loading {
        run: RunId,
        how: Option<Loading>,
    },
    /// What an account answers that was asked; the last word on that question.
    Answered {
        run: RunId,
        ask: u64,
        answer: Result<Answer, CommandError>,
    },
    /// A run is over. Nothing of it is left.
    Ended {
        run: RunId,
        network: NetworkId,
        how: Ended,
    },
    /// It is told to stop: nothing more is to be lent to it.
    Leaving,
    /// Nothing runs here any more, and nothing will.
    Bye,
}

/// How a run came to its end on a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ended {
    Stopped,
    Failed(AdapterError),
    Panicked,
}

/// The leader's words.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The answer to `Hello`.
    Welcome {
        leader: String,
        /// Length of all leases on this line.
        lease_ms: u64,
    },
    /// The other answer, and the last word.
    Refused {
        why: String,
    },
    Pong(u64),
    Run {
        run: RunId,
        network: NetworkId,
        seed: [u8; 32],
    },
    /// A run has to come to its end, within the grace period.
    Stop {
        run: RunId,
    },
    Deliver {
        run: RunId,
        delivery: Box<Delivery>,
    },
    SignIn {
        run: RunId,
    },
    SignOut {
        run: RunId,
    },
    Ask {
        run: RunId,
        ask: u64,
        request: Request,
    },
    Answer {
        call: u64,
        answer: Box<Reply>,
    },
}

/// What an adapter asks of its context: `FarEnd`, `Directory` and `MediaVault`, as far as an account uses them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    Commit(Box<Batch>),
    Settle(DeliveryId, Outcome),
    Behind(Box<Delivery>, usize),
    Note(String),
    NotesOf(Vec<String>),
    Notes {
        prefix: String,
        after: Option<String>,
        limit: usize,
    },
    People(NetworkId, Vec<PersonKey>),
    Chat(ChatRef),
    History {
        network: NetworkId,
        chat: Option<ChatKey>,
        range: HistoryRange,
        limit: usize,
    },
    Spoken(NetworkId, usize),
    /// Opens an attachment for writing: `Reply::Opened`.
    Write {
        media: MediaId,
        name: String,
        mime: String,
        owner: MediaOwner,
    },
    /// Opens one for reading: `Reply::Opened`.
    Read {
        media: MediaId,
        offset: u64,
    },
    /// The next piece of what is written.
    Put {
        file: u64,
        piece: Bytes,
    },
    /// The next piece of what is read: `Reply::Piece`.
    Get {
        file: u64,
    },
    /// Makes what was written durable: `Reply::Info`.
    Finish {
        file: u64,
    },
    /// Nobody uses it any more.
    Close {
        file: u64,
    },
    Info(MediaId),
    Fail(MediaId, String),
    Pending(NetworkId, usize),
}

impl Call {
    /// Whether it changes what a later one of the same run may change again.
    pub(crate) fn writes(&self) -> bool {
        matches!(self, Self::Commit(_) | Self::Settle(..))
    }
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// To any question: it cannot be told over the line, for this reason.
    Impossible(String),
    Committed(Result<Committed, FarError>),
    /// To `Settle`.
    Done(Result<(), FarError>),
    Deliveries(Result<Vec<Delivery>, FarError>),
    Note(Result<Option<Bytes>, FarError>),
    Notes(Result<Vec<(String, Bytes)>, FarError>),
    People(Result<Vec<PersonProfile>, FarError>),
    Chat(Result<Option<ChatProfile>, FarError>),
    History(Result<Vec<TimelineItem>, FarError>),
    Spoken(Result<Vec<Spoken>, FarError>),
    /// By which number a file goes from here on.
    Opened(Result<u64, MediaError>),
    /// To `Put`, `Fail` and `Close`.
    Stored(Result<(), MediaError>),
    Piece(Result<Option<Bytes>, MediaError>),
    Info(Result<Option<MediaInfo>, MediaError>),
    Pending(Result<Vec<PendingMedia>, MediaError>),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wxgate_contract::{Author, Body, ChatRef, Job, Note, Post, PostId, Report, Timestamp};

    use super::*;

    fn there_and_back<T: Serialize + serde::de::DeserializeOwned>(word: &T) -> T {
        rmp_serde::from_slice(&rmp_serde::to_vec_named(word).unwrap()).unwrap()
    }

    fn post() -> Post {
        Post {
            remote_id: "1".into(),
            chat: ChatRef { network: "wechat:a".into(), chat: "c".into() },
            author: Author::Owner,
            at: Timestamp(5),
            body: Body::Text { text: "早 ☀".to_owned() },
            quote: None,
            mentions: Vec::new(),
            echo_of: Some(DeliveryId(7)),
        }
    }

    #[test]
    fn words_come_out_as_they_went_in() {
        let batch = Batch {
            posts: vec![post()],
            notes: vec![
                Note {
                    key: "k".to_owned(),
                    value: Some(Bytes::from_static(&[0, 255, 128])),
                    is_secret: true,
                },
                Note { key: "gone".to_owned(), value: None, is_secret: false },
            ],
            ..Batch::default()
        };
        let call =
            ToLeader::Call { run: u64::MAX, call: 3, what: Box::new(Call::Commit(Box::new(batch.clone()))) };
        let ToLeader::Call { run, call, what } = there_and_back(&call) else { panic!() };
        let Call::Commit(got) = *what else { panic!() };
        assert_eq!((run, call, got.posts, got.notes), (u64::MAX, 3, batch.posts, batch.notes));
        let report = Job::Report(Report {
            post: PostId(1),
            remote_id: "r".into(),
            fate: wxgate_contract::Fate::NotDelivered { why: "no".to_owned() },
            native_ids: vec!["n".into()],
        });
        let delivery = Box::new(Delivery { id: DeliveryId(9), attempt: 2, chat: "c".into(), job: report });
        let ToWorker::Deliver { delivery: got, .. } =
            there_and_back(&ToWorker::Deliver { run: 1, delivery: delivery.clone() })
        else {
            panic!()
        };
        assert_eq!(got, delivery);
        let later = Outcome::TryLater { after: Duration::from_millis(1500), why: "busy".to_owned() };
        let Call::Settle(_, got) = there_and_back(&Call::Settle(DeliveryId(1), later.clone())) else {
            panic!()
        };
        assert_eq!(got, later);
        let step = SignInStep::ConfirmOnPhone { is_push: false, picture: Some("abc".into()) };
        let ToLeader::Step { step: got, .. } = there_and_back(&ToLeader::Step { run: 1, step: step.clone() })
        else {
            panic!()
        };
        assert_eq!(got, step);
    }
}
