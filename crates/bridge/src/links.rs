//! Links are made and taken apart; networks are told which of their chats are members.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use wxgate_contract::{ChatKey, ChatRef, HistoryRange, LinkTable, NetworkId, Timestamp};
use wxgate_store::{Link, LinkId, Store, StoreError};

use crate::Bridge;
use crate::twins;

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
        self.tell_links_surely().await;
        Ok(link)
    }

    /// Takes a link apart; false when there is no such link. What is on its way is still delivered.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn remove_link(&self, link: LinkId) -> Result<bool, StoreError> {
        let was_there = self.store.remove_link(link).await?;
        self.tell_links_surely().await;
        Ok(was_there)
    }

    /// The same as [`Bridge::tell_links`] after a change that is on disk: where the store does not answer now, it is
    /// asked again until it does. Whoever made the change need not wait for that, and could not make it once more.
    async fn tell_links_surely(&self) {
        let Err(error) = self.tell_links().await else { return };
        tracing::warn!(%error, "links cannot be read; networks are told of the change later");
        let Some(me) = self.me.upgrade() else { return };
        let stop = self.tasks.ending();
        self.tasks.spawn("links", async move {
            loop {
                tokio::select! {
                    () = stop.stopping() => return,
                    () = tokio::time::sleep(TELL_AGAIN) => {}
                }
                if me.tell_links().await.is_ok() {
                    return;
                }
            }
        });
    }

    /// Tells the networks which of their chats are linked. Also after an account took its chats
    /// out of their links by going.
    pub(crate) async fn tell_links(&self) -> Result<(), StoreError> {
        {
            let _alone = self.telling.lock().await;
            self.links.send_replace(table(&self.store).await?);
        }
        self.learn_twins().await
    }

    /// Finds the chats of a link that are one group, by a number that both heard.
    pub(crate) async fn learn_twins(&self) -> Result<(), StoreError> {
        for link in self.store.links().await? {
            for (at, one) in link.members.iter().enumerate() {
                let others = link.members.iter().skip(at + 1).filter(|other| twins::may_be_one(one, other));
                for other in others {
                    if self.have_one_number(one, other).await? {
                        self.routes.twins.learn(one, other);
                    }
                }
            }
        }
        Ok(())
    }

    async fn have_one_number(&self, one: &ChatRef, other: &ChatRef) -> Result<bool, StoreError> {
        let heard = async |chat: &ChatRef| {
            let range = HistoryRange::Before(i64::MAX);
            let items = self.store.history(&chat.network, Some(&chat.chat), range, LATEST).await?;
            Ok::<_, StoreError>(items.into_iter().filter_map(|item| item.native_id).collect::<HashSet<_>>())
        };
        Ok(!heard(one).await?.is_disjoint(&heard(other).await?))
    }
}
