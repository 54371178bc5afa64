//! What a program tells on the way out, and to programs.

use std::fs::File;

use serde_json::Value;

use super::*;

impl Home {
    /// The code of a command that cannot write to standard error, because its disk is full.
    fn mute(&self, args: &[&str]) -> i32 {
        let full = File::options().write(true).open("/dev/full").unwrap();
        self.command(args).stdout(Stdio::null()).stderr(full).status().unwrap().code().unwrap()
    }
}

#[test]
fn a_full_standard_error_changes_no_exit_code() {
    let home = Home::new("full");
    home.configure("");
    assert_eq!(home.mute(&["user", "list"]), 1);
    assert_eq!(home.mute(&["user", "list", "--json"]), 1);
    assert_eq!(home.mute(&["frobnicate"]), 2);
    assert_eq!(home.mute(&["frobnicate", "--json"]), 2);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    home.configure_on((0, taken.local_addr().unwrap().port()), "");
    assert_eq!(home.mute(&["run"]), 4);
    std::fs::write(home.0.join("wxgate.toml"), "[web]\nlisen = 1\n").unwrap();
    assert_eq!(home.mute(&["config", "check"]), 3);
    // A log that nobody takes does not end the gateway.
    home.configure("");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut gateway = Running(home.command(&["run"]).stdout(Stdio::null()).stderr(full).spawn().unwrap());
    wait_for_gateway(&home);
    gateway.signal("-TERM");
    assert_eq!(gateway.code(), 0);
}

#[test]
fn a_hangup_does_not_end_the_gateway() {
    let home = Home::new("hangup");
    home.configure("");
    let mut gateway = home.start(&["run"]);
    wait_for_gateway(&home);
    let mut log = BufReader::new(gateway.0.stderr.take().unwrap());
    gateway.signal("-HUP");
    Running::line(&mut log, |line| line.contains("SIGHUP: certificates are read again by themselves"));
    assert_eq!(home.run(&["user", "list"]).code, 0);
    gateway.signal("-TERM");
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert_eq!(gateway.code(), 0);
    assert!(rest.contains("the gateway has stopped"), "{rest}");
}

#[test]
fn a_wrong_command_line_is_told_to_programs_in_json() {
    let home = Home::new("json");
    for (args, word) in [
        (&["frobnicate", "--json"][..], "unrecognized subcommand 'frobnicate'"),
        (&["--json"], "'wxgate' requires a subcommand"),
        (&["--json", "demo", "--accounts", "0"], "invalid value '0' for '--accounts"),
    ] {
        let done = home.run(args);
        let told: Value = serde_json::from_str(&done.err).unwrap_or_else(|_| panic!("{}", done.err));
        assert_eq!((done.code, &told["exit_code"]), (2, &2.into()), "{args:?}");
        assert!(told["error"].as_str().unwrap().starts_with(word), "{told}");
    }
    let help = home.run(&["--json", "--help"]);
    assert!(help.code == 0 && help.out.contains("Exit codes"), "{}", help.err);
}

#[test]
fn the_demo_tells_programs_a_line_of_json_for_each_thing() {
    let home = Home::new("lines");
    let (irc, site) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let mut demo = home.start(&[
        "demo",
        "--json",
        "--accounts",
        "10",
        "--rate",
        "50",
        "--seconds",
        "15",
        "--irc",
        &irc,
        "--web",
        &site,
    ]);
    let mut out = String::new();
    demo.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(demo.code(), 0, "{out}");
    let line = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    let events: Vec<Value> = out.lines().map(line).collect();
    let first = |name: &str| {
        events.iter().find(|event| event["event"] == name).unwrap_or_else(|| panic!("{name}: {out}"))
    };
    assert_eq!(first("starting")["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&first("progress")["all"], &first("sign_in")["step"]), (&10.into(), &"show_qr".into()));
    let ready = first("ready");
    assert_eq!(format!("127.0.0.1:{}", ready["irc"]["port"]), irc);
    assert_eq!(
        (&ready["web"], ready["accounts"].as_array().unwrap().len()),
        (&format!("http://{site}/").into(), 10)
    );
    assert!(first("message")["text"].is_string() && first("message")["account"].is_string());
    assert_eq!(events.last().unwrap()["event"], "ending");
}

/// Where programs read the log, each line is an object, also why it ended.
#[test]
fn a_log_for_programs_is_json_to_its_last_line() {
    let home = Home::new("log");
    let logged = |err: &str| -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        err.lines().map(parse).collect()
    };
    home.configure("[log]\nformat = \"json\"\n");
    let mut gateway = home.start(&["run"]);
    wait_for_gateway(&home);
    gateway.signal("-TERM");
    let mut err = String::new();
    gateway.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(gateway.code(), 0);
    let lines = logged(&err);
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["fields"].is_object()), "{err}");
    let last = &lines.last().unwrap()["fields"]["message"];
    assert!(last.as_str().unwrap().contains("the gateway has stopped"), "{err}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    home.configure_on((free_port(), port), "[log]\nformat = \"json\"\n");
    let ended = home.run(&["run"]);
    assert_eq!(ended.code, 4, "{}", ended.err);
    let lines = logged(&ended.err);
    let last = lines.last().unwrap();
    assert_eq!(last["level"], "ERROR", "{}", ended.err);
    assert!(last["fields"]["message"].as_str().unwrap().contains(&port.to_string()), "{}", ended.err);
}

/// What somebody types is one line, and they can think better of it.
#[test]
fn a_password_is_read_as_one_line_and_can_be_given_up() {
    let home = Home::new("typed");
    home.configure("");
    let _gateway = home.start(&["run"]);
    wait_for_gateway(&home);
    let begin = |args: &[&str]| {
        let mut command = home.command(args);
        Running(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let mut add = begin(&["user", "add", "ann", "--password-stdin"]);
    let mut input = add.0.stdin.take().unwrap();
    input.write_all(b"pencil\n").unwrap();
    // The pipe stays open.
    assert_eq!(add.code(), 0);
    drop(input);
    for signal in ["-INT", "-TERM"] {
        let mut change = begin(&["user", "password", "ann", "--password-stdin"]);
        let _input = change.0.stdin.take();
        // It listens to signals once it reads.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) && change.0.try_wait().unwrap().is_none() {
            change.signal(signal);
            // Another command takes a moment.
            home.run(&["--version"]);
        }
        let ended = change.0.try_wait().unwrap();
        assert!(ended.is_some_and(|ended| !ended.success()), "{signal} does not end it");
    }
    let list = home.run(&["user", "list"]);
    assert!(list.out.contains("ann") && list.out.contains("password"), "{}", list.out);
}

#[test]
fn tokens_are_listed_and_ended_and_shells_get_their_script() {
    let home = Home::new("tokens");
    home.configure("");
    let _gateway = home.start(&["run"]);
    wait_for_gateway(&home);
    let ok = |args: &[&str]| {
        let done = home.run(args);
        assert_eq!(done.code, 0, "{args:?}: {}", done.err);
        done.out
    };
    ok(&["user", "add", "ann"]);
    assert!(ok(&["user", "token", "ann", "--list"]).contains("ann has no token"));
    ok(&["user", "token", "ann", "--label", "cron", "--opens", "read"]);
    let list = ok(&["user", "token", "ann", "--list"]);
    assert!(list.contains("cron") && list.contains("read") && list.contains("not yet"), "{list}");
    ok(&["user", "token", "ann", "--end", "cron"]);
    assert_eq!(home.run(&["user", "token", "ann", "--end", "cron"]).code, 1, "it is ended twice");
    assert!(ok(&["user", "token", "ann", "--list"]).contains("ann has no token"));
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef wxgate"), ("fish", "complete -c wxgate")]
    {
        let script = ok(&["completions", shell]);
        assert!(script.contains(word) && script.contains("password-stdin"), "{shell}: {script}");
    }
}
