//! Reading WeChat's list of contacts: before the news when a session opens, beside them from then on.

use std::sync::Arc;

use wechat_proto::{Contact, SyncKey, UserName};

use super::driver::{fault, store_fault};
use super::machine::Fault;
use crate::identity::settle::Settler;
use crate::roster::load::{self, LoadError};
use crate::transport::Transport;

/// What the opening of a session told of contacts: their records, and the names of recent chats.
pub(super) type Opened = (Vec<Contact>, Vec<UserName>);

/// One reading. It borrows nothing, so that the sync road goes on beside it.
pub(super) struct Look {
    pub(super) transport: Arc<Transport>,
    pub(super) settler: Arc<Settler>,
    pub(super) opened: Option<Arc<Opened>>,
    pub(super) key: SyncKey,
}

impl Look {
    /// Reads, matches and commits all of it. Dropped at any moment it leaves nothing that the next one does not mend.
    ///
    /// # Errors
    /// `Superseded` when a sync changed a contact meanwhile: what was read may be older.
    pub(super) async fn load(&self) -> Result<(), Fault> {
        let opened = self.opened.as_deref();
        let told = opened.map_or((&[][..], &[][..]), |(recent, chats)| (recent.as_slice(), chats.as_slice()));
        let loading = load::load(&self.transport, &self.settler, told, &self.key);
        let left_out = self.transport.seated(loading).await.map_err(|error| match error {
            LoadError::Call(error) => fault(&self.settler.network, &error),
            LoadError::Far(error) => store_fault(&error),
            LoadError::Overtaken => Fault::Superseded,
        })?;
        self.settler.live.set_rest(|rest| (rest.is_roster_loaded, rest.left_out) = (true, left_out));
        Ok(())
    }

    /// Removes what earlier logins left.
    pub(super) async fn sweep(&self) -> Result<(), Fault> {
        let Settler { far, live, network, .. } = &*self.settler;
        let (oldest, present) = (live.rest().oldest_generation, live.generation());
        load::sweep(&**far, network, oldest, present).await.map_err(|error| store_fault(&error))?;
        live.set_rest(|rest| rest.oldest_generation = present);
        Ok(())
    }
}
