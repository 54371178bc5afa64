//! What the machine changed, as notes that are committed together.

use matrix_sdk_crypto::olm::InboundGroupSession;
use matrix_sdk_crypto::store::types::Changes;

use super::{Inbound, InboundOf, NoteStore, Result, kind};
use crate::rows::Changed;

impl NoteStore {
    pub(super) async fn changed(&self, changes: Changes) -> Result<Changed> {
        let mut changed = Changed::default();
        self.sessions_changed(&mut changed, &changes).await?;
        self.people_changed(&mut changed, &changes)?;
        self.requests_changed(&mut changed, &changes)?;
        self.secrets_changed(&mut changed, &changes).await?;
        self.rooms_changed(&mut changed, &changes)?;
        Ok(changed)
    }

    pub(super) async fn inbound_changed(
        &self,
        changed: &mut Changed,
        session: &InboundGroupSession,
        backed_up_to: Option<&str>,
    ) -> Result<()> {
        let key = self.rows.key(kind::INBOUND, &[session.room_id().as_str(), session.session_id()]);
        let pickle = session.pickle().await;
        let before = self.inbound(session.room_id(), session.session_id()).await?;
        let since = before.and_then(|before| before.since);
        changed.put(self.inbound_of_key(session), &InboundOf::new(session))?;
        changed.put(key, &Inbound { pickle, backed_up_to: backed_up_to.map(str::to_owned), since })
    }

    async fn sessions_changed(&self, changed: &mut Changed, changes: &Changes) -> Result<()> {
        for session in &changes.sessions {
            let pickle = session.pickle().await;
            let parts = [pickle.sender_key.to_base64(), session.session_id().to_owned()];
            changed.put(self.rows.key(kind::SESSION, &[&parts[0], &parts[1]]), &pickle)?;
        }
        for hash in &changes.message_hashes {
            changed.put(self.rows.key(kind::HASH, &[&hash.sender_key, &hash.hash]), &true)?;
        }
        for session in &changes.inbound_group_sessions {
            self.inbound_changed(changed, session, None).await?;
        }
        for session in &changes.outbound_group_sessions {
            let key = self.rows.key(kind::OUTBOUND, &[session.room_id().as_str()]);
            changed.put(key, &session.pickle().await)?;
        }
        Ok(())
    }

    fn people_changed(&self, changed: &mut Changed, changes: &Changes) -> Result<()> {
        let device = |user: &str, device: &str| self.rows.key(kind::DEVICE, &[user, device]);
        for one in changes.devices.new.iter().chain(&changes.devices.changed) {
            changed.put(device(one.user_id().as_str(), one.device_id().as_str()), one)?;
        }
        for one in &changes.devices.deleted {
            changed.remove(device(one.user_id().as_str(), one.device_id().as_str()));
        }
        for one in changes.identities.new.iter().chain(&changes.identities.changed) {
            changed.put(self.rows.key(kind::USER, &[one.user_id().as_str()]), one)?;
        }
        Ok(())
    }

    fn requests_changed(&self, changed: &mut Changed, changes: &Changes) -> Result<()> {
        for request in &changes.key_requests {
            let id = request.request_id.as_str();
            changed.put(self.rows.key(kind::REQUEST, &[id]), request)?;
            changed.put(self.rows.key(kind::REQUEST_OF, &[&request.info.as_key()]), &id)?;
        }
        Ok(())
    }

    async fn secrets_changed(&self, changed: &mut Changed, changes: &Changes) -> Result<()> {
        if let Some(identity) = &changes.private_identity {
            changed.put(self.rows.key(kind::IDENTITY, &[]), &identity.pickle().await)?;
        }
        if let Some(key) = &changes.backup_decryption_key {
            changed.put(self.rows.key(kind::BACKUP_KEY, &[]), key)?;
        }
        if let Some(version) = &changes.backup_version {
            changed.put(self.rows.key(kind::BACKUP_VERSION, &[]), version)?;
        }
        if let Some(key) = &changes.dehydrated_device_pickle_key {
            changed.put(self.rows.key(kind::DEHYDRATED, &[]), key)?;
        }
        if let Some(token) = &changes.next_batch_token {
            changed.put(self.rows.key(kind::NEXT_BATCH, &[]), token)?;
        }
        for secret in &changes.secrets {
            let name = secret.secret_name.as_str();
            let mut all: Vec<String> = self.rows.read(kind::SECRET, &[name]).await?.unwrap_or_default();
            all.push(secret.secret.to_string());
            changed.put(self.rows.key(kind::SECRET, &[name]), &all)?;
        }
        Ok(())
    }

    fn rooms_changed(&self, changed: &mut Changed, changes: &Changes) -> Result<()> {
        for (room_id, entries) in &changes.withheld_session_info {
            for (session_id, entry) in entries {
                changed.put(self.rows.key(kind::WITHHELD, &[room_id.as_str(), session_id]), entry)?;
            }
        }
        for (room_id, settings) in &changes.room_settings {
            changed.put(self.rows.key(kind::SETTINGS, &[room_id.as_str()]), settings)?;
        }
        for bundle in &changes.received_room_key_bundles {
            let parts = [bundle.bundle_data.room_id.as_str(), bundle.sender_user.as_str()];
            changed.put(self.rows.key(kind::BUNDLE, &parts), bundle)?;
        }
        for room_id in &changes.room_key_backups_fully_downloaded {
            changed.put(self.rows.key(kind::DOWNLOADED, &[room_id.as_str()]), &true)?;
        }
        for (room_id, details) in &changes.rooms_pending_key_bundle {
            let key = self.rows.key(kind::BUNDLE_WAITS, &[room_id.as_str()]);
            match details {
                Some(details) => changed.put(key, details)?,
                None => changed.remove(key),
            }
        }
        Ok(())
    }
}
