//! Pictures of contacts as links, fetched one after the other when somebody wants to see them.

use std::collections::{BTreeSet, HashMap, VecDeque};

use wxgate_contract::{Answer, Command, PersonKey, Reply, Request, Subject};

use super::metadata::Hearer;
use super::registry::Incoming;
use super::roster::PersonIx;
use super::session::Session;

/// Pictures that wait to be asked for; more are asked for when the person speaks again. Chosen.
const MAX_WAITING: usize = 200;
/// Links that are remembered; beyond it all are forgotten and made anew. Chosen: more than anybody's contacts.
const MAX_LINKS: usize = 20_000;

/// What a session knows of pictures.
#[derive(Debug, Default)]
pub(super) struct Faces {
    /// By person; `None` when there is no picture, or none that can be had now.
    links: HashMap<PersonKey, Option<String>>,
    waiting: VecDeque<PersonKey>,
    asked: Option<PersonKey>,
}

impl Faces {
    pub(super) fn link(&self, person: &PersonKey) -> Option<String> {
        self.links.get(person).cloned().flatten()
    }

    /// True when the picture was not asked for yet.
    fn want(&mut self, person: &PersonKey) -> bool {
        let is_known = self.links.contains_key(person)
            || self.asked.as_ref() == Some(person)
            || self.waiting.contains(person)
            || self.waiting.len() >= MAX_WAITING;
        if !is_known {
            self.waiting.push_back(person.clone());
        }
        !is_known
    }
}

impl Session {
    /// Somebody wants to see a contact.
    pub(super) fn want_face(&mut self, ix: PersonIx) {
        let Some(key) = self.roster.person(ix).map(|person| person.key.clone()) else { return };
        if self.health_is_up() && self.faces.want(&key) {
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
        let media = self.shared.media.clone();
        self.tasks.spawn(async move {
            let request = Request::Avatar(Subject::Person(person.clone()));
            let link = match control.run(Some(user), Command::Ask { account, request }).await {
                Ok(Reply::Answer(Answer::Media(Some(id)))) => media.link(id, "avatar.jpg"),
                Ok(_) => None,
                Err(error) => {
                    tracing::debug!(%error, "a picture could not be had");
                    None
                }
            };
            // A session that is gone has nobody to tell.
            if let Some(session) = own.upgrade() {
                let _ = session.send(Incoming::Face(person, link)).await;
            }
        });
    }

    /// A picture came, or there is none.
    pub(super) fn face_came(&mut self, person: PersonKey, link: Option<String>) {
        self.faces.asked = None;
        if self.faces.links.len() >= MAX_LINKS {
            self.faces.links.clear();
        }
        if let (Some(link), Some(ix)) = (&link, self.roster.by_key(&person)) {
            let nick = self.roster.person(ix).map(|person| person.nick.clone()).unwrap_or_default();
            for client in self.clients.values_mut().filter(|client| client.hears("avatar")) {
                let hearer = Hearer::new(client.caps(), &self.shared.config.server_name, &self.nick);
                let line = hearer.told(&nick, "avatar", Some(link));
                client.line(&line);
            }
        }
        self.faces.links.insert(person, link);
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
