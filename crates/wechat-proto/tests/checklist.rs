//! `docs/webwx-checklist.md` against the tests that it names.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    // Asked while running: a build directory that two clones share keeps the other clone's path.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    PathBuf::from(here).join("../..")
}

/// The names of all tests in the Rust files below a folder; one that is ignored tests nothing.
fn tests(folder: &Path, names: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            tests(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            names.extend(tests_of(&text));
        }
    }
}

/// In two parts: no test of this file is ignored, and whoever counts them should find none.
const IGNORED: &str = concat!("#[ign", "ore");

/// Functions with an attribute of a test above them.
fn tests_of(text: &str) -> Vec<String> {
    let (mut found, mut is_test, mut is_ignored) = (Vec::new(), false, false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            is_ignored |= line.starts_with(IGNORED);
            continue;
        }
        if line.starts_with("//") || line.is_empty() {
            continue;
        }
        let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some(name) = name.filter(|_| is_test && !is_ignored) {
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            found.push(name[..end].to_owned());
        }
        (is_test, is_ignored) = (false, false);
    }
    found
}

fn all_tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    tests(&root().join("crates"), &mut names);
    tests(&root().join("tests"), &mut names);
    names
}

#[test]
fn only_what_runs_counts_as_a_test() {
    let text = format!(
        "#[test]\nfn a_b_c() {{}}\nfn helps() {{}}\n#[test]\n{IGNORED} = \"x\"]\nfn sleeps() {{}}\n\
         #[tokio::test(start_paused = true)]\nasync fn d_e_f() {{}}\n"
    );
    assert_eq!(tests_of(&text), ["a_b_c", "d_e_f"]);
}

/// What stands in back quotes and looks like a test: lower case with three words or more.
fn named_tests(page: &str) -> BTreeSet<&str> {
    let quoted = page.split('`').skip(1).step_by(2);
    let name = quoted.map(|text| text.rsplit("::").next().unwrap_or(text));
    let is_test = |text: &&str| {
        text.matches('_').count() >= 2
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    name.filter(is_test).filter(|name| !["webwx_data_ticket"].contains(name)).collect()
}

#[test]
fn all_81_items_are_listed_in_order_with_an_answer() {
    let page = fs::read_to_string(root().join("docs/webwx-checklist.md")).unwrap();
    let mut numbers = Vec::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [_, number, fault, answer, _] = cells[..]
            && let Ok(number) = number.parse::<u32>()
        {
            assert!(!fault.is_empty() && answer.len() > 10, "{line}");
            numbers.push(number);
        }
    }
    assert_eq!(numbers, (1..=81).collect::<Vec<_>>());
}

#[test]
fn every_test_that_the_page_names_exists() {
    let page = fs::read_to_string(root().join("docs/webwx-checklist.md")).unwrap();
    let tests = all_tests();
    let named = named_tests(&page);
    assert!(named.len() > 80, "{}", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !tests.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_test_named_after_an_item_is_on_the_page() {
    let page = fs::read_to_string(root().join("docs/webwx-checklist.md")).unwrap();
    let named = named_tests(&page);
    let is_item = |name: &&String| {
        let digits = name.strip_prefix("item_").and_then(|rest| rest.get(..3));
        digits
            .is_some_and(|digits| digits.bytes().take(2).all(|b| b.is_ascii_digit()) && digits.ends_with('_'))
    };
    let tests = all_tests();
    let forgotten: Vec<_> =
        tests.iter().filter(is_item).filter(|name| !named.contains(name.as_str())).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}
