//! One message in several lines, from a client and to a client. Source: IRCv3 draft/multiline.

use super::caps::{Caps, MULTILINE_BYTES, MULTILINE_LINES};
use super::client::Capture;
use super::commands::Turn;
use super::inbound::Typed;
use super::registry::ClientId;
use super::session::Session;
use crate::wire::casemap::is_same;
use crate::wire::message::Line;
use crate::wire::split;
use crate::wire::tags::Tags;

/// The type of the batch.
pub(super) const BATCH_TYPE: &str = "draft/multiline";
/// A line that goes on where the one before it ended.
pub(super) const CONCAT_TAG: &str = "draft/multiline-concat";
/// Longest reference a client may give. Chosen.
const MAX_REFERENCE_BYTES: usize = 64;
/// Batches of a client that came to nothing and are remembered as such. Chosen: one can be open at a time.
const MAX_FAILED: usize = 4;

/// One line of such a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) text: String,
    /// It goes on where the one before it ended.
    pub(super) is_concat: bool,
}

/// What a client has sent of a message so far.
#[derive(Debug)]
pub(super) struct OpenBatch {
    reference: String,
    target: String,
    label: Option<String>,
    reply: Option<String>,
    tags: String,
    verb: Option<String>,
    parts: Vec<Part>,
    bytes: usize,
}

/// The parts as one text.
pub(super) fn joined(parts: &[Part]) -> String {
    let mut text = String::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 && !part.is_concat {
            text.push('\n');
        }
        text.push_str(&part.text);
    }
    text
}

/// A text as parts of at most `budget` bytes; nothing of it is lost.
pub(super) fn parts(text: &str, budget: usize) -> Vec<Part> {
    let lines = text.split('\n');
    let pieces = lines.flat_map(|line| {
        split::cuts(line, budget)
            .into_iter()
            .enumerate()
            .map(|(at, piece)| Part { text: piece.to_owned(), is_concat: at > 0 })
    });
    pieces.collect()
}

impl Session {
    /// `BATCH +ref draft/multiline target` or `BATCH -ref`.
    pub(super) async fn batch_command(&mut self, turn: &Turn<'_>) {
        let word = turn.param(0);
        if let Some(reference) = word.strip_prefix('+') {
            self.open_batch(turn, reference);
        } else if let Some(reference) = word.strip_prefix('-') {
            self.close_batch(turn, reference).await;
        } else {
            self.batch_fails(turn, None, "MULTILINE_INVALID :A batch reference begins with + or -");
        }
    }

    /// Says so, and ignores what still comes of that batch and of the open one. Source: IRCv3 client-batch, "Errors".
    fn batch_fails(&mut self, turn: &Turn<'_>, reference: Option<&str>, what: &str) {
        self.batch_is_nothing(turn.client, turn.label.is_some(), reference, what);
    }

    /// A line that was refused may have been one of the message that the client is sending: with a hole in it the
    /// message would say something else, so nothing of it is said. `tags` are those of the line, `None` where they are
    /// not known.
    pub(super) fn leaves_hole(&mut self, id: ClientId, tags: Option<Tags<'_>>) {
        let open = self.clients.get(&id).and_then(|client| client.open_batch.as_ref());
        let is_part = |open: &OpenBatch| {
            tags.is_none_or(|tags| tags.get("batch").is_some_and(|batch| batch == open.reference))
        };
        if open.is_some_and(is_part) {
            self.batch_is_nothing(id, false, None, "MULTILINE_INVALID :A line of the message was refused");
        }
    }

    fn batch_is_nothing(&mut self, id: ClientId, is_labelled: bool, reference: Option<&str>, what: &str) {
        let server = self.shared.config.server_name.clone();
        if let Some(client) = self.clients.get_mut(&id) {
            let open = client.open_batch.take();
            let failed = open.as_ref().map(|open| open.reference.clone()).into_iter();
            client.failed_batches.extend(failed.chain(reference.map(str::to_owned)));
            let excess = client.failed_batches.len().saturating_sub(MAX_FAILED);
            client.failed_batches.drain(..excess);
            let label = open.and_then(|open| open.label);
            let mut line = Line::new();
            // The answer to the command that opened the batch, if it is not that one's turn.
            if let Some(label) = label.filter(|_| !is_labelled) {
                line = line.tag("label", &label);
            }
            let line = line.source(&server).command("FAIL").build();
            client.line(&format!("{line} BATCH {what}"));
        }
    }

    fn open_batch(&mut self, turn: &Turn<'_>, reference: &str) {
        let (kind, target) = (turn.param(1), turn.param(2));
        if kind != BATCH_TYPE {
            let context = Line::new().command("").param(reference).param(kind).build();
            let what = format!("UNKNOWN_TYPE{context} :Clients cannot open such a batch");
            return self.batch_fails(turn, Some(reference), &what);
        }
        // Source: IRCv3 batch: letters, numbers and hyphens.
        let is_fine = reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if reference.is_empty() || reference.len() > MAX_REFERENCE_BYTES || !is_fine {
            let context = Line::new().command("").param(reference).build();
            let what = format!("INVALID_REFTAG{context} :This is no reference of a batch");
            return self.batch_fails(turn, Some(reference), &what);
        }
        let is_busy = self.clients.get(&turn.client).is_some_and(|client| client.open_batch.is_some());
        if is_busy || target.is_empty() {
            return self.batch_fails(turn, Some(reference), "MULTILINE_INVALID :This batch cannot be opened");
        }
        let Some(client) = self.clients.get_mut(&turn.client) else { return };
        client.failed_batches.retain(|failed| failed != reference);
        client.open_batch = Some(OpenBatch {
            reference: reference.to_owned(),
            target: target.to_owned(),
            label: turn.label.clone(),
            reply: turn.reply(),
            tags: turn.client_tags(),
            verb: None,
            parts: Vec::new(),
            bytes: 0,
        });
        // Answered when the message is whole.
        self.is_deferred = true;
    }

    /// Takes a line with a `batch` tag from a client that may open batches.
    pub(super) fn batched_line(&mut self, turn: &Turn<'_>) -> bool {
        let Some(reference) = turn.message.tags.get("batch") else { return false };
        let Some(client) = self.clients.get_mut(&turn.client).filter(|client| client.has(Caps::MULTILINE))
        else {
            return false;
        };
        if client.failed_batches.iter().any(|failed| *failed == reference) {
            return true;
        }
        let Some(open) = client.open_batch.as_mut().filter(|open| open.reference == reference) else {
            self.batch_fails(turn, Some(&*reference), "MULTILINE_INVALID :No such batch is open");
            return true;
        };
        let verb = turn.message.command.to_ascii_uppercase();
        let (target, text) = (turn.param(0), turn.param(1));
        let is_concat = turn.message.tags.get(CONCAT_TAG).is_some();
        if !matches!(verb.as_str(), "PRIVMSG" | "NOTICE") || open.verb.as_ref().is_some_and(|v| *v != verb) {
            self.batch_fails(
                turn,
                None,
                "MULTILINE_INVALID :Only lines of one kind of message fit into the batch",
            );
            return true;
        }
        if !is_same(target, &open.target) {
            let opened = Line::new().command("").param(&open.target).param(target).build();
            self.batch_fails(turn, None, &format!("MULTILINE_INVALID_TARGET{opened} :The targets differ"));
            return true;
        }
        if is_concat && text.is_empty() {
            self.batch_fails(turn, None, "MULTILINE_INVALID :An empty line cannot go on");
            return true;
        }
        open.bytes += text.len() + usize::from(!is_concat && !open.parts.is_empty());
        open.verb = Some(verb);
        open.parts.push(Part { text: text.to_owned(), is_concat });
        if open.bytes > MULTILINE_BYTES {
            let what = format!("MULTILINE_MAX_BYTES {MULTILINE_BYTES} :The message has too many bytes");
            self.batch_fails(turn, None, &what);
        } else if open.parts.len() > MULTILINE_LINES {
            let what = format!("MULTILINE_MAX_LINES {MULTILINE_LINES} :The message has too many lines");
            self.batch_fails(turn, None, &what);
        }
        true
    }

    async fn close_batch(&mut self, turn: &Turn<'_>, reference: &str) {
        let Some(client) = self.clients.get_mut(&turn.client) else { return };
        if let Some(at) = client.failed_batches.iter().position(|failed| failed == reference) {
            client.failed_batches.remove(at);
            return;
        }
        let Some(open) = client.open_batch.take_if(|open| open.reference == reference) else {
            return self.batch_fails(turn, None, "MULTILINE_INVALID :No such batch is open");
        };
        // The answer belongs to the command that opened the batch.
        let label = open.label.clone().filter(|_| turn.label.is_none());
        if label.is_some()
            && let Some(client) = self.clients.get_mut(&turn.client)
        {
            client.capture = Some(Capture::default());
        }
        self.say_whole(turn, open).await;
        if let Some(label) = label {
            self.answer_labelled(turn.client, &label);
        }
    }

    async fn say_whole(&mut self, turn: &Turn<'_>, open: OpenBatch) {
        if open.parts.iter().all(|part| part.text.trim().is_empty()) {
            return self.fails(turn.client, "BATCH", "MULTILINE_INVALID", &[], "The message is empty");
        }
        let verb = open.verb.unwrap_or_default();
        let typed = Typed {
            target: open.target,
            text: joined(&open.parts),
            parts: open.parts,
            tags: open.tags,
            labels: open.label.into_iter().collect(),
            reply: open.reply,
            is_notice: verb == "NOTICE",
        };
        self.said_in_lines(turn, &verb, typed).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_back() {
        let text = format!("one\n\n{} {}\n", "字".repeat(50), "word ".repeat(40));
        let parts = parts(&text, 100);
        assert!(parts.iter().all(|part| part.text.len() <= 100));
        assert!(parts.iter().any(|part| part.is_concat));
        assert_eq!(joined(&parts), text);
    }
}
