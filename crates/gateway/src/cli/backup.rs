//! `wxgate backup FILE`

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

use clap::Args;
use futures_util::StreamExt as _;
use hyper::Method;
use serde_json::json;

use super::client::{Client, answers};
use super::progress::Progress;
use super::{Globals, print};
use crate::backup::write::{Archive, Secrets, WithKey};
use crate::failure::Failure;
use crate::{clock, wiring};

/// Names that are tried for what is being written. Chosen: nobody leaves so many behind.
const PARTS: u32 = 100;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The file to write (a tar archive, mode 0600); it must not exist
    file: PathBuf,
    /// Put the seal key in as well: the file alone then opens every stored session
    #[arg(long)]
    with_key: bool,
}

pub(super) async fn run(globals: &Globals, options: Options) -> Result<(), Failure> {
    let settings = globals.load()?.settings;
    let is_running = answers(&settings.socket()).await?;
    let mut output = Output::create(&options.file, "Backup")?;
    if is_running {
        let path = format!("/api/v1/backup?with_key={}", options.with_key);
        let mut download = Client::new(globals)?.download(Method::POST, &path).await?;
        output.expect(download.size_bytes.unwrap_or(0));
        while let Some(piece) = download.next().await? {
            output.write(&piece)?;
        }
    } else {
        let snapshot = wiring::copy_store(&settings).await?;
        let secrets = Secrets {
            data_dir: &settings.data_dir,
            seal_key_file: &settings.seal_key_file(),
            with_key: if options.with_key { WithKey::Yes } else { WithKey::No },
        };
        let archive = Archive::new(snapshot, &secrets, clock::now())?;
        output.expect(archive.size_bytes());
        let mut pieces = Box::pin(archive.pieces());
        while let Some(piece) = pieces.next().await {
            output
                .write(&piece.map_err(|e| Failure::environment(format!("cannot read the snapshot: {e}")))?)?;
        }
    }
    let size_bytes = output.finish()?;
    if globals.json {
        print::json(&json!({ "file": options.file, "bytes": size_bytes, "has_seal_key": options.with_key }));
        return Ok(());
    }
    print::out(&format!("{} holds everything ({size_bytes} bytes).", options.file.display()));
    print::out(&match options.with_key {
        true => "The seal key is inside: whoever has this file can use every session.".to_owned(),
        false => format!(
            "Secrets in it are sealed. Keep a copy of {} apart from it: without that key every account has to \
             sign in again.",
            settings.seal_key_file().display()
        ),
    });
    Ok(())
}

/// The file, under another name until it is whole.
pub(super) struct Output {
    path: PathBuf,
    aside: PathBuf,
    file: File,
    written: u64,
    /// When it is known.
    all_bytes: Option<u64>,
    what: &'static str,
    progress: Progress,
}

impl Output {
    pub(super) fn create(path: &Path, what: &'static str) -> Result<Self, Failure> {
        if path.exists() {
            let path = path.display();
            return Err(Failure::asked(format!("{path} exists already; name another file, or remove it")));
        }
        let (aside, file) = part(path)?;
        let progress = Progress::new(what, None);
        Ok(Self { path: path.to_owned(), aside, file, written: 0, all_bytes: None, what, progress })
    }

    fn expect(&mut self, all_bytes: u64) {
        self.all_bytes = Some(all_bytes);
        self.progress = Progress::new(self.what, self.all_bytes);
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.file.write_all(piece).map_err(|e| failed(&self.aside, &e))?;
        self.written += piece.len() as u64;
        self.progress.at(self.written);
        Ok(())
    }

    /// On disk, whole, under its name.
    pub(super) fn finish(self) -> Result<u64, Failure> {
        if let Some(all) = self.all_bytes.filter(|all| *all != self.written) {
            let written = self.written;
            return Err(Failure::asked(format!("the backup broke off: {written} of {all} bytes came")));
        }
        self.file.sync_all().and_then(|()| place(&self.aside, &self.path)).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => {
                let path = self.path.display();
                Failure::asked(format!("{path} was made by somebody else meanwhile, and is left as it is"))
            }
            _ => failed(&self.path, &e),
        })?;
        Ok(self.written)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Gone already when it was moved into place.
        let _ = fs::remove_file(&self.aside);
    }
}

/// What is to be the file, under a name that nobody else writes to.
fn part(path: &Path) -> Result<(PathBuf, File), Failure> {
    for number in 0..PARTS {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}-{number}.part", process::id()));
        let aside = PathBuf::from(aside);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside) {
            // Of a process with our number, that was killed or runs on another machine.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&aside, &error)),
            Ok(file) => return Ok((aside, file)),
        }
    }
    let path = path.display();
    Err(Failure::asked(format!("too many files {path}….part are left over; remove those that nobody writes")))
}

/// Gives the whole file its name, unless somebody has it.
fn place(aside: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(aside, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            // A file system without second names: the name is taken first, and then ours to replace.
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            fs::rename(aside, path)
        }
        linked => linked,
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::environment(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_write_to_one_file_the_first_to_end_has_it_and_neither_harms_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.tar");
        let mut outputs = [(); 3].map(|()| Output::create(&path, "Backup").unwrap());
        for (output, bytes) in outputs.iter_mut().zip([b"one", b"two", b"six"]) {
            output.write(bytes).unwrap();
        }
        let [one, two, given_up] = outputs;
        drop(given_up);
        assert_eq!(two.finish().unwrap(), 3);
        let refused = one.finish().unwrap_err();
        assert!(refused.message.contains("was made by somebody else meanwhile"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a part is left over");
        let refused = Output::create(&path, "Backup").err().unwrap();
        assert!(refused.message.contains("exists already"), "{refused}");
    }
}
