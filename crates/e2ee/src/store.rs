//! `matrix-sdk-crypto`'s store over notes: one row per thing, a change of several things one commit.

mod changes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use matrix_sdk_crypto::olm::{
    Account, Curve25519PublicKey, InboundGroupSession, OlmMessageHash, OutboundGroupSession, PickledAccount,
    PickledCrossSigningIdentity, PickledInboundGroupSession, PickledOutboundGroupSession, PickledSession,
    PrivateCrossSigningIdentity, SenderDataType, Session,
};
use matrix_sdk_crypto::store::types::{
    BackupDecryptionKey, BackupKeys, Changes, DehydratedDeviceKey, PendingChanges, RoomKeyCounts,
    RoomKeyWithheldEntry, RoomPendingKeyBundleDetails, RoomSettings, StoredRoomKeyBundleData, TrackedUser,
};
use matrix_sdk_crypto::store::{CryptoStore, CryptoStoreError};
use matrix_sdk_crypto::{DeviceData, GossipRequest, SecretInfo, UserIdentityData};
use ruma::events::secret::request::SecretName;
use ruma::{DeviceId, OwnedDeviceId, RoomId, TransactionId, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::rows::{Changed, Rows, part};

type Result<T, E = CryptoStoreError> = std::result::Result<T, E>;

/// The kinds of things; a key begins with one.
pub(crate) mod kind {
    pub(crate) const ACCOUNT: &str = "account";
    /// The cross-signing seeds.
    pub(crate) const IDENTITY: &str = "identity";
    pub(crate) const SESSION: &str = "olm";
    /// Messages between devices that were read: `true`, and `false` once they were seen by a sweep.
    pub(crate) const HASH: &str = "hash";
    /// Keys to what others and we said.
    pub(crate) const INBOUND: &str = "inbound";
    /// Whose they are: by the sender's key, room and session.
    pub(crate) const INBOUND_OF: &str = "inbound-of";
    /// What was read with them: the event that was taken, by room, session and place.
    pub(crate) const TAKEN: &str = "taken";
    pub(crate) const OUTBOUND: &str = "outbound";
    pub(crate) const DEVICE: &str = "device";
    pub(crate) const USER: &str = "user";
    /// The key of somebody that was verified, by user: it stays when what is known of their devices goes.
    pub(crate) const VERIFIED: &str = "verified";
    pub(crate) const TRACKED: &str = "tracked";
    pub(super) const REQUEST: &str = "request";
    pub(super) const REQUEST_OF: &str = "request-of";
    pub(super) const SECRET: &str = "secret";
    pub(crate) const WITHHELD: &str = "withheld";
    pub(crate) const SETTINGS: &str = "settings";
    pub(super) const BUNDLE: &str = "bundle";
    pub(super) const BUNDLE_WAITS: &str = "bundle-waits";
    pub(super) const DOWNLOADED: &str = "downloaded";
    pub(super) const BACKUP_KEY: &str = "backup-key";
    pub(super) const BACKUP_VERSION: &str = "backup-version";
    pub(super) const DEHYDRATED: &str = "dehydrated";
    pub(super) const NEXT_BATCH: &str = "next-batch";
    pub(crate) const CUSTOM: &str = "custom";
}

/// An inbound group session, and the backup that has it.
#[derive(Serialize, Deserialize)]
struct Inbound {
    pickle: PickledInboundGroupSession,
    #[serde(default)]
    backed_up_to: Option<String>,
    /// When a sweep saw it first, in milliseconds: what is old enough to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
}

/// What of an inbound group session decides whether it is looked for: most are not, and reading one costs an unpickling.
#[derive(Serialize, Deserialize)]
struct InboundOf {
    session_id: String,
    sender_data: SenderDataType,
}

impl InboundOf {
    fn new(session: &InboundGroupSession) -> Self {
        Self { session_id: session.session_id().to_owned(), sender_data: session.sender_data_type() }
    }
}

/// The mark of a store in which every inbound group session can be found by its sender's key.
const FOUND_BY_SENDER: &str = "inbound-found-by-sender";

/// Held over a read and a write of one row: where something is added to what is there.
pub(crate) type Turn = Arc<Mutex<()>>;

impl Inbound {
    fn session(self) -> Result<InboundGroupSession> {
        Ok(InboundGroupSession::from_pickle(self.pickle)?)
    }
}

/// The state of one device.
#[derive(Debug)]
pub(crate) struct NoteStore {
    rows: Rows,
    turn: Turn,
}

impl NoteStore {
    pub(crate) fn new(rows: Rows, turn: Turn) -> Self {
        Self { rows, turn }
    }

    async fn account(&self) -> Result<Option<Account>> {
        let pickle: Option<PickledAccount> = self.rows.read(kind::ACCOUNT, &[]).await?;
        Ok(pickle.map(Account::from_pickle).transpose()?)
    }

    async fn inbound(&self, room_id: &RoomId, session_id: &str) -> Result<Option<Inbound>> {
        self.rows.read(kind::INBOUND, &[room_id.as_str(), session_id]).await
    }

    async fn all_inbound(&self) -> Result<Vec<Inbound>> {
        self.rows.list(kind::INBOUND, &[]).await
    }

    fn inbound_of_key(&self, session: &InboundGroupSession) -> String {
        let parts = [&session.sender_key().to_base64(), session.room_id().as_str(), session.session_id()];
        self.rows.key(kind::INBOUND_OF, &parts)
    }

    /// Has sessions from before they could be found by their sender's key be found. Once for each store.
    async fn find_by_sender(&self) -> Result<()> {
        if self.rows.has(kind::CUSTOM, &[FOUND_BY_SENDER]).await? {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        for room in self.rows.groups(kind::INBOUND).await? {
            let mut changed = Changed::default();
            for (_, bytes) in self.rows.all_of_group(kind::INBOUND, &room).await? {
                let session = serde_json::from_slice::<Inbound>(&bytes)?.session()?;
                changed.put(self.inbound_of_key(&session), &InboundOf::new(&session))?;
            }
            self.rows.write(changed).await?;
        }
        self.put(kind::CUSTOM, &[FOUND_BY_SENDER], &true).await
    }

    async fn put(&self, kind: &str, parts: &[&str], value: &impl Serialize) -> Result<()> {
        let mut changes = Changed::default();
        changes.put(self.rows.key(kind, parts), value)?;
        self.rows.write(changes).await
    }

    async fn remove(&self, kind: &str, parts: &[&str]) -> Result<()> {
        let mut changes = Changed::default();
        changes.remove(self.rows.key(kind, parts));
        self.rows.write(changes).await
    }
}

/// Something that was stored cannot be what it was.
fn damaged<E: std::error::Error + Send + Sync + 'static>(error: E) -> CryptoStoreError {
    CryptoStoreError::backend(error)
}

#[async_trait]
impl CryptoStore for NoteStore {
    type Error = CryptoStoreError;

    async fn load_account(&self) -> Result<Option<Account>> {
        self.account().await
    }

    async fn load_identity(&self) -> Result<Option<PrivateCrossSigningIdentity>> {
        let pickle: Option<PickledCrossSigningIdentity> = self.rows.read(kind::IDENTITY, &[]).await?;
        pickle.map(PrivateCrossSigningIdentity::from_pickle).transpose().map_err(damaged)
    }

    async fn save_changes(&self, changes: Changes) -> Result<()> {
        let _turn = self.turn.lock().await;
        let changed = self.changed(changes).await?;
        self.rows.write(changed).await
    }

    async fn save_pending_changes(&self, changes: PendingChanges) -> Result<()> {
        match changes.account {
            Some(account) => self.put(kind::ACCOUNT, &[], &account.pickle()).await,
            None => Ok(()),
        }
    }

    async fn save_inbound_group_sessions(
        &self,
        sessions: Vec<InboundGroupSession>,
        backed_up_to_version: Option<&str>,
    ) -> Result<()> {
        let _turn = self.turn.lock().await;
        let mut changed = Changed::default();
        for session in &sessions {
            self.inbound_changed(&mut changed, session, backed_up_to_version).await?;
        }
        self.rows.write(changed).await
    }

    async fn get_sessions(&self, sender_key: &str) -> Result<Option<Vec<Session>>> {
        let pickles: Vec<PickledSession> = self.rows.list(kind::SESSION, &[sender_key]).await?;
        if pickles.is_empty() {
            return Ok(None);
        }
        let own = self.get_own_device().await?.as_device_keys().clone();
        let sessions = pickles.into_iter().map(|pickle| Session::from_pickle(own.clone(), pickle));
        sessions.collect::<Result<Vec<_>, _>>().map(Some).map_err(damaged)
    }

    async fn get_inbound_group_session(
        &self,
        room_id: &RoomId,
        session_id: &str,
    ) -> Result<Option<InboundGroupSession>> {
        self.inbound(room_id, session_id).await?.map(Inbound::session).transpose()
    }

    async fn get_withheld_info(
        &self,
        room_id: &RoomId,
        session_id: &str,
    ) -> Result<Option<RoomKeyWithheldEntry>> {
        self.rows.read(kind::WITHHELD, &[room_id.as_str(), session_id]).await
    }

    async fn get_withheld_sessions_by_room_id(&self, room_id: &RoomId) -> Result<Vec<RoomKeyWithheldEntry>> {
        self.rows.list(kind::WITHHELD, &[room_id.as_str()]).await
    }

    async fn get_inbound_group_sessions(&self) -> Result<Vec<InboundGroupSession>> {
        self.all_inbound().await?.into_iter().map(Inbound::session).collect()
    }

    async fn inbound_group_session_counts(&self, backup_version: Option<&str>) -> Result<RoomKeyCounts> {
        let all = self.all_inbound().await?;
        let is_in =
            |one: &&Inbound| backup_version.is_some() && one.backed_up_to.as_deref() == backup_version;
        Ok(RoomKeyCounts { total: all.len(), backed_up: all.iter().filter(is_in).count() })
    }

    async fn get_inbound_group_sessions_by_room_id(
        &self,
        room_id: &RoomId,
    ) -> Result<Vec<InboundGroupSession>> {
        let all: Vec<Inbound> = self.rows.list(kind::INBOUND, &[room_id.as_str()]).await?;
        all.into_iter().map(Inbound::session).collect()
    }

    async fn get_inbound_group_sessions_for_device_batch(
        &self,
        curve_key: Curve25519PublicKey,
        sender_data_type: SenderDataType,
        after_session_id: Option<String>,
        limit: usize,
    ) -> Result<Vec<InboundGroupSession>> {
        self.find_by_sender().await?;
        let sender = part(&curve_key.to_base64());
        let mut found: Vec<(String, String)> = Vec::new();
        for (key, bytes) in self.rows.all_of_group(kind::INBOUND_OF, &sender).await? {
            let of: InboundOf = serde_json::from_slice(&bytes)?;
            let is_behind = after_session_id.as_deref().is_none_or(|after| of.session_id.as_str() > after);
            if of.sender_data == sender_data_type && is_behind {
                let place = self.rows.behind(kind::INBOUND_OF, &key).split_once('/');
                found.extend(place.map(|(_, place)| (of.session_id, place.to_owned())));
            }
        }
        found.sort_unstable();
        let mut sessions = Vec::new();
        for (_, place) in found.into_iter().take(limit) {
            let session: Option<Inbound> = self.rows.read_at(kind::INBOUND, &place).await?;
            sessions.extend(session.map(Inbound::session).transpose()?);
        }
        Ok(sessions)
    }

    async fn inbound_group_sessions_for_backup(
        &self,
        backup_version: &str,
        limit: usize,
    ) -> Result<Vec<InboundGroupSession>> {
        let all = self.all_inbound().await?;
        let left = all.into_iter().filter(|one| one.backed_up_to.as_deref() != Some(backup_version));
        left.take(limit).map(Inbound::session).collect()
    }

    async fn mark_inbound_group_sessions_as_backed_up(
        &self,
        backup_version: &str,
        room_and_session_ids: &[(&RoomId, &str)],
    ) -> Result<()> {
        let _turn = self.turn.lock().await;
        let mut changed = Changed::default();
        for (room_id, session_id) in room_and_session_ids {
            if let Some(session) = self.get_inbound_group_session(room_id, session_id).await? {
                session.mark_as_backed_up();
                self.inbound_changed(&mut changed, &session, Some(backup_version)).await?;
            }
        }
        self.rows.write(changed).await
    }

    async fn reset_backup_state(&self) -> Result<()> {
        // Each session says which backup has it, and another one has another version.
        Ok(())
    }

    async fn load_backup_keys(&self) -> Result<BackupKeys> {
        let decryption_key: Option<BackupDecryptionKey> = self.rows.read(kind::BACKUP_KEY, &[]).await?;
        let backup_version = self.rows.read(kind::BACKUP_VERSION, &[]).await?;
        Ok(BackupKeys { decryption_key, backup_version })
    }

    async fn load_dehydrated_device_pickle_key(&self) -> Result<Option<DehydratedDeviceKey>> {
        self.rows.read(kind::DEHYDRATED, &[]).await
    }

    async fn delete_dehydrated_device_pickle_key(&self) -> Result<()> {
        self.remove(kind::DEHYDRATED, &[]).await
    }

    async fn get_outbound_group_session(&self, room_id: &RoomId) -> Result<Option<OutboundGroupSession>> {
        let pickle: Option<PickledOutboundGroupSession> =
            self.rows.read(kind::OUTBOUND, &[room_id.as_str()]).await?;
        let Some(pickle) = pickle else { return Ok(None) };
        let account = self.account().await?.ok_or(CryptoStoreError::AccountUnset)?;
        let keys = Arc::new(account.identity_keys());
        Ok(Some(OutboundGroupSession::from_pickle(account.device_id().to_owned(), keys, pickle)?))
    }

    async fn load_tracked_users(&self) -> Result<Vec<TrackedUser>> {
        self.rows.list(kind::TRACKED, &[]).await
    }

    async fn save_tracked_users(&self, users: &[(&UserId, bool)]) -> Result<()> {
        let mut changed = Changed::default();
        for (user_id, dirty) in users {
            let tracked = TrackedUser { user_id: (*user_id).to_owned(), dirty: *dirty };
            changed.put(self.rows.key(kind::TRACKED, &[user_id.as_str()]), &tracked)?;
        }
        self.rows.write(changed).await
    }

    async fn get_device(&self, user_id: &UserId, device_id: &DeviceId) -> Result<Option<DeviceData>> {
        self.rows.read(kind::DEVICE, &[user_id.as_str(), device_id.as_str()]).await
    }

    async fn get_user_devices(&self, user_id: &UserId) -> Result<HashMap<OwnedDeviceId, DeviceData>> {
        let all: Vec<DeviceData> = self.rows.list(kind::DEVICE, &[user_id.as_str()]).await?;
        Ok(all.into_iter().map(|device| (device.device_id().to_owned(), device)).collect())
    }

    async fn get_own_device(&self) -> Result<DeviceData> {
        let account = self.account().await?.ok_or(CryptoStoreError::AccountUnset)?;
        let own = self.get_device(account.user_id(), account.device_id()).await?;
        own.ok_or(CryptoStoreError::AccountUnset)
    }

    async fn get_user_identity(&self, user_id: &UserId) -> Result<Option<UserIdentityData>> {
        self.rows.read(kind::USER, &[user_id.as_str()]).await
    }

    async fn is_message_known(&self, message_hash: &OlmMessageHash) -> Result<bool> {
        let parts = [message_hash.sender_key.as_str(), message_hash.hash.as_str()];
        Ok(self.rows.read::<bool>(kind::HASH, &parts).await?.is_some())
    }

    async fn get_outgoing_secret_requests(&self, id: &TransactionId) -> Result<Option<GossipRequest>> {
        self.rows.read(kind::REQUEST, &[id.as_str()]).await
    }

    async fn get_secret_request_by_info(&self, info: &SecretInfo) -> Result<Option<GossipRequest>> {
        let id: Option<String> = self.rows.read(kind::REQUEST_OF, &[&info.as_key()]).await?;
        match id {
            Some(id) => self.rows.read(kind::REQUEST, &[&id]).await,
            None => Ok(None),
        }
    }

    async fn get_unsent_secret_requests(&self) -> Result<Vec<GossipRequest>> {
        let all: Vec<GossipRequest> = self.rows.list(kind::REQUEST, &[]).await?;
        Ok(all.into_iter().filter(|request| !request.sent_out).collect())
    }

    async fn delete_outgoing_secret_requests(&self, id: &TransactionId) -> Result<()> {
        let Some(request) = self.get_outgoing_secret_requests(id).await? else { return Ok(()) };
        let mut changed = Changed::default();
        changed.remove(self.rows.key(kind::REQUEST, &[id.as_str()]));
        changed.remove(self.rows.key(kind::REQUEST_OF, &[&request.info.as_key()]));
        self.rows.write(changed).await
    }

    async fn get_secrets_from_inbox(&self, secret_name: &SecretName) -> Result<Vec<Zeroizing<String>>> {
        let secrets: Option<Vec<String>> = self.rows.read(kind::SECRET, &[secret_name.as_str()]).await?;
        Ok(secrets.unwrap_or_default().into_iter().map(Zeroizing::new).collect())
    }

    async fn delete_secrets_from_inbox(&self, secret_name: &SecretName) -> Result<()> {
        self.remove(kind::SECRET, &[secret_name.as_str()]).await
    }

    async fn get_room_settings(&self, room_id: &RoomId) -> Result<Option<RoomSettings>> {
        self.rows.read(kind::SETTINGS, &[room_id.as_str()]).await
    }

    async fn get_received_room_key_bundle_data(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Option<StoredRoomKeyBundleData>> {
        self.rows.read(kind::BUNDLE, &[room_id.as_str(), user_id.as_str()]).await
    }

    async fn get_pending_key_bundle_details_for_room(
        &self,
        room_id: &RoomId,
    ) -> Result<Option<RoomPendingKeyBundleDetails>> {
        self.rows.read(kind::BUNDLE_WAITS, &[room_id.as_str()]).await
    }

    async fn get_all_rooms_pending_key_bundles(&self) -> Result<Vec<RoomPendingKeyBundleDetails>> {
        self.rows.list(kind::BUNDLE_WAITS, &[]).await
    }

    async fn has_downloaded_all_room_keys(&self, room_id: &RoomId) -> Result<bool> {
        Ok(self.rows.read::<bool>(kind::DOWNLOADED, &[room_id.as_str()]).await?.is_some())
    }

    async fn get_custom_value(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.rows.read(kind::CUSTOM, &[key]).await
    }

    async fn set_custom_value(&self, key: &str, value: Vec<u8>) -> Result<()> {
        self.put(kind::CUSTOM, &[key], &value).await
    }

    async fn remove_custom_value(&self, key: &str) -> Result<()> {
        self.remove(kind::CUSTOM, &[key]).await
    }

    async fn try_take_leased_lock(&self, _: u32, _: &str, _: &str) -> Result<Option<u64>> {
        // A database has one gateway (docs/decisions/0021), so nobody else could hold it.
        Ok(Some(1))
    }

    async fn next_batch_token(&self) -> Result<Option<String>> {
        self.rows.read(kind::NEXT_BATCH, &[]).await
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    async fn reopen(&self) -> Result<()> {
        Ok(())
    }

    async fn get_size(&self) -> Result<Option<usize>> {
        Ok(None)
    }
}
