//! How far long work has come: a bar on a terminal, now and then a line elsewhere. On standard error, so that it
//! never stands in the way of an answer.

use std::io::{IsTerminal, Write, stderr};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What a bar tells. The whole of it fits into 80 columns; the bar takes what the rest leaves.
const BAR: &str =
    "{msg}  {wide_bar:.green}  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta}";
/// The same for work whose end nobody knows.
const COUNT: &str = "{msg}  {spinner:.green}  {binary_bytes}  {binary_bytes_per_sec}";
/// Lines are told so often where nobody sees a bar move.
const LINES: u64 = 10;
/// Where the end is unknown: first after so many bytes, then after twice as many, and so on.
const FIRST_LINE_BYTES: u64 = 16 << 20;

/// Work of some bytes.
pub(super) struct Progress {
    what: &'static str,
    /// When it is known.
    all_bytes: Option<u64>,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    /// Steps that were told.
    Lines(Option<u64>),
}

impl Progress {
    pub(super) fn new(what: &'static str, all_bytes: Option<u64>) -> Self {
        let shown = match stderr().is_terminal() {
            true => Shown::Bar(bar(what, all_bytes)),
            false => Shown::Lines(None),
        };
        Self { what, all_bytes, shown }
    }

    /// So much is done.
    pub(super) fn at(&mut self, done_bytes: u64) {
        let all_bytes = self.all_bytes;
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(all_bytes.map_or(done_bytes, |all| done_bytes.min(all)));
                if all_bytes.is_some_and(|all| done_bytes >= all) {
                    bar.abandon();
                }
            }
            Shown::Lines(told) => {
                let reached = match all_bytes {
                    Some(all) => Some(tenths(done_bytes, all)),
                    None => (done_bytes / FIRST_LINE_BYTES).checked_ilog2().map(u64::from),
                };
                if reached <= *told {
                    return;
                }
                *told = reached;
                let of = all_bytes.map_or_else(String::new, |all| format!(" of {}", HumanBytes(all)));
                // Nobody reads on: no error.
                let _ = writeln!(stderr(), "{}: {}{of}", self.what, HumanBytes(done_bytes));
            }
        }
    }
}

fn tenths(done_bytes: u64, all_bytes: u64) -> u64 {
    let reached = u128::from(done_bytes) * u128::from(LINES) / u128::from(all_bytes.max(1));
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

fn bar(what: &'static str, all_bytes: Option<u64>) -> ProgressBar {
    let words = if all_bytes.is_some() { BAR } else { COUNT };
    let style = ProgressStyle::with_template(words).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(all_bytes, ProgressDrawTarget::stderr());
    bar.with_style(style.progress_chars("█▌░")).with_message(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_bars_are_understood() {
        for words in [BAR, COUNT] {
            assert!(ProgressStyle::with_template(words).is_ok(), "{words}");
        }
    }

    #[test]
    fn without_a_terminal_each_step_is_told_once() {
        let told = |all_bytes, done: &[u64]| {
            let mut work = Progress { what: "Backup", all_bytes, shown: Shown::Lines(None) };
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
