//! What may be done a little later: names, pictures, members, spaces. Latest wins; nothing that was
//! said waits for it.
//!
//! A chore is done when its turn comes, on what is true then, so ten changes of a chat are one
//! chore. What is lost in a crash is found by looking through all rooms at the start.

mod waiting;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use wxgate_contract::{ChatRef, NetworkId, PersonRef, Stop, Timestamp};

use crate::memory::{Ghost, Room};
use crate::shared::Shared;
use crate::trouble::Trouble;

pub(crate) use waiting::Chores;

/// Pause of a worker after a chore that did not work; doubles up to the cap. The chore itself is put off for longer:
/// this only keeps a homeserver that is not well from being asked for everything that waits at once.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Chores under way at once. Chosen: a first sign-in makes hundreds of people and rooms, and Synapse does
/// several requests side by side; what is said goes beside them and must not wait behind many.
const AT_ONCE: usize = 4;
/// How long an account may take to answer a chore. Chosen: a small file over a slow line; a worker that is everybody's
/// waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// Notes read at once when everything is looked through.
const PAGE: usize = 200;

/// One thing to see to. They are taken in this order: an owner hears of their account before pictures are looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Chore {
    /// How an account is doing.
    Account(NetworkId),
    /// The room of a chat: name, members, place in the space.
    Room(ChatRef),
    /// A ghost: its name, and its first picture.
    Ghost(PersonRef),
    /// A ghost: its picture, because something about its person changed.
    Picture(PersonRef),
    /// The owner has read a chat elsewhere. The later of two comes later.
    ReadElsewhere(ChatRef, Timestamp),
    /// The owner has read a room up to an event.
    ReadHere { room_id: String, user_id: String, event_id: String, at: Timestamp },
    /// Accounts came or went: what went is forgotten, and shared rooms may have lost one.
    Removed,
    /// What shared rooms have shown long ago is forgotten.
    ForgetTold,
    /// Those of an account that have no picture: it was slow to give one, and is asked again.
    Pictures(NetworkId),
    /// The session of this device took the place of one that somebody ended.
    Replaced(String),
}

impl Chore {
    /// A look through everything finds it again.
    fn is_found_again(&self) -> bool {
        match self {
            Self::Room(_)
            | Self::Ghost(_)
            | Self::Account(_)
            | Self::Removed
            | Self::ForgetTold
            | Self::Pictures(_) => true,
            Self::Picture(_) | Self::ReadElsewhere(..) | Self::ReadHere { .. } | Self::Replaced(_) => false,
        }
    }

    /// It is made good by the next of its kind, when a chat is read or a picture changed again.
    fn is_made_good(&self) -> bool {
        matches!(self, Self::Picture(_) | Self::ReadElsewhere(..) | Self::ReadHere { .. })
    }

    /// Two about the same are not done at once: both would read and write the same thing.
    fn about(&self) -> About {
        match self {
            Self::Ghost(person) | Self::Picture(person) => About::Person(person.clone()),
            Self::Room(chat) => About::Room(chat.clone()),
            Self::Account(account) => About::Account(account.clone()),
            Self::ReadElsewhere(chat, _) => About::Read(chat.clone()),
            Self::ReadHere { room_id, .. } => About::ReadHere(room_id.clone()),
            Self::Removed => About::Removed,
            Self::ForgetTold => About::ForgetTold,
            Self::Pictures(account) => About::Pictures(account.clone()),
            Self::Replaced(device) => About::Replaced(device.clone()),
        }
    }

    /// The account that may have to answer for it to be done.
    fn account(&self) -> Option<&NetworkId> {
        match self {
            Self::Ghost(person) | Self::Picture(person) => Some(&person.network),
            Self::Room(chat) => Some(&chat.network),
            _ => None,
        }
    }
}

/// What a chore is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum About {
    Person(PersonRef),
    Room(ChatRef),
    Account(NetworkId),
    Read(ChatRef),
    ReadHere(String),
    Removed,
    ForgetTold,
    Pictures(NetworkId),
    Replaced(String),
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
            Ok(chore) => self.see_to(chore).await,
            Err(next) => {
                self.chores.rung(next).await;
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
            Chore::Pictures(account) => Box::pin(self.ask_for_pictures(account)).await,
            Chore::Replaced(device) => Box::pin(self.tell_replaced(device)).await,
            Chore::Account(account) => Box::pin(self.account_changed(account)).await,
        };
        let error = match done {
            Ok(()) => {
                self.chores.finish(&chore);
                return Ok(());
            }
            Err(error) => error,
        };
        if !error.is_passing() {
            tracing::warn!(%error, ?chore, "something could not be brought up to date");
            self.chores.finish(&chore);
            return Ok(());
        }
        tracing::info!(%error, ?chore, "something is brought up to date later");
        self.chores.put_off(chore);
        Err(())
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
        let add = |room: Room| {
            if of(&room.chat.network) {
                self.chores.add(Chore::Room(room.chat))
            }
        };
        self.each_noted("room/", add).await
    }

    /// Whoever has no picture of those an account knows, as chores.
    async fn ask_for_pictures(&self, account: &NetworkId) -> Result<(), Trouble> {
        let mut all_fit = true;
        let mut add = |network: &NetworkId, avatar: &str, chore: Chore| {
            if network == account && avatar.is_empty() {
                match self.chores.are_many() {
                    true => all_fit = false,
                    false => self.chores.add(chore),
                }
            }
        };
        self.each_noted("room/", |room: Room| {
            add(&room.chat.network, &room.avatar, Chore::Room(room.chat.clone()))
        })
        .await?;
        self.each_noted("ghost/", |ghost: Ghost| {
            if let Some(person) = ghost.person {
                add(&person.network, &ghost.avatar, Chore::Ghost(person.clone()));
            }
        })
        .await?;
        match all_fit {
            true => Ok(()),
            false => Err(Trouble::Soon("others wait for their pictures".to_owned())),
        }
    }

    async fn each_noted<T: serde::de::DeserializeOwned>(
        &self,
        prefix: &str,
        mut with: impl FnMut(T),
    ) -> Result<(), Trouble> {
        let mut after: Option<String> = None;
        while let Some(last) = self.page_of(prefix, after.as_deref(), &mut with).await? {
            after = Some(last);
        }
        Ok(())
    }

    /// The same with [`Self::make_room`] between pages.
    async fn each_note<T: serde::de::DeserializeOwned>(
        &self,
        prefix: &str,
        mut with: impl FnMut(T),
    ) -> Result<(), Trouble> {
        let mut after: Option<String> = None;
        while let Some(last) = self.page_of(prefix, after.as_deref(), &mut with).await? {
            after = Some(last);
            self.make_room().await?;
        }
        Ok(())
    }

    /// Some notes, and the key of the last one; `None` at the end.
    async fn page_of<T: serde::de::DeserializeOwned>(
        &self,
        prefix: &str,
        after: Option<&str>,
        with: &mut impl FnMut(T),
    ) -> Result<Option<String>, Trouble> {
        let page = self.memory.page(prefix, after, PAGE).await?;
        let last = page.last().map(|(key, _)| key.clone());
        page.iter().filter_map(|(_, bytes)| serde_json::from_slice(bytes).ok()).for_each(with);
        Ok(last)
    }

    /// Room for what is added while everything is looked through, which must not set off another look.
    async fn make_room(&self) -> Result<(), Trouble> {
        while self.chores.are_many() {
            let all_put_off = |_| Trouble::NotYet("what waits does not get less".to_owned());
            let chore = self.chores.take().map_err(all_put_off)?;
            // What does not work is put off, and the look goes on.
            let _ = self.see_to(chore).await;
        }
        Ok(())
    }
}
