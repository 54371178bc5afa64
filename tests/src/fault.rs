//! Standing in a program's way at its system calls: a library that is loaded before the C library
//! (`fault/fault.c`), and the page of a file through which a test gives it orders.
//!
//! The program under test is the one that is shipped; nothing in it knows of this.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

const SOURCE: &str = include_str!("fault/fault.c");
/// Fields of `struct order`, four bytes each.
const FIELDS: usize = 11;
const PATTERN: usize = 212;
const PAGE_BYTES: usize = FIELDS * 4 + PATTERN;
const PRESENT: u64 = 0;
const ARMED: u64 = 4;
const STRUCK: u64 = 9 * 4;

/// Which calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Bytes leave through a socket.
    Send,
    /// Bytes were read from a socket.
    Recv,
    /// Bytes are written to a file.
    Write,
    /// A file is put on the disk.
    Sync,
    /// A file gets its name.
    Rename,
    /// A part of a file is locked for writing.
    Lock,
}

impl Call {
    fn bit(self) -> u32 {
        match self {
            Self::Send => 1,
            Self::Recv => 2,
            Self::Write => 4,
            Self::Sync => 8,
            Self::Rename => 16,
            Self::Lock => 32,
        }
    }
}

/// What the call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A file whose name ends like this.
    File(&'static str),
    /// A file or directory whose path holds this.
    Within(&'static str),
    /// Bytes that hold this, near their beginning.
    Words(&'static str),
}

/// What happens at the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The process dies, and the call was not made.
    DieBefore,
    /// The process dies when the call is over.
    DieAfter,
    /// The process dies when half of the bytes are written.
    DieHalfway,
    /// The call fails with this error: so many times, or without end.
    Fail(Errno, Option<u32>),
}

/// What a call can fail with. Source: Linux, `asm-generic/errno-base.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errno {
    /// The device has an error.
    Io = 5,
    /// Somebody else has the lock.
    Again = 11,
    /// No room is left.
    NoSpace = 28,
}

/// One order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// At which calls, all of these.
    pub calls: &'static [Call],
    /// What they are about.
    pub about: About,
    /// What happens.
    pub act: Act,
    /// So many of these calls pass first.
    pub skip: u32,
}

/// A library in front of one program, and the page it takes orders from.
#[derive(Debug)]
pub struct Fault {
    page: File,
    page_path: PathBuf,
    library: PathBuf,
    record: PathBuf,
}

impl Fault {
    /// Compiles the library into `dir`.
    pub fn build(dir: &Path) -> Result<Self> {
        let (source, library) = (dir.join("fault.c"), dir.join("fault.so"));
        fs::write(&source, SOURCE).context("write the source of the fault library")?;
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let made = cc.output().context("start cc, the C compiler that Rust links with")?;
        ensure!(
            made.status.success(),
            "cc cannot compile the fault library: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let page_path = dir.join("fault.page");
        let page = File::options().read(true).write(true).create(true).truncate(true).open(&page_path)?;
        page.set_len(PAGE_BYTES as u64)?;
        Ok(Self { page, page_path, library, record: dir.join("fault.record") })
    }

    /// What the program's environment needs; `FAULT_RECORD` names a file that must exist to be written.
    pub fn env(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            ("FAULT_PAGE".to_owned(), text(&self.page_path)),
            ("FAULT_RECORD".to_owned(), text(&self.record)),
        ]
    }

    /// Where the record of writes goes, once the file exists.
    pub fn record(&self) -> &Path {
        &self.record
    }

    /// Gives an order; it replaces the one before.
    pub fn arm(&self, order: &Order) -> Result<()> {
        let (by, pattern) = match order.about {
            About::File(tail) => (0, tail),
            About::Words(words) => (1, words),
            About::Within(part) => (2, part),
        };
        ensure!(!pattern.is_empty() && pattern.len() < PATTERN, "the pattern {pattern:?} does not fit");
        let (act, times, errno) = match order.act {
            Act::DieBefore => (1, 0, 0),
            Act::DieAfter => (2, 0, 0),
            Act::DieHalfway => (3, 0, 0),
            Act::Fail(errno, times) => (4, times.unwrap_or(0), errno as u32),
        };
        let calls = order.calls.iter().fold(0, |bits, call| bits | call.bit());
        let length = u32::try_from(pattern.len())?;
        self.disarm()?;
        let fields = [calls, act, by, order.skip, times, errno, 0, 0, length];
        let mut bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_ne_bytes()).collect();
        bytes.extend(pattern.as_bytes());
        self.page.write_all_at(&bytes, ARMED + 4)?;
        self.set(ARMED, 1)
    }

    /// Takes the order back.
    pub fn disarm(&self) -> Result<()> {
        self.set(ARMED, 0)
    }

    /// How many calls were hit by the last order.
    pub fn struck(&self) -> Result<u32> {
        self.get(STRUCK)
    }

    /// Fails when the program runs without the library: then nothing that a test says of it is true.
    pub fn assert_loaded_in(&self, pid: u32) -> Result<()> {
        let present = self.get(PRESENT)?;
        if present == pid {
            return Ok(());
        }
        bail!("the fault library is not in process {pid}: is the program linked without the C library?")
    }

    fn get(&self, at: u64) -> Result<u32> {
        let mut bytes = [0; 4];
        self.page.read_exact_at(&mut bytes, at)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn set(&self, at: u64, value: u32) -> Result<()> {
        self.page.write_all_at(&value.to_ne_bytes(), at).context("write the page of the fault library")
    }
}
