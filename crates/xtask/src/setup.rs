//! `setup`: what the tests need beyond the toolchain. Idempotent; touches no network when all is there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::Cmd;
use crate::tree::Root;

/// One thing the tests need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Postgres,
    Terminals,
    IrcServers,
    PythonClients,
    NodeClients,
    Homeserver,
    Converter,
    Browser,
    WebClient,
    Fuzzer,
    Rules,
}

const ALL: [Need; 11] = [
    Need::Postgres,
    Need::Terminals,
    Need::IrcServers,
    Need::PythonClients,
    Need::NodeClients,
    Need::Homeserver,
    Need::Converter,
    Need::Browser,
    Need::WebClient,
    Need::Fuzzer,
    Need::Rules,
];

const NODE_DIR: &str = "tests/clients";
const PAGES_DIR: &str = "tests/web";
const LOUNGE_DIR: &str = "tests/irc/browser";
const EMOJI_FONT: &str = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf";

/// `cargo xtask setup`.
pub(crate) fn all(root: &Root) -> Result<bool> {
    needs(root, &ALL)?;
    Ok(true)
}

/// Installs what is missing of the given needs.
pub(crate) fn needs(root: &Root, needs: &[Need]) -> Result<()> {
    let packages: Vec<&str> = needs.iter().flat_map(|need| need.missing_packages()).collect();
    if !packages.is_empty() {
        apt(&packages)?;
    }
    for need in needs {
        match need {
            Need::PythonClients => python(root, CLIENTS)?,
            Need::Homeserver => python(root, MATRIX)?,
            Need::Fuzzer => python(root, FUZZER)?,
            Need::NodeClients => node_modules(root, NODE_DIR, Optional::With)?,
            Need::Browser => node_modules(root, PAGES_DIR, Optional::With)?,
            // Its optional parts are a database and the like, which are built on the spot.
            Need::WebClient => node_modules(root, LOUNGE_DIR, Optional::Without)?,
            Need::Rules => prometheus(root)?,
            Need::Postgres | Need::Terminals | Need::IrcServers | Need::Converter => {}
        }
        println!("setup: {} is here ({})", need.name(), need.why());
    }
    Ok(())
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL server",
            Self::Terminals => "irssi, WeeChat, tmux",
            Self::IrcServers => "ngircd, inspircd",
            Self::PythonClients => "itchat-uos in a virtual environment",
            Self::NodeClients => "wechat4u and irc-framework in tests/clients/node_modules",
            Self::Homeserver => "Synapse and matrix-nio in a virtual environment",
            Self::Converter => "ffmpeg, webp, libheif-examples",
            Self::Browser => "Chromium, and axe-core in tests/web/node_modules",
            Self::WebClient => "Chromium, and The Lounge in tests/irc/browser/node_modules",
            Self::Fuzzer => "schemathesis in a virtual environment",
            Self::Rules => "promtool",
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Postgres => "the store's contract runs on both engines",
            Self::Terminals => "stories type into them as people do",
            Self::IrcServers => "stories join the networks of servers that others wrote",
            Self::PythonClients | Self::NodeClients => {
                "clients written by others judge the simulated service"
            }
            Self::Homeserver => "stories on Matrix need a real homeserver and somebody else's client",
            Self::Converter => "stickers, voice and films are converted by it",
            Self::Browser => "a story leads a browser through the pages",
            Self::WebClient => "a story shows a group in a web client that others wrote",
            Self::Fuzzer => "a story holds the API against its document",
            Self::Rules => "alert rules are judged by it",
        }
    }

    /// Debian packages of which some program is missing.
    fn missing_packages(self) -> Vec<&'static str> {
        let here: &[(&str, bool)] = match self {
            Self::Postgres => &[("postgresql", postgres_bin().is_some())],
            Self::Terminals => &[
                ("irssi", on_path("irssi")),
                ("weechat-curses", on_path("weechat") || on_path("weechat-curses")),
                ("weechat-headless", on_path("weechat-headless")),
                ("tmux", on_path("tmux")),
            ],
            Self::IrcServers => &[
                ("ngircd", Path::new("/usr/sbin/ngircd").is_file()),
                ("inspircd", Path::new("/usr/sbin/inspircd").is_file()),
            ],
            Self::PythonClients | Self::Homeserver | Self::Fuzzer => &[
                ("python3", on_path("python3")),
                ("python3-venv", Cmd::new("python3").args(["-c", "import venv, ensurepip"]).works()),
            ],
            Self::Converter => &[
                ("ffmpeg", on_path("ffmpeg")),
                ("webp", on_path("gif2webp")),
                ("libheif-examples", on_path("heif-convert")),
            ],
            // Taken out of its package: whoever installs that gets a server that runs.
            Self::Rules => &[],
            Self::NodeClients => &[("nodejs", on_path("node")), ("npm", on_path("npm"))],
            Self::WebClient => &[
                ("nodejs", on_path("node")),
                ("npm", on_path("npm")),
                ("chromium", on_path("chromium")),
                // Without these Chinese and emoji are boxes on the picture.
                ("fonts-noto-cjk", Path::new("/usr/share/fonts/opentype/noto").is_dir()),
                ("fonts-noto-color-emoji", Path::new(EMOJI_FONT).is_file()),
            ],
            Self::Browser => &[
                ("nodejs", on_path("node")),
                ("npm", on_path("npm")),
                ("chromium", on_path("chromium")),
                // Without it Chinese is boxes.
                ("fonts-noto-cjk", Path::new("/usr/share/fonts/opentype/noto").is_dir()),
            ],
        };
        here.iter().filter(|(_, here)| !here).map(|(package, _)| *package).collect()
    }
}

/// Where the server programs of the newest PostgreSQL lie; Debian keeps them off the path.
pub(crate) fn postgres_bin() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut bins: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, bin)| is_server(bin))
        .collect();
    bins.sort();
    let elsewhere = || path_dirs().into_iter().find(|dir| is_server(dir));
    bins.pop().map(|(_, bin)| bin).or_else(elsewhere)
}

fn is_server(bin: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl"].iter().all(|program| bin.join(program).is_file())
}

fn path_dirs() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

pub(crate) fn on_path(program: &str) -> bool {
    path_dirs().iter().any(|dir| dir.join(program).is_file())
}

const PROMETHEUS: &str = ".wxgate/prometheus";

/// The judge of alert rules, where it is.
pub(crate) fn promtool(root: &Root) -> Option<PathBuf> {
    let own = root.join(PROMETHEUS).join("usr/bin/promtool");
    if on_path("promtool") { Some("promtool".into()) } else { Some(own).filter(|own| own.is_file()) }
}

/// Takes it out of Debian's package, which needs nobody's leave.
fn prometheus(root: &Root) -> Result<()> {
    if promtool(root).is_some() {
        return Ok(());
    }
    let dir = root.join(PROMETHEUS);
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    println!("setup: taking promtool out of the Debian package prometheus");
    let fetch =
        "apt-get -q download prometheus && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb";
    if !Cmd::new("sh").args(["-c", fetch]).dir(&dir).run()?.success() || promtool(root).is_none() {
        bail!("promtool could not be fetched; is apt's list of packages there? (apt-get update)");
    }
    Ok(())
}

/// The user we run as; root may install packages, and may not run PostgreSQL.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

fn apt(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    println!("setup: installing the Debian packages {list}");
    if !is_root() || !on_path("apt-get") {
        bail!("these are missing and only root can install them: run 'apt-get install {list}' as root");
    }
    let apt = |args: &[&str]| {
        Cmd::new("apt-get")
            .args(["-q", "-o", "Acquire::Retries=3"])
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .run()
    };
    // An old list names versions that the mirrors no longer have.
    if !apt(&["update"])?.success() {
        bail!("'apt-get update' failed");
    }
    if !apt(&[&["install", "-y", "--no-install-recommends"], packages].concat())?.success() {
        bail!("'apt-get install {list}' failed");
    }
    Ok(())
}

/// A virtual environment of Python below `.wxgate`, and the file that says what is in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Venv {
    name: &'static str,
    requirements: &'static str,
}

/// For the clients in `tests/clients`.
pub(crate) const CLIENTS: Venv =
    Venv { name: "venv-clients", requirements: "tests/clients/requirements.txt" };
/// For the homeserver and for those who play its people.
pub(crate) const MATRIX: Venv = Venv { name: "venv-matrix", requirements: "tests/matrix/requirements.txt" };
/// Asks the API whatever its document allows, and does not allow.
pub(crate) const FUZZER: Venv = Venv { name: "venv-api", requirements: "tests/api/requirements.txt" };

impl Venv {
    fn dir(self, root: &Root) -> PathBuf {
        root.join(".wxgate").join(self.name)
    }

    /// Its python.
    pub(crate) fn python(self, root: &Root) -> PathBuf {
        self.dir(root).join("bin/python")
    }
}

fn python(root: &Root, venv: Venv) -> Result<()> {
    let (dir, path) = (venv.dir(root), venv.requirements);
    let wanted = requirements(root, &[path])?;
    let stamp = dir.join("wxgate-stamp");
    if stamped(&stamp, &wanted) && Cmd::new(venv.python(root)).args(["--version"]).works() {
        return Ok(());
    }
    println!("setup: making {} from {path}", dir.display());
    if !Cmd::new("python3").args(["-m", "venv"]).args([&dir]).run()?.success() {
        bail!("making the virtual environment {} failed", dir.display());
    }
    let pip = Cmd::new(venv.python(root)).args(["-m", "pip", "install", "--quiet", "--requirement"]);
    if !pip.args([root.join(path)]).run()?.success() {
        bail!("installing {path} failed");
    }
    write_stamp(&stamp, &wanted)
}

/// Whether packages come too that others can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Optional {
    With,
    Without,
}

fn node_modules(root: &Root, place: &str, optional: Optional) -> Result<()> {
    let dir = root.join(place);
    let lists = ["package.json", "package-lock.json"].map(|name| format!("{place}/{name}"));
    let wanted = requirements(root, &lists.each_ref().map(String::as_str))?;
    // Inside what `npm ci` empties first, so that a broken install never looks whole.
    let stamp = dir.join("node_modules/.wxgate-stamp");
    if stamped(&stamp, &wanted) {
        return Ok(());
    }
    println!("setup: filling {place}/node_modules from package-lock.json");
    // No scripts: a test dependency has no business running programs at install time.
    let mut npm = Cmd::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).dir(&dir);
    if optional == Optional::Without {
        npm = npm.args(["--omit=optional"]);
    }
    if !npm.run()?.success() {
        bail!(
            "'npm ci' in {place} failed; it loads what package-lock.json names, once, and needs the way to the registry \
             of npm ('npm config get registry' says which)"
        );
    }
    write_stamp(&stamp, &wanted)
}

/// The texts that say what is to be installed. The stamp is these texts themselves: nothing to collide.
fn requirements(root: &Root, paths: &[&str]) -> Result<String> {
    paths
        .iter()
        .map(|path| std::fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}")))
        .collect()
}

fn stamped(stamp: &Path, wanted: &str) -> bool {
    std::fs::read_to_string(stamp).is_ok_and(|have| have == wanted)
}

fn write_stamp(stamp: &Path, wanted: &str) -> Result<()> {
    std::fs::write(stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}
