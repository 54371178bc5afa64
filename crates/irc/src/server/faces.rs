//! Pictures of contacts as links, fetched one after the other when somebody wants to see them.

use std::collections::{BTreeSet, HashMap, VecDeque};

use wxgate_contract::{Answer, Command, MediaId, PersonKey, Reply, Request, Subject, Timestamp};

use super::metadata::Hearer;
use super::registry::Incoming;
use super::roster::PersonIx;
use super::session::Session;

/// Pictures that wait to be asked for; more are asked for when the person speaks again. Chosen.
const MAX_WAITING: usize = 200;
/// Pictures that are remembered; beyond it all are forgotten and asked for anew. Chosen: more than anybody's contacts.
const MAX_KNOWN: usize = 20_000;
/// For how long a picture is taken for the present one, where nothing tells that it changed. Chosen.
const FRESH_MS: i64 = 24 * 3_600_000;
/// When a picture that could not be had is asked for again. Chosen.
const RETRY_MS: i64 = 3_600_000;

/// What came of asking for a picture.
#[derive(Clone, Copy, Debug)]
struct Face {
    /// `None` when there is none, or none that could be had.
    media: Option<MediaId>,
    at: Timestamp,
}

impl Face {
    fn holds(self, now: Timestamp) -> bool {
        let ms = if self.media.is_some() { FRESH_MS } else { RETRY_MS };
        now.ms() - self.at.ms() < ms
    }
}

/// What a session knows of pictures. Links to them end while a session lives for months: they are written when somebody
/// asks.
#[derive(Debug, Default)]
pub(super) struct Faces {
    known: HashMap<PersonKey, Face>,
    waiting: VecDeque<PersonKey>,
    asked: Option<PersonKey>,
}

impl Faces {
    pub(super) fn media(&self, person: &PersonKey) -> Option<MediaId> {
        self.known.get(person)?.media
    }

    /// Somebody changed: their picture may be another.
    pub(super) fn forget(&mut self, person: &PersonKey) {
        self.known.remove(person);
    }

    fn learn(&mut self, person: PersonKey, media: Option<MediaId>, at: Timestamp) {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(person, Face { media, at });
    }

    /// True when the picture was not asked for lately.
    fn want(&mut self, person: &PersonKey, now: Timestamp) -> bool {
        let is_known = self.known.get(person).is_some_and(|face| face.holds(now))
            || self.asked.as_ref() == Some(person)
            || self.waiting.contains(person)
            || self.waiting.len() >= MAX_WAITING;
        if !is_known {
            self.waiting.push_back(person.clone());
        }
        !is_known
    }
}

/// What its files are called.
const NAME: &str = "avatar.jpg";

impl Session {
    /// Somebody wants to see a contact.
    pub(super) fn want_face(&mut self, ix: PersonIx) {
        let Some(key) = self.roster.person(ix).map(|person| person.key.clone()) else { return };
        if self.health_is_up() && self.faces.want(&key, self.shared.clock.now()) {
            self.ask_for_face();
        }
    }

    /// A contact speaks: whoever follows pictures gets theirs, once.
    pub(super) fn want_face_of_speaker(&mut self, person: &PersonKey) {
        let is_followed = self.clients.values().any(|client| client.hears("avatar"));
        if let (true, Some(ix)) = (is_followed, self.roster.by_key(person)) {
            self.want_face(ix);
        }
    }

    /// One at a time: many contacts are no reason to hurry WeChat.
    fn ask_for_face(&mut self) {
        let Some(account) = self.account().cloned() else { return };
        if self.faces.asked.is_some() {
            return;
        }
        let Some(person) = self.faces.waiting.pop_front() else { return };
        self.faces.asked = Some(person.clone());
        let (control, user, own) = (self.shared.control.clone(), self.key.user.clone(), self.own.clone());
        self.tasks.spawn(async move {
            let request = Request::Avatar(Subject::Person(person.clone()));
            let media = match control.run(Some(user), Command::Ask { account, request }).await {
                Ok(Reply::Answer(Answer::Media(media))) => media,
                Ok(_) => None,
                Err(error) => {
                    tracing::debug!(%error, "a picture could not be had");
                    None
                }
            };
            // A session that is gone has nobody to tell.
            if let Some(session) = own.upgrade() {
                let _ = session.send(Incoming::Face(person, media)).await;
            }
        });
    }

    /// The link to a contact's picture, as far as it is known.
    pub(super) fn face_of(&self, person: &PersonKey) -> Option<String> {
        self.shared.media.link(self.faces.media(person)?, NAME)
    }

    /// A picture came, or there is none.
    pub(super) fn face_came(&mut self, person: PersonKey, media: Option<MediaId>) {
        self.faces.asked = None;
        self.faces.learn(person.clone(), media, self.shared.clock.now());
        let link = self.face_of(&person);
        if let (Some(link), Some(ix)) = (&link, self.roster.by_key(&person)) {
            let nick = self.roster.person(ix).map(|person| person.nick.clone()).unwrap_or_default();
            for client in self.clients.values_mut().filter(|client| client.hears("avatar")) {
                let hearer = Hearer::new(client.caps(), &self.shared.config.server_name, &self.nick);
                let line = hearer.told(&nick, "avatar", Some(link));
                client.line(&line);
            }
        }
        self.ask_for_face();
    }
}

impl super::client::Client {
    /// It wants to hear of this key.
    pub(super) fn hears(&self, key: &str) -> bool {
        self.has(super::caps::Caps::METADATA) && self.subscribed.contains(key)
    }
}

/// The keys that a client wants to hear of.
pub(super) type Subscribed = BTreeSet<String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_asked_for_again_when_it_may_be_another() {
        const HOUR_MS: i64 = 3_600_000;
        let mut faces = Faces::default();
        let (with, without) = (PersonKey::new("with"), PersonKey::new("without"));
        let wants = |faces: &mut Faces, person: &PersonKey, hours: i64| {
            let wants = faces.want(person, Timestamp(hours * HOUR_MS));
            faces.waiting.clear();
            wants
        };
        assert!(wants(&mut faces, &with, 0));
        faces.learn(with.clone(), Some(MediaId([1; 16])), Timestamp(0));
        faces.learn(without.clone(), None, Timestamp(0));
        assert!(!wants(&mut faces, &with, 1) && !wants(&mut faces, &with, 23));
        assert!(wants(&mut faces, &with, 24), "nobody may have told of a new one");
        assert!(
            !wants(&mut faces, &without, 0) && wants(&mut faces, &without, 1),
            "one failure is not for good"
        );
        faces.forget(&with);
        assert!(wants(&mut faces, &with, 1) && faces.media(&with).is_none());
    }
}
