//! Files that people sent: announced with their post, fetched after the commit, piece by piece.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;
use wxgate_contract::{MediaError, MediaId, MediaOwner, PendingMedia, Stop};

use super::queue::{End, Hitch, Queue, Tries, Waiting};
use crate::api::media::parts;
use crate::client::{CallError, transfer_time};
use crate::crypto::FileReader;
use crate::shared::Shared;

/// When nothing rings, what was left waiting is looked for this often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Where a file is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) url: String,
    /// How to read it, when it is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<serde_json::Value>,
    /// Where it was sent to; empty for what was announced before this was noted.
    #[serde(default)]
    pub(crate) room_id: String,
}

/// Fetches what was announced.
pub(crate) struct Fetcher {
    pub(crate) shared: Arc<Shared>,
    /// Rung after a commit that announced something.
    pub(crate) bell: Arc<Notify>,
}

enum Trouble {
    /// Something in between answered, or the connection broke. That the homeserver itself is away is found out by other
    /// calls, and nothing is tried until it is back.
    Cut,
    /// It asks to slow down, for so long: no try is spent.
    Limited(Duration),
    /// A further try may help; a clause for people.
    Again(String),
    /// It will not; a clause for people.
    Never(String),
}

impl Fetcher {
    /// Runs until told to stop. What is under way then is fetched again after the next start.
    pub(crate) async fn run(self, stop: Stop) {
        let first = self.shared.config.timings.first_pause;
        let mut reach = self.shared.client.reach();
        let mut queue = Queue::default();
        let mut running = FuturesUnordered::new();
        loop {
            let is_reached = *reach.borrow_and_update();
            let mut waiting = if is_reached { self.waiting(&mut queue).await } else { Vec::new() };
            while let Some((pending, tries)) = queue.next(&mut waiting) {
                running.push(Box::pin(self.one(pending, tries)));
            }
            let wakes = queue.wakes(Instant::now() + LOOK_AGAIN);
            tokio::select! {
                () = stop.stopping() => return,
                Some((media, end)) = running.next() => queue.ended(media, end, first),
                () = self.bell.notified() => {}
                Ok(()) = reach.changed() => {}
                () = tokio::time::sleep_until(wakes) => {}
            }
        }
    }

    /// What waits, oldest first, when there is room for one.
    async fn waiting(&self, queue: &mut Queue) -> Vec<Waiting> {
        if !queue.has_room() {
            return Vec::new();
        }
        let page = match self.shared.media.pending(&self.shared.network, queue.limit()).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "waiting files could not be listed");
                queue.pause(self.shared.config.timings.longest_pause);
                return Vec::new();
            }
        };
        queue.forget_others(&page);
        let waits = |pending: PendingMedia| {
            let source = serde_json::from_slice::<Source>(&pending.source);
            Waiting { room: source.map(|source| source.room_id).unwrap_or_default(), pending }
        };
        page.into_iter().map(waits).collect()
    }

    /// Tries one.
    async fn one(&self, pending: PendingMedia, tries: Tries) -> (MediaId, End) {
        let media = pending.media;
        let done = match serde_json::from_slice::<Source>(&pending.source) {
            Ok(source) => self.in_time(&pending, &source).await,
            Err(_) => Err(Trouble::Never("the gateway does not know any more where it was".to_owned())),
        };
        let (hitch, why) = match done {
            Ok(()) => return (media, End::Settled),
            Err(Trouble::Limited(after)) => return (media, End::Limited(after)),
            Err(Trouble::Cut) => {
                (Some(Hitch::Cut), "something in front of the homeserver does not let it through".to_owned())
            }
            Err(Trouble::Again(why)) => (Some(Hitch::Refused), why),
            Err(Trouble::Never(why)) => (None, why),
        };
        match hitch {
            Some(hitch) if !tries.are_over(hitch) => return (media, End::PutOff(hitch)),
            _ => {}
        }
        if let Err(error) = self.shared.media.fail(media, &why).await {
            tracing::warn!(%media, %error, "a file could not be given up");
            return (media, End::PutOff(Hitch::Cut));
        }
        (media, End::Settled)
    }

    /// One that comes by drops takes too long.
    async fn in_time(&self, pending: &PendingMedia, source: &Source) -> Result<(), Trouble> {
        let most =
            self.shared.config.timings.call_timeout * 2 + transfer_time(self.shared.config.max_media_bytes);
        let done = tokio::time::timeout(most, self.download(pending, source)).await;
        done.unwrap_or_else(|_| Err(slow()))
    }

    async fn download(&self, pending: &PendingMedia, source: &Source) -> Result<(), Trouble> {
        let shared = &self.shared;
        let Some((server, media)) = parts(&source.url) else {
            return Err(Trouble::Never("its address is none".to_owned()));
        };
        let mut reader = FileReader::new(source.file.as_ref()).map_err(Trouble::Never)?;
        let mut stream = shared.client.download(shared.bot(), server, media).await.map_err(call)?;
        let limit_bytes = shared.config.max_media_bytes;
        if stream.bytes().is_some_and(|bytes| bytes > limit_bytes) {
            return Err(vault(MediaError::TooLarge { limit_bytes }));
        }
        let told = stream.mime().split(';').next().unwrap_or("").trim().to_owned();
        let mime = if pending.mime.is_empty() { &told } else { &pending.mime };
        let opened = shared.media.writer(pending.media, &pending.name, mime, MediaOwner::Posts).await;
        let mut writer = opened.map_err(vault)?;
        let mut total = 0_u64;
        while let Some(piece) = stream.next().await.map_err(call)? {
            total += piece.len() as u64;
            if total > limit_bytes {
                return Err(vault(MediaError::TooLarge { limit_bytes }));
            }
            writer.write(reader.piece(piece)).await.map_err(vault)?;
        }
        // Before it counts as fetched: what was changed on its way is nobody's file.
        reader.finish().map_err(Trouble::Again)?;
        writer.finish().await.map_err(vault)?;
        Ok(())
    }
}

fn slow() -> Trouble {
    Trouble::Again("the homeserver did not give it in time".to_owned())
}

fn call(error: CallError) -> Trouble {
    match error {
        CallError::Network { .. } | CallError::Failed { status: 502..=504, .. } => Trouble::Cut,
        CallError::TimedOut { .. } => slow(),
        CallError::Limited { after, .. } => Trouble::Limited(after),
        CallError::Failed { .. }
        | CallError::NotSealed { .. }
        | CallError::NotToSeal { .. }
        | CallError::Unreadable { .. } => Trouble::Again("the homeserver did not give it".to_owned()),
        CallError::Refused { .. } => Trouble::Again("the homeserver has no such file".to_owned()),
    }
}

fn vault(error: MediaError) -> Trouble {
    match error {
        MediaError::TooLarge { limit_bytes } => {
            Trouble::Never(format!("it is larger than the limit of {} MiB", limit_bytes >> 20))
        }
        MediaError::Unknown(_) | MediaError::Vault(_) => {
            Trouble::Again("the gateway could not store it".to_owned())
        }
    }
}
