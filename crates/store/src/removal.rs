//! Removing an account and everything of it, without holding anybody else up. What was deleted is written
//! over, so that the files do not hold it any longer.

use sqlx::AnyConnection;
use wxgate_contract::{Body, BoxFuture, NetworkId, Post};

use crate::error::StoreError;
use crate::report::Pruned;
use crate::sql::{self, Columns, Many, Value, row};
use crate::store::Store;

const DOING: &str = "removing an account";
/// Rows that one step deletes; other writers get their turn in between.
const STEP_ROWS: i64 = 1000;

/// What a step has deleted.
#[derive(Default)]
struct Gone {
    rows: u64,
    /// Content that no attachment names any more.
    hashes: Vec<String>,
}

impl Store {
    /// Forgets an account and everything of it, its files included, in many small transactions. After a
    /// crash in between, call it again (`leaving_accounts` tells which).
    ///
    /// # Errors
    /// `Unavailable` when the database failed; what was not deleted yet is still marked.
    pub async fn remove_account(&self, network: &NetworkId) -> Result<(), StoreError> {
        let Some(number) = self.find(network).await? else { return Ok(()) };
        self.mark_leaving(number).await?;
        loop {
            let _gate = self.0.media_gate.lock().await;
            let step = self.erasing(DOING, move |tx| Box::pin(remove_posts(tx, number)));
            if self.remove_files(step.await?).await? == 0 {
                break;
            }
        }
        loop {
            let _gate = self.0.media_gate.lock().await;
            let step = self.erasing(DOING, move |tx| Box::pin(remove_media(tx, number)));
            if self.remove_files(step.await?).await? == 0 {
                break;
            }
        }
        self.remove_rows(network, number).await?;
        self.erase_traces().await
    }

    /// Begins to remove an account: from here on nobody sees it, and nothing reaches its chats by a link. Whatever
    /// happens then, [`Store::leaving_accounts`] tells of it until it is removed.
    ///
    /// # Errors
    /// `Unavailable` when the database failed; nothing was changed then.
    pub async fn leave_account(&self, network: &NetworkId) -> Result<(), StoreError> {
        match self.find(network).await? {
            Some(number) => self.mark_leaving(number).await,
            None => Ok(()),
        }
    }

    async fn mark_leaving(&self, number: i64) -> Result<(), StoreError> {
        let writer = self.writer()?;
        let step = writer.transaction(DOING, move |tx| {
            Box::pin(async move {
                let text = "UPDATE account SET is_leaving = 1 WHERE network = $1";
                sql::run(tx, DOING, text, row![number]).await?;
                let text = "DELETE FROM link_member WHERE network = $1";
                sql::run(tx, DOING, text, row![number]).await?;
                crate::links::drop_lonely(tx).await
            })
        });
        step.await
    }

    /// Forgets the notes of a network that are about an account, or about a person: those called `KIND/about/…`.
    ///
    /// # Errors
    /// `Unavailable` when the database failed; call it again.
    pub async fn forget_notes(&self, network: &NetworkId, about: &str) -> Result<(), StoreError> {
        let Some(number) = self.find(network).await? else { return Ok(()) };
        let mut after = String::new();
        loop {
            // The next kind is one step in the index, however many notes the last one has.
            let text = "SELECT key FROM note WHERE network = $1 AND key > $2 ORDER BY key LIMIT 1";
            let mut conn = self.reader(DOING).await?;
            let rows = sql::fetch(&mut conn, DOING, text, row![number, after.as_str()]).await?;
            drop(conn);
            let Some(key) = rows.first().map(|row| row.at::<String>(0)).transpose()? else { return Ok(()) };
            let Some((kind, _)) = key.split_once('/') else {
                after = key;
                continue;
            };
            // The sign after the slash ends each range.
            let values: [Value; 4] =
                row![number, format!("{kind}/{about}/"), format!("{kind}/{about}0"), STEP_ROWS];
            while self.step(NOTES_ABOUT, values.to_vec()).await? > 0 {}
            after = format!("{kind}0");
        }
    }

    async fn remove_rows(&self, network: &NetworkId, number: i64) -> Result<(), StoreError> {
        // What networks were still to show of it: their lanes begin with its name, and the sign
        // after the slash ends the range.
        let (from, to) = (format!("{network}/"), format!("{network}0"));
        let mirrored: [Value; 4] = row![from, to, number, STEP_ROWS];
        while self.step(MIRRORED, mirrored.to_vec()).await? > 0 {}
        for text in REMOVALS {
            while self.step(text, row![number, STEP_ROWS].to_vec()).await? > 0 {}
        }
        self.step("DELETE FROM mirror WHERE account = $1", row![number].to_vec()).await?;
        self.step("DELETE FROM account WHERE network = $1", row![number].to_vec()).await.map(drop)
    }

    async fn step(&self, text: &'static str, values: Vec<Value>) -> Result<u64, StoreError> {
        let step =
            self.erasing(DOING, move |tx| Box::pin(async move { sql::run(tx, DOING, text, values).await }));
        step.await
    }

    async fn remove_files(&self, gone: Gone) -> Result<u64, StoreError> {
        let mut pruned = Pruned::default();
        for hash in gone.hashes {
            self.remove_file(&self.media_path(&hash), &mut pruned).await?;
        }
        Ok(gone.rows)
    }

    /// Runs `work` in a transaction that writes over what it deletes; PostgreSQL does so in its own time (VACUUM).
    /// Each step asks for it anew: the setting is the writer's and so everybody's, and what is cut off between two
    /// steps must not leave it behind.
    pub(crate) async fn erasing<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut AnyConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let is_sqlite = self.is_sqlite();
        let writer = self.writer()?;
        let step = writer.transaction(doing, move |tx| {
            Box::pin(async move {
                if is_sqlite {
                    sql::run(tx, doing, "PRAGMA secure_delete = ON", []).await?;
                }
                let done = work(tx).await;
                if is_sqlite {
                    sql::run(tx, doing, "PRAGMA secure_delete = FAST", []).await?;
                }
                done
            })
        });
        step.await
    }
}

const NOTES_ABOUT: &str = "DELETE FROM note WHERE network = $1 AND key IN (SELECT key FROM note WHERE network = $1 \
     AND key >= $2 AND key < $3 LIMIT $4)";

const MIRRORED: &str = "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE closed_ms IS NULL \
     AND chat >= $1 AND chat < $2 AND network IN (SELECT face FROM mirror WHERE account = $3) LIMIT $4)";

/// Everything but posts and attachments that has the number of the network; each deletes at most `$2` rows.
const REMOVALS: [&str; 7] = [
    "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE network = $1 AND closed_ms IS NULL LIMIT $2)",
    "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE network = $1 AND closed_ms IS NOT NULL LIMIT $2)",
    "DELETE FROM remote_id WHERE network = $1 AND remote_id IN \
     (SELECT remote_id FROM remote_id WHERE network = $1 LIMIT $2)",
    "DELETE FROM note WHERE network = $1 AND key IN (SELECT key FROM note WHERE network = $1 LIMIT $2)",
    "DELETE FROM chat WHERE network = $1 AND chat IN (SELECT chat FROM chat WHERE network = $1 LIMIT $2)",
    "DELETE FROM person WHERE network = $1 AND person IN (SELECT person FROM person WHERE network = $1 LIMIT $2)",
    "DELETE FROM relayed WHERE network = $1 AND shown_seq IN \
     (SELECT shown_seq FROM relayed WHERE network = $1 LIMIT $2)",
];

/// Posts go with the ids that other networks gave them, and with what hangs on them: an attachment that came
/// through a face belongs to no network.
async fn remove_posts(tx: &mut AnyConnection, number: i64) -> Result<Gone, StoreError> {
    const SHOWN: &str = "SELECT id, post FROM post WHERE network = $1 AND shown_seq IS NOT NULL LIMIT $2";
    const UNSHOWN: &str = "SELECT id, post FROM post WHERE network = $1 AND shown_seq IS NULL LIMIT $2";
    let mut rows = sql::fetch(tx, DOING, SHOWN, row![number, STEP_ROWS]).await?;
    if rows.is_empty() {
        rows = sql::fetch(tx, DOING, UNSHOWN, row![number, STEP_ROWS]).await?;
    }
    let mut ids = Many::new("DELETE FROM remote_id WHERE post IN (VALUES ", ")");
    let mut relayed = Many::new("DELETE FROM relayed WHERE post IN (VALUES ", ")");
    let mut posts = Many::new("DELETE FROM post WHERE id IN (VALUES ", ")");
    let mut media = Vec::new();
    for row in &rows {
        let id: i64 = row.at(0)?;
        ids.push([Value::Int(id)]);
        relayed.push([Value::Int(id)]);
        posts.push([Value::Int(id)]);
        // A post that cannot be read goes all the same.
        if let Ok(Post { body: Body::Attachment(file), .. }) = serde_json::from_str(&row.at::<String>(1)?) {
            media.extend([Some(file.media), file.poster].into_iter().flatten().map(|id| id.to_string()));
        }
    }
    ids.run(tx, DOING).await?;
    relayed.run(tx, DOING).await?;
    posts.run(tx, DOING).await?;
    let hashes = forget_media(tx, media).await?;
    Ok(Gone { rows: u64::try_from(rows.len()).unwrap_or(u64::MAX), hashes })
}

async fn remove_media(tx: &mut AnyConnection, number: i64) -> Result<Gone, StoreError> {
    const TEXT: &str = "SELECT id FROM media WHERE network = $1 LIMIT $2";
    let rows = sql::fetch(tx, DOING, TEXT, row![number, STEP_ROWS]).await?;
    let ids = rows.iter().map(|row| row.at(0)).collect::<Result<Vec<String>, _>>()?;
    let hashes = forget_media(tx, ids).await?;
    Ok(Gone { rows: u64::try_from(rows.len()).unwrap_or(u64::MAX), hashes })
}

/// Deletes rows of attachments; gives the content that no other row names.
async fn forget_media(tx: &mut AnyConnection, ids: Vec<String>) -> Result<Vec<String>, StoreError> {
    let mut hashes = Vec::new();
    for id in ids {
        let text = "DELETE FROM media WHERE id = $1 RETURNING hash";
        let gone = sql::fetch(tx, DOING, text, row![id]).await?;
        let Some(hash) = gone.first().map(|row| row.at::<Option<String>>(0)).transpose()?.flatten() else {
            continue;
        };
        let text = "SELECT 1 FROM media WHERE hash = $1 LIMIT 1";
        if sql::fetch(tx, DOING, text, row![&*hash]).await?.is_empty() {
            hashes.push(hash);
        }
    }
    Ok(hashes)
}
