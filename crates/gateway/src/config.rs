//! What the operator may set: defaults, then the file, then the environment.
//!
//! `keys` is the table of everything; `file` and `env` judge their layer against it and remember
//! where each value stands; the `config` crate lays the layers over each other; `check` judges
//! what only shows in the whole. All problems are told at once.

mod check;
mod env;
mod file;
pub(crate) mod keys;
mod problem;
mod reference;
mod sections;
mod show;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, File, FileFormat, Map, Source, Value, ValueKind};

pub(crate) use check::{Reader, is_loopback, secret_fault};
pub(crate) use problem::{Origin, Problem};
pub(crate) use reference::{page, reference, rows};
pub(crate) use sections::{
    AppserviceSection, BotSection, Encryption, GuestsChoice, IrcNetworkEntry, LocalChannelsChoice, LogFormat,
    MediaSection, Previews, Profile, Settings, set,
};
pub(crate) use show::{ShownKey, shown};
pub(crate) use value::parse_network;

/// Where a configuration is looked for when none is named.
const PLACES: [&str; 2] = ["wxgate.toml", "/etc/wxgate/wxgate.toml"];
/// Largest configuration file. Chosen: a thousand times a long one.
const MOST_BYTES: u64 = 1 << 20;

/// A configuration that holds.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The typed values.
    pub(crate) settings: Settings,
    /// The file that was read, if there was one.
    pub(crate) file: Option<PathBuf>,
    /// The layered values, for showing.
    layered: Config,
    /// Where each value that somebody set was set.
    origins: BTreeMap<String, Origin>,
}

/// Why there is no configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A gateway, or whoever asks about it.
    Use,
    /// Telling whether it is right: root judges files in the place of whoever has the data directory.
    Judge,
    /// Putting a backup into place, and with it the seal key where that is named.
    Restore,
}

/// Loads the file that was named, or the first of the usual places, under the process's
/// environment.
pub(crate) fn load(named: Option<&Path>) -> Result<Loaded, Problems> {
    load_for(Purpose::Use, named)
}

/// The same, for a purpose.
pub(crate) fn load_for(purpose: Purpose, named: Option<&Path>) -> Result<Loaded, Problems> {
    let vars: Vec<(String, String)> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    match named.or_else(|| usual(PLACES.map(Path::new))) {
        Some(path) => {
            let name = path.display().to_string();
            let text = read_file(path).map_err(|message| {
                let origin = Origin::File { file: name.clone(), line: 1 };
                Problems(vec![Problem::new(origin, "", message)])
            })?;
            let mut loaded = layer_for(purpose, &name, &text, &vars)?;
            loaded.file = Some(path.to_owned());
            Ok(loaded)
        }
        None => layer_for(purpose, "", "", &vars),
    }
}

/// The first place with a file, or where only this user cannot tell: the defaults would be another gateway's
/// configuration. What is around the present directory is not for every user to see, and says nothing.
fn usual<'a>(places: impl IntoIterator<Item = &'a Path>) -> Option<&'a Path> {
    let may_be = |path: &&Path| path.try_exists().unwrap_or(path.is_absolute());
    places.into_iter().find(may_be)
}

/// A configuration that the program itself wrote: defaults under `text`, no environment.
pub(crate) fn built_in(name: &str, text: &str) -> Result<Loaded, Problems> {
    layer_for(Purpose::Use, name, text, &[])
}

fn read_file(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| unreadable(&e))?.len();
    if size > MOST_BYTES {
        return Err(format!("is larger than {MOST_BYTES} bytes"));
    }
    let bytes = std::fs::read(path).map_err(|e| unreadable(&e))?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => format!(
            "cannot be read: {error}; run this as root or as the user of the gateway: sudo -u wxgate wxgate …"
        ),
        _ => format!("cannot be read: {error}"),
    }
}

/// Lays file and environment over the defaults and judges the whole.
fn layer_for(
    purpose: Purpose,
    name: &str,
    text: &str,
    vars: &[(String, String)],
) -> Result<Loaded, Problems> {
    let found = file::read(&file::Source { name, text });
    let (set, of_env) = env::read(vars);
    let mut problems = found.problems;
    // After a syntax error the rest would be guessed at.
    let is_readable = problems.iter().all(|problem| !problem.key.is_empty());
    problems.extend(of_env.problems);
    if !is_readable {
        return Err(Problems(problems));
    }
    // What the environment sets stands in the place of what the file says: a table too, of which a part that stayed
    // would let people in whom nobody named.
    let mut origins = found.origins;
    origins.retain(|key, _| !set.iter().any(|setting| keys::leads_into(key, &setting.path)));
    let mut over: BTreeMap<String, String> = BTreeMap::new();
    for setting in set {
        let is_its = |(key, _): &(&String, &Origin)| keys::leads_into(key, &setting.path);
        let of_its = of_env.origins.iter().filter(is_its);
        origins.extend(of_its.map(|(key, origin)| (key.clone(), origin.clone())));
        over.insert(setting.path, setting.toml);
    }
    // What is wrong by itself is left out, so that the whole is judged all the same: every problem at once.
    let misfits = problems.iter().filter(|problem| problem.nearest.is_none());
    let wrong: BTreeSet<String> = misfits.filter_map(|problem| keys::known_part(&problem.key)).collect();
    for path in &wrong {
        over.entry(path.clone()).or_insert_with(|| keys::default_of(path).to_owned());
    }
    let toml = |text: &str| File::from_str(text, FileFormat::Toml);
    let mut layers = Config::builder().add_source(toml(&keys::defaults()));
    match Rest::of(&toml(text), over.keys()) {
        Ok(rest) => layers = layers.add_source(rest),
        Err(_) if !problems.is_empty() => return Err(Problems(problems)),
        Err(error) => return Err(disagreement(name, &error)),
    }
    for (path, value) in &over {
        layers = layers.add_source(toml(&format!("{path} = {value}\n")));
    }
    let layered = layers.build();
    let typed = layered.and_then(|layered| Ok((layered.clone().try_deserialize::<Settings>()?, layered)));
    let (settings, layered) = match typed {
        Ok(typed) => typed,
        // Sections that are no sections: what was found is all that can be said.
        Err(_) if !problems.is_empty() => return Err(Problems(problems)),
        Err(error) => return Err(disagreement(name, &error)),
    };
    let is_new = |problem: &Problem| keys::known_part(&problem.key).is_none_or(|path| !wrong.contains(&path));
    let loaded = Loaded { settings, file: None, layered, origins };
    let of_the_whole: Vec<Problem> =
        check::check(&loaded, purpose, Path::new(name)).into_iter().filter(is_new).collect();
    problems.extend(of_the_whole);
    if problems.is_empty() { Ok(loaded) } else { Err(Problems(problems)) }
}

/// The layers were judged before, so what fails then is a disagreement between the table and the types, which the
/// tests look for.
fn disagreement(name: &str, error: &ConfigError) -> Problems {
    let origin = Origin::File { file: name.to_owned(), line: 1 };
    Problems(vec![Problem::new(origin, "", error.to_string())])
}

/// A layer without the keys that others set.
#[derive(Clone, Debug)]
struct Rest(Map<String, Value>);

impl Rest {
    fn of<'a>(layer: &dyn Source, without: impl Iterator<Item = &'a String>) -> Result<Self, ConfigError> {
        let mut all = layer.collect()?;
        without.for_each(|path| remove(&mut all, path));
        Ok(Self(all))
    }
}

fn remove(all: &mut Map<String, Value>, path: &str) {
    match path.split_once('.') {
        None => {
            all.remove(path);
        }
        Some((first, rest)) => {
            if let Some(Value { kind: ValueKind::Table(inner), .. }) = all.get_mut(first) {
                remove(inner, rest);
            }
        }
    }
}

impl Source for Rest {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

impl Loaded {
    /// Where the value of a key was set.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        self.origins.get(path).cloned().unwrap_or(Origin::Default)
    }
}

#[cfg(test)]
mod tests;
