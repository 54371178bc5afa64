//! What was carried into an account's chat from elsewhere stands in the account's timeline.

use wxgate_contract::*;

use crate::setup::*;

/// An account `w:a`, whose chat `g` mirrors channel `#c` of another network.
async fn linked(bench: &Bench) {
    bench.store.add_user(&"ann".into(), None, false).await.unwrap();
    bench.store.add_account(&"w:a".into(), &"ann".into()).await.unwrap();
    bench.link(&["w:a/g", "i:x/#c"]).await;
}

#[tokio::test]
async fn what_was_said_elsewhere_is_shown_once_it_was_carried_over() {
    each_engine(|bench| async move {
        linked(&bench).await;
        bench.commit("w:a", vec![post("1", "w:a/g", "before")]).await;
        bench.commit("i:x", vec![post("m1", "i:x/#c", "from the channel")]).await;
        assert_eq!(texts(&bench.history("w:a").await), ["before"], "it is not in the group yet");
        bench.commit("w:a", vec![post("2", "w:a/g", "meanwhile")]).await;
        let delivery = bench.next("w:a/g").await.unwrap();
        let report = bench.settle("w:a", delivery.id, sent(&["77"])).await;
        let [item] = &report.shown[..] else { panic!("{report:?}") };
        assert_eq!(item.post.chat, chat("w:a/g"));
        assert_eq!(item.origin, "i:x".into());
        assert_eq!(item.native_id, Some("77".into()));
        let author = Author::Person { person: "i:x/p1".into(), name: "Ming".to_owned() };
        assert_eq!(item.post.author, author, "nobody of the account can be mistaken for them");
        let history = bench.history("w:a").await;
        assert_eq!(texts(&history), ["before", "meanwhile", "from the channel"]);
        assert_eq!(history.last(), Some(item));
        let (network, group) = ("w:a".into(), "g".into());
        let range = HistoryRange::Before(i64::MAX);
        let newest = bench.store.history(&network, Some(&group), range, 2).await.unwrap();
        assert_eq!(texts(&newest), ["meanwhile", "from the channel"]);
        assert_eq!(texts(&bench.history("i:x").await), ["from the channel"]);
        let group_chat = chat("w:a/g");
        let place = bench.store.locate(&group_chat, Landmark::Post(item.post_id)).await.unwrap();
        assert_eq!(place, Some(item.seq));
        let spoken = bench.store.spoken(&network, 10).await.unwrap();
        assert_eq!(spoken.first().map(|spoken| spoken.seq), Some(item.seq));
        // Somebody in the group quotes the line.
        let answer = Post { quote: quote("77"), ..post("3", "w:a/g", "answer") };
        let report = bench.commit("w:a", vec![answer]).await;
        assert_eq!(report.shown.first().unwrap().target, Some(item.post_id));
        bench
    })
    .await;
}

#[tokio::test]
async fn chats_that_spoke_by_what_was_carried_to_them_are_found_among_the_others() {
    each_engine(|bench| async move {
        linked(&bench).await;
        bench.link(&["w:a/h", "i:x/#d"]).await;
        bench.commit("w:a", vec![post("1", "w:a/b", "its own"), post("2", "w:a/g", "its own too")]).await;
        for (id, place, lane) in [
            ("m1", "i:x/#c", "w:a/g"),
            ("m2", "i:x/#d", "w:a/h"),
            ("m3", "i:x/#d", "w:a/h"),
            ("m4", "i:x/#c", "w:a/g"),
        ] {
            bench.commit("i:x", vec![post(id, place, "carried")]).await;
            let delivery = bench.next(lane).await.unwrap();
            bench.settle("w:a", delivery.id, sent(&[&format!("s{id}")])).await;
        }
        let newest: Vec<i64> = bench.history("w:a").await.iter().rev().map(|item| item.seq).collect();
        let [m4, m3, _, _, _, b] = newest[..] else { panic!("{newest:?}") };
        let spoken = async |limit| {
            let spoken = bench.store.spoken(&"w:a".into(), limit).await.unwrap();
            spoken.iter().map(|s| (s.chat.to_string(), s.seq)).collect::<Vec<_>>()
        };
        let all = [("g", m4), ("h", m3), ("b", b)].map(|(chat, seq)| (chat.to_owned(), seq));
        assert_eq!(spoken(10).await, all);
        assert_eq!(spoken(2).await, all[..2]);
        assert_eq!(bench.store.spoken(&"w:b".into(), 10).await.unwrap(), []);
        bench
    })
    .await;
}

#[tokio::test]
async fn what_did_not_arrive_is_not_shown_and_what_may_have_is_corrected() {
    each_engine(|bench| async move {
        linked(&bench).await;
        bench.commit("i:x", vec![post("m1", "i:x/#c", "one"), post("m2", "i:x/#c", "two")]).await;
        let first = bench.next("w:a/g").await.unwrap();
        let refused = Outcome::Refused { why: "not a member".to_owned() };
        assert_eq!(bench.settle("w:a", first.id, refused).await.shown, []);
        let second = bench.next("w:a/g").await.unwrap();
        let unsure = Outcome::Uncertain { why: "no answer".to_owned() };
        let shown = bench.settle("w:a", second.id, unsure).await.shown;
        assert!(matches!(shown[..], [TimelineItem { fate: Fate::MaybeDelivered { .. }, .. }]), "{shown:?}");
        let echo = Post { echo_of: Some(second.id), ..post("88", "w:a/g", "two") };
        bench.commit("w:a", vec![echo]).await;
        let history = bench.history("w:a").await;
        assert_eq!(texts(&history), ["two"]);
        assert_eq!((&history[0].fate, &history[0].native_id), (&Fate::Said, &Some("88".into())));
        bench
    })
    .await;
}

#[tokio::test]
async fn the_owner_of_another_account_is_somebody_here() {
    each_engine(|bench| async move {
        linked(&bench).await;
        bench.store.add_account(&"w:b".into(), &"ann".into()).await.unwrap();
        let change = wxgate_store::AccountChange { own_name: Some("Bo".to_owned()), ..Default::default() };
        bench.store.set_account_state(&"w:b".into(), change).await.unwrap();
        bench.link(&["w:a/h", "w:b/k"]).await;
        let own = Post { author: Author::Owner, ..post("1", "w:b/k", "mine") };
        bench.commit("w:b", vec![own]).await;
        let delivery = bench.next("w:a/h").await.unwrap();
        let shown = bench.settle("w:a", delivery.id, sent(&["5"])).await.shown;
        let author = Author::Person { person: "w:b/".into(), name: "Bo".to_owned() };
        assert_eq!(shown[0].post.author, author);
        // When an account goes, what it said elsewhere goes with it.
        bench.store.remove_account(&"w:b".into()).await.unwrap();
        assert_eq!(bench.history("w:a").await, []);
        assert_eq!(bench.count("SELECT COUNT(*) FROM relayed").await, 0);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_sign_that_no_database_takes_holds_up_no_chat() {
    each_engine(|bench| async move {
        linked(&bench).await;
        let author = Author::Person { person: "p1".into(), name: "Mi\0ng".to_owned() };
        let said = |id: &str| Post { author: author.clone(), ..post(id, "i:x/#c", id) };
        bench.commit("i:x", ["m1", "m2", "m3"].map(said).to_vec()).await;
        let why = || "over\0there".to_owned();
        let (sent, after) = (sent(&["77"]), std::time::Duration::ZERO);
        let outcomes = [
            sent,
            Outcome::TryLater { after, why: why() },
            Outcome::Refused { why: why() },
            Outcome::Uncertain { why: why() },
        ];
        let mut shown = Vec::new();
        for outcome in outcomes {
            let delivery = bench.next("w:a/g").await.unwrap();
            shown.extend(bench.settle("w:a", delivery.id, outcome).await.shown);
        }
        assert_eq!(bench.next("w:a/g").await, None);
        let [one, two] = &shown[..] else { panic!("{shown:?}") };
        let author = Author::Person { person: "i:x/p1".into(), name: "Ming".to_owned() };
        assert_eq!((&one.post.author, &two.post.author), (&author, &author));
        assert_eq!(two.fate, Fate::MaybeDelivered { why: "overthere".to_owned() });
        assert_eq!(bench.history("w:a").await, shown);
        bench
    })
    .await;
}
