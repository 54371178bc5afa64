//! Making room: attachments that nobody used for long, and files that no row names.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::AnyConnection;

use super::file::ASIDE;
use super::forget::unnamed;
use super::used::Used;
use crate::error::{Doing, StoreError};
use crate::report::Pruned;
use crate::sql::{self, Columns, Many, row};
use crate::store::Store;

const DOING: &str = "pruning attachments";
const DAY_MS: i64 = 86_400_000;
/// Rows of each kind per step; other writers get their turn in between.
const STEP_ROWS: i64 = 200;
/// A file that no row names may belong to a row that is just being written.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 3600);

impl Store {
    /// Removes those that never came in `keep_days`, attachments that nobody used for as long, and then, until the rest
    /// fits into `max_store_bytes`, what was handed over and no post shows, and the least recently used ones. Files that
    /// no attachment names go as well. A file stays as long as any attachment names it, and what a post shows that is
    /// still to be delivered stays and counts.
    ///
    /// # Errors
    /// `Unavailable` when the database or the file system failed; what was removed stays removed.
    pub async fn prune_media(&self, keep_days: u32, max_store_bytes: u64) -> Result<Pruned, StoreError> {
        let now = self.0.clock.now().ms();
        let oldest = now.saturating_sub(i64::from(keep_days).saturating_mul(DAY_MS));
        let day_ago = now.saturating_sub(DAY_MS);
        let mut pruned = self.fit(oldest, day_ago, max_store_bytes).await?;
        self.sweep(&mut pruned).await?;
        // It frees no file and writes: last, because a full disk has room for that behind the others only.
        pruned.media += self.forget_missed(oldest.min(day_ago)).await?;
        Ok(pruned)
    }

    /// Removes the least recently used attachments until the rest fits into `max_store_bytes`, and nothing because of
    /// its age: for when it is in doubt what the clock says. What a post shows that is still to be delivered stays.
    ///
    /// # Errors
    /// As [`Store::prune_media`].
    pub async fn fit_media(&self, max_store_bytes: u64) -> Result<Pruned, StoreError> {
        self.fit(i64::MIN, i64::MIN, max_store_bytes).await
    }

    /// Counts what there is, and removes what was not used since `oldest` and what does not fit.
    async fn fit(&self, oldest: i64, day_ago: i64, max_store_bytes: u64) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        self.0.media_used.send_modify(Used::counting);
        let used = self.media_bytes().await?;
        let mut need = Need { oldest, day_ago, surplus: used.saturating_sub(max_store_bytes), freed: 0 };
        if need.surplus > 0 {
            self.make_room(Which::Unshown, &mut need, &mut pruned).await?;
        }
        self.make_room(Which::Any, &mut need, &mut pruned).await?;
        self.0.media_used.send_modify(|all| all.counted(used.saturating_sub(need.freed)));
        Ok(pruned)
    }

    /// Removes what is to go of some attachments, a step after the other.
    async fn make_room(&self, which: Which, need: &mut Need, pruned: &mut Pruned) -> Result<(), StoreError> {
        let mut after = Some((i64::MIN, String::new()));
        while let Some(place) = after.take() {
            let _gate = self.0.media_gate.lock().await;
            let mut conn = self.reader(DOING).await?;
            let going = unused(&mut conn, place, which, need).await?;
            drop(conn);
            after = going.last;
            if going.ids.is_empty() {
                continue;
            }
            // Files first: on a full disk they make the room that the note of their end needs. A row that is left
            // without its file is the first to go the next time.
            self.remove_contents(&going.hashes, pruned).await?;
            need.surplus = need.surplus.saturating_sub(going.freed);
            need.freed += going.freed;
            pruned.media += going.ids.len() as u64;
            let ids = going.ids;
            self.writer()?
                .transaction(DOING, move |tx| Box::pin(async move { remove_rows(tx, &ids).await }))
                .await?;
        }
        Ok(())
    }

    /// Removes attachments that were announced or given up before `oldest`: nobody has their bytes, and WeChat has them
    /// no more. Gives how many.
    async fn forget_missed(&self, oldest: i64) -> Result<u64, StoreError> {
        let (mut after, mut gone) = (String::new(), 0);
        loop {
            let mut conn = self.reader(DOING).await?;
            let text =
                "SELECT id FROM media WHERE id > $1 AND state <> 1 AND created_ms < $2 ORDER BY id LIMIT $3";
            let rows = sql::fetch(&mut conn, DOING, text, row![&*after, oldest, STEP_ROWS]).await?;
            drop(conn);
            let ids = rows.iter().map(|row| row.at(0)).collect::<Result<Vec<String>, _>>()?;
            let Some(last) = ids.last() else { return Ok(gone) };
            after.clone_from(last);
            gone += self
                .writer()?
                .transaction(DOING, move |tx| {
                    Box::pin(async move {
                        // One may have come meanwhile.
                        let mut many =
                            Many::new("DELETE FROM media WHERE state <> 1 AND id IN (VALUES ", ")");
                        ids.iter().for_each(|id| many.push(row![id.as_str()]));
                        many.run(tx, DOING).await
                    })
                })
                .await?;
        }
    }

    /// Bytes of all files that attachments name.
    pub(crate) async fn media_bytes(&self) -> Result<u64, StoreError> {
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM \
                    (SELECT MAX(size_bytes) AS size FROM media WHERE hash IS NOT NULL GROUP BY hash) f";
        let rows = sql::fetch(&mut conn, DOING, text, []).await?;
        let bytes: i64 = rows.first().map_or(Ok(0), |row| row.at(0))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    pub(crate) async fn remove_file(&self, path: &Path, pruned: &mut Pruned) -> Result<(), StoreError> {
        let Ok(meta) = tokio::fs::metadata(path).await else { return Ok(()) };
        tokio::fs::remove_file(path).await.doing(DOING)?;
        pruned.files += 1;
        pruned.freed_bytes += meta.len();
        Ok(())
    }

    /// Files that no row names: the program ended between the rename and the row.
    async fn sweep(&self, pruned: &mut Pruned) -> Result<(), StoreError> {
        let dir = self.media_dir();
        let now = Duration::from_millis(u64::try_from(self.0.clock.now().ms()).unwrap_or(0));
        let old = tokio::task::spawn_blocking(move || old_files(&dir, now)).await.doing(DOING)?;
        for shelf in old.doing(DOING)?.chunks(500) {
            let hashes = shelf.iter().map(|(hash, _)| hash.clone()).collect();
            let _gate = self.0.media_gate.lock().await;
            let mut conn = self.reader(DOING).await?;
            let unnamed: HashSet<String> = unnamed(&mut conn, DOING, hashes).await?.into_iter().collect();
            drop(conn);
            for (hash, path) in shelf {
                if unnamed.contains(hash) {
                    self.remove_file(path, pruned).await?;
                }
            }
        }
        Ok(())
    }
}

/// Among which attachments room is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Those that somebody handed over more than a day ago and no post shows.
    Unshown,
    Any,
}

/// How much has to go.
struct Need {
    /// What was not used since.
    oldest: i64,
    /// When it was yesterday.
    day_ago: i64,
    /// So many bytes besides.
    surplus: u64,
    /// What went.
    freed: u64,
}

/// What is to go in one step.
#[derive(Default)]
struct Going {
    ids: Vec<String>,
    /// Content that no other attachment names, and its bytes.
    hashes: Vec<String>,
    freed: u64,
    /// Where to look on for what was used least recently; `None` when there is no more to find.
    last: Option<Place>,
}

/// When something was last used, and what.
type Place = (i64, String);

/// The number is written out because the index on the last use is one on that state. What was handed over and nothing
/// else names belongs to nobody.
const LEAST_USED: &str = "SELECT id, hash, size_bytes, last_used_ms, CAST(CASE WHEN network IS NULL AND made_of IS NULL \
     AND words_of IS NULL AND created_ms < $1 AND NOT EXISTS (SELECT 1 FROM attached a WHERE a.media = media.id) \
     THEN 1 ELSE 0 END AS BIGINT) FROM media WHERE state = 1 AND (last_used_ms, id) > ($2, $3) ORDER BY last_used_ms, id LIMIT $4";

/// The next that go behind a place: those not used since `oldest`, else as many as `surplus` bytes need.
async fn unused(
    conn: &mut AnyConnection,
    after: Place,
    which: Which,
    need: &Need,
) -> Result<Going, StoreError> {
    let values = row![need.day_ago, after.0, after.1, STEP_ROWS];
    let rows = sql::fetch(conn, DOING, LEAST_USED, values).await?;
    let ids = rows.iter().map(|row| row.at(0)).collect::<Result<Vec<String>, _>>()?;
    let waiting = waiting(conn, &ids).await?;
    let mut going = Going::default();
    if let (Some(row), Some(id)) = (rows.last(), ids.last()) {
        going.last = Some((row.at(3)?, id.clone()));
    }
    let mut chosen: HashMap<String, i64> = HashMap::new();
    for row in rows {
        let is_old = which == Which::Any && row.at::<i64>(3)? < need.oldest;
        if !is_old && going.freed >= need.surplus {
            going.last = None;
            break;
        }
        let (id, hash): (String, Option<String>) = (row.at(0)?, row.at(1)?);
        let is_meant = which == Which::Any || row.at::<i64>(4)? == 1;
        if !is_meant || waiting.contains(&id) {
            continue;
        }
        going.ids.push(id);
        let Some(hash) = hash else { continue };
        let text = "SELECT COUNT(*) FROM media WHERE hash = $1";
        let named = sql::fetch(conn, DOING, text, row![&*hash]).await?;
        let named: i64 = named.first().map_or(Ok(0), |row| row.at(0))?;
        let going_too = chosen.entry(hash.clone()).or_default();
        *going_too += 1;
        if *going_too >= named {
            going.freed = going.freed.saturating_add(u64::try_from(row.at::<i64>(2)?).unwrap_or(0));
            going.hashes.push(hash);
        }
    }
    Ok(going)
}

/// Those that a post shows which is still to be delivered somewhere.
async fn waiting(conn: &mut AnyConnection, ids: &[String]) -> Result<HashSet<String>, StoreError> {
    let mut many = Many::new(
        "WITH w (id) AS (VALUES ",
        ") SELECT w.id FROM w WHERE EXISTS (SELECT 1 FROM attached a JOIN delivery d ON d.post = a.post \
         WHERE a.media = w.id AND d.closed_ms IS NULL)",
    );
    ids.iter().for_each(|id| many.push(row![id.as_str()]));
    many.fetch(conn, DOING).await?.iter().map(|row| row.at(0)).collect()
}

async fn remove_rows(tx: &mut AnyConnection, ids: &[String]) -> Result<(), StoreError> {
    let mut many = Many::new("DELETE FROM media WHERE id IN (VALUES ", ")");
    ids.iter().for_each(|id| many.push(row![id.as_str()]));
    many.run(tx, DOING).await.map(|_| ())
}

/// Files that have not been touched for a day: hash and path. Those left aside have no hash.
fn old_files(dir: &Path, now: Duration) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut old = Vec::new();
    let shelves = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(old),
        shelves => shelves?,
    };
    for shelf in shelves {
        let shelf = shelf?;
        if !shelf.file_type()?.is_dir() {
            continue;
        }
        let first = shelf.file_name().to_string_lossy().into_owned();
        for file in std::fs::read_dir(shelf.path())? {
            let file = file?;
            let touched =
                file.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            if now.saturating_sub(touched) < ORPHAN_AGE {
                continue;
            }
            let rest = file.file_name().to_string_lossy().into_owned();
            let hash = if first == ASIDE { String::new() } else { format!("{first}{rest}") };
            old.push((hash, file.path()));
        }
    }
    Ok(old)
}
