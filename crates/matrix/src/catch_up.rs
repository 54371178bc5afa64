//! Asks the homeserver for what it never handed over.
//!
//! A homeserver that is killed at the wrong instant forgets a transaction, and tells nobody. After
//! each greeting, and as often as it costs the homeserver little, the bot asks what happened in its
//! rooms since a position, and everything goes the way of a transaction: what is known is dropped
//! there by its event id. Rooms are read forwards, whole, page by page, so what is late still comes
//! in order. The position moves on when all of it is on disk, in a commit of the same kind, and not
//! before; an attempt that is cut off begins again where it began.
//!
//! One that comes back while somebody speaks can forget as well: what is said at the end of its retries is stored and
//! not sent, until something fails again. So it is asked again soon after it was reached, until nothing is found.
//! Source: Synapse 1.163, `appservice/scheduler.py`, where `send` reads "down" before the recoverer
//! finds nothing left, and stores its transaction after that.
//!
//! Read marks that were set while we were away are in no transaction ever; they come along here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wxgate_contract::Stop;

use crate::account::{Happened, InRoom};
use crate::api::sync::{Between, Sync, Synced, Timeline};
use crate::client::{Actor, CallError};
use crate::config::Timings;
use crate::inbound::{Missed, POSITION, POSITION_OF};
use crate::shared::Shared;
use crate::trouble::Trouble;

/// Events of one page: at 64 KiB each within the bound of an answer.
const PAGE: usize = 100;
/// Pages of one room in one catch-up. Chosen: a hundred thousand events; beyond it a homeserver is
/// counting in circles, and its transactions are still there.
const PAGES: usize = 1000;
/// Of a homeserver's time, asking takes one part in this many. Chosen: 50 ms make it ten seconds, and
/// one that takes a second for it is asked every few minutes.
const SHARE: u32 = 200;
/// What may have to be caught up: the kinds that `inbound` does something about, calls aside.
const KINDS: [&str; 15] = [
    "m.room.message",
    "m.sticker",
    "m.room.redaction",
    "m.reaction",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
    "m.poll.response",
    "org.matrix.msc3381.poll.response",
    "m.room.encrypted",
    "m.room.encryption",
    "m.room.history_visibility",
    "m.room.member",
    "m.room.name",
    "m.room.topic",
    "m.room.tombstone",
];

/// Catches up whenever it is due, until told to stop.
pub(crate) async fn run(shared: Arc<Shared>, missed: mpsc::Sender<Missed>, stop: Stop) {
    let timings = shared.config.timings;
    let mut reach = shared.client.reach();
    let mut pause = timings.catch_up;
    // It was away just now.
    let mut is_settling = false;
    if shared.config.account.is_some() {
        return follow(&shared, &missed, stop).await;
    }
    loop {
        let turn = async {
            // An error means that the client is gone, which is the end of the run.
            let _ = reach.wait_for(|is_there| *is_there).await;
            let due = shared.catch_up.notified();
            // Neither a homeserver that comes and goes nor a busy room makes this a busy loop.
            tokio::time::sleep(timings.first_pause).await;
            let is_due = tokio::time::timeout(pause, due).await.is_ok();
            let begun = Instant::now();
            (shared.catch_up(&missed).await, is_due, begun.elapsed())
        };
        let (done, is_due, took) = tokio::select! {
            () = stop.stopping() => return,
            done = turn => done,
        };
        is_settling = is_due || is_settling && !matches!(done, Ok(0));
        pause = if is_settling { timings.catch_up_soonest } else { pause_after(took, &timings) };
        match done {
            Ok(0) => {}
            Ok(posts) => tracing::warn!(posts, "the homeserver had not handed over all that was said"),
            Err(error) => tracing::warn!(%error, "what was missed cannot be asked for yet"),
        }
    }
}

/// An ordinary account is handed nothing: it asks, and is answered when something happens.
async fn follow(shared: &Shared, missed: &mpsc::Sender<Missed>, stop: Stop) {
    let timings = shared.config.timings;
    let mut reach = shared.client.reach();
    let mut pause = timings.first_pause;
    loop {
        let turn = async {
            // An error means that the client is gone, which is the end of the run.
            let _ = reach.wait_for(|is_there| *is_there).await;
            let Err(error) = shared.catch_up(missed).await else {
                pause = timings.first_pause;
                return;
            };
            tracing::warn!(%error, "what happened cannot be asked for yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(timings.longest_pause);
        };
        tokio::select! {
            () = stop.stopping() => return,
            () = turn => {}
        }
    }
}

/// How long to wait after asking took so long.
fn pause_after(took: Duration, timings: &Timings) -> Duration {
    took.saturating_mul(SHARE).max(timings.catch_up_soonest).min(timings.catch_up)
}

impl Shared {
    /// Hands over what happened since the last time; gives how many posts were new.
    async fn catch_up(&self, missed: &mpsc::Sender<Missed>) -> Result<usize, Trouble> {
        let Some(since) = self.position().await? else {
            return self.begin(missed).await;
        };
        if let Some(account) = &self.config.account {
            let happened = match self.client.noted(account.sync(Some(&since)).await) {
                Ok(happened) => happened,
                Err(CallError::Refused { code, .. }) if code != "M_UNKNOWN_TOKEN" => {
                    tracing::warn!(code, "the homeserver does not know the position; it begins anew");
                    return self.begin(missed).await;
                }
                Err(error) => return Err(error.into()),
            };
            self.crypto.keys_may_have_come();
            return self.take_happened(missed, &since, happened).await;
        }
        let filter = json!({
            "presence": { "types": [] },
            "account_data": { "types": [] },
            "room": {
                "timeline": self.wanted(1),
                "state": { "types": [] },
                "ephemeral": { "types": ["m.receipt"] },
                "account_data": { "types": [] },
            },
        });
        let sync = Sync { since: Some(&since), filter: &filter };
        let synced = match self.client.call(self.bot_in_person(), &sync).await {
            Ok(synced) => synced,
            Err(CallError::Refused { code, .. }) => {
                // It was made anew, or restored from before it gave us the position.
                tracing::warn!(code, "the homeserver does not know the position; it begins anew");
                return self.begin(missed).await;
            }
            Err(error) => return Err(error.into()),
        };
        if synced.next_batch == since {
            return Ok(0);
        }
        self.take_happened(missed, &since, happened(synced)).await
    }

    /// Hands over what the homeserver told; gives how many posts were new.
    async fn take_happened(
        &self,
        missed: &mpsc::Sender<Missed>,
        since: &str,
        happened: Happened,
    ) -> Result<usize, Trouble> {
        let Happened { next, rooms, invited } = happened;
        let mut new = self.invite(missed, invited, &next).await?;
        for (room_id, room) in rooms {
            room.ephemeral.iter().for_each(|event| self.take_receipts(event, &room_id));
            new += self.walk(missed, &room_id, room, (since, &next)).await?;
        }
        hand(missed, Missed { position: Some(next), ..Missed::of("", Vec::new()) }).await?;
        Ok(new)
    }

    /// The first position: there is nothing to catch up with before it.
    async fn begin(&self, missed: &mpsc::Sender<Missed>) -> Result<usize, Trouble> {
        if let Some(account) = &self.config.account {
            let now = self.client.noted(account.sync(None).await)?;
            // Who invited the bot before it ran waits for it.
            self.invite(missed, now.invited, &now.next).await?;
            return hand(missed, Missed { position: Some(now.next), ..Missed::of("", Vec::new()) }).await;
        }
        let filter = json!({
            "presence": { "types": [] },
            "account_data": { "types": [] },
            "room": { "rooms": [], "timeline": { "limit": 1 } },
        });
        let now = self.client.call(self.bot_in_person(), &Sync { since: None, filter: &filter }).await?;
        hand(missed, Missed { position: Some(now.next_batch), ..Missed::of("", Vec::new()) }).await
    }

    /// Hands invitations of the bot over.
    async fn invite(
        &self,
        missed: &mpsc::Sender<Missed>,
        invited: BTreeMap<String, Vec<Value>>,
        next: &str,
    ) -> Result<usize, Trouble> {
        let mut new = 0;
        for (room_id, state) in invited {
            // One that is repeated after a refusal must not be taken for the earlier one.
            let event_id = format!("invited:{room_id}:{next}");
            let invitation = invitation(self.names.bot(), &event_id, &state);
            new += hand(missed, Missed::of(&room_id, invitation.into_iter().collect())).await?;
        }
        Ok(new)
    }

    /// One room from one position to another, oldest first.
    async fn walk(
        &self,
        missed: &mpsc::Sender<Missed>,
        room_id: &str,
        room: InRoom,
        (since, until): (&str, &str),
    ) -> Result<usize, Trouble> {
        if !room.is_limited {
            return hand(missed, Missed::of(room_id, room.events)).await;
        }
        let filter = self.wanted(PAGE);
        let (mut from, mut new) = (since.to_owned(), 0);
        for _ in 0..PAGES {
            let page = Between { room_id, from: &from, to: until, limit: PAGE, filter: &filter };
            let page = match self.client.call(self.bot(), &page).await {
                Ok(page) => page,
                Err(error) if error.is_passing() => return Err(error.into()),
                // The bot was sent away meanwhile: nothing that is said there is for us.
                Err(_) => return Ok(new),
            };
            new += hand(missed, Missed::of(room_id, page.chunk)).await?;
            match page.end {
                Some(end) if end != from => from = end,
                _ => return Ok(new),
            }
        }
        tracing::warn!(room_id, pages = PAGES, "a room was not read to its end");
        Ok(new)
    }

    /// The bot without its device: whatever a device asks a sync after has been heard by it, keys of encrypted
    /// rooms among it, and those are for another position. Source: Synapse 1.163, which deletes them.
    fn bot_in_person(&self) -> Actor<'_> {
        Actor::As { user_id: self.names.bot(), device_id: None }
    }

    fn wanted(&self, limit: usize) -> Value {
        json!({ "limit": limit, "types": KINDS, "not_senders": [self.names.bot()] })
    }

    async fn position(&self) -> Result<Option<String>, Trouble> {
        if self.config.account.is_some() {
            // Of an earlier version nobody wrote down whose it is.
            let user = self.memory.read(POSITION_OF).await?;
            if user.is_some_and(|user| user != self.names.bot()) {
                return Ok(None);
            }
        }
        let found = self.memory.read(POSITION).await?;
        Ok(found.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()))
    }
}

/// Hands events over as a transaction would be; gives how many posts were new.
async fn hand(missed: &mpsc::Sender<Missed>, mut what: Missed) -> Result<usize, Trouble> {
    if what.events.is_empty() && what.position.is_none() {
        return Ok(0);
    }
    let (done, taken) = oneshot::channel();
    what.done = Some(done);
    let handed = missed.send(what).await;
    match (handed, taken.await) {
        (Ok(()), Ok(Some(new))) => Ok(new),
        _ => Err(Trouble::NotYet("what was missed could not be stored".to_owned())),
    }
}

/// What an application service was told when it asked.
fn happened(synced: Synced) -> Happened {
    let Synced { next_batch, rooms } = synced;
    let invited = rooms.invite.into_iter().map(|(room_id, invited)| (room_id, invited.invite_state.events));
    let joined = rooms.join.into_iter().map(|(room_id, joined)| {
        let Timeline { events, limited } = joined.timeline;
        (room_id, InRoom { events, is_limited: limited, ephemeral: joined.ephemeral.events })
    });
    Happened { next: next_batch, rooms: joined.collect(), invited: invited.collect() }
}

/// The invitation of the bot, as an event; what the homeserver tells of one has no id. It stands behind whatever the
/// inviting homeserver told of its room, which nobody has checked and which may have invitations by anybody in it.
/// Source: Synapse 1.163, `rest/client/sync.py`, `encode_invited`; MSC4319.
fn invitation(bot: &str, event_id: &str, state: &[Value]) -> Option<Box<RawValue>> {
    let of_bot = |event: &&Value| event["type"] == "m.room.member" && event["state_key"] == bot;
    let mut event = state.iter().rfind(of_bot)?.clone();
    if event["content"]["membership"] != "invite" {
        return None;
    }
    event["event_id"] = json!(event_id);
    serde_json::value::to_raw_value(&event).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_homeserver_is_asked_as_often_as_it_costs_little() {
        let pause = |ms| pause_after(Duration::from_millis(ms), &Timings::default()).as_secs();
        assert_eq!([pause(5), pause(150), pause(1_000), pause(9_000)], [15, 30, 200, 300]);
    }

    #[test]
    fn whoever_invites_is_told_by_the_homeserver_and_not_by_the_room() {
        let member = |of: &str, by: &str, membership: &str| {
            json!({
                "type": "m.room.member", "state_key": of, "sender": by, "content": { "membership": membership },
            })
        };
        let sender = |state: &[Value]| {
            let event = invitation("@bot:test", "invited:1", state)?;
            let event: Value = serde_json::from_str(event.get()).unwrap();
            assert_eq!(event["event_id"], "invited:1");
            Some(event["sender"].as_str().unwrap().to_owned())
        };
        let named = json!({ "type": "m.room.name", "state_key": "", "content": { "name": "room" } });
        let real = member("@bot:test", "@eve:evil.test", "invite");
        let forged = member("@bot:test", "@admin:test", "invite");
        let guest = member("@carl:test", "@admin:test", "invite");
        assert_eq!(sender(&[named.clone(), real.clone()]).unwrap(), "@eve:evil.test");
        assert_eq!(sender(&[forged, guest, named, real.clone()]).unwrap(), "@eve:evil.test");
        // No object at all, nobody's invitation, one that was taken back.
        assert_eq!(sender(&[json!("words"), json!(7), json!({ "type": "m.room.member" })]), None);
        assert_eq!(sender(&[real, member("@bot:test", "@eve:evil.test", "leave")]), None);
    }
}
