//! Ends without warning, and disks without room.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use wxgate_contract::*;
use wxgate_store::*;

use crate::setup::*;

const CHILD: &str = "WXGATE_STORE_TEST_CHILD";

/// Not a test by itself: the program that is killed. Twenty accounts commit as fast as they can
/// and say so on their standard output, but only after the store has said so to them.
#[tokio::test]
async fn child_that_commits_until_it_is_killed() {
    let Ok(place) = std::env::var(CHILD) else { return };
    let (dir, url) = place.split_once('|').unwrap();
    let bench = Bench::open(dir.into(), url).await;
    let mut all = tokio::task::JoinSet::new();
    for n in 0..20 {
        let store = bench.store.clone();
        all.spawn(async move {
            for i in 0_u64.. {
                let posts = vec![post(&i.to_string(), &format!("w:{n}/c"), "x")];
                let batch =
                    Batch { posts, notes: vec![note("sync", &i.to_string(), true)], ..Batch::default() };
                store.commit_batch(&NetworkId::new(format!("w:{n}")), batch, Arc::new(Mirror)).await.unwrap();
                // One write per line, so that a kill cannot tear it.
                use std::io::Write as _;
                std::io::stdout().write_all(format!("\ndone {n} {i}\n").as_bytes()).unwrap();
            }
        });
    }
    while all.join_next().await.is_some() {}
}

/// Runs the child until it has acknowledged `count` commits, kills it, and gives what it acknowledged last.
fn killed_after(dir: &Path, url: &str, count: usize) -> Vec<Option<u64>> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_that_commits_until_it_is_killed", "--nocapture"])
        .env(CHILD, format!("{}|{url}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut last = vec![None; 20];
    let mut seen = 0;
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let Some((n, i)) = line.strip_prefix("done ").and_then(|rest| rest.split_once(' ')) else { continue };
        last[n.parse::<usize>().unwrap()] = Some(i.parse().unwrap());
        seen += 1;
        if seen == count {
            // SIGKILL; what it wrote before it died is still read.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= count, "the child ended by itself after {seen} commits");
    last
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_nine() {
    let sqlite = Some("sqlite".to_owned());
    for url in [sqlite, fresh_postgres().await].into_iter().flatten() {
        let dir = fresh_dir();
        let mut before = vec![None; 20];
        for count in [1, 57, 400] {
            let last = killed_after(&dir, &url, count);
            let bench = Bench::open(dir.clone(), &url).await;
            for (n, acknowledged) in last.iter().enumerate() {
                let network = NetworkId::new(format!("w:{n}"));
                // A later run starts again at 0 with ids that are known by then.
                let acknowledged = (*acknowledged).max(before[n]);
                before[n] = acknowledged;
                let Some(acknowledged) = acknowledged else { continue };
                let line = bench.store.history(&network, None, HistoryRange::After(0), 10_000).await.unwrap();
                let ids: Vec<u64> =
                    line.iter().map(|item| item.post.remote_id.as_str().parse().unwrap()).collect();
                let expected: Vec<u64> = (0..ids.len() as u64).collect();
                assert_eq!(ids, expected, "each once, in order");
                assert!(ids.len() as u64 > acknowledged, "{n}: {} of {acknowledged}", ids.len());
                let sync = bench.store.note(&network, "sync").await.unwrap().unwrap();
                let sync: u64 = std::str::from_utf8(&sync).unwrap().parse().unwrap();
                assert!(sync < ids.len() as u64, "a note never runs ahead of its posts");
            }
            bench.store.close().await;
        }
    }
}

/// The files as they are at any moment are a whole database: a copy taken while commits run opens
/// and has everything that was acknowledged before the copy began.
#[tokio::test]
async fn a_copy_of_the_files_taken_during_commits_is_whole() {
    let bench = Bench::open(fresh_dir(), "sqlite").await;
    for round in 0..8 {
        for n in 0..25 {
            bench.commit("w:a", vec![post(&format!("{round}-{n}"), "w:a/c", "x")]).await;
        }
        let store = bench.store.clone();
        let mut busy = tokio::task::JoinSet::new();
        busy.spawn(async move {
            for n in 0..200 {
                let posts = vec![post(&format!("busy-{round}-{n}"), "w:b/c", "x")];
                let batch = Batch { posts, ..Batch::default() };
                store.commit_batch(&"w:b".into(), batch, Arc::new(Mirror)).await.unwrap();
            }
        });
        tokio::task::yield_now().await;
        let copy = fresh_dir();
        // The log last: it may hold frames that the main file does not have yet, never fewer.
        for name in ["wxgate.db", "wxgate.db-wal"] {
            std::fs::copy(bench.dir.join(name), copy.join(name)).unwrap();
        }
        let found = Bench::open(copy.clone(), "sqlite").await;
        assert_eq!(found.history("w:a").await.len(), (round + 1) * 25);
        found.store.close().await;
        std::fs::remove_dir_all(&copy).unwrap();
        busy.join_all().await;
    }
    bench.store.close().await;
    std::fs::remove_dir_all(&bench.dir).unwrap();
}

/// A small file system of our own, taken away again at the end.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = fresh_dir();
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(&dir).output().ok()?;
        done.status.success().then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_passes() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: a small tmpfs cannot be mounted here (needs root)");
        return;
    };
    let bench = Bench::open(disk.0.clone(), "sqlite").await;
    bench.link(&["w:a/c", "m/r"]).await;
    let ballast = disk.0.join("ballast");
    let mut kept = 0;
    let fill = "x".repeat(20_000);
    std::fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let error = loop {
        let posts = vec![post(&kept.to_string(), "w:a/c", &fill)];
        let batch = Batch { posts, notes: vec![note("sync", &kept.to_string(), false)], ..Batch::default() };
        match bench.store.commit_batch(&"w:a".into(), batch, Arc::new(Mirror)).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 1000, "the disk never became full");
    };
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(kept > 0);
    // Reading goes on, and what failed left nothing behind.
    assert_eq!(bench.history("w:a").await.len(), kept);
    let sync = bench.store.note(&"w:a".into(), "sync").await.unwrap().unwrap();
    assert_eq!(sync, (kept - 1).to_string());
    let vault = bench.store.vault(Arc::new(|_, _| None));
    let full = async {
        let mut writer = vault.writer(MediaId([1; 16]), "", "", MediaOwner::Posts).await?;
        for _ in 0..100 {
            writer.write(bytes::Bytes::from(vec![1; 10_000])).await?;
        }
        writer.finish().await
    };
    let full = full.await;
    assert!(matches!(full, Err(MediaError::Vault(_))), "{full:?}");
    // Room again: the same call works, nothing is lost and nothing is there twice.
    std::fs::remove_file(&ballast).unwrap();
    let report = bench.commit("w:a", vec![post(&kept.to_string(), "w:a/c", "small")]).await;
    assert!(matches!(report.committed.posts[..], [PostFate::Kept(_)]));
    assert_eq!(bench.history("w:a").await.len(), kept + 1);
    let mut delivered = 0;
    while let Some(delivery) = bench.next("m/r").await {
        assert_eq!(said(&delivery).post.remote_id.as_str(), delivered.to_string());
        bench.settle("m", delivery.id, sent(&[])).await;
        delivered += 1;
    }
    assert_eq!(delivered, kept + 1);
    bench.store.close().await;
    drop(disk);
}

#[tokio::test]
async fn a_server_that_drops_its_connections_is_reached_again() {
    let Some(url) = fresh_postgres().await else { return };
    let bench = Bench::open(fresh_dir(), &url).await;
    bench.commit("w:a", vec![post("1", "w:a/c", "one")]).await;
    assert_eq!(bench.history("w:a").await.len(), 1);
    let text = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(bench.count(text).await >= 2, "the writer and a reader");
    bench.commit("w:a", vec![post("2", "w:a/c", "two")]).await;
    assert_eq!(texts(&bench.history("w:a").await), ["one", "two"]);
    bench.store.close().await;
}
