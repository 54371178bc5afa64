//! The disk after a power cut: what was synced is there, and of what was written since then any part.
//!
//! The fault library records every write, change of length and sync of the database's files. The files as
//! they were at the start of the program, and the record, make the image.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::dice::Dice;

/// A disk writes whole sectors; a page may be torn between two of them.
const SECTOR: usize = 512;
/// Kind, length of the name, place, length of the data.
const HEAD: usize = 24;

/// The database's files at one moment.
#[derive(Debug, Default)]
pub struct Disk {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Change<'a> {
    Write(usize, &'a [u8]),
    Length(usize),
    Sync,
}

/// What a cut left.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Changes that were synced.
    pub synced: usize,
    /// Later ones, and how many of them were lost or torn.
    pub loose: usize,
    /// Of those, the ones that did not reach the disk whole.
    pub lost: usize,
}

impl Disk {
    /// The database in `dir` as it is now; nobody may be writing.
    pub fn of(dir: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in ["wxgate.db", "wxgate.db-wal"] {
            let path = dir.join(name);
            if path.exists() {
                let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                files.insert(path, bytes);
            }
        }
        Ok(Self { files })
    }

    /// Carries out what the record says, as far as the disk got.
    pub fn cut(&mut self, record: &[u8], dice: &mut Dice) -> Result<Left> {
        let changes = read(record)?;
        let mut last_sync: HashMap<&Path, usize> = HashMap::new();
        for (at, (path, change)) in changes.iter().enumerate() {
            if *change == Change::Sync {
                last_sync.insert(path, at);
            }
        }
        let mut left = Left::default();
        for (at, (path, change)) in changes.iter().enumerate() {
            let file = self.files.entry(path.to_path_buf()).or_default();
            if last_sync.get(path).is_some_and(|sync| at <= *sync) {
                left.synced += 1;
                apply(file, change, &mut |_| true);
                continue;
            }
            left.loose += 1;
            let mut is_whole = true;
            // A third reaches the disk, a third does not, a third in part.
            let luck = dice.below(3);
            apply(file, change, &mut |_| {
                let reaches = luck == 0 || (luck == 1 && dice.below(2) == 0);
                is_whole &= reaches;
                reaches
            });
            left.lost += usize::from(!is_whole);
        }
        Ok(left)
    }

    /// Puts the files into place. The index of the log is memory and does not outlive a cut.
    pub fn restore(&self, dir: &Path) -> Result<()> {
        for (path, bytes) in &self.files {
            fs::write(path, bytes).with_context(|| format!("write {}", path.display()))?;
        }
        match fs::remove_file(dir.join("wxgate.db-shm")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Changes a file, sector by sector where `reaches` says so.
fn apply(file: &mut Vec<u8>, change: &Change<'_>, reaches: &mut dyn FnMut(usize) -> bool) {
    match change {
        Change::Sync => {}
        Change::Length(length) => {
            if reaches(0) {
                file.resize(*length, 0);
            }
        }
        Change::Write(offset, data) => {
            for (n, sector) in data.chunks(SECTOR).enumerate() {
                if !reaches(n) {
                    continue;
                }
                let from = offset + n * SECTOR;
                let to = from + sector.len();
                if file.len() < to {
                    file.resize(to, 0);
                }
                if let Some(place) = file.get_mut(from..to) {
                    place.copy_from_slice(sector);
                }
            }
        }
    }
}

/// Reads a record; a last entry that was cut off was not made.
fn read(mut record: &[u8]) -> Result<Vec<(&Path, Change<'_>)>> {
    let mut changes = Vec::new();
    while let Some((head, rest)) = record.split_at_checked(HEAD) {
        let word =
            |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
        let long =
            |at: usize| head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes);
        let (Some(kind), Some(name_bytes), Some(offset), Some(data_bytes)) =
            (word(0), word(4), long(8), long(16))
        else {
            bail!("a head of the record is too short")
        };
        let (name_bytes, data_bytes) = (usize::try_from(name_bytes)?, usize::try_from(data_bytes)?);
        let Some((name, rest)) = rest.split_at_checked(name_bytes) else { break };
        let Some((data, rest)) = rest.split_at_checked(data_bytes) else { break };
        let offset = usize::try_from(offset)?;
        let change = match kind {
            1 => Change::Write(offset, data),
            2 => Change::Length(offset),
            3 => Change::Sync,
            other => bail!("the record has an entry of kind {other}"),
        };
        let name = std::str::from_utf8(name).context("a file name in the record")?;
        ensure!(name.starts_with('/'), "the record has no path, but {name:?}");
        changes.push((Path::new(name), change));
        record = rest;
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: u32, offset: u64, data: &[u8]) -> Vec<u8> {
        let name = b"/d/wxgate.db-wal";
        let mut bytes = kind.to_ne_bytes().to_vec();
        bytes.extend(u32::try_from(name.len()).unwrap().to_ne_bytes());
        bytes.extend(offset.to_ne_bytes());
        bytes.extend((data.len() as u64).to_ne_bytes());
        bytes.extend(name);
        bytes.extend(data);
        bytes
    }

    #[test]
    fn what_was_synced_is_there_whatever_the_dice_say() {
        let page = [7; 4096];
        let record = [entry(1, 4096, &page), entry(2, 12_288, &[]), entry(3, 0, &[]), entry(1, 0, &page)];
        for seed in 0..200 {
            let mut disk = Disk::default();
            let left = disk.cut(&record.concat(), &mut Dice::of(seed)).unwrap();
            assert_eq!((left.synced, left.loose), (3, 1));
            let file = disk.files.values().next().unwrap();
            assert_eq!(file.len(), 12_288);
            assert_eq!(file[4096..8192], page);
            assert!(
                file[..4096].chunks(SECTOR).all(|sector| sector == &page[..SECTOR] || sector == [0; SECTOR])
            );
        }
    }

    #[test]
    fn of_what_was_not_synced_any_part_may_be_there() {
        let record = entry(1, 0, &[7; 4096]);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut disk = Disk::default();
            disk.cut(&record, &mut Dice::of(seed)).unwrap();
            let file = disk.files.into_values().next().unwrap();
            seen.insert(file.chunks(SECTOR).filter(|sector| sector[0] == 7).count());
        }
        assert!(seen.contains(&0) && seen.contains(&8) && seen.len() > 4, "{seen:?}");
    }

    #[test]
    fn an_entry_that_was_cut_off_was_not_made() {
        let whole = entry(1, 0, &[7; 100]);
        assert_eq!(read(&whole).unwrap().len(), 1);
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).unwrap().is_empty(), "{end}");
        }
    }
}
