//! The blurred colours of a picture in some thirty letters.
//!
//! Source: <https://github.com/woltapp/blurhash>, Algorithm.md: a cosine transform of linear light,
//! quantised, in base 83.

use std::f32::consts::PI;

use crate::grid::Grid;

const DIGITS: &[u8; 83] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";
/// Waves along the longer and the shorter edge. Chosen: as the format's own example.
const WAVES: (u32, u32) = (4, 3);

/// The hash of a small grid; each pixel is visited once for each wave.
pub(crate) fn encode(grid: &Grid) -> String {
    let (across, down) = if grid.width < grid.height { (WAVES.1, WAVES.0) } else { WAVES };
    let light: Vec<[f32; 3]> = grid.rgb.iter().map(|pixel| pixel.map(linear)).collect();
    let waves = (0..down).flat_map(|j| (0..across).map(move |i| (i, j)));
    let factors: Vec<[f32; 3]> = waves.map(|wave| factor(grid, &light, wave)).collect();
    let Some((mean, rest)) = factors.split_first() else { return String::new() };

    let mut hash = String::new();
    put(&mut hash, (across - 1) + (down - 1) * 9, 1);
    let most = rest.iter().flatten().fold(0_f32, |most, value| most.max(value.abs()));
    let step = (most * 166.0 - 0.5).floor().clamp(0.0, 82.0);
    put(&mut hash, step as u32, 1);
    let [red, green, blue] = mean.map(|value| u32::from(srgb(value)));
    put(&mut hash, red << 16 | green << 8 | blue, 4);
    let most = (step + 1.0) / 166.0;
    for factor in rest {
        let [red, green, blue] = factor.map(|value| {
            let root = (value / most).abs().sqrt().copysign(value);
            (root * 9.0 + 9.5).floor().clamp(0.0, 18.0) as u32
        });
        put(&mut hash, (red * 19 + green) * 19 + blue, 2);
    }
    hash
}

/// How strong one wave is in each colour.
fn factor(grid: &Grid, light: &[[f32; 3]], (i, j): (u32, u32)) -> [f32; 3] {
    let wave = |n: u32, length: u32| -> Vec<f32> {
        (0..length).map(|at| (PI * n as f32 * at as f32 / length as f32).cos()).collect()
    };
    let (across, down) = (wave(i, grid.width), wave(j, grid.height));
    let mut sum = [0_f32; 3];
    for (row, down) in light.chunks_exact(across.len().max(1)).zip(&down) {
        for (pixel, across) in row.iter().zip(&across) {
            for (sum, value) in sum.iter_mut().zip(pixel) {
                *sum += across * down * value;
            }
        }
    }
    let twice = if (i, j) == (0, 0) { 1.0 } else { 2.0 };
    sum.map(|sum| sum * twice / light.len().max(1) as f32)
}

fn put(hash: &mut String, value: u32, digits: u32) {
    for place in (0..digits).rev() {
        let digit = value / 83_u32.pow(place) % 83;
        hash.push(DIGITS.get(digit as usize).map_or('~', |byte| char::from(*byte)));
    }
}

fn linear(value: u8) -> f32 {
    let value = f32::from(value) / 255.0;
    if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

fn srgb(value: f32) -> u8 {
    let value = value.clamp(0.0, 1.0);
    let shown = if value <= 0.003_130_8 { value * 12.92 } else { 1.055 * value.powf(1.0 / 2.4) - 0.055 };
    (shown * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(width: u32, height: u32, colour: impl Fn(u32, u32) -> [u8; 3]) -> Grid {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Grid { width, height, rgb: places.map(|(x, y)| colour(x, y)).collect() }
    }

    /// What a small white square gives is known far and wide.
    #[test]
    fn white_has_the_hash_that_everybody_gives_it() {
        assert_eq!(encode(&grid(4, 4, |_, _| [255; 3])), "L~TSUA~qfQ~q~q%MfQ%MfQfQfQfQ");
    }

    #[test]
    fn the_mean_colour_stands_in_front() {
        let hash = encode(&grid(8, 4, |_, _| [255, 0, 0]));
        // 'L' is 21: four waves across and three down.
        assert!(hash.starts_with('L') && hash.len() == 28, "{hash}");
        let digit =
            |byte: u8| u32::try_from(DIGITS.iter().position(|digit| *digit == byte).unwrap()).unwrap();
        let mean = hash.bytes().skip(2).take(4).fold(0, |sum, byte| sum * 83 + digit(byte));
        assert_eq!(mean, 0xff_00_00);
    }

    #[test]
    fn a_tall_picture_has_its_waves_the_other_way() {
        // 'T' is 29: three across and four down.
        assert!(encode(&grid(4, 8, |x, y| [x as u8 * 60, y as u8 * 30, 128])).starts_with('T'));
        assert_ne!(
            encode(&grid(8, 4, |x, _| [x as u8 * 30; 3])),
            encode(&grid(8, 4, |_, y| [y as u8 * 60; 3]))
        );
    }
}
