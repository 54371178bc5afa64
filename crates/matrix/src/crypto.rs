//! End-to-bridge encryption: whatever is said in an encrypted room is encrypted here and read here.
//!
//! The bot has a device that keys are sent to, fed by a `/sync` of its own ([`sync`]); every ghost that speaks
//! in an encrypted room has one that only sends ([`devices`]), so that its words are signed by its own keys
//! and not by the bot's. [`rooms`] knows which rooms are encrypted and who has to be able to read them, [`seal`]
//! encrypts, [`open`] reads. Which device of whom is used and why: docs/decisions/0025.

mod claim;
mod daily;
mod devices;
mod epoch;
mod files;
mod inbox;
mod open;
mod prune;
mod rooms;
mod seal;
mod sync;
#[cfg(test)]
mod tests;
mod told;
mod verify;

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use tokio::sync::{Mutex, Notify};

use crate::config::{Encryption, MatrixConfig};
use crate::rooms::ENCRYPTION;
use crate::shared::Shared;
use crate::trouble::Trouble;
use claim::Dry;
use devices::Devices;
use epoch::Epoch;
pub(crate) use files::FileReader;
use open::Asked;
pub(crate) use open::Opened;
use rooms::Rooms;
pub(crate) use sync::run;
use told::Told;
use verify::Verifying;

/// The devices and what is known about rooms.
pub(crate) struct Crypto {
    is_on: bool,
    devices: Devices,
    rooms: Rooms,
    /// Rung when keys came.
    came: Notify,
    /// What the homeserver said about people's devices.
    told: Told,
    /// Senders whose devices were asked for.
    asked: Asked,
    dry: Dry,
    verifying: Verifying,
    /// Counts what may make a key go to somebody else: members and devices that came or went.
    changes: AtomicU64,
    /// Counts what was encrypted in this run.
    sealed: AtomicU64,
    /// Held while it is asked for, once.
    epoch: Mutex<Epoch>,
}

impl Crypto {
    pub(crate) fn new(config: &MatrixConfig) -> Self {
        Self {
            // An ordinary account encrypts by itself.
            is_on: config.encryption != Encryption::Off && config.account.is_none(),
            devices: Devices::default(),
            rooms: Rooms::default(),
            told: Told::default(),
            asked: Asked::default(),
            dry: Dry::default(),
            verifying: Verifying::default(),
            came: Notify::new(),
            changes: AtomicU64::new(0),
            sealed: AtomicU64::new(0),
            epoch: Mutex::default(),
        }
    }

    /// Waits until keys came. Cancel safe.
    pub(crate) async fn keys_came(&self) {
        self.came.notified().await;
    }

    /// An ordinary account was told something, keys perhaps.
    pub(crate) fn keys_may_have_come(&self) {
        self.came.notify_one();
    }

    fn sealed(&self) -> u64 {
        self.sealed.load(Ordering::Relaxed)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Follows an event as far as it changes who can read a room, and how. An error means that what has to be known of
    /// it later could not be written down.
    pub(crate) async fn follow_encryption(
        &self,
        room_id: &str,
        kind: &str,
        state_key: &str,
        content: &Value,
    ) -> Result<(), Trouble> {
        if !self.crypto.is_on {
            return Ok(());
        }
        match kind {
            ENCRYPTION | "m.room.history_visibility" => self.crypto.rooms.forget(room_id),
            "m.room.member" => {
                if self.names.who(state_key) != crate::names::Who::Human {
                    // They read nothing, but how many there are decides whose device encrypts.
                    self.crypto.rooms.ghost_changed(room_id);
                    return Ok(());
                }
                self.crypto.rooms.forget_members(room_id);
                // Who shared no room with us before was not told about: their devices are asked for anew. Also of
                // those who were only asked in: they are given keys from then on.
                let membership = content.get("membership").and_then(Value::as_str);
                if matches!(membership, Some("join" | "invite")) {
                    self.devices_changed(&[state_key.to_owned()]).await;
                }
            }
            _ => return Ok(()),
        }
        self.crypto.changed();
        if kind == ENCRYPTION && state_key.is_empty() {
            self.encryption_began(room_id, content).await?;
        }
        Ok(())
    }
}
