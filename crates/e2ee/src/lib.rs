//! End-to-end encryption of the devices that this gateway speaks with on Matrix.
//!
//! A [`Machine`] is one device: it says which requests have to be made and hears their answers, but makes none
//! itself. What it must not forget (keys, ratchets, whose device is whose) is in notes of the adapter's
//! network, sealed like any other secret and written before the step that depends on it. `matrix-sdk-crypto`
//! does the cryptography; its types stay in this crate, and bytes and JSON cross the border.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod attachment;
mod claim;
mod machine;
mod prune;
mod read;
mod rows;
mod store;
mod told;
mod verified;
mod verify;
mod wire;

pub use attachment::{Decryptor, EncryptedFile, Encryptor, FileError};
pub use claim::Claimed;
pub use machine::{Fingerprint, Heard, Machine, MachineError, RoomRules, Standing};
pub use prune::{Leftover, Pruned};
pub use read::{Decrypted, Origin, Place, Unreadable};
pub use verified::Verified;
pub use verify::{Flow, Stage, step_of};
pub use wire::{Purpose, Request};
