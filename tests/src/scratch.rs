//! A directory per story, and the frame around each story.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

/// How much of each program's log is shown when a story fails.
const TAIL_BYTES: usize = 6_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory that goes away with the value, unless its story failed.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// A new directory under the system's directory for temporary files.
    pub fn new(name: &str) -> Result<Self> {
        Self::under(&std::env::temp_dir(), name)
    }

    /// A new directory under `parent`.
    pub fn under(parent: &Path, name: &str) -> Result<Self> {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("wxgate-{name}-{}-{n}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path, keep: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path inside it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The last part of every log in it, for the report of a failure.
    pub fn log_tails(&self) -> String {
        let mut out = String::new();
        let Ok(entries) = fs::read_dir(&self.path) else { return out };
        let mut logs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        logs.retain(|path| path.extension().is_some_and(|ext| ext == "log"));
        logs.sort();
        for log in logs {
            let text = fs::read(&log).unwrap_or_default();
            let from = text.len().saturating_sub(TAIL_BYTES);
            let tail = String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned();
            out.push_str(&format!("---- {} ({} bytes)\n{tail}\n", log.display(), text.len()));
        }
        out
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep && !std::thread::panicking() {
            // What cannot be removed lies under the temporary directory and harms nobody.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Tells a story in a directory of its own and within `limit`. When it fails, the logs of its
/// programs are shown and the directory stays.
pub async fn tell(
    name: &str,
    limit: Duration,
    story: impl AsyncFnOnce(&Scratch) -> Result<()>,
) -> Result<()> {
    let mut scratch = Scratch::new(name)?;
    // On the heap: a story's future is large.
    let told = tokio::time::timeout(limit, Box::pin(story(&scratch))).await;
    let told = told.unwrap_or_else(|_| Err(anyhow!("the story did not end within {limit:?}")));
    if let Err(error) = &told {
        scratch.keep = true;
        eprintln!("story {name} failed: {error:#}\n{}", scratch.log_tails());
    }
    told
}
