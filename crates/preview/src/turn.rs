//! How a photograph is to be turned before it is looked at.
//!
//! Source: TIFF 6.0 and Exif 2.3, tag 0x0112 "Orientation".

use crate::grid::Grid;

/// Which of the eight ways, as the tag numbers them; 1 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn(u16);

impl Turn {
    pub(crate) const NONE: Self = Self(1);

    /// Reads the tag in the Exif data of a picture.
    pub(crate) fn read(exif: &[u8]) -> Self {
        Self(orientation(exif).filter(|turn| (1..=8).contains(turn)).unwrap_or(1))
    }

    fn swaps(self) -> bool {
        self.0 >= 5
    }

    /// Width and height after turning.
    pub(crate) fn size(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.swaps() { (height, width) } else { (width, height) }
    }

    /// The pixels as they are to be shown.
    pub(crate) fn apply(self, grid: Grid) -> Grid {
        if self == Self::NONE {
            return grid;
        }
        let (width, height) = self.size((grid.width, grid.height));
        let (right, bottom) = (grid.width.saturating_sub(1), grid.height.saturating_sub(1));
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let rgb = places.map(|(x, y)| {
            let (x, y) = match self.0 {
                2 => (right - x, y),
                3 => (right - x, bottom - y),
                4 => (x, bottom - y),
                5 => (y, x),
                6 => (y, bottom - x),
                7 => (right - y, bottom - x),
                8 => (right - y, x),
                _ => (x, y),
            };
            grid.at(x, y)
        });
        Grid { width, height, rgb: rgb.collect() }
    }
}

fn orientation(exif: &[u8]) -> Option<u16> {
    let is_little = match exif.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| -> Option<u16> {
        let bytes: [u8; 2] = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long: [u8; 4] = exif.get(4..8)?.try_into().ok()?;
    let begin = if is_little { u32::from_le_bytes(long) } else { u32::from_be_bytes(long) };
    let begin = usize::try_from(begin).ok()?;
    for entry in 0..usize::from(short(begin)?) {
        let at = begin.checked_add(2)?.checked_add(entry * 12)?;
        if short(at)? == 0x0112 {
            return short(at.checked_add(8)?);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exif(turn: u8) -> Vec<u8> {
        let mut exif = b"MM\0*\0\0\0\x08\0\x02".to_vec();
        exif.extend(b"\x01\0\0\x04\0\0\0\x01\0\0\0\x05");
        exif.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, turn, 0, 0]);
        exif
    }

    #[test]
    fn the_tag_is_found_and_anything_else_turns_nothing() {
        assert_eq!(Turn::read(&exif(6)), Turn(6));
        for odd in [&exif(9)[..], &exif(6)[..20], b"II*\0\xff\xff\xff\xff", b"", b"JFIF"] {
            assert_eq!(Turn::read(odd), Turn::NONE);
        }
    }

    #[test]
    fn a_photograph_from_an_upright_phone_stands() {
        // Two across, one down: red, green. Turned to the right, red is above.
        let grid = Grid { width: 2, height: 1, rgb: vec![[255, 0, 0], [0, 255, 0]] };
        let turned = Turn(6).apply(grid.clone());
        assert_eq!((turned.width, turned.height), (1, 2));
        assert_eq!(turned.rgb, [[255, 0, 0], [0, 255, 0]]);
        assert_eq!(Turn(8).apply(grid.clone()).rgb, [[0, 255, 0], [255, 0, 0]]);
        assert_eq!(Turn(3).apply(grid.clone()).rgb, [[0, 255, 0], [255, 0, 0]]);
        for turn in 1..=8 {
            assert_eq!(Turn(turn).apply(grid.clone()).rgb.len(), 2);
        }
    }
}
