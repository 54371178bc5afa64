//! Sign-in codes as pictures.
//!
//! A PNG of one bit per pixel, its data stored and not compressed: some thirty kilobytes that are
//! looked at once. The libraries that write PNG bring a compressor with seven crates along.
//! Source: PNG specification (third edition), sections 5, 10, 11; RFC 1950, RFC 1951 section 3.2.4.

use qrcode::{Color, EcLevel, QrCode};

/// Light modules around the code. Source: ISO/IEC 18004 asks for four.
const QUIET: usize = 4;
/// Pixels per module. Chosen: some 400 pixels across, which a phone reads from a screen at arm's
/// length and no client scales down.
const SCALE: usize = 8;
/// Largest stored block. Source: RFC 1951, section 3.2.4: its length has 16 bits.
const BLOCK: usize = 0xffff;

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) png: Vec<u8>,
    /// Pixels on each side.
    pub(crate) side: usize,
}

/// The code for `text`; `None` when the text is too long for one.
pub(crate) fn draw(text: &str) -> Option<Picture> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let is_dark = |x: usize, y: usize| {
        let (Some(x), Some(y)) = (x.checked_sub(QUIET), y.checked_sub(QUIET)) else { return false };
        x < width && y < width && colors.get(y * width + x) == Some(&Color::Dark)
    };
    let side = (width + 2 * QUIET) * SCALE;
    let mut pixels = Vec::with_capacity(side * (side / 8 + 2));
    for y in 0..side {
        // Each row begins with the kind of its filter: none.
        pixels.push(0);
        for byte in 0..side.div_ceil(8) {
            let light = |bit: usize| u8::from(!is_dark((byte * 8 + bit) / SCALE, y / SCALE));
            pixels.push((0..8).fold(0, |bits, bit| bits << 1 | light(bit)));
        }
    }
    Some(Picture { png: png(u32::try_from(side).ok()?, &pixels), side })
}

fn png(side: u32, pixels: &[u8]) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut head = Vec::new();
    head.extend(side.to_be_bytes());
    head.extend(side.to_be_bytes());
    // One bit of grey; the only compression, filtering and interlacing there are.
    head.extend([1, 0, 0, 0, 0]);
    chunk(&mut out, b"IHDR", &head);
    chunk(&mut out, b"IDAT", &stored(pixels));
    chunk(&mut out, b"IEND", &[]);
    out
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    let begin = out.len();
    out.extend(kind);
    out.extend(data);
    let sum = crc32(out.get(begin..).unwrap_or_default());
    out.extend(sum.to_be_bytes());
}

/// The data in the form that inflating gives back, without having compressed it.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = data.chunks(BLOCK).peekable();
    while let Some(block) = blocks.next() {
        out.push(u8::from(blocks.peek().is_none()));
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(adler32(data).to_be_bytes());
    out
}

/// Source: PNG specification, annex D; polynomial of ISO 3309.
fn crc32(data: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
    !data.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

/// Source: RFC 1950, section 8.2.
fn adler32(data: &[u8]) -> u32 {
    let sums = data.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (a + b) % 65_521)
    });
    sums.1 << 16 | sums.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_those_of_the_specifications() {
        // Source: the check values of CRC-32/ISO-HDLC and Adler-32 for these nine digits.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"123456789"), 0x091e_01de);
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
    }

    #[test]
    fn a_picture_holds_the_code_within_its_quiet_zone() {
        let text = "https://login.weixin.qq.com/l/oZwt_bFfRg==";
        let picture = draw(text).unwrap();
        let code = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
        let (width, row) = (code.width(), picture.side.div_ceil(8) + 1);
        assert_eq!(picture.side, (width + 8) * SCALE);
        // Behind the signature, the head, and the heads of chunk, stream and block.
        let pixels = picture.png.get(8 + 25 + 8 + 2 + 5..).unwrap();
        for y in 0..width {
            for x in 0..width {
                let (left, top) = ((x + QUIET) * SCALE, (y + QUIET) * SCALE);
                let byte = pixels[top * row + 1 + left / 8];
                let is_dark = byte >> (7 - left % 8) & 1 == 0;
                assert_eq!(is_dark, code[(x, y)] == Color::Dark, "{x} {y}");
            }
        }
        assert_eq!(pixels[0], 0);
        assert_eq!(pixels[1], 0xff);
    }

    #[test]
    fn long_data_is_stored_in_blocks() {
        let data = vec![7; BLOCK + 10];
        let out = stored(&data);
        assert_eq!(out.len(), 2 + 2 * 5 + data.len() + 4);
        assert_eq!((out[2], out[2 + 5 + BLOCK]), (0, 1));
    }

    #[test]
    fn what_fits_no_code_has_no_picture() {
        assert_eq!(draw(&"x".repeat(10_000)), None);
    }
}
