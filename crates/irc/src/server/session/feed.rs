//! What the gateway tells a session, and what it reads again after it was told too much.

use std::sync::Arc;

use wxgate_contract::{FeedEvent, HistoryRange};

use super::Session;

impl Session {
    /// Events passed by: read what they were about.
    /// Reads what passed by; false when it has to be tried again.
    pub(super) async fn reread(&mut self) -> bool {
        const PAGE: usize = 500;
        self.look_at_doors(None).await;
        if !self.look_at_accounts().await {
            return false;
        }
        self.look_elsewhere().await;
        let Some(account) = self.key.account.clone() else { return true };
        self.look_for_questions();
        self.refresh().await;
        loop {
            let range = HistoryRange::After(self.last_seq);
            let page = match self.shared.directory.history(&account, None, range, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, %account, "the timeline could not be read again yet");
                    return false;
                }
            };
            let count = page.len();
            for item in page {
                self.floor_seq = self.floor_seq.max(item.seq);
                self.show(Arc::new(item)).await;
            }
            self.wake_writers();
            if count < PAGE {
                return true;
            }
        }
    }

    pub(super) async fn event(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::Shown(item) if item.seq > self.floor_seq => self.show_new(item).await,
            FeedEvent::Shown(_) => {}
            FeedEvent::Chats(_, chats) => self.chats_changed(&chats).await,
            FeedEvent::People(_, people) => self.people_changed(&people).await,
            FeedEvent::Health(network, health) => {
                self.account_is(&network, &health);
                self.networks_changed().await;
            }
            FeedEvent::Face(network, health) => self.elsewhere_is(&network, &health).await,
            FeedEvent::Accounts(_) => {
                self.accounts_changed().await;
                self.networks_changed().await;
            }
            FeedEvent::Asks(_) => self.look_for_questions(),
            FeedEvent::Read(chat, at) => self.read_elsewhere(&chat.chat, at).await,
            FeedEvent::Doors(_) => self.look_at_doors(None).await,
            // The registry makes it a reading of the timeline.
            FeedEvent::Missed => {}
        }
    }

    pub(super) fn wake_writers(&mut self) {
        for client in self.clients.values_mut() {
            if std::mem::take(&mut client.is_dirty) {
                client.queue.wake();
            }
        }
    }
}
