//! The code on a terminal, read back by a decoder that knows nothing of how it was drawn.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;
use wxgate_tests::scratch::tell;
use wxgate_tests::{ports, program};

const LIMIT: Duration = Duration::from_secs(90);
/// Light modules that must stand around a code. Source: ISO/IEC 18004, section 6.3.8.
const QUIET_MODULES: usize = 4;
/// Pixels of one module in the picture that the decoder gets.
const SCALE: usize = 4;
/// What a terminal shows around the code, in modules.
const MARGIN: usize = 6;

/// A cell's two halves, upper and lower, each dark (0) to light (255).
type Cell = (u8, u8);

/// How a terminal of some colours shows the lines: what is not coloured has its own two colours.
fn cells(line: &str, ink: u8, paper: u8) -> Result<Vec<Cell>> {
    let (mut fore, mut back) = (ink, paper);
    let mut cells = Vec::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if let Some(sequence) = rest.strip_prefix("\x1b[") {
            let (codes, after) = sequence.split_once('m').context("a sequence that sets no colour")?;
            (fore, back) = match codes {
                "0" => (ink, paper),
                // The 256 colours' fixed black and white. Source: xterm, ctlseqs, "256 colours": 16 to 231
                // are a cube of which 16 is its black and 231 its white corner.
                "38;5;16;48;5;231" => (0, 255),
                other => anyhow::bail!("unexpected colours {other:?}"),
            };
            rest = after;
            continue;
        }
        cells.push(match c {
            ' ' => (back, back),
            '▀' => (fore, back),
            '▄' => (back, fore),
            '█' => (fore, fore),
            other => anyhow::bail!("{other:?} among the modules"),
        });
        rest = &rest[c.len_utf8()..];
    }
    Ok(cells)
}

/// Rows of modules as they stand on the terminal, with its own background around them.
fn modules(lines: &[&str], ink: u8, paper: u8) -> Result<Vec<Vec<u8>>> {
    let mut rows = Vec::new();
    for line in lines {
        let cells = cells(line, ink, paper)?;
        rows.push(cells.iter().map(|cell| cell.0).collect::<Vec<u8>>());
        rows.push(cells.iter().map(|cell| cell.1).collect());
    }
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    ensure!(width > 0 && rows.iter().all(|row| row.len() == width), "the code has no straight edge");
    let blank = vec![paper; width + 2 * MARGIN];
    let framed = rows.into_iter().map(|row| {
        let side = vec![paper; MARGIN];
        [side.clone(), row, side].concat()
    });
    let frame = || std::iter::repeat_n(blank.clone(), MARGIN);
    Ok(frame().chain(framed).chain(frame()).collect())
}

fn decode(rows: &[Vec<u8>]) -> Result<String> {
    let (width, height) = (rows.first().map_or(0, Vec::len) * SCALE, rows.len() * SCALE);
    let mut picture =
        rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| rows[y / SCALE][x / SCALE]);
    let grids = picture.detect_grids();
    let grid = grids.first().context("no code is found in the picture")?;
    let (_, text) = grid.decode().context("the code cannot be read")?;
    Ok(text)
}

#[tokio::test]
async fn the_code_on_a_terminal_is_read_on_dark_and_on_light() -> Result<()> {
    tell("terminal", LIMIT, async |_| {
        let command = format!(
            "exec '{}' demo --accounts 1 --seconds 6 --irc 127.0.0.1:{} --web 127.0.0.1:{}",
            program::find("wxgate")?.display(),
            ports::free()?,
            ports::free()?
        );
        // `script` gives the program a terminal of its own and hands on what it writes there.
        let run = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let done = run.await.context("run script (of the package bsdutils)")?;
        let shown = String::from_utf8(done.stdout)?;
        ensure!(done.status.success(), "it ended with {}: {shown}", done.status);

        let wanted = shown.split_once("scan of this code (").and_then(|(_, rest)| rest.split_once(')'));
        let (wanted, rest) = wanted.with_context(|| format!("no code was announced: {shown}"))?;
        let drawn: Vec<&str> = rest
            .lines()
            .map(|line| line.trim_end_matches('\r'))
            .skip_while(|line| !line.contains('▀') && !line.contains("48;5;"))
            .take_while(|line| line.starts_with('\x1b'))
            .collect();
        ensure!(drawn.len() >= 15, "{} lines of a code in {shown}", drawn.len());
        for (ink, paper) in [(200, 0), (30, 255)] {
            let rows = modules(&drawn, ink, paper)?;
            let text = decode(&rows).with_context(|| format!("on a background of {paper}"))?;
            ensure!(text == wanted, "the code says {text:?} and not {wanted:?}");
            let edge = |row: &Vec<u8>| row[MARGIN..row.len() - MARGIN].to_vec();
            let code: Vec<Vec<u8>> = rows[MARGIN..rows.len() - MARGIN].iter().map(edge).collect();
            let is_quiet = |row: &Vec<u8>| row.iter().all(|module| *module == 255);
            ensure!(code.iter().take(QUIET_MODULES).all(is_quiet), "no quiet zone above");
            ensure!(code.iter().rev().take(QUIET_MODULES).all(is_quiet), "no quiet zone below");
            let sides = code.iter().all(|row| {
                let light = |part: &[u8]| part.iter().all(|module| *module == 255);
                light(&row[..QUIET_MODULES]) && light(&row[row.len() - QUIET_MODULES..])
            });
            ensure!(sides, "no quiet zone beside it");
        }
        Ok(())
    })
    .await
}
