//! What was said while the relay was away, on networks that remember.

use wxgate_contract::conformance::Double;

use crate::network::{Guest, MODERN, Network, at_second, config, text_of};
use crate::puppets::{until_by, with_puppets};

async fn network() -> Network {
    let network = Network::start(&format!("{MODERN} draft/chathistory")).await;
    network.change(|manners| manners.isupport += " CHATHISTORY=2");
    network
}

fn live(second: u8, id: &str, text: &str) -> String {
    format!("@time={};msgid={id} :bob!b@h PRIVMSG #c :{text}", at_second(second))
}

fn texts(posts: &[wxgate_contract::Post]) -> Vec<&str> {
    posts.iter().map(text_of).collect()
}

#[tokio::test]
async fn what_was_missed_comes_once_and_before_what_is_said_now() {
    let network = network().await;
    let guest = Guest::ready(&network, config(&network)).await;
    network.line_to("relay", &live(1, "m1", "one"));
    guest.posts(1).await;
    network.change(|manners| {
        manners.history = vec![
            (1, "m1", "bob", "one"),
            (2, "m2", "bob", "two"),
            (3, "own7", "relay", "<Ming> our own words"),
            (4, "m4", "bob", "four"),
            (5, "m5", "bob", "five"),
        ];
        // It is asked, and answers only when something live has come.
        manners.forgets = true;
    });
    network.cut();
    network
        .wait("the question", |net| net.lines().iter().any(|l| l.starts_with("CHATHISTORY")).then_some(()))
        .await;
    network.line_to("relay", &live(6, "m6", "six, live"));
    network.line_to("relay", ":irc.test BATCH +h1 chathistory #c");
    network.line_to("relay", &live(2, "m2", "two").replacen('@', "@batch=h1;", 1));
    let own = live(3, "own7", "<Ming> our own words").replacen('@', "@batch=h1;", 1);
    network.line_to("relay", &own.replace("bob!", "relay!"));
    network.change(|manners| manners.forgets = false);
    // The answer was a full one: the rest is asked for, and comes in two.
    network.line_to("relay", ":irc.test BATCH -h1");
    let posts = guest.posts(5).await;
    assert_eq!(texts(&posts), ["one", "two", "four", "five", "six, live"]);
    network.line_to("relay", &live(7, "m7", "seven"));
    assert_eq!(text_of(&guest.posts(6).await[5]), "seven");
    let asked: Vec<String> = network.lines().into_iter().filter(|l| l.starts_with("CHATHISTORY")).collect();
    let after = |second| format!("CHATHISTORY AFTER #c timestamp={} 2", at_second(second));
    assert_eq!(asked, [after(1), after(3), after(5)]);
}

#[tokio::test]
async fn the_position_outlives_a_restart() {
    let network = network().await;
    let double = Double::new();
    let guest = Guest::start(&double, config(&network));
    network.wait_line("MODE #c").await;
    network.line_to("relay", &live(1, "m1", "one"));
    guest.posts(1).await;
    guest.stop().await.unwrap();
    network.change(|manners| {
        manners.history = vec![(1, "m1", "bob", "one"), (2, "m2", "bob", "while it was off")]
    });
    let guest = Guest::start(&double, config(&network));
    assert_eq!(texts(&guest.posts(2).await), ["one", "while it was off"]);
}

#[tokio::test]
async fn what_people_said_through_us_before_a_crash_is_nobody_elses() {
    let network = network().await;
    let double = Double::new();
    let guest = Guest::start(&double, with_puppets(&network, 10));
    network.wait_line("MODE #c").await;
    until_by(&guest, &network, "Ming", "Ming[wx]").await;
    guest.task.abort();
    network.change(|manners| {
        manners.history = vec![(1, "m1", "Ming[wx]", "its last words"), (2, "m2", "bob", "while it was off")]
    });
    let guest = Guest::start(&double, config(&network));
    assert_eq!(texts(&guest.posts(1).await), ["while it was off"]);
}

#[tokio::test]
async fn a_network_that_does_not_answer_holds_nothing_up() {
    let network = network().await;
    let mut config = config(&network);
    config.limits.answer = std::time::Duration::from_millis(300);
    let guest = Guest::ready(&network, config).await;
    network.line_to("relay", &live(1, "m1", "one"));
    guest.posts(1).await;
    for how in
        ["silence", ":irc.test FAIL CHATHISTORY MESSAGE_ERROR AFTER #c :Messages could not be retrieved"]
    {
        network.change(|manners| manners.forgets = true);
        let asked = network.lines().iter().filter(|line| line.starts_with("CHATHISTORY")).count();
        network.cut();
        network
            .wait("the question", |net| {
                (net.lines().iter().filter(|line| line.starts_with("CHATHISTORY")).count() > asked)
                    .then_some(())
            })
            .await;
        network.line_to("relay", &live(2, &format!("live {how}").replace(' ', ""), "live"));
        if how != "silence" {
            network.line_to("relay", how);
        }
        guest.posts(asked + 2).await;
    }
}
