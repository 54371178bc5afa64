//! The mistakes that people make, each found by `wxgate doctor` and told with its cure.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, mpsc};
use std::thread;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;

use super::*;

/// Somebody who answers in the place of a service or a homeserver.
struct Stub {
    port: u16,
    _stop: mpsc::Sender<()>,
}

impl Stub {
    /// One that gives everybody the same answer.
    fn answering(status: &'static str, heads: &'static str, body: &'static str) -> Self {
        Self::new(heads, move |_| (status, body))
    }

    /// One that answers by the line of the request, always with these heads.
    fn new(
        heads: &'static str,
        answer: impl Fn(&str) -> (&'static str, &'static str) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = mpsc::channel::<()>();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                // Ends with the first connection after the stub is gone.
                if stopped.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                    return;
                }
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut first = String::new();
                let _ = reader.read_line(&mut first);
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    line.clear();
                }
                let (status, body) = answer(&first);
                let head = format!("HTTP/1.1 {status}\r\n{heads}content-type: application/json\r\n");
                let _ =
                    write!(stream, "{head}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            }
        });
        Self { port, _stop: stop }
    }
}

/// What the doctor says about one thing.
fn finding(home: &Home, check: &str) -> (String, String, String) {
    let done = home.run(&["doctor", "--json"]);
    let findings: Value = serde_json::from_str(&done.out).unwrap();
    let all = findings.as_array().unwrap();
    let found = all.iter().find(|finding| finding["check"] == check);
    let found = found.unwrap_or_else(|| panic!("nothing about {check}: {findings:#}"));
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("verdict"), text("found"), text("cure"))
}

fn assert_wrong(home: &Home, check: &str, found: &str, cure: &str) {
    let told = finding(home, check);
    assert_eq!(told.0, "wrong", "{told:?}");
    assert!(told.1.contains(found) && told.2.contains(cure), "{told:?}");
    assert_ne!(home.run(&["doctor"]).code, 0, "something is wrong and the code is 0");
}

#[cfg(feature = "postgres")]
#[test]
fn a_database_server_that_is_away_is_named_without_its_password() {
    let home = Home::new("away");
    let port = free_port();
    home.configure(&format!("[store]\nurl = \"postgres://me:hunter2@127.0.0.1:{port}/wx\"\n"));
    let file = home.0.join("wxgate.toml");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let named = format!("store.url (postgres://127.0.0.1:{port}/wx): opening the database failed: ");
    assert_wrong(&home, "store", &named, "is the server up, and reachable from here?");
    for args in [&["run"][..], &["backup", "all.tar"], &["key", "rotate"]] {
        let done = home.run(args);
        assert!(done.code == 4 && done.err.contains(&named), "{args:?}: {} {}", done.code, done.err);
        assert!(!done.err.contains("hunter2"), "{args:?}: {}", done.err);
    }
}

#[test]
fn links_that_lead_nowhere_from_other_machines_are_told_of() {
    let home = Home::new("doctor-links");
    let listen_on = |addresses: &str| {
        let text = format!("data_dir = \"data\"\n[irc.server]\nlisten = [{addresses}]\n");
        std::fs::write(home.0.join("wxgate.toml"), text).unwrap();
    };
    listen_on("\"127.0.0.1:0\", \"0.0.0.0:0\"");
    let (verdict, found, cure) = finding(&home, "web.public_url");
    assert!(
        verdict == "warning" && found.contains("irc.server.listen takes clients from other machines"),
        "{verdict}: {found}"
    );
    assert!(cure.contains("such as https://"), "{cure}");
    listen_on("\"127.0.0.1:0\", \"[::1]:0\", \"localhost:0\"");
    let done = home.run(&["doctor", "--json"]);
    assert!(!done.out.contains("web.public_url"), "{}", done.out);
}

#[test]
fn a_port_that_is_taken_and_a_service_that_nobody_offers() {
    let home = Home::new("doctor");
    let (irc, _) = home.configure("");
    let _taken = TcpListener::bind(("127.0.0.1", irc)).unwrap();
    assert_eq!(home.run(&["doctor"]).code, 1);
    assert_wrong(&home, "irc.server.listen", "another program uses this port", "free the port");
    assert_wrong(&home, "wechat.service", "cannot be reached", "network");
    assert_eq!(finding(&home, "clock").0, "warning", "nobody told the time");
}

/// A far end that speaks TLS and HTTP with a certificate of its own making; its port and the certificate.
fn behind_tls() -> (u16, rcgen::Certificate) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            // Some connect and go, some do not trust it.
            let mut stream = rustls::StreamOwned::new(session, stream);
            if stream.read(&mut [0; 1024]).is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    (port, made.cert)
}

#[test]
fn a_certificate_that_is_not_trusted_is_the_cause_that_is_told() {
    let home = Home::new("doctor-tls");
    let (port, certificate) = behind_tls();
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate.der());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let configure = |fingerprint: &str| {
        home.configure(&format!(
            "[[irc.network]]\nname = \"far\"\naddress = \"127.0.0.1:{port}\"\nnick = \"me\"\ntls_fingerprint = \"{fingerprint}\"\n"
        ));
        let text = std::fs::read_to_string(home.0.join("wxgate.toml")).unwrap();
        let text = text.replace("http://127.0.0.1:9\"", &format!("https://127.0.0.1:{port}\""));
        std::fs::write(home.0.join("wxgate.toml"), text).unwrap();
    };
    configure("");
    for check in ["wechat.service", "IRC network"] {
        assert_wrong(&home, check, "takes connections, and TLS fails: ", "ca-certificates");
        assert!(finding(&home, check).1.contains("certificate"), "{:?}", finding(&home, check));
    }
    configure(&"0".repeat(64));
    assert_wrong(&home, "IRC network", "another fingerprint", "certificate");
    configure(&digest);
    assert_eq!(finding(&home, "IRC network").0, "ok");
    std::fs::write(home.0.join("far.pem"), certificate.pem()).unwrap();
    let trusting = home.command(&["doctor"]).env("SSL_CERT_FILE", "far.pem").output().unwrap();
    let told = Done::from(trusting).out;
    assert!(
        told.contains(&format!("ok       wechat.service: 127.0.0.1:{port} takes connections\n")),
        "{told}"
    );
}

/// What root looks at is read by somebody else.
#[test]
fn a_secret_that_the_owner_of_the_data_cannot_read() {
    let home = Home::new("doctor-owner");
    let key = home.0.join("seal.key");
    std::fs::write(&key, "x").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    home.configure(&format!("[store]\nseal_key_file = {:?}\n", key.display().to_string()));
    std::fs::create_dir(home.0.join("data")).unwrap();
    if let Err(error) = std::os::unix::fs::chown(home.0.join("data"), Some(61_234), Some(61_234)) {
        eprintln!("SKIPPED: files are given away by root alone: {error}");
        return;
    }
    let told = home.run(&["config", "check"]);
    let wanted = format!("; run: chgrp 61234 {0} && chmod g+r {0}", key.display());
    assert!(told.code == 3 && told.err.contains("cannot be read by 61234"), "{}", told.err);
    assert!(told.err.contains(&wanted), "{}", told.err);
    assert_wrong(&home, "configuration", "cannot be read by 61234", "mend");
    std::os::unix::fs::chown(&key, None, Some(61_234)).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let told = home.run(&["config", "check"]);
    assert_eq!(told.code, 0, "{}", told.err);
    // What the gateway makes for itself is looked at too.
    let made = home.0.join("data/links.key");
    std::fs::write(&made, "x").unwrap();
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_wrong(&home, "secret files", "links.key cannot be read by 61234", "chgrp 61234 data/links.key");
}

#[test]
fn a_network_that_cannot_be_reached() {
    let home = Home::new("doctor-network");
    home.configure("[[irc.network]]\nname = \"away\"\naddress = \"127.0.0.1:9\"\nnick = \"me\"\n");
    assert_wrong(&home, "IRC network", "127.0.0.1:9 cannot be reached", "firewall");
}

#[test]
fn a_clock_that_is_off() {
    let home = Home::new("doctor-clock");
    let stub = Stub::answering("200 OK", "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "");
    home.configure("");
    let text = std::fs::read_to_string(home.0.join("wxgate.toml")).unwrap();
    let text = text.replace("127.0.0.1:9\"", &format!("127.0.0.1:{}\"", stub.port));
    std::fs::write(home.0.join("wxgate.toml"), text).unwrap();
    assert_wrong(&home, "clock", "before that of 127.0.0.1", "timedatectl");
}

#[test]
fn a_secret_that_everybody_can_read() {
    let home = Home::new("doctor-secret");
    let key = home.0.join("seal.key");
    std::fs::write(&key, "x").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    home.configure(&format!("[store]\nseal_key_file = {:?}\n", key.display().to_string()));
    assert_wrong(&home, "configuration", "can be read by everybody (mode 644); run: chmod o= ", "mend");
    assert_eq!(home.run(&["doctor"]).code, 3);
}

#[test]
fn a_certificate_that_ran_out() {
    let home = Home::new("doctor-certificate");
    let (irc, web) = (free_port(), free_port());
    let pem = home.0.join("cert.pem");
    std::fs::write(&pem, include_str!("expired.pem")).unwrap();
    let text = format!(
        "data_dir = \"data\"\n[irc.server]\nlisten = [\"127.0.0.1:{irc}\"]\ntls_cert = \"cert.pem\"\n[web]\nlisten = \"127.0.0.1:{web}\"\n\
         [wechat]\nservice = \"http://127.0.0.1:9\"\n"
    );
    std::fs::write(home.0.join("wxgate.toml"), text).unwrap();
    assert_wrong(&home, "certificate", "ran out", "renew it");
}

/// A configuration with an application service at `stub`, and a token to ask with.
fn with_homeserver(home: &Home, stub: &Stub) {
    home.configure(&format!(
        "[matrix.appservice]\nenabled = true\nhomeserver = \"http://127.0.0.1:{}\"\nlisten = \"127.0.0.1:{}\"\n\
         permissions = {{ \"example.org\" = \"user\" }}\n",
        stub.port,
        free_port(),
    ));
    let registration = home.run(&["matrix", "registration"]);
    assert_eq!(registration.code, 0, "{}", registration.err);
}

#[test]
fn a_homeserver_that_knows_us_not_or_serves_another_domain() {
    let home = Home::new("doctor-homeserver");
    let refusal = "{\"errcode\":\"M_UNKNOWN_TOKEN\",\"error\":\"who?\"}";
    let stub = Stub::answering("401 Unauthorized", "", refusal);
    with_homeserver(&home, &stub);
    assert_wrong(&home, "homeserver", "does not know the as_token", "app_service_config_files");
    drop(stub);
    let stub = Stub::answering("200 OK", "", "{\"user_id\":\"@wechatbot:other.example\"}");
    with_homeserver(&home, &stub);
    assert_wrong(&home, "homeserver", "serves other.example, and the settings say example.org", "domain");
    drop(stub);
    let stub = Stub::answering("200 OK", "", "{\"user_id\":\"@wechatbot:example.org\"}");
    with_homeserver(&home, &stub);
    let told = finding(&home, "homeserver");
    assert_eq!((told.0.as_str(), told.1.contains("@wechatbot:example.org")), ("ok", true), "{told:?}");
}

#[test]
fn a_homeserver_that_does_not_reach_us() {
    let home = Home::new("doctor-deaf");
    let stub = Stub::new("", |line| match line {
        line if line.contains("/ping") => {
            ("502 Bad Gateway", "{\"errcode\":\"M_CONNECTION_FAILED\",\"error\":\"no route\"}")
        }
        _ => ("200 OK", "{\"user_id\":\"@wechatbot:example.org\",\"capabilities\":{}}"),
    });
    with_homeserver(&home, &stub);
    let _gateway = home.start(&["run"]);
    wait_for_gateway(&home);
    let deadline = Instant::now() + Duration::from_secs(30);
    while finding(&home, "Matrix").0 != "wrong" {
        assert!(Instant::now() < deadline, "{:?}", finding(&home, "Matrix"));
    }
    assert_wrong(
        &home,
        "Matrix",
        "cannot reach this gateway; check the url in its registration",
        "do what it says",
    );
    assert_eq!(finding(&home, "homeserver").0, "ok");
}

#[test]
fn a_database_of_a_newer_program() {
    let home = Home::new("doctor-schema");
    home.configure("");
    let mut gateway = home.start(&["run"]);
    wait_for_gateway(&home);
    gateway.signal("-TERM");
    assert_eq!(gateway.code(), 0);
    let database = home.0.join("data/wxgate.db");
    let newer = Command::new("sqlite3").arg(&database).arg(NEWER).output();
    let Some(newer) = newer.ok().filter(|done| done.status.success()) else {
        eprintln!("this test was NOT run: no sqlite3 here");
        return;
    };
    assert!(newer.stderr.is_empty());
    assert_wrong(&home, "store", "was written by a newer version", "run the program that wrote it");
    assert_eq!(home.run(&["run"]).code, 4);
}

/// A step that this program does not know.
const NEWER: &str = "INSERT INTO schema_version VALUES (9999, 'x', 0)";

/// A gateway whose store is away, as it answers at its socket.
fn without_its_store(home: &Home) {
    std::fs::create_dir(home.0.join("data")).unwrap();
    let socket = UnixListener::bind(home.0.join("data/wxgate.sock")).unwrap();
    thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            // Whoever only looks whether somebody is there asks nothing.
            if reader.read_line(&mut first).unwrap_or(0) == 0 {
                continue;
            }
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let body = match first.contains("/readyz") {
                true => r#"{"ready":false,"reasons":["the store does not answer: no answer in 2 s"]}"#,
                false => r#"{"error":"reading accounts failed: pool timed out"}"#,
            };
            let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n";
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
            // It is for the command to end the connection.
            let _ = reader.read_line(&mut line);
        }
    });
}

#[test]
fn a_running_gateway_whose_store_is_away() {
    let home = Home::new("doctor-storeless");
    home.configure("");
    without_its_store(&home);
    assert_wrong(&home, "readiness", "the store does not answer", "log");
    assert_wrong(&home, "accounts", "reading accounts failed", "log");
    // The environment, as without a gateway in between.
    for args in [&["user", "list"][..], &["account", "list"], &["backup", "all.tar"], &["key", "rotate"]] {
        let done = home.run(args);
        assert!(done.code == 4 && done.err.contains("reading accounts failed"), "{args:?}: {}", done.err);
    }
    assert!(!home.0.join("all.tar").exists());
}

#[test]
fn a_port_of_the_ident_server_without_an_irc_server() {
    let home = Home::new("doctor-ident");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let ident = taken.local_addr().unwrap();
    let text = format!(
        "data_dir = \"data\"\n[irc.server]\nenabled = false\n[irc.ident]\nlisten = [\"{ident}\"]\n[web]\n\
         listen = \"127.0.0.1:{}\"\n[wechat]\nservice = \"http://127.0.0.1:9\"\n",
        free_port()
    );
    std::fs::write(home.0.join("wxgate.toml"), text).unwrap();
    assert_wrong(&home, "irc.ident.listen", "another program uses this port", "free the port");
}

#[test]
fn a_gateway_of_another_user() {
    let home = Home::new("doctor-other");
    home.configure("");
    let mut gateway = home.start(&["run"]);
    wait_for_gateway(&home);
    let as_nobody = |args: &[&str]| {
        let mut command = home.command(args);
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
        command.output().map(Done::from)
    };
    let Ok(doctor) = as_nobody(&["doctor", "--json"]) else {
        eprintln!("SKIPPED: only root runs something as another user");
        return;
    };
    let findings: Vec<Value> = serde_json::from_str(&doctor.out).unwrap();
    let about = |check: &str| findings.iter().find(|finding| finding["check"] == check);
    let told = about("gateway").unwrap();
    assert_eq!(told["verdict"], "wrong", "{told}");
    assert!(told["found"].as_str().unwrap().contains("belongs to another user"), "{told}");
    assert!(about("store").is_none() && about("web.listen").is_none(), "{findings:#?}");
    for args in [&["backup", "/tmp/wxgate-of-another-user.tar"][..], &["key", "rotate"], &["user", "list"]] {
        let done = as_nobody(args).unwrap();
        assert!(done.code == 1 && done.err.contains("belongs to another user"), "{args:?}: {}", done.err);
    }
    gateway.signal("-TERM");
    assert_eq!(gateway.code(), 0);
}
