//! Small copies of pictures, made while the bytes pass by: a thumbnail, and the blurred colours that a
//! client shows until it has more (blurhash).
//!
//! The decoders are those of the image-rs project; what is left of a picture is a grid of at most
//! [`EDGE`] pixels on each side. A JPEG is decoded at an eighth of its size where that is enough, a PNG
//! row by row, a GIF up to its first frame. Broken pictures have no preview; nothing here fails otherwise.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail by panicking"))]

mod blurhash;
mod decode;
mod grid;
mod jpeg;
mod turn;
mod watched;

use std::io::Read;
use std::time::{Duration, Instant};

/// Longer edge of a thumbnail, in pixels. Chosen: what clients show in a conversation, at two pixels
/// a point on a phone.
pub const EDGE: u32 = 640;
/// Pixels of the longer edge that the blurhash is made of: it holds twelve waves at most.
const BLUR_EDGE: u32 = 32;
/// How long a picture is worked at. Chosen: the largest photograph on a small machine; a file can be made so that it
/// takes hours.
const PATIENCE: Duration = Duration::from_secs(10);

/// A picture in small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Width and height of the whole picture as it is shown.
    pub size: (u32, u32),
    /// The blurred colours. Source: <https://github.com/woltapp/blurhash>, Algorithm.md.
    pub blurhash: String,
    /// Where the picture is much larger than it.
    pub thumbnail: Option<Thumbnail>,
}

/// A small copy.
#[derive(Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// Its own width and height.
    pub size: (u32, u32),
    /// A JPEG.
    pub jpeg: Vec<u8>,
}

impl std::fmt::Debug for Thumbnail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Thumbnail({:?}, {} bytes)", self.size, self.jpeg.len())
    }
}

/// Reads a picture to its end or to what is needed of it; `None` for what is none, is broken, is too large to be looked
/// at, or takes longer than ten seconds.
pub fn of(source: impl Read) -> Option<Preview> {
    let decode::Decoded { size, grid, turn } = decode::decode(source, Instant::now() + PATIENCE)?;
    let grid = turn.apply(grid);
    let blurred = grid.shrunk(BLUR_EDGE);
    let is_much_larger = size.0.max(size.1) > EDGE;
    let thumbnail =
        is_much_larger.then(|| Thumbnail { size: (grid.width, grid.height), jpeg: jpeg::encode(&grid) });
    Some(Preview { size: turn.size(size), blurhash: blurhash::encode(&blurred), thumbnail })
}

#[cfg(test)]
mod tests;
