//! What may be done a little later: names, pictures, members, spaces. Latest wins; nothing that was
//! said waits for it.
//!
//! A chore is done when its turn comes, on what is true then, so ten changes of a chat are one
//! chore. What is lost in a crash is found by looking through all rooms at the start.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;
use wxgate_contract::{ChatRef, NetworkId, PersonRef, Stop, Timestamp};

use crate::memory::{Ghost, Room};
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Chores that may wait; beyond it everything is looked through instead. Chosen: an address book.
const WAITING: usize = 4096;
/// Of those, the ones that a look through everything does not find again. Chosen: half leaves room for what it finds.
const KEPT: usize = WAITING / 2;
/// Pause after a chore that did not work; doubles up to the cap.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Chores under way at once. Chosen: a first sign-in makes hundreds of people and rooms, and Synapse does
/// several requests side by side; what is said goes beside them and must not wait behind many.
const AT_ONCE: usize = 4;
/// Notes read at once when everything is looked through.
const PAGE: usize = 200;

/// One thing to see to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Chore {
    /// The room of a chat: name, members, place in the space.
    Room(ChatRef),
    /// A ghost: its name, and its first picture.
    Ghost(PersonRef),
    /// A ghost: its picture, because something about its person changed.
    Picture(PersonRef),
    /// How an account is doing.
    Account(NetworkId),
    /// The owner has read a chat elsewhere. The later of two comes later.
    ReadElsewhere(ChatRef, Timestamp),
    /// The owner has read a room up to an event.
    ReadHere { room_id: String, user_id: String, event_id: String, at: Timestamp },
    /// Accounts came or went: what went is forgotten, and shared rooms may have lost one.
    Removed,
    /// What shared rooms have shown long ago is forgotten.
    ForgetTold,
    /// The session of this device took the place of one that somebody ended.
    Replaced(String),
}

impl Chore {
    /// A look through everything finds it again.
    fn is_found_again(&self) -> bool {
        match self {
            Self::Room(_) | Self::Ghost(_) | Self::Account(_) | Self::Removed | Self::ForgetTold => true,
            Self::Picture(_) | Self::ReadElsewhere(..) | Self::ReadHere { .. } | Self::Replaced(_) => false,
        }
    }

    /// It is made good by the next of its kind, when a chat is read or a picture changed again.
    fn is_made_good(&self) -> bool {
        matches!(self, Self::Picture(_) | Self::ReadElsewhere(..) | Self::ReadHere { .. })
    }

    /// Whether one must not be done beside the other: both would read and write the same thing.
    fn is_about_the_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ghost(one) | Self::Picture(one), Self::Ghost(two) | Self::Picture(two)) => one == two,
            (Self::Room(one), Self::Room(two)) => one == two,
            (Self::Account(one), Self::Account(two)) => one == two,
            (Self::ReadElsewhere(one, _), Self::ReadElsewhere(two, _)) => one == two,
            (Self::ReadHere { room_id: one, .. }, Self::ReadHere { room_id: two, .. }) => one == two,
            (one, two) => one == two,
        }
    }
}

#[derive(Default)]
struct Waiting {
    chores: BTreeSet<Chore>,
    /// Those under way.
    busy: Vec<Chore>,
    everything: bool,
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
        {
            let mut waiting = self.waiting();
            if waiting.chores.len() >= WAITING {
                waiting.chores.retain(|chore| !chore.is_found_again());
                if waiting.chores.len() > KEPT {
                    waiting.chores.retain(|chore| !chore.is_made_good());
                }
                waiting.everything = true;
            }
            waiting.chores.insert(chore);
        }
        self.bell.notify_one();
    }

    /// Something may have been missed.
    pub(crate) fn look_through_everything(&self) {
        self.waiting().everything = true;
        self.bell.notify_one();
    }

    /// The next one that nobody is at; it is under way until it is [`Self::finish`]ed.
    fn take(&self) -> Option<Chore> {
        let mut waiting = self.waiting();
        let free = |chore: &&Chore| !waiting.busy.iter().any(|busy| busy.is_about_the_same_as(chore));
        let chore = waiting.chores.iter().find(free).cloned()?;
        waiting.chores.remove(&chore);
        waiting.busy.push(chore.clone());
        Some(chore)
    }

    fn finish(&self, chore: &Chore) {
        self.waiting().busy.retain(|busy| busy != chore);
        // Another one may have waited for it.
        self.bell.notify_one();
    }

    fn takes_everything(&self) -> bool {
        std::mem::take(&mut self.waiting().everything)
    }
}

/// Does chores, a few side by side, while the homeserver is there.
pub(crate) async fn run(shared: Arc<Shared>, stop: Stop) {
    let workers = (0..AT_ONCE).map(|_| Box::pin(work(&shared)));
    tokio::select! {
        () = stop.stopping() => {}
        _ = join_all(workers) => {}
    }
}

async fn work(shared: &Shared) {
    let mut reach = shared.client.reach();
    let mut pause = PAUSE;
    loop {
        // An error means that the client is gone, which is the end of the run.
        let _ = reach.wait_for(|is_there| *is_there).await;
        let done = shared.do_one().await;
        if done.is_ok() {
            pause = PAUSE;
            continue;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Shared {
    /// Does one chore, or waits until there may be one.
    async fn do_one(&self) -> Result<(), ()> {
        if self.chores.takes_everything()
            && let Err(error) = self.look_through().await
        {
            tracing::warn!(%error, "the rooms could not be looked through");
            self.chores.look_through_everything();
            return Err(());
        }
        match self.chores.take() {
            Some(chore) => self.see_to(chore).await,
            None => {
                self.chores.bell.notified().await;
                Ok(())
            }
        }
    }

    /// An error means that the homeserver or the store is not well now.
    async fn see_to(&self, chore: Chore) -> Result<(), ()> {
        let done = match &chore {
            Chore::Room(chat) => Box::pin(self.furnish(chat)).await,
            Chore::Ghost(person) => Box::pin(self.dress(person)).await,
            Chore::Picture(person) => Box::pin(self.picture_ghost(person)).await,
            Chore::ReadElsewhere(chat, at) => Box::pin(self.read_elsewhere(chat, *at)).await,
            Chore::ReadHere { room_id, user_id, event_id, at } => {
                Box::pin(self.read_here(room_id, user_id, event_id, *at)).await
            }
            Chore::Removed => Box::pin(self.forget_those_removed()).await,
            Chore::ForgetTold => Box::pin(self.memory.forget_old_told(self.clock.now())).await,
            Chore::Replaced(device) => Box::pin(self.tell_replaced(device)).await,
            Chore::Account(account) => Box::pin(self.account_changed(account)).await,
        };
        self.chores.finish(&chore);
        match done {
            Ok(()) => Ok(()),
            Err(Trouble::Call(error)) if !error.is_passing() => {
                tracing::warn!(%error, ?chore, "something could not be brought up to date");
                Ok(())
            }
            Err(error) => {
                tracing::info!(%error, ?chore, "something is brought up to date later");
                self.chores.add(chore);
                Err(())
            }
        }
    }

    async fn account_changed(&self, account: &NetworkId) -> Result<(), Trouble> {
        self.tell_state(account).await?;
        self.tell_owner(account).await?;
        self.point_out_questions(account).await
    }

    /// Everything that is remembered, as chores. What is up to date costs no call.
    async fn look_through(&self) -> Result<(), Trouble> {
        self.memory.forget_old_versions(self.clock.now()).await?;
        self.try_moves().await?;
        self.chores.add(Chore::ForgetTold);
        self.chores.add(Chore::Removed);
        for view in self.directory.all_accounts().await? {
            self.chores.add(Chore::Account(view.network));
            self.make_room().await?;
        }
        self.each_note("room/", |room: Room| self.chores.add(Chore::Room(room.chat))).await?;
        self.each_note("ghost/", |ghost: Ghost| {
            ghost.person.into_iter().for_each(|person| self.chores.add(Chore::Ghost(person)));
        })
        .await
    }

    /// The rooms of some accounts, as chores; what does not fit becomes a look through everything.
    pub(crate) async fn refurnish(&self, of: impl Fn(&NetworkId) -> bool) -> Result<(), Trouble> {
        let mut after: Option<String> = None;
        loop {
            let page = self.memory.page("room/", after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let rooms = page.iter().filter_map(|(_, bytes)| serde_json::from_slice::<Room>(bytes).ok());
            rooms
                .filter(|room| of(&room.chat.network))
                .for_each(|room| self.chores.add(Chore::Room(room.chat)));
        }
    }

    async fn each_note<T: serde::de::DeserializeOwned>(
        &self,
        prefix: &str,
        mut with: impl FnMut(T),
    ) -> Result<(), Trouble> {
        let mut after: Option<String> = None;
        loop {
            let page = self.far.notes(&self.network, prefix, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (_, bytes) in page {
                if let Ok(value) = serde_json::from_slice(&bytes) {
                    with(value);
                }
            }
            self.make_room().await?;
        }
    }

    /// Room for what is added while everything is looked through, which must not set off another look.
    async fn make_room(&self) -> Result<(), Trouble> {
        while self.chores.waiting().chores.len() > WAITING / 2 {
            let Some(chore) = self.chores.take() else { break };
            if self.see_to(chore).await.is_err() {
                return Err(Trouble::NotYet("the homeserver is not well".to_owned()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(n: usize) -> Chore {
        Chore::Ghost(PersonRef { network: "wechat:a".into(), person: n.to_string().into() })
    }

    #[test]
    fn ten_changes_are_one_chore() {
        let chores = Chores::default();
        (0..10).for_each(|_| chores.add(person(1)));
        assert_eq!(chores.take(), Some(person(1)));
        assert_eq!(chores.take(), None);
    }

    #[test]
    fn nobody_is_at_the_same_thing_twice() {
        let chores = Chores::default();
        let Chore::Ghost(first) = person(1) else { unreachable!() };
        chores.add(person(1));
        assert_eq!(chores.take(), Some(person(1)));
        chores.add(person(1));
        chores.add(Chore::Picture(first.clone()));
        chores.add(person(2));
        assert_eq!((chores.take(), chores.take()), (Some(person(2)), None));
        chores.finish(&person(1));
        assert_eq!((chores.take(), chores.take()), (Some(person(1)), None));
        chores.finish(&person(1));
        assert_eq!(chores.take(), Some(Chore::Picture(first)));
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
}
