//! What the directory tells: which accounts there are to mirror (those whose owners are people of
//! Matrix with permission), and what about them changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use wxgate_contract::{AccountView, ChatRef, Command, CommandError, FeedEvent, PersonRef, Stop};

use crate::chores::Chore;
use crate::config::Level;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Pause before the directory is asked again after it failed.
const RETRY: Duration = Duration::from_secs(5);

/// Listens to the feed until told to stop.
pub(crate) async fn run(shared: Arc<Shared>, mut feed: broadcast::Receiver<FeedEvent>, stop: Stop) {
    let all = async {
        loop {
            match shared.mirror_all().await {
                Ok(true) => break,
                // They are added one after the other, and this began with the first.
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the accounts cannot be read yet"),
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::select! {
        () = stop.stopping() => return,
        () = all => {}
    }
    loop {
        let event = tokio::select! {
            () = stop.stopping() => return,
            event = feed.recv() => event,
        };
        let done = match event {
            Ok(FeedEvent::Missed) | Err(RecvError::Lagged(_)) => {
                shared.owners.changed();
                shared.chores.look_through_everything();
                shared.mirror_all().await.map(drop)
            }
            Ok(event) => shared.changed(&event).await,
            Err(RecvError::Closed) => return,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a change of the accounts could not be followed");
        }
    }
}

impl Shared {
    /// Mirrors every account that may be; false when one of them is not running yet.
    async fn mirror_all(&self) -> Result<bool, Trouble> {
        let mut are_all_there = true;
        for view in self.directory.all_accounts().await? {
            are_all_there &= self.mirror(&view).await?;
        }
        Ok(are_all_there)
    }

    async fn changed(&self, event: &FeedEvent) -> Result<(), Trouble> {
        match event {
            FeedEvent::Accounts(owner) => {
                self.owners.changed();
                self.chores.add(Chore::Removed);
                for view in self.directory.accounts(owner).await? {
                    self.mirror(&view).await?;
                }
            }
            FeedEvent::Chats(network, chats) => {
                for chat in chats.iter() {
                    self.chores.add(Chore::Room(ChatRef { network: network.clone(), chat: chat.clone() }));
                }
            }
            FeedEvent::People(network, people) => {
                for person in people.iter() {
                    let person = PersonRef { network: network.clone(), person: person.clone() };
                    self.chores.add(Chore::Ghost(person.clone()));
                    self.chores.add(Chore::Picture(person));
                }
            }
            FeedEvent::Health(network, _) | FeedEvent::Asks(network) => {
                self.chores.add(Chore::Account(network.clone()));
            }
            FeedEvent::Read(chat, at) => self.chores.add(Chore::ReadElsewhere(chat.clone(), *at)),
            FeedEvent::Shown(_) | FeedEvent::Face(..) | FeedEvent::Doors(_) | FeedEvent::Missed => {}
        }
        Ok(())
    }

    /// Mirrors an account if its owner may have one here; false when it is not running yet, or not any more. Doing it
    /// again changes nothing.
    async fn mirror(&self, view: &AccountView) -> Result<bool, Trouble> {
        let Some(id) = self.owners.id_of(&view.owner).await? else { return Ok(true) };
        if self.config.permissions.of(&id) < Level::User {
            return Ok(true);
        }
        let command = Command::Mirror { account: view.network.clone(), face: self.network.clone() };
        match self.control.run(None, command).await {
            Ok(_) => Ok(true),
            Err(CommandError::NoSuchAccount(_)) => Ok(false),
            Err(error) => Err(Trouble::NotYet(error.to_string())),
        }
    }
}
