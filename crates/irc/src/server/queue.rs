//! What waits to be written to one client.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::names::cut_text;
use crate::wire::framing::MAX_BODY_BYTES;

/// The bytes between the session that says and the writer that writes.
///
/// A lock and not a channel: thousands of lines a second would each cost an allocation and a
/// wake-up there; here they are appended to one buffer that the writer takes whole. The lock is
/// held for a copy or a swap, never across an await.
#[derive(Debug)]
pub(super) struct SendQueue {
    state: Mutex<State>,
    more: Notify,
    drained: Notify,
    room: Notify,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Taken by the writer and not known to be written.
    writing_bytes: usize,
    /// Written since the beginning.
    written_bytes: u64,
    /// What others say, while the client is told something that it must not come between.
    held: Option<Vec<u8>>,
    /// Somebody waits for everything to be written.
    is_awaited: bool,
    is_closed: bool,
}

impl State {
    /// So many bytes more are more than may wait.
    fn is_too_much(&self, more: usize, max_bytes: usize) -> bool {
        let held = self.held.as_ref().map_or(0, Vec::len);
        self.bytes.len() + self.writing_bytes + held + more > max_bytes
    }
}

/// What fits a line; tags have room of their own. Only descriptions are ever longer; messages are split.
fn fitting(line: &str) -> &str {
    let tags = if line.starts_with('@') { line.find(' ').map_or(0, |at| at + 1) } else { 0 };
    cut_text(line, tags + MAX_BODY_BYTES - 2)
}

/// A line with its end. Whatever went into it: one line is one line, and no longer than lines may be.
pub(super) fn whole(line: &str) -> Vec<u8> {
    let line = fitting(line);
    let is_odd = |byte: &u8| matches!(byte, 0 | b'\r' | b'\n');
    let mut bytes = Vec::with_capacity(line.len() + 2);
    bytes.extend_from_slice(line.as_bytes());
    if bytes.iter().any(is_odd) {
        bytes.retain(|byte| !is_odd(byte));
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// What the writer is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The buffer was filled.
    Bytes,
    /// Everything was taken and nothing more will come.
    Closed,
}

impl SendQueue {
    pub(super) fn new(max_bytes: usize) -> Self {
        let (more, drained, room) = (Notify::new(), Notify::new(), Notify::new());
        Self { state: Mutex::default(), more, drained, room, max_bytes }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic elsewhere leaves bytes that are still whole lines.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends whole lines; false when the client is gone, or was too slow and is closed now.
    /// Call [`SendQueue::wake`] after the last line of a turn.
    pub(super) fn push(&self, lines: &[u8]) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            return false;
        }
        if state.is_too_much(lines.len(), self.max_bytes) {
            state.bytes.extend_from_slice(b"ERROR :SendQ exceeded\r\n");
            state.is_closed = true;
            drop(state);
            self.room.notify_one();
            self.wake();
            return false;
        }
        state.bytes.extend_from_slice(lines);
        true
    }

    /// From now on what others say waits for [`SendQueue::release`].
    pub(super) fn hold(&self) {
        self.lock().held.get_or_insert_default();
    }

    /// What was held comes now, in its order.
    pub(super) fn release(&self) {
        let mut state = self.lock();
        if let Some(held) = state.held.take().filter(|held| !held.is_empty() && !state.is_closed) {
            state.bytes.extend_from_slice(&held);
            drop(state);
            self.wake();
        }
    }

    /// Appends whole lines of others and wakes the writer, now or when the client has been told what comes first.
    pub(super) fn push_from_others(&self, lines: &[u8]) {
        let mut state = self.lock();
        let has_room = !state.is_closed && !state.is_too_much(lines.len(), self.max_bytes);
        match &mut state.held {
            Some(held) if has_room => held.extend_from_slice(lines),
            _ => {
                drop(state);
                self.push(lines);
                self.wake();
            }
        }
    }

    /// Appends one line, without its end; as [`SendQueue::push`].
    pub(super) fn push_line(&self, line: &str) -> bool {
        self.push(&whole(line))
    }

    /// Appends the last lines and closes.
    pub(super) fn close(&self, lines: &[u8]) {
        let mut state = self.lock();
        if !state.is_closed {
            state.bytes.extend_from_slice(lines);
            state.is_closed = true;
        }
        drop(state);
        self.room.notify_one();
        self.wake();
    }

    /// Wakes the writer.
    pub(super) fn wake(&self) {
        self.more.notify_one();
    }

    /// The client has taken so many bytes of what the writer took.
    pub(super) fn wrote(&self, bytes: usize) {
        let mut state = self.lock();
        state.writing_bytes = state.writing_bytes.saturating_sub(bytes);
        state.written_bytes += bytes as u64;
        drop(state);
        self.room.notify_one();
    }

    /// Bytes that the client has taken since it came.
    pub(super) fn written_bytes(&self) -> u64 {
        self.lock().written_bytes
    }

    /// Waits until a quarter of the bound or less waits: then an answer fits. One waiter only.
    pub(super) async fn room(&self) {
        while !self.is_closed() && self.len_bytes() > self.max_bytes / 4 {
            self.room.notified().await;
        }
    }

    /// True when more than so many bytes wait; then it is told when all of them are written. In a steady
    /// stream nobody asks, and nobody is woken for each line.
    pub(super) fn is_ahead(&self, max_bytes: usize) -> bool {
        let mut state = self.lock();
        let is_ahead = state.bytes.len() + state.writing_bytes > max_bytes;
        state.is_awaited |= is_ahead;
        is_ahead
    }

    /// Tells when what waits is written; of an empty queue when the next bytes are.
    pub(super) fn await_drained(&self) {
        self.lock().is_awaited = true;
    }

    /// Bytes that wait.
    pub(super) fn len_bytes(&self) -> usize {
        let state = self.lock();
        state.bytes.len() + state.writing_bytes
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Waits for bytes and swaps them into `buffer`, which says at the same time that what it held
    /// is written. Cancel safe.
    pub(super) async fn take(&self, buffer: &mut Vec<u8>) -> Taken {
        let mut was_writing = !buffer.is_empty();
        buffer.clear();
        loop {
            {
                let mut state = self.lock();
                state.writing_bytes = 0;
                if !state.bytes.is_empty() {
                    std::mem::swap(&mut state.bytes, buffer);
                    state.writing_bytes = buffer.len();
                    return Taken::Bytes;
                }
                if state.is_closed {
                    return Taken::Closed;
                }
                if std::mem::take(&mut was_writing) && std::mem::take(&mut state.is_awaited) {
                    self.drained.notify_one();
                }
            }
            self.more.notified().await;
        }
    }

    /// Waits until everything was written after somebody asked to be told. One waiter only.
    pub(super) async fn drained(&self) {
        self.drained.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_pushed_is_taken_whole() {
        let queue = SendQueue::new(100);
        let mut buffer = Vec::new();
        assert!(queue.push(b"a\r\n") && queue.push(b"b\r\n"));
        queue.wake();
        assert_eq!(queue.take(&mut buffer).await, Taken::Bytes);
        assert_eq!(buffer, b"a\r\nb\r\n");
        assert_eq!(queue.len_bytes(), 6);
        queue.close(b"ERROR :x\r\n");
        assert!(!queue.push(b"late\r\n"));
        assert_eq!(queue.take(&mut buffer).await, Taken::Bytes);
        assert_eq!(buffer, b"ERROR :x\r\n");
        assert_eq!(queue.take(&mut buffer).await, Taken::Closed);
    }

    #[tokio::test]
    async fn only_who_asked_is_told_that_all_is_written() {
        let queue = SendQueue::new(100);
        let mut buffer = Vec::new();
        let told = async |queue: &SendQueue, buffer: &mut Vec<u8>| {
            queue.push(b"a\r\n");
            assert_eq!(queue.take(buffer).await, Taken::Bytes);
            tokio::select! {
                biased;
                _ = queue.take(buffer) => false,
                () = queue.drained() => true,
                () = std::future::ready(()) => false,
            }
        };
        assert!(!told(&queue, &mut buffer).await, "nobody asked");
        assert!(!queue.is_ahead(3));
        assert!(!told(&queue, &mut buffer).await, "three bytes are not more than three");
        assert!(queue.push(b"b\r\n") && queue.is_ahead(2));
        assert!(told(&queue, &mut buffer).await);
        assert!(!told(&queue, &mut buffer).await, "once");
        queue.await_drained();
        assert!(told(&queue, &mut buffer).await);
    }

    #[tokio::test]
    async fn what_others_say_waits_for_what_comes_first() {
        let queue = SendQueue::new(20);
        let mut buffer = Vec::new();
        queue.hold();
        queue.push_from_others(b"hi\r\n");
        assert!(queue.push(b"001\r\n"));
        queue.push_from_others(b"ho\r\n");
        queue.release();
        queue.push_from_others(b"he\r\n");
        assert_eq!(queue.take(&mut buffer).await, Taken::Bytes);
        assert_eq!(buffer, b"001\r\nhi\r\nho\r\nhe\r\n");
        buffer.clear();
        queue.take(&mut buffer).now_or_never();
        queue.hold();
        queue.push_from_others(b"0123456789\r\n");
        queue.push_from_others(b"0123456789\r\n");
        assert!(queue.is_closed(), "what is held is bounded too");
        queue.release();
        assert_eq!(queue.take(&mut buffer).await, Taken::Bytes);
        assert_eq!(buffer, b"ERROR :SendQ exceeded\r\n");
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(whole("PING :a"), b"PING :a\r\n");
        assert_eq!(whole("a\r\nb\0c\n"), b"abc\r\n");
        let tags = format!("@+x={} ", "y".repeat(4000));
        let body = format!(":a!b@c QUIT :{}", "x".repeat(600));
        assert_eq!(whole(&body).len(), 512);
        assert_eq!(whole(&format!("{tags}{body}")).len(), tags.len() + 512, "tags have room of their own");
        let body = format!(":a!b@c QUIT :{}", "字".repeat(200));
        assert_eq!(whole(&body).len(), 510, "cut between characters");
    }

    #[tokio::test]
    async fn too_much_closes_with_a_word() {
        let queue = SendQueue::new(10);
        assert!(queue.push(b"12345678\r\n"));
        assert!(!queue.push(b"x\r\n"));
        let mut buffer = Vec::new();
        assert_eq!(queue.take(&mut buffer).await, Taken::Bytes);
        assert_eq!(buffer, b"12345678\r\nERROR :SendQ exceeded\r\n");
        assert_eq!(queue.take(&mut buffer).await, Taken::Closed);
    }
}
