//! A copy of everything, taken while others write.

use std::sync::Arc;

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
