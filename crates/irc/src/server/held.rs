//! Joining what a client cut itself.
//!
//! Clients cut long input so that others are not shown more than a line: irssi 1.4 counts with its own nick, WeeChat 3.8
//! with the longest one that 005 allows, and both at the last space, where there is one; irssi leaves it at the end of
//! the piece, WeeChat drops it. WeeChat sends a piece every 2 s. irssi sends five commands at once and then one every
//! 2.2 s, behind a long line later, and its answers to PING count: up to 8.5 s were between two pieces just after it had
//! connected. Seen on the wire with Debian's packages. irc-framework, of which web clients are made, cuts texts of more
//! than 350 bytes, drops the space as well and sends all pieces at once (its `message_max_length`). So a line waits a moment for the next one.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wxgate_contract::{Batch, FarEnd, FarError, NetworkId, Note, Post, RemoteId};

use super::config::Limits;
use super::names::{NICK_BYTES, USER_BYTES};

/// The longest host that clients reckon with. Source: RFC 1035, section 2.3.1, for one label; irssi and WeeChat.
const HOST_BYTES: usize = 63;
/// A client that cuts earliest leaves so much for what it types: a line without its end, less the longest source.
const CUT_BYTES: usize = 510 - (NICK_BYTES + USER_BYTES + HOST_BYTES + ":!@ ".len());
/// A text of irc-framework is not longer, whatever stands before it.
const TEXT_BYTES: usize = 350;
/// A character that does not fit leaves up to three bytes free.
const SLACK_BYTES: usize = 3;
/// A word that did not fit may leave so much more. Chosen: more than words have, and twenty Han characters.
const WORD_BYTES: usize = 60;
/// A joined text beyond this goes out as it is. Chosen: about 45 pieces.
const MAX_HELD_BYTES: usize = 16_000;
/// However many lines follow each other, they go out then, unless pieces are among them.
const MAX_STREAM: Duration = Duration::from_millis(3_500);
/// How long the next piece is waited for: longer than irssi takes. A line that only looks cut waits for less
/// (`Limits::long_hold`) where its sender waits for the echo, since most such lines are just long. irssi takes no echo.
const PIECE_GAP: Duration = Duration::from_secs(9);
/// However many pieces come, a text goes out then.
const MAX_HELD: Duration = Duration::from_secs(60);

/// A line that waits.
#[derive(Debug)]
pub(super) struct Held {
    /// Where it goes, folded.
    pub(super) target: String,
    pub(super) text: String,
    pub(super) until: Instant,
    /// However many lines come, it goes out then, unless pieces do.
    latest: Instant,
    /// And then in any case.
    end: Instant,
    /// The post that it will be.
    pub(super) remote_id: RemoteId,
    /// The text so far may be on disk, in a note that goes with the post.
    pub(super) is_noted: bool,
    /// Where the last line begins in the text.
    last: usize,
    /// The client shows it only when it is said.
    shows_echo: bool,
    /// A line went on with the one before it.
    is_cut: bool,
}

impl Held {
    pub(super) fn new(
        target: String,
        text: &str,
        remote_id: RemoteId,
        (now, limits): (Instant, &Limits),
        shows_echo: bool,
    ) -> Self {
        let mut held = Self {
            target,
            text: text.to_owned(),
            until: now + limits.hold,
            latest: now + limits.hold.max(MAX_STREAM),
            end: now + limits.hold.max(MAX_HELD),
            remote_id,
            is_noted: false,
            last: 0,
            shows_echo,
            is_cut: false,
        };
        held.extend(now, limits);
        held
    }

    /// True when a line of `bytes` can still be joined.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.text.len() + bytes < MAX_HELD_BYTES
    }

    fn last_line(&self) -> &str {
        self.text.get(self.last..).unwrap_or_default()
    }

    /// The bytes of the last line as the client sent it.
    fn line_bytes(&self) -> usize {
        "PRIVMSG  :".len() + self.target.len() + self.last_line().len()
    }

    /// True when not even one more character had room.
    fn is_full(&self) -> bool {
        self.line_bytes() + SLACK_BYTES >= CUT_BYTES
    }

    /// The same with what cuts by the text alone.
    fn is_full_text(&self) -> bool {
        (TEXT_BYTES - SLACK_BYTES..=TEXT_BYTES).contains(&self.last_line().len())
    }

    /// True when a client probably cut this line off the one before it: what it begins with had no room there.
    pub(super) fn goes_on_with(&self, text: &str) -> bool {
        let word = text.split(' ').next().unwrap_or_default();
        self.line_bytes() + 1 + word.len() > CUT_BYTES - SLACK_BYTES
            || (self.last_line().len() <= TEXT_BYTES
                && self.last_line().len() + 1 + word.len() > TEXT_BYTES - SLACK_BYTES)
    }

    /// True when the line may be a piece, whatever comes next.
    pub(super) fn may_go_on(&self) -> bool {
        let is_nearly = self.line_bytes() + WORD_BYTES >= CUT_BYTES;
        self.is_full() || (is_nearly && self.last_line().contains(' '))
    }

    /// What stood between the last line and the next one.
    fn seam(&self, text: &str) -> &'static str {
        let last = self.last_line();
        if !self.goes_on_with(text) {
            return "\n";
        }
        let has_space = last.ends_with(' ') || text.starts_with(' ');
        let is_within_word = (self.is_full() || self.is_full_text()) && !last.contains(' ');
        if has_space || is_within_word { "" } else { " " }
    }

    /// Joins the next line.
    pub(super) fn join(&mut self, text: &str, now: Instant, limits: &Limits) {
        self.is_cut |= self.goes_on_with(text);
        self.text.push_str(self.seam(text));
        self.last = self.text.len();
        self.text.push_str(text);
        self.until = now + limits.hold;
        self.extend(now, limits);
    }

    /// A piece is waited for longer, each time.
    fn extend(&mut self, now: Instant, limits: &Limits) {
        if self.may_go_on() {
            let is_pressed = self.shows_echo && !self.is_cut;
            let gap = if is_pressed { limits.long_hold } else { limits.long_hold.max(PIECE_GAP) };
            self.until = now + limits.hold.max(gap);
            self.latest = self.latest.max(self.until);
        }
        self.until = self.until.min(self.latest).min(self.end);
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

    fn held(target: &str, text: &str) -> Held {
        Held::new(target.into(), text, "r".into(), (Instant::now(), &Limits::default()), true)
    }

    /// The text that comes out when a client cut it so.
    fn joined(pieces: &[&str]) -> String {
        let mut held = held("#g", pieces[0]);
        pieces[1..].iter().for_each(|piece| held.join(piece, Instant::now(), &Limits::default()));
        held.text
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_text_is_whole_again() {
        let (now, limits) = (Instant::now(), Limits::default());
        let piece = "字".repeat(140);
        let mut held = held("#g", &piece);
        assert_eq!(held.until, now + limits.long_hold);
        held.join("尾", now, &limits);
        assert_eq!(held.text, format!("{piece}尾"));
        assert_eq!(held.until, now + Duration::from_millis(300));
        held.join("next", now, &limits);
        assert_eq!(held.text, format!("{piece}尾\nnext"));
        assert!(held.has_room(1000) && !held.has_room(16_000));
    }

    #[tokio::test(start_paused = true)]
    async fn the_space_at_which_it_was_cut_is_there_once() {
        // The lengths are those of the wire: 425 bytes of irssi, 383 of WeeChat, verb and target included.
        let words = "number twenty of words, ".repeat(17);
        assert_eq!(joined(&[&words, "and the rest"]), format!("{words}and the rest"), "irssi leaves it");
        let words = words[..370].trim_end();
        assert_eq!(joined(&[words, "something-else"]), format!("{words} something-else"), "WeeChat drops it");
        // Cut where there was none.
        let han = "字".repeat(124);
        assert_eq!(joined(&[&han, "尾 end"]), format!("{han}尾 end"));
        // A piece is short where what followed its last space is long.
        assert_eq!(joined(&["早上好", &han]), format!("早上好 {han}"));
        assert_eq!(joined(&["早上好 各位", &han]), format!("早上好 各位 {han}"));
        // As irc-framework cuts.
        let han = "字".repeat(116);
        assert_eq!(joined(&[&han, "尾"]), format!("{han}尾"));
        assert_eq!(joined(&["some words ".repeat(31).trim_end(), "more-words"]).matches('\n').count(), 0);
        assert_eq!(joined(&["early", "and soon after"]), "early\nand soon after");
    }

    #[tokio::test(start_paused = true)]
    async fn the_longer_the_target_the_shorter_the_piece() {
        let piece = "字".repeat(106);
        let target = format!("#{}", "群".repeat(18));
        let (now, limits) = (Instant::now(), Limits::default());
        assert_eq!(held(&target, &piece).until, now + limits.long_hold);
        assert_eq!(held("#g", &piece).until, now + limits.hold);
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_stream_of_lines_goes_out_in_time() {
        let (now, limits) = (Instant::now(), Limits::default());
        let mut held = held("#g", "0");
        let last = (1..40).map(|at| now + Duration::from_millis(200) * at).find(|at| {
            let is_over = held.until <= *at;
            if !is_over {
                held.join("x", *at, &limits);
            }
            is_over
        });
        assert!(last.is_some_and(|last| last <= now + MAX_STREAM + limits.hold), "{:?}", held.until);
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_is_waited_for_but_not_for_ever() {
        let (begin, limits) = (Instant::now(), Limits::default());
        let piece = "x".repeat(380);
        let mut held = held("#g", &piece);
        assert_eq!(held.until, begin + limits.long_hold, "a long line may be all that there is");
        let patient = Held::new("#g".into(), &piece, "r".into(), (begin, &limits), false);
        assert_eq!(patient.until, begin + PIECE_GAP, "nobody waits for its echo");
        // As WeeChat sends them.
        for at in 1..=29 {
            let now = begin + Duration::from_secs(2) * at;
            assert!(held.until > now, "the text went out before piece {at}");
            held.join(&piece, now, &limits);
            assert_eq!(held.until, (now + PIECE_GAP).min(begin + MAX_HELD));
        }
        assert_eq!(held.text.len(), 30 * 380);
        assert_eq!(held.until, begin + MAX_HELD);
    }
}
