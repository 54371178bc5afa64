//! Whether what we remember of our devices is the newest there is.
//!
//! A database that was put back as it once was (a backup, a snapshot of a machine) holds ratchets as they once
//! were. Going on with them would encrypt two messages with one key and would send devices keys that they cannot
//! read. So devices belong to an epoch; in another one they begin anew. The epoch ends with `wxgate restore`,
//! which says so, and when the bot's account data on the homeserver, which no backup of ours brings back, names a
//! mark that is not the one we wrote last.

use std::time::Duration;

use futures_util::StreamExt;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;
use wxgate_contract::Note;

use crate::api::account::{GetAccountData, SetAccountData};
use crate::client::Actor;
use crate::names::hex;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// The note, and the type of the account data.
const NOTE: &str = "epoch";
const KIND: &str = "wxgate.mark";
/// Random bytes of a mark.
const MARK_BYTES: usize = 16;
/// How old a mark may become while things are said: a copy that is younger and is put back goes unnoticed until
/// the bot's device offers keys, unless the gateway was started since. Chosen: one small request in ten minutes of talk.
const FRESH: Duration = Duration::from_secs(600);
/// Devices that are closed at once. Chosen: each may wait for a call.
const CLOSED_AT_ONCE: usize = 64;
/// For how long a homeserver that has once shown the state to be old is not believed again: new devices have nothing
/// there that could be in their way. Chosen.
const BELIEVED_AGAIN: Duration = Duration::from_secs(86_400);

/// What is written down.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Counts nothing: another word is another epoch.
    #[serde(default)]
    epoch: String,
    /// The mark on the homeserver, and the one that is about to be there.
    #[serde(default)]
    mark: String,
    #[serde(default)]
    next: String,
}

/// The epoch of this run, once it is known.
#[derive(Default)]
pub(super) struct Epoch(Option<Known>);

struct Known {
    kept: Kept,
    /// When the mark was renewed, and how much had been encrypted then.
    renewed: Instant,
    count: u64,
    /// When all devices last began anew in the middle of a run.
    begun: Option<Instant>,
}

impl Shared {
    /// The word that a device has to be made ready under. Asked of the homeserver once in a run.
    pub(super) async fn epoch(&self) -> Result<String, Trouble> {
        let mut known = self.crypto.epoch.lock().await;
        if known.0.is_none() {
            let mut kept = self.judge_epoch().await?;
            self.renew_mark(&mut kept).await?;
            known.0 = Some(Known { kept, renewed: Instant::now(), count: self.crypto.sealed(), begun: None });
        }
        let epoch = known.0.as_ref().map(|known| known.kept.epoch.as_str()).unwrap_or_default();
        Ok(format!("{}{epoch}", self.config.restored))
    }

    /// Gives the homeserver another mark when much was said under the last one.
    pub(super) async fn see_to_mark(&self) -> Result<(), Trouble> {
        let mut known = self.crypto.epoch.lock().await;
        let Some(now) = &mut known.0 else { return Ok(()) };
        let count = self.crypto.sealed();
        if now.count == count || now.renewed.elapsed() < FRESH {
            return Ok(());
        }
        self.renew_mark(&mut now.kept).await?;
        (now.renewed, now.count) = (Instant::now(), count);
        Ok(())
    }

    /// The homeserver has seen what is not remembered here: a copy that is younger than the mark was put back. All
    /// devices begin anew; gives false where they did so a short while ago.
    pub(super) async fn begin_epoch(&self) -> Result<bool, Trouble> {
        {
            let mut known = self.crypto.epoch.lock().await;
            // It is known before there is a device.
            let Some(now) = &mut known.0 else { return Ok(false) };
            if now.begun.is_some_and(|at| at.elapsed() < BELIEVED_AGAIN) {
                return Ok(false);
            }
            let kept = Kept { epoch: mark()?, ..now.kept.clone() };
            self.save_epoch(&kept).await?;
            (now.kept, now.begun) = (kept, Some(Instant::now()));
        }
        let closing = futures_util::stream::iter(self.crypto.devices.users());
        let closing = closing.for_each_concurrent(CLOSED_AT_ONCE, |user_id| async move {
            self.look_at_device_again(&user_id).await;
        });
        closing.await;
        Ok(true)
    }

    async fn judge_epoch(&self) -> Result<Kept, Trouble> {
        let note = self.memory.read(NOTE).await?;
        let kept: Option<Kept> = note.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let question = GetAccountData { user_id: self.names.bot(), kind: KIND };
        let told = match self.client.call(self.plain_bot(), &question).await {
            Ok(told) => told.get("mark").and_then(Value::as_str).map(str::to_owned),
            Err(error) if error.code() == "M_NOT_FOUND" => None,
            Err(error) => return Err(error.into()),
        };
        let mut kept = kept.unwrap_or_default();
        // A homeserver that knows no mark: it never did, or it lost our devices as well, which is seen by them.
        let Some(told) = told else { return Ok(kept) };
        if told != kept.mark && told != kept.next {
            tracing::warn!(
                "what is remembered is older than what the homeserver saw of it: all devices begin anew"
            );
            kept.epoch = mark()?;
            // The copy's next mark may have been told once, and would be again: put back twice, it would be known.
            kept.next.clear();
        }
        kept.mark = told;
        Ok(kept)
    }

    /// Written down before it is told, so that a mark of ours is known as ours wherever we die. One that may have
    /// been told is told again.
    async fn renew_mark(&self, kept: &mut Kept) -> Result<(), Trouble> {
        if kept.next.is_empty() || kept.next == kept.mark {
            kept.next = mark()?;
        }
        self.save_epoch(kept).await?;
        let content = json!({ "mark": kept.next });
        let set = SetAccountData { user_id: self.names.bot(), kind: KIND, content: &content };
        self.client.call(self.plain_bot(), &set).await?;
        kept.mark.clone_from(&kept.next);
        Ok(())
    }

    async fn save_epoch(&self, kept: &Kept) -> Result<(), Trouble> {
        // Our own type always has a JSON form.
        let value = Some(serde_json::to_vec(kept).unwrap_or_default().into());
        Ok(self.memory.save(vec![Note { key: NOTE.to_owned(), value, is_secret: false }]).await?)
    }

    fn plain_bot(&self) -> Actor<'_> {
        Actor::As { user_id: self.names.bot(), device_id: None }
    }
}

fn mark() -> Result<String, Trouble> {
    let mut bytes = [0; MARK_BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Trouble::NotYet("the system gives no random numbers".to_owned()))?;
    Ok(hex(&bytes))
}
