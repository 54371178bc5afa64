//! Moving WebP, which the program of Debian 12 cannot read: its pictures are taken out of the file, each a file
//! that the program reads, and laid over each other here. Pure.
//!
//! Source: RFC 9649, sections 2.3 to 2.7.

/// Pictures of one file. Chosen: ten seconds at ten a second; what moves longer is a film.
pub(crate) const PICTURES: usize = 100;
/// Pixels of one edge. Chosen: stickers of Matrix have 512 at most, and each picture is a megabyte then.
const EDGE: u32 = 512;
/// Pictures a second that are handed on.
pub(crate) const RATE: u32 = 20;

/// What moves.
#[derive(Debug)]
pub(crate) struct Animation {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pictures: Vec<Picture>,
}

/// One of its pictures, which may be a part of the whole.
#[derive(Debug)]
pub(crate) struct Picture {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    ms: u32,
    /// It is laid over what is there, and does not take its place.
    blends: bool,
    /// Its place is empty afterwards.
    is_cleared: bool,
    /// As a file of its own.
    pub(crate) file: Vec<u8>,
}

/// True for a file that moves.
pub(crate) fn is_moving(head: &[u8]) -> bool {
    const MOVES: u8 = 0x02;
    head.get(8..16) == Some(b"WEBPVP8X") && head.get(20).is_some_and(|flags| flags & MOVES != 0)
}

/// Takes a file apart; the error says why it cannot be.
pub(crate) fn take_apart(file: &[u8]) -> Result<Animation, &'static str> {
    let body = file.get(12..).ok_or("it ends early")?;
    let mut all = Chunks(body);
    let (_, about) = all.next().ok_or("it ends early")?;
    let (width, height) = (number(about, 4)? + 1, number(about, 7)? + 1);
    if width > EDGE || height > EDGE {
        return Err("it moves and is larger than a sticker");
    }
    let mut pictures = Vec::new();
    for (_, chunk) in all.filter(|(name, _)| name == b"ANMF") {
        if pictures.len() == PICTURES {
            break;
        }
        pictures.push(picture(chunk, (width, height))?);
    }
    if pictures.is_empty() { Err("it has no pictures") } else { Ok(Animation { width, height, pictures }) }
}

fn picture(chunk: &[u8], (all_width, all_height): (u32, u32)) -> Result<Picture, &'static str> {
    let (x, y) = (number(chunk, 0)? * 2, number(chunk, 3)? * 2);
    let (width, height) = (number(chunk, 6)? + 1, number(chunk, 9)? + 1);
    if x + width > all_width || y + height > all_height {
        return Err("a picture of it lies outside");
    }
    let (ms, flags) = (number(chunk, 12)?, *chunk.get(15).ok_or("it ends early")?);
    let inner = chunk.get(16..).ok_or("it ends early")?;
    let (blends, is_cleared) = (flags & 0x02 == 0, flags & 0x01 != 0);
    Ok(Picture { x, y, width, height, ms, blends, is_cleared, file: still(inner, width, height) })
}

/// The chunks of one picture as a file of its own.
fn still(inner: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut body = Vec::from(*b"WEBP");
    let kept: Vec<_> =
        Chunks(inner).filter(|(name, _)| matches!(name, b"ALPH" | b"VP8 " | b"VP8L")).collect();
    if kept.iter().any(|(name, _)| name == b"ALPH") {
        // See-through parts beside a lossy picture are an extension, which has to be announced.
        let mut about = vec![0x10, 0, 0, 0];
        for edge in [width - 1, height - 1] {
            about.extend_from_slice(&edge.to_le_bytes()[..3]);
        }
        put(&mut body, *b"VP8X", &about);
    }
    kept.into_iter().for_each(|(name, chunk)| put(&mut body, name, chunk));
    let mut file = Vec::from(*b"RIFF");
    file.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    file.append(&mut body);
    file
}

fn put(body: &mut Vec<u8>, name: [u8; 4], chunk: &[u8]) {
    body.extend_from_slice(&name);
    body.extend_from_slice(&u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_le_bytes());
    body.extend_from_slice(chunk);
    if chunk.len() % 2 == 1 {
        body.push(0);
    }
}

/// 24 bits, the lowest first.
fn number(bytes: &[u8], at: usize) -> Result<u32, &'static str> {
    match bytes.get(at..at + 3) {
        Some([a, b, c]) => Ok(u32::from_le_bytes([*a, *b, *c, 0])),
        _ => Err("it ends early"),
    }
}

/// The chunks of a file, as far as they are whole.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let name: [u8; 4] = self.0.get(..4)?.try_into().ok()?;
        let size: [u8; 4] = self.0.get(4..8)?.try_into().ok()?;
        let size = usize::try_from(u32::from_le_bytes(size)).ok()?;
        let chunk = self.0.get(8..)?.get(..size)?;
        self.0 = self.0.get(8 + size + size % 2..).unwrap_or_default();
        Some((name, chunk))
    }
}

/// What is seen, in four bytes a pixel.
pub(crate) struct Canvas {
    width: usize,
    pub(crate) pixels: Vec<u8>,
}

impl Canvas {
    pub(crate) fn of(animation: &Animation) -> Self {
        let (width, height) = (animation.width as usize, animation.height as usize);
        Self { width, pixels: vec![0; width * height * 4] }
    }

    /// Shows one picture whose pixels are given; false when they are not as many as they must be.
    pub(crate) fn show(&mut self, picture: &Picture, pixels: &[u8]) -> bool {
        let row_bytes = picture.width as usize * 4;
        if pixels.len() != row_bytes * picture.height as usize {
            return false;
        }
        for (n, row) in pixels.chunks_exact(row_bytes).enumerate() {
            let Some(there) = self.row(picture, n) else { return false };
            for (below, above) in there.chunks_exact_mut(4).zip(row.chunks_exact(4)) {
                if picture.blends { lay_over(below, above) } else { below.copy_from_slice(above) }
            }
        }
        true
    }

    /// What is left when a picture's time is over.
    pub(crate) fn pass(&mut self, picture: &Picture) {
        if picture.is_cleared {
            for n in 0..picture.height as usize {
                if let Some(row) = self.row(picture, n) {
                    row.fill(0);
                }
            }
        }
    }

    fn row(&mut self, picture: &Picture, n: usize) -> Option<&mut [u8]> {
        let start = ((picture.y as usize + n) * self.width + picture.x as usize) * 4;
        self.pixels.get_mut(start..start + picture.width as usize * 4)
    }
}

impl Picture {
    /// How often it is handed on.
    pub(crate) fn times(&self) -> usize {
        usize::try_from((self.ms * RATE + 500) / 1000).unwrap_or(1).clamp(1, PICTURES)
    }
}

/// Source: RFC 9649, section 2.7.1.1, "Alpha-blending".
fn lay_over(below: &mut [u8], above: &[u8]) {
    let ([.., a], [.., b]) = (above, &*below) else { return };
    let (a, b) = (u32::from(*a), u32::from(*b));
    let out = a + b * (255 - a) / 255;
    for n in 0..3 {
        let mixed = u32::from(above[n]) * a + u32::from(below[n]) * (b * (255 - a) / 255);
        below[n] = u8::try_from(mixed.checked_div(out).unwrap_or(0)).unwrap_or(255);
    }
    below[3] = u8::try_from(out).unwrap_or(255);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moving(flags: u8) -> Vec<u8> {
        let mut body = Vec::from(*b"WEBP");
        put(&mut body, *b"VP8X", &[0x12, 0, 0, 0, 3, 0, 0, 3, 0, 0]);
        let mut frame = vec![1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 100, 0, 0, flags];
        put(&mut frame, *b"VP8L", b"odd");
        put(&mut body, *b"ANMF", &frame);
        let mut file = Vec::from(*b"RIFF");
        file.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        file.append(&mut body);
        file
    }

    #[test]
    fn a_picture_is_a_part_of_the_whole_at_its_place() {
        let file = moving(0x01);
        assert!(is_moving(&file) && !is_moving(b"RIFF....WEBPVP8L"));
        let animation = take_apart(&file).unwrap();
        let picture = &animation.pictures[0];
        assert_eq!((animation.width, picture.x, picture.y, picture.width, picture.times()), (4, 2, 2, 2, 2));
        assert_eq!(&picture.file[8..20], b"WEBPVP8L\x03\0\0\0");
        let mut canvas = Canvas::of(&animation);
        assert!(canvas.show(picture, &[9; 16]) && !canvas.show(picture, &[9; 15]));
        assert_eq!(canvas.pixels.iter().filter(|byte| **byte != 0).count(), 16);
        canvas.pass(picture);
        assert!(canvas.pixels.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_is_cut_off_or_lies_outside_is_refused() {
        let file = moving(0);
        for end in 0..file.len() {
            assert!(take_apart(&file[..end]).is_err(), "{end}");
        }
        let mut outside = file.clone();
        outside[38] = 2;
        assert!(take_apart(&outside).is_err());
        let mut large = file;
        large[25] = 0xff;
        assert!(take_apart(&large).is_err());
    }

    #[test]
    fn half_seen_through_is_mixed() {
        let mut below = [200, 0, 0, 255];
        lay_over(&mut below, &[0, 200, 0, 128]);
        assert_eq!(below[3], 255);
        assert!((95..=105).contains(&below[0]) && (95..=105).contains(&below[1]), "{below:?}");
        lay_over(&mut below, &[0, 0, 0, 0]);
        assert_eq!(below[3], 255);
    }
}
