//! Notes, chats, people and timelines as they are read back.

use wxgate_contract::*;

use crate::setup::*;

fn person(key: &str, nickname: &str, is_contact: bool) -> PersonProfile {
    PersonProfile {
        person: key.into(),
        kind: PersonKind::Human,
        nickname: nickname.to_owned(),
        remark: String::new(),
        public_id: String::new(),
        signature: String::new(),
        region: String::new(),
        is_contact,
    }
}

fn group(key: &str, title: &str, members: Option<Vec<Member>>) -> ChatProfile {
    ChatProfile {
        chat: key.into(),
        kind: ChatKind::Group,
        title: title.to_owned(),
        topic: String::new(),
        is_owned: true,
        owner: Some("p1".into()),
        members,
        is_gone: false,
    }
}

fn member(key: &str, name: &str) -> Member {
    Member { person: key.into(), name: name.to_owned(), is_self: false, is_contact: true }
}

#[tokio::test]
async fn notes_are_read_as_last_committed() {
    each_engine(|bench| async move {
        let a = NetworkId::from("w:a");
        assert_eq!(bench.store.note(&a, "sync").await.unwrap(), None);
        bench
            .notes("w:a", vec![note("sync", "1", false), note("sync", "2", false), note("s/ä", "x", true)])
            .await;
        bench.notes("w:b", vec![note("sync", "other", false)]).await;
        assert_eq!(
            bench.store.note(&a, "sync").await.unwrap().unwrap(),
            "2",
            "the last one in a batch counts"
        );
        assert_eq!(bench.store.note(&a, "s/ä").await.unwrap().unwrap(), "x");
        bench.notes("w:a", vec![note("sync", "", false)]).await;
        assert_eq!(bench.store.note(&a, "sync").await.unwrap().unwrap(), "", "empty is not missing");
        let gone = Note { value: None, ..note("sync", "", false) };
        bench.notes("w:a", vec![gone]).await;
        assert_eq!(bench.store.note(&a, "sync").await.unwrap(), None);
        assert_eq!(bench.store.note(&"w:b".into(), "sync").await.unwrap().unwrap(), "other");
        let keys = ["s/ä".to_owned(), "nothing".to_owned(), "bad\0key".to_owned()];
        let found = bench.store.notes_of(&a, &keys).await.unwrap();
        assert_eq!(found, [("s/ä".to_owned(), bytes::Bytes::from("x"))]);
        bench
    })
    .await;
}

#[tokio::test]
async fn notes_are_listed_by_prefix_in_byte_order() {
    each_engine(|bench| async move {
        let keys = ["r", "r/", "r/B", "r/a", "r/é", "r/中", "r/\u{10ffff}", "r0", "s"];
        let notes = keys.iter().map(|key| note(key, key, *key == "r/a")).collect();
        bench.notes("w:a", notes).await;
        let list = async |prefix: &str, after: Option<&str>, limit: usize| -> Vec<String> {
            let found = bench.store.notes(&"w:a".into(), prefix, after, limit).await.unwrap();
            assert!(found.iter().all(|(key, value)| key.as_bytes() == &value[..]));
            found.into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(list("r/", None, 100).await, ["r/", "r/B", "r/a", "r/é", "r/中", "r/\u{10ffff}"]);
        assert_eq!(list("r/", Some("r/B"), 2).await, ["r/a", "r/é"]);
        assert_eq!(list("r/", Some("r/\u{10ffff}"), 2).await, [""; 0]);
        assert_eq!(list("", None, 100).await, keys);
        assert_eq!(list("\u{10ffff}", None, 100).await, [""; 0]);
        assert_eq!(bench.store.notes(&"unknown".into(), "", None, 5).await.unwrap(), []);
        let _ = list;
        bench
    })
    .await;
}

#[tokio::test]
async fn profiles_are_written_and_told_only_when_they_changed() {
    each_engine(|bench| async move {
        let batch = |nickname: &str, title: &str, members: Option<Vec<Member>>| Batch {
            people: vec![person("p1", nickname, true), person("p2", "Li", false)],
            chats: vec![group("c1", title, members)],
            ..Batch::default()
        };
        let all = vec![member("p1", "阿明"), member("p2", "")];
        let first = bench.batch("w:a", batch("Ming", "Family", Some(all.clone()))).await;
        assert_eq!((first.people, first.chats), (vec!["p1".into(), "p2".into()], vec!["c1".into()]));
        let same = bench.batch("w:a", batch("Ming", "Family", Some(all.clone()))).await;
        assert_eq!((same.people, same.chats), (vec![], vec![]));
        let untold = bench.batch("w:a", batch("Ming", "Family", None)).await;
        assert_eq!(untold.chats, [], "members that were not told stay as they are");
        let renamed = bench.batch("w:a", batch("Ming 2", "Our family", None)).await;
        assert_eq!((renamed.people, renamed.chats), (vec!["p1".into()], vec!["c1".into()]));
        let stored = bench.store.chat(&chat("w:a/c1")).await.unwrap().unwrap();
        assert_eq!(stored, group("c1", "Our family", Some(all.clone())));
        let left = bench.batch("w:a", batch("Ming 2", "Our family", Some(all[..1].to_vec()))).await;
        assert_eq!(left.chats.len(), 1);
        // Several versions in one batch: the last one stands, with the last member list told.
        let twice = Batch {
            chats: vec![group("c1", "x", Some(all.clone())), group("c1", "y", None)],
            people: vec![person("p1", "q", true), person("p1", "r", false)],
            ..Batch::default()
        };
        let report = bench.batch("w:a", twice).await;
        assert_eq!((report.people.len(), report.chats.len()), (1, 1));
        assert_eq!(bench.store.chat(&chat("w:a/c1")).await.unwrap().unwrap(), group("c1", "y", Some(all)));
        let people = bench.store.people(&"w:a".into(), &["p1".into(), "nobody".into()]).await.unwrap();
        assert_eq!(people, [person("p1", "r", false)]);
        bench
    })
    .await;
}

#[tokio::test]
async fn every_field_of_a_profile_comes_back() {
    each_engine(|bench| async move {
        let full = PersonProfile {
            kind: PersonKind::Official,
            remark: "备注".to_owned(),
            public_id: "wxid".to_owned(),
            signature: "quote \" and \0 and 😀".to_owned(),
            region: "Zhejiang".to_owned(),
            ..person("p", "n", true)
        };
        let chat_full = ChatProfile { topic: "t\n".to_owned(), is_gone: true, ..group("c", "", None) };
        let batch = Batch { people: vec![full.clone()], chats: vec![chat_full.clone()], ..Batch::default() };
        bench.batch("w:a", batch).await;
        assert_eq!(bench.store.people(&"w:a".into(), &["p".into()]).await.unwrap(), [full]);
        assert_eq!(bench.store.chat(&chat("w:a/c")).await.unwrap(), Some(chat_full));
        assert_eq!(bench.store.chat(&chat("w:a/other")).await.unwrap(), None);
        bench
    })
    .await;
}

#[tokio::test]
async fn chats_and_contacts_are_read_page_by_page_in_key_order() {
    each_engine(|bench| async move {
        let people = (0..300).map(|n| person(&format!("p{n:03}"), "x", n % 3 == 0)).collect();
        let chats =
            (0..150).rev().map(|n| group(&format!("c{n:03}"), "t", Some(vec![member("p", "m")]))).collect();
        bench.batch("w:a", Batch { people, chats, ..Batch::default() }).await;
        let a = NetworkId::from("w:a");
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = bench.store.contacts(&a, after.as_ref(), 40).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.person.clone());
            keys.extend(page.iter().map(|person| person.person.to_string()));
        }
        assert_eq!(keys, (0..300).step_by(3).map(|n| format!("p{n:03}")).collect::<Vec<_>>());
        let page = bench.store.chats(&a, Some(&"c009".into()), 2).await.unwrap();
        assert_eq!(page, [group("c010", "t", None), group("c011", "t", None)], "without members");
        assert_eq!(bench.store.chats(&a, None, usize::MAX).await.unwrap().len(), 150);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_timeline_is_read_from_either_end() {
    each_engine(|bench| async move {
        let posts =
            (0..10).map(|n| post(&n.to_string(), &format!("w:a/c{}", n % 2), &n.to_string())).collect();
        bench.commit("w:a", posts).await;
        bench.commit("w:b", vec![post("x", "w:b/c0", "other")]).await;
        let (a, c1) = (NetworkId::from("w:a"), ChatKey::from("c1"));
        let read = async |chat: Option<&ChatKey>, range: HistoryRange, limit: usize| {
            bench.store.history(&a, chat, range, limit).await.unwrap()
        };
        let all = read(None, HistoryRange::After(0), 100).await;
        assert_eq!(all.len(), 10);
        assert_eq!(texts(&read(None, HistoryRange::Before(i64::MAX), 3).await), ["7", "8", "9"]);
        assert_eq!(texts(&read(None, HistoryRange::Before(all[7].seq), 2).await), ["5", "6"]);
        assert_eq!(texts(&read(None, HistoryRange::After(all[7].seq), 5).await), ["8", "9"]);
        assert_eq!(texts(&read(Some(&c1), HistoryRange::After(all[2].seq), 2).await), ["3", "5"]);
        assert_eq!(texts(&read(Some(&c1), HistoryRange::Before(i64::MAX), 2).await), ["7", "9"]);
        assert_eq!(all[0].native_id, Some("0".into()));
        let _ = read;
        bench
    })
    .await;
}

#[tokio::test]
async fn routing_is_told_the_latest_name_of_the_author() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c", "m/r"]).await;
        let batch = Batch {
            people: vec![PersonProfile { remark: "Uncle Ming".to_owned(), ..person("p1", "Ming", true) }],
            posts: vec![post("1", "w:a/c", "one")],
            ..Batch::default()
        };
        bench.batch("w:a", batch).await;
        assert_eq!(said(&bench.next("m/r").await.unwrap()).author_prefix, "Uncle Ming");
        bench
    })
    .await;
}
