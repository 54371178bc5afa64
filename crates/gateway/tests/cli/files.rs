//! What commands leave on the disk.

use std::os::unix::fs::{MetadataExt, chown};

use super::*;

impl Home {
    /// A gateway that ran once and stopped, with a person in it.
    fn with_a_store(name: &str, more: &str) -> Self {
        let home = Self::new(name);
        home.configure(more);
        let mut gateway = home.start(&["run"]);
        wait_for_gateway(&home);
        assert_eq!(home.run(&["user", "add", "ann"]).code, 0);
        gateway.signal("-TERM");
        assert_eq!(gateway.code(), 0);
        home
    }
}

/// A directory and everything below it.
fn below(dir: &Path) -> Vec<PathBuf> {
    let inside = std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let deeper = inside.flat_map(|path| below(&path));
    std::iter::once(dir.to_owned()).chain(deeper).collect()
}

#[test]
fn what_root_runs_leaves_files_of_the_gateways_user() {
    let home = Home::with_a_store(
        "owners",
        "[matrix.appservice]\ndomain = \"example.org\"\ndouble_puppets = true\n",
    );
    let (data, user) = (home.0.join("data"), 4321);
    let give = |dir: &Path| below(dir).iter().try_for_each(|path| chown(path, Some(user), Some(user)));
    if give(&data).is_err() {
        eprintln!("SKIPPED: only root gives files away");
        return;
    }
    let strangers = |when: &str| {
        let owner = |path: &PathBuf| std::fs::metadata(path).unwrap().uid();
        let found: Vec<PathBuf> = below(&data).into_iter().filter(|path| owner(path) != user).collect();
        assert!(found.is_empty(), "{when}: {found:?}");
    };
    // As after a restore: what is locked is made by the first who looks.
    std::fs::remove_file(data.join("wxgate.db.lock")).unwrap();
    for args in [
        &["doctor"][..],
        &["matrix", "registration"],
        &["matrix", "registration", "--double-puppets"],
        &["key", "rotate"],
        &["backup", "all.tar", "--with-key"],
    ] {
        let done = home.run(args);
        assert!(args[0] == "doctor" || done.code == 0, "{args:?}: {}", done.err);
        strangers(&args.join(" "));
    }
    std::fs::rename(&data, home.0.join("old")).unwrap();
    std::fs::create_dir(&data).unwrap();
    give(&data).unwrap();
    let done = home.run(&["restore", "all.tar"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(below(&data).len() > 5, "{:?}", below(&data));
    strangers("restore");
    // Whose group reads a key that root has, as docs/install.md says.
    let key = home.0.join("seal.key");
    std::fs::rename(data.join("seal.key"), &key).unwrap();
    chown(&key, Some(0), Some(user)).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let before = std::fs::read(&key).unwrap();
    home.configure("[store]\nseal_key_file = \"seal.key\"\n");
    let done = home.run(&["key", "rotate"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let found = std::fs::metadata(&key).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (0, user, 0o640));
    assert_ne!(std::fs::read(&key).unwrap(), before);
    strangers("key rotate with a key elsewhere");
}

#[test]
fn what_needs_a_store_makes_none() {
    let home = Home::new("nothing");
    for (more, place) in [("", "data/wxgate.db"), ("[store]\nurl = \"sqlite:deep/wx.db\"\n", "deep/wx.db")] {
        home.configure(more);
        for (args, what) in [(&["backup", "all.tar"][..], "back up"), (&["key", "rotate"], "seal anew")] {
            let done = home.run(args);
            let told = format!("wxgate: there is nothing to {what} at {place}: ");
            assert!(done.code == 1 && done.err.starts_with(&told), "{args:?}: {} {}", done.code, done.err);
            let doctor = home.run(&["doctor"]);
            assert!(doctor.out.contains("store: there is none yet"), "{}", doctor.out);
            assert_eq!(below(&home.0), [home.0.clone(), home.0.join("wxgate.toml")], "{args:?}");
        }
    }
}

#[test]
fn without_its_seal_key_a_store_is_left_alone() {
    let home = Home::with_a_store("keyless", "");
    std::fs::rename(home.0.join("data/seal.key"), home.0.join("away")).unwrap();
    for args in [&["backup", "all.tar"][..], &["key", "rotate"]] {
        let done = home.run(args);
        assert!(
            done.code == 1 && done.err.contains("the seal key data/seal.key is not there"),
            "{}",
            done.err
        );
    }
    assert!(!home.0.join("data/seal.key").exists() && !home.0.join("all.tar").exists());
}

#[test]
fn with_another_seal_key_the_doctor_says_what_does_not_open() {
    let home = Home::new("otherkey");
    home.configure("");
    let mut gateway = home.start(&["run"]);
    wait_for_gateway(&home);
    for args in [
        &["user", "add", "ann"][..],
        &["account", "add", "a1", "--owner", "ann"],
        &["account", "proxy", "a1", "socks5://127.0.0.1:9"],
    ] {
        let done = home.run(args);
        assert_eq!(done.code, 0, "{args:?}: {}", done.err);
    }
    let doctor = home.run(&["doctor"]);
    assert!(doctor.out.contains("1 of 1 do not work until somebody does something; a1: "), "{}", doctor.out);
    gateway.signal("-TERM");
    assert_eq!(gateway.code(), 0);
    let key = home.0.join("data/seal.key");
    std::fs::rename(&key, home.0.join("away")).unwrap();
    let doctor = home.run(&["doctor"]);
    assert!(
        doctor.out.contains("holds accounts, and there is no seal key at data/seal.key"),
        "{}",
        doctor.out
    );
    let mut gateway = home.start(&["run"]);
    wait_for_gateway(&home);
    let list = home.run(&["account", "list"]);
    assert!(list.out.contains("the proxy that is stored for a1 cannot be read"), "{}", list.out);
    gateway.signal("-TERM");
    assert_eq!(gateway.code(), 0);
    let doctor = home.run(&["doctor"]);
    assert!(
        doctor.out.contains("1 secrets in it do not open with the seal key data/seal.key"),
        "{}",
        doctor.out
    );
    std::fs::rename(home.0.join("away"), &key).unwrap();
    let doctor = home.run(&["doctor"]);
    assert!(doctor.out.contains("opens; 1 accounts"), "{}", doctor.out);
}

#[test]
fn what_the_gateway_makes_is_for_nobody_else_whatever_the_umask() {
    let home = Home::new("umask");
    home.configure("[store]\nurl = \"sqlite:deep/er/wx.db\"\n");
    let program = env!("CARGO_BIN_EXE_wxgate");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask 0; exec {program} run")]).current_dir(&home.0).stdin(Stdio::null());
    let mut gateway = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait_for_gateway(&home);
    gateway.signal("-TERM");
    assert_eq!(gateway.code(), 0);
    let made = below(&home.0).into_iter().filter(|path| *path != home.0 && !path.ends_with("wxgate.toml"));
    let made: Vec<(PathBuf, u32)> =
        made.map(|path| (path.clone(), path.metadata().unwrap().mode() & 0o077)).collect();
    assert!(made.len() > 5, "{made:?}");
    assert!(made.iter().all(|(_, others)| *others == 0), "{made:?}");
}

#[test]
fn a_backup_leaves_the_database_of_an_older_program_as_it_is() {
    use wxgate_store::{SealKey, Store, StoreConfig, StoreUrl};
    let home = Home::new("older");
    home.configure("");
    let data_dir = home.0.join("data");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = StoreUrl::Sqlite(None);
    runtime.block_on(async {
        std::fs::create_dir(&data_dir).unwrap();
        let seal_key = SealKey::load_or_create(&data_dir.join("seal.key")).unwrap();
        let (url, data_dir) = (url.clone(), data_dir.clone());
        let config = StoreConfig {
            url,
            data_dir,
            seal_key,
            max_media_bytes: 1 << 20,
            restored: String::new(),
            instance: wxgate_store::Instance::default(),
        };
        let now = std::sync::Arc::new(|| wxgate_contract::Timestamp(1_700_000_000_000));
        Store::open_at(config, now, 8).await.unwrap().close().await;
    });
    let schema = |dir: &Path| runtime.block_on(wxgate_store::inspect(&url, dir, None)).unwrap().schema;
    let done = home.run(&["backup", "all.tar"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(schema(&data_dir), 8, "the program that wrote it does not open it any more");
    std::fs::rename(&data_dir, home.0.join("old")).unwrap();
    std::fs::create_dir(&data_dir).unwrap();
    std::fs::copy(home.0.join("old/seal.key"), data_dir.join("seal.key")).unwrap();
    let done = home.run(&["restore", "all.tar"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(schema(&data_dir), 8, "it goes back to the program that wrote it");
}

#[test]
fn of_two_backups_into_one_file_one_is_whole() {
    let home = Home::with_a_store("twice", "");
    let both = [(); 2].map(|()| home.start(&["backup", "all.tar"]));
    let codes = both.map(|mut backup| backup.code());
    assert!(codes.contains(&0), "{codes:?}");
    std::fs::rename(home.0.join("data"), home.0.join("old")).unwrap();
    let done = home.run(&["restore", "all.tar"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let left = below(&home.0).into_iter().filter(|path| path.extension().is_some_and(|end| end == "part"));
    assert_eq!(left.count(), 0);
}

#[test]
fn beside_a_restore_that_was_cut_short_no_gateway_begins() {
    let home = Home::with_a_store("cut", "");
    assert_eq!(home.run(&["backup", "all.tar", "--with-key"]).code, 0);
    std::fs::rename(home.0.join("data"), home.0.join("old")).unwrap();
    std::fs::create_dir(home.0.join("data")).unwrap();
    for (name, text) in [("restoring", ""), ("links.key", "half"), ("restored", "word")] {
        std::fs::write(home.0.join("data").join(name), text).unwrap();
    }
    for args in [&["run"][..], &["backup", "other.tar"], &["key", "rotate"]] {
        let done = home.run(args);
        assert!(
            done.code == 4 && done.err.contains("run wxgate restore FILE again"),
            "{args:?}: {}",
            done.err
        );
    }
    assert!(home.run(&["doctor"]).out.contains("WRONG    store: a restore into data was cut short"));
    let done = home.run(&["restore", "all.tar"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let mut gateway = home.start(&["run"]);
    wait_for_gateway(&home);
    assert!(home.run(&["user", "list"]).out.contains("ann"));
    gateway.signal("-TERM");
    assert_eq!(gateway.code(), 0);
}

#[test]
fn a_restore_puts_the_seal_key_where_it_is_named() {
    let home = Home::with_a_store("named", "");
    assert_eq!(home.run(&["backup", "all.tar", "--with-key"]).code, 0);
    std::fs::rename(home.0.join("data"), home.0.join("old")).unwrap();
    home.configure("[store]\nseal_key_file = \"keys/seal.key\"\n");
    assert_eq!(home.run(&["config", "check"]).code, 3, "a gateway would make another one there");
    let done = home.run(&["restore", "all.tar"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let key = |path: &str| std::fs::read_to_string(home.0.join(path)).unwrap();
    assert_eq!(key("keys/seal.key").trim(), key("old/seal.key").trim());
    assert_eq!(home.run(&["config", "check"]).code, 0);
}
