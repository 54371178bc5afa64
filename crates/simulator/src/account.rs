//! One account: its people, its session, what waits for it and what it said.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::ledger::Ledger;
use crate::message::Event;
use crate::people::People;
use crate::seed::{base64_like, hex, mix_all};
use crate::who::Names;
use crate::wire::View;

/// What an account is made of.
#[derive(Debug, Clone)]
pub struct AccountSpec {
    /// Its name in the control API.
    pub name: String,
    /// Its number, the only thing of it that never changes on the wire; must be unique.
    pub uin: u64,
    /// Friends and followed accounts.
    pub contacts: u32,
    /// Groups.
    pub groups: u32,
    /// Members of each group, the owner of the account included.
    pub members_per_group: u32,
}

impl AccountSpec {
    /// An account with these sizes, a number made from its place and groups of eight.
    #[must_use]
    pub fn new(name: &str, place: u32, contacts: u32, groups: u32) -> Self {
        Self {
            name: name.to_owned(),
            uin: 1_048_576_001 + u64::from(place),
            contacts,
            groups,
            members_per_group: 8,
        }
    }
}

/// How `webwxnewloginpage` treats an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Admission {
    /// Lets it in.
    #[default]
    Open,
    /// Refuses with a code and a sentence.
    Refused(i32, String),
    /// Answers with an HTML page: the service wants a browser.
    HtmlPage,
    /// Names another host, which lets it in.
    Elsewhere,
    /// Lets it in, but names `wxsid` and `wxuin` in cookies only.
    CookiesOnly,
}

/// One account of the world.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uin: u64,
    /// One short critical section per request; never held across a wait.
    state: Mutex<State>,
    pub(crate) wake: Notify,
}

/// A file that belongs to a message.
#[derive(Debug, Clone)]
pub(crate) enum Media {
    Made(crate::media::Sort),
    Sent(Bytes, &'static str),
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) people: People,
    pub(crate) admission: Admission,
    pub(crate) logins: u64,
    pub(crate) session: Option<Box<Session>>,
    /// The last session's `wxsid` and the code that its requests are told now.
    pub(crate) ended: Option<(String, i32)>,
    pub(crate) events: VecDeque<Event>,
    /// The position of the first of `events`; positions begin at 1.
    pub(crate) first_position: u64,
    pub(crate) ledger: Ledger,
    pub(crate) media: BTreeMap<u64, Media>,
    pub(crate) auth_ticket: String,
    pub(crate) device: String,
    pub(crate) phone_offline: bool,
}

/// How many files of messages are kept for download.
const MEDIA_KEPT: usize = 4_096;
/// How many delivered events are kept, for clients that come back with an old key.
const EVENTS_KEPT: usize = 512;
/// How many undelivered events an account may have before the oldest is forgotten.
const EVENTS_WAITING: usize = 200_000;

impl Account {
    pub(crate) fn new(spec: &AccountSpec, seed: u64, invalid_utf8: bool) -> Self {
        let seed = mix_all(&[seed, spec.uin]);
        Self {
            name: spec.name.clone(),
            uin: spec.uin,
            state: Mutex::new(State {
                people: People {
                    seed,
                    contacts: spec.contacts.min(0xf_ffff),
                    groups: spec.groups.min(0xf_ffff),
                    members_per_group: spec.members_per_group.min(10_000),
                    own_nick: format!("林{}", spec.name),
                    invalid_utf8,
                    edits: crate::people::Edits::default(),
                },
                admission: Admission::Open,
                logins: 0,
                session: None,
                ended: None,
                events: VecDeque::new(),
                first_position: 1,
                ledger: Ledger::default(),
                media: BTreeMap::new(),
                auth_ticket: format!("CIsB{}=", base64_like(&[seed, 41], 24)),
                device: hex(&[seed, 42], 64),
                phone_offline: false,
            }),
            wake: Notify::new(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The position of the newest event.
    pub(crate) fn head(&self) -> u64 {
        self.first_position + self.events.len() as u64 - 1
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.events.push_back(event);
        if self.events.len() > EVENTS_WAITING {
            self.events.pop_front();
            self.first_position += 1;
        }
    }

    /// Forgets events up to `position`, except the last few.
    pub(crate) fn acknowledge(&mut self, position: u64) {
        let done = position.saturating_sub(self.first_position - 1);
        let done = usize::try_from(done).unwrap_or(usize::MAX);
        for _ in EVENTS_KEPT..done {
            if self.events.pop_front().is_none() {
                return;
            }
            self.first_position += 1;
        }
    }

    /// The events after `position`, at most `limit`.
    pub(crate) fn after(&self, position: u64, limit: usize) -> impl Iterator<Item = &Event> {
        let skip = (position + 1).saturating_sub(self.first_position);
        self.events.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).take(limit)
    }

    pub(crate) fn keep_media(&mut self, msg_id: u64, media: Media) {
        self.media.insert(msg_id, media);
        if self.media.len() > MEDIA_KEPT {
            self.media.pop_first();
        }
    }

    /// The session's view of the people, if there is a session.
    pub(crate) fn view(&self) -> Option<View<'_>> {
        let session = self.session.as_deref()?;
        Some(View { people: &self.people, names: session.names, skey: &session.skey })
    }
}

/// A text that was sent, for the suppression of repeats.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) client_msg_id: String,
    pub(crate) print: u64,
    pub(crate) msg_id: u64,
}

/// A file on its way in.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) client_media_id: String,
    pub(crate) chunks: u64,
    pub(crate) next: u64,
    pub(crate) total: u64,
    pub(crate) data: Vec<u8>,
}

/// A file that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) media_id: String,
    pub(crate) media_type: String,
    pub(crate) data: Bytes,
}

/// One login.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) names: Names,
    pub(crate) sid: String,
    pub(crate) skey: String,
    /// Decoded.
    pub(crate) pass_ticket: String,
    pub(crate) data_ticket: String,
    /// The ticket before the last refresh, and until when a request under way may still carry it.
    pub(crate) old_ticket: Option<(String, u64)>,
    pub(crate) login_s: u64,
    pub(crate) host: String,
    /// A print of the `User-Agent` and of the last `DeviceID`.
    pub(crate) agent: u64,
    pub(crate) device: u64,
    pub(crate) desktop: bool,
    pub(crate) inited: bool,
    pub(crate) synced: bool,
    pub(crate) syncs_open: u32,
    pub(crate) checks_open: u32,
    pub(crate) answers: u32,
    pub(crate) sent: VecDeque<Sent>,
    pub(crate) uploads: Vec<Upload>,
    pub(crate) stored: VecDeque<Stored>,
    /// MD5s that `webwxcheckupload` admitted, with what it issued.
    pub(crate) large: BTreeMap<String, (String, String)>,
    pub(crate) asked_groups: BTreeSet<u32>,
    pub(crate) announced_groups: BTreeSet<u32>,
    pub(crate) asked_media: BTreeSet<u64>,
    /// Answer this many polls with this selector although nothing is new.
    pub(crate) forced_selector: Option<(u8, u32)>,
    /// Answer the next sync with this skey as the new one.
    pub(crate) renew_skey: bool,
}

impl Session {
    pub(crate) fn new(seed: u64, login: u64, now_s: u64, host: String, desktop: bool) -> Self {
        let key = mix_all(&[seed, login, 51]);
        // `+` and `/` are in the sid and the ticket on purpose: clients must encode them.
        let sid = format!(
            "{}+{}/{}",
            base64_like(&[key, 1], 6),
            base64_like(&[key, 2], 4),
            base64_like(&[key, 3], 4)
        );
        let pass_ticket = format!(
            "{}/{}+{}=",
            base64_like(&[key, 4], 8),
            base64_like(&[key, 5], 8),
            base64_like(&[key, 6], 40)
        );
        Self {
            names: Names { key },
            sid,
            skey: Self::make_skey(key, 0),
            pass_ticket,
            data_ticket: Self::make_ticket(key, 0),
            old_ticket: None,
            login_s: now_s,
            host,
            agent: 0,
            device: 0,
            desktop,
            inited: false,
            synced: false,
            syncs_open: 0,
            checks_open: 0,
            answers: 0,
            sent: VecDeque::new(),
            uploads: Vec::new(),
            stored: VecDeque::new(),
            large: BTreeMap::new(),
            asked_groups: BTreeSet::new(),
            announced_groups: BTreeSet::new(),
            asked_media: BTreeSet::new(),
            forced_selector: None,
            renew_skey: false,
        }
    }

    pub(crate) fn make_skey(key: u64, round: u64) -> String {
        format!("@crypt_{}_{}", hex(&[key, round, 61], 8), hex(&[key, round, 62], 32))
    }

    pub(crate) fn make_ticket(key: u64, round: u64) -> String {
        format!("gQ{}", base64_like(&[key, round, 63], 26))
    }

    /// Whether `ticket` is the current `webwx_data_ticket`, or was until a moment ago.
    pub(crate) fn knows_ticket(&self, ticket: &str, now_ms: u64) -> bool {
        ticket == self.data_ticket
            || self.old_ticket.as_ref().is_some_and(|(old, until)| old == ticket && now_ms < *until)
    }
}
