//! Local users as themselves: what was said on the phone stands in the room in the owner's own name.
//!
//! Two ways: the second registration, whose token may act as any local user, or a token that the
//! user gave us. What is said so comes back in transactions with the user as its sender; a mark in
//! the content tells it from what they typed.

use serde_json::Value;
use wxgate_contract::NetworkId;

use crate::api::account::WhoAmI;
use crate::api::membership::{Invite, Join};
use crate::client::{Actor, CallError};
use crate::secret::Secret;
use crate::shared::{DEVICE, Shared};
use crate::trouble::Trouble;

/// The mark. Source: mautrix bridges, seen in their events, 2024; other bridges know it as well.
const MARK: &str = "fi.mau.double_puppet_source";
/// What the mark says of us.
const SOURCE: &str = "wxgate";

/// A local user in whose name we may act.
#[derive(Clone, Debug)]
pub(crate) struct Puppet {
    user_id: String,
    token: Secret,
    /// The token is the user's own.
    is_own_token: bool,
    has_device: bool,
}

impl Puppet {
    pub(crate) fn actor(&self) -> Actor<'_> {
        match self.is_own_token {
            true => Actor::Token(&self.token),
            false => Actor::Puppet {
                token: &self.token,
                user_id: &self.user_id,
                device_id: self.has_device.then_some(DEVICE),
            },
        }
    }

    pub(crate) fn user_id(&self) -> &str {
        &self.user_id
    }

    /// It speaks with a token that the user gave us.
    pub(crate) fn is_by_own_token(&self) -> bool {
        self.is_own_token
    }
}

/// The content as it is said through a puppet.
pub(crate) fn marked(content: &Value) -> Value {
    let mut content = content.clone();
    if let Some(content) = content.as_object_mut() {
        content.insert(MARK.to_owned(), SOURCE.into());
    }
    content
}

/// True for what this gateway said through a puppet.
pub(crate) fn is_marked(content: &Value) -> bool {
    content.get(MARK).and_then(Value::as_str) == Some(SOURCE)
}

impl Shared {
    /// The owner of an account as a puppet, where that is set up and works.
    pub(crate) async fn puppet_of_owner(&self, account: &NetworkId) -> Result<Option<Puppet>, Trouble> {
        match self.owners.id_of_owner(account).await? {
            Some(user_id) => self.puppet(&user_id).await,
            None => Ok(None),
        }
    }

    /// A local user as a puppet.
    pub(crate) async fn puppet(&self, user_id: &str) -> Result<Option<Puppet>, Trouble> {
        if self.config.account.is_some() {
            // It would speak in plain text where everybody else does not.
            return Ok(None);
        }
        let now = self.clock.now();
        if let Some(known) = self.puppets.get(user_id, now) {
            return Ok(known);
        }
        let puppet = self.try_puppet(user_id).await?;
        self.puppets.put(user_id, puppet.clone(), now);
        Ok(puppet)
    }

    async fn try_puppet(&self, user_id: &str) -> Result<Option<Puppet>, Trouble> {
        let own = self.memory.read(&token_note(user_id)).await?;
        let own = own.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()).map(Secret::new);
        let is_local = self.names.localpart_of(user_id).is_some();
        let (token, is_own_token) = match own {
            Some(token) => (token, true),
            None if is_local && !self.config.puppet_token.is_empty() => {
                (self.config.puppet_token.clone(), false)
            }
            None => return Ok(None),
        };
        let mut puppet = Puppet { user_id: user_id.to_owned(), token, is_own_token, has_device: false };
        match self.client.call(puppet.actor(), &WhoAmI).await {
            Ok(me) if me.user_id == user_id => {}
            Err(error) if error.is_passing() => return Err(error.into()),
            Ok(_) | Err(_) => {
                tracing::warn!(user_id, "the gateway may not speak as this user; their ghost speaks instead");
                return Ok(None);
            }
        }
        if !is_own_token && self.facts().has_devices {
            puppet.has_device = self.make_device(puppet.actor()).await?;
        }
        Ok(Some(puppet))
    }

    /// Brings a puppet into a room; false when it may not.
    pub(crate) async fn puppet_joins(&self, room_id: &str, puppet: &Puppet) -> Result<bool, Trouble> {
        match self.client.call(puppet.actor(), &Join { room_id }).await {
            Ok(_) => return Ok(true),
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(_) => {}
        }
        // Who left the room by hand is asked again, because they have just spoken in the chat.
        let joined = async {
            self.client.call(self.bot(), &Invite { room_id, user_id: &puppet.user_id }).await?;
            self.client.call(puppet.actor(), &Join { room_id }).await.map(drop)
        };
        match joined.await {
            Ok(()) => Ok(true),
            Err(error) if error.is_passing() => Err(error.into()),
            Err(_) => {
                self.puppets.forget(&puppet.user_id);
                Ok(false)
            }
        }
    }

    /// Forgets the token that a user gave us; false when there is none.
    pub(crate) async fn forget_token(&self, user_id: &str) -> Result<bool, Trouble> {
        let key = token_note(user_id);
        if self.memory.read(&key).await?.is_none() {
            return Ok(false);
        }
        self.memory.save(vec![wxgate_contract::Note { key, value: None, is_secret: true }]).await?;
        self.puppets.forget(user_id);
        Ok(true)
    }

    /// Keeps a token that a user gave us, if it is theirs.
    pub(crate) async fn take_token(&self, user_id: &str, token: Secret) -> Result<bool, Trouble> {
        match self.client.call(Actor::Token(&token), &WhoAmI).await {
            Ok(me) if me.user_id == user_id => {}
            Ok(_) => return Ok(false),
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(CallError::Refused { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let value = Some(bytes::Bytes::from(token.reveal().to_owned()));
        let note = wxgate_contract::Note { key: token_note(user_id), value, is_secret: true };
        self.memory.save(vec![note]).await?;
        self.puppets.forget(user_id);
        Ok(true)
    }
}

fn token_note(user_id: &str) -> String {
    format!("token/{user_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_puppet_says_is_known_again() {
        let content = serde_json::json!({ "msgtype": "m.text", "body": "hi" });
        assert!(!is_marked(&content));
        assert!(is_marked(&marked(&content)));
        assert!(!is_marked(&serde_json::json!({ MARK: "another bridge" })));
    }
}
