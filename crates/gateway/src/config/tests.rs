mod environment;

use std::os::unix::fs::PermissionsExt;

use super::*;

fn told(text: &str, vars: &[(&str, &str)]) -> Vec<String> {
    let vars: Vec<(String, String)> = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    match layer_for(Purpose::Use, "wx.toml", text, &vars) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(Problem::to_string).collect(),
    }
}

fn loaded(text: &str, vars: &[(&str, &str)]) -> Loaded {
    let vars: Vec<(String, String)> = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    layer_for(Purpose::Use, "wx.toml", text, &vars).unwrap()
}

#[test]
fn a_place_that_cannot_be_looked_at_is_not_passed_over() {
    let file = std::env::current_exe().unwrap();
    // Something else than "not there": no directory. (To root nothing is denied.)
    let (odd, gone) = (file.join("wxgate.toml"), file.with_file_name("no-such-wxgate.toml"));
    assert_eq!(usual([&*gone, &*odd]), Some(&*odd));
    assert_eq!(
        usual([Path::new("Cargo.toml/wxgate.toml"), &*gone]),
        None,
        "the present directory is somebody else's"
    );
    assert_eq!(usual([Path::new("Cargo.toml"), &*odd]), Some(Path::new("Cargo.toml")));
    let denied = unreadable(&std::io::ErrorKind::PermissionDenied.into());
    assert!(denied.contains("permission denied") && denied.contains("sudo -u wxgate"), "{denied}");
}

#[test]
fn clients_reach_the_named_server_or_else_where_the_pages_are() {
    let pages = |url: &str| format!("[web]\npublic_url = '{url}'\n");
    let named = |more: &str| format!("[irc.server]\nname = 'irc.example.org'\n{more}");
    for (text, wanted) in [
        (String::new(), None),
        (named(""), Some("irc.example.org")),
        (named(&pages("https://wx.example.org")), Some("irc.example.org")),
        (pages("https://wx.example.org:8443/"), Some("wx.example.org")),
        (pages("http://192.0.2.7:8480"), Some("192.0.2.7")),
        (pages("http://[2001:db8::7]"), Some("2001:db8::7")),
    ] {
        assert_eq!(loaded(&text, &[]).settings.client_host().as_deref(), wanted, "{text}");
    }
}

#[test]
fn nothing_set_gives_the_documented_defaults() {
    let settings = loaded("", &[]).settings;
    assert_eq!(settings.data_dir, Path::new("wxgate-data"));
    assert_eq!(settings.irc.server.listen, ["127.0.0.1:6667"]);
    assert_eq!(settings.web.listen, "127.0.0.1:8480");
    assert_eq!(settings.link_base(), "http://127.0.0.1:8480");
    assert_eq!(settings.media.max_store_bytes, 10_737_418_240);
    assert_eq!(settings.limits.sends_per_minute, 30);
    assert!(settings.matrix.appservice.permissions.is_empty());
}

#[test]
fn every_problem_is_told_at_once_with_line_key_and_nearest_key() {
    let text = "datadir = 'x'\n\n[irc.server]\nlisen = []\nenabled = 'yes'\n[ircc]\na = 1\n[web]\n\
                listen = 'nowhere'\n[limits]\nsends_per_minute = 0\n[log]\nformat = 'xml'\n\
                [matrix.both]\nuser = 1\n[wechat]\nservice = 'ftp://x'\n";
    let wanted = [
        "wx.toml:1: datadir: there is no such key; the nearest known key is data_dir",
        "wx.toml:4: irc.server.lisen: there is no such key; the nearest known key is irc.server.listen",
        "wx.toml:5: irc.server.enabled: must be true or false, not a string",
        "wx.toml:6: ircc: there is no such section; the nearest known key is store",
        "wx.toml:9: web.listen: \"nowhere\" is not HOST:PORT",
        "wx.toml:11: limits.sends_per_minute: must be between 1 and 6000",
        "wx.toml:13: log.format: must be one of \"pretty\", \"json\"",
        "wx.toml:14: matrix.both: there is no such section; the nearest known key is matrix.bot",
        "wx.toml:17: wechat.service: must begin with http:// or https://",
    ];
    let told = told(text, &[]);
    for (told, wanted) in told.iter().zip(wanted) {
        // Which section is nearest to nonsense does not matter.
        if !wanted.contains("ircc") {
            assert_eq!(told, wanted);
        }
    }
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
}

#[test]
fn broken_toml_is_told_with_its_line() {
    let told = told("data_dir = \"x\"\n[web\nlisten = 1\n", &[]);
    assert!(told.first().is_some_and(|line| line.starts_with("wx.toml:2: not TOML: ")), "{told:?}");
    for text in ["=", "[[]]", "a = [1,", "\u{0}", "a.b = 1\na = 2", "[irc]\nserver = 1\nnetwork = 2"] {
        assert!(!super::tests::told(text, &[]).is_empty(), "{text:?} was taken");
    }
}

#[test]
fn an_instance_has_a_plain_name_and_an_address_with_a_port() {
    assert_eq!(
        told("[instance]\nname = 'host-2.example'\naddress = '[fd00::2]:8490'\nlease_seconds = 30\n", &[]),
        [""; 0]
    );
    for (line, key) in [
        ("name = 'a b'", "instance.name"),
        ("name = 'a-name-of-more-than-twenty-letters'", "instance.name"),
        ("address = 'db.example'", "instance.address"),
        ("address = 'db.example:0'", "instance.address"),
        ("address = ':8490'", "instance.address"),
        ("lease_seconds = 1", "instance.lease_seconds"),
        ("listen = 'here'", "instance.listen"),
    ] {
        let told = told(&format!("[instance]\n{line}\n"), &[]);
        assert!(told.len() == 1 && told[0].starts_with(&format!("wx.toml:2: {key}: ")), "{line}: {told:?}");
    }
}

#[test]
fn a_web_listener_has_a_certificate_with_its_key_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, "").unwrap();
    std::fs::write(&key, "").unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let web = |more: &str| told(&format!("[web]\n{more}"), &[]);
    let one = |told: Vec<String>, start: &str| {
        assert!(told.len() == 1 && told[0].contains(start), "{told:#?}");
    };
    one(web(&format!("tls_cert = {cert:?}\n")), "web.tls_key: is needed with web.tls_cert");
    one(web(&format!("tls_key = {key:?}\n")), "web.tls_cert: is needed with web.tls_key");
    let pair = format!("tls_cert = {cert:?}\ntls_key = {key:?}\n");
    one(web(&pair), "wx.toml:2: web.tls_cert: cannot read the key from ");
    let made = rcgen::generate_simple_self_signed(["wx.example.org".to_owned()]).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    assert_eq!(web(&pair), [""; 0]);
    // The IRC server is told the same, and not at its start.
    let irc = format!("[irc.server]\n{pair}tls_listen = ['127.0.0.1:6697']\n");
    assert_eq!(told(&irc, &[]), [""; 0]);
    let other = rcgen::generate_simple_self_signed(["wx.example.org".to_owned()]).unwrap();
    std::fs::write(&cert, other.cert.pem()).unwrap();
    one(told(&irc, &[]), "wx.toml:2: irc.server.tls_cert: the certificate in ");
    one(web(&pair), "wx.toml:2: web.tls_cert: the certificate in ");
    std::fs::write(&cert, made.cert.pem()).unwrap();
    one(
        web(&format!("{pair}public_url = 'http://wx.example.org'\n")),
        "web.public_url: must begin with https://",
    );
    one(web(&format!("tls_cert = '/nowhere'\ntls_key = {key:?}\n")), "wx.toml:2: web.tls_cert: ");
    let settings = loaded(&format!("[web]\n{pair}"), &[]).settings;
    assert_eq!(settings.link_base(), "https://127.0.0.1:8480");
}

#[test]
fn a_bot_is_judged_whole_and_a_build_without_it_names_the_feature() {
    let text = "[matrix.bot]\nenabled = true\nuser = 'bot'\nhomeserver = 'matrix.example.org'\n";
    let told = told(text, &[]);
    for key in ["user", "homeserver", "password_file", "permissions"] {
        let start = format!("matrix.bot.{key}: ");
        assert_eq!(told.iter().filter(|line| line.contains(&start)).count(), 1, "{key}: {told:#?}");
    }
    let is_named = told.iter().any(|line| {
        line.starts_with("wx.toml:2: matrix.bot.enabled: ") && line.contains("--features matrix-bot")
    });
    assert_eq!(is_named, cfg!(not(feature = "matrix-bot")), "{told:#?}");
}

#[test]
fn an_application_service_is_judged_whole() {
    let text = "[matrix.appservice]\nenabled = true\ndomain = 'example org'\nuser_prefix = 'WeChat'\n\
                name_template = 'WeChat'\nencryption = 'off'\nencryption_required = true\n";
    let told = told(text, &[]);
    for key in ["domain", "user_prefix", "name_template", "encryption_required", "permissions"] {
        let start = format!("matrix.appservice.{key}: ");
        assert_eq!(told.iter().filter(|line| line.contains(&start)).count(), 1, "{key}: {told:#?}");
    }
    assert_eq!(told.len(), 5, "{told:#?}");
    // What is not used is not judged.
    assert_eq!(self::told(&text.replace("true", "false"), &[]), Vec::<String>::new());
}

#[test]
fn networks_to_join_are_judged_one_by_one() {
    let text = "[[irc.network]]\nname = 'oftc'\naddress = 'irc.oftc.net:6697'\n\
                [[irc.network]]\nname = 'Bad Name'\ncharset = 'klingon'\nnick = '1x'\npuppet_addresses = '10.0.0.1'\n\
                [[irc.network]]\nname = 'local'\ntls_fingerprint = 'ab:cd'\nsasl = { user = 'me' }\n\
                [[irc.network]]\nname = 'oftc'\n";
    let told = told(text, &[]);
    for part in [
        "irc.network.name: \"Bad Name\": must be 1 to 32",
        "irc.network.charset: \"Bad Name\": is no charset",
        "irc.network.nick: \"Bad Name\": is no nick",
        "irc.network.puppet_addresses: \"Bad Name\": must be addresses as in \"2001:db8:1::/64\"",
        "irc.network.name: \"local\": is the built-in server",
        "irc.network.tls_fingerprint: \"local\": must be 64 hex digits",
        "irc.network.sasl: \"local\": names a user",
        "irc.network.name: \"oftc\" is used twice",
    ] {
        assert!(told.iter().any(|line| line.contains(part)), "{part}: {told:#?}");
    }
    assert_eq!(told.len(), 8, "{told:#?}");
    let pinned = format!("[[irc.network]]\ntls_fingerprint = '{}'\n", "0a:".repeat(31) + "ff");
    let loaded = loaded(&pinned, &[]);
    let fingerprint = loaded.settings.irc.network[0].fingerprint().unwrap();
    assert_eq!((fingerprint[0], fingerprint[31]), (10, 255));
}

#[test]
fn a_network_to_join_has_the_defaults_of_the_table() {
    let section = super::keys::SECTIONS.iter().find(|section| section.path == "irc.network").unwrap();
    let keys = section.keys.iter().map(|key| format!("{} = {}\n", key.name, key.default));
    let text = format!("[[irc.network]]\n{}", keys.collect::<String>());
    let written = loaded(&text, &[]);
    let bare = loaded("[[irc.network]]\n", &[]);
    let entry = |loaded: &Loaded| format!("{:?}", loaded.settings.irc.network[0]);
    assert_eq!(entry(&written), entry(&bare));
}

#[test]
fn a_public_listener_needs_a_public_address() {
    let wanted = "wx.toml:2: web.public_url: is needed when web.listen can be reached";
    // Told where the key would be written as long as nobody wrote it.
    let told_of = |text: &str| told(text, &[]).join("\n");
    assert!(told_of("[web]\nlisten = '0.0.0.0:80'").contains(&wanted["wx.toml:2: ".len()..]));
    assert_eq!(told_of("[web]\nlisten = '0.0.0.0:80'\npublic_url = 'https://wx.example.org/'"), "");
    assert_eq!(told_of("[web]\nlisten = '[::1]:80'"), "");
}

#[test]
fn a_secret_that_everybody_can_read_is_refused() {
    let dir = std::env::temp_dir().join(format!("wxgate-config-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("seal.key");
    std::fs::write(&path, "x").unwrap();
    let text = format!("[store]\nseal_key_file = {:?}\n", path.display().to_string());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let told_of = told(&text, &[]);
    assert!(
        told_of.first().is_some_and(|line| line.contains("wx.toml:2: store.seal_key_file: ")
            && line.contains("can be read by everybody (mode 644); run: chmod o= ")),
        "{told_of:?}"
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(told(&text, &[]), Vec::<String>::new());
    std::fs::remove_file(&path).unwrap();
    assert!(told(&text, &[]).first().is_some_and(|line| line.contains("cannot be read: No such file")));
    // A backup may hold it.
    assert!(layer_for(Purpose::Restore, "wx.toml", &text, &[]).is_ok());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[cfg(feature = "postgres")]
#[test]
fn a_password_in_a_configuration_that_everybody_can_read_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (file, secret) = (dir.path().join("wx.toml"), dir.path().join("password"));
    std::fs::write(&secret, "geheim\n").unwrap();
    let open = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    open(&secret, 0o640);
    let told_of = |text: &str, mode: u32| {
        std::fs::write(&file, text).unwrap();
        open(&file, mode);
        match load(Some(&file)) {
            Ok(loaded) => {
                let open = loaded.open_passwords().into_iter();
                open.map(|(key, fault)| format!("{key} holds a password, and {fault}")).collect()
            }
            Err(problems) => problems.to_string(),
        }
    };
    for (key, text) in [
        ("store.url", "[store]\nurl = 'postgres://me:geheim@db/wx'\n"),
        ("store.url", "[store]\nurl = 'postgres:///wx?host=/run/postgresql&password=geheim'\n"),
        ("wechat.proxy", "[wechat]\nproxy = 'socks5://me:geheim@127.0.0.1:1080'\n"),
    ] {
        let told = told_of(text, 0o644);
        let wanted = format!("{key} holds a password, and {}", file.display());
        assert!(told.starts_with(&wanted) && !told.contains("geheim"), "{told}");
        assert!(told.ends_with(&format!("(mode 644); run: chmod o= {}", file.display())), "{told}");
        assert_eq!(told_of(text, 0o640), "");
    }
    assert_eq!(told_of("[store]\nurl = 'postgres://me@db/wx'\n", 0o644), "");
    let with = |url: &str| format!("[store]\nurl = '{url}'\npassword_file = '{}'\n", secret.display());
    assert_eq!(told_of(&with("postgres://me@db/wx"), 0o644), "");
    let url = crate::wiring::store_url(&load(Some(&file)).unwrap().settings).unwrap();
    assert!(url == "postgres://me@db/wx?password=geheim".parse().unwrap());
    assert!(told_of(&with("sqlite"), 0o644).contains("store.password_file: is for PostgreSQL"));
    assert!(told_of(&with("postgres://me:x@db/wx"), 0o600).contains("store.password_file: is a second one"));
    open(&secret, 0o644);
    assert!(told_of(&with("postgres://me@db/wx"), 0o644).contains("store.password_file: "));
}

#[test]
fn shown_values_hide_passwords() {
    for (section, key, set, masked) in [
        ("wechat", "proxy", "socks5://hunter2:hunter2@127.0.0.1:1080", "socks5://masked@127.0.0.1:1080"),
        ("wechat", "proxy", "http://hunter2@proxy", "http://masked@proxy/"),
        ("wechat", "proxy", "http://127.0.0.1:1080", "http://127.0.0.1:1080"),
        (
            "store",
            "url",
            "postgres://db/wx?sslmode=require&password=hunter2",
            "postgres://db/wx?sslmode=require&password=masked",
        ),
        ("store", "url", "postgres://hunter2:hunter2@:not a host/wx", "masked"),
    ] {
        // A build without PostgreSQL refuses the address; it is shown the same.
        let text = format!("[{section}]\n{key} = '{set}'\n");
        let all = match layer_for(Purpose::Use, "wx.toml", &text, &[]) {
            Ok(loaded) => shown(&loaded),
            Err(_) if cfg!(not(feature = "postgres")) && section == "store" => continue,
            Err(problems) => panic!("{problems}"),
        };
        let found = all.iter().find(|found| found.key == format!("{section}.{key}")).unwrap();
        assert_eq!(found.value, format!("\"{masked}\""));
        assert_eq!(found.origin, "wx.toml:2");
        assert!(!format!("{all:?}").contains("hunter2"));
    }
}

#[test]
fn what_may_be_a_password_is_not_repeated() {
    for (section, key, value) in [
        ("wechat", "proxy", "'socks5://u:hunter2@h:99999'"),
        ("wechat", "proxy", "'u:hunter2@h:1080'"),
        ("web", "listen", "'u:hunter2@h'"),
        ("irc.server", "websocket_origins", "['https://u:hunter2@h']"),
        ("web", "proxy_from", "['u:hunter2@h']"),
        ("store", "url", "'mysql://u:hunter2@h'"),
        ("matrix.appservice", "homeserver", "'u:hunter2@h'"),
    ] {
        let told_of = told(&format!("[{section}]\n{key} = {value}\n"), &[]);
        assert!(told_of.len() == 1 && !told_of[0].contains("hunter2"), "{told_of:?}");
        let variable = format!("WXGATE__{}__{}", section.replace('.', "__"), key).to_uppercase();
        let value = value.trim_matches(['[', ']']).trim_matches('\'');
        let told_of = told("", &[(&variable, value)]);
        assert!(told_of.len() == 1 && !told_of[0].contains("hunter2"), "{told_of:?}");
    }
    let told_of = told("", &[("WXGATE__WECHAT__MAX_MEDIA_BYTES", "u:hunter2@h")]);
    assert!(told_of.len() == 1 && !told_of[0].contains("hunter2"), "{told_of:?}");
}

#[test]
fn the_reference_is_a_configuration_that_sets_the_defaults() {
    let text = reference();
    let from_reference = loaded(&text, &[]);
    let from_nothing = loaded("", &[]);
    let values = |loaded: &Loaded| shown(loaded).into_iter().map(|k| (k.key, k.value)).collect::<Vec<_>>();
    assert_eq!(values(&from_reference), values(&from_nothing));
}

/// The page in docs/ is generated; `cargo xtask fix` writes it anew.
#[test]
fn the_committed_reference_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config-reference.md");
    let committed = std::fs::read_to_string(path).unwrap();
    assert_eq!(committed, page(), "run: wxgate config reference --markdown > docs/config-reference.md");
}

#[test]
fn every_example_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dirs = ["config", "deploy", "deploy/compose", "deploy/debian"];
    let entries = dirs.iter().flat_map(|dir| std::fs::read_dir(root.join(dir)).unwrap());
    let mut count = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ext| ext != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        // Files that an example names exist where it is used, not here.
        let problems = match layer_for(Purpose::Use, &name, &text, &[]) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.0,
        };
        // … and what an example needs may be left out of this build.
        let wrong: Vec<_> = problems
            .iter()
            .filter(|p| !p.message.contains("cannot be read: No such file"))
            .filter(|p| !p.message.contains("; build with --features "))
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        // A service and what is typed elsewhere have to find one directory; two examples are for one terminal.
        let is_for_a_terminal = ["loopback.toml", "local-service.toml"].iter().any(|end| name.ends_with(end));
        let is_absolute = text.lines().any(|line| line.starts_with("data_dir = \"/"));
        assert!(is_absolute || is_for_a_terminal, "{name}: its data_dir depends on who asks from where");
        count += 1;
    }
    assert!(count >= 10, "only {count} examples were found");
}

#[test]
fn proxies_are_addresses_or_networks() {
    for (section, key) in [("irc.server", "proxy_from"), ("web", "proxy_from"), ("web", "metrics_from")] {
        let with = |list: &str| told(&format!("[{section}]\n{key} = {list}\n"), &[]);
        assert_eq!(with("['10.0.0.7', 'fd00::/8', '::1']"), [""; 0]);
        for (list, part) in
            [("['10.0.0.0/33']", "neither an address nor a network"), ("'::1'", "a list of texts")]
        {
            let told = with(list);
            let place = format!("wx.toml:2: {section}.{key}: ");
            assert!(told[0].starts_with(&place) && told[0].contains(part), "{told:?}");
        }
    }
}

#[test]
fn origins_are_those_that_browsers_write() {
    let with = |list: &str| told(&format!("[irc.server]\nwebsocket_origins = {list}\n"), &[]);
    assert_eq!(with("['https://chat.example.org', 'http://127.0.0.1:8080']"), [""; 0]);
    for (list, part) in [
        ("['chat.example.org']", "is no origin"),
        ("['https://chat.example.org/']", "is no origin"),
        ("['https://']", "is no origin"),
        ("'https://chat.example.org'", "a list of texts"),
    ] {
        let told = with(list);
        let begin = "wx.toml:2: irc.server.websocket_origins: ";
        assert!(told[0].starts_with(begin) && told[0].contains(part), "{told:?}");
    }
}

#[test]
fn what_is_wrong_by_itself_hides_nothing_of_the_whole() {
    let text = "[web]\nlisten = \"0.0.0.0:8480\"\nport = 1\n[limits]\nsends_per_minute = 0\n\
                [log]\nfilter = \"a=b=c\"\n[instance]\nname = \"a b\"\n[[irc.network]]\nname = 7\n";
    let told = told(text, &[("WXGATE__WEB__PUBLIC_URL", "")]);
    for wanted in [
        "wx.toml:3: web.port: there is no such key; the nearest known key is web.listen",
        "wx.toml:5: limits.sends_per_minute: ",
        "wx.toml:7: log.filter: ",
        "wx.toml:9: instance.name: ",
        "wx.toml:11: irc.network.name: ",
        "WXGATE__WEB__PUBLIC_URL: web.public_url: is needed",
    ] {
        assert_eq!(told.iter().filter(|line| line.starts_with(wanted)).count(), 1, "{wanted}: {told:#?}");
    }
    assert_eq!(told.len(), 6, "{told:#?}");
}

#[test]
fn a_key_with_a_wrong_value_is_complained_of_once() {
    // Its default would be complained of too: a network without a name.
    let text = "[irc.server]\nname = 3\nlisten = 5\ntls_listen = [\"127.0.0.1:1\"]\ntls_cert = 1\n";
    let told = told(text, &[]);
    let about = |key: &str| told.iter().filter(|line| line.contains(key)).count();
    assert_eq!(about("irc.server.name"), 1, "{told:#?}");
    assert_eq!(about(": irc.server.tls_cert"), 1, "{told:#?}");
    assert_eq!(about(": irc.server.tls_key"), 1, "{told:#?}");
}

#[test]
fn a_port_that_is_named_twice_is_told_with_who_has_it() {
    let text = "[web]\nlisten = \"127.0.0.1:7000\"\n[irc.server]\n\
                listen = [\"127.0.0.1:7000\", \"127.0.0.1:7001\", \"127.0.0.1:7001\"]\n";
    assert_eq!(
        told(text, &[]),
        [
            "wx.toml:4: irc.server.listen: 127.0.0.1:7000 is taken by web.listen, which is 127.0.0.1:7000",
            "wx.toml:4: irc.server.listen: 127.0.0.1:7001 is named twice",
        ]
    );
}
