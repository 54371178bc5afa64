//! How far long work has come: a bar on a terminal, now and then a line elsewhere. On standard error, so that it
//! never stands in the way of an answer.

use std::io::{IsTerminal, Write, stderr};

/// Columns of a bar.
const WIDTH: u64 = 30;

/// Work of so many bytes.
pub(super) struct Progress {
    what: &'static str,
    all_bytes: u64,
    /// Tenths or thirtieths that were shown.
    shown: Option<u64>,
    is_rich: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str, all_bytes: u64) -> Self {
        Self { what, all_bytes, shown: None, is_rich: stderr().is_terminal() }
    }

    /// So much is done.
    pub(super) fn at(&mut self, done_bytes: u64) {
        let steps = if self.is_rich { WIDTH } else { 10 };
        let reached = u128::from(done_bytes) * u128::from(steps) / u128::from(self.all_bytes.max(1));
        let reached = u64::try_from(reached).unwrap_or(steps).min(steps);
        if self.shown.is_some_and(|shown| shown >= reached) {
            return;
        }
        self.shown = Some(reached);
        let (done, all) = (mib(done_bytes), mib(self.all_bytes));
        let text = match self.is_rich {
            true => {
                let bar: String = (0..WIDTH).map(|at| if at < reached { '█' } else { '░' }).collect();
                let end = if reached == WIDTH { "\n" } else { "" };
                format!("\r{}  {bar}  {done} of {all} MiB{end}", self.what)
            }
            false => format!("{}: {done} of {all} MiB\n", self.what),
        };
        // Nobody reads on: no error.
        let _ = stderr().write_all(text.as_bytes()).and_then(|()| stderr().flush());
    }
}

/// Mebibytes with one digit behind the point.
fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{}", tenths / 10, tenths % 10)
}
