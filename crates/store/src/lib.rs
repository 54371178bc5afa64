//! Durable state of wxgate: posts, deliveries, notes, profiles, media, accounts and links, on
//! SQLite or PostgreSQL, with one SQL text for both.
//!
//! A method of [`Store`] is one transaction and is durable when it returns. Commits and outcomes
//! of all networks that wait at the same time share one transaction (see
//! `docs/decisions/0003-timeline-and-group-commit.md`).
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod accounts;
mod acts;
mod credentials;
mod directory;
mod doors;
#[cfg(feature = "postgres")]
mod dump;
mod engine;
mod error;
mod faces;
pub mod files;
mod history_prune;
mod inspect;
mod landmark;
mod lanes;
mod leader;
mod leaving;
mod limits;
mod links;
mod media;
mod migrate;
mod names;
mod notes;
mod prepare;
mod prune;
mod put_back;
mod relayed;
mod removal;
mod report;
mod reseal;
mod rows;
mod seal;
mod size;
mod snapshot;
mod sole;
mod sql;
mod store;
mod tokens;
mod troubles;
mod tx;
mod url;
mod users;
mod writer;

pub use acts::{Act, ActRow};
pub use credentials::token_credential;
pub use engine::{Lock, hold_data_dir};
pub use error::StoreError;
pub use history_prune::Keep;
pub use inspect::{Inspection, inspect};
pub use leader::{Instance, LeaderRow, leader};
pub use leaving::LeavingUser;
pub use media::LinkMedia;
pub use prune::ClockSeen;
pub use report::{
    AccountChange, AccountRow, CommitReport, End, FailedDelivery, KnownPost, LaneStats, Link, LinkId, Pruned,
    Replaced, Route, RouteInput, SettleReport, UserRow,
};
pub use seal::SealKey;
pub use size::Room;
pub use snapshot::{DUMP, Kept, Snapshot, SnapshotFile, keep, load_dump, snapshot_of};
pub use sole::{HANDED_OVER, host_name};
pub use store::{Store, StoreConfig};
pub use tokens::{Opens, TokenRow};
pub use troubles::{Stand, Trouble};
pub use url::StoreUrl;
pub use users::PASSWORD_BYTES;
