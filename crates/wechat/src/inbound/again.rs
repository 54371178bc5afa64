//! One contact or group, looked at once more outside any sync: the service refused what was said to them.

use std::sync::Arc;

use wechat_proto::endpoint::Wanted;
use wechat_proto::{Contact, RetCode, UserName};
use wxgate_contract::FarError;

use super::Inbound;
use super::people::NAMES_LIMIT;
use crate::roster::record::Login;
use crate::roster::{Draft, load, name_note};

impl Inbound {
    /// Asks what the service knows of them now, and commits it. A name of another login than the present one, and one
    /// that the service says nothing of, is left as it is.
    ///
    /// # Errors
    /// When nothing could be stored; the next sync or list brings it.
    ///
    /// Source: the protocol sheet, section 6.2 ("refresh that contact").
    pub(crate) async fn look_again(
        &mut self,
        name: &UserName,
        generation: u32,
        why: RetCode,
    ) -> Result<(), FarError> {
        let mut record = self.told_of(name).await;
        let is_empty = |record: &Contact| record.is_room() && record.member_list.is_empty();
        if record.as_ref().is_some_and(is_empty) {
            // The first answer for a large group may come without its members. Source: the protocol sheet, 2.10.
            record = self.told_of(name).await;
        }
        let Some(record) = record else { return Ok(()) };
        let (live, network) = (Arc::clone(&self.live), self.network.clone());
        // No batch of the sync is under way meanwhile.
        let _alone = live.settling().lock().await;
        let login = Login::of(&network, &live);
        if login.generation != generation || login.is_own(name) {
            return Ok(());
        }
        // Others have committed since it was used last.
        self.roster.forget();
        let mut draft = Draft::default();
        if !is_empty(&record) {
            self.put_record(&record, None, &login, &mut draft).await?;
        } else if why == RetCode::NoAccess {
            // So answers the service for a group that we are not in. Source: the protocol sheet, section 2.10.
            let key = name_note(generation, name);
            let Some(named) = self.roster.look_up(&draft, vec![key.clone()]).await?.remove(&key) else {
                return Ok(());
            };
            self.put_gone(key, named, &mut draft).await?;
        } else {
            return Ok(());
        }
        let (batch, fresh) = draft.split();
        let committed = self.roster.far().commit(&network, batch).await;
        self.roster.forget();
        if fresh.changes_known {
            live.contacts_changed();
        }
        // What the sync has translated by now, it translates again.
        live.who_changed();
        committed.map(drop)
    }

    /// What the service says of them now; nothing when it takes too long, as whoever waits for the outcome waits for it.
    async fn told_of(&self, name: &UserName) -> Option<Contact> {
        let wanted = vec![Wanted::plain(name.clone())];
        let fetched = load::fetch_wanted(&self.transport, &self.live, wanted);
        match tokio::time::timeout(NAMES_LIMIT, fetched).await {
            Ok(Ok(mut records)) => records.remove(name),
            Ok(Err(error)) => {
                tracing::debug!(network = %self.network, %error, "whom a message did not reach could not be looked at");
                None
            }
            Err(_) => None,
        }
    }
}
