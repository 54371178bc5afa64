//! Places in a timeline: by post, by time, and the newest of each chat.
//!
//! A timeline has no index by time: one more tree would cost every commit (decision 0003), and a
//! question by time is rare. Times grow along a chat's timeline, so a place is found by asking for
//! the first items behind many probes at once. Half of them stand around the place where the item would be if a chat
//! spoke evenly: three such questions among a million of items, and seven where that is far off.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use sqlx::AnyConnection;
use wxgate_contract::{ChatKey, ChatRef, Landmark, NetworkId, Spoken, Timestamp};

use crate::error::StoreError;
use crate::limits;
use crate::sql::{self, Columns, Many, row};
use crate::store::Store;

macro_rules! own {
    () => {
        ") SELECT probe.seq, p.shown_seq, p.post FROM probe \
         JOIN post p ON p.network = probe.network AND p.chat = probe.chat AND p.shown_seq IS NOT NULL \
         AND p.shown_seq = (SELECT MIN(q.shown_seq) FROM post q WHERE q.network = probe.network \
         AND q.chat = probe.chat AND q.shown_seq IS NOT NULL AND q.shown_seq >= probe.seq)"
    };
}

const DOING: &str = "finding a place in a timeline";
/// Places looked at with one question, each of which costs the way to the database and back: half of them spread evenly,
/// half around a guess. A power of two: one text, which is prepared once.
const PROBES: usize = 16;
/// Places on each side of the guess; each is an eighth as far from it as the one before.
const NEAR: u32 = 4;
/// The first items behind probes: said in the chat itself.
const OWN: &str = own!();
/// … and carried there by links.
const BOTH: &str = concat!(
    own!(),
    " UNION ALL SELECT probe.seq, r.shown_seq, p.post FROM probe \
     JOIN relayed r ON r.network = probe.network AND r.chat = probe.chat \
     AND r.shown_seq = (SELECT MIN(q.shown_seq) FROM relayed q WHERE q.network = probe.network \
     AND q.chat = probe.chat AND q.shown_seq >= probe.seq) JOIN post p ON p.id = r.post"
);

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
        // What links carried there, in the same way.
        let text = "WITH RECURSIVE spoke (chat) AS ( \
                        SELECT MIN(chat) FROM relayed WHERE network = $1 \
                        UNION ALL \
                        SELECT (SELECT MIN(r.chat) FROM relayed r WHERE r.network = $2 AND r.chat > spoke.chat) \
                        FROM spoke WHERE spoke.chat IS NOT NULL), \
                    newest (chat, seq) AS ( \
                        SELECT chat, (SELECT MAX(r.shown_seq) FROM relayed r WHERE r.network = $3 \
                                      AND r.chat = spoke.chat) \
                        FROM spoke WHERE chat IS NOT NULL) \
                    SELECT newest.chat, newest.seq, p.post FROM newest \
                    JOIN relayed r ON r.network = $4 AND r.chat = newest.chat AND r.shown_seq = newest.seq \
                    JOIN post p ON p.id = r.post ORDER BY newest.seq DESC LIMIT $5";
        let values = row![number, number, number, number, limits::rows(limit)];
        found.extend(sql::fetch(&mut conn, DOING, text, values).await?);
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

/// The ends of a chat's timeline.
struct Ends {
    first: Mark,
    last: Mark,
    /// Links carried something there.
    has_carried: bool,
}

/// The first and the last item of the chat, with one question.
async fn ends(conn: &mut AnyConnection, place: &Place<'_>) -> Result<Option<Ends>, StoreError> {
    let text = "SELECT * FROM (SELECT CAST(0 AS BIGINT) AS carried, shown_seq, post FROM post WHERE network = $1 AND chat = $2 \
                AND shown_seq IS NOT NULL ORDER BY 2 LIMIT 1) own_first \
                UNION ALL SELECT * FROM (SELECT CAST(0 AS BIGINT), shown_seq, post FROM post WHERE network = $1 AND chat = $2 \
                AND shown_seq IS NOT NULL ORDER BY 2 DESC LIMIT 1) own_last \
                UNION ALL SELECT * FROM (SELECT CAST(1 AS BIGINT), r.shown_seq, p.post FROM relayed r JOIN post p ON p.id = r.post \
                WHERE r.network = $1 AND r.chat = $2 ORDER BY 2 LIMIT 1) carried_first \
                UNION ALL SELECT * FROM (SELECT CAST(1 AS BIGINT), r.shown_seq, p.post FROM relayed r JOIN post p ON p.id = r.post \
                WHERE r.network = $1 AND r.chat = $2 ORDER BY 2 DESC LIMIT 1) carried_last";
    let mut ends: Option<Ends> = None;
    for row in sql::fetch(conn, DOING, text, row![place.network, place.chat]).await? {
        let (carried, seq): (i64, i64) = (row.at(0)?, row.at(1)?);
        let mark = Mark { seq, at: said_at(seq, &row.at::<String>(2)?)? };
        let known = ends.get_or_insert(Ends { first: mark, last: mark, has_carried: false });
        known.has_carried |= carried != 0;
        if mark.seq < known.first.seq {
            known.first = mark;
        }
        if mark.seq > known.last.seq {
            known.last = mark;
        }
    }
    Ok(ends)
}

/// The first item said at `at` or later.
async fn since(conn: &mut AnyConnection, place: &Place<'_>, at: i64) -> Result<Option<i64>, StoreError> {
    let Some(Ends { first, last, has_carried }) = ends(conn, place).await? else { return Ok(None) };
    if first.at >= at {
        return Ok(Some(first.seq));
    }
    if last.at < at {
        return Ok(None);
    }
    // What stands at `low` is too early, at `high` it is not; nothing stands from `edge` up to `high`.
    let (mut low, mut high, mut edge) = (first, last, last.seq);
    while low.seq + 1 < edge {
        let guess = guess(low, high, at);
        for (probe, found) in behind(conn, place, &probes(low.seq, edge, guess), has_carried).await? {
            if found.at >= at {
                if probe < edge {
                    (high, edge) = (found, probe);
                }
            } else if found.seq > low.seq {
                low = found;
            }
        }
    }
    Ok(Some(high.seq))
}

/// Where what was said at `at` stands, if people speak evenly between `low` and `high`.
fn guess(low: Mark, high: Mark, at: i64) -> i64 {
    let (time, passed) = (i128::from(high.at) - i128::from(low.at), i128::from(at) - i128::from(low.at));
    let room = i128::from(high.seq) - i128::from(low.seq);
    let way = room * passed.clamp(0, time.max(0)) / time.max(1);
    i64::try_from(i128::from(low.seq) + way).unwrap_or(high.seq)
}

/// Where between `low` and `edge` to look next, in order; a place may come more than once where there are few.
fn probes(low: i64, edge: i64, guess: i64) -> [i64; PROBES] {
    let (first, last) = (low.saturating_add(1), edge.saturating_sub(1));
    let room = i128::from(last) - i128::from(first) + 1;
    let spread = PROBES as i128 - 2 * i128::from(NEAR);
    let even = (0..spread).map(|n| i128::from(first) + room * n / spread);
    let near = (1..=NEAR).flat_map(|n| {
        let far = room >> (3 * n);
        [i128::from(guess) - far, i128::from(guess) + far]
    });
    let mut all = even.chain(near).map(|place| i64::try_from(place).unwrap_or(last).clamp(first, last));
    let mut probes = [0; PROBES];
    probes.iter_mut().for_each(|probe| *probe = all.next().unwrap_or(first));
    probes.sort_unstable();
    probes
}

/// For each probe the first item of the chat there or behind, by probe; all with one question.
async fn behind(
    conn: &mut AnyConnection,
    place: &Place<'_>,
    probes: &[i64],
    has_carried: bool,
) -> Result<BTreeMap<i64, Mark>, StoreError> {
    let mut many =
        Many::new("WITH probe (network, chat, seq) AS (VALUES ", if has_carried { BOTH } else { OWN });
    for probe in probes {
        many.push(row![place.network, place.chat, *probe]);
    }
    let mut marks: BTreeMap<i64, Mark> = BTreeMap::new();
    for row in many.fetch(conn, DOING).await? {
        let (probe, seq): (i64, i64) = (row.at(0)?, row.at(1)?);
        let found = Mark { seq, at: said_at(seq, &row.at::<String>(2)?)? };
        let mark = marks.entry(probe).or_insert(found);
        if found.seq < mark.seq {
            *mark = found;
        }
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often the database is asked for the first item at `at` or later among items that stand at `seq` and were
    /// said at `said(seq)`, and which it is.
    fn search(len: i64, said: impl Fn(i64) -> i64, at: i64) -> (usize, i64) {
        let mark = |seq: i64| Mark { seq, at: said(seq) };
        let (mut low, mut high, mut edge, mut asked) = (mark(1), mark(len), len, 0);
        while low.seq + 1 < edge {
            asked += 1;
            let places = probes(low.seq, edge, guess(low, high, at));
            assert!(places.is_sorted() && places.iter().all(|place| low.seq < *place && *place < edge));
            for place in places {
                match mark(place) {
                    found if found.at < at => low = if found.seq > low.seq { found } else { low },
                    found if place < edge => (high, edge) = (found, place),
                    _ => {}
                }
            }
        }
        (asked, high.seq)
    }

    #[test]
    fn a_place_is_found_in_few_questions_however_people_speak() {
        let len = 1_000_000;
        for wanted in [2, 3, 77, 499_999, 500_000, 765_432, len - 1, len] {
            let even = |seq: i64| 1_700_000_000_000 + seq * 60_000;
            let (asked, found) = search(len, even, even(wanted));
            assert!(asked <= 3 && found == wanted, "{wanted}: {asked}, {found}");
            // Quiet for years, then a flood; and all at one time.
            let flood = |seq: i64| if seq < 10 { seq * 86_400_000_000 } else { 900_000_000_000 + seq };
            let (asked, found) = search(len, flood, flood(wanted));
            assert!(asked <= 7 && found == wanted, "{wanted}: {asked}, {found}");
        }
        let (asked, found) = search(len, |seq| i64::from(seq >= 4711), 1);
        assert!(asked <= 7 && found == 4711, "{asked}, {found}");
    }
}
