//! The layer of the environment.

use super::*;

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let text = "data_dir = \"from-file\"\n[web]\nlisten = \"127.0.0.1:1\"\n[irc.server]\nenabled = false\n";
    let vars = [
        ("WXGATE__WEB__LISTEN", "127.0.0.1:2"),
        ("WXGATE__IRC__SERVER__LISTEN", "127.0.0.1:3, [::1]:3"),
        ("WXGATE__LIMITS__ACCOUNTS_PER_USER", "77"),
        ("WXGATE__WECHAT__DEVICE_NAME", "a \"b\" \\ c"),
        ("PATH", "/bin"),
    ];
    let loaded = loaded(text, &vars);
    let settings = &loaded.settings;
    assert_eq!(settings.data_dir, Path::new("from-file"));
    assert_eq!(settings.web.listen, "127.0.0.1:2");
    assert_eq!(settings.irc.server.listen, ["127.0.0.1:3", "[::1]:3"]);
    assert_eq!(settings.limits.accounts_per_user, 77);
    assert_eq!(settings.wechat.device_name, "a \"b\" \\ c");
    assert!(!settings.irc.server.enabled);
    assert_eq!(loaded.origin("data_dir").to_string(), "wx.toml:1");
    assert_eq!(loaded.origin("irc.server.enabled").to_string(), "wx.toml:5");
    assert_eq!(loaded.origin("web.listen").to_string(), "WXGATE__WEB__LISTEN");
    assert_eq!(loaded.origin("log.filter"), Origin::Default);
}

#[test]
fn the_environment_is_judged_like_the_file() {
    let vars = [
        ("WXGATE__WEB__LISEN", "x"),
        ("WXGATE__IRC__SERVER__ENABLED", "yes"),
        ("WXGATE__LIMITS__SENDS_PER_MINUTE", "many"),
        ("WXGATE__IRC__NETWORK__NAME", "x"),
    ];
    let wanted = [
        "WXGATE__WEB__LISEN: web.lisen: there is no such key; the nearest known key is web.listen",
        "WXGATE__IRC__SERVER__ENABLED: irc.server.enabled: \"yes\" cannot be read as a value of this key",
        "WXGATE__LIMITS__SENDS_PER_MINUTE: limits.sends_per_minute: \"many\" cannot be read as a value of this key",
        "WXGATE__IRC__NETWORK__NAME: irc.network.name: nothing tells which entry of [[irc.network]] this is for; set \
         all of them, WXGATE__IRC__NETWORK='[{ name = \"libera\", address = \"irc.libera.chat:6697\", … }]', or write \
         them in the file",
    ];
    assert_eq!(told("", &vars), wanted);
}

#[test]
fn a_table_of_the_environment_stands_in_the_place_of_the_files() {
    let text = "[matrix.appservice]\npermissions = { 'old.example' = 'admin', '@Me:old.example' = 'user' }\n\
                [[irc.network]]\nname = 'oftc'\n[irc.server]\nname = 'a.b'\n";
    let set = |value: &'static str| [("WXGATE__MATRIX__APPSERVICE__PERMISSIONS", value)];
    let narrowed = loaded(text, &set("{ 'new.example' = 'user' }"));
    let permissions: Vec<_> = narrowed.settings.matrix.appservice.permissions.clone().into_iter().collect();
    assert_eq!(permissions, [("new.example".to_owned(), "user".to_owned())]);
    assert!(loaded(text, &set("{}")).settings.matrix.appservice.permissions.is_empty());
    // What else the file says stays.
    assert_eq!(narrowed.settings.irc.network[0].name, "oftc");
    assert_eq!(narrowed.settings.irc.server.name, "a.b");
    let variable = "WXGATE__MATRIX__APPSERVICE__PERMISSIONS";
    assert_eq!(narrowed.origin("matrix.appservice.permissions").to_string(), variable);
    assert_eq!(narrowed.origin("matrix.appservice.permissions.new.example").to_string(), variable);
    assert_eq!(narrowed.origin("matrix.appservice.permissions.old.example"), Origin::Default);
    // Its words are judged like those of the file.
    let told = told(text, &set("{ 'new.example' = 'owner', 'bob' = 7 }"));
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told.iter().all(|line| line.starts_with(&format!("{variable}: matrix.appservice.permissions."))),
        "{told:#?}"
    );
}

#[test]
fn the_environment_hides_no_problem_of_the_file_and_of_the_whole() {
    let text = "[web]\nlisten = 7\n[limits]\nsends_per_minute = 0\n";
    let vars = [
        ("WXGATE__WEB__LISTEN", "0.0.0.0:80"),
        ("WXGATE__LOG__FILTER", "a=b=c"),
        ("WXGATE__WECHAT__DEVICE_NAME", "hunter2"),
        ("WXGATE__wechat__device_name", "hunter3"),
    ];
    let told = told(text, &vars);
    for wanted in [
        "wx.toml:2: web.listen: must be ",
        "wx.toml:4: limits.sends_per_minute: ",
        "WXGATE__wechat__device_name: wechat.device_name: is set by WXGATE__WECHAT__DEVICE_NAME already",
        "WXGATE__LOG__FILTER: log.filter: ",
    ] {
        assert_eq!(told.iter().filter(|line| line.starts_with(wanted)).count(), 1, "{wanted}: {told:#?}");
    }
    // The address that would be in force is judged, and nobody wrote where the pages are then.
    assert!(told.iter().any(|line| line.contains("web.public_url: is needed")), "{told:#?}");
    assert_eq!(told.len(), 5, "{told:#?}");
    assert!(!told.concat().contains("hunter"), "{told:#?}");
}

#[test]
fn networks_of_the_environment_stand_in_the_place_of_the_files() {
    let text = "[[irc.network]]\nname = 'old'\ntls = false\n[[irc.network]]\nname = 'older'\n";
    let variable = "WXGATE__IRC__NETWORK";
    let set = |value: &'static str| [(variable, value)];
    let two = "[{ name = 'oftc', address = 'irc.oftc.net:6697', sasl = { user = '', password_file = '' } }, \
               { name = \"libera\", tls_fingerprint = '', puppets = true }]";
    for text in ["", text] {
        let loaded = loaded(text, &set(two));
        let [first, second] = &*loaded.settings.irc.network else { panic!("{:?}", loaded.settings.irc) };
        assert_eq!((&*first.name, &*first.address, first.tls), ("oftc", "irc.oftc.net:6697", true));
        assert_eq!((&*second.name, second.puppets), ("libera", true));
        assert_eq!(loaded.origin("irc.network[1].puppets").to_string(), variable);
        assert_eq!(loaded.origin("irc.network[0].tls"), Origin::Default, "the file's entry is not in force");
    }
    assert!(loaded(text, &set("[]")).settings.irc.network.is_empty());
}

#[test]
fn networks_of_the_environment_are_judged_like_the_files() {
    let variable = "WXGATE__IRC__NETWORK";
    for (value, wanted) in [
        (
            "[{ nik = 'x' }]",
            vec!["irc.network.nik: there is no such key; the nearest known key is irc.network.nick"],
        ),
        (
            "[{ tls = 1 }, 7]",
            vec!["irc.network.tls: must be true or false", "irc.network: every entry must be a table"],
        ),
        ("[{ name = 'a' }, { name = 'a' }]", vec!["irc.network.name: \"a\" is used twice"]),
        ("{ name = 'a' }", vec!["irc.network: \"{ name = 'a' }\" is no array of tables, such as [{ name = "]),
        ("libera", vec!["irc.network: \"libera\" is no array of tables"]),
        ("", vec!["irc.network: \"\" is no array of tables"]),
        ("[]\n[web]", vec!["irc.network: \"[]\\n[web]\" is no array of tables"]),
    ] {
        let told = told("", &[(variable, value)]);
        assert_eq!(told.len(), wanted.len(), "{value}: {told:#?}");
        for (told, wanted) in told.iter().zip(wanted) {
            assert!(told.starts_with(&format!("{variable}: {wanted}")), "{value}: {told}");
        }
    }
}
