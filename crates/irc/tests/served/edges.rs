//! What is answered where nothing can be done, and what is promised of it.

use wxgate_irc::{Guests, LocalChannels};

use crate::client::{Client, config, numerics, serve, world};
use crate::local::{guest, open};

#[tokio::test]
async fn what_is_promised_holds() {
    let mut ampersand = open();
    ampersand.local_channels = LocalChannels::Ampersand;
    for (config, limit, modes) in
        [(config(), "#:", "i"), (open(), "#&:250", "Biow"), (ampersand, "#:,&:250", "Biow")]
    {
        let has_hall = modes != "i";
        let served = serve(world(), config).await;
        let mut client = Client::begin(&served, "", "").await;
        let lines = client.until(" 422 ").await;
        let has = |what: &str| lines.iter().any(|line| line.contains(what));
        assert!(has(&format!(" CHANLIMIT={limit} ")) && has(&format!(" {modes} bhiklmnostv ")), "{lines:#?}");
        assert_eq!(has(" BOT=B"), has_hall);
        assert_eq!(numerics(&client.ask("MODE ann +w").await).contains(&"501"), !has_hall);
    }
}

#[tokio::test]
async fn guests_leave_room_for_the_others() {
    let mut config = open();
    (config.limits.users_in_hall, config.limits.guests_on_loopback) = (2, 3);
    let served = serve(world(), config).await;
    let mut ann = Client::login(&served, "", "").await;
    let mut eve = guest(&served, "eve", "").await;
    let turned_away = async |nick: &str| {
        let mut client = Client::connect(served.address).await;
        client.send(&format!("NICK {nick}")).await;
        client.send(&format!("USER {nick} 0 * :x")).await;
        client.rest().await
    };
    assert_eq!(turned_away("bob").await, ["ERROR :Closing link: too many guests are here"]);
    ann.send("QUIT").await;
    ann.rest().await;
    guest(&served, "bob", "").await;
    let mut ann = Client::login(&served, "", "").await;
    assert!(
        ann.ask("WHOIS eve").await.iter().any(|line| line.contains(" 311 ")),
        "who has an account comes in"
    );
    eve.send("QUIT").await;
    eve.rest().await;
}

#[tokio::test]
async fn one_address_has_so_many_guests() {
    let mut config = open();
    config.guests = Guests::Loopback;
    config.limits.guests_on_loopback = 1;
    let served = serve(world(), config).await;
    let mut eve = guest(&served, "eve", "").await;
    let mut bob = Client::connect(served.address).await;
    bob.send("NICK bob").await;
    bob.send("USER bob 0 * :x").await;
    assert_eq!(bob.rest().await, ["ERROR :Closing link: too many guests from your address"]);
    Client::login(&served, "", "").await;
    eve.send("QUIT").await;
    eve.rest().await;
    guest(&served, "bob", "").await;
}
