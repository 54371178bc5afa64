//! Words: what may not be said in which crate, and what must be.

use super::Finding;
use crate::tree::{SourceFile, Tree};

/// The bridge knows links and lanes; what it does for one network by name, it gets wrong for the next.
pub(super) fn bridge_names_no_network(tree: &Tree) -> Vec<Finding> {
    let networks = ["wechat", "matrix", "irc"];
    let mut findings = Vec::new();
    for file in within(tree, "crates/bridge/src/") {
        // A `Source:` line names a document, and documents are named for networks.
        for (at, line) in file.code().filter(|(_, line)| !line.contains("Source:")) {
            if let Some(word) = words(line).into_iter().find(|word| networks.contains(&word.as_str())) {
                findings.push(Finding::fails(
                    "bridge",
                    format!("{}:{at}", file.path),
                    format!("names '{word}'"),
                ));
            }
        }
    }
    findings
}

/// The contract and the protocol words stay free of the outside: no clock, no randomness, no sockets, no files.
/// The contract waits on channels, so it may be `async`; the words of a protocol wait for nothing.
pub(super) fn pure_crates(tree: &Tree) -> Vec<Finding> {
    const OUTSIDE: [&str; 16] = [
        "SystemTime::now",
        "Instant::now",
        "std::net::Tcp",
        "std::net::Udp",
        "std::net::{",
        "tokio::net",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "std::fs",
        "tokio::fs",
        "File::open",
        "tokio::process",
        "rand::",
        "std::env",
    ];
    let mut findings = Vec::new();
    let pure = [
        ("crates/contract/src/", true),
        ("crates/wechat-proto/src/", false),
        ("crates/identity/src/", false),
    ];
    for (dir, may_wait) in pure {
        // A program beside the pure part is where the outside comes in.
        for file in within(tree, dir).filter(|file| !file.path.contains("/src/bin/")) {
            for (at, line) in file.code().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                let waits = !may_wait
                    && ["async fn", "async move", "async {", ".await"].iter().any(|w| line.contains(w));
                let word = OUTSIDE.iter().copied().find(|word| line.contains(word));
                if let Some(word) = word.or(waits.then_some("async")) {
                    let what = format!("uses '{word}' in a crate that knows no outside");
                    findings.push(Finding::fails("pure", format!("{}:{at}", file.path), what));
                }
            }
        }
    }
    findings
}

/// The workspace denies unsafe code; one crate has leave to say otherwise.
pub(super) fn only_the_heap_is_unsafe(tree: &Tree) -> Vec<Finding> {
    // In two parts, or this line would be found.
    const LEAVE: &str = concat!("(unsafe", "_code");
    let mut findings = Vec::new();
    for file in within(tree, "").filter(|file| !file.path.starts_with("crates/heap/src/")) {
        for (at, line) in file.code().filter(|(_, line)| line.contains(LEAVE)) {
            let what = format!("'{}' outside crates/heap", line.trim());
            findings.push(Finding::fails("unsafe", format!("{}:{at}", file.path), what));
        }
    }
    findings
}

/// A fact of somebody else's protocol says where it comes from.
///
/// Each endpoint has a `Source:` line; each row of a code table has a `source` that is not empty. Elsewhere in
/// the crate a public constant that is a number or a word of the wire needs one in its comment, in the comment
/// of the block it stands in, or in the head of its file.
pub(super) fn sources(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in within(tree, "crates/wechat-proto/src/").filter(|file| !file.is_test) {
        let code: Vec<(usize, &str)> = file.code().collect();
        let is_source = |line: &str| line.contains("Source:") && line.trim_start().starts_with("//");
        if file.path.contains("/src/endpoint/") && !code.iter().any(|(_, line)| is_source(line)) {
            findings.push(Finding::fails("source", &file.path, "an endpoint without a 'Source:' line"));
        }
        for (at, line) in &code {
            if line.trim() == "source: \"\"," || line.contains("source: \"\" ") {
                findings.push(Finding::fails(
                    "source",
                    format!("{}:{at}", file.path),
                    "a row without a source",
                ));
            }
        }
        let head = code.iter().take_while(|(_, line)| line.starts_with("//!") || line.is_empty());
        let covered = head.into_iter().any(|(_, line)| is_source(line));
        for place in (!covered).then(|| constants_without_source(&code)).into_iter().flatten() {
            findings.push(Finding::fails(
                "source",
                format!("{}:{place}", file.path),
                "a constant without a 'Source:' line",
            ));
        }
    }
    findings
}

/// Line numbers of public constants of numbers and strings whose comment, or whose neighbours' comment directly
/// above (a block of constants without a blank line between), names neither a source nor a choice.
fn constants_without_source(code: &[(usize, &str)]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut covered = false;
    for (at, line) in code {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            covered = false;
        } else if trimmed.starts_with("//") {
            // Our own numbers have no source; they say that somebody chose them.
            covered |= trimmed.contains("Source:") || trimmed.contains("Chosen");
        } else if is_wire_constant(trimmed) && !covered {
            found.push(*at);
        }
    }
    found
}

fn is_wire_constant(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("pub const ") else { return false };
    let kind = rest.split_once(':').map_or("", |(_, rest)| rest.split('=').next().unwrap_or("")).trim();
    !rest.starts_with("fn ")
        && ["&str", "&'static str", "u8", "u16", "u32", "u64", "i32", "i64", "usize"].contains(&kind)
}

/// Later work says who, what, and under which condition it becomes necessary.
pub(super) fn conditions(tree: &Tree) -> Vec<Finding> {
    // Taken apart so that this file does not find itself.
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat(), ["HA", "CK"].concat()];
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (at, line) in file.text.lines().enumerate() {
            let Some((_, comment)) = line.split_once("//") else { continue };
            for mark in &marks {
                let tokens = comment.split(|c: char| !c.is_alphanumeric());
                if tokens.into_iter().any(|token| token == mark) && !is_conditioned(comment, &marks[0]) {
                    let what = format!("'{mark}' without the form {}(name): what, when …", marks[0]);
                    findings.push(Finding::fails("later", format!("{}:{}", file.path, at + 1), what));
                }
            }
        }
    }
    findings
}

fn is_conditioned(comment: &str, mark: &str) -> bool {
    let Some((_, rest)) = comment.split_once(&format!("{mark}(")) else { return false };
    let Some((name, what)) = rest.split_once("):") else { return false };
    let condition = ["when", "if", "once", "until", "unless", "before", "after"];
    !name.trim().is_empty() && words(what).iter().any(|word| condition.contains(&word.as_str()))
}

fn within<'a>(tree: &'a Tree, dir: &'a str) -> impl Iterator<Item = &'a SourceFile> {
    tree.rust().filter(move |file| file.path.starts_with(dir))
}

/// Lower-case words, with `snake_case` and `CamelCase` taken apart.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before_lower = false;
    for c in line.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() && before_lower {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before_lower = c.is_lowercase();
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.place.as_str()).collect()
    }

    #[test]
    fn names_are_taken_apart_into_words() {
        assert_eq!(words("let WechatUser = irc_line(x);"), ["let", "wechat", "user", "irc", "line", "x"]);
        assert_eq!(words("circle IRC"), ["circle", "irc"]);
    }

    #[test]
    fn a_network_named_in_the_bridge_is_found_outside_its_tests() {
        let tree = Tree::of(&[
            (
                "crates/bridge/src/a.rs",
                "// circle, matrices\nfn f() {}\nstruct IrcLine;\n#[cfg(test)]\nmod tests {\n// irc\n}",
            ),
            ("crates/bridge/src/b.rs", "// for wechat only\n// Source: the IRC notes\n"),
            ("crates/bridge/tests/c.rs", "// matrix\n"),
            ("crates/store/src/d.rs", "// matrix\n"),
        ]);
        assert_eq!(
            places(&bridge_names_no_network(&tree)),
            ["crates/bridge/src/a.rs:3", "crates/bridge/src/b.rs:1"]
        );
    }

    #[test]
    fn clocks_sockets_and_waiting_are_found_in_pure_crates() {
        let tree = Tree::of(&[
            ("crates/contract/src/a.rs", "pub async fn commit() {}\nlet t = Instant::now();\n"),
            (
                "crates/wechat-proto/src/a.rs",
                "// SystemTime::now is banned\nasync fn f() {}\nuse tokio::net::X;\n",
            ),
            ("crates/wechat-proto/tests/a.rs", "std::fs::read(x)\n"),
            ("crates/wechat/src/a.rs", "async fn f() {}\n"),
        ]);
        assert_eq!(
            places(&pure_crates(&tree)),
            [
                "crates/contract/src/a.rs:2",
                "crates/wechat-proto/src/a.rs:2",
                "crates/wechat-proto/src/a.rs:3"
            ]
        );
    }

    #[test]
    fn leave_for_unsafe_code_is_found_outside_the_heap() {
        let leave = concat!("#[expect(unsafe", "_code, reason = \"x\")]\n");
        let tree = Tree::of(&[("crates/heap/src/lib.rs", leave), ("crates/store/src/a.rs", leave)]);
        assert_eq!(places(&only_the_heap_is_unsafe(&tree)), ["crates/store/src/a.rs:1"]);
    }

    #[test]
    fn facts_need_a_source() {
        let dir = "crates/wechat-proto/src";
        let tree = Tree::of(&[
            (&format!("{dir}/endpoint/a.rs"), "//! GET /x\n//! Source: the sheet\n"),
            (&format!("{dir}/endpoint/b.rs"), "//! GET /y\nlet s = \"Source:\";\n"),
            (
                &format!("{dir}/ret.rs"),
                "RetRow {\n    source: \"the sheet\",\n},\nRetRow {\n    source: \"\",\n},\n",
            ),
            (
                &format!("{dir}/kinds.rs"),
                "/// One.\npub const A: u32 = 1;\n\n/// Two. Source: the sheet\npub const B: &str = \"b\";\npub const C: i64 = 3;\n\n\
                 pub const fn f() {}\npub const ALL: &[Kind] = &[];\n",
            ),
        ]);
        assert_eq!(
            places(&sources(&tree)),
            [&format!("{dir}/endpoint/b.rs"), &format!("{dir}/kinds.rs:2"), &format!("{dir}/ret.rs:5")]
        );
    }

    #[test]
    fn later_work_needs_a_condition() {
        let mark = ["TO", "DO"].concat();
        let text = format!(
            "// {mark}: tidy\n// {mark}(ann): drop it once version 1 is gone\n// {mark}(ann): tidy\nlet s = \"{mark}\";\n"
        );
        let tree = Tree::of(&[("a/src/a.rs", text.as_str())]);
        assert_eq!(places(&conditions(&tree)), ["a/src/a.rs:1", "a/src/a.rs:3"]);
    }
}
