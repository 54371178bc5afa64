//! Removing an account and everything of it, without holding anybody else up. What was deleted is written
//! over, so that the files do not hold it any longer.

use sqlx::AnyConnection;
use wxgate_contract::{BoxFuture, NetworkId};

use crate::error::StoreError;
use crate::media;
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
        // What networks were still to show of it, those too that mirror it no longer: their lanes begin with its
        // name, and the sign after the slash ends the range.
        let (from, to) = (format!("{network}/"), format!("{network}0"));
        let mut conn = self.reader(DOING).await?;
        let faces = sql::fetch(&mut conn, DOING, SHOWING, row![&*from, &*to]).await?;
        drop(conn);
        for face in faces {
            let values: [Value; 4] = row![face.at::<i64>(0)?, &*from, &*to, STEP_ROWS];
            while self.step(TO_SHOW, values.to_vec()).await? > 0 {}
        }
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
        self.remove_contents(&gone.hashes, &mut Pruned::default()).await?;
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

/// Networks with lanes between `$1` and `$2`.
const SHOWING: &str = "SELECT n.id FROM network n WHERE EXISTS (SELECT 1 FROM delivery d WHERE d.network = n.id \
     AND d.closed_ms IS NULL AND d.chat >= $1 AND d.chat < $2)";

const TO_SHOW: &str = "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE network = $1 \
     AND closed_ms IS NULL AND chat >= $2 AND chat < $3 LIMIT $4)";

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

/// Posts go with what is still to be delivered of them, with the ids that other networks gave them, and with what hangs
/// on them: an attachment that came through a face is named by nothing else.
async fn remove_posts(tx: &mut AnyConnection, number: i64) -> Result<Gone, StoreError> {
    const SHOWN: &str = "SELECT id FROM post WHERE network = $1 AND shown_seq IS NOT NULL LIMIT $2";
    const UNSHOWN: &str = "SELECT id FROM post WHERE network = $1 AND shown_seq IS NULL LIMIT $2";
    let mut rows = sql::fetch(tx, DOING, SHOWN, row![number, STEP_ROWS]).await?;
    if rows.is_empty() {
        rows = sql::fetch(tx, DOING, UNSHOWN, row![number, STEP_ROWS]).await?;
    }
    let ids = rows.iter().map(|row| row.at(0)).collect::<Result<Vec<i64>, _>>()?;
    let mut open = Many::new("DELETE FROM delivery WHERE closed_ms IS NULL AND post IN (VALUES ", ")");
    ids.iter().for_each(|id| open.push(row![*id]));
    open.run(tx, DOING).await?;
    let media = remove_post_rows(tx, DOING, &ids).await?;
    let hashes = media::forget(tx, DOING, number, media).await?;
    Ok(Gone { rows: u64::try_from(ids.len()).unwrap_or(u64::MAX), hashes })
}

/// Deletes posts with their ids and places; gives the attachments that they showed.
pub(crate) async fn remove_post_rows(
    tx: &mut AnyConnection,
    doing: &'static str,
    ids: &[i64],
) -> Result<Vec<String>, StoreError> {
    for text in [
        "DELETE FROM remote_id WHERE post IN (VALUES ",
        "DELETE FROM relayed WHERE post IN (VALUES ",
        "DELETE FROM post WHERE id IN (VALUES ",
    ] {
        let mut many = Many::new(text, ")");
        ids.iter().for_each(|id| many.push(row![*id]));
        many.run(tx, doing).await?;
    }
    let mut shown = Many::new("DELETE FROM attached WHERE post IN (VALUES ", ") RETURNING media");
    ids.iter().for_each(|id| shown.push(row![*id]));
    let rows = shown.fetch(tx, doing).await?;
    let mut media = rows.iter().map(|row| row.at(0)).collect::<Result<Vec<String>, _>>()?;
    media.sort_unstable();
    media.dedup();
    Ok(media)
}

async fn remove_media(tx: &mut AnyConnection, number: i64) -> Result<Gone, StoreError> {
    const TEXT: &str = "SELECT id FROM media WHERE network = $1 LIMIT $2";
    let rows = sql::fetch(tx, DOING, TEXT, row![number, STEP_ROWS]).await?;
    let ids = rows.iter().map(|row| row.at(0)).collect::<Result<Vec<String>, _>>()?;
    let hashes = media::forget(tx, DOING, number, ids).await?;
    Ok(Gone { rows: u64::try_from(rows.len()).unwrap_or(u64::MAX), hashes })
}
