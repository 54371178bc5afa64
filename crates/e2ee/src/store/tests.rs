//! What matrix-sdk-crypto asks of every store. Its tests of leases are left out: a database has one gateway
//! (docs/decisions/0021), so nobody else could hold one.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use futures_util::FutureExt as _;
use matrix_sdk_crypto::cryptostore_integration_tests;
use matrix_sdk_crypto::olm::Account;
use wxgate_contract::conformance::Double;

use super::{NoteStore, Turn};
use crate::rows::Rows;

/// Databases by their names: some tests open one again.
static DATABASES: LazyLock<Mutex<HashMap<String, Double>>> = LazyLock::new(Mutex::default);

impl NoteStore {
    /// Asked for by the suite: whether there is an account.
    fn get_static_account(&self) -> Option<Account> {
        // Notes of the double are there at once.
        self.account().now_or_never().and_then(Result::ok).flatten()
    }
}

async fn get_store(name: &str, _passphrase: Option<&str>, clear: bool) -> NoteStore {
    let mut databases = DATABASES.lock().unwrap_or_else(PoisonError::into_inner);
    if clear {
        databases.remove(name);
    }
    let network = "matrix".into();
    let double = databases.entry(name.to_owned()).or_default();
    NoteStore::new(Rows::new(Arc::new(double.clone()), network, "@alice:example.org"), Turn::default())
}

mod suite {
    #![expect(unexpected_cfgs, reason = "features of the crate that the macro comes from")]

    use super::*;

    cryptostore_integration_tests!();
}
