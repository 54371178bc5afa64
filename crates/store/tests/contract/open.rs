//! Opening: who may, with which schema, and what the files give away.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use wxgate_contract::*;
use wxgate_store::*;

use crate::setup::*;

fn clock() -> Arc<dyn Clock> {
    Arc::new(TestClock::default())
}

#[tokio::test]
async fn a_second_opener_of_the_same_file_is_refused_with_a_reason() {
    let bench = Bench::open(fresh_dir(), "sqlite").await;
    let error = Store::open(config(&bench.dir, "sqlite"), clock()).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }));
    let told = error.to_string();
    assert!(told.contains("wxgate.db is open in another wxgate process"), "{told}");
    assert!(told.contains(&std::process::id().to_string()), "{told}");
    // Closing gives it back at once, although a clone is still around.
    let clone = bench.store.clone();
    bench.store.close().await;
    let again = Bench::open(bench.dir.clone(), "sqlite").await;
    let closed = clone.add_user(&"x".into(), None, false).await.unwrap_err();
    assert!(closed.to_string().contains("closed"), "{closed}");
    again.store.close().await;
    std::fs::remove_dir_all(&bench.dir).unwrap();
}

#[tokio::test]
async fn nobody_else_reads_the_files_wherever_the_directory_lies() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::open(fresh_dir(), "sqlite").await;
    bench.store.add_user(&"x".into(), None, false).await.unwrap();
    for file in ["wxgate.db", "wxgate.db-wal", "wxgate.db-shm", "wxgate.db.lock"] {
        let mode = std::fs::metadata(bench.dir.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
    bench.store.close().await;
    std::fs::remove_dir_all(&bench.dir).unwrap();
}

#[tokio::test]
async fn a_database_of_version_one_comes_to_the_head_with_its_data() {
    let sqlite = Some("sqlite".to_owned());
    for url in [sqlite, fresh_postgres().await].into_iter().flatten() {
        let dir = fresh_dir();
        let old = Store::open_at(config(&dir, &url), clock(), 1).await.unwrap();
        let batch = Batch {
            posts: vec![post("1", "w:a/c", "old")],
            notes: vec![note("k", "v", true)],
            ..Batch::default()
        };
        old.commit_batch(&"w:a".into(), batch, Arc::new(Mirror)).await.unwrap();
        let missing = Batch {
            media: vec![PendingMedia {
                media: MediaId([1; 16]),
                source: "s".into(),
                name: String::new(),
                mime: String::new(),
            }],
            ..Batch::default()
        };
        assert!(
            old.commit_batch(&"w:a".into(), missing.clone(), Arc::new(Mirror)).await.is_err(),
            "version 1 has no media"
        );
        old.close().await;
        let bench = Bench::open(dir, &url).await;
        assert_eq!(texts(&bench.history("w:a").await), ["old"]);
        assert_eq!(bench.store.note(&"w:a".into(), "k").await.unwrap().unwrap(), "v");
        bench.batch("w:a", missing).await;
        bench.store.close().await;
    }
}

/// What a database of an older schema can have been given.
async fn fill(old: &Store, version: i64) {
    let mut batch = Batch {
        posts: vec![post("1", "w:a/c", "old"), post("2", "w:a/d", "old too")],
        notes: vec![note("k", "v", true), note("plain", "w", false)],
        ..Batch::default()
    };
    if version >= 2 {
        batch.media.push(PendingMedia {
            media: MediaId([1; 16]),
            source: "s".into(),
            name: "n.png".to_owned(),
            mime: "image/png".to_owned(),
        });
    }
    old.commit_batch(&"w:a".into(), batch, Arc::new(Mirror)).await.unwrap();
    if version >= 3 {
        old.add_mirror(&"w:a".into(), &"m:x".into()).await.unwrap();
    }
    if version >= 4 {
        old.add_link(&[chat("w:a/c"), chat("i:x/c")]).await.unwrap();
        let batch = Batch { posts: vec![post("3", "w:a/c", "to be carried")], ..Batch::default() };
        old.commit_batch(&"w:a".into(), batch, Arc::new(Mirror)).await.unwrap();
        carry(old).await;
    }
    if version >= 6 {
        let what = ("account added".to_owned(), "old".to_owned());
        let act = Act { who: None, door: "command line".to_owned(), what: what.0, about: what.1 };
        old.record(act).await.unwrap();
    }
    if version >= 8 {
        old.add_user(&"bob".into(), None, true).await.unwrap();
        old.set_quota(&"bob".into(), Some(7)).await.unwrap();
    }
}

/// One post that was carried, one that is put off, and one that came into the account from elsewhere.
async fn carry(old: &Store) {
    old.add_account(&"w:a".into(), &"eve".into()).await.unwrap();
    old.add_link(&[chat("w:a/d"), chat("i:x/d")]).await.unwrap();
    for (id, network, place, lane, outcome) in [
        ("4", "w:a", "w:a/d", "i:x/d", sent(&["there"])),
        ("5", "i:x", "i:x/d", "w:a/d", sent(&["here"])),
        (
            "6",
            "w:a",
            "w:a/d",
            "i:x/d",
            Outcome::TryLater { after: Duration::from_secs(60), why: "full".into() },
        ),
    ] {
        let batch = Batch { posts: vec![post(id, place, &format!("post {id}"))], ..Batch::default() };
        old.commit_batch(&network.into(), batch, Arc::new(Mirror)).await.unwrap();
        let (delivery, _) = old.next_in_lane(&chat(lane)).await.unwrap().unwrap();
        old.settle(&chat(lane).network, delivery.id, outcome, Arc::new(Mirror)).await.unwrap();
    }
}

/// What [`fill`] gave it is there.
async fn find(bench: &Bench, version: i64, label: &str) {
    if version >= 4 {
        let history = texts(&bench.history("w:a").await);
        let came = history.iter().filter(|text| *text == "post 5").count();
        assert_eq!(came, 1, "{label}: what was relayed is in {history:?}");
        let closed = bench.count("SELECT COUNT(*) FROM delivery WHERE closed_ms IS NOT NULL").await;
        assert_eq!(closed, 2, "{label}: what is done stays done");
        let waits = bench.next("i:x/d").await.unwrap();
        assert_eq!((said(&waits).post.remote_id.as_str(), waits.attempt), ("6", 2), "{label}");
    }
    let acts = bench.store.acts(None, 10).await.unwrap();
    let about: Vec<&str> = acts.iter().map(|row| row.act.about.as_str()).collect();
    assert_eq!(about, if version >= 6 { vec!["old"] } else { Vec::new() }, "{label}");
    let quota =
        "SELECT COALESCE((SELECT accounts_max FROM gateway_user WHERE name = 'bob' AND is_admin = 1), 0)";
    assert_eq!(bench.count(quota).await, if version >= 8 { 7 } else { 0 }, "{label}");
}

/// A database past the store.
fn address(dir: &std::path::Path, url: &str) -> String {
    match url {
        "sqlite" => format!("sqlite://{}", dir.join("wxgate.db").display()),
        server => server.to_owned(),
    }
}

/// Shows a video with its cover, as posts were stored before what they show was noted.
async fn show_as_then(dir: &std::path::Path, url: &str) {
    let url = address(dir, url);
    let film = Attachment {
        media: MediaId([2; 16]),
        kind: AttachmentKind::Video,
        name: "\"media\":\"none\"".to_owned(),
        mime: String::new(),
        size_bytes: 0,
        width_px: 0,
        height_px: 0,
        duration_ms: 0,
        caption: String::new(),
        poster: Some(MediaId([3; 16])),
    };
    let film = Post { body: Body::Attachment(film), ..post("film", "w:a/c", "") };
    let mut conn = sqlx::AnyConnection::connect(&url).await.unwrap();
    let text = "INSERT INTO post (id, origin, network, chat, fate, is_recalled, post) \
                SELECT -7, origin, network, chat, 0, 0, $1 FROM post WHERE id = (SELECT MIN(id) FROM post)";
    sqlx::query(text).bind(serde_json::to_string(&film).unwrap()).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

/// Gives somebody a token in the form that a schema had.
async fn add_token_as_then(dir: &std::path::Path, url: &str, version: i64) {
    let url = address(dir, url);
    let hash = ring::digest::digest(&ring::digest::SHA256, b"old token");
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = if version <= 5 {
        format!(
            "INSERT INTO gateway_user (name, is_admin, token_hash, created_ms) VALUES ('eve', 0, '{hash}', 7)"
        )
    } else {
        format!(
            "INSERT INTO gateway_user (name, is_admin, created_ms) VALUES ('eve', 0, 7); \
             INSERT INTO token (hash, gateway_user, label, opens, created_ms) \
             VALUES ('{hash}', 'eve', 'main', 'read write login admin', 7)"
        )
    };
    let mut conn = sqlx::AnyConnection::connect(&url).await.unwrap();
    conn.execute(sqlx::raw_sql(AssertSqlSafe(text))).await.unwrap();
    conn.close().await.unwrap();
}

#[tokio::test]
async fn a_database_of_every_earlier_version_comes_to_the_head_with_its_data() {
    for version in 1..=8 {
        let sqlite = Some("sqlite".to_owned());
        for url in [sqlite, fresh_postgres().await].into_iter().flatten() {
            let label = format!("schema {version} on {}", url.split(':').next().unwrap_or_default());
            let dir = fresh_dir();
            let old = Store::open_at(config(&dir, &url), clock(), version).await.unwrap();
            add_token_as_then(&dir, &url, version).await;
            fill(&old, version).await;
            old.close().await;
            show_as_then(&dir, &url).await;

            let bench = Bench::open(dir, &url).await;
            let history = texts(&bench.history("w:a").await);
            assert_eq!(history[..2], ["old", "old too"], "{label}");
            assert_eq!(bench.store.note(&"w:a".into(), "k").await.unwrap().unwrap(), "v", "{label}");
            if version >= 2 {
                let vault = bench.store.vault(Arc::new(|_, _| None));
                let info = vault.info(MediaId([1; 16])).await.unwrap().unwrap();
                assert_eq!((info.name.as_str(), info.state), ("n.png", MediaState::Pending), "{label}");
            }
            if version >= 3 {
                assert_eq!(bench.store.mirrors().await.unwrap(), [("w:a".into(), "m:x".into())], "{label}");
            }
            if version >= 4 {
                assert_eq!(said(&bench.next("i:x/c").await.unwrap()).post.body, Body::text("to be carried"));
            }
            find(&bench, version, &label).await;
            let shown = "SELECT COUNT(*) FROM attached WHERE post = -7 AND media IN \
                         ('02020202020202020202020202020202', '03030303030303030303030303030303')";
            let all = bench.count("SELECT COUNT(*) FROM attached").await;
            assert_eq!((bench.count(shown).await, all), (2, 2), "{label}");
            let known = bench.store.verify_token("old token").await.unwrap();
            assert_eq!(known, Some(("eve".into(), Opens::ALL)), "{label}");
            // And what came later works on what was there before.
            bench.store.set_quota(&"eve".into(), Some(3)).await.unwrap();
            bench.store.add_user(&"ann".into(), Some("s3cret"), false).await.unwrap();
            assert!(bench.store.verify_password(&"ann".into(), "s3cret").await.unwrap().is_some(), "{label}");
            bench.commit("w:a", vec![post("9", "w:a/c", "new")]).await;
            assert_eq!(texts(&bench.history("w:a").await).last().unwrap(), "new", "{label}");
            bench.store.close().await;
        }
    }
}

#[tokio::test]
async fn a_database_from_the_future_or_with_another_history_is_refused() {
    let bench = Bench::open(fresh_dir(), "sqlite").await;
    bench.store.close().await;
    let file = bench.dir.join("wxgate.db");
    let edit = async |text: &str| {
        let mut conn = sqlx::AnyConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        conn.execute(sqlx::raw_sql(AssertSqlSafe(text.to_owned()))).await.unwrap();
        conn.close().await.unwrap();
    };
    edit("INSERT INTO schema_version (version, hash, applied_ms) VALUES (999, '', 0)").await;
    let error = Store::open(config(&bench.dir, "sqlite"), clock()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Schema { what } if what.contains("newer version")), "{error}");
    edit("DELETE FROM schema_version WHERE version = 999; UPDATE schema_version SET hash = 'x' WHERE version = 1").await;
    let error = Store::open(config(&bench.dir, "sqlite"), clock()).await.unwrap_err();
    assert!(matches!(error, StoreError::Schema { .. }), "{error}");
    std::fs::write(&file, vec![b'x'; 8192]).unwrap();
    let _ = std::fs::remove_file(bench.dir.join("wxgate.db-wal"));
    let error = Store::open(config(&bench.dir, "sqlite"), clock()).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    std::fs::remove_dir_all(&bench.dir).unwrap();
}

#[tokio::test]
async fn an_unreachable_server_is_unavailable() {
    let url = "postgres://nobody@127.0.0.1:1/none";
    let error = Store::open(config(&fresh_dir(), url), clock()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_directory_with_odd_characters_works() {
    let dir = fresh_dir().join("a b%20?#ä");
    std::fs::create_dir_all(&dir).unwrap();
    let bench = Bench::open(dir, "sqlite").await;
    bench.commit("w:a", vec![post("1", "w:a/c", "x")]).await;
    assert!(bench.dir.join("wxgate.db").exists());
    bench.store.close().await;
}

#[tokio::test]
async fn secrets_are_not_in_the_files_and_open_with_their_key_only() {
    let bench = Bench::open(fresh_dir(), "sqlite").await;
    let secret = "wxsid=VERYSECRETCOOKIE";
    bench.notes("w:a", vec![note("session", secret, true), note("plain", "PLAINVALUE", false)]).await;
    bench.store.add_user(&"ann".into(), Some("VERYSECRETPASSWORD"), false).await.unwrap();
    let token = bench.store.add_token(&"ann".into(), "main", Opens::ALL).await.unwrap();
    let media = vec![PendingMedia {
        media: MediaId([1; 16]),
        source: secret.into(),
        name: String::new(),
        mime: String::new(),
    }];
    bench.batch("w:a", Batch { media, ..Batch::default() }).await;
    bench.store.close().await;
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&bench.dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            all.extend(std::fs::read(path).unwrap());
        }
    }
    let has = |text: &str| all.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("PLAINVALUE"), "the files that were searched are the right ones");
    assert!(!has("VERYSECRET") && !has(&token) && !has("wxsid"));
    let url = "sqlite".parse().unwrap();
    for (key, unreadable) in [(7, 0), (8, 1)] {
        let key = SealKey::from_bytes(&[key; 32]).unwrap();
        assert_eq!(inspect(&url, &bench.dir, Some(&key)).await.unwrap().unreadable, unreadable);
    }
    let other_key =
        StoreConfig { seal_key: SealKey::from_bytes(&[8; 32]).unwrap(), ..config(&bench.dir, "sqlite") };
    let store = Store::open(other_key, clock()).await.unwrap();
    let error = store.note(&"w:a".into(), "session").await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Sealed { key, .. } if key == "session")
            && !error.to_string().contains("VERYSECRET"),
        "{error}"
    );
    assert_eq!(store.note(&"w:a".into(), "plain").await.unwrap().unwrap(), "PLAINVALUE");
    store.close().await;
    std::fs::remove_dir_all(&bench.dir).unwrap();
}

#[tokio::test]
async fn secrets_are_in_no_table_on_either_engine() {
    each_engine(|bench| async move {
        let secret = "wxsid=VERYSECRETCOOKIE";
        bench.notes("w:a", vec![note("session", secret, true), note("plain", "PLAINVALUE", false)]).await;
        bench.store.add_user(&"ann".into(), Some("VERYSECRETPASSWORD"), false).await.unwrap();
        let token = bench.store.add_token(&"ann".into(), "main", Opens::ALL).await.unwrap();
        let media = vec![PendingMedia {
            media: MediaId([1; 16]),
            source: secret.into(),
            name: String::new(),
            mime: String::new(),
        }];
        bench.batch("w:a", Batch { media, ..Batch::default() }).await;
        let all = dump(&bench).await;
        let has = |text: &str| all.contains(&text.to_lowercase()) || all.contains(&hex(text));
        for text in ["PLAINVALUE", "ann"] {
            assert!(has(text), "{text} is not found: the tables that were searched are the right ones");
        }
        for text in ["VERYSECRET", "wxsid", token.as_str()] {
            assert!(!has(text), "{text} is in a table of {}", bench.url);
        }
        bench
    })
    .await;
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Every value of every table, as text in small letters; bytes as hex digits.
async fn dump(bench: &Bench) -> String {
    let mut conn = bench.beside().await;
    let (tables, columns, value) = match bench.url.as_str() {
        "sqlite" => (
            "SELECT name FROM sqlite_master WHERE type = 'table'",
            "SELECT name FROM pragma_table_info($1)",
            "lower(hex({}))",
        ),
        _ => (
            "SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = 'public'",
            "SELECT CAST(column_name AS TEXT) FROM information_schema.columns WHERE table_name = $1",
            "lower(CAST({} AS TEXT))",
        ),
    };
    let mut all = String::new();
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut conn).await.unwrap();
    for table in tables {
        let columns: Vec<String> =
            sqlx::query_scalar(columns).bind(&table).fetch_all(&mut conn).await.unwrap();
        for column in columns {
            let text = format!(
                "SELECT COALESCE({}, '') FROM \"{table}\"",
                value.replace("{}", &format!("\"{column}\""))
            );
            let values: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(text)).fetch_all(&mut conn).await.unwrap();
            all.extend(values.iter().flat_map(|value| [value.as_str(), "\n"]));
        }
    }
    conn.close().await.unwrap();
    all
}

/// The numbers of what is said next, as whoever follows the timeline knows it.
async fn said_next(bench: &Bench, id: &str) -> i64 {
    bench.commit("w:a", vec![post(id, "w:a/c", id)]).await;
    bench.history("w:a").await.last().unwrap().seq
}

#[tokio::test]
async fn a_database_that_was_put_back_goes_on_beyond_all_numbers_given_since() {
    let sqlite = Some("sqlite".to_owned());
    for url in [sqlite, fresh_postgres().await].into_iter().flatten() {
        let bench = Bench::open(fresh_dir(), &url).await;
        bench.link(&["w:a/c", "i:x/c"]).await;
        let first = said_next(&bench, "1").await;
        let open = bench.next("i:x/c").await.unwrap();
        let bench = bench.reopen_as("one restore").await;
        let second = said_next(&bench, "2").await;
        assert!(second - first > 1 << 31, "{second} after {first}");
        assert_eq!(bench.next("i:x/c").await.unwrap().id, open.id, "what is open keeps its number");
        let bench = bench.reopen_as("one restore").await;
        let third = said_next(&bench, "3").await;
        assert!((1..1_000).contains(&(third - second)), "leapt at every start: {third} after {second}");
        let bench = bench.reopen_as("another one").await;
        let fourth = said_next(&bench, "4").await;
        assert!(fourth - third > 1 << 31, "{fourth} after {third}");
        bench.store.close().await;
    }
}

#[tokio::test]
async fn of_two_restores_of_one_copy_the_second_goes_on_beyond_the_first() {
    let bench = Bench::open(fresh_dir(), "sqlite").await;
    said_next(&bench, "1").await;
    let snapshot = bench.store.snapshot().await.unwrap();
    let mut numbers = Vec::new();
    for (word, now_ms) in [("first", 1_700_000_000_000_i64), ("second", 1_700_000_600_000)] {
        let dir = fresh_dir();
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::copy(&snapshot.files()[0].path, dir.join("wxgate.db")).unwrap();
        let clock = Arc::new(TestClock::default());
        clock.set(now_ms);
        let config = StoreConfig { restored: word.to_owned(), ..config(&dir, "sqlite") };
        let store = Store::open(config, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        let restored = Bench { store, clock, dir, url: "sqlite".to_owned() };
        numbers.push((said_next(&restored, "2").await, said_next(&restored, "3").await));
        restored.store.close().await;
        std::fs::remove_dir_all(&restored.dir).unwrap();
    }
    assert!(numbers[0].1 < numbers[1].0, "{numbers:?}");
    assert!(numbers[1].1 < 1 << 53, "JSON holds it no longer exactly: {numbers:?}");
    drop(snapshot);
    bench.store.close().await;
    std::fs::remove_dir_all(&bench.dir).unwrap();
}

/// The questions that every message asks must not read whole tables.
#[tokio::test]
async fn hot_statements_use_their_indexes() {
    let bench = Bench::open(fresh_dir(), "sqlite").await;
    let questions = [
        "SELECT id FROM delivery WHERE network = 1 AND chat = 'c' AND closed_ms IS NULL ORDER BY id LIMIT 1",
        "SELECT id FROM post WHERE network = 1 AND shown_seq IS NOT NULL AND shown_seq < 9 ORDER BY shown_seq DESC LIMIT 3",
        "SELECT id FROM post WHERE network = 1 AND shown_seq IS NOT NULL AND chat = 'c' AND shown_seq > 9 ORDER BY shown_seq LIMIT 3",
        "WITH w (network, chat) AS (VALUES (1, 'c'), (1, 'd')) SELECT b.chat FROM w JOIN link_member a \
         ON a.network = w.network AND a.chat = w.chat JOIN link_member b ON b.link = a.link",
        "WITH w (id) AS (VALUES (1), (2)) SELECT d.id, p.post FROM w JOIN delivery d ON d.id = w.id LEFT JOIN post p ON p.id = d.post",
        "WITH w (id, state) AS (VALUES (1, 1), (2, 1)) UPDATE delivery SET state = w.state FROM w WHERE delivery.id = w.id",
        "WITH w (network, remote_id) AS (VALUES (1, 'x'), (2, 'y')) SELECT r.post FROM w JOIN remote_id r \
         ON r.network = w.network AND r.remote_id = w.remote_id",
        "WITH w (post) AS (VALUES (1), (2)) SELECT r.remote_id FROM w JOIN remote_id r ON r.post = w.post",
        "UPDATE post SET is_recalled = 1 WHERE id IN (VALUES (1), (2))",
        "DELETE FROM note WHERE (network, key) IN (VALUES (1, 'a'), (2, 'b'))",
        "SELECT key FROM note WHERE network = 1 AND key >= 'a' AND key > 'b' AND key < 'c' ORDER BY key LIMIT 3",
        "SELECT network, MIN(id) FROM delivery WHERE closed_ms IS NULL GROUP BY network, chat",
        "SELECT id FROM media WHERE network = 1 AND state = 0 ORDER BY created_ms, id LIMIT 5",
        "SELECT id FROM media WHERE state = 1 ORDER BY last_used_ms, id LIMIT 5",
        "DELETE FROM delivery WHERE closed_ms IS NULL AND post IN (VALUES (1), (2))",
        "WITH w (post) AS (VALUES (1), (2)) SELECT w.post FROM w WHERE EXISTS \
         (SELECT 1 FROM delivery d WHERE d.post = w.post AND d.closed_ms IS NULL)",
        "WITH w (id) AS (VALUES ('a'), ('b')) SELECT w.id FROM w WHERE EXISTS (SELECT 1 FROM attached a \
         JOIN delivery d ON d.post = a.post WHERE a.media = w.id AND d.closed_ms IS NULL)",
        "SELECT id FROM media WHERE state = 1 AND (last_used_ms, id) > (1, 'a') ORDER BY last_used_ms, id LIMIT 5",
        "DELETE FROM attached WHERE post IN (VALUES (1), (2)) RETURNING media",
        "DELETE FROM media WHERE made_of IN (VALUES ('a'), ('b')) RETURNING hash",
        "DELETE FROM media WHERE words_of IN (VALUES (1), (2)) RETURNING hash",
        "WITH w (id, network) AS (VALUES ('a', 1), ('b', 1)) SELECT w.id FROM w JOIN media m ON m.id = w.id \
         WHERE m.network <> w.network AND m.network IN (SELECT network FROM account) \
         OR m.state = 1 AND EXISTS (SELECT 1 FROM attached a JOIN post p ON p.id = a.post \
         WHERE a.media = w.id AND p.network <> w.network)",
        "WITH w (id, network) AS (VALUES ('a', 1), ('b', 1)) UPDATE media SET network = NULL FROM w \
         WHERE media.id = w.id AND media.network = w.network",
    ];
    let file = bench.dir.join("wxgate.db");
    let mut conn = sqlx::AnyConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    for question in questions {
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {question}")))
            .fetch_all(&mut conn)
            .await
            .unwrap();
        for row in plan {
            let step: String = row.try_get("detail").unwrap();
            let is_list = step.contains("ROW") || step == "SCAN w";
            // The first look at the lanes reads all of an index, a page the beginning of one.
            let reads_index = ["GROUP BY", "LIMIT"].iter().any(|word| question.contains(word));
            let may_scan = is_list || reads_index && step.contains("USING");
            assert!(!step.starts_with("SCAN") || may_scan, "{question}\n  {step}");
        }
    }
    conn.close().await.unwrap();
    bench.store.close().await;
    std::fs::remove_dir_all(&bench.dir).unwrap();
}

#[tokio::test]
async fn a_password_from_before_scram_is_made_ready_for_it_when_it_is_typed() {
    let bench = Bench::open(fresh_dir(), "sqlite").await;
    bench.store.add_user(&"ann".into(), Some("s3cret"), false).await.unwrap();
    bench.store.close().await;
    let file = bench.dir.join("wxgate.db");
    let mut conn = sqlx::AnyConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    conn.execute("UPDATE gateway_user SET scram = NULL").await.unwrap();
    conn.close().await.unwrap();
    let bench = Bench::open(bench.dir.clone(), "sqlite").await;
    assert_eq!(bench.store.scram(&"ann".into()).await.unwrap(), None);
    assert!(bench.store.verify_password(&"ann".into(), "wrong").await.unwrap().is_none());
    assert_eq!(bench.store.scram(&"ann".into()).await.unwrap(), None);
    assert!(bench.store.verify_password(&"ann".into(), "s3cret").await.unwrap().is_some());
    let first = bench.store.scram(&"ann".into()).await.unwrap().unwrap();
    assert!(bench.store.verify_password(&"ann".into(), "s3cret").await.unwrap().is_some());
    assert_eq!(bench.store.scram(&"ann".into()).await.unwrap(), Some(first), "once is enough");
    bench.store.close().await;
}

/// Ends every session of a database, as a server that restarts does.
async fn end_sessions(url: &str) {
    let mut conn = sqlx::AnyConnection::connect(url).await.unwrap();
    let text = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    conn.execute(sqlx::raw_sql(text)).await.unwrap();
    conn.close().await.unwrap();
}

#[tokio::test]
async fn a_second_gateway_on_one_server_is_refused_with_a_reason() {
    let Some(url) = fresh_postgres().await else { return };
    let first = Bench::open(fresh_dir(), &url).await;
    let error = Store::open(config(&fresh_dir(), &url), clock()).await.unwrap_err();
    assert!(matches!(error, StoreError::Taken { .. }), "{error:?}");
    let told = error.to_string();
    assert!(told.contains("the PostgreSQL database is in use by wxgate on "), "{told}");
    assert!(told.contains(&format!("process {} from 127.0.0.1;", std::process::id())), "{told}");
    first.commit("w:a", vec![post("1", "w:a/c", "still mine")]).await;
    first.store.close().await;
    // Gone is gone: the next one gets it at once, and the first one's directory as well.
    let second = Bench::open(first.dir.clone(), &url).await;
    assert_eq!(texts(&second.history("w:a").await), ["still mine"]);
    let error = Store::open(config(&first.dir, &url), clock()).await.unwrap_err();
    assert!(error.to_string().contains("one data directory serves one process"), "{error}");
    second.store.close().await;
}

#[tokio::test]
async fn others_find_who_has_the_database_and_the_next_one_hears_of_its_leases() {
    let Some(url) = fresh_postgres().await else { return };
    let (place, dir) = (url.parse().unwrap(), fresh_dir());
    assert_eq!(leader(&place, &dir).await.unwrap(), None, "nobody has ever had it");
    let row = |name: &str| LeaderRow { name: name.to_owned(), address: format!("{name}.example:8490") };
    let lease = Duration::from_secs(30);
    let bench = Bench::open(fresh_dir(), &url).await;
    assert_eq!(bench.store.lead(row("one"), lease).await.unwrap(), Duration::ZERO);
    assert_eq!(leader(&place, &dir).await.unwrap(), Some(row("one")));
    let bench = bench.reopen().await;
    assert_eq!(bench.store.lead(row("two"), lease).await.unwrap(), Duration::ZERO, "nothing was lent");
    assert_eq!(leader(&place, &dir).await.unwrap(), Some(row("two")));
    bench.store.keep_lent(true).await.unwrap();
    // Two crashes, each with another setting: what was lent for the longer time may still be lent.
    let bench = bench.reopen().await;
    assert_eq!(bench.store.lead(row("three"), Duration::from_secs(5)).await.unwrap(), lease);
    let bench = bench.reopen().await;
    assert_eq!(bench.store.lead(row("four"), Duration::from_secs(5)).await.unwrap(), lease);
    bench.store.keep_lent(false).await.unwrap();
    let bench = bench.reopen().await;
    assert_eq!(bench.store.lead(row("five"), lease).await.unwrap(), Duration::ZERO);
    bench.store.close().await;
}

#[tokio::test]
async fn a_gateway_whose_session_broke_gets_the_database_back_when_nobody_else_had_it() {
    let Some(url) = fresh_postgres().await else { return };
    let bench = Bench::open(fresh_dir(), &url).await;
    bench.link(&["w:a/c", "i:x/c"]).await;
    bench.commit("w:a", vec![post("1", "w:a/c", "before")]).await;
    for n in 0..3 {
        end_sessions(&url).await;
        // The one that finds the session broken may fail; the next one finds it mended.
        let batch = Batch { posts: vec![post(&format!("r{n}"), "w:a/c", "after")], ..Batch::default() };
        let mut tries = 0;
        while bench.store.commit_batch(&"w:a".into(), batch.clone(), Arc::new(Mirror)).await.is_err() {
            tries += 1;
            assert!(tries < 50, "it does not come back");
        }
    }
    // A session may have ended just behind the last commit: lanes stand still until it is back.
    let mut tries = 0;
    let next = loop {
        match bench.store.next_in_lane(&chat("i:x/c")).await {
            Ok(next) => break next,
            Err(error) => assert!(tries < 10, "{error}"),
        }
        tries += 1;
        bench.batch("w:a", Batch::default()).await;
    };
    assert!(next.is_some());
    let refused = Store::open(config(&fresh_dir(), &url), clock()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Taken { .. }), "{refused:?}");
    bench.store.close().await;
}

#[tokio::test]
async fn a_gateway_that_another_one_took_over_from_writes_and_hands_out_nothing_more() {
    let Some(url) = fresh_postgres().await else { return };
    let first = Bench::open(fresh_dir(), &url).await;
    first.link(&["w:a/c", "i:x/c"]).await;
    first.commit("w:a", vec![post("1", "w:a/c", "before")]).await;
    assert!(first.next("i:x/c").await.is_some());
    // The second one is faster than the first one's next look.
    let second = loop {
        end_sessions(&url).await;
        match Store::open(config(&fresh_dir(), &url), clock()).await {
            Ok(store) => break store,
            Err(error) => assert!(matches!(error, StoreError::Taken { .. }), "{error:?}"),
        }
    };
    let batch = Batch { posts: vec![post("2", "w:a/c", "too late")], ..Batch::default() };
    let error = first.store.commit_batch(&"w:a".into(), batch, Arc::new(Mirror)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    let why = first.store.lost().await;
    assert!(why.contains("took over"), "{why}");
    assert!(first.store.next_in_lane(&chat("i:x/c")).await.is_err(), "it hands out what the other one has");
    // Also when the other one has gone again: what this one has in memory is old.
    second.close().await;
    let batch = Batch { posts: vec![post("3", "w:a/c", "too late")], ..Batch::default() };
    assert!(first.store.commit_batch(&"w:a".into(), batch, Arc::new(Mirror)).await.is_err());
    first.store.close().await;
}

#[tokio::test]
async fn an_idle_gateway_notices_that_it_was_taken_over() {
    let Some(url) = fresh_postgres().await else { return };
    let first = Bench::open(fresh_dir(), &url).await;
    let second = loop {
        end_sessions(&url).await;
        if let Ok(store) = Store::open(config(&fresh_dir(), &url), clock()).await {
            break store;
        }
    };
    let noticed = tokio::time::timeout(HANDED_OVER, first.store.lost()).await;
    assert!(noticed.is_ok(), "not within the time that the other one waits");
    second.close().await;
    // And one that comes back when the other one has been there and gone is told so, too.
    let third = Bench::open(fresh_dir(), &url).await;
    let text = "UPDATE counter SET value = value + 1 WHERE name = 'holder' RETURNING value";
    assert!(third.count(text).await > 2);
    end_sessions(&url).await;
    let noticed = tokio::time::timeout(HANDED_OVER * 2, third.store.lost()).await.unwrap();
    assert!(noticed.contains("had the database while"), "{noticed}");
    first.store.close().await;
    third.store.close().await;
}

/// Tells the time until the bug is set free, which lives in the thread that writes.
#[derive(Default)]
struct Fragile(std::sync::atomic::AtomicBool);

impl Clock for Fragile {
    fn now(&self) -> Timestamp {
        let is_writer = std::thread::current().name() == Some("store-writer");
        if is_writer && self.0.load(std::sync::atomic::Ordering::SeqCst) {
            // Without the hook that prints a backtrace.
            std::panic::resume_unwind(Box::new("the test says so"));
        }
        Timestamp(1)
    }
}

#[tokio::test]
async fn a_bug_that_ends_the_writer_is_told_and_nobody_waits_for_an_answer() {
    let (dir, clock) = (fresh_dir(), Arc::new(Fragile::default()));
    let store = Store::open(config(&dir, "sqlite"), Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
    let commit = |id: &str| {
        let batch = Batch { posts: vec![post(id, "w:a/c", "x")], ..Batch::default() };
        let store = store.clone();
        async move { store.commit_batch(&"w:a".into(), batch, Arc::new(Mirror)).await }
    };
    commit("1").await.unwrap();
    clock.0.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(commit("2").await.unwrap_err().is_unavailable());
    let why = tokio::time::timeout(std::time::Duration::from_secs(10), store.broke()).await;
    assert_eq!(why.unwrap(), "a bug ended the thread that writes to the database");
    store.close().await;
    // A store that is closed in order is no bug, however long ago.
    clock.0.store(false, std::sync::atomic::Ordering::SeqCst);
    let again = Store::open(config(&dir, "sqlite"), clock).await.unwrap();
    again.close().await;
    assert!(futures_util::FutureExt::now_or_never(again.broke()).is_none());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn what_the_clock_said_is_known_after_a_start() {
    each_engine(|bench| async move {
        assert_eq!(bench.store.clock_seen().await.unwrap(), ClockSeen::default());
        let doubted = ClockSeen { believed: Some(Timestamp(5)), doubted: Some(Timestamp(9)) };
        bench.store.keep_clock_seen(doubted).await.unwrap();
        let bench = bench.reopen().await;
        assert_eq!(bench.store.clock_seen().await.unwrap(), doubted);
        let believed = ClockSeen { believed: Some(Timestamp(9)), doubted: None };
        bench.store.keep_clock_seen(believed).await.unwrap();
        assert_eq!(bench.store.clock_seen().await.unwrap(), believed);
        bench
    })
    .await;
}
