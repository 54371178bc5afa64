//! `wxgate doctor`: looks at what the configuration names, and says what to do.

mod certificate;
mod far;
mod gateway;
mod links;
mod store;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::net::TcpListener;
use wxgate_matrix::ProbeError;

use super::{Globals, client, print};
use crate::backup;
use crate::clock;
use crate::config::{self, Purpose, Reader, Settings, secret_fault, set};
use crate::failure::{Failure, Fault};
use crate::wiring;

/// Free bytes below which it is said to be little: less than the default of all media.
const LITTLE_DISK_BYTES: u64 = 2 << 30;
/// Open files that a few hundred accounts need.
const FEW_FILES: u64 = 4096;
/// Where the real service is reached. Source: the protocol sheet, section 2.1.
const WECHAT_HOSTS: [&str; 2] = ["https://login.wx.qq.com", "https://wx2.qq.com"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warning,
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do; empty when nothing is.
    cure: String,
}

impl Finding {
    /// The same, about one of several.
    fn about(self, name: &str) -> Self {
        Self { found: format!("{name}: {}", self.found), ..self }
    }
}

fn ok(check: &'static str, found: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Ok, found: found.into(), cure: String::new() }
}

fn wrong(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Wrong, found: found.into(), cure: cure.into() }
}

fn warning(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Warning, ..wrong(check, found, cure) }
}

pub(super) async fn run(globals: &Globals) -> Result<(), Failure> {
    let mut findings = Vec::new();
    match config::load_for(Purpose::Judge, globals.config.as_deref()) {
        Ok(loaded) => {
            let file = loaded
                .file
                .as_ref()
                .map_or("built-in defaults".to_owned(), |file| file.display().to_string());
            findings.push(ok("configuration", file));
            for (key, fault) in loaded.open_passwords() {
                findings.push(warning(key, format!("holds a password, and {}", fault.found), fault.cure));
            }
            examine(globals, &loaded.settings, &mut findings).await;
        }
        Err(problems) => {
            findings.push(wrong(
                "configuration",
                problems.to_string(),
                "mend the file; wxgate config check tells the same",
            ));
            findings.push(far::check_clock(None).await);
        }
    }
    findings.push(check_open_files());
    tell(globals, &findings);
    let fault = match findings.iter().find(|finding| finding.verdict == Verdict::Wrong) {
        None => return Ok(()),
        Some(finding) if finding.check == "configuration" => Fault::Config,
        Some(_) => Fault::Asked,
    };
    // Told above; only the exit code is left to give.
    Err(Failure { fault, message: String::new() })
}

fn tell(globals: &Globals, findings: &[Finding]) {
    if globals.json {
        print::json(&findings);
        return;
    }
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Ok => "ok     ",
            Verdict::Warning => "warning",
            Verdict::Wrong => "WRONG  ",
        };
        print::out(&format!("{mark}  {}: {}", finding.check, finding.found.replace('\n', "\n           ")));
        if !finding.cure.is_empty() {
            print::out(&format!("         do: {}", finding.cure));
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    match (count(Verdict::Wrong), count(Verdict::Warning)) {
        (0, 0) => print::out("\nNothing is wrong."),
        (wrong, warnings) => print::out(&format!("\n{wrong} wrong, {warnings} to think about.")),
    }
}

async fn examine(globals: &Globals, settings: &Settings, findings: &mut Vec<Finding>) {
    findings.push(check_data_dir(&settings.data_dir));
    findings.extend(check_disk(&settings.data_dir));
    findings.extend(check_secrets(settings));
    findings.push(check_ffmpeg(settings).await);
    let socket = settings.socket();
    let running = client::answers(&socket).await;
    findings.push(match &running {
        Ok(true) => ok("gateway", format!("runs and answers at {}", socket.display())),
        Ok(false) => warning("gateway", "does not run on this data directory", "start it with: wxgate run"),
        Err(failure) => wrong("gateway", failure.message.clone(), "as root: sudo -u wxgate wxgate doctor"),
    });
    // Whose the ports and the store are is not for this user to know.
    let may_know = running.is_ok();
    let is_running = running.unwrap_or(false);
    if is_running {
        findings.push(gateway::check_readiness(globals).await);
        findings.push(gateway::check_accounts(globals).await);
    } else if may_know {
        findings.push(store::check(settings).await);
    }
    for (key, address) in addresses(settings).into_iter().filter(|_| may_know) {
        findings.push(check_port(key, &address, is_running).await);
    }
    let appservice = &settings.matrix.appservice;
    if appservice.enabled {
        findings.push(far::reach_url("matrix.appservice.homeserver", &appservice.homeserver).await);
        findings.extend(check_homeserver(settings).await);
        if is_running {
            findings.extend(gateway::check_network(globals, "Matrix", wiring::matrix::NETWORK).await);
        }
    }
    if settings.matrix.bot.enabled {
        let reached = far::reach_url("matrix.bot.homeserver", &settings.matrix.bot.homeserver).await;
        let is_reached = reached.verdict == Verdict::Ok;
        findings.push(reached);
        if is_running {
            findings.extend(gateway::check_network(globals, "Matrix bot", wiring::matrix_bot::NETWORK).await);
        } else if is_reached {
            findings.extend(check_bot(settings).await);
        }
    }
    if !settings.web.public_url.is_empty() {
        let url = &settings.web.public_url;
        findings.push(match is_running {
            true => far::reach_pages(url).await,
            // Nobody stands behind the proxy.
            false => far::reach_url("web.public_url", url).await,
        });
    }
    findings.extend(links::check(settings));
    let server = &settings.irc.server;
    if server.enabled
        && let Some(path) = set(&server.tls_cert)
    {
        findings.push(certificate::check(path, clock::now()));
    }
    if let Some(path) = set(&settings.web.tls_cert) {
        findings.push(certificate::check(path, clock::now()));
    }
    for network in &settings.irc.network {
        // The running gateway knows more than that somebody takes connections: bans, refused passwords.
        let known = match is_running {
            true => {
                let id = format!("{}:{}", wiring::IRC_KIND, network.name);
                gateway::check_network(globals, "IRC network", &id).await
            }
            false => None,
        };
        findings.push(match known {
            Some(finding) => finding.about(&network.name),
            None => far::reach_network(network).await,
        });
    }
    match settings.wechat.service.as_str() {
        "" if !settings.wechat.proxy.is_empty() => {
            findings.push(far::reach_url("wechat.proxy", &settings.wechat.proxy).await);
        }
        "" => {
            for host in WECHAT_HOSTS {
                findings.push(far::reach_url("WeChat", host).await);
            }
        }
        service => findings.push(far::reach_url("wechat.service", service).await),
    }
    findings.push(far::check_clock(Some(settings)).await);
}

/// Where the gateway listens, each with its key.
fn addresses(settings: &Settings) -> Vec<(&'static str, String)> {
    let (server, appservice) = (&settings.irc.server, &settings.matrix.appservice);
    let mut all = vec![("web.listen", settings.web.listen.clone())];
    let mut extend = |key, list: &[String]| all.extend(list.iter().map(|address| (key, address.clone())));
    // Guests of other networks are asked who they are with and without a server of our own.
    extend("irc.ident.listen", &settings.irc.ident.listen);
    if server.enabled {
        extend("irc.server.listen", &server.listen);
        extend("irc.server.tls_listen", &server.tls_listen);
        extend("irc.server.websocket_listen", &server.websocket_listen);
    }
    if appservice.enabled {
        extend("matrix.appservice.listen", std::slice::from_ref(&appservice.listen));
    }
    all
}

/// Whether the homeserver knows us, asked with our own token.
async fn check_homeserver(settings: &Settings) -> Option<Finding> {
    const CHECK: &str = "homeserver";
    Some(match wiring::matrix::probe(settings).await {
        Ok(user) => ok(CHECK, format!("knows this gateway as {user}")),
        Err(None) => warning(
            CHECK,
            "there is no token yet to ask it with",
            "wxgate matrix registration makes one, and what it prints is for the homeserver",
        ),
        Err(Some(error @ ProbeError::Away(_))) => wrong(
            CHECK,
            error.to_string(),
            "look at matrix.appservice.homeserver, and at the homeserver's log",
        ),
        Err(Some(error @ ProbeError::Stranger)) => wrong(
            CHECK,
            error.to_string(),
            "put what wxgate matrix registration prints into its app_service_config_files, and restart it",
        ),
        Err(Some(error @ ProbeError::Domain { .. })) => wrong(
            CHECK,
            error.to_string(),
            "set matrix.appservice.domain to the part after the colon of ids there, and make the registration anew",
        ),
    })
}

/// Whether the homeserver lets the bot's account in. Not asked beside a running gateway, which says so itself:
/// homeservers count sign-ins.
#[cfg(feature = "matrix-bot")]
async fn check_bot(settings: &Settings) -> Option<Finding> {
    const CHECK: &str = "Matrix bot";
    Some(match wiring::matrix_bot::probe(settings).await {
        Ok(found) => ok(CHECK, format!("the homeserver {found}")),
        Err(why) => wrong(
            CHECK,
            why,
            "look at matrix.bot.user, and at its way in: password_file, access_token_file or oauth",
        ),
    })
}

/// A build without the bot says so where its settings are checked.
#[cfg(not(feature = "matrix-bot"))]
#[expect(clippy::unused_async, reason = "it waits in builds with the bot")]
async fn check_bot(_: &Settings) -> Option<Finding> {
    None
}

/// Whether files can be brought into other forms.
async fn check_ffmpeg(settings: &Settings) -> Finding {
    const CHECK: &str = "ffmpeg";
    let Some(program) = settings.media.ffmpeg() else {
        return match settings.media.ffmpeg.as_str() {
            "off" => ok(CHECK, "switched off: stickers, voice and films go as they are"),
            _ => warning(
                CHECK,
                "is not installed: stickers and voice of Matrix arrive in WeChat as files",
                "install the package ffmpeg and start the gateway again, or set media.ffmpeg = \"off\"",
            ),
        };
    };
    let mut command = tokio::process::Command::new(&program);
    let asked = command.args(["-nostdin", "-version"]).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let shown = program.display();
    match tokio::time::timeout(far::PATIENCE, asked.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout);
            let version = version.lines().next().unwrap_or_default().split(" Copyright").next();
            ok(CHECK, format!("{shown}: {}", version.unwrap_or_default()))
        }
        _ => wrong(CHECK, format!("{shown} does not run"), "mend it, or set media.ffmpeg = \"off\""),
    }
}

/// Makes a directory where the data directory's first missing part would be, and removes it.
fn can_be_made(dir: &Path) -> std::io::Result<()> {
    let parent = dir.ancestors().skip(1).find(|path| path.as_os_str().is_empty() || path.exists());
    let parent = parent.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let probe = parent.join(format!(".wxgate-doctor-{}", std::process::id()));
    std::fs::create_dir(&probe)?;
    std::fs::remove_dir(&probe)
}

fn check_data_dir(dir: &Path) -> Finding {
    const CHECK: &str = "data directory";
    let shown = dir.display();
    match std::fs::metadata(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => match can_be_made(dir) {
            Ok(()) => ok(CHECK, format!("{shown} is not there yet; wxgate run makes it")),
            Err(e) => {
                wrong(CHECK, format!("{shown} cannot be made: {e}"), "set data_dir to a place of this user")
            }
        },
        Err(e) => wrong(CHECK, format!("{shown}: {e}"), "let this user enter it, or set data_dir"),
        Ok(found) if !found.is_dir() => {
            wrong(CHECK, format!("{shown} is no directory"), "set data_dir to a directory")
        }
        Ok(found) => {
            let probe = dir.join(".doctor");
            let written = std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe));
            match written {
                Err(e) => wrong(
                    CHECK,
                    format!("{shown} cannot be written: {e}"),
                    "run this as the user of the gateway, or give it to them",
                ),
                Ok(()) if found.mode() & 0o077 != 0 => warning(
                    CHECK,
                    format!("others can look into {shown} (mode {:o})", found.mode() & 0o777),
                    format!("chmod 700 {shown}"),
                ),
                Ok(()) => ok(CHECK, format!("{shown} can be written")),
            }
        }
    }
}

/// Free space, by the system's own tool: the standard library does not tell it.
fn check_disk(dir: &Path) -> Option<Finding> {
    const CHECK: &str = "disk";
    let existing = dir.ancestors().find(|path| path.exists() && !path.as_os_str().is_empty());
    let place = existing.map_or_else(|| PathBuf::from("."), Path::to_owned);
    let told = std::process::Command::new("df").arg("-Pk").arg(&place).output().ok()?;
    let text = String::from_utf8(told.stdout).ok()?;
    let free_kb: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    let free = free_kb.saturating_mul(1024);
    let found = format!("{} MiB free at {}", free >> 20, place.display());
    Some(match free {
        0..=104_857_600 => wrong(CHECK, found, "make room: nothing can be taken in without it"),
        _ if free < LITTLE_DISK_BYTES => warning(CHECK, found, "make room, or lower media.max_store_bytes"),
        _ => ok(CHECK, found),
    })
}

fn check_secrets(settings: &Settings) -> Vec<Finding> {
    const CHECK: &str = "secret files";
    let made: Vec<PathBuf> =
        ["seal.key"].iter().chain(&backup::SECRETS).map(|name| settings.data_dir.join(name)).collect();
    let (face, bot) = (&settings.matrix.appservice, &settings.matrix.bot);
    let named = [
        &settings.store.seal_key_file,
        &settings.store.password_file,
        &settings.web.tls_key,
        &settings.irc.server.tls_key,
        &face.as_token_file,
        &face.hs_token_file,
        &face.puppet_token_file,
        &face.provisioning_secret_file,
        &bot.password_file,
        &bot.access_token_file,
        &bot.recovery_key_file,
    ];
    let guests = settings.irc.network.iter().flat_map(|network| {
        let sasl = &network.sasl.password_file;
        [&network.tls_key, &network.password_file, sasl, &network.nickserv_password_file]
    });
    let all =
        made.iter().chain(named).chain(guests).filter_map(|path| set(path)).filter(|path| path.exists());
    let reader = Reader::instead_of_root(&settings.data_dir);
    let mut count = 0;
    let mut findings = Vec::new();
    for path in all {
        count += 1;
        if let Some(fault) = secret_fault(path).or_else(|| reader.as_ref()?.fault(path)) {
            findings.push(wrong(CHECK, fault.found, fault.cure));
        }
    }
    if findings.is_empty() && count > 0 {
        findings.push(ok(CHECK, format!("{count} found, closed to everybody else")));
    }
    findings
}

async fn check_port(key: &'static str, address: &str, is_running: bool) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_) if is_running => warning(
            key,
            format!("{address} is free although the gateway runs"),
            "the running gateway has another configuration; restart it",
        ),
        Ok(_) => ok(key, format!("{address} is free")),
        Err(e) if is_running && e.kind() == std::io::ErrorKind::AddrInUse => {
            ok(key, format!("{address} is in use, as it should be"))
        }
        Err(e) => {
            wrong(key, wiring::taken(key, address, &e).message, format!("free the port, or change {key}"))
        }
    }
}

/// Source: proc(5), `/proc/self/limits`.
fn check_open_files() -> Finding {
    const CHECK: &str = "open files";
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    match soft.map(str::parse::<u64>) {
        Some(Ok(limit)) if limit < FEW_FILES => warning(
            CHECK,
            format!("this shell allows {limit}, enough for about {} accounts", limit / 3),
            "for more: ulimit -n 65536, or LimitNOFILE= in the unit",
        ),
        _ => ok(CHECK, "the limit is high enough"),
    }
}
