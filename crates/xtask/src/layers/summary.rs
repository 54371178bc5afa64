//! Counting: what test programs and scripts say at their end, summed.

use std::fmt;
use std::ops::AddAssign;

use crate::run::End;

/// How many tests passed, failed, were left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Sum {
    pub(crate) fn one_failed() -> Self {
        Self { failed: 1, ..Self::default() }
    }

    pub(crate) fn one_passed() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    pub(crate) fn one_skipped() -> Self {
        Self { skipped: 1, ..Self::default() }
    }

    pub(crate) fn has_skipped(self) -> bool {
        self.skipped > 0
    }

    pub(crate) fn good(self) -> bool {
        self.failed == 0
    }

    pub(crate) fn ran(self) -> u64 {
        self.passed + self.failed
    }

    /// Adds up every closing line in an output: libtest's `test result: …`, or the plain `N passed, N failed`.
    pub(crate) fn read(output: &str) -> Self {
        let mut sum = Self::default();
        for line in output.lines().map(str::trim) {
            let counts = match line.strip_prefix("test result: ") {
                Some(result) => result.split_once(". ").map(|(_, counts)| (counts, ';')),
                None => Some((line, ',')),
            };
            if let Some(one) = counts.and_then(|(counts, between)| read_counts(counts, between)) {
                sum += one;
            }
        }
        sum
    }

    /// A program that died, or hung, without counting a failure has failed all the same.
    pub(crate) fn with_end(mut self, end: End) -> Self {
        if end != End::Good && self.failed == 0 {
            self.failed = 1;
        }
        self
    }
}

/// `5 passed; 0 failed; 1 ignored; …` or `5 passed, 0 failed, 1 skipped`; unknown words are not counted.
fn read_counts(text: &str, between: char) -> Option<Sum> {
    let mut sum = Sum::default();
    let mut seen = (false, false);
    for part in text.split(between).map(str::trim) {
        let (number, word) = part.split_once(' ')?;
        let Ok(number) = number.parse::<u64>() else {
            // libtest ends with `finished in 0.00s`, which is no count.
            if seen == (true, true) {
                break;
            } else {
                return None;
            };
        };
        match word {
            "passed" => (sum.passed, seen.0) = (number, true),
            "failed" => (sum.failed, seen.1) = (number, true),
            "ignored" | "skipped" => sum.skipped = number,
            _ => {}
        }
    }
    (seen == (true, true)).then_some(sum)
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBTEST: &str = "\
running 2 tests
test a ... ok
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s

     Running x
test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s
";

    #[test]
    fn results_of_several_programs_add_up() {
        assert_eq!(Sum::read(LIBTEST).to_string(), "16 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn the_plain_closing_line_counts_too() {
        assert_eq!(Sum::read("ok\n7 passed, 1 failed\n").to_string(), "7 passed, 1 failed, 0 skipped");
        assert_eq!(Sum::read("7 passed, 0 failed, 2 skipped").to_string(), "7 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn talk_of_tests_is_no_result() {
        let talk = "5 passed the door, 1 failed\n3 passed\ntest result: odd\nexpected 4 passed, 0 failed\n";
        assert_eq!(Sum::read(talk), Sum::default());
    }

    #[test]
    fn a_program_that_dies_has_failed() {
        assert_eq!(Sum::read("running 3 tests\n").with_end(End::Bad), Sum::one_failed());
        assert_eq!(Sum::read(LIBTEST).with_end(End::Bad).failed, 2);
        assert!(Sum::default().with_end(End::Good).good());
    }
}
