//! An account that is removed leaves nothing, neither rows nor files nor bytes in them; its neighbours stay.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sqlx::{Connection, Executor};
use wxgate_contract::*;
use wxgate_store::{CommitReport, Keep, LeavingUser, Pruned, Route, RouteInput, StoreError};

use crate::setup::*;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn holds(dir: &Path, part: &str) -> bool {
    let all = files(dir).into_iter().flat_map(|path| std::fs::read(path).unwrap()).collect::<Vec<u8>>();
    all.windows(part.len()).any(|window| window == part.as_bytes())
}

fn picture(id: &str, place: &str, media: MediaId) -> Post {
    let file = Attachment {
        media,
        kind: AttachmentKind::Image,
        name: String::new(),
        mime: String::new(),
        size_bytes: 0,
        width_px: 0,
        height_px: 0,
        duration_ms: 0,
        caption: String::new(),
        poster: None,
    };
    Post { body: Body::Attachment(file), ..post(id, place, "") }
}

/// A file of an account, announced by it (or not: then it came through a face), and a post that shows it.
async fn show(bench: &Bench, network: &str, n: u8, is_announced: bool, bytes: &str) {
    let media = MediaId([n; 16]);
    if is_announced {
        let pending = PendingMedia { media, source: "".into(), name: String::new(), mime: String::new() };
        bench.batch(network, Batch { media: vec![pending], ..Batch::default() }).await;
    }
    keep(bench, n, MediaOwner::Posts, bytes).await.unwrap();
    bench.commit(network, vec![picture(&format!("p{n}"), &format!("{network}/c"), media)]).await;
}

/// Puts a file into the vault.
async fn keep(bench: &Bench, n: u8, owner: MediaOwner, bytes: &str) -> Result<MediaInfo, MediaError> {
    let vault = bench.store.vault(Arc::new(|_, _| None));
    let mut writer = vault.writer(MediaId([n; 16]), "", "", owner).await?;
    writer.write(Bytes::copy_from_slice(bytes.as_bytes())).await?;
    writer.finish().await
}

/// Our ids of what a commit brought.
fn kept(report: &CommitReport) -> Vec<PostId> {
    let ids = report.committed.posts.iter().map(|fate| match fate {
        PostFate::Kept(id) => *id,
        PostFate::Known(id) => panic!("{id} was there"),
    });
    ids.collect()
}

/// `w:a` is shown on `m:x`.
struct Shown;

impl Route for Shown {
    fn route(&self, input: &RouteInput<'_>) -> Vec<(ChatRef, Job)> {
        Mirror.route(input)
    }

    fn mirrors(&self, network: &NetworkId) -> Vec<NetworkId> {
        if network.as_str() == "w:a" { vec!["m:x".into()] } else { Vec::new() }
    }
}

#[tokio::test]
async fn an_account_that_is_removed_leaves_no_row_no_file_and_no_byte() {
    each_engine(|bench| async move {
        bench.store.add_user(&"ann".into(), None, false).await.unwrap();
        for network in ["w:a", "w:b"] {
            bench.store.add_account(&network.into(), &"ann".into()).await.unwrap();
        }
        let words = |n: usize| format!("PRIVATE WORDS {n} {}", "x".repeat(n % 300));
        for part in 0..25 {
            let posts = (part * 100..).take(100).map(|n| post(&n.to_string(), "w:a/c", &words(n)));
            bench.commit("w:a", posts.collect()).await;
        }
        bench.commit("w:b", vec![post("1", "w:b/c", "the words of the other")]).await;
        bench.notes("w:a", vec![note("roster", &"PRIVATE WORDS".repeat(2_000), false)]).await;
        show(&bench, "w:a", 1, true, "PRIVATE WORDS in a picture").await;
        show(&bench, "w:a", 2, false, "PRIVATE WORDS in an upload").await;
        show(&bench, "w:a", 3, true, "a picture that both have").await;
        show(&bench, "w:b", 4, true, "a picture that both have").await;
        assert!(bench.url != "sqlite" || holds(&bench.dir, "PRIVATE WORDS"), "the right files are searched");

        bench.store.remove_account(&"w:a".into()).await.unwrap();
        assert!(!holds(&bench.dir, "PRIVATE WORDS"));
        assert!(holds(&bench.dir.join("media"), "a picture that both have"));
        assert_eq!(files(&bench.dir.join("media")).len(), 1);
        let rows = "SELECT (SELECT COUNT(*) FROM post) + (SELECT COUNT(*) FROM remote_id) + \
                    (SELECT COUNT(*) FROM media) + (SELECT COUNT(*) FROM note) + (SELECT COUNT(*) FROM account)";
        assert_eq!(bench.count(rows).await, 2 + 2 + 1 + 1, "what is left is the other's");
        assert_eq!(bench.history("w:b").await.len(), 2);
        bench.store.remove_user(&"ann".into()).await.unwrap_err();
        bench.store.remove_account(&"w:b".into()).await.unwrap();
        bench.store.remove_user(&"ann".into()).await.unwrap();
        assert!(files(&bench.dir.join("media")).is_empty());
        bench
    })
    .await;
}

#[tokio::test]
async fn what_was_made_of_an_account_and_what_still_waits_for_others_goes_with_it() {
    each_engine(|bench| async move {
        let (a, face) = (NetworkId::from("w:a"), NetworkId::from("m:x"));
        bench.store.add_user(&"ann".into(), None, false).await.unwrap();
        for network in ["w:a", "w:b"] {
            bench.store.add_account(&network.into(), &"ann".into()).await.unwrap();
        }
        // A voice message in another form, the face of a contact, the whole of a long message.
        show(&bench, "w:a", 1, true, "PRIVATE WORDS as they were recorded").await;
        keep(&bench, 2, MediaOwner::Media(MediaId([1; 16])), "PRIVATE WORDS as MP3").await.unwrap();
        keep(&bench, 3, MediaOwner::Network(a.clone()), "PRIVATE WORDS in a face").await.unwrap();
        let long = bench.commit("w:a", vec![post("long", "w:a/c", "PRIVATE WORDS and more")]).await;
        let long = MediaOwner::Post(kept(&long)[0]);
        keep(&bench, 4, long.clone(), "PRIVATE WORDS and more, in full").await.unwrap();
        // What came through a face, and the same in another form.
        show(&bench, "w:a", 5, false, "PRIVATE WORDS in an upload").await;
        keep(&bench, 6, MediaOwner::Media(MediaId([5; 16])), "PRIVATE WORDS as JPEG").await.unwrap();
        // What waits for a network that shows the account no longer, and for a member of a link.
        bench.store.add_mirror(&a, &face).await.unwrap();
        let report =
            bench.commit_by("w:a", vec![post("shown", "w:a/c", "PRIVATE WORDS")], Arc::new(Shown)).await;
        assert_eq!(report.lanes, [chat("m:x/w:a/c")]);
        bench.store.remove_mirror(&a, &face).await.unwrap();
        bench.link(&["w:a/c", "irc:far/#c"]).await;
        let report = bench.commit("w:a", vec![post("linked", "w:a/c", "PRIVATE WORDS")]).await;
        assert_eq!(report.lanes, [chat("irc:far/#c")]);
        bench.link(&["w:b/c", "irc:far/#d"]).await;
        bench.commit("w:b", vec![post("other", "w:b/c", "the words of the other")]).await;

        bench.store.remove_account(&a).await.unwrap();
        assert!(!holds(&bench.dir, "PRIVATE WORDS"));
        assert!(files(&bench.dir.join("media")).is_empty());
        assert_eq!(bench.count("SELECT COUNT(*) FROM media").await, 0);
        assert_eq!(bench.count("SELECT COUNT(*) FROM attached").await, 0);
        assert_eq!(bench.count("SELECT COUNT(*) FROM delivery").await, 1, "what is left is the other's");
        assert!(bench.next("irc:far/#d").await.is_some());
        // Whoever was still at it comes too late, and leaves nothing either.
        let late = keep(&bench, 2, MediaOwner::Media(MediaId([1; 16])), "PRIVATE WORDS as MP3").await;
        assert!(matches!(late, Err(MediaError::Unknown(MediaId([1, ..])))), "{late:?}");
        assert!(keep(&bench, 4, long, "PRIVATE WORDS in full").await.is_err());
        assert!(files(&bench.dir.join("media")).is_empty());
        bench
    })
    .await;
}

#[tokio::test]
async fn what_another_account_shows_as_well_stays_there() {
    each_engine(|bench| async move {
        bench.store.add_user(&"ann".into(), None, false).await.unwrap();
        for network in ["w:a", "w:b"] {
            bench.store.add_account(&network.into(), &"ann".into()).await.unwrap();
        }
        let file = |n: u8| MediaId([n; 16]);
        show(&bench, "w:a", 1, true, "a picture of the first").await;
        show(&bench, "w:b", 2, true, "a picture of the second").await;
        show(&bench, "w:b", 3, false, "an upload").await;
        show(&bench, "w:b", 4, true, "nobody else's").await;
        // Each was said in a chat of the other by its link; the first still waits there.
        bench.link(&["w:a/c", "m/r"]).await;
        bench.commit("w:b", vec![picture("again 1", "w:b/c", file(1))]).await;
        bench
            .commit("w:a", vec![picture("again 2", "w:a/c", file(2)), picture("again 3", "w:a/c", file(3))])
            .await;

        bench.store.remove_account(&"w:b".into()).await.unwrap();
        let vault = bench.store.vault(Arc::new(|_, _| None));
        for n in [1, 2, 3] {
            assert!(vault.reader(file(n), 0).await.is_ok(), "{n} is still shown");
        }
        assert!(vault.reader(file(4), 0).await.is_err());
        assert_eq!(files(&bench.dir.join("media")).len(), 3);
        bench.store.remove_account(&"w:a".into()).await.unwrap();
        assert!(files(&bench.dir.join("media")).is_empty());
        assert_eq!(bench.count("SELECT COUNT(*) FROM media").await, 0);
        bench
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_forgotten_takes_its_words_along_and_leaves_its_files_to_its_account() {
    each_engine(|bench| async move {
        bench.store.add_user(&"ann".into(), None, false).await.unwrap();
        bench.store.add_account(&"w:a".into(), &"ann".into()).await.unwrap();
        let long = bench.commit("w:a", vec![post("long", "w:a/c", "the beginning")]).await;
        keep(&bench, 1, MediaOwner::Post(kept(&long)[0]), "PRIVATE WORDS in full").await.unwrap();
        show(&bench, "w:a", 2, false, "an upload").await;
        show(&bench, "w:a", 3, true, "a picture").await;
        let everything = Keep { age: None, messages: Some(0) };
        let pruned = bench.store.prune_history(&"w:a".into(), everything).await.unwrap();
        assert_eq!((pruned.messages, pruned.files), (3, 1));
        assert!(!holds(&bench.dir.join("media"), "PRIVATE WORDS"));
        assert_eq!(files(&bench.dir.join("media")).len(), 2, "files have a time of their own");
        bench.store.remove_account(&"w:a".into()).await.unwrap();
        assert!(files(&bench.dir.join("media")).is_empty());
        bench
    })
    .await;
}

/// SQLite alone: there whoever writes waits for whoever else does.
#[tokio::test]
async fn where_nothing_is_to_be_forgotten_nobody_waits_for_the_look() {
    let bench = Bench::open(fresh_dir(), "sqlite").await;
    bench.link(&["w:b/c", "m/r"]).await;
    bench.commit("w:a", vec![post("1", "w:a/c", "young")]).await;
    bench.commit("w:b", vec![post("1", "w:b/c", "waits")]).await;
    let mut writing = bench.beside().await;
    writing.execute(sqlx::raw_sql("BEGIN IMMEDIATE")).await.unwrap();
    for (network, seconds) in [("w:a", 3600), ("w:b", 1)] {
        let keep = Keep { age: Some(Duration::from_secs(seconds)), messages: Some(1) };
        let network = network.into();
        let pruned =
            tokio::time::timeout(Duration::from_secs(2), bench.store.prune_history(&network, keep)).await;
        assert_eq!(pruned.expect("it waits for the writer").unwrap(), Pruned::default(), "{network}");
    }
    // Nor for deliveries that were settled lately.
    let pruned = tokio::time::timeout(Duration::from_secs(2), bench.store.prune()).await;
    assert_eq!(pruned.expect("it waits for the writer").unwrap(), Pruned::default());
    writing.execute(sqlx::raw_sql("ROLLBACK")).await.unwrap();
    writing.close().await.unwrap();
    bench.store.close().await;
    std::fs::remove_dir_all(&bench.dir).unwrap();
}

#[tokio::test]
async fn what_is_too_old_or_too_much_is_forgotten_and_what_is_still_to_be_delivered_is_not() {
    each_engine(|bench| async move {
        const DAY: i64 = 86_400_000;
        let said =
            |n: i64| Post { at: Timestamp(n * DAY), ..post(&format!("m{n}"), "w:a/c", &format!("day {n}")) };
        bench.commit("w:b", vec![post("other", "w:b/c", "the other's")]).await;
        bench.link(&["w:a/late", "m/r"]).await;
        // A clock that runs away holds nothing that is said after it.
        bench.clock.set(600 * DAY);
        bench.commit("w:a", (1..=600).map(said).collect()).await;
        let ahead = Post { at: Timestamp(i64::MAX), ..post("ahead", "w:a/c", "from the future") };
        bench.commit("w:a", vec![ahead]).await;
        bench.clock.set(1_300 * DAY);
        bench.commit("w:a", (601..=1_200).map(said).collect()).await;
        bench.commit("w:a", vec![Post { at: Timestamp(DAY), ..post("open", "w:a/late", "waits") }]).await;
        bench.commit("w:a", vec![Post { at: Timestamp(DAY), ..post("behind", "w:a/c", "behind it") }]).await;
        let network = "w:a".into();

        let everything = bench.store.prune_history(&network, Keep::default()).await.unwrap();
        assert_eq!(everything.messages, 0, "nothing was asked for");
        let keep = Keep { age: Some(Duration::from_secs(300 * 86_400)), messages: None };
        assert_eq!(bench.store.prune_history(&network, keep).await.unwrap().messages, 1_000);
        let left = bench.store.history(&network, None, HistoryRange::After(0), 2_000).await.unwrap();
        assert_eq!((left.len(), texts(&left)[0].as_str()), (203, "day 1000"));

        let keep = Keep { age: None, messages: Some(10) };
        assert_eq!(bench.store.prune_history(&network, keep).await.unwrap().messages, 193);
        assert_eq!(bench.store.prune_history(&network, keep).await.unwrap().messages, 0);
        // The one that waits is one too much, and stays until it has arrived; what is behind it goes in its time.
        let keep = Keep { age: None, messages: Some(1) };
        assert_eq!(bench.store.prune_history(&network, keep).await.unwrap().messages, 8);
        assert_eq!(texts(&bench.history("w:a").await), ["waits", "behind it"]);
        let keep = Keep { age: None, messages: Some(0) };
        assert_eq!(bench.store.prune_history(&network, keep).await.unwrap().messages, 1);
        assert_eq!(texts(&bench.history("w:a").await), ["waits"]);
        bench.commit("w:a", (1..=600).map(|n| post(&format!("n{n}"), "w:a/c", "again")).collect()).await;
        let keep = Keep { age: Some(Duration::from_secs(1)), messages: None };
        assert_eq!(
            bench.store.prune_history(&network, keep).await.unwrap().messages,
            600,
            "over more than one step"
        );
        let delivery = bench.next("m/r").await.unwrap();
        bench.settle("m", delivery.id, sent(&[])).await;
        assert_eq!(bench.store.prune_history(&network, keep).await.unwrap().messages, 1);
        assert_eq!(bench.history("w:b").await.len(), 1, "the neighbour's stay");
        assert_eq!(bench.count("SELECT COUNT(*) FROM remote_id").await, 1);
        bench.commit("irc:far", vec![post("said there", "irc:far/#c", "in somebody else's channel")]).await;
        let kept = bench.store.networks_with_history().await.unwrap();
        assert_eq!(kept, ["w:b".into(), "irc:far".into()], "whoever prunes finds every network");
        bench
    })
    .await;
}

#[tokio::test]
async fn a_removal_whose_order_cannot_be_read_stops_no_other_one_and_goes_on() {
    each_engine(|bench| async move {
        let leaving = |who: &str| LeavingUser { name: who.into(), who: None, door: "api".to_owned() };
        for who in ["ann", "bob"] {
            bench.store.add_user(&who.into(), None, false).await.unwrap();
            bench.store.leave_user(&leaving(who), false).await.unwrap();
        }
        let damaged = Note {
            key: "leaving/ann".to_owned(),
            value: Some(bytes::Bytes::from_static(b"{\"who\":")),
            is_secret: false,
        };
        bench.notes("gateway", vec![damaged]).await;
        let unknown = LeavingUser { door: "unknown".to_owned(), ..leaving("ann") };
        assert_eq!(bench.store.leaving_users().await.unwrap(), [unknown, leaving("bob")]);
        bench
    })
    .await;
}

#[tokio::test]
async fn whoever_is_being_removed_is_so_after_a_crash_too() {
    each_engine(|bench| async move {
        let name = |name: &str| UserName::from(name);
        let leaving = |who: &str| LeavingUser {
            name: name(who),
            who: Some(name("root")).filter(|_| who == "ann"),
            door: "api".to_owned(),
        };
        for who in ["ann", "bob"] {
            bench.store.add_user(&name(who), None, false).await.unwrap();
        }
        bench.store.add_account(&"w:a".into(), &name("ann")).await.unwrap();
        let alone = bench.store.leave_user(&leaving("ann"), false).await;
        assert!(matches!(alone, Err(StoreError::Conflict { .. })), "{alone:?}");
        let nobody = bench.store.leave_user(&leaving("eve"), true).await;
        assert!(matches!(nobody, Err(StoreError::Invalid { .. })), "{nobody:?}");
        assert_eq!(bench.store.leaving_users().await.unwrap(), []);
        bench.store.leave_user(&leaving("bob"), false).await.unwrap();
        bench.store.leave_user(&leaving("ann"), true).await.unwrap();
        bench.store.leave_user(&leaving("ann"), true).await.unwrap();

        let bench = bench.reopen().await;
        assert_eq!(bench.store.leaving_users().await.unwrap(), [leaving("ann"), leaving("bob")]);
        assert!(bench.store.is_leaving(&name("bob")).await.unwrap());
        let account = bench.store.add_account(&"w:b".into(), &name("bob")).await;
        assert!(matches!(account, Err(StoreError::Invalid { .. })), "{account:?}");
        bench.store.remove_user(&name("bob")).await.unwrap();
        let namesake = bench.store.add_user(&name("bob"), None, false).await;
        assert!(matches!(namesake, Err(StoreError::Conflict { .. })), "{namesake:?}");
        let person = PersonRef { network: "m".into(), person: "@bob:x".into() };
        assert_eq!(bench.store.introduce(&person, &name("bob")).await.unwrap(), name("bob_2"));

        bench.store.has_left(&name("bob")).await.unwrap();
        assert!(!bench.store.is_leaving(&name("bob")).await.unwrap());
        bench.store.add_user(&name("bob"), None, false).await.unwrap();
        assert_eq!(bench.store.leaving_users().await.unwrap(), [leaving("ann")]);
        bench
    })
    .await;
}
