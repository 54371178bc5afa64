//! Opening: who may, with which schema, and what the files give away.

use std::sync::Arc;

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
    let token = bench.store.set_token(&"ann".into()).await.unwrap();
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
    let other_key =
        StoreConfig { seal_key: SealKey::from_bytes(&[8; 32]).unwrap(), ..config(&bench.dir, "sqlite") };
    let store = Store::open(other_key, clock()).await.unwrap();
    let error = store.note(&"w:a".into(), "session").await.unwrap_err();
    assert!(
        matches!(error, StoreError::Corrupt { .. }) && !error.to_string().contains("VERYSECRET"),
        "{error}"
    );
    assert_eq!(store.note(&"w:a".into(), "plain").await.unwrap().unwrap(), "PLAINVALUE");
    store.close().await;
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
            assert!(!step.starts_with("SCAN") || is_list || step.contains("USING"), "{question}\n  {step}");
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
    assert!(!bench.store.verify_password(&"ann".into(), "wrong").await.unwrap());
    assert_eq!(bench.store.scram(&"ann".into()).await.unwrap(), None);
    assert!(bench.store.verify_password(&"ann".into(), "s3cret").await.unwrap());
    let first = bench.store.scram(&"ann".into()).await.unwrap().unwrap();
    assert!(bench.store.verify_password(&"ann".into(), "s3cret").await.unwrap());
    assert_eq!(bench.store.scram(&"ann".into()).await.unwrap(), Some(first), "once is enough");
    bench.store.close().await;
}
