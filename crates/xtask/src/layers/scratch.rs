//! A directory for what test programs leave behind in the system's directory for temporary files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::run::Cmd;

/// Begins the directory's name; the rest is our process id.
const NAME: &str = "wxgate-test-";

/// How long what is left of a run that was cut short stays. Chosen: no run takes as long.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// It goes away at the end of a good run and stays to be looked at after another.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// An empty one, after those of good runs that were cut short have been removed.
    pub(super) fn new() -> Result<Self> {
        Self::under(&std::env::temp_dir())
    }

    fn under(parent: &Path) -> Result<Self> {
        sweep(parent);
        let path = parent.join(format!("{NAME}{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self(path))
    }

    /// The program puts its temporary files here. Source: `TMPDIR` of POSIX, "Environment Variables".
    pub(super) fn holds(&self, cmd: Cmd) -> Cmd {
        cmd.env("TMPDIR", &self.0)
    }

    /// Removes what a good run has left; says where that of another is.
    pub(super) fn end(self, was_good: bool) {
        let is_empty = fs::read_dir(&self.0).is_ok_and(|mut entries| entries.next().is_none());
        if was_good || is_empty {
            // What another user owns stays, and harms nobody.
            let _ = fs::remove_dir_all(&self.0);
        } else {
            println!("what the tests left is in {}", self.0.display());
        }
    }
}

/// Removes the directories of runs whose process has ended, the next time somebody tests.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(NAME));
        let pid = pid.and_then(|pid| pid.parse::<u32>().ok());
        // One that is young may be of a run that is not seen from here, in another container.
        let is_old = || {
            entry
                .metadata()
                .and_then(|meta| meta.modified())
                .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > OLD))
        };
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) && is_old() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_goes_with_a_good_run_and_stays_after_a_bad_one() {
        let parent = std::env::temp_dir().join(format!("wxgate-xtask-scratch-{}", std::process::id()));
        let old = parent.join(format!("{NAME}4294967295"));
        fs::create_dir_all(&old).unwrap();
        fs::create_dir_all(parent.join("another")).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        fs::File::open(&old).unwrap().set_modified(long_ago).unwrap();

        for (was_good, left) in [(false, 2), (true, 1)] {
            let scratch = Scratch::under(&parent).unwrap();
            fs::write(scratch.0.join("file"), "text").unwrap();
            scratch.end(was_good);
            assert_eq!(fs::read_dir(&parent).unwrap().count(), left);
        }

        Scratch::under(&parent).unwrap().end(false);
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 1, "nothing was left");
        fs::remove_dir_all(parent).unwrap();
    }
}
