//! The line between two instances: frames over TCP, encrypted by a key that both know.
//!
//! Source: The Noise Protocol Framework, revision 34: sections 7.4 and 9 (pattern NNpsk0), 3 (no message is longer than
//! 65,535 bytes). On the wire each message stands behind its length, two bytes, most significant first; a frame is cut
//! into as many as it needs, and begins with its own length, four bytes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use snow::{Builder, StatelessTransportState};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// What both must mean by this line; part of the handshake.
const PROLOGUE: &[u8] = b"wxgate instances 1";
/// Longest Noise message.
const MESSAGE: usize = 65_535;
/// Of that, what proves that it is whole.
const TAG: usize = 16;
/// Longest frame. Chosen: above the largest batch that an account hands over (an answer of the service has at most 64
/// MiB, and becomes less).
const FRAME: usize = 64 << 20;
/// Both sides say one word each. Chosen: a slow line's round trips.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why a line cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Noise(#[from] snow::Error),
    #[error("a frame of {0} bytes, of which at most {FRAME} may be")]
    TooLong(usize),
    #[error("a word that cannot be read: {0}")]
    Word(String),
}

/// The end that reads.
pub(crate) struct Reader<R> {
    io: R,
    keys: Arc<StatelessTransportState>,
    nonce: u64,
    sealed: Vec<u8>,
    open: Vec<u8>,
}

/// The end that writes.
pub(crate) struct Writer<W> {
    io: W,
    keys: Arc<StatelessTransportState>,
    nonce: u64,
    sealed: Vec<u8>,
}

/// Which side speaks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Whoever connected.
    Worker,
    /// Whoever listens.
    Leader,
}

/// Agrees on the line's keys. Whoever has another key is not understood: an error.
pub(crate) async fn agree<R, W>(
    (mut reader, mut writer): (R, W),
    key: &[u8; 32],
    side: Side,
) -> Result<(Reader<R>, Writer<W>), LineError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let builder = Builder::new(PATTERN.parse()?).psk(0, key)?.prologue(PROLOGUE)?;
    let mut noise = match side {
        Side::Worker => builder.build_initiator()?,
        Side::Leader => builder.build_responder()?,
    };
    let mut sealed = Vec::new();
    while !noise.is_handshake_finished() {
        if noise.is_my_turn() {
            sealed.resize(MESSAGE, 0);
            let length = noise.write_message(&[], &mut sealed)?;
            sealed.truncate(length);
            put(&mut writer, &sealed).await?;
            writer.flush().await?;
        } else {
            get(&mut reader, &mut sealed).await?;
            noise.read_message(&sealed, &mut [0; MESSAGE - TAG])?;
        }
    }
    let keys = Arc::new(noise.into_stateless_transport_mode()?);
    let reader =
        Reader { io: reader, keys: Arc::clone(&keys), nonce: 0, sealed: Vec::new(), open: Vec::new() };
    Ok((reader, Writer { io: writer, keys, nonce: 0, sealed: Vec::new() }))
}

async fn put<W: AsyncWrite + Unpin>(io: &mut W, message: &[u8]) -> Result<(), LineError> {
    let length = u16::try_from(message.len()).map_err(|_| LineError::TooLong(message.len()))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(message).await?;
    Ok(())
}

async fn get<R: AsyncRead + Unpin>(io: &mut R, message: &mut Vec<u8>) -> Result<(), LineError> {
    let mut length = [0; 2];
    io.read_exact(&mut length).await?;
    message.resize(usize::from(u16::from_be_bytes(length)), 0);
    io.read_exact(message).await?;
    Ok(())
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// The next word. Not cancel safe: whoever drops it in the middle has to drop the line.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<T, LineError> {
        self.open.clear();
        let mut wanted = None;
        loop {
            get(&mut self.io, &mut self.sealed).await?;
            let began = self.open.len();
            self.open.resize(began + self.sealed.len(), 0);
            let open = self.open.get_mut(began..).unwrap_or_default();
            let length = self.keys.read_message(self.nonce, &self.sealed, open)?;
            self.nonce += 1;
            self.open.truncate(began + length);
            let wanted = match wanted {
                Some(wanted) => wanted,
                None => {
                    let Some((length, _)) = self.open.split_first_chunk::<4>() else {
                        return Err(LineError::Word("a frame without a length".to_owned()));
                    };
                    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                    if length > FRAME {
                        return Err(LineError::TooLong(length));
                    }
                    *wanted.insert(length + 4)
                }
            };
            if self.open.len() >= wanted {
                break;
            }
        }
        let word = self.open.get(4..).unwrap_or_default();
        let word = rmp_serde::from_slice(word).map_err(|error| LineError::Word(error.to_string()));
        // A long one must not be paid for ever.
        self.open.clear();
        self.open.shrink_to(MESSAGE);
        word
    }
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Says a word; it may stay in a buffer until `flush`. After `TooLong` and `Word` nothing was said, and the line
    /// goes on.
    pub(crate) async fn say<T: Serialize>(&mut self, word: &T) -> Result<(), LineError> {
        let mut frame = vec![0; 4];
        let mut serializer = rmp_serde::Serializer::new(&mut frame).with_struct_map();
        word.serialize(&mut serializer).map_err(|error| LineError::Word(error.to_string()))?;
        let length = frame.len() - 4;
        if length > FRAME {
            return Err(LineError::TooLong(length));
        }
        let length = u32::try_from(length).map_err(|_| LineError::TooLong(length))?;
        if let Some((place, _)) = frame.split_first_chunk_mut::<4>() {
            *place = length.to_be_bytes();
        }
        for piece in frame.chunks(MESSAGE - TAG) {
            self.sealed.resize(piece.len() + TAG, 0);
            let length = self.keys.write_message(self.nonce, piece, &mut self.sealed)?;
            self.nonce += 1;
            let sealed = self.sealed.get(..length).unwrap_or_default();
            put(&mut self.io, sealed).await?;
        }
        Ok(())
    }

    pub(crate) async fn flush(&mut self) -> Result<(), LineError> {
        Ok(self.io.flush().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn both(worker: [u8; 32], leader: [u8; 32]) -> (Result<(), LineError>, Result<String, LineError>) {
        let (one, two) = tokio::io::duplex(1 << 16);
        let said = "宽".repeat(300_000);
        let speaks = async {
            let (_, mut writer) = agree(tokio::io::split(one), &worker, Side::Worker).await?;
            writer.say(&said).await?;
            writer.say(&"short").await?;
            writer.flush().await
        };
        let hears = async {
            let (mut reader, _writer) = agree(tokio::io::split(two), &leader, Side::Leader).await?;
            let long: String = reader.next().await?;
            assert_eq!(long, said);
            reader.next().await
        };
        tokio::join!(speaks, hears)
    }

    #[tokio::test]
    async fn long_and_short_words_arrive_and_another_key_is_not_understood() {
        let (said, heard) = both([1; 32], [1; 32]).await;
        said.unwrap();
        assert_eq!(heard.unwrap(), "short");
        let (said, heard) = both([1; 32], [2; 32]).await;
        assert!(said.is_err() && matches!(heard, Err(LineError::Noise(_))), "{heard:?}");
    }

    #[tokio::test]
    async fn what_was_changed_on_the_way_ends_the_line() {
        let (one, two) = tokio::io::duplex(1 << 16);
        let (three, four) = tokio::io::duplex(1 << 16);
        let key = [1; 32];
        // Somebody in between, who turns one bit of the last message.
        let between = async {
            let ((mut from_one, mut to_one), (mut from_four, mut to_four)) =
                (tokio::io::split(two), tokio::io::split(three));
            let mut message = Vec::new();
            get(&mut from_one, &mut message).await.unwrap();
            put(&mut to_four, &message).await.unwrap();
            get(&mut from_four, &mut message).await.unwrap();
            put(&mut to_one, &message).await.unwrap();
            get(&mut from_one, &mut message).await.unwrap();
            *message.last_mut().unwrap() ^= 1;
            put(&mut to_four, &message).await.unwrap();
        };
        let speaks = async {
            let (_, mut writer) = agree(tokio::io::split(one), &key, Side::Worker).await.unwrap();
            writer.say(&1_u8).await.unwrap();
            writer.flush().await.unwrap();
        };
        let hears = async {
            let (mut reader, _writer) = agree(tokio::io::split(four), &key, Side::Leader).await.unwrap();
            reader.next::<u8>().await
        };
        let (_, _, heard) = tokio::join!(between, speaks, hears);
        assert!(matches!(heard, Err(LineError::Noise(_))), "{heard:?}");
    }
}
