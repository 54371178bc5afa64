//! Where the state of one device is kept: secret notes under a prefix of its own.
//!
//! What a key is made of is hashed, because ids of users and rooms may be longer than a key, and nothing is
//! looked up by a part of them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use matrix_sdk_crypto::CryptoStoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use wxgate_contract::{Batch, FarEnd, NetworkId, Note};

/// Notes read at once.
const PAGE: usize = 500;
/// What all keys of this crate begin with.
const SHELF: &str = "e2ee";
/// Bytes of a hash that make a part of a key: 128 bits.
const PART_BYTES: usize = 16;

/// The notes of one device.
#[derive(Clone)]
pub(crate) struct Rows {
    far: Arc<dyn FarEnd>,
    network: NetworkId,
    prefix: String,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Rows {
    pub(crate) fn new(far: Arc<dyn FarEnd>, network: NetworkId, user_id: &str) -> Self {
        let prefix = format!("{SHELF}/{}/", part(user_id));
        Self { far, network, prefix }
    }

    /// The key of a thing: its kind, and what tells it from others of the kind.
    pub(crate) fn key(&self, kind: &str, parts: &[&str]) -> String {
        let mut key = format!("{}{kind}", self.prefix);
        for one in parts {
            key.push('/');
            key.push_str(&part(one));
        }
        key
    }

    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        kind: &str,
        parts: &[&str],
    ) -> Result<Option<T>, CryptoStoreError> {
        self.read_key(&self.key(kind, parts)).await
    }

    /// A thing by what [`Rows::behind`] gave of its key.
    pub(crate) async fn read_at<T: DeserializeOwned>(
        &self,
        kind: &str,
        place: &str,
    ) -> Result<Option<T>, CryptoStoreError> {
        self.read_key(&format!("{}/{place}", self.key(kind, &[]))).await
    }

    async fn read_key<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, CryptoStoreError> {
        let found = self.far.note(&self.network, key).await.map_err(CryptoStoreError::backend)?;
        found.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(Into::into)
    }

    /// Everything of a kind, as far as `parts` tell.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        kind: &str,
        parts: &[&str],
    ) -> Result<Vec<T>, CryptoStoreError> {
        let prefix = format!("{}/", self.key(kind, parts));
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.far.notes(&self.network, &prefix, after.as_deref(), PAGE).await;
            let page = page.map_err(CryptoStoreError::backend)?;
            let Some((last, _)) = page.last() else { return Ok(all) };
            after = Some(last.clone());
            for (_, bytes) in &page {
                all.push(serde_json::from_slice(bytes)?);
            }
            if page.len() < PAGE {
                return Ok(all);
            }
        }
    }

    /// True when there is such a thing.
    pub(crate) async fn has(&self, kind: &str, parts: &[&str]) -> Result<bool, CryptoStoreError> {
        let found = self.far.note(&self.network, &self.key(kind, parts)).await;
        Ok(found.map_err(CryptoStoreError::backend)?.is_some())
    }

    /// What the first parts of the keys of a kind are, each once.
    pub(crate) async fn groups(&self, kind: &str) -> Result<Vec<String>, CryptoStoreError> {
        let prefix = format!("{}/", self.key(kind, &[]));
        let mut groups = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.far.notes(&self.network, &prefix, after.as_deref(), 1).await;
            let page = page.map_err(CryptoStoreError::backend)?;
            let Some((key, _)) = page.first() else { return Ok(groups) };
            let rest = key.strip_prefix(&prefix).unwrap_or_default();
            let group = rest.split('/').next().unwrap_or_default().to_owned();
            // Behind all of the group: the next character after the slash.
            after = Some(format!("{prefix}{group}0"));
            groups.push(group);
        }
    }

    /// What tells a thing from others of its kind, of its key.
    pub(crate) fn behind<'a>(&self, kind: &str, key: &'a str) -> &'a str {
        key.strip_prefix(&format!("{}/", self.key(kind, &[]))).unwrap_or(key)
    }

    /// Everything of a kind whose keys begin with one part, or with several.
    pub(crate) async fn all_of_group(
        &self,
        kind: &str,
        group: &str,
    ) -> Result<Vec<(String, Bytes)>, CryptoStoreError> {
        // Parts have one length, so no other part begins with this one.
        let prefix = format!("{}/{group}", self.key(kind, &[]));
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.far.notes(&self.network, &prefix, after.as_deref(), PAGE).await;
            let page = page.map_err(CryptoStoreError::backend)?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|(key, _)| key.clone());
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Writes all of it, or nothing.
    pub(crate) async fn write(&self, changes: Changed) -> Result<(), CryptoStoreError> {
        if changes.0.is_empty() {
            return Ok(());
        }
        let batch = Batch { notes: changes.0, ..Batch::default() };
        self.far.commit(&self.network, batch).await.map_err(CryptoStoreError::backend)?;
        Ok(())
    }

    /// Forgets everything but the kinds in `keeps`.
    pub(crate) async fn clear(&self, keeps: &[&str]) -> Result<(), CryptoStoreError> {
        let kept: Vec<String> = keeps.iter().map(|kind| self.key(kind, &[])).collect();
        let is_kept = |key: &str| {
            kept.iter().any(|kept| {
                key.strip_prefix(kept.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let mut after: Option<String> = None;
        loop {
            let page = self.far.notes(&self.network, &self.prefix, after.as_deref(), PAGE).await;
            let page = page.map_err(CryptoStoreError::backend)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let mut changes = Changed::default();
            for (key, _) in page.into_iter().filter(|(key, _)| !is_kept(key)) {
                changes.remove(key);
            }
            self.write(changes).await?;
        }
    }
}

/// What is written together.
#[derive(Default)]
pub(crate) struct Changed(Vec<Note>);

impl Changed {
    pub(crate) fn put(&mut self, key: String, value: &impl Serialize) -> Result<(), CryptoStoreError> {
        let value = Some(Bytes::from(serde_json::to_vec(value)?));
        self.0.push(Note { key, value, is_secret: true });
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: String) {
        self.0.push(Note { key, value: None, is_secret: true });
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A part of a key.
pub(crate) fn part(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(PART_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
