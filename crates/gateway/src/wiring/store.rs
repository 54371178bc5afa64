//! The store that the configuration names: how a start and the commands of a gateway that does not run open it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use url::Url;
use wxgate_contract::Stop;
use wxgate_store::{Instance, SealKey, Snapshot, Store, StoreConfig, StoreError, StoreUrl};

use super::files;
use super::instances::Standby;
use crate::clock;
use crate::config::{Settings, set};
use crate::failure::Failure;

/// How long a start waits for a data directory that another process has: it may be ending. Chosen.
const TAKE_OVER: Duration = Duration::from_secs(20);
/// Between two looks at whether it is free, and whether the database is.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Opens the store. While another instance has the database on a server, this one runs what that one lends it; `None`
/// when it was stopped before the database was free.
pub(super) async fn take_over(settings: &Settings, stop: &Stop) -> Result<Option<Store>, Failure> {
    let until = tokio::time::Instant::now() + TAKE_OVER;
    let mut standby: Option<Standby> = None;
    if is_on_server(settings) {
        assert_same_key(settings).await?;
    }
    let opened = loop {
        match try_open(settings).await? {
            Ok(store) => break Ok(Some(store)),
            Err(StoreError::Taken { what }) => {
                let standby = match &mut standby {
                    Some(standby) => standby,
                    None => standby.insert(Standby::new(settings, &what).await?),
                };
                standby.work(settings, &what, stop).await?;
            }
            Err(StoreError::Conflict { what }) if is_on_server(settings) => {
                if tokio::time::Instant::now() >= until {
                    break Err(store_failure(StoreError::Conflict { what }));
                }
                tracing::warn!(
                    why = what,
                    patience_seconds = TAKE_OVER.as_secs(),
                    "waiting for the data directory"
                );
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            // It was there, and comes back, or another one has it by then.
            Err(error) if standby.is_some() && error.is_unavailable() => {
                tracing::warn!(%error, "the database cannot be reached");
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(error) => break Err(unopened(settings, error)),
        }
        if stop.is_stopping() {
            break Ok(None);
        }
    };
    let has_waited = standby.is_some();
    if let Some(standby) = standby {
        standby.end(settings).await;
    }
    if has_waited && matches!(opened, Ok(Some(_))) {
        tracing::info!("the database is free; starting when the other wxgate has surely noticed");
        tokio::time::sleep(wxgate_store::HANDED_OVER).await;
    }
    opened
}

/// A second instance that makes a seal key of its own would have the database one day, and open nothing of it.
async fn assert_same_key(settings: &Settings) -> Result<(), Failure> {
    let key = settings.seal_key_file();
    if key.exists() {
        return Ok(());
    }
    let leader = wxgate_store::leader(&store_url(settings)?, &settings.data_dir).await;
    match leader.map_err(|error| unopened(settings, error))? {
        None => Ok(()),
        Some(leader) => Err(Failure::config(format!(
            "the database has been in use by {}, and the seal key {} is not there; copy it from that instance first",
            leader.name,
            key.display()
        ))),
    }
}

fn is_on_server(settings: &Settings) -> bool {
    settings.store.url.starts_with("postgres")
}

/// Opens the store of a gateway that does not run, for a command that is to do `what` with it. Nothing is made where
/// there is none.
pub(crate) async fn open_store(settings: &Settings, what: &str) -> Result<Store, Failure> {
    find_store(settings, what).await?;
    try_open(settings).await?.map_err(|error| unopened(settings, error))
}

/// Copies the store of a gateway that does not run, as its last program left it.
pub(crate) async fn copy_store(settings: &Settings) -> Result<Snapshot, Failure> {
    let url = find_store(settings, "back up").await?;
    let key = SealKey::load_or_create(&settings.seal_key_file()).map_err(store_failure)?;
    let snapshot = wxgate_store::snapshot_of(&url, &settings.data_dir, key).await;
    snapshot.map_err(|error| unopened(settings, error))
}

/// The store of a gateway that does not run, unless there is none or its seal key is missing.
async fn find_store(settings: &Settings, what: &str) -> Result<StoreUrl, Failure> {
    crate::backup::assert_whole(&settings.data_dir)?;
    let url = store_url(settings)?;
    let found = wxgate_store::inspect(&url, &settings.data_dir, None).await;
    let found = found.map_err(|error| unopened(settings, error))?;
    if found.schema == 0 {
        let place = url.sqlite_path(&settings.data_dir).unwrap_or_else(|| settings.data_dir.clone());
        return Err(Failure::asked(format!(
            "there is nothing to {what} at {}: no gateway has run with this data_dir and store.url",
            place.display()
        )));
    }
    let key = settings.seal_key_file();
    if !key.exists() {
        return Err(Failure::asked(format!(
            "the seal key {} is not there, or this user may not see it; put it back first",
            key.display()
        )));
    }
    Ok(url)
}

async fn try_open(settings: &Settings) -> Result<Result<Store, StoreError>, Failure> {
    let seal_key = SealKey::load_or_create(&settings.seal_key_file()).map_err(store_failure)?;
    let config = StoreConfig {
        url: store_url(settings)?,
        data_dir: settings.data_dir.clone(),
        seal_key,
        max_media_bytes: settings.wechat.max_media_bytes,
        restored: crate::backup::restored_word(&settings.data_dir)?,
        instance: Instance { name: settings.instance.name.clone(), lease: settings.lease() },
    };
    Ok(Store::open(config, Arc::new(clock::now)).await)
}

/// Which database, with the password of `store.password_file`.
pub(crate) fn store_url(settings: &Settings) -> Result<StoreUrl, Failure> {
    let url: StoreUrl = settings.store.url.parse().map_err(store_failure)?;
    match set(&settings.store.password_file) {
        None => Ok(url),
        Some(path) => url.with_password(&files::secret(path)?).map_err(store_failure),
    }
}

/// Why the store does not open; of one that is away, which it is.
pub(crate) fn unopened(settings: &Settings, error: StoreError) -> Failure {
    let is_away = error.is_unavailable();
    let failure = store_failure(error);
    match settings.store.url.parse::<StoreUrl>() {
        Ok(url) if is_away => {
            let place = place(&url, &settings.data_dir);
            Failure { message: format!("store.url ({place}): {}", failure.message), ..failure }
        }
        _ => failure,
    }
}

/// Where a store is: its file, or the server's address without who is known there and by which password.
fn place(url: &StoreUrl, data_dir: &Path) -> String {
    let text = match url {
        StoreUrl::Sqlite(_) => return url.sqlite_path(data_dir).unwrap_or_default().display().to_string(),
        StoreUrl::Postgres(text) => text,
    };
    let Ok(mut address) = Url::parse(text) else { return "a PostgreSQL server".to_owned() };
    // What else may stand in a query is for the driver, and may be a password. Source: PostgreSQL documentation,
    // "Connection URIs".
    let places = ["host", "hostaddr", "port", "dbname"];
    let query = address.query().unwrap_or_default();
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| places.contains(&pair.split('=').next().unwrap_or_default()))
        .collect();
    let kept = kept.join("&");
    address.set_query((!kept.is_empty()).then_some(&kept));
    // Without a host there is nobody in it.
    let is_plain =
        address.set_password(None).and_then(|()| address.set_username("")).is_ok() || !text.contains('@');
    if is_plain { address.to_string() } else { "a PostgreSQL server".to_owned() }
}

/// Whose fault it is when the store does not open.
pub(crate) fn store_failure(error: StoreError) -> Failure {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        let text = next.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = next.source();
    }
    match error {
        StoreError::Invalid { .. } => Failure::config(message),
        _ => Failure::environment(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_without_its_passwords() {
        for (url, wanted) in [
            ("postgres://me:p%40ss@db.example:5433/wx", "postgres://db.example:5433/wx"),
            (
                "postgresql://me@db.example/wx?sslmode=require&password=p@ss&port=5433",
                "postgresql://db.example/wx?port=5433",
            ),
            ("postgres://db.example/wx", "postgres://db.example/wx"),
            ("postgres:///wx?host=/run/postgresql&user=me", "postgres:///wx?host=/run/postgresql"),
            ("postgres://me:a b#c@/x@y/z", "a PostgreSQL server"),
        ] {
            assert_eq!(place(&StoreUrl::Postgres(url.to_owned()), Path::new("data")), wanted, "{url}");
        }
        assert_eq!(place(&StoreUrl::Sqlite(None), Path::new("data")), "data/wxgate.db");
    }
}
