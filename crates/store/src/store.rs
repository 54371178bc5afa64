//! The store itself.
#![allow(missing_docs, unused_variables, clippy::todo, reason = "the bodies follow")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use wxgate_contract::*;

use crate::error::StoreError;
use crate::report::*;
use crate::seal::SealKey;
use crate::url::StoreUrl;

#[derive(Clone, Debug)]
pub struct StoreConfig {
    pub url: StoreUrl,
    pub data_dir: PathBuf,
    pub seal_key: SealKey,
    pub max_media_bytes: u64,
}

/// Writes the signed address of an attachment.
pub type LinkMedia = Arc<dyn Fn(MediaId, &str) -> Option<String> + Send + Sync>;

#[derive(Clone)]
pub struct Store {}

impl Store {
    pub async fn open(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> { todo!() }
    pub async fn close(&self) { todo!() }
    pub async fn commit_batch(&self, network: &NetworkId, batch: Batch, route: Arc<dyn Route>) -> Result<CommitReport, StoreError> { todo!() }
    pub async fn settle(&self, network: &NetworkId, delivery: DeliveryId, outcome: Outcome) -> Result<SettleReport, StoreError> { todo!() }
    pub async fn open_lanes(&self) -> Result<Vec<(ChatRef, Timestamp)>, StoreError> { todo!() }
    pub async fn next_in_lane(&self, lane: &ChatRef) -> Result<Option<(Delivery, Timestamp)>, StoreError> { todo!() }
    pub async fn lane_stats(&self) -> Result<Vec<LaneStats>, StoreError> { todo!() }
    pub async fn note(&self, network: &NetworkId, key: &str) -> Result<Option<Bytes>, StoreError> { todo!() }
    pub async fn notes_of(&self, network: &NetworkId, keys: &[String]) -> Result<Vec<(String, Bytes)>, StoreError> { todo!() }
    pub async fn notes(&self, network: &NetworkId, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>, StoreError> { todo!() }
    pub async fn chats(&self, network: &NetworkId, after: Option<&ChatKey>, limit: usize) -> Result<Vec<ChatProfile>, StoreError> { todo!() }
    pub async fn chat(&self, chat: &ChatRef) -> Result<Option<ChatProfile>, StoreError> { todo!() }
    pub async fn people(&self, network: &NetworkId, keys: &[PersonKey]) -> Result<Vec<PersonProfile>, StoreError> { todo!() }
    pub async fn contacts(&self, network: &NetworkId, after: Option<&PersonKey>, limit: usize) -> Result<Vec<PersonProfile>, StoreError> { todo!() }
    pub async fn history(&self, network: &NetworkId, chat: Option<&ChatKey>, range: HistoryRange, limit: usize) -> Result<Vec<TimelineItem>, StoreError> { todo!() }
    pub async fn add_user(&self, name: &UserName, password: Option<&str>, is_admin: bool) -> Result<(), StoreError> { todo!() }
    /// `None` takes the password away.
    pub async fn set_password(&self, name: &UserName, password: Option<&str>) -> Result<(), StoreError> { todo!() }
    pub async fn users(&self) -> Result<Vec<UserRow>, StoreError> { todo!() }
    pub async fn user(&self, name: &UserName) -> Result<Option<UserRow>, StoreError> { todo!() }
    /// Conflict while the person has accounts.
    pub async fn remove_user(&self, name: &UserName) -> Result<(), StoreError> { todo!() }
    pub async fn verify_password(&self, name: &UserName, password: &str) -> Result<bool, StoreError> { todo!() }
    /// Makes a new token, shown this once.
    pub async fn set_token(&self, name: &UserName) -> Result<String, StoreError> { todo!() }
    pub async fn verify_token(&self, token: &str) -> Result<Option<UserName>, StoreError> { todo!() }
    pub async fn add_account(&self, network: &NetworkId, owner: &UserName) -> Result<AccountRow, StoreError> { todo!() }
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> { todo!() }
    pub async fn account(&self, network: &NetworkId) -> Result<Option<AccountRow>, StoreError> { todo!() }
    pub async fn set_account_state(&self, network: &NetworkId, change: AccountChange) -> Result<(), StoreError> { todo!() }
    pub async fn remove_account(&self, network: &NetworkId) -> Result<(), StoreError> { todo!() }
    pub async fn add_link(&self, members: &[ChatRef]) -> Result<LinkId, StoreError> { todo!() }
    pub async fn links(&self) -> Result<Vec<Link>, StoreError> { todo!() }
    /// False when there is no such link.
    pub async fn remove_link(&self, link: LinkId) -> Result<bool, StoreError> { todo!() }
    /// The vault of attachments; `link` writes addresses.
    pub fn vault(&self, link: LinkMedia) -> Arc<dyn MediaVault> { todo!() }
    pub async fn prune_media(&self, keep_days: u32, max_store_bytes: u64) -> Result<Pruned, StoreError> { todo!() }
    pub async fn prune(&self) -> Result<Pruned, StoreError> { todo!() }
    pub async fn backup(&self, path: &Path) -> Result<(), StoreError> { todo!() }
}
