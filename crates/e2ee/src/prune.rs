//! What of a device's state nothing needs any more, and how long the rest is kept.
//!
//! * A key to what somebody said in a room (an inbound group session): ninety days after a sweep saw it first, and
//!   for as long as its sender has given no newer one there, because clients may go on using it. Those of rooms that
//!   the bot is not in go with the next sweep but one. What was read with a key goes with it.
//! * Sessions between devices: the last six that were used of each device; all of a device that is not known, a month
//!   after it was heard last.
//! * What tells a message between devices from its repetition: one to two weeks.
//! * The key that is used for a room, and why keys were kept back: as long as the bot is in the room.
//! * Whose devices are whose: as long as a room is shared with them. Who was verified, and with which key, is kept: a
//!   homeserver says who is gone.
//!
//! A sweep reads rows page by page and holds the store's turn over each, so it never writes over what the machine
//! wrote meanwhile.

use std::collections::{HashMap, HashSet};

use matrix_sdk_crypto::{CryptoStoreError, DeviceData};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::rows::{Changed, Rows, part};
use crate::store::{Turn, kind};

const DAY_MS: i64 = 86_400_000;
/// How long a key is kept that has a successor. Chosen: answers that quote something older have no words in them.
const INBOUND_MS: i64 = 90 * DAY_MS;
/// Sessions of one device. Source: client-server API, "Recovering from undecryptable messages": the maximum should
/// be at least four, the least recently used go first.
const SESSIONS: usize = 6;
/// How long a device that is not known may be silent. Chosen: longer than a message between devices is on its way.
const SILENT_MS: i64 = 30 * DAY_MS;
/// Between two looks at repetitions. Chosen: a homeserver gives a message again until the next question is answered,
/// which takes minutes; a gateway that was down for a week asks on from where it was.
const HASHES_MS: i64 = 7 * DAY_MS;
/// Reasons why keys of one room were kept back. Chosen: an hour of a lively room of strict clients.
const WITHHELD: usize = 200;
/// Rows of keys that are written or deleted in one commit, and what goes with the last of them.
const AT_ONCE: usize = 500;
/// The mark of the last look at repetitions.
const SWEPT: &str = "hashes-swept";

/// What may go.
#[derive(Debug)]
pub struct Leftover {
    now_ms: i64,
    /// Hashes of the rooms that the bot is in.
    rooms: HashSet<String>,
    /// People with whom no room is shared any more.
    people: Vec<String>,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Rows that were deleted.
    pub rows: usize,
    /// People that are gone and are still known to the device.
    pub people: usize,
}

/// Enough of an inbound group session to judge it.
#[derive(Deserialize)]
struct InboundHead {
    pickle: PickleHead,
    #[serde(default)]
    since: Option<i64>,
}

#[derive(Deserialize)]
struct PickleHead {
    sender_key: String,
}

/// Enough of a session between devices.
#[derive(Deserialize)]
struct SessionHead {
    last_use_time: i64,
}

impl Leftover {
    /// What may go at a time, for a bot that is in these rooms.
    pub fn new(now_ms: i64, rooms: impl IntoIterator<Item = String>, people: Vec<String>) -> Self {
        Self { now_ms, rooms: rooms.into_iter().map(|room| part(&room)).collect(), people }
    }

    pub(crate) async fn take_from(&self, rows: &Rows, turn: &Turn) -> Result<Pruned, CryptoStoreError> {
        let mut gone = self.inbound(rows, turn).await?;
        gone += self.sessions(rows, turn).await?;
        gone += self.hashes(rows, turn).await?;
        gone += self.rooms(rows, turn).await?;
        let mut people = 0;
        for user_id in &self.people {
            people += usize::from(rows.has(kind::TRACKED, &[user_id]).await?);
        }
        Ok(Pruned { rows: gone, people })
    }

    pub(crate) async fn take_people_from(&self, rows: &Rows) -> Result<Pruned, CryptoStoreError> {
        let mut pruned = Pruned::default();
        for user_id in &self.people {
            if !rows.has(kind::TRACKED, &[user_id]).await? {
                continue;
            }
            let mut changed = Changed::default();
            changed.remove(rows.key(kind::TRACKED, &[user_id]));
            changed.remove(rows.key(kind::USER, &[user_id]));
            for (key, _) in rows.all_of_group(kind::DEVICE, &part(user_id)).await? {
                changed.remove(key);
            }
            pruned.rows += changed.len();
            pruned.people += 1;
            rows.write(changed).await?;
        }
        Ok(pruned)
    }

    /// Keys to what was said, room by room: their keys stand in that order.
    async fn inbound(&self, rows: &Rows, turn: &Turn) -> Result<usize, CryptoStoreError> {
        let mut gone = 0;
        for room in rows.groups(kind::INBOUND).await? {
            let _turn = turn.lock().await;
            gone += self.inbound_of(rows, &room).await?;
        }
        Ok(gone)
    }

    async fn inbound_of(&self, rows: &Rows, room: &str) -> Result<usize, CryptoStoreError> {
        let all = rows.all_of_group(kind::INBOUND, room).await?;
        let is_inside = self.rooms.contains(room);
        let heads: Vec<InboundHead> =
            all.iter().map(|(_, bytes)| serde_json::from_slice(bytes)).collect::<Result<_, _>>()?;
        // What no sweep has seen yet is the newest.
        let mut newest = HashMap::<&str, i64>::new();
        for head in &heads {
            let since = head.since.unwrap_or(i64::MAX);
            newest.entry(&head.pickle.sender_key).and_modify(|at| *at = since.max(*at)).or_insert(since);
        }
        let (mut changed, mut gone) = (Changed::default(), 0);
        for ((key, bytes), head) in all.iter().zip(&heads) {
            let Some(since) = head.since else {
                let mut row: Map<String, Value> = serde_json::from_slice(bytes)?;
                row.insert("since".to_owned(), self.now_ms.into());
                changed.put(key.clone(), &row)?;
                continue;
            };
            let has_newer = newest.get(head.pickle.sender_key.as_str()).is_some_and(|newest| *newest > since);
            let is_old = self.now_ms.saturating_sub(since) >= INBOUND_MS;
            if !is_inside || (has_newer && is_old) {
                changed.remove(key.clone());
                gone += 1;
                let place = rows.behind(kind::INBOUND, key);
                changed.remove(rows.key(kind::INBOUND_OF, &[&head.pickle.sender_key]) + "/" + place);
                // In the same commit: what is said again could be read as long as its key is there.
                for (key, _) in rows.all_of_group(kind::TAKEN, place).await? {
                    changed.remove(key);
                    gone += 1;
                }
            }
            if changed.len() >= AT_ONCE {
                rows.write(std::mem::take(&mut changed)).await?;
            }
        }
        rows.write(changed).await?;
        Ok(gone)
    }

    async fn sessions(&self, rows: &Rows, turn: &Turn) -> Result<usize, CryptoStoreError> {
        let mut known = HashSet::new();
        for user in rows.groups(kind::DEVICE).await? {
            for (_, bytes) in rows.all_of_group(kind::DEVICE, &user).await? {
                let device: DeviceData = serde_json::from_slice(&bytes)?;
                known.extend(device.curve25519_key().map(|key| part(&key.to_base64())));
            }
        }
        let mut gone = 0;
        for device in rows.groups(kind::SESSION).await? {
            let _turn = turn.lock().await;
            let mut used = Vec::new();
            for (key, bytes) in rows.all_of_group(kind::SESSION, &device).await? {
                let head: SessionHead = serde_json::from_slice(&bytes)?;
                used.push((head.last_use_time.saturating_mul(1_000), key));
            }
            used.sort_unstable_by(|one, two| two.cmp(one));
            let last = used.first().map_or(0, |(at, _)| *at);
            let is_gone = !known.contains(&device) && self.now_ms.saturating_sub(last) >= SILENT_MS;
            let kept = if is_gone { 0 } else { SESSIONS };
            gone += remove(rows, used.into_iter().skip(kept).map(|(_, key)| key)).await?;
        }
        Ok(gone)
    }

    /// Two sweeps see each of them: the first marks it, the second takes it away.
    async fn hashes(&self, rows: &Rows, turn: &Turn) -> Result<usize, CryptoStoreError> {
        let last: Option<i64> = rows.read(kind::CUSTOM, &[SWEPT]).await?;
        if last.is_some_and(|last| self.now_ms.saturating_sub(last) < HASHES_MS) {
            return Ok(0);
        }
        let mut gone = 0;
        for sender in rows.groups(kind::HASH).await? {
            let _turn = turn.lock().await;
            let mut changed = Changed::default();
            for (key, bytes) in rows.all_of_group(kind::HASH, &sender).await? {
                if serde_json::from_slice(&bytes)? {
                    changed.put(key, &false)?;
                } else {
                    changed.remove(key);
                    gone += 1;
                }
            }
            rows.write(changed).await?;
        }
        let mut changed = Changed::default();
        changed.put(rows.key(kind::CUSTOM, &[SWEPT]), &self.now_ms)?;
        rows.write(changed).await?;
        Ok(gone)
    }

    /// What belongs to rooms that the bot is not in. A room that was made this moment loses nothing: its key is at
    /// hand in the machine, and is written again with the next message.
    async fn rooms(&self, rows: &Rows, turn: &Turn) -> Result<usize, CryptoStoreError> {
        let mut gone = 0;
        for kind in [kind::OUTBOUND, kind::WITHHELD, kind::SETTINGS] {
            for room in rows.groups(kind).await? {
                let _turn = turn.lock().await;
                let keys = rows.all_of_group(kind, &room).await?.into_iter().map(|(key, _)| key);
                let kept = match (self.rooms.contains(&room), kind) {
                    (false, _) => 0,
                    (true, kind::WITHHELD) => WITHHELD,
                    (true, _) => usize::MAX,
                };
                gone += remove(rows, keys.skip(kept)).await?;
            }
        }
        Ok(gone)
    }
}

async fn remove(rows: &Rows, keys: impl Iterator<Item = String>) -> Result<usize, CryptoStoreError> {
    let mut changed = Changed::default();
    keys.for_each(|key| changed.remove(key));
    let gone = changed.len();
    rows.write(changed).await?;
    Ok(gone)
}
