//! The real program, driven from outside.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod doctor;
mod files;
mod told;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A directory of its own for each test.
struct Home(PathBuf);

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Home {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wxgate-cli-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A configuration on free ports, with `more` behind it.
    fn configure(&self, more: &str) -> (u16, u16) {
        let ports = (free_port(), free_port());
        self.configure_on(ports, more);
        ports
    }

    /// A configuration on these ports, first IRC, then web.
    fn configure_on(&self, (irc, web): (u16, u16), more: &str) {
        let text = format!(
            "data_dir = \"data\"\n[irc.server]\nlisten = [\"127.0.0.1:{irc}\"]\n[web]\nlisten = \"127.0.0.1:{web}\"\n\
             [wechat]\nservice = \"http://127.0.0.1:9\"\n{more}"
        );
        std::fs::write(self.0.join("wxgate.toml"), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wxgate"));
        command.args(args).current_dir(&self.0).env_remove("NO_COLOR").stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WXGATE__")) {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Done {
        Done::from(self.command(args).output().unwrap())
    }

    fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }
}

struct Done {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// The next line of standard output that `wanted` likes.
    fn line(reader: &mut impl BufRead, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let mut line = String::new();
            assert!(reader.read_line(&mut line).unwrap() > 0, "the program ended before the line came");
            if wanted(&line) {
                return line.trim_end().to_owned();
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn code(&mut self) -> i32 {
        self.0.wait().unwrap().code().unwrap()
    }
}

/// A port below those that the kernel gives to the near ends of connections (32768 and up on
/// Linux), offered once per process: nobody takes it between this look and the program's bind.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 9_000).unwrap();
    let free = |_| {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 9_000;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    };
    (0..9_000).find_map(free).unwrap()
}

/// Status line and head, and body, of one request.
fn http(port: u16, path: &str, more: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{more}\r\n").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase(), bytes[end + 4..].to_vec())
}

fn wait_for_gateway(home: &Home) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while home.run(&["user", "list"]).code != 0 {
        assert!(Instant::now() < deadline, "the gateway does not come up");
    }
}

#[test]
fn help_and_version_are_as_people_expect() {
    let home = Home::new("help");
    let help = home.run(&["--help"]);
    assert_eq!(help.code, 0);
    for word in ["demo", "run", "user", "account", "chat", "config", "doctor", "completions", "Exit codes"] {
        assert!(help.out.contains(word), "{word} is not in the help");
    }
    let version = home.run(&["--version"]);
    assert_eq!((version.code, version.out.trim()), (0, concat!("wxgate ", env!("CARGO_PKG_VERSION"))));
    let shell = home.run(&["completions", "bash"]);
    assert_eq!(shell.code, 0);
    assert!(shell.out.contains("_wxgate"));
}

#[test]
fn a_wrong_command_line_is_code_2() {
    let home = Home::new("usage");
    for args in [
        &["frobnicate"][..],
        &[],
        &["account", "add", "x"],
        &["demo", "--accounts", "0"],
        &["demo", "--rate", "-1"],
        &["demo", "--irc", "0.0.0.0:6667"],
    ] {
        assert_eq!(home.run(args).code, 2, "{args:?}");
    }
}

#[test]
fn a_wrong_configuration_is_code_3_with_every_problem() {
    let home = Home::new("config");
    std::fs::write(home.0.join("wxgate.toml"), "[web]\nlisen = \"x\"\n[limits]\nsends_per_minute = 0\n")
        .unwrap();
    for args in [&["config", "check"][..], &["run"], &["account", "list"], &["config", "show"]] {
        let done = home.run(args);
        assert_eq!(done.code, 3, "{args:?}");
        assert_eq!(
            done.err,
            "wxgate: the configuration has 2 problems:\n\
             wxgate.toml:2: web.lisen: there is no such key; the nearest known key is web.listen\n\
             wxgate.toml:4: limits.sends_per_minute: must be between 1 and 6000\n",
            "{args:?}"
        );
    }
    let json = home.run(&["config", "check", "--json"]);
    assert_eq!(json.code, 3);
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["problems"][0]["line"], 2);
    assert_eq!(value["problems"][0]["nearest"], "web.listen");
    let missing = home.run(&["config", "check", "-c", "nowhere.toml"]);
    assert_eq!(missing.code, 3);
    assert!(missing.err.contains("nowhere.toml:1: cannot be read"), "{}", missing.err);
}

#[test]
fn the_configuration_can_be_checked_and_shown() {
    let home = Home::new("show");
    home.configure("[log]\nformat = \"json\"\n");
    let check = home.run(&["config", "check"]);
    assert_eq!((check.code, check.out.as_str()), (0, "wxgate.toml: nothing is wrong\n"));
    let show = home.run(&["config", "show"]);
    assert!(show.out.contains("format = \"json\"") && show.out.contains("# wxgate.toml:9"), "{}", show.out);
    let reference = home.run(&["config", "reference"]);
    std::fs::write(home.0.join("reference.toml"), &reference.out).unwrap();
    assert_eq!(home.run(&["config", "check", "-c", "reference.toml"]).code, 0);
}

#[test]
fn without_a_gateway_commands_say_how_to_start_it() {
    let home = Home::new("alone");
    home.configure("");
    for args in [
        &["account", "list"][..],
        &["user", "add", "me"],
        &["chat", "list", "x"],
        &["account", "sign-in", "x"],
    ] {
        let done = home.run(args);
        assert_eq!(done.code, 1, "{args:?}");
        assert!(done.err.contains("start it with: wxgate run -c wxgate.toml"), "{}", done.err);
    }
}

/// Both ends are this program: an answer that one of them does not understand is nobody else's fault.
#[test]
fn an_answer_that_is_not_understood_is_code_70() {
    let home = Home::new("bug");
    home.configure("");
    std::fs::create_dir(home.0.join("data")).unwrap();
    let socket = UnixListener::bind(home.0.join("data/wxgate.sock")).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nno json").unwrap();
    });
    let done = home.run(&["user", "list"]);
    answering.join().unwrap();
    assert_eq!(done.code, 70, "{}", done.err);
    assert!(done.err.starts_with("wxgate: the gateway's answer is not understood"), "{}", done.err);
}

#[test]
fn a_taken_port_is_code_4_and_named() {
    let home = Home::new("port");
    // Held from the start: a port that is given back may be somebody else's a moment later.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let irc = taken.local_addr().unwrap().port();
    for (ports, key) in [((0, irc), "web.listen"), ((irc, 0), "irc.server.listen")] {
        home.configure_on(ports, "");
        let done = home.run(&["run"]);
        assert_eq!(done.code, 4, "{key}: {}", done.err);
        assert!(done.err.contains(&format!("cannot listen on 127.0.0.1:{irc} ({key})")), "{}", done.err);
    }
    let address = format!("127.0.0.1:{irc}");
    let done = home.run(&["demo", "--plain", "--irc", &address, "--web", "127.0.0.1:0"]);
    assert_eq!(done.code, 4);
    assert!(done.err.contains("run: wxgate demo --irc"), "{}", done.err);
}

#[test]
fn people_and_accounts_are_managed_while_it_runs() {
    let home = Home::new("manage");
    let (_, web) = home.configure("");
    let mut gateway = home.start(&["run"]);
    wait_for_gateway(&home);
    let ok = |args: &[&str]| {
        let done = home.run(args);
        assert_eq!(done.code, 0, "{args:?}: {}", done.err);
        done.out
    };
    assert!(ok(&["user", "list"]).contains("nobody yet"));
    assert!(ok(&["user", "add", "alice"]).contains("Password (shown only now): "));
    assert_eq!(home.run(&["user", "add", "alice"]).code, 1);
    assert!(ok(&["user", "list"]).contains("password\n"));
    let token = ok(&["user", "token", "alice"]);
    // Alone, as scripts want it: TOKEN=$(wxgate user token alice).
    let token = token.trim_end();
    assert!(token.starts_with("wxgate_") && token.len() == 50, "{token}");
    assert!(ok(&["user", "list"]).contains("password, token"));
    let again: serde_json::Value = serde_json::from_str(&ok(&["user", "token", "alice", "--json"])).unwrap();
    assert_ne!(again["token"], token, "the same token twice");
    let nobody = home.run(&["user", "token", "bob"]);
    assert_eq!((nobody.code, nobody.err.trim()), (1, "wxgate: there is no user bob"));
    let nobody = home.run(&["user", "token", "bob", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&nobody.err).unwrap();
    assert_eq!(told, serde_json::json!({ "error": "there is no user bob", "exit_code": 1 }));
    let keys: Vec<serde_json::Value> = serde_json::from_str(&ok(&["config", "reference", "--json"])).unwrap();
    let listen = keys.iter().find(|key| key["section"] == "web" && key["key"] == "listen");
    assert_eq!(listen.unwrap()["default"], "\"127.0.0.1:8480\"");
    assert!(ok(&["account", "add", "paula", "--owner", "alice"]).contains("wxgate account sign-in paula"));
    let nobody = home.run(&["account", "add", "x", "--owner", "bob"]);
    assert_eq!((nobody.code, nobody.err.contains("no user bob")), (1, true), "{}", nobody.err);
    assert_eq!(home.run(&["account", "add", "a/b", "--owner", "alice"]).code, 1);
    let list: serde_json::Value = serde_json::from_str(&ok(&["account", "list", "--json"])).unwrap();
    assert_eq!((&list[0]["name"], &list[0]["owner"]), (&"paula".into(), &"alice".into()));
    assert!(ok(&["chat", "list", "paula"]).contains("No chats"));
    assert_eq!(home.run(&["account", "show", "nothing"]).code, 1);
    assert_eq!(home.run(&["user", "remove", "alice"]).code, 1, "a person with accounts was removed");

    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(home.0.join("data/wxgate.sock")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert!(http(web, "/healthz", "").0.starts_with("http/1.1 200"));
    assert!(http(web, "/readyz", "").0.starts_with("http/1.1 200"));
    let metrics = String::from_utf8(http(web, "/metrics", "").1).unwrap();
    assert!(metrics.contains("wxgate_accounts{state=") && metrics.contains("process_resident_memory_bytes "));
    assert!(metrics.contains("wxgate_sync_seconds_count 0"), "nobody is signed in");
    let (head, page) = http(web, "/", "");
    let page = String::from_utf8(page).unwrap();
    assert!(head.contains("content-security-policy") && page.contains("irssi -c 127.0.0.1"));
    assert!(!page.contains("alice") && !page.contains("paula"), "the page tells about accounts");
    assert!(http(web, "/api/v1/accounts", "").0.starts_with("http/1.1 401"), "accounts are told to nobody");
    assert!(http(web, "/api/v1/backup", "").0.starts_with("http/1.1 404"), "the control API is public");

    let second = home.run(&["run"]);
    assert_eq!(second.code, 4, "{}", second.err);
    ok(&["account", "remove", "paula"]);
    ok(&["user", "remove", "alice"]);
    gateway.signal("-TERM");
    assert_eq!(gateway.code(), 0);
    assert!(!home.0.join("data/wxgate.sock").exists());
    assert!(Path::new(&home.0.join("data/wxgate.db")).exists());
}

#[test]
fn the_demo_signs_in_talks_and_serves_media() {
    let home = Home::new("demo");
    let (irc, web) = (free_port(), free_port());
    let (irc, site) = (format!("127.0.0.1:{irc}"), format!("127.0.0.1:{web}"));
    let mut demo =
        home.start(&["demo", "--plain", "--accounts", "2", "--rate", "20", "--irc", &irc, "--web", &site]);
    let mut out = BufReader::new(demo.0.stdout.take().unwrap());
    Running::line(&mut out, |line| line.contains("https://login.weixin.qq.com/l/"));
    Running::line(&mut out, |line| line.contains("lin is online"));
    Running::line(&mut out, |line| line.contains("irssi -c 127.0.0.1"));
    let marker = format!("http://{site}/media/");
    let line = Running::line(&mut out, |line| line.contains(&marker));
    let path = &line[line.find("/media/").unwrap()..];

    let metrics = String::from_utf8(http(web, "/metrics", "").1).unwrap();
    let syncs = metrics.lines().find_map(|line| line.strip_prefix("wxgate_sync_seconds_count "));
    assert!(syncs.unwrap().parse::<u64>().unwrap() > 0, "what was said came by no sync");
    let (head, whole) = http(web, path, "");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff") && head.contains("sandbox"), "{head}");
    assert!(!whole.is_empty());
    let (head, part) = http(web, path, "Range: bytes=2-5\r\n");
    assert!(head.starts_with("http/1.1 206") && head.contains("content-range: bytes 2-5/"), "{head}");
    assert_eq!(part, whole[2..=5]);
    let (head, _) = http(web, path, "Range: bytes=99999999-\r\n");
    assert!(head.starts_with("http/1.1 416"), "{head}");
    let token = path.split('/').nth(2).unwrap();
    let other = if token.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("/media/{other}{}/x", &token[1..]);
    let (head, words) = http(web, &forged, "");
    assert!(head.starts_with("http/1.1 404"), "{head}");
    assert!(String::from_utf8(words).unwrap().contains("There is nothing at this address"));

    demo.signal("-INT");
    // A pipe that nobody reads must not hold the end up.
    drop(out);
    assert_eq!(demo.code(), 0);
}

#[test]
fn the_demo_does_as_it_is_told_and_ends_by_itself() {
    let home = Home::new("seconds");
    let (irc, site) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let mut demo = home.start(&[
        "demo",
        "--plain",
        "--accounts",
        "9",
        "--rate",
        "50",
        "--seconds",
        "12",
        "--irc",
        &irc,
        "--web",
        &site,
    ]);
    let mut out = BufReader::new(demo.0.stdout.take().unwrap());
    let begin = Running::line(&mut out, |_| true);
    assert!(begin.contains("everything here is invented"), "{begin}");
    Running::line(&mut out, |line| line.trim_start().starts_with("others") && line.contains("demo/lin:demo"));
    let accounts = Running::line(&mut out, |line| line.trim_start().starts_with("accounts"));
    assert!(accounts.contains("lin, mei") && accounts.contains("and 1 more"), "{accounts}");
    Running::line(&mut out, |line| line.contains(&format!("http://{site}/")));
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(demo.code(), 0, "{rest}");
    assert!(rest.trim_end().ends_with("Ending the demo …"), "{rest}");
    assert!(!rest.contains('\x1b'), "--plain moves the cursor or colours: {rest:?}");
    assert!(TcpListener::bind(&irc).is_ok() && TcpListener::bind(&site).is_ok(), "a port is still held");
}
