//! Downloads: after the commit, beside everything else, piece by piece into the vault.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Request;
use tokio::sync::Notify;
use wechat_proto::endpoint::{Endpoint, GetMedia, GetMsgImg, GetVideo, GetVoice, ImageSize, media};
use wechat_proto::{Call as Circumstances, MsgId, ProtoError};
use wxgate_contract::{BoxFuture, MediaError, MediaId, MediaVault, NetworkId, PendingMedia};

use super::media::{Call, Source};
use crate::session::live::Live;
use crate::session::machine::Standing;
use crate::transport::{CallError, Transport};

/// Downloads of one account at a time. Chosen: one large video must not hold up the pictures.
const AT_ONCE: usize = 2;
/// Tries of one download. Source: the protocol sheet, section 2.22.
const TRIES: u32 = 3;
/// How long the whole of a download may take; one that stalls ends much sooner. Chosen: 100 MB at
/// 200 KB/s, as for uploads.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);
/// How many waiting downloads are looked at together. Chosen.
const PAGE: usize = 16;

/// Fetches what was announced.
pub(crate) struct Fetcher {
    pub(crate) transport: Arc<Transport>,
    pub(crate) live: Arc<Live>,
    pub(crate) vault: Arc<dyn MediaVault>,
    pub(crate) network: NetworkId,
    /// Rung after a commit that announced something.
    pub(crate) bell: Arc<Notify>,
    pub(crate) retry: Duration,
    pub(crate) max_bytes: u64,
}

/// Why there are no bytes.
pub(crate) enum Trouble {
    /// The same download may work later.
    Later(String),
    /// It will not; a clause for people.
    Never(String),
}

impl Fetcher {
    /// Runs until dropped. Dropping it leaves announced media announced.
    pub(crate) async fn run(self) {
        let mut standing = self.live.standing();
        loop {
            let is_online = standing.wait_for(|standing| *standing == Standing::Online).await.is_ok();
            if !is_online {
                return;
            }
            // Boxed: an idle account must not carry the state of a download.
            let work: BoxFuture<'_, ()> = Box::pin(self.fetch_all());
            tokio::select! {
                () = work => {}
                _ = standing.wait_for(|standing| *standing != Standing::Online) => continue,
            }
            tokio::select! {
                () = self.bell.notified() => {}
                _ = standing.wait_for(|standing| *standing != Standing::Online) => {}
            }
        }
    }

    /// Everything that waits, oldest first.
    async fn fetch_all(&self) {
        let mut running = FuturesUnordered::new();
        let mut seen: HashSet<MediaId> = HashSet::new();
        loop {
            if running.len() < AT_ONCE {
                let page = match self.vault.pending(&self.network, PAGE).await {
                    Ok(page) => page,
                    Err(error) => {
                        tracing::warn!(network = %self.network, %error, "waiting attachments could not be listed");
                        return;
                    }
                };
                let next = page.into_iter().filter(|pending| !seen.contains(&pending.media));
                for pending in next.take(AT_ONCE - running.len()).collect::<Vec<_>>() {
                    seen.insert(pending.media);
                    running.push(Box::pin(self.one(pending)));
                }
            }
            if running.next().await.is_none() {
                return;
            }
        }
    }

    async fn one(&self, pending: PendingMedia) {
        let why = match serde_json::from_slice::<Source>(&pending.source) {
            Ok(source) => match self.tries(&pending, &source).await {
                Ok(()) => return,
                Err(why) => why,
            },
            Err(_) => "the gateway does not know any more where it was".to_owned(),
        };
        if let Err(error) = self.vault.fail(pending.media, &why).await {
            tracing::warn!(network = %self.network, media = %pending.media, %error, "an attachment could not be given up");
        }
    }

    async fn tries(&self, pending: &PendingMedia, source: &Source) -> Result<(), String> {
        let mut last = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(self.retry * attempt).await;
            }
            match tokio::time::timeout(DOWNLOAD_LIMIT, self.download(pending, source)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Trouble::Never(why))) => return Err(why),
                Ok(Err(Trouble::Later(why))) => last = why,
                Err(_) => last = "the download took too long".to_owned(),
            }
        }
        Err(last)
    }

    async fn download(&self, pending: &PendingMedia, source: &Source) -> Result<(), Trouble> {
        let ticket = self.live.cookie("webwx_data_ticket").unwrap_or_default();
        let request = self.live.with_call(|call| request(source, &ticket, &call));
        let request =
            request.map_err(|_| Trouble::Never("this session cannot fetch it any more".to_owned()))?;
        let way = Way {
            transport: &self.transport,
            live: &self.live,
            vault: &*self.vault,
            max_bytes: self.max_bytes,
        };
        way.bring(request, pending.media, (&pending.name, &pending.mime)).await
    }
}

/// From the service into the vault, piece by piece.
pub(crate) struct Way<'a> {
    pub(crate) transport: &'a Transport,
    pub(crate) live: &'a Live,
    pub(crate) vault: &'a dyn MediaVault,
    pub(crate) max_bytes: u64,
}

impl Way<'_> {
    /// Carries the bytes of an answer into the vault.
    pub(crate) async fn bring(
        &self,
        request: Request<Bytes>,
        media: MediaId,
        (name, mime): (&str, &str),
    ) -> Result<(), Trouble> {
        let failed = |error: CallError| {
            Trouble::Later(match error {
                CallError::Proto(_) => "WeChat gave nothing".to_owned(),
                _ => "WeChat could not be reached".to_owned(),
            })
        };
        let mut stream = self.transport.open(self.live, "media", request).await.map_err(failed)?;
        media::check_head("media", stream.status(), stream.headers())
            .map_err(|error| failed(error.into()))?;
        let Some(first) = stream.next().await.map_err(failed)? else {
            return Err(Trouble::Later("WeChat gave nothing".to_owned()));
        };
        let opened = self.vault.writer(media, name, mime).await;
        let mut writer = opened.map_err(vault)?;
        let mut total = 0_u64;
        let mut piece = Some(first);
        while let Some(bytes) = piece {
            total += bytes.len() as u64;
            if total > self.max_bytes {
                return Err(vault(MediaError::TooLarge { limit_bytes: self.max_bytes }));
            }
            writer.write(bytes).await.map_err(vault)?;
            piece = stream.next().await.map_err(failed)?;
        }
        writer.finish().await.map_err(vault)?;
        Ok(())
    }
}

fn vault(error: MediaError) -> Trouble {
    match error {
        MediaError::TooLarge { limit_bytes } => {
            Trouble::Never(format!("it is larger than the limit of {} MiB", limit_bytes >> 20))
        }
        MediaError::Unknown(_) | MediaError::Vault(_) => {
            Trouble::Later("the gateway could not store it".to_owned())
        }
    }
}

fn request(
    source: &Source,
    ticket: &wechat_proto::Secret,
    call: &Circumstances<'_>,
) -> Result<Request<Bytes>, ProtoError> {
    let msg_id = &MsgId::new(&source.msg_id);
    match source.call {
        Call::Picture => GetMsgImg { msg_id, size: ImageSize::Original }.request(call),
        Call::Cover => GetMsgImg { msg_id, size: ImageSize::Thumbnail }.request(call),
        Call::Sticker => GetMsgImg { msg_id, size: ImageSize::Big }.request(call),
        Call::Voice => GetVoice { msg_id }.request(call),
        Call::Video => GetVideo { msg_id }.request(call),
        Call::File => GetMedia {
            sender: &source.sender,
            media_id: &source.media_id,
            encry_file_name: &source.encry_file_name,
            data_ticket: ticket,
        }
        .request(call),
    }
}
