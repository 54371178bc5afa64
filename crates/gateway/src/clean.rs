//! Removes what is too old or too much, now and then; and nothing for its age while it is in doubt how old things are.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::{BoxFuture, Stop, Timestamp};
use wxgate_store::{ClockSeen, Keep, Pruned, Store, StoreError};

use crate::clock;
use crate::config::MediaSection;
use crate::wiring::Parts;

/// Until the first clean-up. Chosen: accounts come back first.
const CLEAN_FIRST: Duration = Duration::from_secs(20);
/// Pause between two clean-ups.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);
/// Between two clean-ups at least, when files fill the store.
const CLEAN_SOONEST: Duration = Duration::from_secs(60);
/// One so many-th more than may be stored wakes the clean-up, and then as much again. Chosen: files that pass by leave
/// it asleep.
const MARGIN: u64 = 16;
/// A clock that gains more than this on the timer was set. Chosen: beyond every daylight saving and drift; what keeps
/// things for a month loses none by it.
const JUMP: Duration = Duration::from_secs(86_400);
/// How long a clock that was set has to stand before it is believed. Chosen: somebody has looked at it by then.
const STANDS: Duration = Duration::from_secs(86_400);

/// Whether ages can be believed. A clock that is set to next year by mistake would make everything old at once, and
/// what is removed does not come back when the clock does. What was believed is known after a start too: the clock may
/// have been wrong before it.
struct Ages {
    seen: ClockSeen,
    wall: Timestamp,
    at: Instant,
}

impl Ages {
    fn new(seen: ClockSeen, wall: Timestamp) -> Self {
        Self { seen, wall, at: Instant::now() }
    }

    fn are_believed(&mut self, wall: Timestamp) -> bool {
        let (now, by_clock) = (Instant::now(), wall.since(self.wall));
        let was_set = by_clock > now.duration_since(self.at).saturating_add(JUMP);
        (self.wall, self.at) = (wall, now);
        let believed = self.seen.believed.unwrap_or(wall);
        let since = match self.seen.doubted {
            _ if wall.since(believed) <= JUMP => None,
            // Set once more, or set back: it has to stand from now on.
            Some(since) if !was_set && since <= wall => Some(since),
            _ => Some(wall),
        };
        let is_believed = since.is_none_or(|since| wall.since(since) >= STANDS);
        self.seen = match is_believed {
            // Set back, things are younger than they are.
            true => ClockSeen { believed: Some(believed.max(wall)), doubted: None },
            false => ClockSeen { believed: Some(believed), doubted: since },
        };
        is_believed
    }
}

/// Removes what is too old or too much, soon after the start, now and then, and when files fill the store: whoever
/// restarts because the disk is full waits for it.
pub(crate) async fn run(parts: Arc<Parts>, media: MediaSection, keep: Keep) {
    let (mut ages, mut pause) = (None, CLEAN_FIRST);
    let (store, stop) = (parts.bridge.store(), &parts.stop);
    loop {
        let due = async {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = is_full(store, media.max_store_bytes) => {}
            }
        };
        if unless_stopped(stop, due).await.is_none() {
            return;
        }
        pause = CLEAN_EVERY;
        if unless_stopped(stop, look_and_clean(store, &mut ages, clock::now(), &media, keep)).await.is_none()
        {
            return;
        }
    }
}

/// Cleans up as far as ages can be believed, and keeps for the next start what was found of them: behind the clean-up,
/// which makes the room for it on a full disk.
async fn look_and_clean(
    store: &Store,
    ages: &mut Option<Ages>,
    wall: Timestamp,
    media: &MediaSection,
    keep: Keep,
) {
    let are_believed = are_believed(store, ages, wall).await;
    clean_up(store, media, keep, are_believed).await;
    let Some(ages) = ages else { return };
    if let Err(error) = store.keep_clock_seen(ages.seen).await {
        tracing::warn!(%error, "what the clock says could not be kept for the next start");
    }
}

/// Whether ages can be believed now.
async fn are_believed(store: &Store, ages: &mut Option<Ages>, wall: Timestamp) -> bool {
    let ages = match ages {
        Some(ages) => ages,
        None => match store.clock_seen().await {
            Ok(seen) => ages.insert(Ages::new(seen, wall)),
            Err(error) => {
                tracing::warn!(%error, "nothing is removed for its age: it is not known what the clock said before");
                return false;
            }
        },
    };
    let are_believed = ages.are_believed(wall);
    if !are_believed {
        tracing::warn!(
            "the clock is more than a day ahead of when it was looked at last: it was set, or nothing ran for long; \
             nothing is removed for its age until it has stood for a day"
        );
    }
    are_believed
}

/// The work, unless the end of the program comes first: what was begun is dropped then, which loses nothing. A clean-up
/// of a full disk takes minutes, and nobody is served while the end waits.
async fn unless_stopped<T>(stop: &Stop, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.stopping() => None,
        done = work => Some(done),
    }
}

/// Removes what is too much, and what is too old when ages can be believed.
async fn clean_up(store: &Store, media: &MediaSection, keep: Keep, are_believed: bool) {
    let works: Vec<(&str, BoxFuture<'_, Result<Pruned, StoreError>>)> = match are_believed {
        true => vec![
            ("media", Box::pin(store.prune_media(media.keep_days, media.max_store_bytes))),
            ("deliveries", Box::pin(store.prune())),
            ("history", Box::pin(clean_history(store, keep))),
        ],
        false => vec![("media", Box::pin(store.fit_media(media.max_store_bytes)))],
    };
    for (what, work) in works {
        match work.await {
            Ok(gone) => tracing::info!(
                what,
                deliveries = gone.deliveries,
                messages = gone.messages,
                media = gone.media,
                freed_bytes = gone.freed_bytes,
                "cleaned up"
            ),
            Err(error) => tracing::warn!(what, %error, "could not clean up"),
        }
    }
}

/// Waits until there is more than may be stored, or than what the last clean-up had to leave.
async fn is_full(store: &Store, most_bytes: u64) {
    let beyond = store.media_used().max(most_bytes).saturating_add(most_bytes / MARGIN);
    tokio::time::sleep(CLEAN_SOONEST).await;
    store.media_beyond(beyond).await;
}

async fn clean_history(store: &Store, keep: Keep) -> Result<Pruned, StoreError> {
    let mut all = Pruned::default();
    if keep == Keep::default() {
        return Ok(all);
    }
    for network in store.networks_with_history().await? {
        all.messages += store.prune_history(&network, keep).await?.messages;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use wxgate_contract::{Author, Batch, Body, ChatRef, Job, MediaId, MediaOwner, Post, StopHandle};
    use wxgate_store::{Route, RouteInput, SealKey, StoreConfig};

    use super::*;
    use crate::config;

    const HOUR: Duration = Duration::from_secs(3600);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_forward_makes_nothing_old_before_it_has_stood_for_a_day() {
        let mut wall = BEGIN;
        let mut ages = Ages::new(ClockSeen::default(), wall);
        let mut after = async |by: Duration| {
            tokio::time::advance(HOUR).await;
            wall = wall.after(HOUR + by);
            ages.are_believed(wall)
        };
        assert!(after(Duration::ZERO).await);
        assert!(after(HOUR * 2).await, "a summer time that was forgotten");
        assert!(!after(YEAR).await);
        for _ in 1..24 {
            assert!(!after(Duration::ZERO).await);
        }
        assert!(after(Duration::ZERO).await, "it was meant");
        // Set back, things are younger than they are.
        wall = Timestamp(wall.0 - 86_400_000 * 365);
        tokio::time::advance(HOUR).await;
        assert!(ages.are_believed(wall));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_wrong_at_a_start_is_not_believed_by_starting_again() {
        let begin = |seen, wall: Timestamp| {
            let mut ages = Ages::new(seen, wall);
            (ages.are_believed(wall), ages.seen)
        };
        let (is_believed, seen) = begin(ClockSeen::default(), BEGIN);
        assert!(is_believed, "there is nothing to compare it with");
        let (is_believed, seen) = begin(seen, BEGIN.after(HOUR * 20));
        assert!(is_believed, "it was off for a night");
        let wrong = BEGIN.after(YEAR);
        let (is_believed, doubted) = begin(seen, wrong);
        assert!(!is_believed);
        let (is_believed, doubted) = begin(doubted, wrong.after(HOUR));
        assert!(!is_believed, "somebody started it again");
        assert!(begin(doubted, BEGIN.after(HOUR * 22)).0, "it was set right");
        assert!(!begin(doubted, wrong.after(HOUR * 23)).0);
        let (is_believed, seen) = begin(doubted, wrong.after(HOUR * 24));
        assert!(is_believed, "it was off for a year");
        assert_eq!(seen, ClockSeen { believed: Some(wrong.after(HOUR * 24)), doubted: None });
    }

    #[tokio::test]
    async fn what_is_too_much_goes_while_ages_are_in_doubt() {
        let dir = tempfile::tempdir().unwrap();
        let wall = BEGIN.after(YEAR);
        let store = Store::open(config_in(dir.path()), Arc::new(move || wall)).await.unwrap();
        let old = Batch { posts: vec![post(1)], ..Batch::default() };
        store.commit_batch(&"wechat:a".into(), old, Arc::new(Nowhere)).await.unwrap();
        let vault = store.vault(Arc::new(|_, _| None));
        for n in [1, 2] {
            let owner = MediaOwner::Posts;
            let mut writer = vault.writer(MediaId([n; 16]), "a", "text/plain", owner).await.unwrap();
            writer.write(vec![n].into()).await.unwrap();
            writer.finish().await.unwrap();
        }
        store.keep_clock_seen(ClockSeen { believed: Some(BEGIN), doubted: None }).await.unwrap();
        let settings = config::built_in("", "").unwrap().settings;
        let media = MediaSection { keep_days: 0, max_store_bytes: 1, ..settings.media };
        let keep = Keep { age: Some(HOUR), messages: None };
        let mut ages = None;
        look_and_clean(&store, &mut ages, wall, &media, keep).await;
        assert_eq!(store.media_used(), 1);
        let doubted = ClockSeen { believed: Some(BEGIN), doubted: Some(wall) };
        assert_eq!(store.clock_seen().await.unwrap(), doubted);
        assert_eq!(store.prune_history(&"wechat:a".into(), keep).await.unwrap().messages, 1, "it was kept");
        store.close().await;
    }

    struct Nowhere;

    impl Route for Nowhere {
        fn route(&self, _: &RouteInput<'_>) -> Vec<(ChatRef, Job)> {
            Vec::new()
        }
    }

    fn config_in(dir: &Path) -> StoreConfig {
        StoreConfig {
            url: "sqlite".parse().unwrap(),
            data_dir: dir.to_owned(),
            seal_key: SealKey::from_bytes(&[7; 32]).unwrap(),
            max_media_bytes: 1,
            restored: String::new(),
            instance: wxgate_store::Instance::default(),
        }
    }

    fn post(n: usize) -> Post {
        Post {
            remote_id: format!("{n}").as_str().into(),
            chat: ChatRef { network: "wechat:a".into(), chat: "c".into() },
            author: Author::Owner,
            at: BEGIN,
            body: Body::text("old"),
            quote: None,
            mentions: Vec::new(),
            echo_of: None,
        }
    }

    #[tokio::test]
    async fn an_end_does_not_wait_for_a_clean_up() {
        let dir = tempfile::tempdir().unwrap();
        let (handle, stop) = StopHandle::new();
        // A store that asks for the time while it cleans up: then the end comes.
        let ends = Arc::new(Mutex::new(None::<StopHandle>));
        let ending = Arc::clone(&ends);
        let clock = Arc::new(move || {
            ending.lock().unwrap().iter().for_each(StopHandle::stop);
            BEGIN.after(YEAR)
        });
        let store = Store::open(config_in(dir.path()), clock).await.unwrap();
        let batch = Batch { posts: (0..300).map(post).collect(), ..Batch::default() };
        store.commit_batch(&"wechat:a".into(), batch, Arc::new(Nowhere)).await.unwrap();
        *ends.lock().unwrap() = Some(handle);
        let keep = Keep { age: Some(HOUR), messages: None };
        let settings = config::built_in("", "").unwrap().settings;
        let cleaned = unless_stopped(&stop, clean_up(&store, &settings.media, keep, true)).await;
        assert!(cleaned.is_none() && stop.is_stopping());
        *ends.lock().unwrap() = None;
        let left = store.prune_history(&"wechat:a".into(), keep).await.unwrap();
        assert_eq!(left.messages, 300, "the end waited until they were gone");
        store.close().await;
    }
}
