//! How far long work has come: a bar on a terminal, now and then a line elsewhere. On standard error, so that it
//! never stands in the way of an answer.

use std::io::{IsTerminal, Write, stderr};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What a bar of bytes tells. The whole of it fits into 80 columns; the bar takes what the rest leaves.
const BAR: &str =
    "{msg}  {wide_bar:.green}  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta}";
/// The same for work whose end nobody knows.
const COUNT: &str = "{msg}  {spinner:.green}  {binary_bytes}  {binary_bytes_per_sec}";
/// The same of things that are counted.
const THINGS_BAR: &str = "{msg}  {wide_bar:.green}  {human_pos} of {human_len}";
const THINGS_COUNT: &str = "{msg}  {spinner:.green}  {human_pos}";
/// Lines are told so often where nobody sees a bar move.
const LINES: u64 = 10;
/// Where the end is unknown: first after so many, then after twice as many, and so on.
const FIRST_LINE_BYTES: u64 = 16 << 20;
const FIRST_LINE_THINGS: u64 = 500;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Things,
}

impl Unit {
    fn first_line(self) -> u64 {
        match self {
            Self::Bytes => FIRST_LINE_BYTES,
            Self::Things => FIRST_LINE_THINGS,
        }
    }

    fn words(self, has_end: bool) -> &'static str {
        match (self, has_end) {
            (Self::Bytes, true) => BAR,
            (Self::Bytes, false) => COUNT,
            (Self::Things, true) => THINGS_BAR,
            (Self::Things, false) => THINGS_COUNT,
        }
    }

    fn told(self, count: u64) -> String {
        match self {
            Self::Bytes => HumanBytes(count).to_string(),
            Self::Things => HumanCount(count).to_string(),
        }
    }
}

/// Work of so much.
pub(super) struct Progress {
    what: &'static str,
    unit: Unit,
    /// When it is known.
    all: Option<u64>,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    /// Steps that were told.
    Lines(Option<u64>),
}

impl Progress {
    /// Work of some bytes.
    pub(super) fn new(what: &'static str, all_bytes: Option<u64>) -> Self {
        Self::of(what, Unit::Bytes, all_bytes)
    }

    /// Work on some things.
    pub(super) fn counting(what: &'static str, all: Option<u64>) -> Self {
        Self::of(what, Unit::Things, all)
    }

    fn of(what: &'static str, unit: Unit, all: Option<u64>) -> Self {
        let shown = match stderr().is_terminal() {
            true => Shown::Bar(bar(what, unit, all)),
            false => Shown::Lines(None),
        };
        Self { what, unit, all, shown }
    }

    /// What it is, and how much there is of it.
    pub(super) fn is(&self, what: &str, all: Option<u64>) -> bool {
        self.what == what && self.all == all
    }

    /// So much is done.
    pub(super) fn at(&mut self, done: u64) {
        let (all, unit) = (self.all, self.unit);
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(all.map_or(done, |all| done.min(all)));
                if all.is_some_and(|all| done >= all) {
                    bar.abandon();
                }
            }
            Shown::Lines(told) => {
                let reached = match all {
                    Some(all) => Some(tenths(done, all)),
                    None => (done / unit.first_line()).checked_ilog2().map(u64::from),
                };
                if reached <= *told {
                    return;
                }
                *told = reached;
                let of = all.map_or_else(String::new, |all| format!(" of {}", unit.told(all)));
                // Nobody reads on: no error.
                let _ = writeln!(stderr(), "{}: {}{of}", self.what, unit.told(done));
            }
        }
    }
}

fn tenths(done: u64, all: u64) -> u64 {
    let reached = u128::from(done) * u128::from(LINES) / u128::from(all.max(1));
    u64::try_from(reached).unwrap_or(LINES).min(LINES)
}

impl Drop for Progress {
    /// Work that ended early leaves its bar as it stood, and the cursor on a line of its own.
    fn drop(&mut self) {
        // One that nobody saw yet stays unseen.
        if let Shown::Bar(bar) = &self.shown
            && bar.position() > 0
            && !bar.is_finished()
        {
            bar.abandon();
        }
    }
}

fn bar(what: &'static str, unit: Unit, all: Option<u64>) -> ProgressBar {
    let style = ProgressStyle::with_template(unit.words(all.is_some()))
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(all, ProgressDrawTarget::stderr());
    bar.with_style(style.progress_chars("█▌░")).with_message(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_bars_are_understood() {
        for words in [BAR, COUNT, THINGS_BAR, THINGS_COUNT] {
            assert!(ProgressStyle::with_template(words).is_ok(), "{words}");
        }
    }

    #[test]
    fn without_a_terminal_each_step_is_told_once() {
        let told = |all, done: &[u64]| {
            let mut work = Progress { what: "Backup", unit: Unit::Bytes, all, shown: Shown::Lines(None) };
            let look = |done: &u64| {
                work.at(*done);
                match work.shown {
                    Shown::Lines(told) => told,
                    Shown::Bar(_) => None,
                }
            };
            done.iter().map(look).collect::<Vec<_>>()
        };
        assert_eq!(told(Some(100), &[0, 19, 400]), [Some(0), Some(1), Some(LINES)]);
        assert_eq!(told(Some(0), &[0]), [Some(0)]);
        const STEP: u64 = FIRST_LINE_BYTES;
        assert_eq!(
            told(None, &[0, STEP - 1, STEP, 3 * STEP, 5 * STEP]),
            [None, None, Some(0), Some(1), Some(2)]
        );
    }
}
