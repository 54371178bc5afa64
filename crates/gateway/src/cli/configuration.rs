//! `wxgate config …`

use clap::Subcommand;
use serde_json::json;

use super::{Globals, print};
use crate::config::{self, Origin, Purpose, ShownKey};
use crate::failure::{Failure, Fault};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell everything that is wrong, each with file, line and key
    Check,
    /// Show what is in force and where it was set, secrets masked
    Show,
    /// Print every key with its default and its meaning
    Reference {
        /// As the page in docs/
        #[arg(long)]
        markdown: bool,
    },
}

pub(super) fn run(globals: &Globals, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Check => check(globals),
        Command::Show => {
            let keys = config::shown(&globals.load()?);
            match globals.json {
                true => print::json(&keys),
                false => print::out(&as_toml(&keys)),
            }
            Ok(())
        }
        Command::Reference { markdown: false } if globals.json => {
            print::json(&config::rows());
            Ok(())
        }
        Command::Reference { markdown } => {
            let text = if *markdown { config::page() } else { config::reference() };
            print::out(text.trim_end());
            Ok(())
        }
    }
}

fn check(globals: &Globals) -> Result<(), Failure> {
    match config::load_for(Purpose::Judge, globals.config.as_deref()) {
        Ok(loaded) => {
            let file = loaded.file.map(|file| file.display().to_string());
            if globals.json {
                print::json(&json!({ "file": file, "problems": [] }));
            } else {
                let what = file.unwrap_or_else(|| "no file was found; the built-in defaults".to_owned());
                print::out(&format!("{what}: nothing is wrong"));
            }
            Ok(())
        }
        Err(problems) if globals.json => {
            let rows: Vec<_> = problems
                .0
                .iter()
                .map(|problem| {
                    let (file, line, variable) = match &problem.origin {
                        Origin::File { file, line } => (Some(file), Some(line), None),
                        Origin::Env { variable } => (None, None, Some(variable)),
                        Origin::Default => (None, None, None),
                    };
                    json!({
                        "file": file, "line": line, "variable": variable, "key": problem.key,
                        "message": problem.message, "nearest": problem.nearest,
                    })
                })
                .collect();
            print::json(&json!({ "problems": rows }));
            // Told already; only the exit code is left to give.
            Err(Failure { fault: Fault::Config, message: String::new() })
        }
        Err(problems) => Err(problems.into()),
    }
}

fn as_toml(keys: &[ShownKey]) -> String {
    let mut out = String::new();
    let mut section = "";
    for key in keys {
        let (path, name) = key.key.rsplit_once('.').unwrap_or(("", &key.key));
        if path != section {
            // An entry of a list is shown as `irc.network[0]` and written [[irc.network]].
            let heading = match path.split_once('[') {
                Some((list, _)) => format!("[[{list}]]"),
                None => format!("[{path}]"),
            };
            out.push_str(&format!("\n{heading}\n"));
            section = path;
        }
        let line = format!("{name} = {}", key.value);
        match key.origin.as_str() {
            "default" => out.push_str(&format!("{line}\n")),
            origin => out.push_str(&format!("{line:<40} # {origin}\n")),
        }
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_sets_the_same() {
        let text = "data_dir = 'a\"b'\n[matrix.appservice.permissions]\n'@Me:example.org' = 'admin'\n\
                    [[irc.network]]\nname = 'oftc'\naddress = 'irc.oftc.net:6697'\n\
                    sasl = { user = '', password_file = '' }\n\
                    [[irc.network]]\nname = 'quake'\nnick = 'me'\npuppets = true\nmax_puppets = 3\n";
        let loaded = config::built_in("wx.toml", text).unwrap();
        let all = config::shown(&loaded);
        let shown = as_toml(&all);
        assert_eq!(shown.matches("[[irc.network]]").count(), 2, "{shown}");
        let again = config::built_in("shown.toml", &shown).unwrap();
        assert_eq!(format!("{:?}", again.settings), format!("{:?}", loaded.settings), "{shown}");
        // For programs: each entry by its number, with its defaults, and where each key was set.
        let of = |key: &str| {
            all.iter().find(|shown| shown.key == key).map(|shown| (&*shown.value, &*shown.origin))
        };
        assert_eq!(of("irc.network[0].name"), Some(("\"oftc\"", "wx.toml:5")));
        assert_eq!(of("irc.network[1].nick"), Some(("\"me\"", "wx.toml:10")));
        assert_eq!(of("irc.network[1].charset"), Some(("\"windows-1252\"", "default")));
    }
}
