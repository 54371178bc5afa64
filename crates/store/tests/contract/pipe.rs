//! The pipe: commit, order, dedup, lanes, outcomes, timeline.

use std::sync::Arc;
use std::time::Duration;

use wxgate_contract::*;
use wxgate_store::*;

use crate::setup::*;

#[tokio::test]
async fn a_batch_is_kept_shown_and_carried_to_the_other_members() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c1", "m/r1", "i/x1"]).await;
        let report =
            bench.commit("w:a", vec![post("1", "w:a/c1", "hello"), post("2", "w:a/c2", "alone")]).await;
        let [PostFate::Kept(first), PostFate::Kept(second)] = report.committed.posts[..] else {
            panic!("{report:?}")
        };
        assert!(first < second);
        assert_eq!(texts(&report.shown), ["hello", "alone"]);
        assert_eq!(report.lanes, [chat("i/x1"), chat("m/r1")]);
        assert_eq!(bench.history("w:a").await, report.shown);
        let delivery = bench.next("m/r1").await.unwrap();
        assert_eq!((delivery.attempt, delivery.chat.as_str()), (1, "r1"));
        let say = said(&delivery);
        assert_eq!((say.post_id, &*say.author_prefix), (first, "Ming"));
        assert_eq!(bench.next("w:a/c1").await, None, "never back where it came from");
        bench
    })
    .await;
}

#[tokio::test]
async fn a_post_handed_over_twice_is_kept_once() {
    each_engine(|bench| async move {
        let twice = vec![post("1", "w:a/c", "x"), post("1", "w:a/c", "x"), post("2", "w:a/c", "y")];
        let report = bench.commit("w:a", twice.clone()).await;
        let [PostFate::Kept(one), PostFate::Known(same), PostFate::Kept(two)] = report.committed.posts[..]
        else {
            panic!("{report:?}")
        };
        assert_eq!(one, same);
        let again = bench.commit("w:a", twice).await;
        let known = [PostFate::Known(one), PostFate::Known(one), PostFate::Known(two)];
        assert_eq!(again.committed.posts, known);
        assert_eq!(again.shown, []);
        // Another network may use the same ids.
        let other = bench.commit("w:b", vec![post("1", "w:b/c", "z")]).await;
        assert!(matches!(other.committed.posts[..], [PostFate::Kept(_)]));
        assert_eq!(texts(&bench.history("w:a").await), ["x", "y"]);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_lane_gives_its_oldest_delivery_until_it_is_settled() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c", "m/r"]).await;
        bench.commit("w:a", vec![post("1", "w:a/c", "one"), post("2", "w:a/c", "two")]).await;
        let first = bench.next("m/r").await.unwrap();
        assert_eq!(bench.next("m/r").await.unwrap().id, first.id, "looking does not take it away");
        let later = Outcome::TryLater { after: Duration::from_secs(30), why: "busy".to_owned() };
        let report = bench.settle("m", first.id, later).await;
        assert_eq!((report.closed, report.retry_at), (false, Some(Timestamp(1_030_000))));
        let (again, due) = bench.store.next_in_lane(&chat("m/r")).await.unwrap().unwrap();
        assert_eq!(
            (again.id, again.attempt, due),
            (first.id, 2, Timestamp(1_030_000)),
            "the lane keeps its order"
        );
        assert_eq!(bench.store.open_lanes().await.unwrap(), [(chat("m/r"), Timestamp(1_030_000))]);
        let stats = bench.store.lane_stats().await.unwrap();
        assert_eq!(stats, [LaneStats { network: "m".into(), open: 2, oldest: Timestamp(1_000_000) }]);
        let of =
            async |names: [&str; 3]| bench.store.lane_stats_of(&names.map(NetworkId::from)).await.unwrap();
        assert_eq!(of(["w:a", "m", "unknown"]).await, stats);
        assert_eq!(of(["w:a", "w:b", "unknown"]).await, []);
        bench.store.answers().await.unwrap();
        let report = bench.settle("m", first.id, sent(&["e1"])).await;
        assert_eq!(report, SettleReport { lane: Some(chat("m/r")), closed: true, ..SettleReport::default() });
        let second = bench.next("m/r").await.unwrap();
        assert_eq!(said(&second).post.remote_id.as_str(), "2");
        bench.settle("m", second.id, sent(&[])).await;
        assert_eq!(bench.next("m/r").await, None);
        assert_eq!(bench.store.open_lanes().await.unwrap(), []);
        bench
    })
    .await;
}

#[tokio::test]
async fn what_stands_behind_a_delivery_is_read_in_order_and_each_of_it_can_be_settled() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c", "m/r"]).await;
        bench.link(&["w:a/d", "m/s"]).await;
        bench.commit("w:a", (1..=5).map(|n| post(&n.to_string(), "w:a/c", "words")).collect()).await;
        bench.commit("w:a", vec![post("6", "w:a/d", "elsewhere")]).await;
        let head = bench.next("m/r").await.unwrap();
        let behind = async |limit| {
            let behind = bench.store.behind(&chat("m/r"), head.id, limit).await.unwrap();
            behind.iter().map(|one| said(one).post.remote_id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(behind(9).await, ["2", "3", "4", "5"]);
        assert_eq!(behind(2).await, ["2", "3"]);
        let third = bench.store.behind(&chat("m/r"), head.id, 9).await.unwrap().remove(1);
        bench.settle("m", third.id, sent(&[])).await;
        assert_eq!(behind(9).await, ["2", "4", "5"]);
        assert_eq!(bench.next("m/r").await.unwrap().id, head.id, "the lane stands where it stood");
        // What cannot be read has its own turn.
        let fourth = "UPDATE delivery SET job = 'x' WHERE id = \
                      (SELECT id FROM delivery WHERE chat = 'r' ORDER BY id DESC LIMIT 1 OFFSET 1)";
        bench.change(fourth).await;
        assert_eq!(behind(9).await, ["2"]);
        assert_eq!(bench.store.behind(&chat("m/nowhere"), head.id, 9).await.unwrap(), []);
        bench
    })
    .await;
}

#[tokio::test]
async fn what_waits_after_a_failure_and_what_did_not_arrive_is_told_with_its_reason() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c", "m/r"]).await;
        bench.link(&["w:a/d", "m/w:b/x", "m/w:a0/y"]).await;
        bench.commit("w:a", (1..=4).map(|n| post(&n.to_string(), "w:a/c", "words")).collect()).await;
        bench.commit("w:a", vec![post("5", "w:a/d", "words")]).await;
        let no = |why: &str| Outcome::Refused { why: why.to_owned() };
        let perhaps = Outcome::Uncertain { why: "cut off".to_owned() };
        let later = |why: &str| Outcome::TryLater { after: Duration::from_secs(30), why: why.to_owned() };
        for (at, outcome) in [(1, no("too long")), (2, perhaps), (3, sent(&["e1"])), (4, later("busy"))] {
            bench.clock.set(1_000_000 + at);
            let next = bench.next("m/r").await.unwrap();
            bench.settle("m", next.id, outcome).await;
        }
        let trouble = |stand, since, why: &str| Trouble {
            lane: chat("m/r"),
            stand,
            since: Timestamp(since),
            why: why.to_owned(),
        };
        let waits = Stand::Waits { attempts: 1, next: Timestamp(1_030_004) };
        let wanted = [
            trouble(waits, 1_000_000, "busy"),
            trouble(Stand::Uncertain, 1_000_002, "cut off"),
            trouble(Stand::Refused, 1_000_001, "too long"),
        ];
        assert_eq!(bench.store.troubles(&"m".into(), 9).await.unwrap(), wanted);
        assert_eq!(bench.store.troubles(&"m".into(), 1).await.unwrap(), wanted[..2], "some of each");
        assert_eq!(bench.store.troubles(&"nobody".into(), 9).await.unwrap(), []);
        // A face's lanes are told by the account that they mirror.
        for lane in ["m/w:b/x", "m/w:a0/y"] {
            let next = bench.next(lane).await.unwrap();
            bench.settle("m", next.id, later("no room")).await;
        }
        let of = |account: &str| {
            let (store, account) = (bench.store.clone(), account.into());
            async move { store.mirror_troubles(&account, &"m".into(), 9).await.unwrap() }
        };
        assert_eq!(of("w:a").await, [], "another account whose name begins alike");
        let told = of("w:b").await;
        assert_eq!((told.len(), told[0].why.as_str(), &told[0].lane), (1, "no room", &chat("m/w:b/x")));
        bench
    })
    .await;
}

#[tokio::test]
async fn settling_what_is_unknown_closed_or_somebody_elses_changes_nothing() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c", "m/r"]).await;
        bench.commit("w:a", vec![post("1", "w:a/c", "one")]).await;
        let delivery = bench.next("m/r").await.unwrap();
        assert_eq!(bench.settle("m", DeliveryId(99_999), sent(&[])).await, SettleReport::default());
        assert_eq!(bench.settle("nobody", delivery.id, sent(&[])).await, SettleReport::default());
        assert_eq!(bench.settle("w:a", delivery.id, sent(&["stolen"])).await, SettleReport::default());
        assert!(bench.settle("m", delivery.id, sent(&["e1"])).await.closed);
        let again = bench.settle("m", delivery.id, Outcome::Refused { why: "no".to_owned() }).await;
        assert_eq!((again.lane, again.closed, again.failed), (Some(chat("m/r")), false, None));
        bench
    })
    .await;
}

#[tokio::test]
async fn what_was_not_delivered_is_told_with_its_post() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c", "m/r"]).await;
        let posts = vec![post("1", "w:a/c", "one"), post("2", "w:a/c", "two")];
        bench.commit("w:a", posts.clone()).await;
        let first = bench.next("m/r").await.unwrap();
        let refused = Outcome::Refused { why: "not a member".to_owned() };
        let failed = bench.settle("m", first.id, refused.clone()).await.failed.unwrap();
        assert_eq!((failed.post, failed.target, failed.outcome), (posts[0].clone(), chat("m/r"), refused));
        assert_eq!(failed.origin.as_str(), "w:a");
        let second = bench.next("m/r").await.unwrap();
        let uncertain = Outcome::Uncertain { why: "line dropped".to_owned() };
        assert!(bench.settle("m", second.id, uncertain).await.failed.is_some());
        bench
    })
    .await;
}

/// Says a word about whatever did not arrive.
struct Tells;

impl Route for Tells {
    fn route(&self, _: &RouteInput<'_>) -> Vec<(ChatRef, Job)> {
        Vec::new()
    }

    fn notice(&self, delivery: DeliveryId, failed: &FailedDelivery, at: Timestamp) -> Option<Post> {
        let chat = failed.post.chat.clone();
        Some(Post { at, chat, ..post(&format!("notice/{delivery}"), "w:a/c", "it did not arrive") })
    }
}

#[tokio::test]
async fn what_is_said_about_a_failure_is_written_with_it_and_once() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c", "m/r"]).await;
        bench.commit("w:a", vec![post("1", "w:a/c", "one")]).await;
        let order = bench.next("m/r").await.unwrap();
        let refused = Outcome::Refused { why: "not a member".to_owned() };
        for told in [1, 0] {
            let settled =
                bench.store.settle(&"m".into(), order.id, refused.clone(), Arc::new(Tells)).await.unwrap();
            assert_eq!(settled.shown.len(), told);
        }
        // On disk, whoever was told by the answer or not.
        let line = bench.history("w:a").await;
        assert_eq!(texts(&line), ["one", "it did not arrive"]);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_delivery_whose_post_cannot_be_read_is_closed_and_holds_up_nobody() {
    each_engine(|bench| async move {
        bench.commit("irc:local", vec![post("1", "w:a/c", "one"), post("2", "w:a/c", "two")]).await;
        bench.commit("irc:local", vec![post("3", "w:a/c", "three")]).await;
        let first = bench.next("w:a/c").await.unwrap();
        bench.change("UPDATE post SET post = '!' WHERE post LIKE '%\"one\"%' OR post LIKE '%\"two\"%'").await;
        let refused = Outcome::Refused { why: "no such contact".to_owned() };
        let report = bench.settle("w:a", first.id, refused).await;
        assert!(report.closed && report.shown.is_empty() && report.failed.is_none(), "{report:?}");
        assert_eq!(report.damaged, Some((said(&first).post_id, chat("w:a/c"))));
        // Nor does a commit fail that shows that one arrived.
        let second = bench.next("w:a/c").await.unwrap();
        let echo = Post { echo_of: Some(second.id), ..post("n2", "w:a/c", "two") };
        let report = bench.commit("w:a", vec![echo, post("n1", "w:a/d", "news")]).await;
        assert_eq!(report.damaged, [said(&second).post_id]);
        assert_eq!(texts(&report.shown), ["news"]);
        let third = bench.next("w:a/c").await.unwrap();
        let report = bench.settle("w:a", third.id, sent(&["n3"])).await;
        assert_eq!(texts(&report.shown), ["three"], "the lane goes on");
        assert_eq!(texts(&bench.history("w:a").await), ["news", "three"]);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_delivery_whose_state_makes_no_sense_is_settled_and_holds_up_nobody() {
    each_engine(|bench| async move {
        bench.commit("irc:local", ["one", "two"].map(|text| post(text, "w:a/c", text)).to_vec()).await;
        bench.commit("irc:local", vec![post("three", "w:a/c", "three")]).await;
        bench.change("UPDATE delivery SET state = 77").await;
        let first = bench.next("w:a/c").await.unwrap();
        let later = Outcome::TryLater { after: Duration::ZERO, why: "busy".to_owned() };
        let put_off = bench.settle("w:a", first.id, later).await;
        assert!(put_off.mended && put_off.retry_at.is_some() && !put_off.closed, "{put_off:?}");
        let settled = bench.settle("w:a", first.id, sent(&["n1"])).await;
        assert!(!settled.mended && settled.closed, "the first time has mended it: {settled:?}");
        assert_eq!(texts(&settled.shown), ["one"]);
        // Nor does a commit fail that shows that one arrived: an account would ask for it for ever.
        let second = bench.next("w:a/c").await.unwrap();
        let echo = Post { echo_of: Some(second.id), ..post("n2", "w:a/c", "two") };
        let report = bench.commit("w:a", vec![echo, post("n9", "w:a/d", "news")]).await;
        assert_eq!((texts(&report.shown).join(" "), report.mended), ("two news".to_owned(), vec![second.id]));
        let third = bench.next("w:a/c").await.unwrap();
        bench.settle("w:a", third.id, sent(&["n3"])).await;
        // Closed, and damaged then: who says it again changes nothing.
        bench.change("UPDATE delivery SET state = -1").await;
        let again = bench.settle("w:a", third.id, Outcome::Refused { why: "no".to_owned() }).await;
        assert!(again.mended && !again.closed && again.shown.is_empty(), "{again:?}");
        assert_eq!(bench.next("w:a/c").await, None);
        bench
    })
    .await;
}

#[tokio::test]
async fn an_own_delivery_that_comes_back_is_known() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c", "m/r"]).await;
        bench.commit("w:a", vec![post("1", "w:a/c", "one"), post("2", "w:a/c", "two")]).await;
        let first = bench.next("m/r").await.unwrap();
        bench.settle("m", first.id, sent(&["e1", "e2"])).await;
        let back = bench.commit("m", vec![post("e2", "m/r", "one")]).await;
        assert_eq!(back.committed.posts, [PostFate::Known(said(&first).post_id)], "by the id it got there");
        // The echo overtakes the outcome: it names the delivery and proves it.
        let second = bench.next("m/r").await.unwrap();
        let echo = Post { echo_of: Some(second.id), ..post("e3", "m/r", "two") };
        let back = bench.commit("m", vec![echo.clone()]).await;
        assert_eq!(back.committed.posts, [PostFate::Known(said(&second).post_id)]);
        assert_eq!((back.shown.len(), back.lanes.len()), (0, 0));
        assert_eq!(bench.next("m/r").await, None, "the echo settled it");
        assert!(!bench.settle("m", second.id, sent(&["e3"])).await.closed);
        assert_eq!(
            bench.commit("m", vec![echo]).await.committed.posts,
            [PostFate::Known(said(&second).post_id)]
        );
        // A delivery that nobody ordered proves nothing, and nothing is dropped.
        let stray = Post { echo_of: Some(DeliveryId(77_777)), ..post("e9", "m/r", "stray") };
        assert!(matches!(bench.commit("m", vec![stray]).await.committed.posts[..], [PostFate::Kept(_)]));
        bench
    })
    .await;
}

#[tokio::test]
async fn quotes_and_recalls_find_the_ids_of_each_target() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c", "m/r", "i/x"]).await;
        let kept = bench.commit("w:a", vec![post("1", "w:a/c", "one")]).await;
        let [PostFate::Kept(one)] = kept.committed.posts[..] else { panic!("{kept:?}") };
        bench.settle("m", bench.next("m/r").await.unwrap().id, sent(&["e1", "e2"])).await;
        bench.settle("i", bench.next("i/x").await.unwrap().id, sent(&["x1"])).await;
        // An answer on Matrix finds the WeChat id and the IRC id.
        let answer = Post { quote: quote("e1"), ..post("e5", "m/r", "answer") };
        let report = bench.commit("m", vec![answer]).await;
        assert_eq!(report.shown[0].target, Some(one));
        let to_wechat = bench.next("w:a/c").await.unwrap();
        assert_eq!(said(&to_wechat).quoted_remote_id, Some("1".into()));
        assert_eq!(said(&bench.next("i/x").await.unwrap()).quoted_remote_id, Some("x1".into()));
        bench.settle("i", bench.next("i/x").await.unwrap().id, sent(&["x2"])).await;
        // The recall names the pieces on Matrix, oldest first, and marks the post.
        bench.commit("w:a", vec![recall("9", "w:a/c", "1")]).await;
        let Job::Recall { post, remote_ids } = bench.next("m/r").await.unwrap().job else { panic!() };
        assert_eq!((post, remote_ids), (one, vec!["e1".into(), "e2".into()]));
        let line = bench.history("w:a").await;
        assert!(line[0].is_recalled && !line[1].is_recalled);
        assert_eq!(line[1].target, Some(one));
        bench
    })
    .await;
}

#[tokio::test]
async fn what_was_said_again_in_another_chat_is_quoted_and_recalled_there() {
    each_engine(|bench| async move {
        bench.link(&["w:a/old", "m/r"]).await;
        let said = vec![post("72", "w:a/open", "one"), post("73", "w:a/open", "two")];
        let moved = vec![post("moved-72", "w:a/old", "one"), post("moved-moved-73", "w:a/old", "two")];
        bench.commit("w:a", said).await;
        let report = bench.commit("w:a", moved).await;
        let [PostFate::Kept(one), PostFate::Kept(two)] = report.committed.posts[..] else {
            panic!("{report:?}")
        };
        bench.settle("m", bench.next("m/r").await.unwrap().id, sent(&["e1"])).await;
        bench.settle("m", bench.next("m/r").await.unwrap().id, sent(&["e2"])).await;
        // The network goes on calling them by their first ids.
        let answer = Post { quote: quote("73"), ..post("80", "w:a/old", "answer") };
        let report = bench.commit("w:a", vec![recall("79", "w:a/old", "72"), answer]).await;
        let targets: Vec<_> = report.shown.iter().map(|item| item.target).collect();
        assert_eq!(targets, [Some(one), Some(two)]);
        let Job::Recall { remote_ids, .. } = bench.next("m/r").await.unwrap().job else { panic!() };
        assert_eq!(remote_ids, ["e1".into()]);
        // Who is in the first chat again, because the answer was taken back, means what stands there.
        let report = bench.commit("w:a", vec![recall("81", "w:a/open", "73")]).await;
        assert_ne!(report.shown[0].target, Some(two));
        let line = bench.history("w:a").await;
        let recalled: Vec<&str> =
            line.iter().filter(|item| item.is_recalled).map(|item| item.post.remote_id.as_str()).collect();
        assert_eq!(recalled, ["73", "moved-72"]);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_batch_may_quote_and_recall_its_own_posts() {
    each_engine(|bench| async move {
        let answer = Post { quote: quote("1"), ..post("2", "w:a/c", "two") };
        let selfish = Post { quote: quote("4"), ..post("4", "w:a/c", "four") };
        let batch = vec![post("1", "w:a/c", "one"), answer, recall("3", "w:a/c", "1"), selfish];
        let report = bench.commit("w:a", batch).await;
        let one = report.shown[0].post_id;
        let targets: Vec<_> = report.shown.iter().map(|item| item.target).collect();
        assert_eq!(targets, [None, Some(one), Some(one), None]);
        assert!(bench.history("w:a").await[0].is_recalled);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_faces_post_is_shown_when_its_own_chat_has_answered() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c", "m/r"]).await;
        let mine = |id: &str, text: &str| Post { author: Author::Owner, ..post(id, "w:a/c", text) };
        let report = bench
            .commit("irc:local", vec![mine("l1", "said"), mine("l2", "refused"), mine("l3", "maybe")])
            .await;
        assert_eq!(report.shown, [], "not visible before it stands in the chat");
        assert_eq!(report.lanes, [chat("m/r"), chat("w:a/c")]);
        assert_eq!(bench.history("w:a").await, []);
        bench.commit("w:a", vec![post("n1", "w:a/c", "native")]).await;
        let first = bench.next("w:a/c").await.unwrap();
        let report = bench.settle("w:a", first.id, sent(&["n2"])).await;
        let item = report.shown[0].clone();
        assert_eq!((item.fate.clone(), item.origin.as_str()), (Fate::Said, "irc:local"));
        assert_eq!(item.native_id, Some("n2".into()));
        let second = bench.next("w:a/c").await.unwrap();
        let why = "not a member".to_owned();
        let report = bench.settle("w:a", second.id, Outcome::Refused { why: why.clone() }).await;
        assert_eq!(report.shown[0].fate, Fate::NotDelivered { why });
        assert!(report.failed.is_some());
        let third = bench.next("w:a/c").await.unwrap();
        let why = "line dropped".to_owned();
        let report = bench.settle("w:a", third.id, Outcome::Uncertain { why: why.clone() }).await;
        assert_eq!(report.shown[0].fate, Fate::MaybeDelivered { why });
        let line = bench.history("w:a").await;
        assert_eq!(texts(&line), ["native", "said", "refused", "maybe"], "in the order they became visible");
        assert!(line.windows(2).all(|pair| pair[0].seq < pair[1].seq));
        assert_eq!(line[1], item);
        // The network shows the doubtful one after all.
        let echo = Post { echo_of: Some(third.id), ..mine("n9", "maybe") };
        let echo = Post { chat: chat("w:a/c"), ..echo };
        assert_eq!(bench.commit("w:a", vec![echo]).await.shown, [], "it is visible already");
        let last = bench.history("w:a").await.pop().unwrap();
        assert_eq!((last.fate, last.native_id), (Fate::Said, Some("n9".into())));
        bench
    })
    .await;
}

#[tokio::test]
async fn an_echo_that_overtakes_the_outcome_shows_a_faces_post() {
    each_engine(|bench| async move {
        bench.commit("irc:local", vec![post("l1", "w:a/c", "hello")]).await;
        let delivery = bench.next("w:a/c").await.unwrap();
        let echo = Post { echo_of: Some(delivery.id), ..post("n1", "w:a/c", "hello") };
        let report = bench.commit("w:a", vec![echo]).await;
        assert_eq!(report.shown.len(), 1);
        assert_eq!(
            (report.shown[0].fate.clone(), report.shown[0].native_id.clone()),
            (Fate::Said, Some("n1".into()))
        );
        assert_eq!(bench.history("w:a").await, report.shown);
        let late = bench.settle("w:a", delivery.id, sent(&["n1"])).await;
        assert_eq!((late.closed, late.shown.len()), (false, 0));
        bench
    })
    .await;
}

#[tokio::test]
async fn a_faces_recall_marks_the_post_when_it_is_done() {
    each_engine(|bench| async move {
        bench.commit("irc:local", vec![post("l1", "w:a/c", "oops")]).await;
        bench.settle("w:a", bench.next("w:a/c").await.unwrap().id, sent(&["n1"])).await;
        bench.commit("irc:local", vec![recall("l2", "w:a/c", "l1")]).await;
        assert!(!bench.history("w:a").await[0].is_recalled, "not before the network did it");
        let delivery = bench.next("w:a/c").await.unwrap();
        let Job::Recall { remote_ids, .. } = &delivery.job else { panic!() };
        assert_eq!(*remote_ids, [RemoteId::from("n1")]);
        bench.settle("w:a", delivery.id, sent(&[])).await;
        assert!(bench.history("w:a").await[0].is_recalled);
        // A line that came from the network is named by the id it has there.
        bench.commit("w:a", vec![post("n5", "w:a/c", "native")]).await;
        let answer = Post { quote: quote("n5"), ..post("l3", "w:a/c", "answer") };
        bench.commit("irc:local", vec![answer]).await;
        assert_eq!(said(&bench.next("w:a/c").await.unwrap()).quoted_remote_id, Some("n5".into()));
        bench
    })
    .await;
}

/// Orders nothing, whatever happens.
struct Nowhere;

impl Route for Nowhere {
    fn route(&self, _: &RouteInput<'_>) -> Vec<(ChatRef, Job)> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_faces_post_that_goes_nowhere_says_so() {
    each_engine(|bench| async move {
        let report = bench.commit_by("irc:local", vec![post("l1", "w:a/c", "lost")], Arc::new(Nowhere)).await;
        assert!(matches!(report.shown[0].fate, Fate::NotDelivered { .. }), "{report:?}");
        assert_eq!(bench.history("w:a").await, report.shown);
        bench
    })
    .await;
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c", "m/r"]).await;
        let report = bench.commit("w:a", vec![post("1", "w:a/c", "one")]).await;
        let delivery = bench.next("m/r").await;
        let bench = bench.reopen().await;
        assert_eq!(bench.history("w:a").await, report.shown);
        assert_eq!(bench.next("m/r").await, delivery);
        let again = bench.commit("w:a", vec![post("1", "w:a/c", "one"), post("2", "w:a/c", "two")]).await;
        assert!(matches!(again.committed.posts[..], [PostFate::Known(_), PostFate::Kept(_)]));
        bench
    })
    .await;
}

#[tokio::test]
async fn links_go_along_with_a_chat_that_turns_out_to_be_another() {
    each_engine(|bench| async move {
        let follow = async |from: &str, to: &str| {
            let follows = vec![(chat(from).chat, chat(to).chat)];
            bench.batch("w:a", Batch { follows, ..Batch::default() }).await.relinked
        };
        let members = async || {
            let links = bench.store.links().await.unwrap();
            let names =
                |link: Link| link.members.iter().map(|m| format!("{}/{}", m.network, m.chat)).collect();
            links.into_iter().map(names).collect::<Vec<Vec<String>>>()
        };
        assert!(!follow("w:a/new", "w:a/old").await, "it is in no link");
        let link = bench.link(&["w:a/new", "m/r"]).await;
        assert!(follow("w:a/new", "w:a/old").await);
        assert_eq!(members().await, [["m/r", "w:a/old"]]);
        bench.commit("w:a", vec![post("1", "w:a/old", "one")]).await;
        assert!(bench.next("m/r").await.is_some(), "what is said there is mirrored");
        // Both are linked: what mirrors either mirrors both.
        bench.link(&["w:a/newer", "i/x"]).await;
        assert!(follow("w:a/newer", "w:a/old").await);
        assert_eq!(members().await, [["i/x", "m/r", "w:a/old"]]);
        assert_eq!(bench.store.links().await.unwrap()[0].id, link);
        // With each other: a link of one chat mirrors nothing.
        bench.store.remove_link(link).await.unwrap();
        bench.link(&["w:a/new", "w:a/old"]).await;
        assert!(follow("w:a/new", "w:a/old").await);
        assert_eq!(members().await, Vec::<Vec<String>>::new());
        bench
    })
    .await;
}
