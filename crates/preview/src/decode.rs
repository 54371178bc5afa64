//! From bytes to a small grid, by the format that the first bytes show.

use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::time::Instant;

use jpeg_decoder::CodingProcess;

use crate::EDGE;
use crate::grid::{Grid, Shrink};
use crate::turn::Turn;
use crate::watched::Watched;

/// Pixels of the largest picture that is looked at. Chosen: a telephone takes 50 million.
const PIXELS: u64 = 50_000_000;
/// Samples, pixels times colours, of the largest JPEG in passes: while it is decoded it holds two bytes for each.
/// Chosen: 150 MB at most.
const SAMPLES: u64 = 75_000_000;
/// Pixels of the largest screen of a GIF, which is held whole, four bytes each. Chosen: stickers have
/// a quarter of a million.
const SCREEN: u64 = 4_000_000;
/// What one row or one table of a PNG may take. Chosen: a row of the widest picture, twice.
const PNG_BYTES: usize = 16 << 20;
/// How a JPEG begins. Source: ITU T.81, annex B (SOI, and the first byte of the next marker).
const JPEG: [u8; 3] = [0xff, 0xd8, 0xff];
/// How many bytes tell the format.
const HEAD_BYTES: u64 = 8;

/// A picture as it was found.
pub(crate) struct Decoded {
    /// Of the picture itself, before it is turned.
    pub(crate) size: (u32, u32),
    pub(crate) grid: Grid,
    pub(crate) turn: Turn,
}

/// Reads a picture; of what is not through by `until` there is none.
pub(crate) fn decode(source: impl Read, until: Instant) -> Option<Decoded> {
    let mut source = Watched::new(source, until);
    let mut head = Vec::new();
    source.by_ref().take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    let is_jpeg = head.starts_with(&JPEG);
    source.count_passes(is_jpeg);
    let whole = Cursor::new(head.clone()).chain(source);
    match head.as_slice() {
        _ if is_jpeg => jpeg(whole),
        [0x89, b'P', b'N', b'G', ..] => png(whole),
        [b'G', b'I', b'F', b'8', ..] => gif(whole),
        _ => None,
    }
}

fn fits((width, height): (u32, u32), pixels: u64) -> bool {
    width > 0 && height > 0 && u64::from(width) * u64::from(height) <= pixels
}

fn jpeg(source: impl Read) -> Option<Decoded> {
    let mut decoder = jpeg_decoder::Decoder::new(source);
    decoder.read_info().ok()?;
    let info = decoder.info()?;
    let size = (u32::from(info.width), u32::from(info.height));
    let colours = info.pixel_format.pixel_bytes() as u64;
    let fits = match info.coding_process {
        CodingProcess::DctSequential => fits(size, PIXELS),
        CodingProcess::DctProgressive => fits(size, PIXELS.min(SAMPLES / colours)),
        // It is decoded whole, at six bytes for each sample. Nobody's camera writes it.
        CodingProcess::Lossless => false,
    };
    if !fits {
        return None;
    }
    // The smallest of an eighth, a quarter, a half and the whole that has this many pixels at least.
    let edge = u16::try_from(EDGE).ok()?;
    let (width, height) = decoder.scale(edge, edge).ok()?;
    let pixels = decoder.decode().ok()?;
    let to_rgb: fn(&[u8]) -> [u8; 3] = match decoder.info()?.pixel_format {
        jpeg_decoder::PixelFormat::L8 => |pixel| [first(pixel); 3],
        jpeg_decoder::PixelFormat::RGB24 => |pixel| [pixel[0], pixel[1], pixel[2]],
        jpeg_decoder::PixelFormat::CMYK32 => |pixel| {
            let ink = |at: usize| (u16::from(pixel[at]) * u16::from(pixel[3]) / 255) as u8;
            [ink(0), ink(1), ink(2)]
        },
        jpeg_decoder::PixelFormat::L16 => return None,
    };
    let depth = decoder.info()?.pixel_format.pixel_bytes();
    let mut shrink = Shrink::new(u32::from(width), u32::from(height), EDGE);
    for row in pixels.chunks_exact(usize::from(width) * depth) {
        shrink.row(row.chunks_exact(depth).map(to_rgb));
    }
    let turn = decoder.exif_data().map_or(Turn::NONE, Turn::read);
    Some(Decoded { size, grid: shrink.finish(), turn })
}

fn first(pixel: &[u8]) -> u8 {
    pixel.first().copied().unwrap_or(0)
}

fn png(source: impl Read) -> Option<Decoded> {
    let limits = png::Limits { bytes: PNG_BYTES };
    let mut decoder = png::Decoder::new_with_limits(Forward(BufReader::new(source)), limits);
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().ok()?;
    let info = reader.info();
    let size = (info.width, info.height);
    // In passes its rows come several times; nobody sends such a picture to be looked at quickly.
    if !fits(size, PIXELS) || info.interlaced {
        return None;
    }
    let to_rgb: fn(&[u8]) -> [u8; 3] = match reader.output_color_type().0 {
        png::ColorType::Grayscale => |pixel| [first(pixel); 3],
        png::ColorType::GrayscaleAlpha => |pixel| on_white([pixel[0]; 3], pixel[1]),
        png::ColorType::Rgb => |pixel| [pixel[0], pixel[1], pixel[2]],
        png::ColorType::Rgba => |pixel| on_white([pixel[0], pixel[1], pixel[2]], pixel[3]),
        png::ColorType::Indexed => return None,
    };
    let depth = reader.output_color_type().0.samples();
    let mut shrink = Shrink::new(size.0, size.1, EDGE);
    while let Some(row) = reader.next_row().ok()? {
        shrink.row(row.data().chunks_exact(depth).map(to_rgb));
    }
    Some(Decoded { size, grid: shrink.finish(), turn: Turn::NONE })
}

fn gif(source: impl Read) -> Option<Decoded> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    options.set_memory_limit(gif::MemoryLimit::Bytes((SCREEN * 4).try_into().ok()?));
    let mut decoder = options.read_info(source).ok()?;
    let size = (u32::from(decoder.width()), u32::from(decoder.height()));
    if !fits(size, SCREEN) {
        return None;
    }
    let frame = decoder.read_next_frame().ok()??;
    let (left, top) = (u32::from(frame.left), u32::from(frame.top));
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    let mut shrink = Shrink::new(size.0, size.1, EDGE);
    for y in 0..size.1 {
        shrink.row((0..size.0).map(|x| {
            let inside = x >= left && x < left + width && y >= top && y < top + height;
            let place = inside.then(|| ((y - top) as usize * width as usize + (x - left) as usize) * 4);
            match place.and_then(|place| frame.buffer.get(place..place + 4)) {
                Some(pixel) => on_white([pixel[0], pixel[1], pixel[2]], pixel[3]),
                None => [255; 3],
            }
        }));
    }
    Some(Decoded { size, grid: shrink.finish(), turn: Turn::NONE })
}

/// What shows through is white, as in most conversations.
fn on_white(colour: [u8; 3], opacity: u8) -> [u8; 3] {
    let opacity = u16::from(opacity);
    colour.map(|value| ((u16::from(value) * opacity + 255 * (255 - opacity)) / 255) as u8)
}

/// A source that goes forward only. The decoder asks for more in its signature than it ever uses.
struct Forward<R>(BufReader<R>);

impl<R: Read> Read for Forward<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl<R: Read> BufRead for Forward<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl<R> Seek for Forward<R> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(ErrorKind::Unsupported.into())
    }
}
