//! Tells the owner of an account in the private chat with the bot, once each, what became of it: that it needs
//! them, that it is in trouble, that it is back.

use serde::{Deserialize, Serialize};
use wxgate_contract::{Health, NetworkId, Note};

use crate::shared::Shared;
use crate::speak::{Utterance, derived_txn_id};
use crate::trouble::Trouble;

/// What an owner has heard of an account, as a note.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    health: Health,
    /// Counts what was said, so that the same words later are other words, and the same after a crash are not.
    count: u64,
}

impl Shared {
    /// Looks how an account is doing and says what is new. Doing it again says nothing.
    pub(crate) async fn tell_owner(&self, account: &NetworkId) -> Result<(), Trouble> {
        let owner = self.owners.id_of_owner(account).await?.unwrap_or_default();
        let Some(desk) = self.memory.desks.get(&self.memory, &owner).await? else { return Ok(()) };
        let Some(view) = self.owners.fresh(account).await? else { return Ok(()) };
        let key = format!("told/{account}");
        let told: Option<Told> =
            self.memory.read(&key).await?.and_then(|note| serde_json::from_slice(&note).ok());
        let is_first = told.is_none();
        let told = told.unwrap_or(Told { health: Health::signed_out(None), count: 0 });
        if !view.health.is_news_after(&told.health) {
            return Ok(());
        }
        let count = told.count + 1;
        // Whoever has just signed in for the first time sees that it went well.
        if !(is_first && view.health == Health::Up) {
            let txn_id = derived_txn_id(&["state", account.as_str(), &count.to_string()]);
            let language = self.choices_of(&owner).await?.language;
            let content = language.tidings(&view, self.config.in_chinese).content();
            self.say_as_bot(&desk, &Utterance { kind: "m.room.message", content, txn_id, at: None }).await?;
        }
        let value = serde_json::to_vec(&Told { health: view.health, count }).unwrap_or_default();
        Ok(self.memory.save(vec![Note { key, value: Some(value.into()), is_secret: false }]).await?)
    }
}
