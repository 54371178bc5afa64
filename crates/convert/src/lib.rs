//! Another form of an attachment, where a network takes no other: stickers as GIF, voice as MP3 or
//! Opus, pictures as JPEG or PNG, films as MP4.
//!
//! The work is done by `ffmpeg`, an optional program of the system. What comes out is an attachment of
//! its own in the vault, named after the one it was made of, so a delivery that is repeated finds it
//! there. Nothing here fails: what cannot be converted goes as it is.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod ffmpeg;
mod form;
mod job;
mod webp;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ring::digest;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use wxgate_contract::{MediaId, MediaInfo, MediaState, MediaVault};

pub use form::Form;
use job::Job;

/// Conversions at once. Chosen: they take whole cores, and messages are to go on beside them. Each
/// account uploads one file at a time, so nobody waits for more than one of each other account.
const AT_ONCE: usize = 2;
/// Largest file that is converted. Chosen: within the processor time of [`ffmpeg`]; a film beyond it is
/// too large for WeChat's films in any form.
const LARGEST_BYTES: u64 = 64 << 20;
/// For one conversion, by the clock: a machine that is busy gives it a part of its time. Chosen.
const PATIENCE: Duration = Duration::from_secs(120);
/// Files that could not be converted and are not tried again. Chosen: more than can be under way.
const FAILURES: usize = 256;

/// Whoever makes other forms.
#[derive(Debug)]
pub struct Converter {
    program: PathBuf,
    scratch: PathBuf,
    turns: Semaphore,
    jobs: AtomicU64,
    // Locked for the length of a lookup.
    failed: Mutex<VecDeque<MediaId>>,
    /// What is wanted now, by whom it is made: held for as long as a conversion takes.
    wanted: Mutex<HashMap<MediaId, Weak<tokio::sync::Mutex<()>>>>,
}

impl Converter {
    /// Takes the program and a directory of its own for files that are being converted; what an earlier
    /// run left there is removed.
    ///
    /// # Errors
    /// When the directory cannot be emptied or made.
    pub fn new(program: PathBuf, scratch: PathBuf) -> io::Result<Self> {
        match std::fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&scratch)?,
        }
        let (turns, jobs) = (Semaphore::new(AT_ONCE), AtomicU64::new(0));
        Ok(Self { program, scratch, turns, jobs, failed: Mutex::default(), wanted: Mutex::default() })
    }

    /// The file in another form, `None` where that cannot be had. Dropping the future ends the work and
    /// leaves nothing behind.
    pub async fn convert(&self, vault: &dyn MediaVault, source: &MediaInfo, form: Form) -> Option<MediaInfo> {
        let target = derived(source.media, form);
        if let Some(made) = made(vault, target).await {
            return Some(made);
        }
        if source.size_bytes > LARGEST_BYTES || source.state != MediaState::Ready {
            return None;
        }
        // Several rooms may want the same file in the same form: the first makes it, the others find it.
        let _same = self.alone_with(target).await;
        // Closed never: it lives as long as this.
        let _turn = self.turns.acquire().await.ok()?;
        if let Some(made) = made(vault, target).await {
            return Some(made);
        }
        if self.failed().contains(&target) {
            return None;
        }
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        let made = match Job::begin(self.scratch.join(number.to_string())) {
            Ok(job) => {
                let work = job.carry_out(&self.program, vault, (source, target), form);
                let late = || format!("it took longer than {} seconds", PATIENCE.as_secs());
                tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(late()))
            }
            Err(error) => Err(format!("no place to work in: {error}")),
        };
        made.inspect_err(|why| {
            tracing::warn!(media = %source.media, mime = source.mime, ?form, why, "not converted; it goes as it is");
            let mut failed = self.failed();
            failed.truncate(FAILURES - 1);
            failed.push_front(target);
        })
        .ok()
    }

    /// Waits until nobody else makes this file.
    async fn alone_with(&self, target: MediaId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.retain(|_, lock| lock.strong_count() > 0);
            let known = wanted.get(&target).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::default();
                wanted.insert(target, Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }

    fn failed(&self) -> MutexGuard<'_, VecDeque<MediaId>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was made before.
async fn made(vault: &dyn MediaVault, target: MediaId) -> Option<MediaInfo> {
    let info = vault.info(target).await.ok()??;
    (info.state == MediaState::Ready).then_some(info)
}

/// The same file in the same form is always the same attachment.
fn derived(media: MediaId, form: Form) -> MediaId {
    let hash = digest::digest(&digest::SHA256, format!("{form:?} of {media}").as_bytes());
    let mut id = [0; 16];
    id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    MediaId(id)
}

/// Where the program of that name is: in the directories of `path`, as the variable `PATH` lists them.
#[must_use]
pub fn find(name: &str, path: &std::ffi::OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|program| is_program(program))
}

/// Whether it is a file that may be executed.
#[must_use]
pub fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}
