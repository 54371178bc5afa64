//! One device: what it has to ask, hears, encrypts and reads.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use matrix_sdk_crypto::types::requests::AnyOutgoingRequest;
use matrix_sdk_crypto::{
    CollectStrategy, CryptoStoreError, DecryptionSettings, EncryptionSettings, EncryptionSyncChanges,
    MegolmError, OlmError, OlmMachine, SessionRecipientCollectionError, TrustRequirement,
};
use ring::rand::{SecureRandom, SystemRandom};
use ruma::api::client::sync::sync_events::DeviceLists;
use ruma::events::room::encryption::RoomEncryptionEventContent;
use ruma::events::room::history_visibility::HistoryVisibility;
use ruma::serde::Raw;
use ruma::{OneTimeKeyAlgorithm, OwnedUserId, RoomId, UInt, UserId};
use serde_json::Value;
use wxgate_contract::{FarEnd, NetworkId};

use crate::prune::{Leftover, Pruned};
use crate::rows::Rows;
use crate::store::{NoteStore, Turn, kind};
use crate::verify::{Flow, Flows, sent_step};
use crate::wire::{Purpose, Request};

/// The mark of a device whose keys and signatures are on the homeserver: this, and the epoch of that.
const READY: &str = "ready";
const READY_SINCE: u8 = 1;
/// Random bytes of a device's id.
const ID_BYTES: usize = 5;
/// What stays when a device begins anew: the seeds of its signatures, whom it has verified, the keys to what was said,
/// and what was read with them.
const FORGETTING_KEEPS: [&str; 5] =
    [kind::IDENTITY, kind::VERIFIED, kind::INBOUND, kind::INBOUND_OF, kind::TAKEN];

/// Why a machine could not do something.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// Its state cannot be read or written now.
    #[error("the state of a device is unavailable: {0}")]
    Store(String),
    /// An answer that is none.
    #[error("the homeserver answered \"{what}\" in a way that cannot be understood: {why}")]
    Answer {
        /// What was asked.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// An id that is none, or a piece of JSON.
    #[error("{0}")]
    Words(String),
    /// The cryptography failed.
    #[error("the encryption failed: {0}")]
    Olm(String),
}

impl MachineError {
    pub(crate) fn of_olm(error: OlmError) -> Self {
        match error {
            OlmError::Store(error) => error.into(),
            error => Self::Olm(error.to_string()),
        }
    }
}

impl From<CryptoStoreError> for MachineError {
    fn from(error: CryptoStoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// What a sync brought.
#[derive(Debug, Default)]
pub struct Heard {
    /// Rooms that keys came for.
    pub rooms: Vec<String>,
    /// The verifications of which a step came. Anybody can send one: see [`Machine::follow`].
    pub steps: Vec<Flow>,
}

/// How a device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its keys are not on the homeserver, or not known to be.
    New,
    /// Its keys and signatures are on the homeserver.
    Ready,
    /// It was made ready in another epoch, and what it remembers may have been gone past.
    Stale,
}

/// How to recognise a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The device's id.
    pub device_id: String,
    /// Its signing key, as clients show it.
    pub device_key: String,
    /// The public key that stands for the user; `None` before it was made.
    pub master_key: Option<String>,
}

/// What a room says about its encryption.
#[derive(Clone, Debug)]
pub struct RoomRules(EncryptionSettings);

impl RoomRules {
    /// From the content of `m.room.encryption` and the word of `m.room.history_visibility`.
    ///
    /// # Errors
    /// When this is no encryption that anybody knows.
    pub fn new(encryption: &Value, visibility: &str) -> Result<Self, MachineError> {
        let content: RoomEncryptionEventContent = serde_json::from_value(encryption.clone())
            .map_err(|error| MachineError::Words(error.to_string()))?;
        let visibility = HistoryVisibility::from(visibility);
        Ok(Self(EncryptionSettings::new(content, visibility, CollectStrategy::default())))
    }

    /// The same where keys are given to devices only that their owners have signed, and to nobody who has other keys
    /// than those that were verified.
    #[must_use]
    pub fn for_signed_devices(mut self) -> Self {
        self.0.sharing_strategy = CollectStrategy::IdentityBasedStrategy;
        self
    }

    /// The same where keys are given to all devices.
    #[must_use]
    pub fn for_all_devices(mut self) -> Self {
        self.0.sharing_strategy = CollectStrategy::AllDevices;
        self
    }

    /// True when keys are given to signed devices only.
    pub fn is_for_signed_devices(&self) -> bool {
        self.0.sharing_strategy == CollectStrategy::IdentityBasedStrategy
    }

    /// True when the room's history is for those who are in it, and not for those who were asked in.
    pub fn is_for_joined(&self) -> bool {
        self.0.history_visibility == HistoryVisibility::Joined
    }
}

/// One device.
#[derive(Debug)]
pub struct Machine {
    pub(crate) olm: OlmMachine,
    pub(crate) rows: Rows,
    purpose: Purpose,
    pub(crate) flows: Flows,
    /// The store's.
    turn: Turn,
}

impl Machine {
    /// The device of a user as it was left, or a new one. What an earlier one left, when its forgetting was cut off,
    /// goes first: its ratchets are not this one's.
    ///
    /// # Errors
    /// `Store` when its state cannot be read, `Words` when the id is none.
    pub async fn open(
        far: Arc<dyn FarEnd>,
        network: NetworkId,
        user_id: &str,
        device_id: &str,
        purpose: Purpose,
    ) -> Result<Self, MachineError> {
        let user = user(user_id)?;
        let rows = Rows::new(far, network, user_id);
        if !rows.has(kind::ACCOUNT, &[]).await? {
            rows.clear(&FORGETTING_KEEPS).await?;
        }
        let turn = Turn::default();
        let store = NoteStore::new(rows.clone(), Turn::clone(&turn));
        let olm = OlmMachine::with_store(&user, device_id.into(), store, None).await?;
        Ok(Self { olm, rows, purpose, flows: Flows::default(), turn })
    }

    /// The id of a user's device; `None` when there is none.
    ///
    /// # Errors
    /// `Store` when it cannot be read.
    pub async fn device_of(
        far: Arc<dyn FarEnd>,
        network: NetworkId,
        user_id: &str,
    ) -> Result<Option<String>, MachineError> {
        #[derive(serde::Deserialize)]
        struct Named {
            device_id: String,
        }
        let account: Option<Named> = Rows::new(far, network, user_id).read(kind::ACCOUNT, &[]).await?;
        Ok(account.map(|account| account.device_id))
    }

    /// An id that no device had before.
    ///
    /// # Errors
    /// `Olm` when the system gives no random numbers.
    pub fn new_device_id(prefix: &str) -> Result<String, MachineError> {
        let mut bytes = [0; ID_BYTES];
        let filled = SystemRandom::new().fill(&mut bytes);
        filled.map_err(|_| MachineError::Olm("the system gives no random numbers".to_owned()))?;
        let hex = bytes.iter().map(|byte| format!("{byte:02X}"));
        Ok(hex.fold(prefix.to_owned(), |id, byte| id + &byte))
    }

    /// The device's id.
    pub fn device_id(&self) -> &str {
        self.olm.device_id().as_str()
    }

    /// Forgets everything about a user's device but the seeds of its signatures, whom it has verified and the keys to
    /// what was said: it begins anew, and whoever trusts the user goes on doing so. It needs another id: homeservers
    /// keep signatures of devices that are deleted, and would show one of those. Source: seen in Synapse 1.163. Only
    /// while no machine of it is open.
    ///
    /// # Errors
    /// `Store` when it cannot be written.
    pub async fn forget(far: Arc<dyn FarEnd>, network: NetworkId, user_id: &str) -> Result<(), MachineError> {
        Ok(Rows::new(far, network, user_id).clear(&FORGETTING_KEEPS).await?)
    }

    /// Forgets all of it: the user speaks no more.
    ///
    /// # Errors
    /// `Store` when it cannot be written.
    pub async fn forget_all(
        far: Arc<dyn FarEnd>,
        network: NetworkId,
        user_id: &str,
    ) -> Result<(), MachineError> {
        Ok(Rows::new(far, network, user_id).clear(&[]).await?)
    }

    /// Takes away what nothing needs any more. May be done at any time; people that are gone are left to
    /// [`Machine::forget_people`].
    ///
    /// # Errors
    /// `Store`, then some of it is left for the next time.
    pub async fn prune(&self, leftover: &Leftover) -> Result<Pruned, MachineError> {
        Ok(leftover.take_from(&self.rows, &self.turn).await?)
    }

    /// The same for a device that is not open.
    ///
    /// # Errors
    /// As there.
    pub async fn prune_closed(
        far: Arc<dyn FarEnd>,
        network: NetworkId,
        user_id: &str,
        leftover: &Leftover,
    ) -> Result<Pruned, MachineError> {
        Ok(leftover.take_from(&Rows::new(far, network, user_id), &Turn::default()).await?)
    }

    /// Forgets the devices of people who are gone, and that they were to be known. Only while no machine of it is
    /// open: it would go on taking them for known, and nobody would get a key.
    ///
    /// # Errors
    /// As there.
    pub async fn forget_people(
        far: Arc<dyn FarEnd>,
        network: NetworkId,
        user_id: &str,
        leftover: &Leftover,
    ) -> Result<Pruned, MachineError> {
        Ok(leftover.take_people_from(&Rows::new(far, network, user_id)).await?)
    }

    /// How the device stands in an epoch: what was made ready in another one is older than it should be.
    ///
    /// # Errors
    /// `Store` when it cannot be read.
    pub async fn standing(&self, epoch: &str) -> Result<Standing, MachineError> {
        let noted: Option<Vec<u8>> = self.rows.read(kind::CUSTOM, &[READY]).await?;
        Ok(match noted {
            None => Standing::New,
            Some(noted) if noted == ready_in(epoch) => Standing::Ready,
            Some(_) => Standing::Stale,
        })
    }

    /// Its keys and signatures are on the homeserver.
    ///
    /// # Errors
    /// `Store` when it cannot be written.
    pub async fn note_ready(&self, epoch: &str) -> Result<(), MachineError> {
        Ok(self.olm.store().set_custom_value(READY, ready_in(epoch)).await?)
    }

    /// What it wants to ask now.
    ///
    /// # Errors
    /// `Store`.
    pub async fn outgoing(&self) -> Result<Vec<Request>, MachineError> {
        let all = self.olm.outgoing_requests().await?;
        Ok(all.iter().map(|request| Request::of(request, self.purpose)).collect())
    }

    /// Hears the answer to a request.
    ///
    /// # Errors
    /// `Answer` when the homeserver's words are none.
    pub async fn answered(&self, request: &Request, body: &[u8]) -> Result<(), MachineError> {
        request.answered(&self.olm, body, self.purpose).await
    }

    /// The requests that sign the device with its user's keys, which are made when there are none: to be made
    /// in this order. Making them again changes nothing.
    ///
    /// # Errors
    /// `Store`.
    pub async fn signing(&self) -> Result<Vec<Request>, MachineError> {
        if self.purpose == Purpose::OnlySends {
            self.offer_fallback_key().await?;
        }
        let asked = self.olm.bootstrap_cross_signing(false).await?;
        let device = asked.upload_keys_req.as_ref();
        // Keys that are uploaded only now bring their signature along.
        // Source: matrix-sdk-crypto 0.18, `OlmMachine::keys_for_upload`.
        let is_signed = device.is_some_and(|request| match request.request() {
            AnyOutgoingRequest::KeysUpload(upload) => upload.device_keys.is_some(),
            _ => false,
        });
        let device = device.map(|request| Request::of(request, self.purpose));
        let keys = Request::signing_keys(&asked.upload_signing_keys_req);
        let id = ruma::TransactionId::new();
        let signatures = (!is_signed).then(|| Request::signatures(&id, &asked.upload_signatures_req));
        Ok(device.into_iter().chain([keys]).chain(signatures).collect())
    }

    /// Has a fallback key made, which is what the machine does once a homeserver says that it has none.
    async fn offer_fallback_key(&self) -> Result<(), MachineError> {
        let changes = EncryptionSyncChanges {
            to_device_events: Vec::new(),
            changed_devices: &DeviceLists::new(),
            one_time_keys_counts: &BTreeMap::new(),
            unused_fallback_keys: Some(&[]),
            next_batch_token: None,
        };
        self.olm.receive_sync_changes(changes, &settings()).await.map_err(MachineError::of_olm)?;
        Ok(())
    }

    /// A question for the devices of some users.
    pub fn query(&self, users: &[String]) -> Request {
        let users: Vec<OwnedUserId> = users.iter().filter_map(|id| user(id).ok()).collect();
        let (id, request) = self.olm.query_keys_for_users(users.iter().map(borrowed));
        Request::query(&id, &request)
    }

    /// True when the homeserver shows the device as signed by its owner.
    ///
    /// # Errors
    /// `Store`.
    pub async fn is_signed(&self) -> Result<bool, MachineError> {
        let own = self.olm.get_device(self.olm.user_id(), self.olm.device_id(), None).await?;
        Ok(own.is_some_and(|own| own.is_cross_signed_by_owner()))
    }

    /// How it is recognised.
    ///
    /// # Errors
    /// `Store`.
    pub async fn fingerprint(&self) -> Result<Fingerprint, MachineError> {
        let identity = self.olm.get_identity(self.olm.user_id(), None).await?;
        let master = identity
            .and_then(|identity| identity.own()?.master_key().get_first_key().map(|key| key.to_base64()));
        Ok(Fingerprint {
            device_id: self.olm.device_id().to_string(),
            device_key: self.olm.identity_keys().ed25519.to_base64(),
            master_key: master,
        })
    }

    /// What a `/sync` of this device brought.
    ///
    /// # Errors
    /// `Words` when it is no answer of a sync; `Store`, then nothing of it counts as heard.
    pub async fn hear(&self, synced: &Value) -> Result<Heard, MachineError> {
        let events: Vec<_> = words(synced.pointer("/to_device/events"))?;
        let lists = synced.get("device_lists");
        let changed_devices: DeviceLists = words(lists)?;
        let counts: BTreeMap<OneTimeKeyAlgorithm, UInt> = words(synced.get("device_one_time_keys_count"))?;
        let fallback: Option<Vec<OneTimeKeyAlgorithm>> =
            words(synced.get("device_unused_fallback_key_types"))?;
        let trust = settings();
        let take = |events| {
            let changes = EncryptionSyncChanges {
                to_device_events: events,
                changed_devices: &changed_devices,
                one_time_keys_counts: &counts,
                unused_fallback_keys: fallback.as_deref(),
                next_batch_token: None,
            };
            self.olm.receive_sync_changes(changes, &trust)
        };
        let (mut sent, mut keys) = (Vec::new(), Vec::new());
        for taken in each_on_its_own(events, take).await {
            let (events, came) = taken.map_err(MachineError::of_olm)?;
            sent.extend(events);
            keys.extend(came);
        }
        let events = sent.iter().filter_map(|event| event.to_raw().deserialize_as_unchecked::<Value>().ok());
        let steps = events.filter_map(|event| sent_step(&event)).collect();
        Ok(Heard { rooms: keys.into_iter().map(|key| key.room_id.to_string()).collect(), steps })
    }

    /// Some users' devices may have changed.
    ///
    /// # Errors
    /// `Store`.
    pub async fn devices_changed(&self, users: &[String]) -> Result<(), MachineError> {
        // Whoever is not known yet will be asked for anyway; most devices know few people.
        let tracked = self.olm.tracked_users().await?;
        let mut changed_devices = DeviceLists::new();
        changed_devices.changed =
            users.iter().filter_map(|id| user(id).ok()).filter(|id| tracked.contains(id)).collect();
        if changed_devices.changed.is_empty() {
            return Ok(());
        }
        let changes = EncryptionSyncChanges {
            to_device_events: Vec::new(),
            changed_devices: &changed_devices,
            one_time_keys_counts: &BTreeMap::new(),
            unused_fallback_keys: None,
            next_batch_token: None,
        };
        self.olm.receive_sync_changes(changes, &settings()).await.map_err(MachineError::of_olm)?;
        Ok(())
    }

    /// Any device may have changed: what was told meanwhile was not heard.
    ///
    /// # Errors
    /// `Store`.
    pub async fn everything_changed(&self) -> Result<(), MachineError> {
        Ok(self.olm.mark_all_tracked_users_as_dirty().await?)
    }

    /// These users' devices have to be known from here on.
    ///
    /// # Errors
    /// `Store`.
    pub async fn track(&self, users: &[String]) -> Result<(), MachineError> {
        let users: Vec<OwnedUserId> = users.iter().filter_map(|id| user(id).ok()).collect();
        Ok(self.olm.update_tracked_users(users.iter().map(borrowed)).await?)
    }

    /// The request for what is missing before a key can be given to these users' devices.
    ///
    /// # Errors
    /// `Store`.
    pub async fn claim(&self, users: &[String]) -> Result<Option<Request>, MachineError> {
        let users: Vec<OwnedUserId> = users.iter().filter_map(|id| user(id).ok()).collect();
        let missing = self.olm.get_missing_sessions(users.iter().map(borrowed)).await?;
        Ok(missing.map(|(id, request)| Request::claim(&id, &request)))
    }

    /// The requests that give the room's key to whoever of these users' devices has it not. A new key is made
    /// when the old one is used up, or is known to somebody who is not among them any more.
    ///
    /// # Errors
    /// `Olm` when it cannot be shared.
    pub async fn share(
        &self,
        room_id: &str,
        users: &[String],
        rules: &RoomRules,
    ) -> Result<Vec<Request>, MachineError> {
        let room_id = room(room_id)?;
        let mut users: Vec<OwnedUserId> = users.iter().filter_map(|id| user(id).ok()).collect();
        let shared = loop {
            match self.olm.share_room_key(&room_id, users.iter().map(borrowed), rules.0.clone()).await {
                Ok(shared) => break shared,
                // Nobody is given the key because of them: they are left out.
                Err(OlmError::SessionRecipientCollectionError(
                    SessionRecipientCollectionError::VerifiedUserChangedIdentity(others),
                )) if users.iter().any(|user| others.contains(user)) => {
                    users.retain(|user| !others.contains(user))
                }
                Err(error) => return Err(MachineError::of_olm(error)),
            }
        };
        Ok(shared.iter().map(|request| Request::to_device(request)).collect())
    }

    /// The content of `m.room.encrypted`. The room's key must have been shared.
    ///
    /// # Errors
    /// `Olm` when there is no key to use.
    pub async fn encrypt(&self, room_id: &str, kind: &str, content: &Value) -> Result<Value, MachineError> {
        let room_id = room(room_id)?;
        let raw = Raw::new(content).map_err(|error| MachineError::Words(error.to_string()))?.cast_unchecked();
        match self.olm.encrypt_room_event_raw(&room_id, kind, &raw).await {
            Ok(encrypted) => words(Some(&serde_json::to_value(&encrypted.content).map_err(word_error)?)),
            Err(MegolmError::Store(error)) => Err(error.into()),
            Err(error) => Err(MachineError::Olm(error.to_string())),
        }
    }

    /// The next thing said in a room gets a new key.
    ///
    /// # Errors
    /// `Store`.
    pub async fn discard(&self, room_id: &str) -> Result<(), MachineError> {
        self.olm.discard_room_key(&room(room_id)?).await?;
        Ok(())
    }
}

fn ready_in(epoch: &str) -> Vec<u8> {
    [&[READY_SINCE], epoch.as_bytes()].concat()
}

/// Takes what was sent all at once; where that is a panic, one after the other and without what panics: anybody can
/// send a device something, and would silence it for good. Source: ruma-identifiers-validation 0.12, `key_id::validate`,
/// which ends so on a long id in the keys that stand in a message of Olm; mended in 0.14.
async fn each_on_its_own<E: Clone, T, F: Future<Output = T>>(
    events: Vec<E>,
    take: impl Fn(Vec<E>) -> F,
) -> Vec<T> {
    if let Ok(taken) = AssertUnwindSafe(take(events.clone())).catch_unwind().await {
        return vec![taken];
    }
    let mut all = Vec::new();
    for event in events {
        match AssertUnwindSafe(take(vec![event])).catch_unwind().await {
            Ok(taken) => all.push(taken),
            Err(_) => {
                tracing::warn!("something that was sent to a device is passed over: it cannot be taken")
            }
        }
    }
    // What else the sync told, if all of it was so.
    if all.is_empty() {
        all.extend(AssertUnwindSafe(take(Vec::new())).catch_unwind().await.ok());
    }
    all
}

/// For what is sent to the device; whose words are taken for whose is judged where they are read.
fn settings() -> DecryptionSettings {
    DecryptionSettings { sender_device_trust_requirement: TrustRequirement::Untrusted }
}

pub(crate) fn user(id: &str) -> Result<OwnedUserId, MachineError> {
    UserId::parse(id).map_err(|error| MachineError::Words(format!("{id:?} is no id of a user: {error}")))
}

pub(crate) fn room(id: &str) -> Result<ruma::OwnedRoomId, MachineError> {
    RoomId::parse(id).map_err(|error| MachineError::Words(format!("{id:?} is no id of a room: {error}")))
}

fn word_error(error: serde_json::Error) -> MachineError {
    MachineError::Words(error.to_string())
}

/// A part of an answer; one that is not there is empty.
fn words<T: serde::de::DeserializeOwned + Default>(part: Option<&Value>) -> Result<T, MachineError> {
    match part {
        Some(part) => serde_json::from_value(part.clone()).map_err(word_error),
        None => Ok(T::default()),
    }
}

/// Not a closure: one whose argument has any lifetime would keep futures from being sent.
fn borrowed(user: &OwnedUserId) -> &UserId {
    user
}
