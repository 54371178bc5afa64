//! Which of the waiting files is fetched next.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::{MediaId, PendingMedia};

/// Downloads at a time. Chosen: one large video must not hold up the pictures.
const AT_ONCE: usize = 4;
/// Of these, files of one room. Chosen: twenty videos of one room must not hold up the pictures of the others.
const OF_A_ROOM: usize = 2;
/// Of these, files that were tried before. Chosen: an address that never answers holds its place for minutes.
const AGAIN: usize = 2;
/// Tries of a file that the homeserver refuses: one of another homeserver may come late. Chosen: a minute, in which that
/// one may have been started again.
const TRIES: u32 = 6;
/// Tries of a file that something in between does not let through while the homeserver itself is there. Chosen: more
/// than an hour, in which an operator has looked; each may have brought nearly the whole file.
const CUT_TRIES: u32 = 25;
/// Pause before a refused file is tried again; doubles.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest pause before a file is tried again. Chosen.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How many waiting files are looked at together. Chosen: several rooms' worth.
const PAGE: usize = 256;
/// When so many are put off, no other is begun before one of these has ended. Chosen: what is listed each time.
const MOST_PUT_OFF: usize = 2_048;

/// A file that waits, and the room that it was sent to.
pub(super) struct Waiting {
    pub(super) pending: PendingMedia,
    pub(super) room: String,
}

/// How often a file was tried in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tries {
    refused: u32,
    cut: u32,
}

/// What stood in the way of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hitch {
    /// The homeserver does not give it, or we could not store it.
    Refused,
    /// The connection broke, or something in between answered.
    Cut,
}

impl Tries {
    /// This one was the last.
    pub(super) fn are_over(self, hitch: Hitch) -> bool {
        match hitch {
            Hitch::Refused => self.refused + 1 >= TRIES,
            Hitch::Cut => self.cut + 1 >= CUT_TRIES,
        }
    }

    /// With one more, and how long to wait now. `first` is the pause after which a homeserver is tried again.
    fn after(self, hitch: Hitch, first: Duration) -> (Self, Duration) {
        let (tries, pause, times) = match hitch {
            Hitch::Refused => (Self { refused: self.refused + 1, ..self }, PAUSE, self.refused),
            Hitch::Cut => (Self { cut: self.cut + 1, ..self }, first, self.cut),
        };
        (tries, pause.saturating_mul(1 << times.min(16)).min(LONGEST_PAUSE))
    }
}

/// How a download ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It waits no more.
    Settled,
    /// It waits for another try.
    PutOff(Hitch),
    /// The homeserver asks to slow down, for so long.
    Limited(Duration),
}

/// A download under way.
struct Running {
    room: String,
    is_again: bool,
}

/// What is under way, and what was put off.
#[derive(Default)]
pub(super) struct Queue {
    running: HashMap<MediaId, Running>,
    /// How often, and until when.
    put_off: HashMap<MediaId, (Tries, Instant)>,
    /// Nothing is begun before.
    not_before: Option<Instant>,
}

impl Queue {
    /// True when it is worth listing what waits.
    pub(super) fn has_room(&self) -> bool {
        self.running.len() < AT_ONCE && self.not_before.is_none_or(|at| at <= Instant::now())
    }

    /// How many to list: what cannot be begun now hides nothing behind it.
    pub(super) fn limit(&self) -> usize {
        PAGE + self.put_off.len() + self.running.len()
    }

    /// Takes the next one out of what waits, oldest first; gives how often it was tried.
    pub(super) fn next(&mut self, waiting: &mut Vec<Waiting>) -> Option<(PendingMedia, Tries)> {
        if !self.has_room() {
            return None;
        }
        let best = |(at, waiting): (usize, &Waiting)| Some((self.rank(waiting)?, at));
        let (_, at) = waiting.iter().enumerate().filter_map(best).min()?;
        let Waiting { pending, room } = waiting.remove(at);
        let tries = self.put_off.get(&pending.media).map(|(tries, _)| *tries);
        self.running.insert(pending.media, Running { room, is_again: tries.is_some() });
        Some((pending, tries.unwrap_or_default()))
    }

    /// The lower, the sooner; `None` for what cannot be begun now.
    fn rank(&self, Waiting { pending, room }: &Waiting) -> Option<(bool, usize)> {
        if self.running.contains_key(&pending.media) {
            return None;
        }
        let until = self.put_off.get(&pending.media).map(|(_, until)| *until);
        let may_begin = match until {
            Some(until) => {
                until <= Instant::now() && self.running.values().filter(|one| one.is_again).count() < AGAIN
            }
            None => self.put_off.len() < MOST_PUT_OFF,
        };
        let of_room = self.running.values().filter(|one| one.room == *room).count();
        (may_begin && of_room < OF_A_ROOM).then_some((until.is_some(), of_room))
    }

    /// A download has ended.
    pub(super) fn ended(&mut self, media: MediaId, end: End, first: Duration) {
        self.running.remove(&media);
        let now = Instant::now();
        match end {
            End::Settled => drop(self.put_off.remove(&media)),
            End::PutOff(hitch) => {
                let tries = self.put_off.get(&media).map(|(tries, _)| *tries).unwrap_or_default();
                let (tries, pause) = tries.after(hitch, first);
                self.put_off.insert(media, (tries, now + pause));
            }
            End::Limited(after) => self.pause(after.max(first)),
        }
    }

    /// Begins nothing for so long.
    pub(super) fn pause(&mut self, pause: Duration) {
        self.not_before = self.not_before.max(Some(Instant::now() + pause));
    }

    /// This is all that waits, as far as it was asked for: what was put off and is not in it waits no more.
    pub(super) fn forget_others(&mut self, page: &[PendingMedia]) {
        if self.put_off.is_empty() {
            return;
        }
        let waits: std::collections::HashSet<MediaId> = page.iter().map(|pending| pending.media).collect();
        self.put_off.retain(|media, _| waits.contains(media) || self.running.contains_key(media));
    }

    /// When to look next, `latest` at the latest. What could be begun and has no room is looked at when one ends.
    pub(super) fn wakes(&self, latest: Instant) -> Instant {
        let now = Instant::now();
        let due = self.put_off.values().map(|(_, until)| *until).chain(self.not_before);
        due.filter(|at| *at > now).min().map_or(latest, |due| due.min(latest))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const FIRST: Duration = Duration::from_millis(500);

    fn waits(n: u16, room: &str) -> Waiting {
        let media = MediaId(std::array::from_fn(|at| n.to_be_bytes()[at % 2]));
        let pending = PendingMedia { media, source: Bytes::new(), name: String::new(), mime: String::new() };
        Waiting { pending, room: room.to_owned() }
    }

    fn begun(queue: &mut Queue, mut waiting: Vec<Waiting>) -> Vec<MediaId> {
        std::iter::from_fn(|| queue.next(&mut waiting).map(|(pending, _)| pending.media)).collect()
    }

    fn ids(all: &[u16]) -> Vec<MediaId> {
        all.iter().map(|n| waits(*n, "").pending.media).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_had_now_hides_nothing_behind_it() {
        let mut queue = Queue::default();
        for n in 0..1_000 {
            let mut waiting = vec![waits(n, &n.to_string())];
            let (pending, tries) = queue.next(&mut waiting).unwrap();
            assert_eq!(tries, Tries::default());
            queue.ended(pending.media, End::PutOff(Hitch::Cut), FIRST);
        }
        assert!(queue.limit() >= 1_000 + PAGE);
        tokio::time::advance(Duration::from_secs(1)).await;
        let all = (0..1_002).map(|n| waits(n, &n.to_string())).collect();
        // What is new comes first, and then as many that were tried before as may.
        assert_eq!(begun(&mut queue, all), ids(&[1_000, 1_001, 0, 1]));
        let now = Instant::now();
        let latest = now + Duration::from_secs(60);
        assert_eq!(queue.wakes(latest), latest, "what is due and has no room waits for an end");
        queue.forget_others(&[waits(5, "").pending]);
        assert_eq!(queue.put_off.len(), 3, "two under way and one that waits");
    }

    #[tokio::test(start_paused = true)]
    async fn one_room_leaves_places_to_the_others() {
        let mut queue = Queue::default();
        let rooms = ["a", "a", "a", "a", "b", "c", "b"];
        let all = || (0..).zip(rooms).map(|(n, room)| waits(n, room)).collect::<Vec<_>>();
        assert_eq!(begun(&mut queue, all()), ids(&[0, 4, 5, 1]));
        queue.ended(ids(&[5])[0], End::Settled, FIRST);
        let left = all().into_iter().filter(|waiting| waiting.room != "c").collect();
        assert_eq!(begun(&mut queue, left), ids(&[6]), "the first room has as many as it may");
    }

    #[tokio::test(start_paused = true)]
    async fn tries_end_and_a_homeserver_that_wants_to_be_asked_less_costs_none() {
        for (hitch, most) in [(Hitch::Refused, TRIES), (Hitch::Cut, CUT_TRIES)] {
            let (mut queue, begin) = (Queue::default(), Instant::now());
            let mut count = 1;
            loop {
                let (pending, tries) = queue.next(&mut vec![waits(1, "a")]).unwrap();
                if tries.are_over(hitch) {
                    break;
                }
                count += 1;
                queue.ended(pending.media, End::PutOff(hitch), FIRST);
                assert!(queue.next(&mut vec![waits(1, "a")]).is_none());
                tokio::time::advance(queue.wakes(begin + Duration::from_secs(86_400)) - Instant::now()).await;
                let (pending, now) = queue.next(&mut vec![waits(1, "a")]).unwrap();
                queue.ended(pending.media, End::Limited(Duration::from_secs(7)), FIRST);
                assert!(queue.next(&mut vec![waits(2, "b")]).is_none(), "it is asked for nothing");
                tokio::time::advance(Duration::from_secs(7)).await;
                assert_eq!(now, queue.put_off[&pending.media].0);
            }
            assert_eq!(count, most);
            let minutes = begin.elapsed().as_secs() / 60;
            assert!((1..180).contains(&minutes), "{hitch:?}: {minutes}");
        }
    }
}
