//! What waits to be seen to, what is being seen to, and what is tried again later.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use wxgate_contract::{ChatRef, NetworkId, PersonRef, Subject};

use super::{About, Chore};

/// Chores that may wait; beyond it everything is looked through instead. Chosen: an address book.
const WAITING: usize = 4096;
/// Of those, the ones that a look through everything does not find again. Chosen: half leaves room for what it finds.
const KEPT: usize = WAITING / 2;
/// How long a chore that did not work is left alone; doubles up to the cap. Others have their turn meanwhile: one room
/// that the homeserver cannot handle must not keep everybody else's waiting.
const PUT_OFF: Duration = Duration::from_millis(500);
const LONGEST_PUT_OFF: Duration = Duration::from_secs(60);
/// After how long an account that was slow to give a picture is asked for pictures again.
const SLOW: Duration = Duration::from_secs(600);
/// The same for the picture it was slow with: all others have their turn before.
const SLOW_PICTURE: Duration = Duration::from_secs(1800);
/// Of those under way, how many may need answers of one account while others wait: it may be slow to answer.
const OF_ONE_ACCOUNT: usize = 2;

#[derive(Default)]
struct Waiting {
    chores: BTreeSet<Chore>,
    /// Those under way.
    busy: Vec<Chore>,
    /// About what the last try did not work. Bounded: each belongs to a chore that waits or is under way, or to one of
    /// the few pictures of the last half hour that were slow.
    put_off: HashMap<About, PutOff>,
    everything: bool,
}

struct PutOff {
    until: Instant,
    pause: Duration,
    /// Somebody was slow, whatever else became of the chore.
    is_slow: bool,
}

impl Waiting {
    /// The chore whose turn it is, or when the first of those that are put off has its turn.
    fn next(&self, now: Instant) -> Result<Chore, Option<Instant>> {
        let busy: Vec<About> = self.busy.iter().map(Chore::about).collect();
        let mut fallback = None;
        let mut due: Option<Instant> = None;
        for chore in &self.chores {
            let about = chore.about();
            if busy.contains(&about) {
                continue;
            }
            match self.put_off.get(&about).filter(|put_off| put_off.until > now) {
                Some(put_off) => due = Some(due.map_or(put_off.until, |due| due.min(put_off.until))),
                None if chore.account().is_none_or(|account| self.under_way(account) < OF_ONE_ACCOUNT) => {
                    return Ok(chore.clone());
                }
                None => fallback = fallback.or(Some(chore)),
            }
        }
        fallback.cloned().ok_or(due)
    }

    fn under_way(&self, account: &NetworkId) -> usize {
        self.busy.iter().filter(|busy| busy.account() == Some(account)).count()
    }

    fn insert(&mut self, chore: Chore) {
        if self.chores.len() >= WAITING {
            self.chores.retain(|chore| !chore.is_found_again());
            if self.chores.len() > KEPT {
                self.chores.retain(|chore| !chore.is_made_good());
            }
            self.put_off.clear();
            self.everything = true;
        }
        self.chores.insert(chore);
    }
}

/// What waits.
#[derive(Default)]
pub(crate) struct Chores {
    // Added to by every part of the run, for the length of an insertion.
    waiting: Mutex<Waiting>,
    bell: Notify,
}

impl Chores {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, chore: Chore) {
        self.waiting().insert(chore);
        self.bell.notify_one();
    }

    /// Something may have been missed.
    pub(crate) fn look_through_everything(&self) {
        self.waiting().everything = true;
        self.bell.notify_one();
    }

    /// The next one that nobody is at; it is under way until it is [`Self::finish`]ed or [`Self::put_off`]. When there
    /// is none, the error says when there will be one of those that are put off.
    pub(super) fn take(&self) -> Result<Chore, Option<Instant>> {
        let mut waiting = self.waiting();
        let chore = waiting.next(Instant::now())?;
        waiting.chores.remove(&chore);
        let about = chore.about();
        if waiting.put_off.get(&about).is_some_and(|put_off| put_off.is_slow) {
            waiting.put_off.remove(&about);
        }
        waiting.busy.push(chore.clone());
        Ok(chore)
    }

    /// It is done, or given up.
    pub(super) fn finish(&self, chore: &Chore) {
        let mut waiting = self.waiting();
        waiting.busy.retain(|busy| busy != chore);
        let about = chore.about();
        if waiting.put_off.get(&about).is_some_and(|put_off| !put_off.is_slow) {
            waiting.put_off.remove(&about);
        }
        drop(waiting);
        // Another one may have waited for it.
        self.bell.notify_one();
    }

    /// It did not work, and is tried again after others.
    pub(super) fn put_off(&self, chore: Chore) {
        let mut waiting = self.waiting();
        waiting.busy.retain(|busy| *busy != chore);
        let about = chore.about();
        let pause = match waiting.put_off.get(&about) {
            Some(before) => (before.pause * 2).min(LONGEST_PUT_OFF),
            None => PUT_OFF,
        };
        waiting.insert(chore);
        waiting.put_off.insert(about, PutOff { until: Instant::now() + pause, pause, is_slow: false });
        drop(waiting);
        self.bell.notify_one();
    }

    /// An account was slow to give this picture: none of its pictures is asked for until [`SLOW`] is over.
    pub(crate) fn is_slow(&self, account: &NetworkId, subject: &Subject) {
        let network = account.clone();
        let picture = match subject.clone() {
            Subject::Person(person) => About::Person(PersonRef { network, person }),
            Subject::Chat(chat) => About::Room(ChatRef { network, chat }),
        };
        let mut waiting = self.waiting();
        let now = Instant::now();
        waiting.put_off.retain(|_, put_off| !put_off.is_slow || put_off.until > now);
        waiting.insert(Chore::Pictures(account.clone()));
        for (about, pause) in [(About::Pictures(account.clone()), SLOW), (picture, SLOW_PICTURE)] {
            waiting.put_off.insert(about, PutOff { until: now + pause, pause, is_slow: true });
        }
    }

    /// Whether an account may be asked for a picture.
    pub(crate) fn may_be_asked(&self, account: &NetworkId) -> bool {
        let waiting = self.waiting();
        let put_off = waiting.put_off.get(&About::Pictures(account.clone()));
        put_off.is_none_or(|put_off| put_off.until <= Instant::now())
    }

    /// Until something was added or finished, or it is that late.
    pub(super) async fn rung(&self, at: Option<Instant>) {
        match at {
            Some(at) => drop(tokio::time::timeout_at(at, self.bell.notified()).await),
            None => self.bell.notified().await,
        }
    }

    pub(super) fn takes_everything(&self) -> bool {
        std::mem::take(&mut self.waiting().everything)
    }

    /// So many that a look through everything should not add to them.
    pub(super) fn are_many(&self) -> bool {
        self.waiting().chores.len() > WAITING / 2
    }
}

#[cfg(test)]
mod tests {
    use wxgate_contract::Timestamp;

    use super::*;

    fn person(n: usize) -> Chore {
        Chore::Ghost(PersonRef { network: "wechat:a".into(), person: n.to_string().into() })
    }

    #[test]
    fn ten_changes_are_one_chore() {
        let chores = Chores::default();
        (0..10).for_each(|_| chores.add(person(1)));
        assert_eq!(chores.take(), Ok(person(1)));
        assert_eq!(chores.take(), Err(None));
    }

    #[test]
    fn nobody_is_at_the_same_thing_twice() {
        let chores = Chores::default();
        let Chore::Ghost(first) = person(1) else { unreachable!() };
        chores.add(person(1));
        assert_eq!(chores.take(), Ok(person(1)));
        chores.add(person(1));
        chores.add(Chore::Picture(first.clone()));
        chores.add(person(2));
        assert_eq!((chores.take(), chores.take()), (Ok(person(2)), Err(None)));
        chores.finish(&person(1));
        assert_eq!((chores.take(), chores.take()), (Ok(person(1)), Err(None)));
        chores.finish(&person(1));
        assert_eq!(chores.take(), Ok(Chore::Picture(first)));
    }

    #[test]
    fn too_many_chores_become_a_look_through() {
        let chores = Chores::default();
        (0..=WAITING).for_each(|n| chores.add(person(n)));
        assert!(chores.waiting().chores.len() <= WAITING);
        assert!(chores.takes_everything() && !chores.takes_everything());
    }

    #[test]
    fn what_a_look_through_does_not_find_is_kept_as_long_as_it_is_not_too_much() {
        let chores = Chores::default();
        let Chore::Ghost(first) = person(1) else { unreachable!() };
        let kept = [Chore::Picture(first), Chore::Replaced("DEVICE".to_owned())];
        kept.iter().for_each(|chore| chores.add(chore.clone()));
        (0..=WAITING).for_each(|n| chores.add(person(n)));
        assert!(kept.iter().all(|chore| chores.waiting().chores.contains(chore)));
        let read = |n: usize| {
            Chore::ReadElsewhere(
                ChatRef { network: "wechat:a".into(), chat: n.to_string().into() },
                Timestamp(0),
            )
        };
        (0..=2 * WAITING).for_each(|n| chores.add(read(n)));
        assert!(chores.waiting().chores.len() <= WAITING);
        assert!(!chores.waiting().chores.contains(&kept[0]) && chores.waiting().chores.contains(&kept[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_work_lets_others_by_and_is_tried_again() {
        let chores = Chores::default();
        chores.add(person(1));
        chores.add(person(2));
        assert_eq!(chores.take(), Ok(person(1)));
        chores.put_off(person(1));
        assert_eq!(chores.take(), Ok(person(2)));
        // Asked for again: that does not bring it back earlier.
        chores.add(person(1));
        let begun = Instant::now();
        let Err(Some(due)) = chores.take() else { panic!("it is tried again at once") };
        assert_eq!(due - begun, PUT_OFF);
        while let Err(due) = chores.take() {
            chores.rung(due).await;
        }
        assert_eq!(begun.elapsed(), PUT_OFF);
        chores.put_off(person(1));
        assert_eq!(chores.take(), Err(Some(Instant::now() + 2 * PUT_OFF)));
        (0..20).for_each(|_| chores.put_off(person(1)));
        assert_eq!(chores.take(), Err(Some(Instant::now() + LONGEST_PUT_OFF)));
        tokio::time::sleep(LONGEST_PUT_OFF).await;
        assert_eq!(chores.take(), Ok(person(1)));
        chores.finish(&person(1));
        chores.add(person(1));
        assert_eq!(chores.take(), Ok(person(1)), "it worked: nothing is held against it");
    }

    #[test]
    fn an_account_that_may_be_slow_leaves_turns_to_others() {
        let chores = Chores::default();
        (0..4).for_each(|n| chores.add(person(n)));
        let other = Chore::Room(ChatRef { network: "wechat:b".into(), chat: "c".into() });
        assert_eq!((chores.take(), chores.take()), (Ok(person(0)), Ok(person(1))));
        let last = Chore::Ghost(PersonRef { network: "wechat:z".into(), person: "p".into() });
        chores.add(last.clone());
        assert_eq!(chores.take(), Ok(last));
        assert_eq!(chores.take(), Ok(person(2)), "nobody else waits");
        chores.add(other.clone());
        chores.add(Chore::Account("wechat:c".into()));
        assert_eq!(chores.take(), Ok(Chore::Account("wechat:c".into())), "its owner is to hear of it first");
        assert_eq!(chores.take(), Ok(other));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_account_is_left_alone_for_a_while() {
        let (chores, slow) = (Chores::default(), NetworkId::from("wechat:a"));
        assert!(chores.may_be_asked(&slow));
        chores.add(person(1));
        assert_eq!(chores.take(), Ok(person(1)));
        chores.is_slow(&slow, &Subject::Person("1".into()));
        chores.finish(&person(1));
        assert!(!chores.may_be_asked(&slow) && chores.may_be_asked(&"wechat:b".into()));
        assert_eq!(chores.take(), Err(Some(Instant::now() + SLOW)));
        tokio::time::sleep(SLOW).await;
        assert!(chores.may_be_asked(&slow));
        let pictures = Chore::Pictures(slow.clone());
        assert_eq!(chores.take(), Ok(pictures.clone()));
        // The slow one has its turn long after the others.
        (1..=2).for_each(|n| chores.add(person(n)));
        assert_eq!(chores.take(), Ok(person(2)));
        chores.is_slow(&slow, &Subject::Person("2".into()));
        chores.finish(&person(2));
        chores.finish(&pictures);
        assert!(!chores.may_be_asked(&slow), "it was slow again while they were looked for");
        tokio::time::sleep(SLOW).await;
        assert_eq!(chores.take(), Ok(pictures.clone()));
        chores.finish(&pictures);
        assert_eq!(chores.take(), Err(Some(Instant::now() + SLOW_PICTURE - 2 * SLOW)));
        tokio::time::sleep(SLOW_PICTURE).await;
        assert_eq!(chores.take(), Ok(person(1)));
    }
}
