//! The matcher against the evaluator of the identity data set, when that folder lies beside the tree.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::build::Built;
use super::show_if_bad;
use super::summary::Sum;
use crate::run::{Cmd, End, now};
use crate::tree::Root;

/// Where generator, driver and evaluator are, from the root of the tree.
const FOLDER: &str = "../shared/identity";
/// Not used during development. Three at every change. Source: the paper on contact identity, required scores.
const SEEDS: [u32; 3] = [9001, 9002, 9003];
const STEP_LIMIT: Duration = Duration::from_secs(300);
/// Seconds for one login of 1,100 records, reading, the driver and the answers included. Source: the same.
const LOGIN_SECONDS: f64 = 2.0;

pub(super) fn run(root: &Root, built: &Built) -> Result<Sum> {
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
    let data = root.join("target/identity");
    let mut files = Vec::new();
    let mut took = Duration::ZERO;
    for seed in SEEDS {
        let dir = data.join(seed.to_string());
        if !python(
            &folder,
            "generate.py",
            [os("--seed"), os(&seed.to_string()), os("--out-dir"), dir.clone()],
        )? {
            return Ok(Sum::one_failed());
        }
        let (sessions, truth, answers) =
            (dir.join("sessions.jsonl"), dir.join("truth.jsonl"), dir.join("answers.jsonl"));
        let begin = now();
        let args = [
            os("--sessions"),
            sessions,
            os("--truth"),
            truth.clone(),
            os("--out"),
            answers.clone(),
            os("--"),
            matcher.to_owned(),
            os("--jsonl"),
        ];
        if !python(&folder, "drive.py", args)? {
            return Ok(Sum::one_failed());
        }
        took += begin.elapsed();
        files.extend([truth, answers]);
    }
    let scores = data.join("scores.json");
    files.extend([os("--quiet"), os("--json"), scores.clone()]);
    if !python(&folder, "evaluate.py", files)? {
        return Ok(Sum::one_failed());
    }
    let text = std::fs::read_to_string(&scores).with_context(|| format!("reading {}", scores.display()))?;
    let scores: Value = serde_json::from_str(&text).context("reading the evaluator's scores")?;
    judge(&scores, took)
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

/// A figure and the most that it may be.
struct Score {
    what: &'static str,
    is: f64,
    most: f64,
}

fn judge(scores: &Value, took: Duration) -> Result<Sum> {
    let mut sum = Sum::default();
    for Score { what, is, most } in required(scores, took)? {
        let is_good = is <= most;
        println!("{} {what:<55} {is:>9.3}  at most {most}", if is_good { "  " } else { "!!" });
        sum += if is_good { Sum::one_passed() } else { Sum::one_failed() };
    }
    Ok(sum)
}

/// The "must" column. Source: the paper on contact identity, required scores.
fn required(scores: &Value, took: Duration) -> Result<Vec<Score>> {
    let number = |path: &str| {
        let value = path.split('/').fold(scores, |at, key| &at[key]);
        value.as_f64().with_context(|| format!("the evaluator gives no '{path}'"))
    };
    let or_none = |path: &str| number(path).unwrap_or(0.0);
    let logins = number("later_logins")?;
    if logins < 1.0 || number("total/n")? < 10_000.0 {
        bail!("the evaluator scored next to nothing");
    }
    let adversarial = number("rooms_adversarial")?;
    let class = &scores["classes"]["contact/none"];
    let none = class["ask_known"].as_f64().unwrap_or(0.0) / class["known"].as_f64().unwrap_or(1.0);
    let per_login = |path: &str| or_none(path) / logins;
    Ok(vec![
        Score { what: "accidents in ordinary classes", is: number("rooms_total")? - adversarial, most: 0.0 },
        Score { what: "accidents in adversarial classes", is: adversarial, most: 1.0 },
        Score { what: "wrong merges per million answers", is: number("wrong_per_million")?, most: 60.0 },
        Score { what: "answers that ignored the owner's", is: or_none("events/settled_wrong"), most: 0.0 },
        Score { what: "records without an answer", is: or_none("events/missing"), most: 0.0 },
        Score { what: "questions about known people per login", is: per_login("total/ask_known"), most: 6.0 },
        Score { what: "splits per login", is: per_login("total/split"), most: 0.6 },
        Score { what: "questions about newcomers per login", is: per_login("total/ask_new"), most: 1.0 },
        Score { what: "share asked about of class contact/none, per cent", is: none * 100.0, most: 0.02 },
        Score {
            what: "seconds per login, driver included",
            is: took.as_secs_f64() / (logins + SEEDS.len() as f64),
            most: LOGIN_SECONDS,
        },
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scores(rooms: u32, asked: u32) -> Value {
        json!({"total": {"n": 40_000, "ask_known": asked, "split": 3}, "wrong_per_million": 0.0,
            "rooms_adversarial": 0, "rooms_total": rooms, "later_logins": 33, "events": {},
            "classes": {"contact/none": {"known": 24_000}}})
    }

    #[test]
    fn a_score_beyond_its_bound_fails() {
        assert!(judge(&scores(0, 100), Duration::from_secs(30)).unwrap().good());
        assert!(!judge(&scores(1, 100), Duration::from_secs(30)).unwrap().good());
        assert!(!judge(&scores(0, 33 * 7), Duration::from_secs(30)).unwrap().good());
        assert!(!judge(&scores(0, 100), Duration::from_secs(300)).unwrap().good());
    }

    #[test]
    fn an_evaluator_that_scored_nothing_is_an_error() {
        let nothing = json!({"total": {"n": 0}, "later_logins": 0});
        assert!(judge(&nothing, Duration::ZERO).is_err());
    }
}
