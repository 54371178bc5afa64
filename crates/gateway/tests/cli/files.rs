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
