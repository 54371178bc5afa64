//! The bot's device hears what other devices send it: the keys of what people say.
//!
//! Not from transactions, which lose what is sent while the gateway is down; a `/sync` of the device gives
//! all of it. Source: the Matrix notes, section 5. Where it was is written down when everything up to there was.

use std::sync::Arc;

use serde_json::{Value, json};
use wxgate_contract::{Note, Stop};

use super::{inbox, prune, verify};
use crate::api::keys::DeviceSync;
use crate::client::{Actor, CallError};
use crate::names::Who;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// The note that says up to where everything was heard.
const HEARD: &str = "heard";
/// How long the homeserver keeps a question that it has no answer to. Chosen: below any proxy's patience.
const WAIT_MS: u64 = 30_000;

/// Hears, and keeps things in order, until told to stop.
pub(crate) async fn run(shared: Arc<Shared>, stop: Stop) {
    let all = [(); 3].map(|()| Arc::clone(&shared));
    let [emptied, pruned, verified] = all;
    if shared.crypto.is_on {
        tokio::join!(
            hear(shared, stop.clone()),
            inbox::EMPTY.run(emptied, stop.clone()),
            prune::PRUNE.run(pruned, stop.clone()),
            verify::run(verified, stop),
        );
    } else if shared.config.account.is_some() {
        verify::run(verified, stop).await;
    } else {
        stop.stopping().await;
    }
}

async fn hear(shared: Arc<Shared>, stop: Stop) {
    let timings = shared.config.timings;
    let mut reach = shared.client.reach();
    let mut pause = timings.first_pause;
    loop {
        let mut has_heard = false;
        let turn = async {
            // An error means that the client is gone, which is the end of the run.
            let _ = reach.wait_for(|is_there| *is_there).await;
            Box::pin(shared.hear_on(&mut has_heard)).await
        };
        let heard = tokio::select! {
            () = stop.stopping() => return,
            heard = turn => heard,
        };
        if let Err(error) = heard {
            tracing::warn!(%error, "keys of encrypted rooms cannot be fetched yet");
        }
        if has_heard {
            // Trouble after good times is looked at as soon as the first was: what waits for keys waits for seconds.
            pause = timings.first_pause;
        }
        tokio::select! {
            () = stop.stopping() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(timings.longest_pause);
    }
}

impl Shared {
    /// Hears on from where it was, until something is in the way; says whether anything was heard.
    async fn hear_on(&self, has_heard: &mut bool) -> Result<(), Trouble> {
        // Set up before it is asked what it is sent.
        self.device(self.names.bot()).await?;
        let mut since =
            self.memory.read(HEARD).await?.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        loop {
            since = Some(self.hear_once(since.as_deref()).await?);
            *has_heard = true;
            self.see_to_mark().await?;
        }
    }

    pub(super) async fn hear_once(&self, since: Option<&str>) -> Result<String, Trouble> {
        let filter = json!({
            "room": { "rooms": [] },
            "presence": { "types": [] },
            "account_data": { "types": [] },
        });
        // What waits is given at once; without a position nothing is worth waiting for.
        let timeout_ms = if since.is_some() { WAIT_MS } else { 0 };
        let question = DeviceSync { since, filter: &filter, timeout_ms };
        // A copy: whoever is to take the device's place does not wait for an answer.
        let device_id = self.device(self.names.bot()).await?.machine.device_id().to_owned();
        let bot = Actor::As { user_id: self.names.bot(), device_id: Some(&device_id) };
        let synced = match self.client.call(bot, &question).await {
            Ok(synced) => synced,
            Err(CallError::Refused { code, .. }) if since.is_some() => {
                tracing::warn!(
                    code,
                    "the homeserver does not know what the bot's device has heard; it begins anew"
                );
                self.memory.save(vec![Note { key: HEARD.to_owned(), value: None, is_secret: false }]).await?;
                self.look_at_device_again(self.names.bot()).await;
                // Whose devices changed since then nobody will tell.
                self.any_device_may_have_changed().await;
                return Err(Trouble::NotYet("the position of the bot's device is unknown".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        let heard = self.device(self.names.bot()).await?.machine.hear(&synced).await?;
        // Ghosts read nothing, so nobody has to know a new device of theirs.
        let mut changed = users(&synced, "changed");
        changed.retain(|user| self.names.who(user) == Who::Human);
        self.devices_changed(&changed).await;
        self.note_gone(&users(&synced, "left")).await?;
        self.follow_steps(heard.steps).await?;
        if !heard.rooms.is_empty() {
            self.crypto.came.notify_one();
        }
        // Written down first: what the machine wants to ask it goes on wanting, and it must not keep anybody's keys from
        // being heard.
        let next = synced.get("next_batch").and_then(Value::as_str).unwrap_or_default().to_owned();
        if since != Some(next.as_str()) {
            let value = Some(next.clone().into_bytes().into());
            self.memory.save(vec![Note { key: HEARD.to_owned(), value, is_secret: false }]).await?;
        }
        if let Err(error) = self.ask_for_bot().await {
            self.was_not_answered(error).await?;
        }
        Ok(next)
    }

    /// What the bot's device wanted to ask failed: an error again when it is not that alone.
    async fn was_not_answered(&self, error: Trouble) -> Result<(), Trouble> {
        if error.is_of_all() {
            return Err(error);
        }
        let is_old = matches!(&error, Trouble::Call(call) if call.shows_old_keys());
        if is_old && self.begin_epoch().await? {
            tracing::warn!("the homeserver has newer keys of the bot's device: all devices begin anew");
        } else {
            tracing::warn!(%error, "the bot's device cannot ask all that it wants yet");
        }
        Ok(())
    }

    async fn ask_for_bot(&self) -> Result<(), Trouble> {
        let device = self.device(self.names.bot()).await?;
        let _turn = device.turn.lock().await;
        self.carry_all(&device.user_id, &device.machine).await
    }
}

/// People in one of the lists of a sync.
fn users(synced: &Value, list: &str) -> Vec<String> {
    let all = synced.pointer(&format!("/device_lists/{list}")).and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect()
}
