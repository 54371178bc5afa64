//! Downloads: after the commit, beside everything else, piece by piece into the vault.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{Request, StatusCode};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use wechat_proto::endpoint::{Endpoint, GetMedia, GetMsgImg, GetVideo, GetVoice, ImageSize, media};
use wechat_proto::{Call as Circumstances, MsgId, ProtoError};
use wxgate_contract::{BoxFuture, MediaError, MediaId, MediaOwner, MediaVault, NetworkId, PendingMedia};

use super::media::{Call, Source};
use crate::session::live::Live;
use crate::session::machine::Standing;
use crate::transport::{CallError, Transport};

/// Downloads of one account at a time. Chosen: one large video must not hold up the pictures.
const AT_ONCE: usize = 2;
/// Tries of one download that brings nothing, one after the other. Source: the protocol sheet, section 2.22:
/// an empty answer may be followed by a full one, or the attachment is gone.
const TRIES: u32 = 3;
/// Longest pause before a download that the service could not answer is tried again. Chosen.
const PAUSE_CAP: Duration = Duration::from_secs(900);
/// Such tries before it is given up: with the longest pause, a day. Chosen: the service keeps files for days,
/// and one that it can never answer must not be asked for until then. A restart counts anew.
const LATER_TRIES: u32 = 100;
/// How long the whole of a download may take; one that stalls ends much sooner. Chosen: 100 MB at
/// 200 KB/s, as for uploads.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);
/// A line that is away for no longer costs no download that is under way. Chosen: an interruption ends within seconds,
/// and what is begun anew begins at its first byte.
const INTERRUPTION: Duration = Duration::from_secs(60);
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
    /// The service or our own store is in trouble: the same download may work once that has passed.
    Later(String),
    /// The service gave nothing: the next answer may have it, or it is gone.
    Nothing(String),
    /// It will not; a clause for people.
    Never(String),
}

impl Fetcher {
    /// Runs until dropped. Dropping it leaves announced media announced.
    pub(crate) async fn run(self) {
        let mut standing = self.live.standing();
        let mut kept = Kept::default();
        loop {
            let is_online = standing.wait_for(|standing| *standing == Standing::Online).await.is_ok();
            if !is_online {
                return;
            }
            // Boxed: an idle account must not carry the state of a download.
            let work: BoxFuture<'_, ()> = Box::pin(self.fetch_all(&mut kept));
            tokio::select! {
                () = work => {}
                () = lost(&mut standing) => continue,
            }
            tokio::select! {
                () = self.more(kept.due()) => {}
                _ = standing.wait_for(|standing| *standing != Standing::Online) => {}
            }
        }
    }

    /// Everything that waits and is due, oldest first.
    async fn fetch_all(&self, kept: &mut Kept) {
        let begun = Instant::now();
        let mut running = FuturesUnordered::new();
        let mut seen: HashSet<MediaId> = HashSet::new();
        loop {
            if running.len() < AT_ONCE {
                // What was put off is listed as well, before what is new.
                let limit = PAGE + kept.0.len() + running.len();
                let page = match self.vault.pending(&self.network, limit).await {
                    Ok(page) => page,
                    Err(error) => {
                        tracing::warn!(network = %self.network, %error, "waiting attachments could not be listed");
                        return kept.not_before(begun + self.retry);
                    }
                };
                let is_next =
                    |pending: &PendingMedia| !seen.contains(&pending.media) && kept.is_due(pending.media);
                let room = AT_ONCE - running.len();
                for pending in page.into_iter().filter(is_next).take(room).collect::<Vec<_>>() {
                    seen.insert(pending.media);
                    running.push(Box::pin(self.one(pending)));
                }
            }
            let due = kept.next(&seen);
            let ended = tokio::select! {
                ended = running.next() => ended,
                // There is room: what comes meanwhile does not wait for what is under way.
                () = self.more(due), if !running.is_empty() && running.len() < AT_ONCE => continue,
            };
            match ended {
                None => return kept.forget_due(begun),
                Some((media, None)) => kept.settled(media),
                Some((media, Some(why))) => {
                    if kept.put_off(media, self.retry) {
                        seen.remove(&media);
                        tracing::info!(network = %self.network, %media, why, "an attachment is tried again later");
                    } else {
                        kept.settled(media);
                        self.give_up(media, &why).await;
                    }
                }
            }
        }
    }

    /// Returns when something was announced, or when what was put off is due.
    async fn more(&self, due: Option<Instant>) {
        tokio::select! {
            () = self.bell.notified() => {}
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }

    /// Fetches one; gives why it must be tried later.
    async fn one(&self, pending: PendingMedia) -> (MediaId, Option<String>) {
        let done = match serde_json::from_slice::<Source>(&pending.source) {
            Ok(source) => self.tries(&pending, &source).await,
            Err(_) => Err(Trouble::Never("the gateway does not know any more where it was".to_owned())),
        };
        match done {
            Ok(()) => (pending.media, None),
            Err(Trouble::Later(why)) => (pending.media, Some(why)),
            Err(Trouble::Never(why) | Trouble::Nothing(why)) => {
                self.give_up(pending.media, &why).await;
                (pending.media, None)
            }
        }
    }

    async fn give_up(&self, media: MediaId, why: &str) {
        if let Err(error) = self.vault.fail(media, why).await {
            tracing::warn!(network = %self.network, %media, %error, "an attachment could not be given up");
        }
    }

    async fn tries(&self, pending: &PendingMedia, source: &Source) -> Result<(), Trouble> {
        let mut attempt = 1;
        loop {
            match tokio::time::timeout(DOWNLOAD_LIMIT, self.download(pending, source)).await {
                Ok(Err(Trouble::Nothing(_))) if attempt < TRIES => {
                    tokio::time::sleep(self.retry * attempt).await;
                    attempt += 1;
                }
                Ok(done) => return done,
                Err(_) => return Err(Trouble::Later("the download took too long".to_owned())),
            }
        }
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
        way.bring(request, pending.media, (&pending.name, &pending.mime), MediaOwner::Posts).await
    }
}

/// Returns when the session is over, or has been away for longer than an interruption.
async fn lost(standing: &mut watch::Receiver<Standing>) {
    let is_away = |standing: &Standing| matches!(standing, Standing::Away { .. });
    loop {
        match standing.wait_for(|standing| *standing != Standing::Online).await.map(|now| is_away(&now)) {
            Ok(true) => {}
            Ok(false) | Err(_) => return,
        }
        let back = standing.wait_for(|standing| !is_away(standing));
        match tokio::time::timeout(INTERRUPTION, back)
            .await
            .map(|back| back.map(|now| *now == Standing::Online))
        {
            Ok(Ok(true)) => {}
            _ => return,
        }
    }
}

/// What was put off: how often, and when it is due. As long as what waits in the vault.
#[derive(Default)]
struct Kept(HashMap<MediaId, (u32, Instant)>);

impl Kept {
    /// Puts it off once more, for twice as long as the last time; false when that was often enough.
    fn put_off(&mut self, media: MediaId, retry: Duration) -> bool {
        let (count, due) = self.0.entry(media).or_insert_with(|| (0, Instant::now()));
        *count += 1;
        *due = Instant::now() + retry.saturating_mul(1 << (*count).min(16)).min(PAUSE_CAP);
        *count < LATER_TRIES
    }

    fn settled(&mut self, media: MediaId) {
        self.0.remove(&media);
    }

    fn is_due(&self, media: MediaId) -> bool {
        self.0.get(&media).is_none_or(|(_, due)| *due <= Instant::now())
    }

    /// What was due when a round began and was not put off in it waits no more: it is gone from the vault.
    fn forget_due(&mut self, begun: Instant) {
        self.0.retain(|_, (_, due)| *due > begun);
    }

    /// Nothing could be asked for now.
    fn not_before(&mut self, at: Instant) {
        self.0.values_mut().for_each(|(_, due)| *due = at.max(*due));
    }

    /// When the next one is due that is not under way. What is due and was not listed waits no more.
    fn next(&self, under_way: &HashSet<MediaId>) -> Option<Instant> {
        let now = Instant::now();
        let waits = self.0.iter().filter(|(media, (_, due))| *due > now && !under_way.contains(media));
        waits.map(|(_, (_, due))| *due).min()
    }

    /// When the first of them is due.
    fn due(&self) -> Option<Instant> {
        self.0.values().map(|(_, due)| *due).min()
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
        owner: MediaOwner,
    ) -> Result<(), Trouble> {
        let nothing = || Trouble::Nothing("WeChat gave nothing".to_owned());
        let failed = |error: CallError| match error {
            CallError::Proto(_) => nothing(),
            _ => Trouble::Later("WeChat could not be reached".to_owned()),
        };
        let mut stream = self.transport.open(self.live, "media", request).await.map_err(failed)?;
        let status = stream.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Trouble::Later(format!("WeChat answered with status {}", status.as_u16())));
        }
        media::check_head("media", status, stream.headers()).map_err(|_| nothing())?;
        let Some(first) = stream.next().await.map_err(failed)? else { return Err(nothing()) };
        let opened = self.vault.writer(media, name, mime, owner).await;
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const RETRY: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_the_longest_and_end() {
        let (mut kept, media) = (Kept::default(), MediaId([1; 16]));
        let mut pauses = Vec::new();
        while kept.put_off(media, RETRY) {
            assert!(!kept.is_due(media));
            let pause = kept.due().unwrap() - Instant::now();
            pauses.push(pause.as_secs());
            tokio::time::advance(pause).await;
            assert!(kept.is_due(media));
        }
        assert_eq!(pauses[..9], [4, 8, 16, 32, 64, 128, 256, 512, 900]);
        assert_eq!(pauses.len(), LATER_TRIES as usize - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interruption_ends_no_download_and_a_long_absence_or_a_sign_out_does() {
        let away = || Standing::Away { why: "away".to_owned() };
        let (standing, mut seen) = watch::channel(Standing::Online);
        let mut after = seen.clone();
        let mut ends = std::pin::pin!(lost(&mut seen));
        for _ in 0..20 {
            standing.send_replace(away());
            assert!((&mut ends).now_or_never().is_none());
            tokio::time::advance(INTERRUPTION / 2).await;
            assert!((&mut ends).now_or_never().is_none());
            standing.send_replace(Standing::Online);
            assert!((&mut ends).now_or_never().is_none());
        }
        standing.send_replace(away());
        let began = Instant::now();
        ends.await;
        assert_eq!(began.elapsed(), INTERRUPTION);
        standing.send_replace(Standing::Out { why: "out".to_owned() });
        assert!(lost(&mut after).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_or_cannot_be_listed_keeps_nobody_awake() {
        let (mut kept, gone, waits) = (Kept::default(), MediaId([1; 16]), MediaId([2; 16]));
        kept.put_off(gone, RETRY);
        tokio::time::advance(Duration::from_secs(10)).await;
        let begun = Instant::now();
        kept.put_off(waits, RETRY);
        kept.not_before(begun + RETRY);
        assert!(kept.due() > Some(begun), "the store was away");
        tokio::time::advance(Duration::from_secs(3)).await;
        kept.forget_due(Instant::now());
        assert!(kept.0.contains_key(&waits) && !kept.0.contains_key(&gone));
    }
}
