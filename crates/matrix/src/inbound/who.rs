//! Who speaks: the owner of the account, or somebody who speaks through it.

use wxgate_contract::{Author, ChatRef, PersonKey};

use crate::api::account::GetProfile;
use crate::shared::Shared;
use crate::trouble::Trouble;

impl Shared {
    /// The author of what `sender` says in a chat; `None` when they may not speak in it.
    pub(super) async fn author(&self, sender: &str, chat: &ChatRef) -> Result<Option<Author>, Trouble> {
        if self.owners.owns(sender, &chat.network).await? {
            return Ok(Some(Author::Owner));
        }
        let relays = self.memory.room_of(chat).await?.is_some_and(|room| room.relay);
        if !relays {
            return Ok(None);
        }
        let name = self.name_of_user(sender).await;
        Ok(Some(Author::Person { person: PersonKey::new(sender), name }))
    }

    /// How a Matrix user is called; their localpart when the homeserver does not tell now.
    async fn name_of_user(&self, user_id: &str) -> String {
        let told = self.client.call(self.bot(), &GetProfile { user_id }).await.unwrap_or_default();
        let localpart = || user_id.trim_start_matches('@').split(':').next().unwrap_or(user_id).to_owned();
        told.displayname.filter(|name| !name.trim().is_empty()).unwrap_or_else(localpart)
    }
}
