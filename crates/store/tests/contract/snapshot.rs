//! A copy of everything, taken while others write.

use std::sync::Arc;
use std::time::Duration;

use wxgate_contract::*;
use wxgate_store::*;

use crate::setup::*;

#[tokio::test]
async fn a_snapshot_is_one_moment_of_a_store_that_goes_on() {
    each_engine(|bench| async move {
        let (writer, place) = (bench.store.clone(), "wechat:a/c");
        let writing = async {
            for n in 0..300 {
                let posts = vec![post(&format!("{n}a"), place, "x"), post(&format!("{n}b"), place, "y")];
                let batch = Batch { posts, ..Batch::default() };
                writer.commit_batch(&"wechat:a".into(), batch, Arc::new(Mirror)).await.unwrap();
            }
        };
        let taking = async {
            let snapshot = bench.store.snapshot().await.unwrap();
            let another = bench.store.snapshot().await.unwrap_err();
            assert!(matches!(another, StoreError::Conflict { .. }), "{another}");
            snapshot
        };
        let ((), snapshot) = tokio::join!(writing, taking);
        let copy = fresh_dir();
        for file in snapshot.files() {
            let to = copy.join(&file.name);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            assert_eq!(std::fs::copy(&file.path, to).unwrap(), file.size_bytes);
        }
        drop(snapshot);
        assert!(!bench.dir.join("snapshot.tmp").exists());
        let url = match bench.url.as_str() {
            "sqlite" => "sqlite".to_owned(),
            _ => {
                let url = fresh_postgres().await.unwrap();
                let (address, dump) = (url.parse().unwrap(), copy.join(DUMP));
                load_dump(&address, &dump).unwrap();
                // Not over what is there, and not a part of it.
                let twice = load_dump(&address, &dump).unwrap_err();
                assert!(twice.to_string().contains("already exists"), "{twice}");
                url
            }
        };
        let copied = Bench::open(copy.clone(), &url).await;
        let there = copied.history("wechat:a").await.len();
        assert!(there.is_multiple_of(2), "half a batch: {there}");
        let said = texts(&bench.history("wechat:a").await);
        assert_eq!(texts(&copied.history("wechat:a").await)[..], said[..there], "the beginning of it");
        copied.store.close().await;
        if url != "sqlite" {
            drop_postgres(&url).await;
        }
        std::fs::remove_dir_all(copy).unwrap();
        bench
    })
    .await;
}

#[tokio::test]
async fn a_copy_that_nobody_waits_for_any_more_is_in_nobodys_way() {
    let bench = Bench::open(fresh_dir(), "sqlite").await;
    for shelf in 0..=0xff {
        let shelf = bench.dir.join(format!("media/{shelf:02x}"));
        std::fs::create_dir_all(&shelf).unwrap();
        (0..20).for_each(|n| std::fs::write(shelf.join(format!("{n:02x}")), "x").unwrap());
    }
    let first = bench.dir.join("snapshot.tmp/media/00");
    let mut broken_off = Box::pin(bench.store.snapshot());
    while !first.exists() {
        let soon = tokio::time::timeout(Duration::from_millis(1), &mut broken_off).await;
        assert!(soon.is_err(), "it was made before it could be broken off");
    }
    drop(broken_off);
    let again = async {
        loop {
            match bench.store.snapshot().await {
                // What was begun is put away first.
                Err(StoreError::Conflict { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                made => return made.unwrap(),
            }
        }
    };
    let copy = tokio::time::timeout(Duration::from_secs(30), again).await.expect("no backup any more");
    assert_eq!(copy.files().len(), 256 * 20 + 1);
    drop(copy);
    assert!(!bench.dir.join("snapshot.tmp").exists());
    // What could not be removed then is now.
    std::fs::create_dir_all(bench.dir.join("snapshot.tmp/media/00")).unwrap();
    assert_eq!(bench.store.snapshot().await.unwrap().files().len(), 256 * 20 + 1);
    bench.store.close().await;
    std::fs::remove_dir_all(&bench.dir).unwrap();
}

#[tokio::test]
async fn who_puts_a_store_into_place_keeps_others_away_and_makes_no_database() {
    let dir = fresh_dir();
    let url: StoreUrl = "sqlite".parse().unwrap();
    let kept = keep(&url, &dir).unwrap();
    assert!(!dir.join("wxgate.db").exists());
    assert!(matches!(keep(&url, &dir), Err(StoreError::Conflict { .. })));
    let refused = Store::open(config(&dir, "sqlite"), Arc::new(TestClock::default())).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict { .. }), "{refused}");
    drop(kept);
    Bench::open(dir.clone(), "sqlite").await.store.close().await;
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_database_that_may_not_be_seen_is_not_taken_for_none() {
    let dir = fresh_dir();
    std::fs::write(dir.join("file"), "").unwrap();
    let url: StoreUrl = "sqlite".parse().unwrap();
    let unseen = inspect(&url, &dir.join("file"), None).await.unwrap_err();
    assert!(unseen.is_unavailable(), "{unseen}");
    assert_eq!(inspect(&url, &dir, None).await.unwrap().schema, 0);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn the_seal_key_is_that_of_the_copy_until_it_is_read() {
    let bench = Bench::open(fresh_dir(), "sqlite").await;
    let mut snapshot = bench.store.snapshot().await.unwrap();
    let refused = bench.store.replace_seal_key(&bench.dir.join("seal.key")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict { .. }), "{refused}");
    snapshot.let_key_change();
    let other = bench.store.replace_seal_key(&bench.dir.join("seal.key")).await;
    assert!(!matches!(other, Err(StoreError::Conflict { .. })), "{other:?}");
    drop(snapshot);
    bench.store.close().await;
}

#[tokio::test]
async fn what_a_killed_backup_left_behind_is_swept_at_the_next_start() {
    let bench = Bench::open(fresh_dir(), "sqlite").await;
    let left = bench.dir.join("snapshot.tmp");
    std::fs::create_dir_all(left.join("media")).unwrap();
    std::fs::write(left.join("wxgate.db"), "half").unwrap();
    let bench = bench.reopen().await;
    assert!(!left.exists());
    drop(bench.store.snapshot().await.unwrap());
    std::fs::remove_dir_all(&bench.dir).unwrap();
}

#[tokio::test]
async fn a_copy_of_a_database_of_an_older_program_changes_neither() {
    let sqlite = Some("sqlite".to_owned());
    for url in [sqlite, fresh_postgres().await].into_iter().flatten() {
        let (dir, old) = (fresh_dir(), 6);
        let address: StoreUrl = url.parse().unwrap();
        let config = config(&dir, &url);
        let key = config.seal_key.clone();
        let store = Store::open_at(config, Arc::new(TestClock::default()), old).await.unwrap();
        let batch = Batch { posts: vec![post("1", "w:a/c", "said then")], ..Batch::default() };
        store.commit_batch(&"w:a".into(), batch, Arc::new(Mirror)).await.unwrap();
        let refused = snapshot_of(&address, &dir, key.clone()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { .. }), "a gateway runs on it: {refused}");
        store.close().await;
        let snapshot = snapshot_of(&address, &dir, key).await.unwrap();
        let meanwhile = inspect(&address, &dir, None).await.unwrap_err();
        assert!(matches!(meanwhile, StoreError::Conflict { .. }), "{meanwhile}");
        let (copy, database) = (fresh_dir(), snapshot.files().last().unwrap());
        std::fs::copy(&database.path, copy.join(&database.name)).unwrap();
        let copied_to = match url.as_str() {
            "sqlite" => url.clone(),
            _ => {
                let server = fresh_postgres().await.unwrap();
                load_dump(&server.parse().unwrap(), &copy.join(DUMP)).unwrap();
                server
            }
        };
        drop(snapshot);
        assert_eq!(inspect(&address, &dir, None).await.unwrap().schema, old, "what is copied");
        let found = inspect(&copied_to.parse().unwrap(), &copy, None).await.unwrap();
        assert_eq!(found.schema, old, "the copy");
        let bench = Bench::open(copy.clone(), &copied_to).await;
        assert_eq!(texts(&bench.history("w:a").await), ["said then"]);
        bench.store.close().await;
        for (dir, url) in [(dir, url), (copy, copied_to)] {
            if url != "sqlite" {
                drop_postgres(&url).await;
            }
            std::fs::remove_dir_all(dir).unwrap();
        }
    }
}
