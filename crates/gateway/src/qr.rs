//! QR codes: as text, two modules per character, and as the outline of a picture.

use qrcode::{Color, EcLevel, QrCode};

/// Light modules around the code. Source: ISO/IEC 18004 asks for four.
const QUIET: i32 = 4;

/// How the surface treats colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// A terminal: both colours are set, so that it reads the same on dark and light.
    Ansi,
    /// No colours: light modules are drawn as blocks, which suits dark backgrounds.
    Plain,
}

/// The code for `text`, one line per two rows; `None` when the text is too long for a code.
pub(crate) fn draw(text: &str, ink: Ink) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = i32::try_from(code.width()).ok()?;
    let colors = code.to_colors();
    let is_light = |x: i32, y: i32| {
        let inside = (0..width).contains(&x) && (0..width).contains(&y);
        let at = usize::try_from(y * width + x).ok();
        !inside || at.and_then(|at| colors.get(at)).is_none_or(|color| *color == Color::Light)
    };
    let mut out = String::new();
    let mut y = -QUIET;
    while y < width + QUIET {
        if ink == Ink::Ansi {
            // Black on white out of the fixed part of the 256 colours, which themes leave alone.
            out.push_str("\x1b[38;5;16;48;5;231m");
        }
        for x in -QUIET..width + QUIET {
            // Below the last row of an odd number of rows is more quiet zone.
            let (upper, lower) = (is_light(x, y), is_light(x, y + 1));
            out.push(match (ink, upper, lower) {
                (Ink::Ansi, true, true) | (Ink::Plain, false, false) => ' ',
                (Ink::Ansi, false, true) | (Ink::Plain, true, false) => '▀',
                (Ink::Ansi, true, false) | (Ink::Plain, false, true) => '▄',
                (Ink::Ansi, false, false) | (Ink::Plain, true, true) => '█',
            });
        }
        if ink == Ink::Ansi {
            out.push_str("\x1b[0m");
        }
        out.push('\n');
        y += 2;
    }
    Some(out)
}

/// The code for `text` as the path of a picture: its width in modules, the quiet zone included, and the
/// dark modules as rectangles. `None` when the text is too long for a code.
///
/// Source: SVG 2, 9.3: `M x y`, then relative lines; one per run of dark modules in a row.
pub(crate) fn outline(text: &str) -> Option<(usize, String)> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let (width, quiet) = (code.width(), usize::try_from(QUIET).ok()?);
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run.first() == Some(&Color::Dark) {
                path.push_str(&format!("M{} {}h{}v1h-{}z", x + quiet, y + quiet, run.len(), run.len()));
            }
            x += run.len();
        }
    }
    Some((width + 2 * quiet, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a drawing back into rows of light (true) and dark.
    fn rows(drawing: &str, ink: Ink) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in drawing.lines() {
            let line = line.replace("\x1b[38;5;16;48;5;231m", "").replace("\x1b[0m", "");
            let cell = |c| match c {
                ' ' => (false, false),
                '▀' => (true, false),
                '▄' => (false, true),
                '█' => (true, true),
                other => panic!("drew {other:?}"),
            };
            let drawn_is_light = ink == Ink::Plain;
            rows.push(line.chars().map(|c| cell(c).0 == drawn_is_light).collect());
            rows.push(line.chars().map(|c| cell(c).1 == drawn_is_light).collect());
        }
        rows
    }

    #[test]
    fn both_inks_draw_the_same_code_within_a_quiet_zone() {
        let text = "https://login.weixin.qq.com/l/oZwt_bFfRg==";
        let code = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
        let ansi = rows(&draw(text, Ink::Ansi).unwrap(), Ink::Ansi);
        assert_eq!(ansi, rows(&draw(text, Ink::Plain).unwrap(), Ink::Plain));
        let width = code.width();
        assert!(ansi.iter().all(|row| row.len() == width + 8));
        for (y, row) in ansi.iter().enumerate() {
            for (x, light) in row.iter().enumerate() {
                let inside = (4..width + 4).contains(&x) && (4..width + 4).contains(&y);
                let wanted = !inside || code[(x.wrapping_sub(4), y.wrapping_sub(4))] == Color::Light;
                assert_eq!(*light, wanted, "at {x}, {y}");
            }
        }
    }

    #[test]
    fn the_outline_covers_the_dark_modules_and_nothing_else() {
        let text = "https://login.weixin.qq.com/l/oZwt_bFfRg==";
        let code = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
        let (width, path) = outline(text).unwrap();
        assert_eq!(width, code.width() + 8);
        let mut dark = std::collections::BTreeSet::new();
        for run in path.split('M').skip(1) {
            let (place, length) = run.split_once('h').unwrap();
            let (x, y) = place.split_once(' ').unwrap();
            let length: usize = length.split('v').next().unwrap().parse().unwrap();
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            dark.extend((x..x + length).map(|x| (x, y)));
        }
        for y in 0..code.width() {
            for x in 0..code.width() {
                assert_eq!(dark.remove(&(x + 4, y + 4)), code[(x, y)] == Color::Dark, "at {x}, {y}");
            }
        }
        assert!(dark.is_empty());
    }

    #[test]
    fn a_text_that_does_not_fit_gives_no_code() {
        assert_eq!(draw(&"x".repeat(5000), Ink::Plain), None);
        assert_eq!(outline(&"x".repeat(5000)), None);
    }
}
