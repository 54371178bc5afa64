//! The local channels of somebody with an account: who comes back is in them again, as it is with groups.

use std::collections::HashMap;

use bytes::Bytes;
use wxgate_contract::{Batch, FarError, Note};

use super::registry::ClientId;
use super::session::Session;
use crate::wire::casemap::is_same;

/// What the note is called.
const NOTE: &str = "local";

/// The local channels one is in, and what of it is on disk.
#[derive(Debug, Default)]
pub(super) struct Kept {
    channels: Vec<Entry>,
    is_changed: bool,
    /// Those that did not take one in again, until somebody was told.
    closed: Vec<String>,
    /// What each is called as far as was looked.
    names: HashMap<u64, String>,
    /// Notes of read marks that went along with a channel's name.
    moved: Vec<Note>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    key: Option<String>,
}

impl Session {
    /// As they were when one was here last.
    pub(super) async fn load_local_channels(&mut self) -> Result<(), FarError> {
        let key = self.roster.note_key(NOTE, "");
        let value = self.shared.far.note(&self.shared.network, &key).await?;
        let text = value.as_deref().and_then(|value| std::str::from_utf8(value).ok()).unwrap_or("");
        self.local_kept.channels = read(text);
        Ok(())
    }

    /// Enters them again, with the first connection; what does not let one in is forgotten.
    pub(super) fn enter_local_channels(&mut self) {
        if self.local.is_none() {
            return;
        }
        for Entry { name, key } in self.local_kept.channels.clone() {
            let is_in = self.is_local(&name)
                && self.on_floor(ClientId(0), |floor| floor.join(&name, key.as_deref())) == Some(true);
            if !is_in {
                self.local_kept.closed.push(name);
            }
        }
        self.note_local_channels();
    }

    /// Says which channels did not take one in again.
    pub(super) fn tell_closed_channels(&mut self, id: ClientId) {
        let closed = std::mem::take(&mut self.local_kept.closed);
        if !closed.is_empty() {
            let names = closed.join(", ");
            self.service_says(id, &format!("you are not in {names} any more; JOIN says why"));
        }
    }

    /// Looks which they are now; [`Session::keep_local_channels`] writes it down.
    pub(super) fn note_local_channels(&mut self) {
        // Who was put out by KILL left none of them.
        let Some(Some(mine)) = self.on_floor(ClientId(0), |floor| floor.my_channels_with_keys()) else {
            return;
        };
        let names = mine.iter().map(|(id, name, _)| (*id, name.clone())).collect();
        let before = std::mem::replace(&mut self.local_kept.names, names);
        let renamed = mine.iter().filter_map(|(id, name, _)| Some((before.get(id)?, name)));
        let moved = self.move_marks(renamed.filter(|(old, new)| !is_same(old, new)));
        // A guest is somebody else each time.
        if self.key.guest.is_some() {
            return;
        }
        self.local_kept.moved.extend(moved);
        let now: Vec<Entry> = mine.into_iter().map(|(_, name, key)| Entry { name, key }).collect();
        if self.local_kept.channels != now {
            self.local_kept.channels = now;
            self.local_kept.is_changed = true;
        }
    }

    /// On disk once nobody waits for it.
    pub(super) async fn keep_local_channels(&mut self) {
        let mut notes = std::mem::take(&mut self.local_kept.moved);
        if !std::mem::take(&mut self.local_kept.is_changed) && notes.is_empty() {
            return;
        }
        let text = written(&self.local_kept.channels);
        let value = (!text.is_empty()).then(|| Bytes::from(text));
        // Keys of channels are among it.
        notes.push(Note { key: self.roster.note_key(NOTE, ""), value, is_secret: true });
        if let Err(error) = self.commit(Batch { notes, ..Batch::default() }).await {
            tracing::warn!(%error, "the local channels somebody is in could not be stored");
        }
    }
}

/// A line for each: its name, and its key where it has one.
fn written(channels: &[Entry]) -> String {
    let line = |Entry { name, key }: &Entry| match key {
        Some(key) => format!("{name} {key}\n"),
        None => format!("{name}\n"),
    };
    channels.iter().map(line).collect()
}

fn read(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let (name, key) = line.split_once(' ').map_or((line, None), |(name, key)| (name, Some(key)));
        Entry { name: name.to_owned(), key: key.map(str::to_owned) }
    };
    text.lines().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let entry = |name: &str, key: Option<&str>| Entry { name: name.into(), key: key.map(str::to_owned) };
        let channels = [entry("#测试", None), entry("&lab", Some("se:same"))];
        assert_eq!(written(&channels), "#测试\n&lab se:same\n");
        assert_eq!(read(&written(&channels)), channels);
        assert_eq!(read(""), []);
    }
}
