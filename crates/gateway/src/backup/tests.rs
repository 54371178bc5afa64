use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt as _;
use wxgate_contract::{MediaId, MediaOwner, Timestamp, UserName};
use wxgate_store::{SealKey, Store, StoreConfig};

use super::restore::{Database, Restored, Target, restore};
use super::tar::{BLOCK, END, Header};
use super::write::{Archive, Secrets, WithKey};
use super::{ABOUT, LAYOUT, assert_whole};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory that goes away.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("wxgate-backup-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn target(&self, name: &str) -> Target {
        let data_dir = self.0.join(name);
        Target {
            database: Database::File(data_dir.join("wxgate.db")),
            seal_key_file: data_dir.join("seal.key"),
            data_dir,
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn open(data_dir: &Path) -> Store {
    let seal_key = SealKey::load_or_create(&data_dir.join("seal.key")).unwrap();
    let url = "sqlite".parse().unwrap();
    let config = StoreConfig {
        url,
        data_dir: data_dir.to_owned(),
        seal_key,
        max_media_bytes: 1 << 20,
        restored: String::new(),
        instance: wxgate_store::Instance::default(),
    };
    Store::open(config, Arc::new(|| Timestamp(1_700_000_000_000))).await.unwrap()
}

/// A store with a person and an attachment, in `old`, and its backup beside it.
async fn backed_up(dir: &Dir, with_key: WithKey) -> PathBuf {
    let data_dir = dir.0.join("old");
    let store = open(&data_dir).await;
    store.add_user(&UserName::from("ann"), Some("secret of ann"), false).await.unwrap();
    let vault = store.vault(Arc::new(|_, _| None));
    let mut writer = vault.writer(MediaId([7; 16]), "a.png", "image/png", MediaOwner::Posts).await.unwrap();
    writer.write(vec![9; 100_000].into()).await.unwrap();
    writer.finish().await.unwrap();
    fs::write(data_dir.join("links.key"), "the key of links").unwrap();
    let seal_key_file = data_dir.join("seal.key");
    let secrets = Secrets { data_dir: &data_dir, seal_key_file: &seal_key_file, with_key };
    let archive =
        Archive::new(store.snapshot().await.unwrap(), &secrets, Timestamp(1_700_000_000_000)).unwrap();
    let told = archive.size_bytes();
    let pieces: Vec<_> = archive.pieces().collect().await;
    let bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.unwrap()).collect();
    assert_eq!(bytes.len() as u64, told, "the length is known before");
    assert!(!data_dir.join("snapshot.tmp").exists(), "the snapshot is gone with the stream");
    store.close().await;
    let path = dir.0.join("backup.tar");
    fs::write(&path, bytes).unwrap();
    path
}

fn refused(archive: &Path, target: &Target) -> String {
    let failure = restore(archive, target, |_| {}).unwrap_err();
    assert!(!target.data_dir.join("wxgate.db").exists(), "something was put into place: {failure}");
    failure.message
}

#[tokio::test]
async fn what_was_backed_up_is_there_after_a_restore() {
    let dir = Dir::new();
    let archive = backed_up(&dir, WithKey::Yes).await;
    let target = dir.target("new");
    let restored = restore(&archive, &target, |_| {}).unwrap();
    assert_eq!(restored, Restored { attachments: 1, has_key: true });
    let mode = |name: &str| fs::metadata(target.data_dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(["seal.key", "links.key", "wxgate.db"].map(mode), [0o600; 3]);
    assert_eq!(fs::read_to_string(target.data_dir.join("links.key")).unwrap(), "the key of links");
    let word = super::restored_word(&target.data_dir).unwrap();
    restore(&archive, &dir.target("again"), |_| {}).unwrap();
    let other = super::restored_word(&dir.0.join("again")).unwrap();
    assert!(word.len() == 16 && other.len() == 16 && word != other, "one restore is taken for another");
    assert_eq!(super::restored_word(&dir.0.join("old")).unwrap(), "");
    let store = open(&target.data_dir).await;
    assert_eq!(store.users().await.unwrap().len(), 1);
    let vault = store.vault(Arc::new(|_, _| None));
    let mut reader = vault.reader(MediaId([7; 16]), 0).await.unwrap();
    assert!(reader.read().await.unwrap().is_some_and(|piece| piece.iter().all(|byte| *byte == 9)));
}

#[tokio::test]
async fn without_the_key_everything_secret_stays_sealed() {
    let dir = Dir::new();
    let archive = backed_up(&dir, WithKey::No).await;
    let bytes = fs::read(&archive).unwrap();
    let key = fs::read(dir.0.join("old/seal.key")).unwrap();
    for secret in [&key[..40], &b"the key of links"[..], &b"secret of ann"[..]] {
        assert!(!bytes.windows(secret.len()).any(|found| found == secret));
    }
    let target = dir.target("keyless");
    assert!(!restore(&archive, &target, |_| {}).unwrap().has_key);
    assert!(!target.data_dir.join("links.key").exists());

    // The key was kept apart, and lies there already.
    let target = dir.target("keyed");
    fs::create_dir_all(&target.data_dir).unwrap();
    fs::copy(dir.0.join("old/seal.key"), &target.seal_key_file).unwrap();
    assert!(restore(&archive, &target, |_| {}).unwrap().has_key);
    assert_eq!(fs::read_to_string(target.data_dir.join("links.key")).unwrap(), "the key of links");

    // Another gateway's key.
    let target = dir.target("strange");
    SealKey::load_or_create(&target.seal_key_file).unwrap();
    assert!(refused(&archive, &target).contains("not the one of this backup"));
}

#[tokio::test]
async fn a_directory_in_use_is_left_alone() {
    let dir = Dir::new();
    let archive = backed_up(&dir, WithKey::No).await;
    let target = dir.target("used");
    fs::create_dir_all(&target.data_dir).unwrap();
    fs::write(target.data_dir.join("notes.txt"), "mine").unwrap();
    assert!(refused(&archive, &target).contains("notes.txt exists already"));
    assert_eq!(fs::read_dir(&target.data_dir).unwrap().count(), 1);
}

#[tokio::test]
async fn a_restore_that_was_cut_short_lets_no_gateway_begin_and_is_done_again() {
    let dir = Dir::new();
    let archive = backed_up(&dir, WithKey::Yes).await;
    for name in ["in", "out"] {
        let mut target = dir.target(name);
        if name == "out" {
            target.database = Database::File(dir.0.join("elsewhere/wx.db"));
        }
        let whole = restore(&archive, &target, |_| {}).unwrap();
        assert_whole(&target.data_dir).unwrap();
        assert!(restore(&archive, &target, |_| {}).unwrap_err().message.contains("exists already"));
        // As when it ends before its last step.
        target.begin().unwrap();
        fs::create_dir(target.data_dir.join("restore.tmp")).unwrap();
        let refused = assert_whole(&target.data_dir).unwrap_err();
        assert!(refused.message.contains("run wxgate restore FILE again"), "{refused}");
        assert_eq!(restore(&archive, &target, |_| {}).unwrap(), whole);
        assert_whole(&target.data_dir).unwrap();
        let Database::File(database) = &target.database else { panic!("it has no file") };
        let left: Vec<_> = ["restore.tmp", "restoring"].map(|left| target.data_dir.join(left)).to_vec();
        assert!(database.is_file() && left.iter().all(|left| !left.exists()));

        // What was put there since is not ours to remove.
        target.begin().unwrap();
        fs::write(target.data_dir.join("notes.txt"), "mine").unwrap();
        let refused = restore(&archive, &target, |_| {}).unwrap_err();
        assert!(refused.message.contains("notes.txt exists already"), "{refused}");
        assert!(assert_whole(&target.data_dir).is_err(), "it is whole all at once");
    }
}

#[tokio::test]
async fn a_database_that_another_restore_was_to_make_stays() {
    let dir = Dir::new();
    let archive = backed_up(&dir, WithKey::Yes).await;
    let mut target = dir.target("new");
    fs::create_dir(&target.data_dir).unwrap();
    target.begin().unwrap();
    let other = dir.0.join("other.db");
    fs::write(&other, "of another gateway").unwrap();
    target.database = Database::File(other.clone());
    let refused = restore(&archive, &target, |_| {}).unwrap_err();
    assert!(refused.message.contains("other.db exists already"), "{refused}");
    assert_eq!(fs::read_to_string(&other).unwrap(), "of another gateway");
}

#[tokio::test]
async fn one_restore_at_a_time_into_a_directory_that_only_the_system_has_used() {
    let dir = Dir::new();
    let archive = backed_up(&dir, WithKey::Yes).await;
    let target = dir.target("new");
    fs::create_dir_all(target.data_dir.join("lost+found")).unwrap();
    let mut second = None;
    restore(&archive, &target, |_| {
        second.get_or_insert_with(|| restore(&archive, &target, |_| {}).unwrap_err().message);
    })
    .unwrap();
    assert!(second.unwrap().contains("is open in another wxgate"));
    assert!(open(&target.data_dir).await.users().await.unwrap().len() == 1);
}

#[tokio::test]
async fn a_restore_that_fails_leaves_nothing_in_the_way_of_the_next() {
    let dir = Dir::new();
    let archive = backed_up(&dir, WithKey::Yes).await;
    let target = dir.target("new");
    SealKey::load_or_create(&target.seal_key_file).unwrap();
    assert!(refused(&archive, &target).contains("not the one of this backup"));
    fs::remove_file(&target.seal_key_file).unwrap();
    let cut = dir.0.join("cut.tar");
    let bytes = fs::read(&archive).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused(&cut, &target).contains("not whole"));
    assert_whole(&target.data_dir).unwrap();
    restore(&archive, &target, |_| {}).unwrap();
}

#[tokio::test]
async fn an_old_log_beside_a_database_elsewhere_is_not_played_into_it() {
    let dir = Dir::new();
    let archive = backed_up(&dir, WithKey::No).await;
    let mut target = dir.target("elsewhere");
    let database = target.data_dir.with_extension("db");
    target.database = Database::File(database.clone());
    let log = database.with_extension("db-wal");
    fs::write(&log, "of the database that was here").unwrap();
    assert!(refused(&archive, &target).contains("db-wal exists already"));
    assert!(!database.exists() && log.exists());
}

#[tokio::test]
async fn a_backup_that_is_cut_short_or_damaged_is_refused_whole() {
    let dir = Dir::new();
    let archive = backed_up(&dir, WithKey::No).await;
    let bytes = fs::read(&archive).unwrap();
    let cut = dir.0.join("cut.tar");
    for length in [0, 100, BLOCK, bytes.len() / 2, bytes.len() - 3 * BLOCK] {
        fs::write(&cut, &bytes[..length]).unwrap();
        let why = refused(&cut, &dir.target("new"));
        assert!(why.contains("not whole"), "{length}: {why}");
    }
    for at in [10, BLOCK + 5, bytes.len() / 2, bytes.len() - 3 * BLOCK] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs::write(&cut, damaged).unwrap();
        refused(&cut, &dir.target("new"));
    }
}

#[test]
fn an_archive_of_others_is_refused_and_writes_nothing_elsewhere() {
    let dir = Dir::new();
    let path = dir.0.join("other.tar");
    let mut about = format!("{{\"layout\": {LAYOUT}}}");
    about.extend(std::iter::repeat_n(' ', BLOCK - about.len()));
    for (name, word) in [
        ("hello.txt", "no backup of wxgate"),
        ("../escaped", "belongs into no backup"),
        ("/tmp/escaped", "belongs into no backup"),
        ("media/../../escaped", "belongs into no backup"),
        ("media/ab/../../escaped", "belongs into no backup"),
        ("sealed/other.key", "belongs into no backup"),
    ] {
        let mut bytes = Vec::new();
        if word.starts_with("belongs") {
            bytes.extend(Header::new(ABOUT, BLOCK as u64).block(0));
            bytes.extend(about.as_bytes());
        }
        bytes.extend(Header::new(name, 0).block(0));
        bytes.extend(END);
        fs::write(&path, bytes).unwrap();
        let why = refused(&path, &dir.target("new"));
        assert!(why.contains(word), "{name}: {why}");
    }
    assert!(!dir.0.join("escaped").exists());
}
