//! Files that people sent: announced with their post, fetched after the commit, piece by piece.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use wxgate_contract::{MediaError, MediaId, MediaOwner, PendingMedia, Stop};

use crate::api::media::parts;
use crate::client::CallError;
use crate::crypto::FileReader;
use crate::shared::Shared;

/// Downloads at a time. Chosen: one large video must not hold up the pictures.
const AT_ONCE: usize = 4;
/// Tries of a download that the homeserver refuses: a file of another homeserver may come late. Chosen: a minute, in
/// which that one may have been started again.
const TRIES: u32 = 6;
/// Pause before a further try; doubles.
const PAUSE: Duration = Duration::from_secs(2);
/// How many waiting downloads are looked at together. Chosen.
const PAGE: usize = 32;
/// When nothing rings, what was left waiting is looked for this often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Where a file is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) url: String,
    /// How to read it, when it is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<serde_json::Value>,
}

/// Fetches what was announced.
pub(crate) struct Fetcher {
    pub(crate) shared: Arc<Shared>,
    /// Rung after a commit that announced something.
    pub(crate) bell: Arc<Notify>,
}

/// How looking for files ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    Done,
    /// The homeserver was away for one of them.
    Away,
}

enum Trouble {
    /// The homeserver is away: no try is spent.
    Away,
    /// It asks to slow down, for so long: none either.
    Limited(Duration),
    /// It did not answer in time; if it is there all the same, a try is spent.
    Slow,
    /// A further try may help; a clause for people.
    Again(String),
    /// It will not; a clause for people.
    Never(String),
}

impl Fetcher {
    /// Runs until told to stop. What is under way then is fetched again after the next start.
    pub(crate) async fn run(self, stop: Stop) {
        let timings = self.shared.config.timings;
        let mut pause = timings.first_pause;
        loop {
            let work = async {
                self.is_reached().await;
                if self.fetch_all().await == Round::Away {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(timings.longest_pause);
                } else {
                    pause = timings.first_pause;
                    let _ = tokio::time::timeout(LOOK_AGAIN, self.bell.notified()).await;
                }
            };
            tokio::select! {
                () = stop.stopping() => return,
                () = work => {}
            }
        }
    }

    /// Waits until the homeserver answers.
    async fn is_reached(&self) {
        // An error means that the client is gone, which is the end of the run.
        let _ = self.shared.client.reach().wait_for(|is_there| *is_there).await;
    }

    /// Everything that waits, oldest first.
    async fn fetch_all(&self) -> Round {
        let mut round = Round::Done;
        let mut running = FuturesUnordered::new();
        let mut seen: HashSet<MediaId> = HashSet::new();
        loop {
            if running.len() < AT_ONCE {
                let page = match self.shared.media.pending(&self.shared.network, PAGE).await {
                    Ok(page) => page,
                    Err(error) => {
                        tracing::warn!(%error, "waiting files could not be listed");
                        return round;
                    }
                };
                let next = page.into_iter().filter(|pending| !seen.contains(&pending.media));
                for pending in next.take(AT_ONCE - running.len()).collect::<Vec<_>>() {
                    seen.insert(pending.media);
                    running.push(Box::pin(self.one(pending)));
                }
            }
            let may_begin = (1..AT_ONCE).contains(&running.len());
            tokio::select! {
                done = running.next() => match done {
                    Some(Round::Away) => round = Round::Away,
                    Some(Round::Done) => {}
                    None => return round,
                },
                // What was announced meanwhile waits for none of these.
                () = self.bell.notified(), if may_begin => {}
            }
        }
    }

    async fn one(&self, pending: PendingMedia) -> Round {
        let why = match serde_json::from_slice::<Source>(&pending.source) {
            Ok(source) => match self.try_one(&pending, &source).await {
                Ok(round) => return round,
                Err(why) => why,
            },
            Err(_) => "the gateway does not know any more where it was".to_owned(),
        };
        if let Err(error) = self.shared.media.fail(pending.media, &why).await {
            tracing::warn!(media = %pending.media, %error, "a file could not be given up");
        }
        Round::Done
    }

    /// Why it is given up, as a clause for people.
    async fn try_one(&self, pending: &PendingMedia, source: &Source) -> Result<Round, String> {
        let (mut pause, mut tries) = (PAUSE, 0);
        loop {
            let why = match self.download(pending, source).await {
                Ok(()) => return Ok(Round::Done),
                // It stays announced, and is fetched when the homeserver is back.
                Err(Trouble::Away) => return Ok(Round::Away),
                Err(Trouble::Limited(after)) => {
                    tokio::time::sleep(after.max(self.shared.config.timings.first_pause)).await;
                    continue;
                }
                Err(Trouble::Slow) => {
                    self.is_reached().await;
                    "the homeserver did not give it in time".to_owned()
                }
                Err(Trouble::Never(why)) => return Err(why),
                Err(Trouble::Again(why)) => why,
            };
            tries += 1;
            if tries >= TRIES {
                return Err(why);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
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

fn call(error: CallError) -> Trouble {
    match error {
        CallError::Network { .. } | CallError::Failed { status: 502..=504, .. } => Trouble::Away,
        CallError::TimedOut { .. } => Trouble::Slow,
        CallError::Limited { after, .. } => Trouble::Limited(after),
        CallError::Failed { .. } | CallError::NotSealed { .. } => {
            Trouble::Again("the homeserver did not give it".to_owned())
        }
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
