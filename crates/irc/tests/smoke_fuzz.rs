//! The wire layer against broken input, on the stable toolchain: lines, cut and mutated by a generator with a
//! fixed seed. Nothing may panic, and what is written again must be read as the same.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use wxgate_irc::wire::framing::{LineBuffer, is_too_long};
use wxgate_irc::wire::message::{BadLine, Line, Message};
use wxgate_irc::wire::{casemap, format, split};

/// Lines while everything is tested.
const USUAL_LINES: usize = 20_000;
/// What `WXGATE_FUZZ_ROUNDS` says for as many: `cargo xtask fuzz` has it ask for ten million.
const USUAL_ROUNDS: usize = 400;

const SEEDS: [&str; 14] = [
    "NICK ann",
    "USER ann 0 * :Ann 安",
    "@time=2026-11-24T00:10:14.123Z;+draft/reply=abc;msgid=x\\:y :ann!ann@host PRIVMSG #家 :\u{2}bold\u{2} \u{3}04,01red",
    "CAP REQ :sasl=PLAIN,EXTERNAL draft/chathistory -echo-message",
    "AUTHENTICATE YW5uAGFubgBzZWNyZXQ=",
    "CHATHISTORY BETWEEN #x timestamp=2026-11-24T00:10:14.123Z msgid=abc 50",
    "MODE #x +ov-b+k ann bob *!*@* key",
    "WHO #x %tcuihsnfdlaor,123",
    ":server.example 005 me CHANTYPES=#& PREFIX=(ov)@+ :are supported by this server",
    "BATCH +ref draft/multiline #x",
    "@batch=ref;draft/multiline-concat PRIVMSG #x :https://example.org/a/very/long/path?with=query ",
    "METADATA ann SET display-name :安",
    "PRIVMSG ann :\u{1}ACTION waves\u{1}",
    "JOIN #a,#b,&c k1,k2",
];

/// What a parser looks for: putting it in the wrong place finds more than random bytes.
const PIECES: [&str; 20] = [
    " ",
    ":",
    "@",
    ";",
    "=",
    ",",
    "\\",
    "\\s",
    "\r",
    "\n",
    "\0",
    "\u{1}",
    "\u{3}99,",
    "\u{4}ff0000",
    "\u{f}",
    "!",
    "*",
    "é",
    "\u{1f600}",
    "\u{fffd}",
];

fn mutated(seed: &str, chance: &mut SmallRng) -> Vec<u8> {
    let mut bytes = seed.as_bytes().to_vec();
    for _ in 0..=chance.random_range(0..6) {
        let at = chance.random_range(0..bytes.len() + 1);
        let end = (at + chance.random_range(0..60)).min(bytes.len());
        match chance.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, u8::try_from(chance.random_range(0..256)).unwrap()),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, PIECES[chance.random_range(0..PIECES.len())].bytes())),
            4 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let many = chance.random_range(0..700);
                let piece = PIECES[chance.random_range(0..PIECES.len())];
                bytes.splice(at..at, piece.bytes().cycle().take(many));
            }
        }
    }
    bytes
}

fn one(bytes: &[u8], buffer: &mut LineBuffer) {
    buffer.push(bytes);
    buffer.push(b"\r\n");
    while let Some(line) = buffer.next_line().unwrap() {
        let _ = is_too_long(line);
        let text = String::from_utf8_lossy(line);
        match Message::parse(&text) {
            Ok(message) => again(&message),
            Err(BadLine::Empty | BadLine::Control | BadLine::NoCommand) => {}
        }
        let _ = casemap::fold(&text);
        assert!(casemap::is_same(&text, &text));
        let _ = casemap::matches_mask(&text, "ann!ann@host");
        let plain = format::strip(&text);
        assert_eq!(format::strip(&plain), plain, "what is stripped has nothing to strip: {text:?}");
        let budget = split::budget("ann!ann@host", "PRIVMSG", "#x");
        assert!(split::split(&text, budget).iter().all(|piece| piece.len() <= budget), "{text:?}");
        assert_eq!(split::cuts(&text, budget).concat(), text);
    }
}

/// What was read, written and read again is the same.
fn again(message: &Message<'_>) {
    let Some((last, middle)) = message.params().split_last() else { return };
    let mut line = Line::new();
    for (key, value) in message.tags.iter() {
        line = line.tag(key, value);
    }
    if let Some(source) = message.source.filter(|source| !source.is_empty()) {
        line = line.source(source);
    }
    line = line.command(message.command);
    for param in middle {
        line = line.param(param);
    }
    let text = line.last(last).build();
    let read = Message::parse(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
    assert_eq!(read.command, message.command, "{text:?}");
    assert_eq!(read.params(), message.params(), "{text:?}");
}

#[test]
fn broken_lines_never_panic_and_good_ones_come_back() {
    let lines = match std::env::var("WXGATE_FUZZ_ROUNDS") {
        Ok(text) => {
            USUAL_LINES / USUAL_ROUNDS * text.parse::<usize>().expect("WXGATE_FUZZ_ROUNDS is a number")
        }
        Err(_) => USUAL_LINES,
    };
    let mut chance = SmallRng::seed_from_u64(0x9e37_79b9_7f4a_7c15);
    let (mut buffer, mut slowest) = (LineBuffer::default(), Duration::ZERO);
    for round in 0..lines {
        let input = mutated(SEEDS[round % SEEDS.len()], &mut chance);
        let start = Instant::now();
        one(&input, &mut buffer);
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    println!("{lines} rounds, the slowest {slowest:?}");
}
