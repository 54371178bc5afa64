//! What the directory tells: which accounts there are to mirror (those whose owners are people of
//! Matrix with permission), and what about them changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use wxgate_contract::{AccountView, ChatRef, Command, FeedEvent, PersonRef, Stop};

use crate::chores::Chore;
use crate::config::Level;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Pause before the directory is asked again after it failed.
const RETRY: Duration = Duration::from_secs(5);

/// Listens to the feed until told to stop.
pub(crate) async fn run(shared: Arc<Shared>, mut feed: broadcast::Receiver<FeedEvent>, stop: Stop) {
    let all = async {
        while let Err(error) = shared.mirror_all().await {
            tracing::warn!(%error, "the accounts cannot be read yet");
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
                shared.mirror_all().await
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
    async fn mirror_all(&self) -> Result<(), Trouble> {
        for view in self.directory.all_accounts().await? {
            self.mirror(&view).await?;
        }
        Ok(())
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
            FeedEvent::Health(network, _) => self.chores.add(Chore::Account(network.clone())),
            FeedEvent::Read(chat, at) => self.chores.add(Chore::ReadElsewhere(chat.clone(), *at)),
            FeedEvent::Shown(_) | FeedEvent::Face(..) | FeedEvent::Doors(_) | FeedEvent::Missed => {}
        }
        Ok(())
    }

    /// Mirrors an account if its owner may have one here. Doing it again changes nothing.
    async fn mirror(&self, view: &AccountView) -> Result<(), Trouble> {
        let Some(id) = self.owners.id_of(&view.owner).await? else { return Ok(()) };
        if self.config.permissions.of(&id) < Level::User {
            return Ok(());
        }
        let command = Command::Mirror { account: view.network.clone(), face: self.network.clone() };
        match self.control.run(None, command).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Trouble::NotYet(error.to_string())),
        }
    }
}
