//! Every parser against broken input, on the stable toolchain: fixtures, cut and mutated by a
//! generator with a fixed seed. What counts is that nothing panics and nothing takes long.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use wechat_proto::fuzz;

/// Rounds of the answers while everything is tested; the others have theirs in proportion to their cost.
const USUAL_ANSWERS: usize = 2_000;

/// Pieces that parsers look for: putting them in the wrong place finds more than random bytes.
const PIECES: [&str; 24] = [
    "<",
    ">",
    "&",
    "&amp;",
    "&#x",
    ";",
    "\"",
    "'",
    "<![CDATA[",
    "]]>",
    "<br/>",
    ":<br/>",
    "<span class=\"emoji emoji",
    "\"></span>",
    "「",
    "」\n- - -\n",
    "[",
    "{",
    "}",
    "\\ud83d",
    "\u{0}",
    "\u{e415}",
    "=",
    "99999999999999999999",
];

fn mutated(seed: &[u8], chance: &mut SmallRng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=chance.random_range(0..6) {
        let at = chance.random_range(0..bytes.len() + 1);
        match chance.random_range(0..5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, u8::try_from(chance.random_range(0..256)).unwrap()),
            2 => {
                let end = (at + chance.random_range(0..40)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let piece = PIECES[chance.random_range(0..PIECES.len())].as_bytes().to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let end = (at + chance.random_range(0..80)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

fn seeds() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut seeds = Vec::new();
    for sub in ["transcript", "content"] {
        let mut paths: Vec<_> =
            fs::read_dir(folder.join(sub)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let text = fs::read_to_string(path).unwrap();
            let body = match text.split_once("\n--------\n") {
                Some((_, answer)) => answer.split_once("\n\n").map_or("", |(_, body)| body).to_owned(),
                None => text.split_once('\n').unwrap().1.to_owned(),
            };
            seeds.push(body.into_bytes());
        }
    }
    assert!(seeds.len() > 30, "{}", seeds.len());
    seeds
}

/// `usual` rounds on the way of all tests; `cargo xtask fuzz` asks for more of each in proportion.
fn rounds(usual: usize) -> usize {
    match std::env::var("WXGATE_FUZZ_ROUNDS") {
        Ok(text) => usual * text.parse::<usize>().expect("WXGATE_FUZZ_ROUNDS is a number") / USUAL_ANSWERS,
        Err(_) => usual,
    }
}

fn run(parser: fn(&[u8]), usual: usize) {
    let rounds = rounds(usual);
    let mut chance = SmallRng::seed_from_u64(0x9e37_79b9_7f4a_7c15);
    let seeds = seeds();
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let input = mutated(&seeds[round % seeds.len()], &mut chance);
        let start = Instant::now();
        parser(&input);
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    println!("{rounds} rounds, the slowest {slowest:?}");
}

#[test]
fn broken_answers_never_panic() {
    run(fuzz::answers, USUAL_ANSWERS);
}

#[test]
fn broken_contents_never_panic() {
    run(fuzz::content, 800);
}

#[test]
fn broken_names_never_panic() {
    run(fuzz::names, 4_000);
}

#[test]
fn large_hostile_inputs_take_bounded_time() {
    let start = Instant::now();
    for piece in PIECES {
        let input = piece.repeat(200_000 / piece.len());
        fuzz::names(input.as_bytes());
        fuzz::answers(input.as_bytes());
        // More than a hundred decodings each, hence the shorter input.
        let input = piece.repeat(20_000 / piece.len());
        fuzz::content(input.as_bytes());
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}
