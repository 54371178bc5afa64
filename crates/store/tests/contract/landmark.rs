//! Places in a timeline: by post, by time, and which chats spoke.

use wxgate_contract::*;

use crate::setup::*;

fn at(ms: i64, id: &str, place: &str) -> Post {
    Post { at: Timestamp(ms), ..post(id, place, id) }
}

#[tokio::test]
async fn a_time_finds_the_first_item_from_then_on() {
    each_engine(|bench| async move {
        // Bursts and long pauses, with another chat's lines between them.
        let times: Vec<i64> = (0..300).map(|n: i64| n * n * n / 40 + n % 3).map(|ms| ms * 10).collect();
        let mut times = times;
        times.sort_unstable();
        let posts = times.iter().enumerate();
        let posts = posts
            .flat_map(|(n, ms)| [at(*ms, &format!("c{n}"), "w:a/c"), at(*ms, &format!("d{n}"), "w:a/d")]);
        bench.commit("w:a", posts.collect()).await;
        let chat = chat("w:a/c");
        let items =
            bench.store.history(&chat.network, Some(&chat.chat), HistoryRange::After(0), 1000).await.unwrap();
        let last = *times.last().unwrap();
        for ms in (0..last + 20).step_by(611).chain(times.iter().copied()).chain([last, last + 1]) {
            let expected = items.iter().find(|item| item.post.at.ms() >= ms).map(|item| item.seq);
            let found = bench.store.locate(&chat, Landmark::Since(Timestamp(ms))).await.unwrap();
            assert_eq!(found, expected, "at {ms}");
        }
        let silent = ChatRef { chat: "nobody".into(), ..chat };
        assert_eq!(bench.store.locate(&silent, Landmark::Since(Timestamp(0))).await.unwrap(), None);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_post_stands_only_in_its_own_chat() {
    each_engine(|bench| async move {
        let report = bench.commit("w:a", vec![at(1, "1", "w:a/c")]).await;
        let PostFate::Kept(id) = report.committed.posts[0] else { panic!("{report:?}") };
        let seq = report.shown[0].seq;
        let locate = |place, landmark| {
            let store = bench.store.clone();
            async move { store.locate(&chat(place), landmark).await.unwrap() }
        };
        assert_eq!(locate("w:a/c", Landmark::Post(id)).await, Some(seq));
        assert_eq!(locate("w:a/d", Landmark::Post(id)).await, None);
        assert_eq!(locate("w:b/c", Landmark::Post(id)).await, None);
        assert_eq!(locate("w:a/c", Landmark::Post(PostId(id.0 + 100))).await, None);
        bench
    })
    .await;
}

#[tokio::test]
async fn chats_that_spoke_come_newest_first() {
    each_engine(|bench| async move {
        let posts = [(1, "a"), (2, "b"), (3, "a"), (4, "c"), (5, "b")];
        for (ms, chat) in posts {
            bench.commit("w:a", vec![at(ms, &ms.to_string(), &format!("w:a/{chat}"))]).await;
        }
        bench.commit("w:b", vec![at(9, "9", "w:b/z")]).await;
        let spoken = bench.store.spoken(&"w:a".into(), 10).await.unwrap();
        let shown: Vec<(&str, i64)> = spoken.iter().map(|s| (s.chat.as_str(), s.at.ms())).collect();
        assert_eq!(shown, [("b", 5), ("c", 4), ("a", 3)]);
        assert_eq!(bench.store.spoken(&"w:a".into(), 2).await.unwrap().len(), 2);
        assert_eq!(bench.store.spoken(&"w:none".into(), 2).await.unwrap(), []);
        bench
    })
    .await;
}
