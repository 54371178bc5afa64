//! Joining what a client cut itself.
//!
//! Clients cut long input into lines of 430-453 bytes, 0-3 s apart (the IRC notes, section 1). A
//! line waits a moment for the next one.

use bytes::Bytes;
use tokio::time::Instant;
use wxgate_contract::{Batch, FarEnd, FarError, NetworkId, Note, Post, RemoteId};

use super::config::Limits;

/// From this length on, a line is probably a piece. Source: the IRC notes, section 1.
const PIECE_BYTES: usize = 400;
/// A joined text beyond this goes out as it is. Chosen: about 35 pieces.
const MAX_HELD_BYTES: usize = 16_000;

/// A line that waits.
#[derive(Debug)]
pub(super) struct Held {
    /// Where it goes, folded.
    pub(super) target: String,
    pub(super) text: String,
    pub(super) until: Instant,
    /// However many lines come, it goes out then.
    latest: Instant,
    /// The post that it will be.
    pub(super) remote_id: RemoteId,
    /// The text so far may be on disk, in a note that goes with the post.
    pub(super) is_noted: bool,
    last_bytes: usize,
    is_extended: bool,
}

impl Held {
    pub(super) fn new(
        target: String,
        text: &str,
        remote_id: RemoteId,
        (now, limits): (Instant, &Limits),
    ) -> Self {
        let mut held = Self {
            target,
            text: text.to_owned(),
            until: now + limits.hold,
            latest: now + limits.hold.max(limits.long_hold),
            remote_id,
            is_noted: false,
            last_bytes: text.len(),
            is_extended: false,
        };
        held.extend(now, limits);
        held
    }

    /// True when a line of `bytes` can still be joined.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.text.len() + bytes < MAX_HELD_BYTES
    }

    /// True when a client probably cut this line off the one before it.
    pub(super) fn goes_on_with(&self, text: &str) -> bool {
        self.last_bytes >= PIECE_BYTES && !self.text.ends_with(' ') && !text.starts_with(' ')
    }

    /// Joins the next line.
    pub(super) fn join(&mut self, text: &str, now: Instant, limits: &Limits) {
        if !self.goes_on_with(text) {
            self.text.push('\n');
        }
        self.text.push_str(text);
        self.last_bytes = text.len();
        self.until = now + limits.hold;
        self.extend(now, limits);
    }

    fn extend(&mut self, now: Instant, limits: &Limits) {
        if self.last_bytes >= PIECE_BYTES && !self.is_extended {
            self.is_extended = true;
            self.until = now + limits.long_hold;
        }
        self.until = self.until.min(self.latest);
    }
}

/// Where the posts of lines that wait are written down. A crash in that moment would leave no trace of them.
const NOTES: &str = "held/";
/// Notes read at once.
const PAGE: usize = 100;

/// Writes a post down that is not said yet.
pub(super) fn note_of(post: &Post) -> Option<Note> {
    let value = serde_json::to_vec(post).ok()?;
    Some(Note { value: Some(Bytes::from(value)), ..gone(&post.remote_id) })
}

/// Takes that note away.
pub(super) fn gone(remote_id: &RemoteId) -> Note {
    Note { key: format!("{NOTES}{remote_id}"), value: None, is_secret: false }
}

/// Says what an earlier run wrote down and did not come to say. Their ids are kept, so that a crash in here
/// says nothing twice.
pub(super) async fn say_left_over(far: &dyn FarEnd, network: &NetworkId) -> Result<usize, FarError> {
    let mut count = 0;
    loop {
        let page = far.notes(network, NOTES, None, PAGE).await?;
        if page.is_empty() {
            return Ok(count);
        }
        let notes = page.iter().map(|(key, _)| Note { key: key.clone(), value: None, is_secret: false });
        let mut batch = Batch { notes: notes.collect(), ..Batch::default() };
        batch.posts = page.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect();
        if batch.posts.len() < page.len() {
            tracing::error!(%network, "a note about a typed line cannot be read and is dropped");
        }
        batch.posts.sort_by_key(|post: &Post| post.at);
        count += batch.posts.len();
        far.commit(network, batch).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_cut_text_is_whole_again() {
        let (now, limits) = (Instant::now(), Limits::default());
        let piece = "字".repeat(140);
        let mut held = Held::new("#g".into(), &piece, "r".into(), (now, &limits));
        assert_eq!(held.until, now + limits.long_hold);
        held.join("尾", now, &limits);
        assert_eq!(held.text, format!("{piece}尾"));
        assert_eq!(held.until, now + Duration::from_millis(300));
        held.join("next", now, &limits);
        assert_eq!(held.text, format!("{piece}尾\nnext"));
        assert!(held.has_room(1000) && !held.has_room(16_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_stream_of_lines_goes_out_in_time() {
        let (now, limits) = (Instant::now(), Limits::default());
        let mut held = Held::new("#g".into(), "0", "r".into(), (now, &limits));
        let last = (1..40).map(|at| now + Duration::from_millis(200) * at).find(|at| {
            let is_over = held.until <= *at;
            if !is_over {
                held.join("x", *at, &limits);
            }
            is_over
        });
        assert!(last.is_some_and(|last| last <= now + limits.long_hold + limits.hold), "{:?}", held.until);
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_is_extended_once() {
        let (now, limits) = (Instant::now(), Limits::default());
        let piece = "x".repeat(420);
        let mut held = Held::new("#g".into(), &piece, "r".into(), (now, &limits));
        held.join(&piece, now, &limits);
        assert_eq!(held.until, now + limits.hold);
        assert_eq!(held.text.len(), 840);
    }
}
