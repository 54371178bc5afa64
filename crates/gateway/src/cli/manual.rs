//! Pages for man(1), written from the commands as they are.

use std::path::Path;

use crate::failure::Failure;

/// Writes `wxgate.1`, `wxgate-account.1`, `wxgate-account-add.1` and so on.
pub(super) fn run(cli: clap::Command, dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(cli, dir)).map_err(|error| {
        Failure::environment(format!("cannot write manual pages into {}: {error}", dir.display()))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn each_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        run(super::super::Cli::command(), dir.path()).unwrap();
        for (page, words) in [
            (
                "wxgate.1",
                ["Matrix rooms and IRC channels", "Exit codes: 0 done", "wxgate\\-account(1)"].as_slice(),
            ),
            ("wxgate-account-add.1", &["SYNOPSIS", "wxgate account add"]),
            ("wxgate-run.1", &["Run the gateway"]),
        ] {
            let text = std::fs::read_to_string(dir.path().join(page)).unwrap();
            for word in words {
                assert!(text.contains(word), "{page}: {word}\n{text}");
            }
        }
    }

    #[test]
    fn a_place_that_cannot_be_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = run(super::super::Cli::command(), file.path()).unwrap_err().to_string();
        assert!(refused.contains("cannot write manual pages into "), "{refused}");
    }
}
