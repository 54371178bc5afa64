//! Under which event a message that was edited stands in its chat now. A note, written in the commit
//! that takes the edit; of use as long as WeChat lets one recall what one said, and kept for a day.

use serde::{Deserialize, Serialize};
use wxgate_contract::{Note, Timestamp};

use super::Draft;
use super::event::Event;
use crate::memory::Memory;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// What the notes' keys begin with.
pub(crate) const SHELF: &str = "version";
/// Edits of one message that are known. Chosen: more than anybody makes within two minutes; beyond it
/// the oldest is forgotten, and only one that is given again would notice.
const EDITS: usize = 32;
/// How long a message's edits are kept. Chosen: a homeserver may hand them over that late.
const KEPT_MS: i64 = 86_400_000;

/// The edits of one message that took its place, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Versions {
    edits: Vec<String>,
    /// When the last one was made, in milliseconds.
    at: i64,
}

impl Versions {
    /// The event that `edit` takes the place of. An edit that is given again takes the same one's.
    fn replaced_by(&mut self, original: &str, edit: &str, at: i64) -> String {
        let place = self.edits.iter().position(|known| known == edit).unwrap_or_else(|| {
            if self.edits.len() >= EDITS {
                self.edits.remove(0);
            }
            self.edits.push(edit.to_owned());
            self.at = self.at.max(at);
            self.edits.len() - 1
        });
        let earlier = place.checked_sub(1).and_then(|place| self.edits.get(place));
        earlier.map_or(original, String::as_str).to_owned()
    }

    fn now(&self) -> Option<&str> {
        self.edits.last().map(String::as_str)
    }

    /// True when nobody asks for it any more.
    pub(crate) fn is_old(&self, now: Timestamp) -> bool {
        now.ms().saturating_sub(self.at) > KEPT_MS
    }
}

impl Shared {
    /// The event under which the message stood that an edit takes the place of.
    pub(super) async fn replaced_by(
        &self,
        edit: &Event,
        original: &str,
        draft: &mut Draft,
    ) -> Result<String, Trouble> {
        let mut versions = self.versions_of(original, draft).await?;
        let earlier = versions.replaced_by(original, &edit.event_id, edit.origin_server_ts);
        draft.edited.insert(original.to_owned(), versions);
        Ok(earlier)
    }

    /// The event under which a message stands now, where an edit took its place.
    pub(super) async fn version_of(&self, original: &str, draft: &Draft) -> Result<Option<String>, Trouble> {
        Ok(self.versions_of(original, draft).await?.now().map(str::to_owned))
    }

    async fn versions_of(&self, original: &str, draft: &Draft) -> Result<Versions, Trouble> {
        if let Some(versions) = draft.edited.get(original) {
            return Ok(versions.clone());
        }
        let known = self.memory.versions.get(&self.memory, original).await?;
        Ok(known.map(|known| (*known).clone()).unwrap_or_default())
    }
}

impl Memory {
    /// Forgets the edits of messages that are older than anybody can recall them.
    pub(crate) async fn forget_old_versions(&self, now: Timestamp) -> Result<(), Trouble> {
        const PAGE: usize = 200;
        let mut after: Option<String> = None;
        loop {
            let page = self.page(&format!("{SHELF}/"), after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let is_old = |bytes: &[u8]| {
                serde_json::from_slice::<Versions>(bytes).map_or(true, |versions| versions.is_old(now))
            };
            let old = page.into_iter().filter(|(_, bytes)| is_old(bytes));
            let gone: Vec<Note> = old.map(|(key, _)| Note { key, value: None, is_secret: false }).collect();
            if !gone.is_empty() {
                self.save(gone).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_edit_takes_the_place_of_the_last_one_also_when_it_is_given_again() {
        let mut versions = Versions::default();
        let mut place = |edit: &str, at| versions.replaced_by("$a", edit, at);
        assert_eq!(
            [place("$b", 1), place("$c", 2), place("$b", 1), place("$d", 3)],
            ["$a", "$b", "$a", "$c"]
        );
        assert_eq!(versions.now(), Some("$d"));
        assert!(!versions.is_old(Timestamp(KEPT_MS)) && versions.is_old(Timestamp(KEPT_MS + 4)));
    }

    #[test]
    fn the_edits_of_one_message_are_bounded() {
        let mut versions = Versions::default();
        (0..100).for_each(|n| drop(versions.replaced_by("$a", &format!("${n}"), n)));
        assert_eq!((versions.edits.len(), versions.now()), (EDITS, Some("$99")));
    }
}
