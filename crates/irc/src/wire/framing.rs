//! From bytes to lines, with the limits of both ends.

/// Tags that a client may send, with `@` and the space behind them: 4094 bytes of data. (A server
/// may send as much again, 8191 together.) Source: IRCv3 message-tags, "Size limit".
pub const MAX_TAG_BYTES: usize = 4096;
/// The rest of a line, with CRLF. Source: Modern IRC, "Messages".
pub const MAX_BODY_BYTES: usize = 512;
/// A line that grows past this without an end is no honest mistake: ERROR and close. Chosen.
pub const MAX_PENDING_BYTES: usize = 16 * 1024;

/// The peer sent more than [`MAX_PENDING_BYTES`] without ending the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the line does not end")]
pub struct EndlessLine;

/// Collects bytes and gives lines. Holds at most one unfinished line plus one read.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    start: usize,
    scanned: usize,
}

impl LineBuffer {
    /// Takes what was read.
    pub fn push(&mut self, read: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.scanned = self.scanned.saturating_sub(self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(read);
    }

    /// The next whole line without its end, if there is one.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, EndlessLine> {
        let from = self.scanned.max(self.start);
        let found = self.bytes.get(from..).and_then(|rest| rest.iter().position(|b| *b == b'\n'));
        let Some(offset) = found else {
            self.scanned = self.bytes.len();
            return if self.bytes.len().saturating_sub(self.start) > MAX_PENDING_BYTES {
                Err(EndlessLine)
            } else {
                Ok(None)
            };
        };
        let end = from + offset;
        let start = std::mem::replace(&mut self.start, end + 1);
        self.scanned = end + 1;
        if end - start > MAX_PENDING_BYTES {
            return Err(EndlessLine);
        }
        let line = self.bytes.get(start..end).unwrap_or_default();
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }
}

/// True when a line from a client is longer than clients may send: 417, never cut silently.
pub fn is_too_long(line: &[u8]) -> bool {
    let tag_bytes = match line.first() {
        Some(b'@') => line.iter().position(|b| *b == b' ').map_or(line.len(), |at| at + 1),
        _ => 0,
    };
    tag_bytes > MAX_TAG_BYTES || line.len() - tag_bytes + 2 > MAX_BODY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn crlf_lf_and_pieces_make_lines() {
        let mut buffer = LineBuffer::default();
        buffer.push(b"NICK a\r\nUSER");
        assert_eq!(buffer.next_line(), Ok(Some(&b"NICK a"[..])));
        assert_eq!(buffer.next_line(), Ok(None));
        buffer.push(b" b\n\n");
        assert_eq!(buffer.next_line(), Ok(Some(&b"USER b"[..])));
        assert_eq!(buffer.next_line(), Ok(Some(&b""[..])));
        assert_eq!(buffer.next_line(), Ok(None));
    }

    #[test]
    fn an_endless_line_is_told() {
        let mut buffer = LineBuffer::default();
        buffer.push(&vec![b'a'; MAX_PENDING_BYTES]);
        assert_eq!(buffer.next_line(), Ok(None));
        buffer.push(b"aa");
        assert_eq!(buffer.next_line(), Err(EndlessLine));
    }

    #[test]
    fn tags_and_body_have_limits_of_their_own() {
        assert!(!is_too_long(&[b'a'; 510]));
        assert!(is_too_long(&[b'a'; 511]));
        let tagged = |tags: usize, body: usize| {
            let mut line = vec![b'@'];
            line.resize(tags - 1, b'x');
            line.push(b' ');
            line.resize(tags + body, b'y');
            line
        };
        assert!(!is_too_long(&tagged(4096, 510)));
        assert!(is_too_long(&tagged(4097, 10)));
        assert!(is_too_long(&tagged(100, 511)));
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_lines(
            lines in prop::collection::vec("[a-z]{0,40}", 0..20), cuts in prop::collection::vec(1usize..30, 1..40),
        ) {
            let all: Vec<u8> = lines.iter().flat_map(|l| [l.as_bytes(), b"\r\n"].concat()).collect();
            let (mut buffer, mut got, mut rest) = (LineBuffer::default(), Vec::new(), &all[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                buffer.push(head);
                rest = tail;
                while let Some(line) = buffer.next_line().unwrap() {
                    got.push(String::from_utf8(line.to_vec()).unwrap());
                }
            }
            prop_assert_eq!(got, lines);
        }
    }
}
