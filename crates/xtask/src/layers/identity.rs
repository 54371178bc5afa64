//! The matcher against the evaluator of the identity data set, when that folder lies beside the tree.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::build::Built;
use super::summary::Sum;
use super::{Length, show_if_bad};
use crate::run::{Cmd, End, now};
use crate::tree::Root;

/// Where generator, driver and evaluator are, from the root of the tree.
const FOLDER: &str = "../shared/identity";
/// Not used during development.
const FIRST_SEED: u64 = 9001;
/// At every change, and before a release. Source: the paper on contact identity, required scores, and its last section.
const EVERYDAY: u64 = 3;
const LONG: u64 = 20;
const LONG_OF_OTHERS: u64 = 6;
const STEP_LIMIT: Duration = Duration::from_secs(300);
/// Seconds for one login of 1,100 records, reading, the driver and the answers included. Source: the same.
const LOGIN_SECONDS: f64 = 2.0;
/// Questions where not all are answered, or there are no pictures, as a multiple of those otherwise. Source: the same.
const ASKED_MORE: f64 = 1.5;

/// A way in which the data set is made and answered, and what the scores must be then.
struct Way {
    name: &'static str,
    /// Arguments of the generator, and of the driver.
    generate: &'static [&'static str],
    drive: &'static [&'static str],
    must: Must,
}

/// The most that may be. Source: the paper on contact identity, required scores, column "must".
#[derive(Clone, Copy)]
struct Must {
    adversarial: f64,
    wrong_per_million: f64,
    /// Questions about known people per login; `None`: [`ASKED_MORE`] times as many as in the first way.
    asked: Option<f64>,
    /// Share asked about of class `contact/none`, in per cent.
    asked_none: f64,
}

const VERSION: Must = Must { adversarial: 3.0, wrong_per_million: 60.0, asked: Some(6.0), asked_none: 0.02 };
const POOR: Must = Must { adversarial: 2.0, wrong_per_million: 100.0, asked: Some(9.0), asked_none: 0.1 };
const FEWER: Must = Must { asked: None, ..POOR };

/// The first is the one of every day, and what others are compared with. Of versions that follow the avatar the paper
/// requires safety only, so they must be as good as none at all.
const WAYS: [Way; 6] = [
    Way { name: "version", generate: &[], drive: &[], must: VERSION },
    Way { name: "session", generate: &["--seq-model", "session"], drive: &[], must: POOR },
    Way { name: "zero", generate: &["--seq-model", "zero"], drive: &[], must: POOR },
    Way { name: "avatar", generate: &["--seq-model", "avatar"], drive: &[], must: POOR },
    Way { name: "some-answers", generate: &[], drive: &["--reply-rate", "0.7"], must: FEWER },
    Way { name: "no-pictures", generate: &["--set", "avatar_fail=1"], drive: &[], must: FEWER },
];

pub(super) fn run(root: &Root, built: &Built, length: Length) -> Result<Sum> {
    let folder = root.join(FOLDER);
    if !folder.join("evaluate.py").is_file() {
        println!("skipped: {FOLDER} is not there (generator and evaluator of the identity data set)");
        return Ok(Sum::one_skipped());
    }
    if !Cmd::new("python3").args(["--version"]).works() {
        println!("skipped: the evaluator needs python3, and it is not there");
        return Ok(Sum::one_skipped());
    }
    let matcher = built.matcher.as_deref().context("the program wxgate-matcher was not built")?;
    let place = Place { folder: &folder, matcher, data: root.join("target/identity") };
    let (mut sum, mut first) = (Sum::default(), None);
    for (way, seeds) in WAYS.iter().zip(seeds(length)) {
        let Some(scores) = (if seeds.is_empty() { continue } else { place.play(way, &seeds)? }) else {
            sum += Sum::one_failed();
            continue;
        };
        let asked = scores.per_login("total/ask_known");
        sum += judge(&scores, &way.must, first.unwrap_or(asked))?;
        first = first.or(Some(asked));
    }
    Ok(sum)
}

/// The seeds of each way.
fn seeds(length: Length) -> [Vec<u64>; WAYS.len()] {
    std::array::from_fn(|way| match length {
        Length::Everyday if way > 0 => Vec::new(),
        Length::Everyday => (FIRST_SEED..FIRST_SEED + EVERYDAY).collect(),
        Length::Long if way > 0 => (FIRST_SEED..FIRST_SEED + LONG_OF_OTHERS).collect(),
        Length::Long => (FIRST_SEED..FIRST_SEED + LONG).collect(),
        Length::Seeds(count) => (FIRST_SEED..FIRST_SEED + count.min(10_000)).collect(),
        Length::Seed(seed) => vec![seed],
    })
}

/// The scripts, the program and the room for what they make.
struct Place<'a> {
    folder: &'a Path,
    matcher: &'a Path,
    data: PathBuf,
}

impl Place<'_> {
    /// Plays seeds in one way, and tells the scores of each; gives those of all together, `None` when a script failed.
    fn play(&self, way: &Way, seeds: &[u64]) -> Result<Option<Scores>> {
        let (mut files, mut took) = (Vec::new(), Duration::ZERO);
        println!("{}", heading(way.name));
        for seed in seeds {
            let dir = self.data.join(way.name).join(seed.to_string());
            let Some((pair, own)) = self.seed(way, *seed, &dir)? else {
                println!("  {seed:>8}  failed");
                return Ok(None);
            };
            let Some(scores) = self.evaluate(&pair, &dir.join("scores.json"), (own, 1))? else {
                return Ok(None);
            };
            println!("  {seed:>8}  {}", scores.line()?);
            took += own;
            files.extend(pair);
        }
        let together = self.data.join(way.name).join("scores.json");
        let scores = self.evaluate(&files, &together, (took, seeds.len()))?;
        if let Some(scores) = &scores {
            println!("  {:>8}  {}", "all", scores.line()?);
        }
        Ok(scores)
    }

    /// Makes and answers one seed: the files of the truth and of the answers, and how long it took to answer.
    fn seed(&self, way: &Way, seed: u64, dir: &Path) -> Result<Option<([PathBuf; 2], Duration)>> {
        let mut args = vec![os("--seed"), os(&seed.to_string()), os("--out-dir"), dir.to_owned()];
        args.extend(way.generate.iter().map(|arg| os(arg)));
        if !python(self.folder, "generate.py", args)? {
            return Ok(None);
        }
        let [sessions, truth, answers] =
            ["sessions.jsonl", "truth.jsonl", "answers.jsonl"].map(|name| dir.join(name));
        let begin = now();
        let mut args = vec![os("--sessions"), sessions.clone(), os("--truth"), truth.clone()];
        args.extend([os("--out"), answers.clone()]);
        args.extend(way.drive.iter().map(|arg| os(arg)));
        args.extend([os("--"), self.matcher.to_owned(), os("--jsonl")]);
        let is_driven = python(self.folder, "drive.py", args)?;
        let took = begin.elapsed();
        // Twenty megabytes each, made again from the seed.
        std::fs::remove_file(&sessions).with_context(|| format!("removing {}", sessions.display()))?;
        Ok(is_driven.then_some(([truth, answers], took)))
    }

    fn evaluate(
        &self,
        files: &[PathBuf],
        to: &Path,
        (took, seeds): (Duration, usize),
    ) -> Result<Option<Scores>> {
        let mut args = files.to_vec();
        args.extend([os("--quiet"), os("--json"), to.to_owned()]);
        if !python(self.folder, "evaluate.py", args)? {
            return Ok(None);
        }
        let text = std::fs::read_to_string(to).with_context(|| format!("reading {}", to.display()))?;
        let all: Value = serde_json::from_str(&text).context("reading the evaluator's scores")?;
        Scores::of(all, took, seeds).map(Some)
    }
}

fn os(text: &str) -> PathBuf {
    PathBuf::from(text)
}

/// Whether the script ended well; shows what it wrote if not.
fn python(folder: &Path, script: &str, args: impl IntoIterator<Item = PathBuf>) -> Result<bool> {
    let cmd =
        Cmd::new("python3").args([folder.join(script)]).args(args.into_iter().map(PathBuf::into_os_string));
    // The folder is somebody else's: nothing is written there.
    let ran = cmd.env("PYTHONDONTWRITEBYTECODE", "1").watch(STEP_LIMIT)?;
    if ran.end != End::Good {
        show_if_bad(&ran.output, Sum::one_failed(), ran.end);
    }
    Ok(ran.end == End::Good)
}

/// What the evaluator says of some seeds together.
struct Scores {
    all: Value,
    /// Later logins.
    logins: f64,
    took: Duration,
    seeds: usize,
}

impl Scores {
    fn of(all: Value, took: Duration, seeds: usize) -> Result<Self> {
        let scores = Self { logins: 0.0, all, took, seeds };
        let logins = scores.number("later_logins")?;
        // A seed has about fourteen thousand answers.
        if logins < 1.0 || scores.number("total/n")? < 10_000.0 * seeds as f64 {
            bail!("the evaluator scored next to nothing");
        }
        Ok(Self { logins, ..scores })
    }

    fn number(&self, path: &str) -> Result<f64> {
        let value = path.split('/').fold(&self.all, |at, key| &at[key]);
        value.as_f64().with_context(|| format!("the evaluator gives no '{path}'"))
    }

    /// What is not counted is zero.
    fn or_none(&self, path: &str) -> f64 {
        self.number(path).unwrap_or(0.0)
    }

    fn per_login(&self, path: &str) -> f64 {
        self.or_none(path) / self.logins
    }

    /// Accidents in ordinary classes, and in adversarial ones.
    fn accidents(&self) -> Result<(f64, f64)> {
        let adversarial = self.number("rooms_adversarial")?;
        Ok((self.number("rooms_total")? - adversarial, adversarial))
    }

    /// A row of the table under [`heading`].
    fn line(&self) -> Result<String> {
        let (ordinary, adversarial) = self.accidents()?;
        let (wrong, asked) = (self.number("wrong_per_million")?, self.per_login("total/ask_known"));
        let (split, new) = (self.per_login("total/split"), self.per_login("total/ask_new"));
        Ok(format!("{ordinary:>8} {adversarial:>11} {wrong:>11.1} {asked:>7.2} {split:>7.2} {new:>7.2}"))
    }
}

fn heading(way: &str) -> String {
    let columns = "accidents adversarial wrong/million  asked  splits newcomers, the last three per login";
    format!("{way}\n  {:>8} {columns}", "seed")
}

/// A figure and the most that it may be.
struct Score {
    what: &'static str,
    is: f64,
    most: f64,
}

fn judge(scores: &Scores, must: &Must, asked_first: f64) -> Result<Sum> {
    let mut sum = Sum::default();
    for Score { what, is, most } in required(scores, must, asked_first)? {
        let is_good = is <= most;
        println!("{} {what:<55} {is:>9.3}  at most {most:.3}", if is_good { "  " } else { "!!" });
        sum += if is_good { Sum::one_passed() } else { Sum::one_failed() };
    }
    Ok(sum)
}

/// `asked_first`: questions per login in the first way.
fn required(scores: &Scores, must: &Must, asked_first: f64) -> Result<Vec<Score>> {
    let (ordinary, adversarial) = scores.accidents()?;
    let class = &scores.all["classes"]["contact/none"];
    let none = class["ask_known"].as_f64().unwrap_or(0.0) / class["known"].as_f64().unwrap_or(1.0);
    // What is allowed for many seeds is not for few.
    let allowed = if scores.seeds > 3 { must.adversarial } else { must.adversarial.min(1.0) };
    Ok(vec![
        Score { what: "accidents in ordinary classes", is: ordinary, most: 0.0 },
        Score { what: "accidents in adversarial classes", is: adversarial, most: allowed },
        Score {
            what: "wrong merges per million answers",
            is: scores.number("wrong_per_million")?,
            most: must.wrong_per_million,
        },
        Score {
            what: "answers that ignored the owner's",
            is: scores.or_none("events/settled_wrong"),
            most: 0.0,
        },
        Score { what: "records without an answer", is: scores.or_none("events/missing"), most: 0.0 },
        Score {
            what: "questions about known people per login",
            is: scores.per_login("total/ask_known"),
            most: must.asked.unwrap_or(asked_first * ASKED_MORE),
        },
        Score { what: "splits per login", is: scores.per_login("total/split"), most: 0.6 },
        Score {
            what: "questions about newcomers per login",
            is: scores.per_login("total/ask_new"),
            most: 1.0,
        },
        Score {
            what: "share asked about of class contact/none, per cent",
            is: none * 100.0,
            most: must.asked_none,
        },
        Score {
            what: "seconds per login, driver included",
            is: scores.took.as_secs_f64() / (scores.logins + scores.seeds as f64),
            most: LOGIN_SECONDS,
        },
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scores(rooms: u32, asked: u32, seconds: u64) -> Scores {
        let all = json!({"total": {"n": 40_000, "ask_known": asked, "split": 3}, "wrong_per_million": 0.0,
            "rooms_adversarial": 0, "rooms_total": rooms, "later_logins": 33, "events": {},
            "classes": {"contact/none": {"known": 24_000}}});
        Scores::of(all, Duration::from_secs(seconds), 3).unwrap()
    }

    #[test]
    fn a_score_beyond_its_bound_fails() {
        let is_good =
            |rooms, asked, seconds| judge(&scores(rooms, asked, seconds), &VERSION, 0.0).unwrap().good();
        assert!(is_good(0, 100, 30));
        assert!(!is_good(1, 100, 30));
        assert!(!is_good(0, 33 * 7, 30));
        assert!(!is_good(0, 100, 300));
    }

    #[test]
    fn poorer_evidence_may_ask_so_much_more() {
        let is_good = |asked, must| judge(&scores(0, asked, 30), must, 4.0).unwrap().good();
        assert!(is_good(33 * 6, &FEWER) && !is_good(33 * 7, &FEWER));
        assert!(is_good(33 * 9, &POOR) && !is_good(33 * 10, &POOR));
    }

    #[test]
    fn every_way_has_the_seeds_that_are_asked_for() {
        let counts = |length| seeds(length).map(|seeds| seeds.len());
        assert_eq!(counts(Length::Everyday), [3, 0, 0, 0, 0, 0]);
        assert_eq!(counts(Length::Long), [20, 6, 6, 6, 6, 6]);
        assert_eq!(counts(Length::Seeds(2)), [2; 6]);
        assert_eq!(seeds(Length::Seed(501))[5], [501]);
    }

    #[test]
    fn an_evaluator_that_scored_nothing_is_an_error() {
        let nothing = json!({"total": {"n": 0}, "later_logins": 0});
        assert!(Scores::of(nothing, Duration::ZERO, 1).is_err());
    }
}
