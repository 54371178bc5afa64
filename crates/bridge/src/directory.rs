//! What faces read: the store, and the feed of changes.

use std::collections::HashMap;

use tokio::sync::broadcast;
use wxgate_contract::{
    AccountView, BoxFuture, ChatKey, ChatProfile, ChatRef, Directory, FarError, FeedEvent, Health,
    HistoryRange, Landmark, NetworkId, PersonKey, PersonProfile, PersonRef, Spoken, TimelineItem, UserName,
};
use wxgate_store::AccountRow;

use crate::Bridge;
use crate::intake::far_error;
use crate::supervisor::Slot;

impl Bridge {
    async fn accounts_of(&self, owner: &UserName) -> Result<Vec<AccountView>, FarError> {
        let mut views = self.views(owner);
        // One question for all: somebody may have thousands.
        let rows = self.store.accounts_of(owner).await.map_err(far_error)?;
        let mut names: HashMap<NetworkId, String> =
            rows.into_iter().map(|row| (row.network, row.own_name)).collect();
        for view in &mut views {
            view.own_name = names.remove(&view.network).unwrap_or_default();
        }
        Ok(views)
    }

    async fn every_account(&self) -> Result<Vec<AccountView>, FarError> {
        let rows = self.store.accounts().await.map_err(far_error)?;
        // What is in the store is an account, also before its task has begun: whoever forgets those that are gone
        // asks here.
        let view = |row: AccountRow| {
            let health = self.networks.get(&row.network).map(|slot| slot.health.clone());
            AccountView {
                network: row.network,
                owner: row.owner,
                health: health.unwrap_or(Health::Starting),
                own_name: row.own_name,
            }
        };
        Ok(rows.into_iter().map(view).collect())
    }

    /// The running accounts of a person, by name; without own names.
    fn views(&self, owner: &UserName) -> Vec<AccountView> {
        let view = |network: &NetworkId, slot: &Slot| {
            let whose = slot.owner.clone().filter(|whose| whose == owner)?;
            Some(AccountView {
                network: network.clone(),
                owner: whose,
                health: slot.health.clone(),
                own_name: String::new(),
            })
        };
        let mut views: Vec<AccountView> =
            self.networks.iter().filter_map(|slot| view(slot.key(), slot.value())).collect();
        views.sort_by(|a, b| a.network.cmp(&b.network));
        views
    }
}

impl Directory for Bridge {
    fn all_accounts(&self) -> BoxFuture<'_, Result<Vec<AccountView>, FarError>> {
        Box::pin(self.every_account())
    }

    fn faces(&self) -> Vec<(NetworkId, Health)> {
        let all = self.healths().into_iter();
        all.filter_map(|(network, owner, health)| owner.is_none().then_some((network, health))).collect()
    }

    fn user_of<'a>(&'a self, person: &'a PersonRef) -> BoxFuture<'a, Result<Option<UserName>, FarError>> {
        Box::pin(async move { self.store.user_of(person).await.map_err(far_error) })
    }

    fn person_of<'a>(
        &'a self,
        user: &'a UserName,
        network: &'a NetworkId,
    ) -> BoxFuture<'a, Result<Option<PersonKey>, FarError>> {
        Box::pin(async move { self.store.person_of(user, network).await.map_err(far_error) })
    }

    fn accounts<'a>(&'a self, owner: &'a UserName) -> BoxFuture<'a, Result<Vec<AccountView>, FarError>> {
        Box::pin(self.accounts_of(owner))
    }

    fn chats<'a>(
        &'a self,
        network: &'a NetworkId,
        after: Option<&'a ChatKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<ChatProfile>, FarError>> {
        Box::pin(async move { self.store.chats(network, after, limit).await.map_err(far_error) })
    }

    fn chat<'a>(&'a self, chat: &'a ChatRef) -> BoxFuture<'a, Result<Option<ChatProfile>, FarError>> {
        Box::pin(async move { self.store.chat(chat).await.map_err(far_error) })
    }

    fn people<'a>(
        &'a self,
        network: &'a NetworkId,
        keys: &'a [PersonKey],
    ) -> BoxFuture<'a, Result<Vec<PersonProfile>, FarError>> {
        Box::pin(async move { self.store.people(network, keys).await.map_err(far_error) })
    }

    fn contacts<'a>(
        &'a self,
        network: &'a NetworkId,
        after: Option<&'a PersonKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<PersonProfile>, FarError>> {
        Box::pin(async move { self.store.contacts(network, after, limit).await.map_err(far_error) })
    }

    fn history<'a>(
        &'a self,
        network: &'a NetworkId,
        chat: Option<&'a ChatKey>,
        range: HistoryRange,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TimelineItem>, FarError>> {
        Box::pin(async move { self.store.history(network, chat, range, limit).await.map_err(far_error) })
    }

    fn locate<'a>(
        &'a self,
        chat: &'a ChatRef,
        landmark: Landmark,
    ) -> BoxFuture<'a, Result<Option<i64>, FarError>> {
        Box::pin(async move { self.store.locate(chat, landmark).await.map_err(far_error) })
    }

    fn spoken<'a>(
        &'a self,
        network: &'a NetworkId,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Spoken>, FarError>> {
        Box::pin(async move { self.store.spoken(network, limit).await.map_err(far_error) })
    }

    fn subscribe(&self) -> broadcast::Receiver<FeedEvent> {
        self.feed.subscribe()
    }
}
