//! The seal key is replaced while others write, and whatever the moment of a crash, every secret opens.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wxgate_contract::*;
use wxgate_store::*;

use crate::setup::*;

const SECRETS: u64 = 450;

async fn open(dir: &Path, url: &str) -> Store {
    let seal_key = SealKey::load_or_create(&dir.join("seal.key")).unwrap();
    Store::open(StoreConfig { seal_key, ..config(dir, url) }, Arc::new(TestClock::default())).await.unwrap()
}

async fn put(store: &Store, key: &str, value: &str) {
    let source = PendingMedia {
        media: MediaId([u8::try_from(key.len()).unwrap(); 16]),
        source: value.to_owned().into(),
        name: String::new(),
        mime: String::new(),
    };
    let notes = vec![note(key, value, true), note(&format!("plain/{key}"), value, false)];
    let batch = Batch { notes, media: vec![source], ..Batch::default() };
    store.commit_batch(&"w:a".into(), batch, Arc::new(Mirror)).await.unwrap();
}

async fn assert_all_open(store: &Store) {
    for n in 0..SECRETS {
        let key = format!("secret/{n}");
        let value = store.note(&"w:a".into(), &key).await.unwrap();
        assert_eq!(value.as_deref(), Some(format!("cookie {n}").as_bytes()), "{key}");
    }
}

fn keys(path: &Path) -> Vec<String> {
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// The files of a database, as they lie there.
fn bytes_of(dir: &Path) -> Vec<u8> {
    let files = ["wxgate.db", "wxgate.db-wal"].map(|name| std::fs::read(dir.join(name)).unwrap_or_default());
    files.concat()
}

fn holds(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// The sealed bytes of a note, as the database has them.
async fn sealed(dir: &Path, url: &str, key: &str) -> Vec<u8> {
    use sqlx::{Connection, Row};
    let address =
        if url == "sqlite" { format!("sqlite://{}/wxgate.db", dir.display()) } else { url.to_owned() };
    let mut conn = sqlx::AnyConnection::connect(&address).await.unwrap();
    let row =
        sqlx::query("SELECT value FROM note WHERE key = $1").bind(key).fetch_one(&mut conn).await.unwrap();
    row.get(0)
}

async fn urls() -> Vec<String> {
    [Some("sqlite".to_owned()), fresh_postgres().await].into_iter().flatten().collect()
}

#[tokio::test]
async fn a_new_seal_key_opens_everything_and_the_old_one_nothing() {
    for url in urls().await {
        let dir = fresh_dir();
        let path: PathBuf = dir.join("seal.key");
        let store = open(&dir, &url).await;
        for n in 0..SECRETS {
            put(&store, &format!("secret/{n}"), &format!("cookie {n}")).await;
        }
        store.add_user(&"ann".into(), Some("s3cret"), false).await.unwrap();
        let verifier = store.scram(&"ann".into()).await.unwrap().unwrap();
        let before = keys(&path);
        let old = sealed(&dir, &url, "secret/7").await;
        assert!(
            url != "sqlite" || holds(&bytes_of(&dir), &old),
            "the files that are searched are the right ones"
        );

        // Somebody writes all the while; what they wrote last is what counts.
        let busy = store.clone();
        let writing = async move {
            for n in 0..200 {
                put(&busy, "busy", &format!("busy {n}")).await;
            }
        };
        let (replaced, ()) = tokio::join!(store.replace_seal_key(&path), writing);
        let replaced = replaced.unwrap();
        assert!(replaced.resealed >= SECRETS && replaced.unreadable == 0, "{replaced:?}");
        let after = keys(&path);
        assert!(after.len() == 1 && before.len() == 1 && after != before, "{} keys", after.len());
        assert_all_open(&store).await;
        assert_eq!(store.note(&"w:a".into(), "busy").await.unwrap().unwrap(), "busy 199");
        assert!(
            url != "sqlite" || !holds(&bytes_of(&dir), &old),
            "what the old key sealed still lies in the files"
        );
        store.close().await;

        let store = open(&dir, &url).await;
        assert_all_open(&store).await;
        assert_eq!(store.note(&"w:a".into(), "busy").await.unwrap().unwrap(), "busy 199");
        let kept = store.scram(&"ann".into()).await.unwrap();
        assert!(kept.as_ref() == Some(&verifier), "SCRAM checks something else now");
        store.close().await;
        std::fs::write(&path, &before[0]).unwrap();
        let store = open(&dir, &url).await;
        let error = store.note(&"w:a".into(), "secret/7").await.unwrap_err();
        assert!(matches!(error, StoreError::Sealed { .. }), "{error}");
        // Nobody is told apart by that, and the next login with the password mends it.
        assert!(store.scram(&"ann".into()).await.unwrap().is_none());
        assert!(store.verify_password(&"ann".into(), "s3cret").await.unwrap().is_some());
        assert!(store.scram(&"ann".into()).await.unwrap().is_some());
        store.close().await;
    }
}

#[tokio::test]
async fn a_replacement_that_was_cut_off_opens_everything_and_is_gone_on_with() {
    let dir = fresh_dir();
    let path = dir.join("seal.key");
    let store = open(&dir, "sqlite").await;
    for n in 0..SECRETS {
        put(&store, &format!("secret/{n}"), &format!("cookie {n}")).await;
    }
    store.close().await;
    // As a crash right after the new key was written leaves it.
    let old = keys(&path);
    let other = fresh_dir().join("seal.key");
    SealKey::load_or_create(&other).unwrap();
    let new = keys(&other);
    std::fs::write(&path, format!("{}\n{}\n", new[0], old[0])).unwrap();

    let store = open(&dir, "sqlite").await;
    assert_all_open(&store).await;
    put(&store, "later", "sealed with the new one").await;
    let replaced = store.replace_seal_key(&path).await.unwrap();
    assert!(replaced.resealed >= SECRETS, "{replaced:?}");
    assert_eq!(keys(&path), new, "no third key");
    assert_all_open(&store).await;
    store.close().await;
}

#[tokio::test]
async fn a_key_file_that_is_not_the_key_in_use_is_left_alone() {
    let dir = fresh_dir();
    let store = open(&dir, "sqlite").await;
    put(&store, "secret/0", "cookie 0").await;
    let other = fresh_dir().join("seal.key");
    SealKey::load_or_create(&other).unwrap();
    let before = keys(&other);
    let error = store.replace_seal_key(&other).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Invalid { .. }) && error.to_string().contains("another key"),
        "{error}"
    );
    assert_eq!(keys(&other), before);
    assert!(store.note(&"w:a".into(), "secret/0").await.unwrap().is_some());
    store.close().await;
}
