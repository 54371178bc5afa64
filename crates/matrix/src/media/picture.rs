//! Width and height of a picture, out of its first bytes. Never fails; what is unknown is `None`.

/// Reads PNG, GIF, WebP and JPEG.
pub(crate) fn dimensions(head: &[u8]) -> Option<(u32, u32)> {
    let found = png(head).or_else(|| gif(head)).or_else(|| webp(head)).or_else(|| jpeg(head))?;
    (found.0 > 0 && found.1 > 0).then_some(found)
}

fn be(bytes: &[u8], at: usize, len: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}

fn le(bytes: &[u8], at: usize, len: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}

/// Source: PNG specification, third edition, section 11.2.1 (IHDR comes first).
fn png(head: &[u8]) -> Option<(u32, u32)> {
    head.starts_with(b"\x89PNG\r\n\x1a\n").then_some(())?;
    (head.get(12..16)? == b"IHDR").then_some(())?;
    Some((be(head, 16, 4)?, be(head, 20, 4)?))
}

/// Source: GIF89a specification, section 18 (logical screen descriptor).
fn gif(head: &[u8]) -> Option<(u32, u32)> {
    (head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a")).then_some(())?;
    Some((le(head, 6, 2)?, le(head, 8, 2)?))
}

/// Source: RFC 9649, sections 2.5 to 2.7.
fn webp(head: &[u8]) -> Option<(u32, u32)> {
    (head.starts_with(b"RIFF") && head.get(8..12)? == b"WEBP").then_some(())?;
    match head.get(12..16)? {
        b"VP8 " => Some((le(head, 26, 2)? & 0x3fff, le(head, 28, 2)? & 0x3fff)),
        b"VP8L" => {
            let bits = le(head, 21, 4)?;
            Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        b"VP8X" => Some((le(head, 24, 3)? + 1, le(head, 27, 3)? + 1)),
        _ => None,
    }
}

/// Source: ITU T.81, annex B: segments with lengths; the frame header (SOF) tells the size.
fn jpeg(head: &[u8]) -> Option<(u32, u32)> {
    head.starts_with(&[0xff, 0xd8]).then_some(())?;
    let mut at = 2;
    loop {
        (*head.get(at)? == 0xff).then_some(())?;
        let marker = *head.get(at + 1)?;
        match marker {
            // Fill bytes before a marker.
            0xff => at += 1,
            // Markers without a segment.
            0x01 | 0xd0..=0xd9 => at += 2,
            // Frame headers; the gaps are tables and extensions.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Some((be(head, at + 7, 2)?, be(head, at + 5, 2)?));
            }
            _ => at += 2 + usize::try_from(be(head, at + 2, 2)?.max(2)).ok()?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_tells_its_size() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0";
        assert_eq!(dimensions(png), Some((640, 480)));
        assert_eq!(dimensions(b"GIF89a\x10\x00\x20\x00"), Some((16, 32)));
        assert_eq!(dimensions(b"RIFF....WEBPVP8X\x0a\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0"), Some((640, 480)));
        let jpeg =
            [&[0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xc2, 0, 17, 8][..], &[0x01, 0xe0, 0x02, 0x80, 3]]
                .concat();
        assert_eq!(dimensions(&jpeg), Some((640, 480)));
    }

    #[test]
    fn what_is_cut_off_or_none_is_unknown() {
        for bytes in [
            &b""[..],
            b"\xff\xd8\xff",
            b"GIF89a\x10",
            b"RIFF....WEBPVP8 ",
            b"plain text",
            b"\x89PNG\r\n\x1a\n",
        ] {
            assert_eq!(dimensions(bytes), None);
        }
        assert_eq!(dimensions(b"GIF89a\0\0\0\0"), None);
    }
}
