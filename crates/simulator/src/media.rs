//! Small pictures, sounds, films and documents that real decoders accept, made from a number.

use bytes::Bytes;

use crate::seed::Dice;

/// What a generated file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Jpeg,
    Png,
    Gif,
    Mp3,
    Mp4,
    Pdf,
}

impl Sort {
    pub(crate) fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Mp3 => "audio/mp3",
            Self::Mp4 => "video/mp4",
            Self::Pdf => "application/octet-stream",
        }
    }
}

/// The file of this sort that belongs to `seed`.
pub(crate) fn make(sort: Sort, seed: u64) -> Bytes {
    match sort {
        Sort::Jpeg => jpeg(seed, 12),
        Sort::Png => png(seed, 48),
        Sort::Gif => gif(seed, 32),
        Sort::Mp3 => mp3(44),
        Sort::Mp4 => mp4(seed),
        Sort::Pdf => pdf(seed),
    }
}

/// Whether block (x, y) of a picture `side` blocks wide belongs to its mirrored pattern.
fn pattern(seed: u64, side: usize, x: usize, y: usize) -> bool {
    let mirrored = x.min(side - 1 - x);
    let bit = (mirrored / 2 + (y / 2) * side) % 61;
    (crate::seed::mix(seed) >> bit) & 1 == 1
}

/// A baseline JPEG in grey, `side` × `side` blocks of eight pixels, each block one shade.
///
/// A block of one shade has only a DC coefficient, so the whole encoder is one small Huffman table.
pub(crate) fn jpeg(seed: u64, side: usize) -> Bytes {
    let pixels = u16::try_from(side * 8).unwrap_or(8).to_be_bytes();
    let mut out = vec![0xff, 0xd8];
    out.extend_from_slice(b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x48\x00\x48\x00\x00");
    // Quantisation table: 8 everywhere, so that a DC step is one grey level.
    out.extend_from_slice(&[0xff, 0xdb, 0, 67, 0]);
    out.extend_from_slice(&[8; 64]);
    out.extend_from_slice(&[0xff, 0xc0, 0, 11, 8]);
    out.extend_from_slice(&pixels);
    out.extend_from_slice(&pixels);
    out.extend_from_slice(&[1, 1, 0x11, 0]);
    // DC table: the twelve categories, each with a code of four bits. AC table: end-of-block is `0`.
    out.extend_from_slice(&[0xff, 0xc4, 0, 31, 0x00, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend(0..12_u8);
    out.extend_from_slice(&[0xff, 0xc4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&[0xff, 0xda, 0, 8, 1, 1, 0x00, 0, 63, 0]);
    let mut bits = BitWriter::default();
    let mut before = 0_i32;
    let light = i32::from(40 + (seed % 60) as u8);
    for y in 0..side {
        for x in 0..side {
            let level = if pattern(seed, side, x, y) { light } else { -light };
            bits.push_dc(level - before);
            bits.push(0, 1);
            before = level;
        }
    }
    out.extend(bits.finish());
    out.extend_from_slice(&[0xff, 0xd9]);
    Bytes::from(out)
}

/// Bits, highest first, with JPEG's stuffing of a zero after each 0xff.
#[derive(Default)]
struct BitWriter {
    out: Vec<u8>,
    held: u32,
    count: u32,
}

impl BitWriter {
    fn push(&mut self, value: u32, length: u32) {
        for at in (0..length).rev() {
            self.held = (self.held << 1) | ((value >> at) & 1);
            self.count += 1;
            if self.count == 8 {
                let byte = (self.held & 0xff) as u8;
                self.out.push(byte);
                if byte == 0xff {
                    self.out.push(0);
                }
                self.held = 0;
                self.count = 0;
            }
        }
    }

    fn push_dc(&mut self, difference: i32) {
        let magnitude = difference.unsigned_abs();
        let category = 32 - magnitude.leading_zeros();
        self.push(category, 4);
        let coded = if difference < 0 { (1_u32 << category) - 1 - magnitude } else { magnitude };
        self.push(coded, category);
    }

    fn finish(mut self) -> Vec<u8> {
        while self.count != 0 {
            self.push(1, 1);
        }
        self.out
    }
}

fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = 0xffff_ffff_u32;
    for byte in parts.iter().copied().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

fn png_chunk(out: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    out.extend_from_slice(&u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(data);
    out.extend_from_slice(&crc32(&[name, data]).to_be_bytes());
}

/// A PNG in grey whose pixels are stored without compression.
fn png(seed: u64, side: usize) -> Bytes {
    let mut raw = Vec::new();
    for y in 0..side {
        raw.push(0);
        for x in 0..side {
            raw.push(if pattern(seed, side / 4, x / 4, y / 4) { 40 } else { 220 });
        }
    }
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in &raw {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    let length = u16::try_from(raw.len()).unwrap_or(0);
    let mut data = vec![0x78, 0x01, 0x01];
    data.extend_from_slice(&length.to_le_bytes());
    data.extend_from_slice(&(!length).to_le_bytes());
    data.extend_from_slice(&raw);
    data.extend_from_slice(&((high << 16) | low).to_be_bytes());
    let size = u32::try_from(side).unwrap_or(1).to_be_bytes();
    let mut header = Vec::new();
    header.extend_from_slice(&size);
    header.extend_from_slice(&size);
    header.extend_from_slice(&[8, 0, 0, 0, 0]);
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    png_chunk(&mut out, b"IHDR", &header);
    png_chunk(&mut out, b"IDAT", &data);
    png_chunk(&mut out, b"IEND", &[]);
    Bytes::from(out)
}

/// A GIF of two frames, written without compression (a clear code before the table could grow).
fn gif(seed: u64, side: usize) -> Bytes {
    let size = u16::try_from(side).unwrap_or(1).to_le_bytes();
    let mut out = b"GIF89a".to_vec();
    out.extend_from_slice(&size);
    out.extend_from_slice(&size);
    out.extend_from_slice(&[0x80, 0, 0, 0xff, 0xff, 0xff, 0x20, 0x60, 0xa0]);
    out.extend_from_slice(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00");
    for frame in 0..2 {
        out.extend_from_slice(&[0x21, 0xf9, 4, 0, 50, 0, 0, 0]);
        out.push(0x2c);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&size);
        out.extend_from_slice(&size);
        out.extend_from_slice(&[0, 2]);
        // Codes are three bits wide: 4 is clear, 5 is end. Clearing after every pixel keeps them so.
        let (mut held, mut count, mut data) = (0_u32, 0_u32, Vec::new());
        let mut push = |code: u32| {
            held |= code << count;
            count += 3;
            while count >= 8 {
                data.push((held & 0xff) as u8);
                held >>= 8;
                count -= 8;
            }
        };
        for y in 0..side {
            for x in 0..side {
                push(4);
                push(u32::from(pattern(seed ^ frame, side / 2, x / 2, y / 2)));
            }
        }
        push(5);
        push(0);
        push(0);
        for block in data.chunks(255) {
            out.push(u8::try_from(block.len()).unwrap_or(0));
            out.extend_from_slice(block);
        }
        out.push(0);
    }
    out.push(0x3b);
    Bytes::from(out)
}

/// `frames` × 36 ms of silence: MPEG-1 layer III, 32 kbit/s, 32 kHz, mono.
fn mp3(frames: usize) -> Bytes {
    let mut frame = [0_u8; 144];
    frame[..4].copy_from_slice(&[0xff, 0xfb, 0x18, 0xc0]);
    Bytes::from(frame.repeat(frames))
}

fn mp4_box(name: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = 8 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut out = u32::try_from(length).unwrap_or(8).to_be_bytes().to_vec();
    out.extend_from_slice(name);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// A film of one picture shown for two seconds: an MP4 whose only sample is a JPEG.
fn mp4(seed: u64) -> Bytes {
    const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
    let picture = jpeg(seed, 12);
    let size = u32::try_from(picture.len()).unwrap_or(0);
    let file_type = mp4_box(b"ftyp", &[b"isom", &words(&[512]), b"isomiso2mp41"]);
    let data_at = u32::try_from(file_type.len() + 8).unwrap_or(0);
    let data = mp4_box(b"mdat", &[&picture]);
    let mut movie_header = words(&[0, 0, 0, 1_000, 2_000, 0x1_0000, 0x0100_0000, 0, 0]);
    movie_header.extend(words(&MATRIX));
    movie_header.extend(words(&[0, 0, 0, 0, 0, 0, 2]));
    let mut track_header = words(&[7, 0, 0, 1, 0, 2_000, 0, 0, 0, 0]);
    track_header.extend(words(&MATRIX));
    track_header.extend(words(&[96 << 16, 96 << 16]));
    let media_header = words(&[0, 0, 0, 1_000, 2_000, 0x55c4_0000]);
    let mut handler = words(&[0, 0]);
    handler.extend_from_slice(b"vide");
    handler.extend(words(&[0, 0, 0]));
    handler.extend_from_slice(b"video\0");
    let mut entry = vec![0, 0, 0, 0, 0, 0, 0, 1];
    entry.extend_from_slice(&[0; 16]);
    entry.extend_from_slice(&[0, 96, 0, 96, 0, 0x48, 0, 0, 0, 0x48, 0, 0, 0, 0, 0, 0, 0, 1]);
    entry.extend_from_slice(&[0; 32]);
    entry.extend_from_slice(&[0, 24, 0xff, 0xff]);
    let sample_table = mp4_box(
        b"stbl",
        &[
            &mp4_box(b"stsd", &[&words(&[0, 1]), &mp4_box(b"jpeg", &[&entry])]),
            &mp4_box(b"stts", &[&words(&[0, 1, 1, 2_000])]),
            &mp4_box(b"stsc", &[&words(&[0, 1, 1, 1, 1])]),
            &mp4_box(b"stsz", &[&words(&[0, size, 1])]),
            &mp4_box(b"stco", &[&words(&[0, 1, data_at])]),
        ],
    );
    let media_info = mp4_box(
        b"minf",
        &[
            &mp4_box(b"vmhd", &[&words(&[1, 0, 0])]),
            &mp4_box(b"dinf", &[&mp4_box(b"dref", &[&words(&[0, 1]), &mp4_box(b"url ", &[&words(&[1])])])]),
            &sample_table,
        ],
    );
    let media =
        mp4_box(b"mdia", &[&mp4_box(b"mdhd", &[&media_header]), &mp4_box(b"hdlr", &[&handler]), &media_info]);
    let track = mp4_box(b"trak", &[&mp4_box(b"tkhd", &[&track_header]), &media]);
    let movie = mp4_box(b"moov", &[&mp4_box(b"mvhd", &[&movie_header]), &track]);
    Bytes::from([file_type, data, movie].concat())
}

/// A page with one line of text.
fn pdf(seed: u64) -> Bytes {
    let text = format!("BT /F1 24 Tf 72 720 Td (Minutes no. {}) Tj ET", seed % 1_000);
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut out = "%PDF-1.4\n".to_owned();
    let mut places = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        places.push(out.len());
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", at + 1));
    }
    let table = out.len();
    out.push_str("xref\n0 6\n0000000000 65535 f \n");
    for place in places {
        out.push_str(&format!("{place:010} 00000 n \n"));
    }
    out.push_str(&format!("trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n"));
    Bytes::from(out)
}

/// A sort and a seed that fit a message number, so that pictures are not all of one format.
pub(crate) fn picture_sort(seed: u64) -> Sort {
    if Dice::new(seed).below(4) == 0 { Sort::Png } else { Sort::Jpeg }
}

#[cfg(test)]
mod tests {
    use super::{Sort, make};

    #[test]
    fn files_begin_and_end_as_their_formats_demand() {
        let jpeg = make(Sort::Jpeg, 5);
        assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]) && jpeg.ends_with(&[0xff, 0xd9]));
        let png = make(Sort::Png, 5);
        assert!(png.starts_with(b"\x89PNG") && png.ends_with(&[0xae, 0x42, 0x60, 0x82]));
        assert!(make(Sort::Gif, 5).ends_with(&[0, 0x3b]));
        assert_eq!(make(Sort::Mp3, 5).len(), 44 * 144);
        assert_eq!(&make(Sort::Mp4, 5)[4..8], b"ftyp");
        assert!(make(Sort::Pdf, 5).ends_with(b"%%EOF\n"));
        assert_ne!(make(Sort::Jpeg, 5), make(Sort::Jpeg, 6));
        assert_eq!(make(Sort::Jpeg, 5), make(Sort::Jpeg, 5));
    }
}
