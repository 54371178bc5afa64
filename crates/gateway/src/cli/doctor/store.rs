//! Whether the store of a gateway that does not run opens, and its secrets with it.

use wxgate_store::{Inspection, SealKey, StoreError, StoreUrl};

use super::{Finding, ok, warning, wrong};
use crate::backup;
use crate::config::Settings;
use crate::wiring;

pub(super) async fn check(settings: &Settings) -> Finding {
    const CHECK: &str = "store";
    let url = match wiring::store_url(settings) {
        Ok(url) => url,
        Err(failure) => {
            return wrong(CHECK, failure.message, "correct store.url, or mend store.password_file");
        }
    };
    if let Err(failure) = backup::assert_whole(&settings.data_dir) {
        return wrong(
            CHECK,
            failure.message,
            "wxgate restore FILE; or remove what lies there, and begin without",
        );
    }
    // What this user may not see may be there: looking at it says so.
    if url.sqlite_path(&settings.data_dir).is_some_and(|path| path.try_exists().is_ok_and(|there| !there)) {
        return ok(CHECK, "there is none yet; wxgate run makes it");
    }
    let key = match seal_key(settings) {
        Ok(key) => key,
        Err(error) => return wrong(CHECK, wiring::store_failure(error).message, "mend store.seal_key_file"),
    };
    match wxgate_store::inspect(&url, &settings.data_dir, key.as_ref()).await {
        Ok(Inspection { schema: 0, .. }) => ok(CHECK, "is empty; wxgate run fills it"),
        Ok(Inspection { accounts: 1.., .. }) if key.is_none() => wrong(
            CHECK,
            format!("holds accounts, and there is no seal key at {}", settings.seal_key_file().display()),
            "put the key back; wxgate run makes another, with which every account has to sign in again",
        ),
        Ok(Inspection { unreadable: unreadable @ 1.., .. }) => wrong(
            CHECK,
            format!(
                "{unreadable} secrets in it do not open with the seal key {}",
                settings.seal_key_file().display()
            ),
            "put the key back that they were sealed with; or sign the accounts in again: wxgate account sign-in NAME",
        ),
        Ok(Inspection { schema, known, accounts, .. }) if schema == known => {
            ok(CHECK, format!("opens; {accounts} accounts"))
        }
        Ok(Inspection { schema, known, accounts, .. }) => warning(
            CHECK,
            format!(
                "opens; {accounts} accounts; its schema is {schema}, and the next start brings it to {known}"
            ),
            "back it up first if you may want to go back: older programs do not open it afterwards",
        ),
        Err(StoreError::Schema { what }) => wrong(
            CHECK,
            what,
            "run the program that wrote it, or restore a backup from before it did; nothing was changed",
        ),
        Err(error @ StoreError::Unavailable { .. }) => {
            let cure = match url {
                StoreUrl::Sqlite(_) => "let this user read and write the file and its directory",
                StoreUrl::Postgres(_) => {
                    "is the server up, and reachable from here? see whether host, port, database, name and password \
                     in store.url are its own, and of a certificate sslmode and sslrootcert there"
                }
            };
            wrong(CHECK, wiring::unopened(settings, error).message, cure)
        }
        Err(error) => {
            wrong(CHECK, wiring::store_failure(error).message, "see what it says; nothing was changed")
        }
    }
}

/// The seal key, where there is one: looking makes none.
fn seal_key(settings: &Settings) -> Result<Option<SealKey>, StoreError> {
    let path = settings.seal_key_file();
    path.exists().then(|| SealKey::load_or_create(&path)).transpose()
}
