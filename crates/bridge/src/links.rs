//! Links are made and taken apart; networks are told which of their chats are members.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use wxgate_contract::{ChatKey, ChatRef, LinkTable, NetworkId};
use wxgate_store::{Link, LinkId, Store, StoreError};

use crate::Bridge;

/// The linked chats by network, as stored.
pub(crate) async fn table(store: &Store) -> Result<LinkTable, StoreError> {
    let mut table: HashMap<NetworkId, BTreeSet<ChatKey>> = HashMap::new();
    for member in store.links().await?.into_iter().flat_map(|link| link.members) {
        table.entry(member.network).or_default().insert(member.chat);
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
        self.tell_links().await?;
        Ok(link)
    }

    /// Takes a link apart; false when there is no such link. What is on its way is still delivered.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn remove_link(&self, link: LinkId) -> Result<bool, StoreError> {
        let was_there = self.store.remove_link(link).await?;
        self.tell_links().await?;
        Ok(was_there)
    }

    /// Tells the networks which of their chats are linked. Also after an account took its chats
    /// out of their links by going.
    pub(crate) async fn tell_links(&self) -> Result<(), StoreError> {
        self.links.send_replace(table(&self.store).await?);
        Ok(())
    }
}
