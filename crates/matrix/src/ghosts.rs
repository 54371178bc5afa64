//! The bot and the ghosts: registered, with a device and a name, before they say anything.
//!
//! Every step may be repeated: a user that is there is taken as it is. The name is set before the
//! ghost joins a room; later it would write an event into each of them.

use std::sync::Arc;

use wxgate_contract::{AccountView, NetworkId, PersonKind, PersonProfile, PersonRef};

use crate::api::account::{ProfileField, PutDevice, Register, SetProfile};
use crate::chores::Chore;
use crate::client::{Actor, CallError};
use crate::memory::Ghost;
use crate::shared::{DEVICE, Shared};
use crate::trouble::Trouble;

/// Longest display name, in characters. Source: Synapse refuses more than 256.
const NAME_CHARS: usize = 255;

impl Shared {
    /// The ghost of a person, made when it is not there yet. `told` is how they were called when
    /// they spoke, for people whom no profile describes.
    pub(crate) async fn ghost(&self, person: &PersonRef, told: &str) -> Result<Arc<Ghost>, Trouble> {
        let localpart = self.names.ghost(person);
        if let Some(ghost) = self.memory.ghosts.get(&self.memory, &localpart).await? {
            return Ok(ghost);
        }
        let name = self.ghost_name(person, told).await?;
        self.make_ghost(&localpart, Some(person.clone()), name).await
    }

    /// The ghost that speaks for the owner of an account where nothing better is set up.
    pub(crate) async fn own_ghost(&self, account: &NetworkId) -> Result<Arc<Ghost>, Trouble> {
        let localpart = self.names.ghost(&PersonRef { network: account.clone(), person: "".into() });
        if let Some(ghost) = self.memory.ghosts.get(&self.memory, &localpart).await? {
            return Ok(ghost);
        }
        let view = self.owners.account(account).await?;
        let own_name = |view: &Arc<AccountView>| match view.own_name.as_str() {
            "" => account.name().to_owned(),
            name => name.to_owned(),
        };
        let name = view.as_ref().map_or_else(|| account.name().to_owned(), own_name);
        let name = self.display_name(&name, PersonKind::Owner);
        self.make_ghost(&localpart, None, name).await
    }

    /// Registers the bot and gives it its device and name.
    ///
    /// Returns whether the homeserver lets us make devices.
    pub(crate) async fn make_bot(&self) -> Result<bool, CallError> {
        if self.config.account.is_some() {
            return Ok(false);
        }
        self.register(self.names.bot_localpart()).await?;
        let bot = Actor::As { user_id: self.names.bot(), device_id: None };
        let has_devices = self.make_device(bot).await?;
        let field = ProfileField::DisplayName(&self.config.bot_name);
        self.client.call(bot, &SetProfile { user_id: self.names.bot(), field }).await?;
        Ok(has_devices)
    }

    /// Makes a ghost whatever is remembered: also the way to mend one that the homeserver lost.
    pub(crate) async fn make_ghost(
        &self,
        localpart: &str,
        person: Option<PersonRef>,
        name: String,
    ) -> Result<Arc<Ghost>, Trouble> {
        let user_id = self.names.user_id(localpart);
        if self.register(localpart).await? {
            self.newcomers.add(&user_id);
        }
        let actor = Actor::As { user_id: &user_id, device_id: None };
        let has_device = self.facts().has_devices && self.make_device(actor).await?;
        let field = ProfileField::DisplayName(&name);
        self.client.call(actor, &SetProfile { user_id: &user_id, field }).await?;
        let chore = person.clone().map(Chore::Ghost);
        let ghost =
            Ghost { person, user_id, name, avatar_url: String::new(), avatar: String::new(), has_device };
        let ghost = self.memory.ghosts.put(&self.memory, localpart, ghost).await?;
        chore.into_iter().for_each(|chore| self.chores.add(chore));
        Ok(ghost)
    }

    /// Makes a ghost anew that the homeserver does not know, or not well.
    pub(crate) async fn mend_ghost(&self, ghost: &Ghost) -> Result<Arc<Ghost>, Trouble> {
        let localpart = self.names.localpart_of(&ghost.user_id).unwrap_or_default().to_owned();
        self.make_ghost(&localpart, ghost.person.clone(), ghost.name.clone()).await
    }

    /// False when the user was there already.
    async fn register(&self, localpart: &str) -> Result<bool, CallError> {
        match self.client.call(Actor::Service, &Register { localpart }).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == "M_USER_IN_USE" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// False when the homeserver makes no devices for application services.
    pub(crate) async fn make_device(&self, actor: Actor<'_>) -> Result<bool, CallError> {
        match self.client.call(actor, &PutDevice { device_id: DEVICE }).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_passing() => Err(error),
            Err(_) => Ok(false),
        }
    }

    async fn ghost_name(&self, person: &PersonRef, told: &str) -> Result<String, Trouble> {
        let people = self.directory.people(&person.network, std::slice::from_ref(&person.person)).await?;
        Ok(match people.first() {
            Some(profile) => self.name_of(profile, told),
            None => self.display_name(told, PersonKind::Human),
        })
    }

    /// The display name of somebody's ghost.
    pub(crate) fn name_of(&self, profile: &PersonProfile, told: &str) -> String {
        let name = match profile.display_name() {
            "" => told,
            name => name,
        };
        self.display_name(name, profile.kind)
    }

    pub(crate) fn display_name(&self, name: &str, kind: PersonKind) -> String {
        let name = if name.trim().is_empty() { "somebody" } else { name.trim() };
        let mark = match kind {
            PersonKind::Official => " [official]",
            PersonKind::System => " [system]",
            PersonKind::Human | PersonKind::Owner => "",
        };
        let full = self.config.name_template.replace("{mark}", mark).replace("{name}", name);
        full.chars().filter(|c| !c.is_control()).take(NAME_CHARS).collect()
    }
}
