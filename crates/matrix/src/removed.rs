//! Accounts that are not there any more: nothing of them stays in our memory. What stands on the homeserver,
//! rooms and people, is its users' to keep or leave.

use std::collections::HashSet;

use wxgate_contract::{ChatRef, NetworkId, Note, PersonRef};

use crate::management::requests::Pending;
use crate::memory::{Ghost, Room};
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Notes read at once.
const PAGE: usize = 500;
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
        let is_gone = |network: &NetworkId| !accounts.contains(network);
        let owners: HashSet<String> = accounts
            .iter()
            .map(|account| self.names.ghost(&PersonRef { network: account.clone(), person: "".into() }))
            .collect();
        let mut forgotten = 0;
        forgotten += self
            .forget_where("ghost/", |_, bytes| {
                serde_json::from_slice::<Ghost>(bytes).is_ok_and(|ghost| match ghost.person {
                    Some(person) => is_gone(&person.network),
                    None => self.names.localpart_of(&ghost.user_id).is_some_and(|own| !owners.contains(own)),
                })
            })
            .await?;
        forgotten += self
            .forget_where("request/", |_, bytes| {
                serde_json::from_slice::<Pending>(bytes).is_ok_and(|pending| is_gone(pending.account()))
            })
            .await?;
        forgotten += self
            .forget_where("chat/", |_, bytes| {
                serde_json::from_slice::<ChatRef>(bytes).is_ok_and(|chat| is_gone(&chat.network))
            })
            .await?;
        forgotten += self
            .forget_where("room/", |_, bytes| {
                serde_json::from_slice::<Room>(bytes).is_ok_and(|room| is_gone(&room.chat.network))
            })
            .await?;
        for prefix in BY_ACCOUNT {
            forgotten += self.forget_where(prefix, |account, _| is_gone(&NetworkId::from(account))).await?;
        }
        if forgotten > 0 {
            self.memory.look_again();
            tracing::info!(notes = forgotten, "accounts that were removed are forgotten");
        }
        Ok(())
    }

    /// Forgets the notes that begin with `prefix` and of which `is_gone` says so, by the rest of the key and the
    /// value. What cannot be read stays: whoever needs it makes it anew.
    async fn forget_where(
        &self,
        prefix: &str,
        is_gone: impl Fn(&str, &[u8]) -> bool,
    ) -> Result<usize, Trouble> {
        let (mut after, mut forgotten) = (None::<String>, 0);
        loop {
            let page = self.memory.page(prefix, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(forgotten) };
            after = Some(last.clone());
            let gone: Vec<Note> = page
                .into_iter()
                .filter(|(key, bytes)| is_gone(key.strip_prefix(prefix).unwrap_or(key), bytes))
                .map(|(key, _)| Note { key, value: None, is_secret: false })
                .collect();
            forgotten += gone.len();
            if !gone.is_empty() {
                self.memory.save(gone).await?;
            }
        }
    }
}
