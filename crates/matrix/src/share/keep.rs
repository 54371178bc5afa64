//! What was typed in shared rooms, and forgetting what nobody asks for any more.

use bytes::Bytes;
use wxgate_contract::{Body, ChatRef, Fate, NetworkId, Note, Report, Timestamp};

use super::{Sharing, Told, Typed, Voice};
use crate::chores::Chore;
use crate::memory::Memory;
use crate::names::hex;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// What the keys of notes about what is being typed begin with.
const TYPED: &str = "typed";
/// How long it is remembered what a shared room has shown. Chosen: an account that was away hears what was
/// said meanwhile within days.
const KEPT_MS: i64 = 30 * 86_400_000;
/// Notes read at once.
const PAGE: usize = 200;

impl Told {
    fn is_old(&self, now: Timestamp) -> bool {
        now.ms().saturating_sub(self.at) > KEPT_MS
    }
}

impl Typed {
    fn is_old(&self, now: Timestamp) -> bool {
        now.ms().saturating_sub(self.at) > KEPT_MS
    }
}

/// What is the same in the words of somebody here and there.
pub(super) fn words(body: &Body) -> String {
    let words = match body {
        Body::Text { text } | Body::Action { text } => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Body::Attachment(file) => format!("{:?}", file.kind),
        Body::Card(card) => format!("{:?}", card.kind),
        _ => String::new(),
    };
    hex(words.as_bytes())
}

fn typed_key(sharing: &Sharing, event_id: &str) -> String {
    format!("{TYPED}/{}/{event_id}", sharing.key)
}

fn gone(key: String) -> Note {
    Note { key, value: None, is_secret: false }
}

impl Shared {
    /// The note that something was typed in a shared room, for the commit that takes it.
    pub(crate) fn typed_note(&self, sharing: &Sharing, chat: &ChatRef, event_id: &str, body: &Body) -> Note {
        let typed = Typed { by: chat.network.clone(), words: words(body), at: self.clock.now().ms() };
        // Our own types always have a JSON form.
        let value = Some(Bytes::from(serde_json::to_vec(&typed).unwrap_or_default()));
        Note { key: typed_key(sharing, event_id), value, is_secret: false }
    }

    /// What the owner of an account typed in these words and of which nobody knows what became: the oldest.
    pub(super) async fn typed_by(
        &self,
        sharing: &Sharing,
        account: &NetworkId,
        body: &Body,
    ) -> Result<Option<String>, Trouble> {
        let (prefix, words) = (format!("{TYPED}/{}/", sharing.key), words(body));
        let mut oldest: Option<(i64, String)> = None;
        let mut after: Option<String> = None;
        loop {
            let page = self.memory.page(&prefix, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(oldest.map(|(_, event_id)| event_id)) };
            after = Some(last.clone());
            for (key, bytes) in &page {
                let Ok(typed) = serde_json::from_slice::<Typed>(bytes) else { continue };
                if typed.by == *account
                    && typed.words == words
                    && oldest.as_ref().is_none_or(|(at, _)| typed.at < *at)
                {
                    oldest = key.strip_prefix(&prefix).map(|event_id| (typed.at, event_id.to_owned()));
                }
            }
        }
    }

    /// It is known what became of something that was typed in a shared room.
    pub(crate) async fn typed_arrived(
        &self,
        sharing: &Sharing,
        chat: &ChatRef,
        report: &Report,
    ) -> Result<(), Trouble> {
        let event_id = report.remote_id.as_str();
        let key = typed_key(sharing, event_id);
        if self.memory.read(&key).await?.is_none() {
            return Ok(());
        }
        match &report.fate {
            Fate::MaybeDelivered { .. } => return Ok(()),
            Fate::NotDelivered { .. } => {}
            Fate::Said => {
                let owner = Voice::Owner(chat.network.clone());
                let told = Told {
                    lane: chat.clone(),
                    voice: owner.clone(),
                    author: owner,
                    events: vec![event_id.to_owned()],
                    holder: Some(chat.clone()),
                    at: self.clock.now().ms(),
                };
                self.end_telling(sharing, &report.native_ids, told).await?;
            }
        }
        Ok(self.memory.save(vec![gone(key)]).await?)
    }

    /// Counts what is remembered; now and then what is old is forgotten.
    pub(super) fn count_told(&self, more: usize) {
        /// Chosen: a look through everything that is remembered costs a second at most.
        const BETWEEN: usize = 5_000;
        let before = self.turns.told.fetch_add(more, std::sync::atomic::Ordering::Relaxed);
        if before / BETWEEN != (before + more) / BETWEEN {
            self.chores.add(Chore::ForgetTold);
        }
    }
}

impl Memory {
    /// Forgets what shared rooms have shown long ago.
    pub(crate) async fn forget_old_told(&self, now: Timestamp) -> Result<(), Trouble> {
        self.forget_where("shown/", |_, bytes| {
            serde_json::from_slice::<Told>(bytes).map_or(true, |told| told.is_old(now))
        })
        .await?;
        let prefix = format!("{TYPED}/");
        self.forget_where(&prefix, |_, bytes| {
            serde_json::from_slice::<Typed>(bytes).map_or(true, |typed| typed.is_old(now))
        })
        .await?;
        Ok(())
    }
}
