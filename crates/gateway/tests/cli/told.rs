//! What a program tells on the way out, and to programs.

use super::*;

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
