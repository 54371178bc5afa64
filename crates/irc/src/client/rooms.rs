//! The channels of the links: who is there, and whether something may be said there.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::ChatKey;

/// How far we are with a channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Presence {
    Out,
    /// JOIN is on its way.
    Joining(Instant),
    In,
    /// Not let in, or thrown out.
    Barred {
        why: String,
        is_final: bool,
        again_at: Instant,
    },
}

/// One channel.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) key: ChatKey,
    /// As the network writes it.
    pub(super) name: String,
    pub(super) presence: Presence,
    /// Folded nick to the nick as it is written; one list, however many puppets there are.
    pub(super) members: HashMap<String, String>,
    /// Formatting is blocked there.
    pub(super) is_plain: bool,
    /// Who enters is not shown before they say something.
    pub(super) hides_joins: bool,
    /// RELAYMSG was refused there.
    pub(super) no_relaymsg: bool,
    /// A line with a link to many messages was refused there.
    pub(super) no_backlog: bool,
    pub(super) topic: String,
    /// Somebody was there to listen, and since when nobody is.
    had_company: bool,
    deserted: Option<Instant>,
    kicks: u32,
}

impl Room {
    fn new(key: ChatKey) -> Self {
        Self {
            name: key.to_string(),
            key,
            presence: Presence::Out,
            members: HashMap::new(),
            is_plain: false,
            hides_joins: false,
            no_relaymsg: false,
            no_backlog: false,
            topic: String::new(),
            had_company: false,
            deserted: None,
            kicks: 0,
        }
    }

    /// We are in.
    pub(super) fn entered(&mut self) {
        self.presence = Presence::In;
        self.members.clear();
        (self.is_plain, self.hides_joins) = (false, false);
    }

    /// We were thrown out: once it is tried again, the second time it is final.
    pub(super) fn kicked(&mut self, why: String, rejoin: Duration, now: Instant) {
        self.kicks += 1;
        self.members.clear();
        self.presence = Presence::Barred { why, is_final: self.kicks > 1, again_at: now + rejoin };
    }

    /// Somebody made it good: it is entered as if nothing had been. False when nothing was.
    pub(super) fn forgive(&mut self) -> bool {
        let is_barred = matches!(self.presence, Presence::Barred { .. });
        if is_barred {
            (self.presence, self.kicks) = (Presence::Out, 0);
        }
        is_barred
    }

    /// Looks whether anybody but `own` is there.
    pub(super) fn look_around(&mut self, own: &HashSet<String>, now: Instant) {
        let has_company = self.members.keys().any(|nick| !own.contains(nick));
        self.had_company |= has_company;
        self.deserted = match (has_company, self.deserted) {
            (true, _) => None,
            (false, since) => since.or(Some(now)),
        };
    }

    /// True when words find ears: people are there, or there never were any, or they have been away
    /// for longer than a netsplit is waited for.
    pub(super) fn has_ears(&self, company: Duration, now: Instant) -> bool {
        !self.had_company || self.deserted.is_none_or(|since| now >= since + company)
    }
}

/// All channels, by folded name.
#[derive(Debug, Default)]
pub(super) struct Rooms(pub(super) HashMap<String, Room>);

impl Rooms {
    /// Adds what is linked now and takes out what is not; gives the names to be left.
    pub(super) fn link(&mut self, channels: Vec<(String, ChatKey)>) -> Vec<String> {
        let wanted: HashSet<&String> = channels.iter().map(|(folded, _)| folded).collect();
        let gone: Vec<String> = self.0.keys().filter(|name| !wanted.contains(name)).cloned().collect();
        let left = gone.iter().filter_map(|name| self.0.remove(name));
        let left = left.filter(|room| room.presence != Presence::Out).map(|room| room.name).collect();
        for (folded, key) in channels {
            self.0.entry(folded).or_insert_with(|| Room::new(key));
        }
        left
    }

    /// The connection is gone; what was known of company stays known.
    pub(super) fn disconnected(&mut self, now: Instant) {
        for room in self.0.values_mut() {
            room.members.clear();
            room.deserted = Some(now);
            if !matches!(room.presence, Presence::Barred { is_final: true, .. }) {
                room.presence = Presence::Out;
            }
        }
    }

    pub(super) fn by_key(&self, key: &ChatKey) -> Option<&Room> {
        self.0.values().find(|room| room.key == *key)
    }

    pub(super) fn by_key_mut(&mut self, key: &ChatKey) -> Option<&mut Room> {
        self.0.values_mut().find(|room| room.key == *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_wait_for_people_whom_a_split_took_away() {
        let now = Instant::now();
        let own: HashSet<String> = ["relay".to_owned()].into();
        let company = Duration::from_secs(60);
        let mut room = Room::new("#c".into());
        room.entered();
        room.members.insert("relay".into(), "relay".into());
        room.look_around(&own, now);
        assert!(room.has_ears(company, now), "nobody ever was there");
        room.members.insert("bob".into(), "bob".into());
        room.look_around(&own, now);
        assert!(room.has_ears(company, now));
        room.members.remove("bob");
        room.look_around(&own, now);
        assert!(!room.has_ears(company, now + Duration::from_secs(59)));
        assert!(room.has_ears(company, now + company), "they do not come back");
    }

    #[test]
    fn the_second_kick_is_final() {
        let now = Instant::now();
        let mut room = Room::new("#c".into());
        let mut is_final = || {
            room.kicked("no".into(), Duration::ZERO, now);
            matches!(room.presence, Presence::Barred { is_final: true, .. })
        };
        assert_eq!([is_final(), is_final()], [false, true]);
        assert!(room.forgive() && room.presence == Presence::Out);
        assert!(!room.forgive(), "nothing is left to forgive");
        room.kicked("no".into(), Duration::ZERO, now);
        assert!(
            matches!(room.presence, Presence::Barred { is_final: false, .. }),
            "it counts from the beginning"
        );
    }
}
