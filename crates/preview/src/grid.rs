//! Pixels in small: each the mean of a square of the picture's.

/// Red, green and blue of each pixel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rgb: Vec<[u8; 3]>,
}

impl Grid {
    /// The colour at a place inside it; black beyond.
    pub(crate) fn at(&self, x: u32, y: u32) -> [u8; 3] {
        let place = y as usize * self.width as usize + x as usize;
        self.rgb.get(place).copied().unwrap_or_default()
    }

    /// The same with at most `edge` pixels on each side.
    pub(crate) fn shrunk(&self, edge: u32) -> Self {
        let mut shrink = Shrink::new(self.width, self.height, edge);
        for row in self.rgb.chunks_exact(self.width.max(1) as usize) {
            shrink.row(row.iter().copied());
        }
        shrink.finish()
    }
}

/// Takes the rows of a picture and keeps their means.
pub(crate) struct Shrink {
    width: u32,
    /// Pixels of the picture on each side of one that is kept.
    square: u32,
    grid: Grid,
    /// Sums of the squares under way, and how many rows are in them.
    sums: Vec<[u32; 3]>,
    rows: u32,
}

impl Shrink {
    pub(crate) fn new(width: u32, height: u32, edge: u32) -> Self {
        let square = width.max(height).div_ceil(edge.max(1)).max(1);
        let across = width.div_ceil(square);
        let grid = Grid { width: across, height: height.div_ceil(square), rgb: Vec::new() };
        Self { width, square, grid, sums: vec![[0; 3]; across as usize], rows: 0 }
    }

    /// The next row, from left to right.
    pub(crate) fn row(&mut self, pixels: impl Iterator<Item = [u8; 3]>) {
        let (mut square, mut in_square) = (0, 0);
        for pixel in pixels.take(self.width as usize) {
            if let Some(sum) = self.sums.get_mut(square) {
                for (sum, value) in sum.iter_mut().zip(pixel) {
                    *sum += u32::from(value);
                }
            }
            in_square += 1;
            if in_square == self.square {
                (square, in_square) = (square + 1, 0);
            }
        }
        self.rows += 1;
        if self.rows == self.square {
            self.keep();
        }
    }

    fn keep(&mut self) {
        for (at, sum) in (0_u32..).zip(&mut self.sums) {
            // The last square of a row may be narrower.
            let columns = self.square.min(self.width - (at * self.square).min(self.width)).max(1);
            let count = columns * self.rows.max(1);
            let mean = sum.map(|sum| u8::try_from((sum + count / 2) / count).unwrap_or(u8::MAX));
            self.grid.rgb.push(mean);
            *sum = [0; 3];
        }
        self.rows = 0;
    }

    /// The grid; what is missing of a picture that was cut off is black.
    pub(crate) fn finish(mut self) -> Grid {
        if self.rows > 0 {
            self.keep();
        }
        self.grid.rgb.resize(self.grid.width as usize * self.grid.height as usize, [0; 3]);
        self.grid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_is_the_mean_of_its_square() {
        let mut shrink = Shrink::new(3, 3, 2);
        for row in [[0, 100, 50], [100, 200, 150], [10, 20, 30]] {
            shrink.row(row.into_iter().map(|grey| [grey, 0, 255]));
        }
        let grid = shrink.finish();
        assert_eq!((grid.width, grid.height), (2, 2));
        let red: Vec<u8> = grid.rgb.iter().map(|pixel| pixel[0]).collect();
        assert_eq!(red, [100, 100, 15, 30]);
        assert!(grid.rgb.iter().all(|pixel| pixel[1] == 0 && pixel[2] == 255));
    }

    #[test]
    fn a_small_picture_stays_as_it_is() {
        let mut shrink = Shrink::new(2, 1, 640);
        shrink.row([[1, 2, 3], [4, 5, 6]].into_iter());
        assert_eq!(shrink.finish().rgb, [[1, 2, 3], [4, 5, 6]]);
    }
}
