//! Headers of a tar archive: as much of the format as plain files need.
//!
//! Source: POSIX.1-2001, pax interchange format, "ustar Interchange Format"; lengths beyond 8 GiB as GNU tar
//! writes them (GNU tar manual, "Extending the ustar format": base-256 numbers).

/// Everything in an archive is a multiple of this.
pub(crate) const BLOCK: usize = 512;
/// An archive ends with two empty blocks.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// The longest name without a prefix field.
const NAME_BYTES: usize = 100;
/// The longest length in eleven octal digits.
const OCTAL_MAX: u64 = 0o777_7777_7777;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
}

impl Header {
    pub(crate) fn new(name: impl Into<String>, size_bytes: u64) -> Self {
        Self { name: name.into(), size_bytes }
    }

    /// The block in front of the file. Names are ours and short.
    pub(crate) fn block(&self, mtime_s: u64) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| {
            block.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
        };
        put(0, self.name.get(..NAME_BYTES).unwrap_or(&self.name).as_bytes());
        put(100, b"0000600\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        if self.size_bytes <= OCTAL_MAX {
            put(124, format!("{:011o}\0", self.size_bytes).as_bytes());
        } else {
            put(124, &[0x80, 0, 0, 0]);
            put(128, &self.size_bytes.to_be_bytes());
        }
        put(136, format!("{:011o}\0", mtime_s.min(OCTAL_MAX)).as_bytes());
        put(148, b"        ");
        put(156, b"0");
        put(257, b"ustar\x0000");
        let sum = checksum(&block);
        let text = format!("{sum:06o}\0 ");
        block.iter_mut().skip(148).zip(text.as_bytes()).for_each(|(to, from)| *to = *from);
        block
    }

    /// Reads such a block; `None` for the empty block that ends an archive.
    pub(crate) fn read(block: &[u8; BLOCK]) -> Result<Option<Self>, String> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let field = |at: usize, length: usize| block.get(at..at + length).unwrap_or_default();
        let text = |at, length| {
            let bytes: &[u8] = field(at, length);
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).trim().to_owned()
        };
        let octal = |text: String| u64::from_str_radix(&text, 8).ok();
        if octal(text(148, 8)) != Some(u64::from(checksum(block))) {
            return Err("a header is damaged, or the file is no tar archive".to_owned());
        }
        let name = text(0, NAME_BYTES);
        let size_bytes = match field(124, 12) {
            [0x80, 0, 0, 0, rest @ ..] => rest.try_into().ok().map(u64::from_be_bytes),
            _ => octal(text(124, 12)),
        };
        let size_bytes = size_bytes.ok_or_else(|| format!("the length of {name} is not a number"))?;
        match field(156, 1) {
            [b'0' | 0] => Ok(Some(Self { name, size_bytes })),
            _ => Err(format!("{name} is no plain file")),
        }
    }
}

/// What fills the last block of a file.
pub(crate) fn padding(size_bytes: u64) -> usize {
    let rest = usize::try_from(size_bytes % BLOCK as u64).unwrap_or(0);
    if rest == 0 { 0 } else { BLOCK - rest }
}

/// The sum of all bytes, those of the sum itself taken as blanks.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let byte = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) };
    block.iter().enumerate().map(byte).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_as_it_was() {
        for (name, size) in [("a", 0), ("media/ab/cdef", 513), ("wxgate.db", OCTAL_MAX), ("big", u64::MAX)] {
            let header = Header::new(name, size);
            assert_eq!(Header::read(&header.block(1_700_000_000)), Ok(Some(header)));
        }
        assert_eq!(Header::read(&[0; BLOCK]), Ok(None));
    }

    #[test]
    fn damage_is_seen() {
        let mut block = Header::new("a", 5).block(0);
        block[0] ^= 1;
        assert!(Header::read(&block).unwrap_err().contains("damaged"));
        assert!(Header::read(&[7; BLOCK]).is_err());
    }

    #[test]
    fn files_end_at_a_whole_block() {
        assert_eq!([0, 1, 511, 512, 513].map(padding), [0, 511, 1, 0, 511]);
    }
}
