//! Networks that show whole accounts: what they are ordered, and when.

use std::sync::Arc;

use wxgate_contract::*;
use wxgate_store::*;

use crate::setup::*;

/// Everything of `w:a` is shown on `m` and on `n`.
struct Shown;

impl Route for Shown {
    fn route(&self, input: &RouteInput<'_>) -> Vec<(ChatRef, Job)> {
        Mirror.route(input)
    }

    fn mirrors(&self, network: &NetworkId) -> Vec<NetworkId> {
        if network.as_str() == "w:a" { vec!["m".into(), "n".into()] } else { Vec::new() }
    }

    fn wants_reports(&self, network: &NetworkId) -> bool {
        ["m", "n"].contains(&network.as_str())
    }
}

fn shown() -> Arc<dyn Route> {
    Arc::new(Shown)
}

/// Gives the faces their numbers, as adding a mirror does.
async fn mirrored(bench: &Bench) {
    for face in ["m", "n"] {
        bench.store.add_mirror(&"w:a".into(), &face.into()).await.unwrap();
    }
}

fn report(delivery: &Delivery) -> &Report {
    match &delivery.job {
        Job::Report(report) => report,
        other => panic!("{other:?} and no report"),
    }
}

fn mine(id: &str, text: &str) -> Post {
    Post { author: Author::Owner, ..post(id, "w:a/c", text) }
}

#[tokio::test]
async fn what_an_account_hears_is_ordered_of_each_network_that_shows_it() {
    each_engine(|bench| async move {
        mirrored(&bench).await;
        let report = bench.commit_by("w:a", vec![post("1", "w:a/c", "one")], shown()).await;
        assert_eq!(report.lanes, [chat("m/w:a/c"), chat("n/w:a/c")]);
        let delivery = bench.next("m/w:a/c").await.unwrap();
        assert_eq!(said(&delivery).author_prefix, "Ming");
        assert_eq!(ChatRef::mirrored_by(&delivery.chat), Some(chat("w:a/c")));
        let pairs = bench.store.mirrors().await.unwrap();
        assert_eq!(pairs, [("w:a".into(), "m".into()), ("w:a".into(), "n".into())]);
        bench.store.remove_mirror(&"w:a".into(), &"n".into()).await.unwrap();
        assert_eq!(bench.store.mirrors().await.unwrap().len(), 1);
        bench
    })
    .await;
}

#[tokio::test]
async fn what_is_said_through_one_mirror_reaches_the_others_once_it_stands_in_the_chat() {
    each_engine(|bench| async move {
        mirrored(&bench).await;
        let committed = bench.commit_by("m", vec![mine("$1", "hello")], shown()).await;
        assert_eq!(committed.lanes, [chat("w:a/c")], "nobody shows it before the chat has it");
        let home = bench.next("w:a/c").await.unwrap();
        let settled = bench.settle_by("w:a", home.id, sent(&["w1"]), shown()).await;
        assert_eq!(settled.lanes, [chat("m/w:a/c"), chat("n/w:a/c")]);
        assert_eq!(settled.shown[0].fate, Fate::Said);
        let told = bench.next("m/w:a/c").await.unwrap();
        let (post, native_ids) = (settled.shown[0].post_id, vec!["w1".into()]);
        let wanted = Report { post, remote_id: "$1".into(), fate: Fate::Said, native_ids };
        assert_eq!(report(&told), &wanted);
        let other = bench.next("n/w:a/c").await.unwrap();
        assert_eq!(said(&other).post.body, Body::text("hello"));
        assert_eq!(said(&other).native_ids, ["w1".into()], "by which another account would know it");
        // What was refused is told to its author and shown to nobody.
        bench.commit_by("m", vec![mine("$2", "no")], shown()).await;
        let home = bench.next("w:a/c").await.unwrap();
        let refused = Outcome::Refused { why: "muted".to_owned() };
        let settled = bench.settle_by("w:a", home.id, refused, shown()).await;
        assert_eq!(settled.lanes, [chat("m/w:a/c")]);
        bench.settle("m", told.id, sent(&[])).await;
        let told = bench.next("m/w:a/c").await.unwrap();
        assert_eq!(report(&told).fate, Fate::NotDelivered { why: "muted".to_owned() });
        bench
    })
    .await;
}

#[tokio::test]
async fn an_echo_that_proves_a_doubtful_post_is_reported_too() {
    each_engine(|bench| async move {
        mirrored(&bench).await;
        bench.commit_by("m", vec![mine("$1", "hello")], shown()).await;
        let home = bench.next("w:a/c").await.unwrap();
        let doubt = Outcome::Uncertain { why: "line dropped".to_owned() };
        bench.settle_by("w:a", home.id, doubt, shown()).await;
        let first = bench.next("m/w:a/c").await.unwrap();
        assert!(matches!(report(&first).fate, Fate::MaybeDelivered { .. }));
        bench.settle("m", first.id, sent(&[])).await;
        let echo = Post { echo_of: Some(home.id), ..mine("w1", "hello") };
        let committed = bench.commit_by("w:a", vec![echo], shown()).await;
        assert_eq!(committed.lanes, [chat("m/w:a/c")]);
        let second = bench.next("m/w:a/c").await.unwrap();
        assert_eq!(report(&second).fate, Fate::Said);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_recall_and_an_answer_find_what_was_still_on_its_way_when_they_came() {
    each_engine(|bench| async move {
        mirrored(&bench).await;
        let answer = Post { quote: quote("1"), ..post("2", "w:a/c", "two") };
        let posts = vec![post("1", "w:a/c", "one"), answer, recall("3", "w:a/c", "1")];
        bench.commit_by("w:a", posts, shown()).await;
        let first = bench.next("m/w:a/c").await.unwrap();
        bench.settle("m", first.id, sent(&["$a", "$b"])).await;
        let second = bench.next("m/w:a/c").await.unwrap();
        assert_eq!(said(&second).quoted_remote_id, Some("$a".into()));
        bench.settle("m", second.id, sent(&["$c"])).await;
        let third = bench.next("m/w:a/c").await.unwrap();
        let Job::Recall { remote_ids, .. } = third.job else { panic!("{third:?}") };
        assert_eq!(remote_ids, ["$a".into(), "$b".into()]);
        // On the other network it never arrived.
        for _ in 0..2 {
            let next = bench.next("n/w:a/c").await.unwrap();
            bench.settle("n", next.id, Outcome::Refused { why: "gone".to_owned() }).await;
        }
        let Job::Recall { remote_ids, .. } = bench.next("n/w:a/c").await.unwrap().job else { panic!() };
        assert_eq!(remote_ids, []);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_removed_account_leaves_nothing_to_show() {
    each_engine(|bench| async move {
        bench.store.add_user(&"ann".into(), None, false).await.unwrap();
        bench.store.add_account(&"w:a".into(), &"ann".into()).await.unwrap();
        mirrored(&bench).await;
        bench.commit_by("w:a", vec![post("1", "w:a/c", "one")], shown()).await;
        bench.commit_by("w:ab", vec![post("1", "w:ab/c", "one")], Arc::new(Mirror)).await;
        bench.store.remove_account(&"w:a".into()).await.unwrap();
        assert_eq!(bench.next("m/w:a/c").await, None);
        assert_eq!(bench.store.mirrors().await.unwrap(), []);
        assert_eq!(bench.count("SELECT COUNT(*) FROM delivery").await, 0);
        bench
    })
    .await;
}

#[tokio::test]
async fn somebody_on_a_network_is_one_person_here() {
    each_engine(|bench| async move {
        let person = |key: &str| PersonRef { network: "m".into(), person: key.into() };
        let ann = UserName::from("ann");
        assert_eq!(bench.store.user_of(&person("@ann:x")).await.unwrap(), None);
        assert_eq!(bench.store.introduce(&person("@ann:x"), &ann).await.unwrap(), ann);
        assert_eq!(bench.store.introduce(&person("@ann:x"), &ann).await.unwrap(), ann, "twice is once");
        // A namesake from elsewhere is somebody else.
        assert_eq!(bench.store.introduce(&person("@ann:y"), &ann).await.unwrap(), "ann_2".into());
        assert_eq!(bench.store.user_of(&person("@ann:x")).await.unwrap(), Some(ann.clone()));
        assert_eq!(bench.store.person_of(&ann, &"m".into()).await.unwrap(), Some("@ann:x".into()));
        bench.store.identify(&person("@ann:y"), &ann).await.unwrap();
        assert_eq!(bench.store.user_of(&person("@ann:y")).await.unwrap(), Some(ann.clone()));
        let nobody = bench.store.identify(&person("@x:y"), &"nobody".into()).await;
        assert!(matches!(nobody, Err(StoreError::Invalid { .. })));
        bench.store.remove_user(&ann).await.unwrap();
        assert_eq!(bench.store.user_of(&person("@ann:x")).await.unwrap(), None);
        bench
    })
    .await;
}
