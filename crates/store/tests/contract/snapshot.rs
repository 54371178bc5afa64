//! A copy of everything, taken while others write.

use std::sync::Arc;

use wxgate_contract::*;
use wxgate_store::*;

use crate::setup::*;

#[tokio::test]
async fn a_snapshot_is_one_moment_of_a_store_that_goes_on_and_a_server_is_left_to_its_tools() {
    each_engine(|bench| async move {
        if bench.url != "sqlite" {
            let refused = bench.store.snapshot().await.unwrap_err();
            assert!(refused.to_string().contains("pg_dump"), "{refused}");
            return bench;
        }
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
        let copied = Bench::open(copy.clone(), "sqlite").await;
        let there = copied.history("wechat:a").await.len();
        assert!(there.is_multiple_of(2), "half a batch: {there}");
        let said = texts(&bench.history("wechat:a").await);
        assert_eq!(texts(&copied.history("wechat:a").await)[..], said[..there], "the beginning of it");
        copied.store.close().await;
        std::fs::remove_dir_all(copy).unwrap();
        bench
    })
    .await;
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
