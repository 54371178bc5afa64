//! A source that ends with an error when a picture takes too long, or has more passes than a picture has.

use std::io::{self, ErrorKind, Read};
use std::time::Instant;

/// Passes of a JPEG over all its pixels. Chosen: encoders write some ten. Few bytes are enough for one, whatever the
/// picture's size.
const PASSES: u32 = 64;
/// Bytes between two looks at the clock.
const LOOK_BYTES: usize = 64 << 10;

pub(crate) struct Watched<R> {
    source: R,
    until: Instant,
    /// Bytes since the last look at the clock.
    unlooked: usize,
    passes: u32,
    counts_passes: bool,
    last: u8,
}

impl<R> Watched<R> {
    pub(crate) fn new(source: R, until: Instant) -> Self {
        Self { source, until, unlooked: 0, passes: 0, counts_passes: true, last: 0 }
    }

    /// Only a JPEG has passes: other formats hold the bytes of the marker by chance, once in 64 KiB.
    pub(crate) fn count_passes(&mut self, counts_passes: bool) {
        self.counts_passes = counts_passes;
    }

    /// How many passes begin in these bytes. In the pixels of a JPEG the marker does not occur. Source: ITU T.81, annex
    /// B (SOS).
    fn begin(&mut self, bytes: &[u8]) -> u32 {
        let mut begin = 0;
        if !self.counts_passes {
            return begin;
        }
        for byte in bytes {
            begin += u32::from(self.last == 0xff && *byte == 0xda);
            self.last = *byte;
        }
        begin
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(into)?;
        let begin = self.begin(into.get(..read).unwrap_or_default());
        self.passes += begin;
        self.unlooked += read;
        if begin == 0 && self.unlooked < LOOK_BYTES {
            return Ok(read);
        }
        self.unlooked = 0;
        let is_late = Instant::now() >= self.until;
        if is_late || self.passes > PASSES { Err(ErrorKind::TimedOut.into()) } else { Ok(read) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(bytes: &[u8], until: Instant) -> io::Result<usize> {
        // By ones, as the decoder reads.
        let mut watched = Watched::new(bytes, until);
        let mut byte = [0];
        let mut all = 0;
        while watched.read(&mut byte)? == 1 {
            all += 1;
        }
        Ok(all)
    }

    #[test]
    fn what_is_late_ends() {
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(600));
        let long = vec![0; LOOK_BYTES];
        assert_eq!(read(&long, later).unwrap(), LOOK_BYTES);
        assert!(read(&long, now).is_err());
    }
}
