//! What faces read: the store, and the feed of changes.

use tokio::sync::broadcast;
use wxgate_contract::{
    AccountView, BoxFuture, ChatKey, ChatProfile, ChatRef, Directory, FarError, FeedEvent, HistoryRange,
    Landmark, NetworkId, PersonKey, PersonProfile, Spoken, TimelineItem, UserName,
};

use crate::Bridge;
use crate::intake::far_error;

impl Bridge {
    async fn accounts_of(&self, owner: &UserName) -> Result<Vec<AccountView>, FarError> {
        let mut views: Vec<AccountView> = self
            .networks
            .iter()
            .filter(|slot| slot.owner.as_ref() == Some(owner))
            .map(|slot| AccountView {
                network: slot.key().clone(),
                owner: owner.clone(),
                health: slot.health.clone(),
                own_name: String::new(),
            })
            .collect();
        views.sort_by(|a, b| a.network.cmp(&b.network));
        for view in &mut views {
            if let Some(row) = self.store.account(&view.network).await.map_err(far_error)? {
                view.own_name = row.own_name;
            }
        }
        Ok(views)
    }
}

impl Directory for Bridge {
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
