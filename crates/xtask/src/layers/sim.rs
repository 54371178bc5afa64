//! The simulated tests of `wxgate-bridge` and `wxgate-wechat`: the same programs as in the layer of units, with
//! more seeds, or with one.

use anyhow::Result;

use super::build::Built;
use super::{Length, PROGRAM_LIMIT, show_if_bad};
use crate::layers::summary::Sum;
use crate::run::Cmd;
use crate::tree::Root;

/// Seeds of each in every run of the tests: some seconds. Chosen.
const EVERYDAY: u64 = 1_000;
const LONG: u64 = 100_000;
/// Which tests of the programs, by their names.
const FILTER: &str = "simulated";
const PACKAGES: [&str; 2] = ["wxgate-bridge", "wxgate-wechat"];

pub(super) fn run(root: &Root, built: &Built, length: Length) -> Result<Sum> {
    let mut sum = Sum::default();
    let of_units = built.programs.iter().filter(|program| !program.is_integration);
    for program in of_units.filter(|program| PACKAGES.contains(&program.package.as_str())) {
        let mut cmd = Cmd::new(&program.executable).dir(&program.dir).args([FILTER, "--nocapture"]);
        cmd = match length {
            Length::Seed(seed) => cmd.env("WXGATE_SEED", seed.to_string()),
            Length::Seeds(seeds) => cmd.env("WXGATE_SIM_SEEDS", seeds.to_string()),
            Length::Long => cmd.env("WXGATE_SIM_SEEDS", LONG.to_string()),
            Length::Everyday => cmd.env("WXGATE_SIM_SEEDS", EVERYDAY.to_string()),
        };
        let limit = if length == Length::Everyday { PROGRAM_LIMIT } else { super::LONG_LIMIT };
        let ran = cmd.env("WXGATE_ROOT", root.path()).watch(limit)?;
        let own = Sum::read(&ran.output).with_end(ran.end);
        println!("{:<40} {:>7.1} s   {own}", program.package, ran.took.as_secs_f64());
        ran.output
            .lines()
            .filter(|line| line.starts_with("simulated:"))
            .for_each(|line| println!("  {line}"));
        for seed in ran.output.lines().filter_map(failing_seed) {
            println!("  again: cargo xtask test sim --seed {seed}");
        }
        show_if_bad(&ran.output, own, ran.end);
        sum += own;
    }
    Ok(sum)
}

/// The seed that a failure names.
fn failing_seed(line: &str) -> Option<u64> {
    let digits = line.split_once("WXGATE_SEED=")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::failing_seed;

    #[test]
    fn a_failure_names_its_seed() {
        assert_eq!(failing_seed("WXGATE_SEED=65: in life 3 of 4: x"), Some(65));
        assert_eq!(failing_seed("WXGATE_SEED=7"), Some(7));
        assert_eq!(failing_seed("nothing"), None);
    }
}
