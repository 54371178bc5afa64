//! Places in a timeline: by post, by time, and the newest of each chat.
//!
//! A timeline has no index by time: one more tree would cost every commit (decision 0003), and a
//! question by time is rare. Times grow along a chat's timeline, so a place is found by asking for
//! the first item behind a guess, some twenty times at worst.

use std::collections::HashMap;

use serde::Deserialize;
use sqlx::AnyConnection;
use wxgate_contract::{ChatKey, ChatRef, Landmark, NetworkId, Spoken, Timestamp};

use crate::error::StoreError;
use crate::limits;
use crate::sql::{self, Columns, row};
use crate::store::Store;

/// The one field of a post that a search by time reads.
#[derive(Deserialize)]
struct Said {
    at: Timestamp,
}

/// An item of a chat: where it stands and when it was said.
#[derive(Clone, Copy)]
struct Mark {
    seq: i64,
    at: i64,
}

/// One chat of one network, by number.
struct Place<'a> {
    network: i64,
    chat: &'a str,
}

impl Store {
    /// Where a landmark stands in a chat's timeline; `None` when nothing there fits it.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read, `Corrupt` when a row makes no sense.
    pub async fn locate(&self, chat: &ChatRef, landmark: Landmark) -> Result<Option<i64>, StoreError> {
        const DOING: &str = "finding a place in a timeline";
        let Some(network) = self.find(&chat.network).await? else { return Ok(None) };
        limits::check_chat(chat)?;
        let mut conn = self.reader(DOING).await?;
        let place = Place { network, chat: chat.chat.as_str() };
        match landmark {
            Landmark::Since(at) => since(&mut conn, &place, at.ms()).await,
            Landmark::Post(post) => {
                let text = "SELECT shown_seq FROM post \
                            WHERE id = $1 AND network = $2 AND chat = $3 AND shown_seq IS NOT NULL \
                            UNION ALL SELECT shown_seq FROM relayed \
                            WHERE post = $1 AND network = $2 AND chat = $3";
                let found = sql::fetch(&mut conn, DOING, text, row![post.0, network, place.chat]).await?;
                found.first().map(|row| row.at(0)).transpose()
            }
        }
    }

    /// Chats of a network that spoke, the newest first, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::locate`].
    pub async fn spoken(&self, network: &NetworkId, limit: usize) -> Result<Vec<Spoken>, StoreError> {
        const DOING: &str = "reading which chats spoke";
        let Some(number) = self.find(network).await? else { return Ok(Vec::new()) };
        let mut conn = self.reader(DOING).await?;
        // One look into the index per chat, however many lines there are. Chats that only ever
        // spoke and were never described are not in the table of chats.
        let text = "WITH RECURSIVE spoke (chat) AS ( \
                        SELECT MIN(chat) FROM post WHERE network = $1 AND shown_seq IS NOT NULL \
                        UNION ALL \
                        SELECT (SELECT MIN(p.chat) FROM post p WHERE p.network = $2 \
                                AND p.chat > spoke.chat AND p.shown_seq IS NOT NULL) \
                        FROM spoke WHERE spoke.chat IS NOT NULL), \
                    newest (chat, seq) AS ( \
                        SELECT chat, (SELECT MAX(p.shown_seq) FROM post p WHERE p.network = $3 \
                                      AND p.chat = spoke.chat AND p.shown_seq IS NOT NULL) \
                        FROM spoke WHERE chat IS NOT NULL) \
                    SELECT newest.chat, newest.seq, p.post FROM newest \
                    JOIN post p ON p.network = $4 AND p.chat = newest.chat AND p.shown_seq = newest.seq \
                    ORDER BY newest.seq DESC LIMIT $5";
        let values = row![number, number, number, number, limits::rows(limit)];
        let mut found = sql::fetch(&mut conn, DOING, text, values).await?;
        // What links carried there; an account has few links.
        let text = "SELECT n.chat, n.seq, p.post FROM (SELECT chat, MAX(shown_seq) AS seq FROM relayed \
                    WHERE network = $1 GROUP BY chat) n \
                    JOIN relayed r ON r.network = $1 AND r.chat = n.chat AND r.shown_seq = n.seq \
                    JOIN post p ON p.id = r.post";
        found.extend(sql::fetch(&mut conn, DOING, text, row![number]).await?);
        let mut newest: HashMap<ChatKey, Spoken> = HashMap::new();
        for row in &found {
            let (seq, post): (i64, String) = (row.at(1)?, row.at(2)?);
            let chat = ChatKey::new(row.at::<String>(0)?);
            if newest.get(&chat).is_none_or(|known| known.seq < seq) {
                let at = Timestamp(said_at(seq, &post)?);
                newest.insert(chat.clone(), Spoken { chat, seq, at });
            }
        }
        let mut spoken: Vec<Spoken> = newest.into_values().collect();
        spoken.sort_by_key(|spoken| std::cmp::Reverse(spoken.seq));
        spoken.truncate(limit);
        Ok(spoken)
    }
}

fn said_at(seq: i64, post: &str) -> Result<i64, StoreError> {
    let said: Said = serde_json::from_str(post).map_err(|_| StoreError::corrupt("post", seq))?;
    Ok(said.at.ms())
}

/// The first item of the chat at `seq` or behind.
async fn first(conn: &mut AnyConnection, place: &Place<'_>, seq: i64) -> Result<Option<Mark>, StoreError> {
    let text = "SELECT * FROM (SELECT shown_seq, post FROM post WHERE network = $1 AND chat = $2 \
                AND shown_seq IS NOT NULL AND shown_seq >= $3 ORDER BY 1 LIMIT 1) own \
                UNION ALL SELECT * FROM (SELECT r.shown_seq, p.post FROM relayed r JOIN post p ON p.id = r.post \
                WHERE r.network = $1 AND r.chat = $2 AND r.shown_seq >= $3 ORDER BY 1 LIMIT 1) carried \
                ORDER BY 1 LIMIT 1";
    mark(conn, text, place, seq).await
}

/// The last item of the chat in front of `seq`.
async fn last(conn: &mut AnyConnection, place: &Place<'_>, seq: i64) -> Result<Option<Mark>, StoreError> {
    let text = "SELECT * FROM (SELECT shown_seq, post FROM post WHERE network = $1 AND chat = $2 \
                AND shown_seq IS NOT NULL AND shown_seq < $3 ORDER BY 1 DESC LIMIT 1) own \
                UNION ALL SELECT * FROM (SELECT r.shown_seq, p.post FROM relayed r JOIN post p ON p.id = r.post \
                WHERE r.network = $1 AND r.chat = $2 AND r.shown_seq < $3 ORDER BY 1 DESC LIMIT 1) carried \
                ORDER BY 1 DESC LIMIT 1";
    mark(conn, text, place, seq).await
}

async fn mark(
    conn: &mut AnyConnection,
    text: &'static str,
    place: &Place<'_>,
    seq: i64,
) -> Result<Option<Mark>, StoreError> {
    let values = row![place.network, place.chat, seq];
    let found = sql::fetch(conn, "finding a time in a timeline", text, values).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let seq = row.at(0)?;
    Ok(Some(Mark { seq, at: said_at(seq, &row.at::<String>(1)?)? }))
}

/// The first item said at `at` or later.
async fn since(conn: &mut AnyConnection, place: &Place<'_>, at: i64) -> Result<Option<i64>, StoreError> {
    let (Some(mut low), Some(mut high)) = (first(conn, place, 0).await?, last(conn, place, i64::MAX).await?)
    else {
        return Ok(None);
    };
    if low.at >= at {
        return Ok(Some(low.seq));
    }
    if high.at < at {
        return Ok(None);
    }
    // `low` is too early, `high` is not; nothing stands from `edge` up to `high`.
    let mut edge = high.seq;
    let mut by_time = true;
    while low.seq + 1 < edge {
        let middle = guess(low, high, edge, at, by_time);
        // Halving by turns: times that come in bursts would lead the other guess astray for long.
        by_time = !by_time;
        match first(conn, place, middle).await? {
            Some(found) if found.seq < edge && found.at < at => low = found,
            Some(found) if found.seq < edge => (high, edge) = (found, middle),
            _ => edge = middle,
        }
    }
    Ok(Some(high.seq))
}

/// Where between `low` and `edge` to look next.
fn guess(low: Mark, high: Mark, edge: i64, at: i64, by_time: bool) -> i64 {
    let half = low.seq + (edge - low.seq) / 2;
    let span = i128::from(high.at) - i128::from(low.at);
    let middle = if by_time && span > 0 {
        let way = i128::from(high.seq - low.seq) * (i128::from(at) - i128::from(low.at)) / span;
        i64::try_from(i128::from(low.seq) + way).unwrap_or(half)
    } else {
        half
    };
    middle.clamp(low.seq + 1, edge - 1)
}
