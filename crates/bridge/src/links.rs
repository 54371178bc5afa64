//! Links are made and taken apart; networks are told which of their chats are members.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use wxgate_contract::{ChatKey, ChatRef, HistoryRange, LinkTable, NetworkId, RemoteId, Timestamp};
use wxgate_store::{Link, LinkId, Store, StoreError};

use crate::Bridge;

/// Messages of two chats that are compared to find out whether they are one. Chosen: accounts that were away for a
/// while still have some in common.
const LATEST: usize = 100;

/// Between two tries to tell networks of a change. Chosen.
const TELL_AGAIN: Duration = Duration::from_secs(2);

/// The linked chats by network, as stored.
pub(crate) async fn table(store: &Store) -> Result<LinkTable, StoreError> {
    let mut table: HashMap<NetworkId, BTreeMap<ChatKey, Timestamp>> = HashMap::new();
    for link in store.links().await? {
        for member in link.members {
            table.entry(member.network).or_default().insert(member.chat, link.since);
        }
    }
    Ok(Arc::new(table))
}

impl Bridge {
    /// All links, oldest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn links(&self) -> Result<Vec<Link>, StoreError> {
        self.store.links().await
    }

    /// Makes chats mirror each other from now on.
    ///
    /// # Errors
    /// `Conflict` when one of them is in a link already, `Invalid` for fewer than two.
    pub async fn add_link(&self, members: &[ChatRef]) -> Result<LinkId, StoreError> {
        let link = self.store.add_link(members).await?;
        self.tell_links_surely(members).await;
        Ok(link)
    }

    /// Takes a link apart; false when there is no such link. What is on its way is still delivered.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn remove_link(&self, link: LinkId) -> Result<bool, StoreError> {
        let was_there = self.store.remove_link(link).await?;
        self.tell_links_surely(&[]).await;
        Ok(was_there)
    }

    /// Tells of a change that is on disk, the members of a new link or nobody: where the store does not answer now, it
    /// is asked again until it does. Whoever made the change need not wait for that, and could not make it once more.
    pub(crate) async fn tell_links_surely(&self, joined: &[ChatRef]) {
        let Err(error) = self.tell_change(joined).await else { return };
        tracing::warn!(%error, "links cannot be read; networks are told of the change later");
        let Some(me) = self.me.upgrade() else { return };
        let (stop, joined) = (self.tasks.ending(), joined.to_vec());
        self.tasks.spawn("links", async move {
            loop {
                tokio::select! {
                    () = stop.stopping() => return,
                    () = tokio::time::sleep(TELL_AGAIN) => {}
                }
                if me.tell_change(&joined).await.is_ok() {
                    return;
                }
            }
        });
    }

    async fn tell_change(&self, joined: &[ChatRef]) -> Result<(), StoreError> {
        self.tell_links().await?;
        self.learn_twins(joined).await
    }

    /// Tells the networks which of their chats are linked. Also after an account took its chats
    /// out of their links by going.
    pub(crate) async fn tell_links(&self) -> Result<(), StoreError> {
        let _alone = self.telling.lock().await;
        self.links.send_replace(table(&self.store).await?);
        Ok(())
    }

    /// Finds the chats of a link that are one group, by a number that both heard. Each is read once, and only where
    /// it may be one with another and that is not known.
    pub(crate) async fn learn_twins(&self, members: &[ChatRef]) -> Result<(), StoreError> {
        let mut heard = Vec::new();
        for chat in self.routes.twins.open(members) {
            let range = HistoryRange::Before(i64::MAX);
            let items = self.store.history(&chat.network, Some(&chat.chat), range, LATEST).await?;
            let numbers: HashSet<RemoteId> = items.into_iter().filter_map(|item| item.native_id).collect();
            heard.push((chat, numbers));
        }
        self.routes.twins.compare(&heard);
        Ok(())
    }
}
