//! Getting in, staying in, and knowing when not to come back.

use std::path::PathBuf;

use wxgate_contract::conformance::Double;
use wxgate_contract::{AdapterError, Answer, CommandError, Health, Outcome, Request};
use wxgate_irc::Sasl;

use crate::network::{Guest, MODERN, NETWORK, Network, OLD, PATIENCE, config};

/// A file with a password, gone with the test.
struct Secret(PathBuf);

impl Secret {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wxgate-relay-{name}-{}", std::process::id()));
        std::fs::write(&path, "pencil\n").unwrap();
        Self(path)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn ended(guest: Guest) -> AdapterError {
    tokio::time::timeout(PATIENCE, guest.task).await.unwrap().unwrap().unwrap_err()
}

#[tokio::test]
async fn an_account_is_signed_in_before_the_welcome() {
    let network = Network::start(&format!("{MODERN} sasl=PLAIN")).await;
    network.change(|manners| manners.lets_in = true);
    let secret = Secret::new("sasl");
    let mut config = config(&network);
    config.sasl = Some(Sasl { user: "acc".to_owned(), password_file: Some(secret.0.clone()) });
    let guest = Guest::ready(&network, config).await;
    // \0acc\0pencil
    assert!(network.lines().contains(&"AUTHENTICATE AGFjYwBwZW5jaWw=".to_owned()), "{:?}", network.lines());
    guest.health(|health| *health == Health::Up).await;
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_twice() {
    let network = Network::start(&format!("{MODERN} sasl=PLAIN")).await;
    let secret = Secret::new("wrong");
    let mut wrong = config(&network);
    wrong.sasl = Some(Sasl { user: "acc".to_owned(), password_file: Some(secret.0.clone()) });
    let error = ended(Guest::start(&Double::new(), wrong)).await;
    assert!(matches!(&error, AdapterError::Fatal(why) if why.contains("refuses the account")), "{error}");
    assert_eq!(network.connections(), 1);
}

#[tokio::test]
async fn an_account_that_scram_cannot_serve_signs_in_by_another_way() {
    let secret = Secret::new("scram");
    let refusal = ":irc.test 904 {nick} :SASL authentication failed";
    // `e=other-error`
    for no_scram in [vec![refusal], vec!["AUTHENTICATE ZT1vdGhlci1lcnJvcg==", refusal]] {
        let network = Network::start(&format!("{MODERN} sasl=PLAIN,SCRAM-SHA-256")).await;
        network.change(|manners| (manners.lets_in, manners.no_scram) = (true, no_scram));
        let mut config = config(&network);
        config.sasl = Some(Sasl { user: "acc".to_owned(), password_file: Some(secret.0.clone()) });
        let guest = Guest::ready(&network, config.clone()).await;
        guest.health(|health| *health == Health::Up).await;
        let ways: Vec<String> =
            network.lines().into_iter().filter(|line| line.starts_with("AUTHENTICATE")).collect();
        assert_eq!((&*ways[0], &*ways[2]), ("AUTHENTICATE SCRAM-SHA-256", "AUTHENTICATE PLAIN"), "{ways:?}");
        assert_eq!(network.connections(), 1);
        guest.stop().await.unwrap();
        // Where there is no other way it is not asked again and again.
        network.change(|manners| manners.caps = "sasl=SCRAM-SHA-256".to_owned());
        let error = ended(Guest::start(&Double::new(), config)).await;
        assert!(matches!(&error, AdapterError::Fatal(why) if why.contains("refuses the account")), "{error}");
        assert_eq!(network.connections(), 2);
    }
}

#[tokio::test]
async fn services_that_are_away_are_waited_for_and_nobody_comes_without_them() {
    let secret = Secret::new("services");
    for (caps, no_services) in [
        (MODERN, None),
        ("sasl=PLAIN", Some("NAK")),
        ("sasl=PLAIN", Some("906")),
        ("sasl=PLAIN", Some("904")),
    ] {
        let network = Network::start(caps).await;
        network.change(|manners| (manners.lets_in, manners.no_services) = (true, no_services));
        let mut config = config(&network);
        config.sasl = Some(Sasl { user: "acc".to_owned(), password_file: Some(secret.0.clone()) });
        let guest = Guest::start(&Double::new(), config);
        guest.health(|health| matches!(health, Health::Degraded { why } if why.contains("SASL"))).await;
        network.wait("a third try", |net| (net.connections() >= 3).then_some(())).await;
        assert!(!network.lines().contains(&"CAP END".to_owned()), "it came under a false name");
        network.change(|manners| {
            (manners.caps, manners.no_services) = (format!("{MODERN} sasl=PLAIN"), None);
        });
        guest.health(|health| *health == Health::Up).await;
    }
}

#[tokio::test]
async fn nickserv_hears_whose_password_it_is_and_again_when_the_nick_is_back() {
    let network = Network::start(OLD).await;
    network.change(|manners| {
        manners.taken = vec!["relay".to_owned()];
        manners.bars = Some("477");
    });
    let secret = Secret::new("nickserv");
    let mut config = config(&network);
    config.nickserv_file = Some(secret.0.clone());
    let guest = Guest::start(&Double::new(), config);
    // The ghost of an earlier connection has the nick.
    network.wait_line("PRIVMSG NickServ :IDENTIFY relay pencil").await;
    guest.health(|health| matches!(health, Health::Partial { why, .. } if why.contains("not in #c"))).await;
    network.change(|manners| manners.taken.clear());
    network.wait_line("PRIVMSG NickServ :IDENTIFY pencil").await;
    network.change(|manners| manners.bars = None);
    guest.health(|health| *health == Health::Up).await;
    assert_eq!(network.connections(), 1);
}

#[tokio::test]
async fn a_ban_ends_it_and_a_throttle_does_not() {
    let network = Network::start(OLD).await;
    network.change(|manners| manners.farewell = Some("Closing Link: (K-Lined: go away)"));
    let error = ended(Guest::start(&Double::new(), config(&network))).await;
    assert!(matches!(&error, AdapterError::Barred(why) if why.contains("K-Lined")), "{error}");
    assert!(error.to_string().ends_with("at once with: wxgate network retry test"), "{error}");
    let network = Network::start(OLD).await;
    network.change(|manners| manners.farewell = Some("Closing Link: (Bad Password)"));
    let error = ended(Guest::start(&Double::new(), config(&network))).await;
    assert!(matches!(&error, AdapterError::Fatal(why) if why.contains("Bad Password")), "{error}");
    let network = Network::start(OLD).await;
    network.change(|manners| manners.farewell = Some("Trying to reconnect too fast"));
    let guest = Guest::start(&Double::new(), config(&network));
    network.wait("a second try", |net| (net.connections() >= 2).then_some(())).await;
    network.change(|manners| manners.farewell = None);
    guest.health(|health| *health == Health::Up).await;
}

#[tokio::test]
async fn a_nick_in_use_is_taken_back_when_it_is_free() {
    for isupport in ["CASEMAPPING=ascii MONITOR=100", "CASEMAPPING=ascii"] {
        let network = Network::start(OLD).await;
        network.change(|manners| {
            manners.taken = vec!["relay".to_owned()];
            isupport.clone_into(&mut manners.isupport);
        });
        let guest = Guest::ready(&network, config(&network)).await;
        assert!(network.lines().contains(&"NICK relay_".to_owned()), "{:?}", network.lines());
        network.change(|manners| manners.taken.clear());
        if isupport.contains("MONITOR") {
            network.wait_line("MONITOR + relay").await;
            network.line(":irc.test 731 relay_ :relay");
        }
        let is_back =
            |net: &Network| (net.lines().iter().filter(|l| *l == "NICK relay").count() == 2).then_some(());
        network.wait("the nick", is_back).await;
        // Its own words are known by the new nick.
        let id = guest.say("Ming", "hello").await;
        guest.outcome(id).await;
    }
}

#[tokio::test]
async fn a_nick_that_is_taken_away_later_is_taken_back_too() {
    let network = Network::start(OLD).await;
    network.change(|manners| "CASEMAPPING=ascii MONITOR=100".clone_into(&mut manners.isupport));
    let _guest = Guest::ready(&network, config(&network)).await;
    let tries = |net: &Network| net.lines().iter().filter(|line| *line == "NICK relay").count();
    assert_eq!((tries(&network), network.lines().iter().any(|line| line.starts_with("MONITOR"))), (1, false));
    network.line(":relay!~u@host.example NICK :Guest123");
    network.wait_line("MONITOR + relay").await;
    network.line(":irc.test 730 Guest123 :relay!services@services");
    network.line(":irc.test 731 Guest123 :relay");
    network.wait("the nick", |net| (tries(net) == 2).then_some(())).await;
}

#[tokio::test]
async fn after_a_kick_the_channel_is_entered_once_more() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, config(&network)).await;
    let joins = |net: &Network| net.lines().iter().filter(|line| line.starts_with("JOIN #c")).count();
    network.line(":op!o@h KICK #c relay :no relays");
    network.wait("coming back", |net| (joins(net) == 2).then_some(())).await;
    network.line(":op!o@h KICK #c relay :I said no");
    let id = guest.say("Ming", "hello").await;
    let outcome = guest.outcome(id).await;
    assert!(format!("{outcome:?}").contains("kicked out"), "{outcome:?}");
    assert_eq!(joins(&network), 2);
}

#[tokio::test]
async fn when_it_is_said_so_the_channel_is_entered_again() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, config(&network)).await;
    // What it says once it is in.
    let entries = |net: &Network| net.lines().iter().filter(|line| *line == "MODE #c").count();
    let refused = guest.ask(Request::Retry).await;
    assert!(
        matches!(&refused, Err(CommandError::Refused(why)) if why.contains("all its channels")),
        "{refused:?}"
    );
    network.line(":op!o@h KICK #c relay :no relays");
    network.wait("coming back", |net| (entries(net) == 2).then_some(())).await;
    guest.health(|health| *health == Health::Up).await;
    network.line(":op!o@h KICK #c relay :I said no");
    guest.health(|health| matches!(health, Health::Partial { why, .. } if why.contains("kicked out"))).await;
    let id = guest.say("Ming", "hello").await;
    assert!(matches!(guest.outcome(id).await, Outcome::Refused { .. }));
    assert_eq!(guest.ask(Request::Retry).await, Ok(Answer::Text("#c".to_owned())));
    network.wait("coming back", |net| (entries(net) == 3).then_some(())).await;
    guest.health(|health| *health == Health::Up).await;
    let id = guest.say("Ming", "hello again").await;
    assert!(matches!(guest.outcome(id).await, Outcome::Sent { .. }));
}

#[tokio::test]
async fn links_decide_where_we_are() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, config(&network)).await;
    guest.double.link(&NETWORK.into(), &["#d"]);
    network.wait_line("JOIN #d").await;
    network.wait_line("PART #c").await;
    // Moved somewhere by force: left again.
    network.line(":relay!~u@host.example JOIN #trap");
    network.wait_line("PART #trap").await;
}

#[tokio::test]
async fn a_server_that_goes_silent_is_left() {
    let network = Network::start(OLD).await;
    let mut config = config(&network);
    config.limits.ping_after = std::time::Duration::from_millis(50);
    config.limits.answer = std::time::Duration::from_millis(200);
    network.change(|manners| manners.is_mute = true);
    let guest = Guest::start(&Double::new(), config);
    network.wait("another connection", |net| (net.connections() >= 2).then_some(())).await;
    network.change(|manners| manners.is_mute = false);
    guest.health(|health| *health == Health::Up).await;
}

#[tokio::test]
async fn leaving_says_goodbye() {
    let network = Network::start(OLD).await;
    let guest = Guest::ready(&network, config(&network)).await;
    guest.stop().await.unwrap();
    network.wait_line("QUIT").await;
}
