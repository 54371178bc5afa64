//! Questions and orders to the supervisor: not durable, answered once.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::context::BoxFuture;
use crate::doors::{Credential, ScramVerifier, SecretLink};
use crate::ids::{ChatKey, MediaId, NetworkId, PersonKey, PersonRef, RemoteId, UserName};
use crate::time::Timestamp;

/// What can be asked of the supervisor.
#[derive(Clone, PartialEq, Eq)]
pub enum Command {
    /// Checks a password, or a token that stands in its place: `Reply::Opened`. Wrong ones are counted, by name and
    /// by address, and beyond some `TooOften` is the answer.
    Authenticate {
        /// Who it may be, where somebody calls themselves by more than one name; the first that fits is let in.
        names: Vec<UserName>,
        /// With what.
        password: String,
        /// From where, if that is known.
        from: Option<IpAddr>,
    },
    /// The same of an administrator of the instance, who comes with what opens that: `Done`; anybody else is denied.
    Administer {
        /// Who says so.
        user: UserName,
        /// With what.
        password: String,
        /// From where, if that is known.
        from: Option<IpAddr>,
    },
    /// What checks SCRAM-SHA-256 for a person: `Reply::Scram`. Only for the gateway itself.
    Scram {
        /// Who wants to log in.
        user: UserName,
        /// From where, if that is known.
        from: Option<IpAddr>,
    },
    /// How such a check ended. It counts as `Authenticate` does: only what is answered with `Done` lets anybody in.
    /// Only for the gateway itself.
    Proved {
        /// Who wants to log in.
        user: UserName,
        /// From where, if that is known.
        from: Option<IpAddr>,
        /// Whether the proof was right.
        is_right: bool,
    },
    /// Whether what somebody came in with still opens this person's doors: `Done`, or `Denied`. Only for the gateway
    /// itself.
    StillOpens {
        /// Whose doors.
        user: UserName,
        /// With what.
        credential: Credential,
    },
    /// Finds the person whose door a client certificate opens: `Reply::User`. Only for the gateway itself.
    Recognise {
        /// SHA-256 of the certificate's DER form, in small hex digits.
        fingerprint: String,
    },
    /// From now on a client certificate opens the door of a person. Durable.
    Trust {
        /// Whose.
        user: UserName,
        /// Which certificate.
        fingerprint: String,
    },
    /// The opposite of `Trust`.
    Distrust {
        /// Whose.
        user: UserName,
        /// Which certificate.
        fingerprint: String,
    },
    /// The certificates that open a person's door: `Reply::Fingerprints`.
    Trusted {
        /// Whose.
        user: UserName,
    },
    /// A link that opens the web pages once, as a person, within minutes: `Reply::Link`.
    OpenPages {
        /// As whom.
        user: UserName,
        /// With what they came in where they ask; the pages open no more than that does.
        credential: Credential,
    },
    /// Adds a WeChat account, signed out.
    AddAccount {
        /// Whose.
        owner: UserName,
        /// Its name, unique on the instance: letters, digits, `-`, `_`, `.`; at most 32 bytes.
        name: String,
    },
    /// Starts signing an account in, or joins the sign-in that is under way.
    SignIn {
        /// Which.
        account: NetworkId,
    },
    /// Ends the session of an account for good.
    SignOut {
        /// Which.
        account: NetworkId,
    },
    /// Signs an account out and forgets it, its chats and its media.
    RemoveAccount {
        /// Which.
        account: NetworkId,
    },
    /// From now on gives a mirroring network what is said in an account. Durable.
    Mirror {
        /// Which account.
        account: NetworkId,
        /// The network that shows it.
        face: NetworkId,
    },
    /// The opposite of `Mirror`; what is on its way still arrives.
    Unmirror {
        /// Which account.
        account: NetworkId,
        /// The network that showed it.
        face: NetworkId,
    },
    /// Finds the person of this instance that somebody on a network is, and makes one when there
    /// is none. Only for networks that know who somebody is. Durable.
    Introduce {
        /// Who.
        person: PersonRef,
    },
    /// Says that somebody on a network is this person of the instance. Durable.
    Identify {
        /// Who.
        person: PersonRef,
        /// Which person of this instance.
        user: UserName,
    },
    /// Asks something of a running account.
    Ask {
        /// Which.
        account: NetworkId,
        /// What.
        request: Request,
    },
}

/// What a running account can be asked. Not durable; answered once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The picture of somebody, into the vault: `Answer::Media`.
    Avatar(Subject),
    /// Chats of which it is not settled who they are: `Answer::Questions`.
    Questions,
    /// The owner says who such a chat is. Final until withdrawn.
    Resolve {
        /// The chat in question.
        chat: ChatKey,
        /// One of those that it may be; `None`: somebody new.
        same_as: Option<ChatKey>,
    },
    /// Why a chat is taken for who it is: `Answer::Text`.
    Why(ChatKey),
    /// Takes the last decision about a chat back.
    Undo(ChatKey),
    /// The owner wants a marker in their own name for people, by which a later sign-in knows them, or wants it
    /// away: `Answer::Text`.
    Mark {
        /// Whose; empty: everybody's.
        chats: Vec<ChatKey>,
        /// Which of the two.
        marking: Marking,
    },
    /// The markers there are: `Answer::Markers`.
    Markers,
    /// Brings people into a group: `Answer::Done` when they are in, `Answer::Invited` when somebody
    /// has to agree first.
    Bring {
        /// Which group.
        group: ChatKey,
        /// Whom.
        people: Vec<PersonKey>,
        /// How many are in it, the owner of the account included.
        present: usize,
    },
    /// Removes people from a group that the owner of the account owns: `Answer::Done`.
    Remove {
        /// Which group.
        group: ChatKey,
        /// Whom.
        people: Vec<PersonKey>,
    },
    /// Gives a group another title: `Answer::Done`.
    Retitle {
        /// Which group.
        group: ChatKey,
        /// The new title.
        title: String,
    },
    /// The owner of the account leaves a group for good: `Answer::Done`. Afterwards only a member can bring them back.
    Leave {
        /// Which group.
        group: ChatKey,
    },
    /// Makes a group of the owner of the account and these people: `Answer::Chat`.
    Gather {
        /// Whom, two at least.
        people: Vec<PersonKey>,
        /// Its title; may be empty.
        title: String,
    },
    /// Who asks to become a contact and can be answered from here: `Answer::FriendRequests`.
    FriendRequests,
    /// Answers somebody who asks to become a contact: `Answer::Done`.
    Befriend {
        /// The post of the request, as its network names it.
        request: RemoteId,
        /// Yes or no.
        verdict: Verdict,
    },
    /// Nothing is asked: the owner has read a chat here. Other faces hear of it in any case.
    Read {
        /// Which.
        chat: ChatKey,
        /// Up to when.
        at: Timestamp,
    },
    /// Tries again what the network gave up while it runs, such as a channel that it was thrown out of:
    /// `Answer::Text` with what that is.
    Retry,
    /// Asked of a face: what the owner of this account can choose about how it is shown there: `Answer::Choices`.
    Choices(NetworkId),
    /// Asked of a face: the owner of this account chooses something: `Answer::Done`.
    Choose {
        /// Which account.
        account: NetworkId,
        /// What: one of the names of `Choices`.
        name: String,
        /// One of its values.
        value: String,
    },
}

/// What somebody who asks is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Yes.
    Accept,
    /// No.
    Decline,
}

/// What is to become of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Marking {
    /// It is written.
    Put,
    /// It is taken away.
    Take,
}

/// A marker in the owner's own name for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The chat with them.
    pub chat: ChatKey,
    /// Its title.
    pub title: String,
    /// How far it is, in words.
    pub state: String,
    /// What the owner's own name for them has to be, for whoever types it themselves; empty where nothing has to
    /// be done.
    pub wanted: String,
}

/// A chat of which it is not settled who it is. What is said in it goes to no known chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The chat for the time being.
    pub chat: ChatKey,
    /// Its title.
    pub title: String,
    /// Those that it may be.
    pub candidates: Vec<Candidate>,
}

/// A known chat that an unsettled one may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which.
    pub chat: ChatKey,
    /// Its title.
    pub title: String,
    /// What speaks for and against it, in words.
    pub evidence: String,
}

/// Somebody who asks to become a contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FriendRequest {
    /// The post of the request, as its network names it.
    pub request: RemoteId,
    /// How they call themselves.
    pub name: String,
    /// What they say.
    pub greeting: String,
    /// When they asked.
    pub at: Timestamp,
}

/// A person or a chat of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// A person.
    Person(PersonKey),
    /// A chat.
    Chat(ChatKey),
}

/// The answer of a running account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Done.
    Done,
    /// Somebody has to agree first.
    Invited,
    /// That chat.
    Chat(ChatKey),
    /// It is in the vault; `None` when there is no such thing.
    Media(Option<MediaId>),
    /// The open questions, most active chats first.
    Questions(Vec<Question>),
    /// Who asks to become a contact, the newest first.
    FriendRequests(Vec<FriendRequest>),
    /// A sentence for people.
    Text(String),
    /// The markers there are, those that need something first.
    Markers(Vec<Marker>),
    /// What can be chosen, and what is.
    Choices(Vec<Choice>),
}

/// Something that the owner of an account chooses about how a face shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Its name, as it is typed on that face.
    pub name: String,
    /// What is in force.
    pub value: String,
    /// All values, each with what it means, as a clause for people.
    pub values: Vec<(String, String)>,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Authenticate { names, .. } => write!(f, "Authenticate({names:?})"),
            Self::Administer { user, .. } => write!(f, "Administer({user:?})"),
            Self::Scram { user, .. } => write!(f, "Scram({user:?})"),
            Self::Proved { user, is_right, .. } => write!(f, "Proved({user:?}, {is_right})"),
            Self::StillOpens { user, credential } => write!(f, "StillOpens({user:?}, {credential:?})"),
            Self::Recognise { fingerprint } => write!(f, "Recognise({fingerprint:?})"),
            Self::Trust { user, fingerprint } => write!(f, "Trust({user:?}, {fingerprint:?})"),
            Self::Distrust { user, fingerprint } => write!(f, "Distrust({user:?}, {fingerprint:?})"),
            Self::Trusted { user } => write!(f, "Trusted({user:?})"),
            Self::OpenPages { user, .. } => write!(f, "OpenPages({user:?})"),
            Self::AddAccount { owner, name } => write!(f, "AddAccount({owner:?}, {name:?})"),
            Self::SignIn { account } => write!(f, "SignIn({account:?})"),
            Self::SignOut { account } => write!(f, "SignOut({account:?})"),
            Self::RemoveAccount { account } => write!(f, "RemoveAccount({account:?})"),
            Self::Mirror { account, face } => write!(f, "Mirror({account:?}, {face:?})"),
            Self::Unmirror { account, face } => write!(f, "Unmirror({account:?}, {face:?})"),
            Self::Introduce { person } => write!(f, "Introduce({person:?})"),
            Self::Identify { person, user } => write!(f, "Identify({person:?}, {user:?})"),
            Self::Ask { account, request } => write!(f, "Ask({account:?}, {request:?})"),
        }
    }
}

/// The answer to a command.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Done.
    Done,
    /// The account was added and is this network now.
    Added(NetworkId),
    /// The sign-in can be followed here.
    SignIn(SignInWatch),
    /// That person of this instance.
    User(UserName),
    /// Who came in, and with what.
    Opened(UserName, Credential),
    /// What checks SCRAM.
    Scram(ScramVerifier),
    /// Fingerprints of certificates.
    Fingerprints(Vec<String>),
    /// An address for one person's browser. Secret: whoever has it first is that person.
    Link(SecretLink),
    /// What the account answered.
    Answer(Answer),
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CommandError {
    /// Wrong user or password; which of the two is not told.
    #[error("wrong user or password")]
    Denied,
    /// Too many wrong attempts were made for this name, or from this address.
    #[error("too many wrong attempts; wait half a minute and try again")]
    TooOften,
    /// There is no such account, or it belongs to somebody else.
    #[error("there is no account {0}")]
    NoSuchAccount(String),
    /// The command does not fit (name taken, quota reached, bad name).
    #[error("{0}")]
    Refused(String),
    /// The gateway itself failed.
    #[error("{0}")]
    Failed(String),
}

/// How far a sign-in is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignInStep {
    /// A code is being fetched, or the phone is being asked.
    Starting,
    /// Show this text as a QR code; the phone scans it.
    ShowQr {
        /// What the code says.
        text: String,
        /// 1 for the first code of this sign-in.
        number: u32,
    },
    /// The phone must confirm.
    ConfirmOnPhone {
        /// True when no code was shown: the phone was asked directly.
        is_push: bool,
        /// The picture of whoever scanned the code, a JPEG in base64, where the service shows it.
        picture: Option<Arc<str>>,
    },
    /// Signed in; contacts are being loaded.
    Loading,
    /// Online.
    Done,
    /// Over without success.
    Failed {
        /// Why, as a clause for people.
        why: String,
    },
}

/// Follows a sign-in: the latest step, and a wake-up at each change.
pub type SignInWatch = watch::Receiver<SignInStep>;

/// The supervisor, as faces and command line see it.
pub trait Control: Send + Sync {
    /// Carries out `command`. `user` limits it to that person's accounts; `None` is the operator.
    fn run(&self, user: Option<UserName>, command: Command) -> BoxFuture<'_, Result<Reply, CommandError>>;
}
