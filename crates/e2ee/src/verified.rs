//! Who was verified, in notes of our own.
//!
//! What the machine remembers of it stands and falls with what the homeserver goes on showing: it takes somebody for
//! verified once the homeserver shows our signature of their key, and forgets it with what it knows of their devices.
//! Source: matrix-sdk-crypto 0.18, `OtherUserIdentityData`, `previously_verified`. These notes stay.

use std::sync::Arc;

use matrix_sdk_crypto::{OtherUserIdentity, OtherUserIdentityData, SasState, UserIdentityData};
use ruma::{TransactionId, UserId};
use serde::{Deserialize, Serialize};
use wxgate_contract::{FarEnd, NetworkId};

use crate::machine::{Machine, MachineError, user};
use crate::read::{Origin, Unreadable};
use crate::rows::{Changed, Rows};
use crate::store::kind;
use crate::wire::Request;

/// Somebody who was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    user_id: String,
    /// The public part of the key that stood for them then, in base64.
    master_key: String,
}

/// The public part of somebody's master key, in base64.
fn master_key(identity: &OtherUserIdentityData) -> Option<String> {
    identity.master_key().get_first_key().map(|key| key.to_base64())
}

impl Machine {
    /// Whom a user's device has verified.
    ///
    /// # Errors
    /// `Store` when it cannot be read.
    pub async fn verified(
        far: Arc<dyn FarEnd>,
        network: NetworkId,
        user_id: &str,
    ) -> Result<Vec<Verified>, MachineError> {
        Ok(Rows::new(far, network, user_id).list(kind::VERIFIED, &[]).await?)
    }

    /// Who of some people has, as far as this device knows, other keys than those that another one of ours has
    /// verified.
    ///
    /// # Errors
    /// `Store`.
    pub async fn with_other_keys(
        &self,
        people: &[String],
        verified: &[Verified],
    ) -> Result<Vec<String>, MachineError> {
        let mut others = Vec::new();
        for noted in verified.iter().filter(|noted| people.contains(&noted.user_id)) {
            let identity = self.identity_of(&user(&noted.user_id)?).await?;
            if identity.is_some_and(|identity| master_key(&identity).as_ref() != Some(&noted.master_key)) {
                others.push(noted.user_id.clone());
            }
        }
        Ok(others)
    }

    /// Writes down whom the verifications that are done have verified, and which of their keys was compared.
    pub(crate) async fn note_done(&self) -> Result<(), MachineError> {
        for flow in self.flows.not_noted() {
            // What is no id of a user comes from nobody, and must not be heard again and again.
            let sas = user(&flow.user_id).ok().and_then(|user_id| self.sas(&user_id, &flow));
            let Some(SasState::Done { verified_identities, .. }) = sas.map(|sas| sas.state()) else {
                continue;
            };
            for identity in verified_identities.iter().filter_map(UserIdentityData::other) {
                self.note_verified(identity).await?;
            }
            self.flows.noted(&flow);
        }
        Ok(())
    }

    pub(crate) async fn note_verified(&self, identity: &OtherUserIdentityData) -> Result<(), MachineError> {
        let Some(master_key) = master_key(identity) else { return Ok(()) };
        let user_id = identity.user_id().to_string();
        let mut changed = Changed::default();
        let key = self.rows.key(kind::VERIFIED, &[&user_id]);
        changed.put(key, &Verified { user_id, master_key })?;
        Ok(self.rows.write(changed).await?)
    }

    async fn identity_of(&self, user_id: &UserId) -> Result<Option<OtherUserIdentity>, MachineError> {
        Ok(self.olm.get_identity(user_id, None).await?.and_then(|identity| identity.other()))
    }

    /// Whether somebody who was verified has the keys that were verified. Where they are not known it counts as
    /// unsigned what is said in their name.
    pub(crate) async fn compare(&self, sender: &str, origin: Origin) -> Result<(), Unreadable> {
        if origin == Origin::Ours {
            return Ok(());
        }
        let user_id = user(sender).map_err(|error| Unreadable::Broken(error.to_string()))?;
        let noted: Option<Verified> = self
            .rows
            .read(kind::VERIFIED, &[sender])
            .await
            .map_err(|error| Unreadable::Machine(error.into()))?;
        let identity = self.identity_of(&user_id).await.map_err(Unreadable::Machine)?;
        match (noted, identity) {
            (Some(noted), Some(identity)) if master_key(&identity).as_ref() == Some(&noted.master_key) => {
                Ok(())
            }
            (Some(_), Some(_)) => Err(Unreadable::OtherKeys),
            (Some(_), None) if origin == Origin::SignedBySender => Err(Unreadable::NotSigned),
            // They were verified before this was written down.
            (None, Some(identity)) if identity.is_verified() => {
                self.note_verified(&identity).await.map_err(Unreadable::Machine)
            }
            (_, None) | (None, Some(_)) => Ok(()),
        }
    }

    /// The requests that sign once more the keys that were verified, where the homeserver does not show our
    /// signature: it may have been lost on its way.
    ///
    /// # Errors
    /// `Store`; `Olm` when there are no keys to sign with.
    pub async fn sign_again(&self) -> Result<Vec<Request>, MachineError> {
        let mut requests = Vec::new();
        for noted in self.rows.list::<Verified>(kind::VERIFIED, &[]).await? {
            let Some(identity) = self.identity_of(&user(&noted.user_id)?).await? else { continue };
            if identity.is_verified() || master_key(&identity) != Some(noted.master_key) {
                continue;
            }
            let request = identity.verify().await.map_err(|error| MachineError::Olm(error.to_string()))?;
            requests.push(Request::signatures(&TransactionId::new(), &request));
        }
        Ok(requests)
    }
}
