//! Accounts that are not there any more: nothing of them stays in our memory. What stands on the homeserver,
//! rooms and people, is its users' to keep or leave.

use std::collections::HashSet;

use wxgate_contract::{ChatRef, NetworkId, PersonRef};

use crate::management::requests::Pending;
use crate::memory::{Ghost, Room};
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Ghosts read at once.
const PAGE: usize = 200;
/// Notes whose keys end with the name of an account.
const BY_ACCOUNT: [&str; 3] = ["space/", "told/", "asked/"];

impl Shared {
    /// Puts in order what accounts left behind that are gone.
    pub(crate) async fn forget_those_removed(&self) -> Result<(), Trouble> {
        // First: what a shared room has to be told is found through its notes.
        self.leave_for_those_removed().await?;
        self.forget_removed().await
    }

    /// Forgets what was remembered of accounts that are gone. Doing it again forgets nothing more; a crash in the
    /// middle is made good for by the look through everything after the next greeting.
    async fn forget_removed(&self) -> Result<(), Trouble> {
        let views = self.directory.all_accounts().await?;
        let accounts: HashSet<NetworkId> = views.into_iter().map(|view| view.network).collect();
        // To be looked for only when one went: accounts come by the thousand, and this reads every note.
        if !self.memory.has_lost(&accounts) {
            return Ok(());
        }
        let is_gone = |network: &NetworkId| !accounts.contains(network);
        let owners: HashSet<String> = accounts
            .iter()
            .map(|account| self.names.ghost(&PersonRef { network: account.clone(), person: "".into() }))
            .collect();
        let gone_ghost = |bytes: &[u8]| {
            let ghost = serde_json::from_slice::<Ghost>(bytes).ok()?;
            let is_gone = match &ghost.person {
                Some(person) => is_gone(&person.network),
                None => self.names.localpart_of(&ghost.user_id).is_some_and(|own| !owners.contains(own)),
            };
            is_gone.then_some(ghost)
        };
        // First, as they are found through their notes.
        self.forget_devices(gone_ghost).await?;
        let mut forgotten = 0;
        forgotten += self.memory.forget_where("ghost/", |_, bytes| gone_ghost(bytes).is_some()).await?;
        forgotten += self
            .memory
            .forget_where("request/", |_, bytes| {
                serde_json::from_slice::<Pending>(bytes).is_ok_and(|pending| is_gone(pending.account()))
            })
            .await?;
        forgotten += self
            .memory
            .forget_where("chat/", |_, bytes| {
                serde_json::from_slice::<ChatRef>(bytes).is_ok_and(|chat| is_gone(&chat.network))
            })
            .await?;
        forgotten += self
            .memory
            .forget_where("room/", |_, bytes| {
                serde_json::from_slice::<Room>(bytes).is_ok_and(|room| is_gone(&room.chat.network))
            })
            .await?;
        for prefix in BY_ACCOUNT {
            forgotten +=
                self.memory.forget_where(prefix, |account, _| is_gone(&NetworkId::from(account))).await?;
        }
        self.memory.note_accounts(accounts.clone());
        if forgotten > 0 {
            self.memory.look_again();
            tracing::info!(notes = forgotten, "accounts that were removed are forgotten");
        }
        Ok(())
    }

    /// Takes away the devices with keys of those that are gone.
    async fn forget_devices(&self, is_gone: impl Fn(&[u8]) -> Option<Ghost>) -> Result<(), Trouble> {
        let mut after: Option<String> = None;
        loop {
            let page = self.memory.page("ghost/", after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for ghost in page.iter().filter_map(|(_, bytes)| is_gone(bytes)) {
                self.forget_device(&ghost.user_id).await?;
            }
        }
    }
}
