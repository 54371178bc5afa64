//! What a program tells on the way out, and to programs.

use std::fs::File;

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
