//! Whole pictures.

use super::*;
use crate::grid::Grid;

/// Colours that change slowly, as photographs do.
fn landscape(width: u32, height: u32) -> Grid {
    let shade = |at: u32, of: u32| u8::try_from(at * 255 / of.max(1)).unwrap();
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let rgb = places.map(|(x, y)| [shade(x, width), shade(y, height), 128]).collect();
    Grid { width, height, rgb }
}

fn png_of(grid: &Grid, alpha: Option<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, grid.width, grid.height);
    encoder.set_color(if alpha.is_some() { png::ColorType::Rgba } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    let data: Vec<u8> = grid.rgb.iter().flat_map(|pixel| pixel.iter().copied().chain(alpha)).collect();
    encoder.write_header().unwrap().write_image_data(&data).unwrap();
    out
}

#[test]
fn what_is_written_is_read_again_by_somebody_elses_decoder() {
    let grid = landscape(83, 45);
    let file = jpeg::encode(&grid);
    let mut decoder = jpeg_decoder::Decoder::new(file.as_slice());
    let pixels = decoder.decode().unwrap();
    let info = decoder.info().unwrap();
    assert_eq!((u32::from(info.width), u32::from(info.height)), (83, 45));
    let off = pixels.iter().zip(grid.rgb.iter().flatten()).map(|(a, b)| u32::from(a.abs_diff(*b)));
    assert!(off.clone().max().unwrap() <= 16 && off.sum::<u32>() / 3 / 83 / 45 <= 3);
}

#[test]
fn noise_survives_the_writer_too() {
    let mut state = 7_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let rgb: Vec<[u8; 3]> = (0..64 * 64).map(|_| [noise(), noise(), noise()]).collect();
    let file = jpeg::encode(&Grid { width: 64, height: 64, rgb });
    assert_eq!(jpeg_decoder::Decoder::new(file.as_slice()).decode().unwrap().len(), 64 * 64 * 3);
}

#[test]
fn a_large_picture_gets_a_small_copy() {
    for file in [png_of(&landscape(1600, 1200), None), jpeg::encode(&landscape(1600, 1200))] {
        let preview = of(file.as_slice()).unwrap();
        assert_eq!(preview.size, (1600, 1200));
        let thumbnail = preview.thumbnail.unwrap();
        assert!(thumbnail.size.0 <= EDGE && thumbnail.size.0 > EDGE / 2, "{thumbnail:?}");
        assert!(thumbnail.jpeg.len() < 40_000, "{thumbnail:?}");
        let again = of(thumbnail.jpeg.as_slice()).unwrap();
        assert_eq!((again.size, again.thumbnail), (thumbnail.size, None));
        // The same colours, as far as the format tells them apart.
        assert_eq!(again.blurhash.get(..4), preview.blurhash.get(..4));
    }
}

#[test]
fn a_small_picture_has_its_colours_alone() {
    let preview = of(png_of(&landscape(100, 60), None).as_slice()).unwrap();
    assert_eq!((preview.size, &preview.thumbnail), ((100, 60), &None));
    assert_eq!(preview.blurhash.len(), 28);
    let clear = of(png_of(&landscape(100, 60), Some(0)).as_slice()).unwrap();
    let white = Grid { rgb: vec![[255; 3]; 6_000], ..landscape(100, 60) };
    assert_eq!(clear.blurhash, of(png_of(&white, None).as_slice()).unwrap().blurhash);
}

#[test]
fn a_moving_picture_is_its_first_frame() {
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, 8, 8, &[255, 0, 0, 0, 0, 255]).unwrap();
    for colour in [0, 1] {
        let frame = gif::Frame { width: 8, height: 8, buffer: vec![colour; 64].into(), ..Default::default() };
        encoder.write_frame(&frame).unwrap();
    }
    drop(encoder);
    let red = Grid { width: 8, height: 8, rgb: vec![[255, 0, 0]; 64] };
    let preview = of(file.as_slice()).unwrap();
    assert_eq!(preview.blurhash, of(png_of(&red, None).as_slice()).unwrap().blurhash);
    assert_eq!(preview.size, (8, 8));
}

#[test]
fn what_is_broken_has_no_preview_and_does_no_harm() {
    let whole = [
        png_of(&landscape(90, 90), Some(9)),
        jpeg::encode(&landscape(90, 90)),
        b"GIF89a\x08\0\x08\0\0\0\0".to_vec(),
    ];
    let mut state = 1_u32;
    for file in &whole {
        for cut in 0..file.len().min(400) {
            of(&file[..cut]);
        }
        for _ in 0..300 {
            let mut broken = file.clone();
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = state as usize % broken.len();
            broken[at] ^= (state >> 8) as u8;
            of(broken.as_slice());
        }
    }
    for none in [&b""[..], b"plain words", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"] {
        assert_eq!(of(none), None);
    }
    // It promises more pixels than anybody could hold.
    let mut huge = png_of(&landscape(9, 9), None);
    huge[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    assert_eq!(of(huge.as_slice()), None);
}

/// A grey JPEG that says `SOF`, its size and its colours, and then begins `passes` passes without a single pixel: behind
/// a marker the decoder reads zeros.
fn hollow(sof: u8, (width, height): (u16, u16), colours: u8, passes: usize) -> Vec<u8> {
    let segment = |marker: u8, data: &[u8]| {
        let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
        [&[0xff, marker][..], &length, data].concat()
    };
    let each = |with: fn(u8) -> Vec<u8>| (1..=colours).flat_map(with).collect::<Vec<u8>>();
    let mut file = vec![0xff, 0xd8];
    file.extend(segment(0xdb, &[&[0][..], &[1; 64]].concat()));
    // In both tables the code 0 is the only one, and means that nothing changes.
    for table in [0x00, 0x10] {
        file.extend(segment(0xc4, &[&[table, 1][..], &[0; 16]].concat()));
    }
    let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
    file.extend(segment(sof, &[&[8][..], &size, &[colours], &each(|n| vec![n, 0x11, 0])].concat()));
    let spectrum = match sof {
        0xc0 => [0, 63, 0],
        0xc2 => [0, 0, 0],
        _ => [1, 0, 0],
    };
    for _ in 0..passes {
        file.extend(segment(0xda, &[&[colours][..], &each(|n| vec![n, 0]), &spectrum].concat()));
    }
    file.extend([0xff, 0xd9]);
    file
}

#[test]
fn a_jpeg_without_loss_is_not_held_whole() {
    assert!(of(hollow(0xc0, (64, 64), 1, 1).as_slice()).is_some());
    assert_eq!(of(hollow(0xc3, (64, 64), 1, 1).as_slice()), None);
}

#[test]
fn a_jpeg_in_passes_is_bounded_by_what_it_holds() {
    assert!(of(hollow(0xc2, (640, 640), 3, 1).as_slice()).is_some());
    // 25.6 million pixels of three colours, and of one.
    assert_eq!(of(hollow(0xc2, (6_400, 4_000), 3, 1).as_slice()), None);
    assert!(of(hollow(0xc2, (6_400, 4_000), 1, 1).as_slice()).is_some());
}

#[test]
fn a_png_may_hold_what_begins_a_pass_of_a_jpeg() {
    let grid = Grid { width: 64, height: 64, rgb: vec![[0xff, 0xda, 0]; 64 * 64] };
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, grid.width, grid.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::NoCompression);
    encoder.set_filter(png::Filter::NoFilter);
    let data: Vec<u8> = grid.rgb.concat();
    encoder.write_header().unwrap().write_image_data(&data).unwrap();
    assert!(file.windows(2).filter(|pair| *pair == [0xff, 0xda]).count() > 4_000);
    assert_eq!(of(file.as_slice()).unwrap().size, (64, 64));
}

#[test]
fn few_bytes_do_not_make_many_passes() {
    assert!(of(hollow(0xc2, (64, 64), 1, 12).as_slice()).is_some());
    assert_eq!(of(hollow(0xc2, (64, 64), 1, 1_000).as_slice()), None);
    let now = std::time::Instant::now();
    assert!(decode::decode(hollow(0xc2, (64, 64), 1, 12).as_slice(), now).is_none(), "its time is over");
}
