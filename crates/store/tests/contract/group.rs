//! Many at once: joint transactions, and one that cannot be stored among many that can.

use std::sync::Arc;

use tokio::task::JoinSet;
use wxgate_contract::*;
use wxgate_store::*;

use crate::setup::*;

/// Panics on one text, mirrors the rest.
struct Fragile;

impl Route for Fragile {
    fn route(&self, input: &RouteInput<'_>) -> Vec<(ChatRef, Job)> {
        assert_ne!(input.post.body, Body::text("poison"), "this route cannot take it");
        Mirror.route(input)
    }
}

/// Routes into a network that nobody has.
struct Astray;

impl Route for Astray {
    fn route(&self, input: &RouteInput<'_>) -> Vec<(ChatRef, Job)> {
        let job = Job::Recall { post: input.post_id, remote_ids: Vec::new() };
        vec![(chat("nowhere/x"), job)]
    }
}

#[tokio::test]
async fn one_poisoned_batch_harms_nobody_else() {
    each_engine(|bench| async move {
        let mut all = JoinSet::new();
        for n in 0..40 {
            bench.link(&[&format!("w:{n}/c"), &format!("m/r{n}")]).await;
        }
        for n in 0..40 {
            let store = bench.store.clone();
            all.spawn(async move {
                let text = if n % 10 == 3 { "poison" } else { "fine" };
                let posts = vec![post("1", &format!("w:{n}/c"), text)];
                let batch = Batch { posts, notes: vec![note("sync", "1", false)], ..Batch::default() };
                let route: Arc<dyn Route> = if n == 7 { Arc::new(Astray) } else { Arc::new(Fragile) };
                (n, store.commit_batch(&NetworkId::new(format!("w:{n}")), batch, route).await)
            });
        }
        let results = all.join_all().await;
        assert_eq!(results.len(), 40);
        for (n, result) in results {
            let is_bad = n % 10 == 3 || n == 7;
            match result {
                Ok(report) => {
                    assert!(!is_bad && matches!(report.committed.posts[..], [PostFate::Kept(_)]), "{n}")
                }
                Err(error) => assert!(is_bad && matches!(error, StoreError::Invalid { .. }), "{n}: {error}"),
            }
            let network = NetworkId::new(format!("w:{n}"));
            let note = bench.store.note(&network, "sync").await.unwrap();
            assert_eq!(note.is_some(), !is_bad, "a refused batch leaves nothing behind");
            assert_eq!(bench.history(network.as_str()).await.len(), usize::from(!is_bad));
            assert_eq!(bench.next(&format!("m/r{n}")).await.is_some(), !is_bad);
        }
        // What was refused is not half known: it can come again.
        let report = bench.commit("w:3", vec![post("1", "w:3/c", "fine now")]).await;
        assert!(matches!(report.committed.posts[..], [PostFate::Kept(_)]));
        bench
    })
    .await;
}

#[tokio::test]
async fn what_can_never_be_stored_is_invalid_on_both_engines() {
    each_engine(|bench| async move {
        let long = "x".repeat(513);
        let nul_note = Batch { notes: vec![note("a\0b", "v", false)], ..Batch::default() };
        let long_note = Batch { notes: vec![note(&long, "v", false)], ..Batch::default() };
        let nul_post = Batch { posts: vec![post("1\0", "w:a/c", "x")], ..Batch::default() };
        let big_post = Batch { posts: vec![post("1", "w:a/c", &"x".repeat(2 << 20))], ..Batch::default() };
        for batch in [nul_note, long_note, nul_post, big_post] {
            let result = bench.store.commit_batch(&"w:a".into(), batch, Arc::new(Mirror)).await;
            assert!(matches!(result, Err(StoreError::Invalid { .. })), "{result:?}");
        }
        let nobody = bench.store.commit_batch(&"".into(), Batch::default(), Arc::new(Mirror)).await;
        assert!(matches!(nobody, Err(StoreError::Invalid { .. })));
        // A NUL inside a text is a text.
        bench.commit("w:a", vec![post("1", "w:a/c", "a\0b")]).await;
        assert_eq!(texts(&bench.history("w:a").await), ["a\0b"]);
        bench
    })
    .await;
}

#[tokio::test]
async fn fifty_accounts_at_once_keep_their_order_and_lose_nothing() {
    each_engine(|bench| async move {
        const ACCOUNTS: usize = 50;
        const EACH: usize = 40;
        let mut all = JoinSet::new();
        for n in 0..ACCOUNTS {
            let (store, network) = (bench.store.clone(), format!("w:{n}"));
            if n % 5 == 0 {
                bench.link(&[&format!("{network}/c"), &format!("m/r{n}")]).await;
            }
            all.spawn(async move {
                for i in 0..EACH {
                    let posts = vec![post(&i.to_string(), &format!("{network}/c"), &i.to_string())];
                    let notes = vec![note("sync", &i.to_string(), false)];
                    let batch = Batch { posts, notes, ..Batch::default() };
                    let report =
                        store.commit_batch(&network.as_str().into(), batch, Arc::new(Mirror)).await.unwrap();
                    assert!(matches!(report.committed.posts[..], [PostFate::Kept(_)]));
                    // Acknowledged is readable.
                    let stored = store.note(&network.as_str().into(), "sync").await.unwrap().unwrap();
                    assert_eq!(stored, i.to_string());
                }
            });
            if n % 5 == 0 {
                let store = bench.store.clone();
                all.spawn(async move {
                    let lane = chat(&format!("m/r{n}"));
                    for i in 0..EACH {
                        let delivery = loop {
                            match store.next_in_lane(&lane).await.unwrap() {
                                Some((delivery, _)) => break delivery,
                                None => tokio::task::yield_now().await,
                            }
                        };
                        assert_eq!(said(&delivery).post.remote_id.as_str(), i.to_string(), "oldest first");
                        let id = format!("e{n}-{i}");
                        let report = store
                            .settle(&"m".into(), delivery.id, sent(&[&id]), Arc::new(Mirror))
                            .await
                            .unwrap();
                        assert!(report.closed);
                    }
                });
            }
        }
        while let Some(done) = all.join_next().await {
            done.unwrap();
        }
        let expected: Vec<String> = (0..EACH).map(|i| i.to_string()).collect();
        for n in 0..ACCOUNTS {
            assert_eq!(texts(&bench.history(&format!("w:{n}")).await), expected);
        }
        assert_eq!(bench.store.open_lanes().await.unwrap(), []);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_batch_larger_than_a_group_is_stored_whole() {
    each_engine(|bench| async move {
        let posts = (0..5000).map(|n| post(&n.to_string(), "w:a/c", "x")).collect();
        let report = bench.commit("w:a", posts).await;
        assert_eq!((report.committed.posts.len(), report.shown.len()), (5000, 5000));
        assert_eq!(bench.count("SELECT COUNT(*) FROM post").await, 5000);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_dropped_call_does_not_disturb_the_others() {
    each_engine(|bench| async move {
        for n in 0..20 {
            let (store, id) = (bench.store.clone(), n.to_string());
            let batch = Batch { posts: vec![post(&id, "w:a/c", "x")], ..Batch::default() };
            let mut call = JoinSet::new();
            call.spawn(async move { store.commit_batch(&"w:a".into(), batch, Arc::new(Mirror)).await });
            tokio::task::yield_now().await;
            call.abort_all();
        }
        // Handed over again, each is there once.
        let posts = (0..20).map(|n| post(&n.to_string(), "w:a/c", "x")).collect();
        bench.commit("w:a", posts).await;
        assert_eq!(bench.history("w:a").await.len(), 20);
        bench
    })
    .await;
}
