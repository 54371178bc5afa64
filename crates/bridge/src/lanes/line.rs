//! The lanes of one network: how each stands, and whose turn it is.
//!
//! A network that mirrors accounts has lanes of all of them. Each account has a queue of its own, the accounts take
//! turns, and the more places one of them holds the more it must leave free: files of one account, which may take a
//! quarter of an hour, are no reason that a text of another one waits.

use std::collections::{HashMap, VecDeque};

use wxgate_contract::{ChatKey, ChatRef, DeliveryId, NetworkId};

use super::IN_FLIGHT;

/// An account that holds places gets one more while it holds fewer than so many times what is free. Chosen: one alone
/// holds three quarters of all places, of several that want more each holds the same, and something is free for the next.
const OF_FREE: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// In its account's queue.
    Ready,
    /// Being read from the store; `again` when it was woken meanwhile.
    Reading { again: bool },
    /// This one is in the adapter's hands.
    InHand(DeliveryId),
    /// This one cannot be read and is being closed, which no adapter has a part in.
    Closing(DeliveryId),
    /// Nothing before its timer.
    Waiting,
}

impl Mark {
    /// It has one of the network's places.
    fn is_busy(self) -> bool {
        matches!(self, Self::Reading { .. } | Self::InHand(_) | Self::Closing(_))
    }
}

/// Whose chat a lane mirrors; `None` for a chat of the network's own, which nobody shares places with.
type Account = Option<NetworkId>;

fn account_of(chat: &ChatKey) -> Account {
    ChatRef::mirrored_by(chat).map(|mirrored| mirrored.network)
}

/// What one account has of a network; kept while there is something.
#[derive(Default)]
struct Share {
    waiting: VecDeque<ChatKey>,
    busy: usize,
}

#[derive(Default)]
pub(super) struct Line {
    pub(super) is_up: bool,
    marks: HashMap<ChatKey, Mark>,
    in_hand: HashMap<DeliveryId, ChatKey>,
    busy: usize,
    shares: HashMap<Account, Share>,
    /// Accounts with lanes that wait, the next one first.
    turns: VecDeque<Account>,
}

impl Line {
    pub(super) fn mark(&self, chat: &ChatKey) -> Option<Mark> {
        self.marks.get(chat).copied()
    }

    /// The lane of a delivery that is in the adapter's hands.
    pub(super) fn holding(&self, delivery: DeliveryId) -> Option<&ChatKey> {
        self.in_hand.get(&delivery)
    }

    /// Marks a lane, and counts what follows from it; `None` when there is nothing more in it. One that becomes ready
    /// stands last in its account's queue.
    pub(super) fn set(&mut self, chat: &ChatKey, mark: Option<Mark>) {
        let was = match mark {
            Some(mark) => self.marks.insert(chat.clone(), mark),
            None => self.marks.remove(chat),
        };
        let account = account_of(chat);
        let share = self.shares.entry(account.clone()).or_default();
        if was.is_some_and(Mark::is_busy) {
            self.busy -= 1;
            share.busy -= 1;
        }
        if mark.is_some_and(Mark::is_busy) {
            self.busy += 1;
            share.busy += 1;
        }
        if let Some(Mark::InHand(delivery)) = was {
            self.in_hand.remove(&delivery);
        }
        if let Some(Mark::InHand(delivery)) = mark {
            self.in_hand.insert(delivery, chat.clone());
        }
        if mark == Some(Mark::Ready) && was != mark {
            if share.waiting.is_empty() {
                self.turns.push_back(account.clone());
            }
            share.waiting.push_back(chat.clone());
        }
        if share.busy == 0 && share.waiting.is_empty() {
            self.shares.remove(&account);
        }
    }

    /// The lane whose turn it is, which is being read from now on; `None` when nobody may have more.
    pub(super) fn next(&mut self) -> Option<ChatKey> {
        let free = IN_FLIGHT.saturating_sub(self.busy);
        if !self.is_up || free == 0 {
            return None;
        }
        let may = |account: &Account| {
            let busy = self.shares.get(account).map_or(0, |share| share.busy);
            account.is_none() || busy < OF_FREE * free
        };
        // Whoever is passed over holds some of the places: they are few.
        let at = self.turns.iter().position(may)?;
        let account = self.turns.remove(at)?;
        let share = self.shares.get_mut(&account)?;
        let chat = share.waiting.pop_front()?;
        if !share.waiting.is_empty() {
            self.turns.push_back(account);
        }
        self.set(&chat, Some(Mark::Reading { again: false }));
        Some(chat)
    }

    /// The adapter's run is over: what it had in hand is first in its account's queue, and is told here.
    pub(super) fn down(&mut self) -> Vec<(ChatKey, DeliveryId)> {
        self.is_up = false;
        let held = self.in_hand.iter().map(|(delivery, chat)| (chat.clone(), *delivery));
        let mut held: Vec<(ChatKey, DeliveryId)> = held.collect();
        // Always in the same order, so that a simulated run can be had again.
        held.sort_unstable();
        for (chat, _) in &held {
            self.set(chat, Some(Mark::Ready));
            if let Some(share) = self.shares.get_mut(&account_of(chat)) {
                share.waiting.rotate_right(1);
            }
        }
        held
    }
}

#[cfg(test)]
impl Line {
    /// What is counted and what is marked agree, or a network would come to a standstill, or be given too much. Says
    /// how many lanes wait for a timer.
    pub(super) fn check(&self, network: &NetworkId) -> usize {
        let count = |is: fn(&Mark) -> bool| self.marks.values().filter(|mark| is(mark)).count();
        let shares = || self.shares.values();
        assert_eq!(self.busy, count(|mark| mark.is_busy()), "lanes of {network} in work");
        assert_eq!(
            self.busy,
            shares().map(|share| share.busy).sum::<usize>(),
            "lanes of accounts in work for {network}"
        );
        assert_eq!(
            self.in_hand.len(),
            count(|mark| matches!(mark, Mark::InHand(_))),
            "in the hands of {network}"
        );
        let waiting: usize = shares().map(|share| share.waiting.len()).sum();
        assert_eq!(waiting, count(|mark| *mark == Mark::Ready), "lanes of {network} in queues");
        let queues = shares().filter(|share| !share.waiting.is_empty()).count();
        assert_eq!(self.turns.len(), queues, "turns of {network}");
        let most = IN_FLIGHT * OF_FREE / (OF_FREE + 1);
        let is_fair = |(account, share): (&Account, &Share)| account.is_none() || share.busy <= most;
        assert!(self.shares.iter().all(is_fair), "an account has all places of {network}");
        count(|mark| *mark == Mark::Waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(account: &str, at: usize) -> ChatKey {
        format!("net:{account}/{at}").into()
    }

    fn line(accounts: &[&str], lanes: usize) -> Line {
        let mut line = Line { is_up: true, ..Line::default() };
        for account in accounts {
            (0..lanes).for_each(|at| line.set(&lane(account, at), Some(Mark::Ready)));
        }
        line
    }

    /// Hands out what may be, and says how many lanes of each account are in work then.
    fn fill(line: &mut Line, accounts: &[&str]) -> Vec<usize> {
        while line.next().is_some() {}
        line.check(&"face".into());
        let of = |account: &&str| line.shares.get(&Some(format!("net:{account}").into()));
        accounts.iter().map(|account| of(account).map_or(0, |share| share.busy)).collect()
    }

    #[test]
    fn an_account_with_many_lanes_leaves_room_for_one_that_comes_later() {
        let mut line = line(&["many"], 1_000);
        assert_eq!(fill(&mut line, &["many"]), [48]);
        line.set(&lane("late", 1), Some(Mark::Ready));
        assert_eq!(line.next(), Some(lane("late", 1)), "nothing was settled meanwhile");
        assert_eq!(line.next(), None);
    }

    #[test]
    fn accounts_take_turns_and_come_to_hold_the_same() {
        let mut line = line(&["a", "b", "c"], 100);
        let first: Vec<ChatKey> = std::iter::from_fn(|| line.next()).take(6).collect();
        assert_eq!(
            first,
            [lane("a", 0), lane("b", 0), lane("c", 0), lane("a", 1), lane("b", 1), lane("c", 1)]
        );
        assert_eq!(fill(&mut line, &["a", "b", "c"]), [20, 19, 19]);
        (0..100).for_each(|at| line.set(&lane("d", at), Some(Mark::Ready)));
        // What the others are done with goes to the one that has less.
        for at in 0..10 {
            for account in ["a", "b", "c"] {
                line.set(&lane(account, at), None);
                fill(&mut line, &[]);
            }
        }
        let held = fill(&mut line, &["a", "b", "c", "d"]);
        assert!(held.iter().all(|held| (14..=16).contains(held)), "{held:?}");
    }

    #[test]
    fn a_network_that_mirrors_nobody_gives_all_its_places_to_its_own_chats() {
        let mut line = Line { is_up: true, ..Line::default() };
        (0..100).for_each(|at| line.set(&format!("#{at}").into(), Some(Mark::Ready)));
        fill(&mut line, &[]);
        assert_eq!(line.busy, IN_FLIGHT);
    }

    #[test]
    fn what_was_in_hand_at_an_end_is_first_in_its_queue_and_nothing_is_held_any_more() {
        let mut line = line(&["a", "b"], 3);
        assert_eq!((line.next(), line.next()), (Some(lane("a", 0)), Some(lane("b", 0))));
        line.set(&lane("a", 0), Some(Mark::InHand(DeliveryId(7))));
        assert_eq!(line.holding(DeliveryId(7)), Some(&lane("a", 0)));
        assert_eq!(line.down(), [(lane("a", 0), DeliveryId(7))]);
        line.check(&"face".into());
        assert_eq!((line.next(), line.holding(DeliveryId(7))), (None, None));
        line.is_up = true;
        assert_eq!(line.next(), Some(lane("a", 0)));
        assert_eq!(line.mark(&lane("b", 0)), Some(Mark::Reading { again: false }), "a read goes on");
    }
}
