//! What clients did that the protocol does not allow, and what it merely tolerates.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// One breach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// The account, if the request told whose it is.
    pub account: Option<String>,
    /// The endpoint.
    pub endpoint: String,
    /// What was wrong.
    pub what: String,
}

/// How many different breaches are kept.
const KINDS_KEPT: usize = 10_000;

/// Breaches, counted.
#[derive(Debug, Default)]
pub(crate) struct Breaches {
    /// Written by every connection; the section is one map entry long.
    counted: Mutex<BTreeMap<Violation, u64>>,
}

impl Breaches {
    pub(crate) fn note(&self, account: Option<&str>, endpoint: &str, what: &str) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let breach = Violation {
            account: account.map(str::to_owned),
            endpoint: endpoint.to_owned(),
            what: what.to_owned(),
        };
        if counted.len() < KINDS_KEPT || counted.contains_key(&breach) {
            *counted.entry(breach).or_default() += 1;
        }
    }

    pub(crate) fn list(&self) -> Vec<(Violation, u64)> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.iter().map(|(breach, count)| (breach.clone(), *count)).collect()
    }

    pub(crate) fn clear(&self) {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
