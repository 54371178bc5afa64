//! Several instances that share the accounts of one database, by leases.
//!
//! One instance, the **leader**, has the database: it answers people, writes, and hands deliveries out. The others are
//! **workers**: each holds a line to the leader and runs the accounts that it is lent, which are adapters like those of
//! the leader; what such an adapter asks of its context goes over the line (`remote`), and is answered by the leader's
//! own (`served`). Which accounts run where is in `book`, without a clock or a socket of its own.
//!
//! A lease is a promise of both sides about time, measured by each on its own monotonic clock. A worker runs nothing
//! beyond the lease's length after the last ping *that was answered* left it; the leader lends an account to somebody
//! else only when the lease's length is over since it last *heard* a ping. The first is never later than the second.
//!
//! Lines are encrypted and both ends know the same key (Noise, pattern NNpsk0), so whoever has not the seal key learns
//! and says nothing. docs/decisions/0027 has the reasons.

mod book;
mod leader;
mod line;
mod peer;
mod remote;
mod served;
mod shared;
#[cfg(test)]
mod tests;
mod words;
mod worker;

use wxgate_contract::Timestamp;

pub use leader::{Leader, LeaderConfig, Lent, LineKey};
pub use worker::{MakeAccount, Parted, Worker, WorkerConfig};

/// An instance, as the leader knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// How it calls itself.
    pub name: String,
    /// True for the one that has the database.
    pub is_leader: bool,
    /// From where it is connected; empty for the leader.
    pub address: String,
    /// Since when it takes part.
    pub since: Timestamp,
    /// Accounts that it runs.
    pub accounts: usize,
}
