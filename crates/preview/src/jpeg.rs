//! Writes a JPEG: baseline, three components side by side, one pair of Huffman tables for all.
//!
//! Source: ITU T.81, annexes A (transform), B (syntax), F (coding), K (tables K.1, K.2, K.3, K.5).

use std::f32::consts::{FRAC_1_SQRT_2, PI};

use crate::grid::Grid;

/// Of 100. Chosen: twenty to forty kilobytes for a thumbnail, in which nobody sees the difference.
const QUALITY: u32 = 75;

const LIGHT: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17,
    22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78,
    87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];
const COLOUR: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
];
/// Places of a block in the order in which they are written.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];
/// How many codes there are of each length, and what they stand for: of the first value of a block, and
/// of the others.
const FIRST: ([u8; 16], &[u8]) =
    ([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
const OTHER: ([u8; 16], &[u8]) = (
    [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d],
    b"\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xa1\x08\x23\x42\
      \xb1\xc1\x15\x52\xd1\xf0\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28\x29\x2a\x34\x35\
      \x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58\x59\x5a\x63\x64\x65\x66\x67\
      \x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\
      \x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\
      \xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\
      \xf5\xf6\xf7\xf8\xf9\xfa",
);

/// The grid as a file.
pub(crate) fn encode(grid: &Grid) -> Vec<u8> {
    let tables = [scaled(&LIGHT), scaled(&COLOUR)];
    let mut writer = Writer { out: b"\xff\xd8".to_vec(), bits: 0, count: 0 };
    writer.heads(grid, &tables);
    let (first, other) = (codes(&FIRST), codes(&OTHER));
    let cosines = cosines();
    let mut before = [0_i32; 3];
    for top in (0..grid.height).step_by(8) {
        for left in (0..grid.width).step_by(8) {
            for (component, before) in before.iter_mut().enumerate() {
                let table = &tables[component.min(1)];
                let block = quantised(&transformed(&block(grid, (left, top), component), &cosines), table);
                writer.block(&block, before, (&first, &other));
            }
        }
    }
    writer.finish()
}

/// Source: the scale that the reference library of the Independent JPEG Group made common.
fn scaled(table: &[u8; 64]) -> [u8; 64] {
    let scale = if QUALITY < 50 { 5_000 / QUALITY } else { 200 - 2 * QUALITY };
    table.map(|value| u8::try_from(((u32::from(value) * scale + 50) / 100).clamp(1, 255)).unwrap_or(u8::MAX))
}

/// One component of eight by eight pixels, around zero; beyond the edge the last pixel goes on.
/// Source: JFIF 1.02, conversion to and from RGB.
fn block(grid: &Grid, (left, top): (u32, u32), component: usize) -> [f32; 64] {
    let weights = [[0.299, 0.587, 0.114], [-0.168_736, -0.331_264, 0.5], [0.5, -0.418_688, -0.081_312]];
    let [of_red, of_green, of_blue]: [f32; 3] = weights[component.min(2)];
    let shift = if component == 0 { 128.0 } else { 0.0 };
    std::array::from_fn(|at| {
        let (x, y) = (at as u32 % 8, at as u32 / 8);
        let x = (left + x).min(grid.width.saturating_sub(1));
        let y = (top + y).min(grid.height.saturating_sub(1));
        let [red, green, blue] = grid.at(x, y).map(f32::from);
        of_red * red + of_green * green + of_blue * blue - shift
    })
}

/// By frequency, then by place.
fn cosines() -> [[f32; 8]; 8] {
    std::array::from_fn(|u| {
        let weight = if u == 0 { FRAC_1_SQRT_2 } else { 1.0 };
        std::array::from_fn(|x| weight * ((2 * x + 1) as f32 * u as f32 * PI / 16.0).cos() / 2.0)
    })
}

fn transformed(block: &[f32; 64], cosines: &[[f32; 8]; 8]) -> [f32; 64] {
    let mut rows = [0_f32; 64];
    for y in 0..8 {
        for (u, cosine) in cosines.iter().enumerate() {
            rows[y * 8 + u] = (0..8).map(|x| block[y * 8 + x] * cosine[x]).sum();
        }
    }
    let mut all = [0_f32; 64];
    for (v, cosine) in cosines.iter().enumerate() {
        for u in 0..8 {
            all[v * 8 + u] = (0..8).map(|y| rows[y * 8 + u] * cosine[y]).sum();
        }
    }
    all
}

/// In the order of writing.
fn quantised(block: &[f32; 64], table: &[u8; 64]) -> [i32; 64] {
    ZIGZAG.map(|place| {
        let place = usize::from(place);
        (block[place] / f32::from(table[place])).round() as i32
    })
}

/// The bits, and how many.
type Code = (u32, u32);

/// The code of each value.
fn codes((lengths, values): &([u8; 16], &[u8])) -> Vec<Code> {
    let mut codes = vec![(0, 0); 256];
    let (mut code, mut values) = (0_u32, values.iter());
    for (length, count) in (1_u32..).zip(lengths) {
        for value in values.by_ref().take(usize::from(*count)) {
            codes[usize::from(*value)] = (code, length);
            code += 1;
        }
        code <<= 1;
    }
    codes
}

struct Writer {
    out: Vec<u8>,
    /// Bits that make no byte yet, and how many.
    bits: u32,
    count: u32,
}

impl Writer {
    fn segment(&mut self, marker: u8, body: &[u8]) {
        // Every segment of this file has less than a kilobyte.
        let length = u16::try_from(body.len() + 2).unwrap_or(u16::MAX);
        self.out.extend([0xff, marker]);
        self.out.extend(length.to_be_bytes());
        self.out.extend(body);
    }

    fn heads(&mut self, grid: &Grid, tables: &[[u8; 64]; 2]) {
        self.segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        for (id, table) in (0_u8..).zip(tables) {
            let ordered = ZIGZAG.map(|place| table[usize::from(place)]);
            self.segment(0xdb, &[&[id][..], &ordered].concat());
        }
        let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX).to_be_bytes();
        let mut frame = vec![8];
        frame.extend(side(grid.height));
        frame.extend(side(grid.width));
        frame.extend([3, 1, 0x11, 0, 2, 0x11, 1, 3, 0x11, 1]);
        self.segment(0xc0, &frame);
        for (id, (lengths, values)) in [(0x00, FIRST), (0x10, OTHER)] {
            self.segment(0xc4, &[&[id][..], &lengths, values].concat());
        }
        self.segment(0xda, &[3, 1, 0, 2, 0, 3, 0, 0, 63, 0]);
    }

    /// One block; its first value as the difference to that of the block before.
    fn block(&mut self, block: &[i32; 64], before: &mut i32, (first, other): (&[Code], &[Code])) {
        let difference = block[0] - *before;
        *before = block[0];
        self.value(first, 0, difference);
        let mut zeros = 0;
        for value in &block[1..] {
            if *value == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 {
                self.code(other, 0xf0);
                zeros -= 16;
            }
            self.value(other, zeros, *value);
            zeros = 0;
        }
        if zeros > 0 {
            self.code(other, 0);
        }
    }

    /// A value behind a run of zeros: how many bits it has, then those bits.
    fn value(&mut self, codes: &[Code], zeros: usize, value: i32) {
        let size = u32::BITS - value.unsigned_abs().leading_zeros();
        self.code(codes, zeros << 4 | size as usize);
        let bits = if value < 0 { value - 1 } else { value } as u32;
        self.put(bits & ((1 << size) - 1), size);
    }

    fn code(&mut self, codes: &[Code], value: usize) {
        let (code, length) = codes.get(value).copied().unwrap_or_default();
        self.put(code, length);
    }

    fn put(&mut self, bits: u32, count: u32) {
        // At most 7 are left and at most 16 come.
        self.bits = self.bits << count | bits;
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.bits >> self.count) as u8;
            self.out.push(byte);
            if byte == 0xff {
                self.out.push(0);
            }
        }
        self.bits &= (1 << self.count) - 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let missing = (8 - self.count) % 8;
        self.put((1 << missing) - 1, missing);
        self.out.extend(b"\xff\xd9");
        self.out
    }
}
