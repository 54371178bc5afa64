//! Clients that come and go, and what reaches a session otherwise.

use std::collections::{BTreeMap, BTreeSet};

use super::{Session, one_line};
use crate::server::client::{Client, Mode};
use crate::server::names;
use crate::server::registry::{Arrival, ClientId, Incoming, Refusal};
use crate::server::sasl::Sasl;
use crate::wire::casemap::is_same;

impl Session {
    pub(super) async fn incoming(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Attach(arrival) => self.arrived(*arrival).await,
            Incoming::Line(client, line, turn) => self.line(client, &line, turn).await,
            Incoming::BadText(client, line) => self.unreadable_line(client, &line),
            Incoming::TooLong(client) => self.long_line(client),
            Incoming::Drained(client) => {
                self.go_on(client);
                self.pump(client).await;
            }
            Incoming::Gone(client) => self.left(client).await,
            Incoming::Told(client, asking, told) => self.told(client, *asking, told).await,
            Incoming::Answered(client, sent, answer) => self.errand_done(client, *sent, answer),
            Incoming::Face(person, media) => self.face_came(person, media),
            Incoming::Chosen => self.chosen_elsewhere().await,
            Incoming::CursorsKept(are_kept) => self.cursors_kept(are_kept),
            Incoming::SignIn(client, account, step) => self.sign_in_step(client, &account, &step),
        }
    }

    pub(super) async fn arrived(&mut self, arrival: Arrival) {
        self.put_out_closed().await;
        let limit = self.shared.config.limits.connections_per_account;
        if self.clients.len() >= limit {
            // A connection that is gone needs no answer.
            let why = format!("more than {limit} connections to this account");
            let _ = arrival.taken.send(Err(Refusal::Why(why)));
            return self.end_if_alone();
        }
        if arrival.taken.is_closed() {
            return self.end_if_alone();
        }
        if self.clients.is_empty() {
            self.nick = arrival.nick.clone();
            let service = &self.shared.config.service_nick;
            self.roster.reserve(&[service]);
            let now = self.shared.clock.now();
            if self.roster.by_nick(&self.nick, now).is_some() {
                // A contact had the nick first and keeps it.
                let roster = &self.roster;
                let taken = |folded: &str| roster.by_nick(folded, now).is_some() || is_same(folded, service);
                self.nick = names::free_name(&self.nick, names::NICK_BYTES, taken);
            }
            self.roster.reserve(&[service, &self.nick]);
            // One is called as in WeChat, where that is known. Source: the IRC notes, section 4.
            let own_name = one_line(&self.own_name);
            self.realname = match names::cut_text(&own_name, names::REALNAME_BYTES) {
                "" => arrival.realname.clone(),
                own_name => own_name.to_owned(),
            };
            self.away.clone_from(&arrival.away);
            self.user = match self.key.guest {
                Some(_) => names::guest_user(&arrival.username),
                None => names::own_user(&arrival.username, self.key.user.as_str()),
            };
            self.step_aside();
            if let Err(refusal) = self.enter_hall() {
                // A connection that is gone needs no answer.
                let _ = arrival.taken.send(Err(refusal));
                return self.end_if_alone();
            }
            self.enter_local_channels();
        }
        let id = arrival.id;
        let client = Client {
            id,
            queue: arrival.queue,
            negotiation: arrival.negotiation,
            name: arrival.client_name,
            address: arrival.address,
            is_secure: arrival.is_secure,
            fingerprint: arrival.fingerprint,
            credential: arrival.credential,
            mode: Mode::Reading,
            sent_seq: 0,
            floor_seq: 0,
            asked_seq: 0,
            asked_at: None,
            confirmed_seq: 0,
            unasked: None,
            monitored: BTreeMap::new(),
            subscribed: BTreeSet::new(),
            sasl: Sasl::default(),
            held: None,
            open_batch: None,
            failed_batches: Vec::new(),
            capture: None,
            answer: None,
            is_dirty: true,
        };
        self.sit(&client);
        self.clients.insert(id, client);
        if arrival.taken.send(Ok(())).is_err() {
            self.clients.remove(&id);
            self.stand_up(id, "connection closed");
            return self.end_if_alone();
        }
        // What it came in with may have been taken away on its way here, when this session heard of it for nobody.
        self.look_at_doors(Some(id)).await;
        self.take_early(id, arrival.metadata).await;
        self.welcome(id, &arrival.nick).await;
    }

    /// A connection that was closed from here, as by KILL, is over, also while its last lines are still written.
    async fn put_out_closed(&mut self) {
        let closed = self.clients.values().filter(|client| client.queue.is_closed()).map(|client| client.id);
        for id in closed.collect::<Vec<_>>() {
            self.left(id).await;
        }
    }

    pub(in crate::server) async fn left(&mut self, id: ClientId) {
        self.flush_held(id).await;
        self.talks.remove(&id);
        if let Some(client) = self.clients.remove(&id) {
            client.queue.close(b"");
            self.stand_up(id, "connection closed");
            self.save_cursors().await;
            self.end_if_alone();
        }
    }

    /// A session ends with its last client, also where that one is gone before it was taken.
    fn end_if_alone(&mut self) {
        self.is_over = self.clients.is_empty();
    }
}
