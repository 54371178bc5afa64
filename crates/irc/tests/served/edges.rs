//! What is answered where nothing can be done, and what is promised of it.

use wxgate_irc::{Guests, LocalChannels};

use crate::client::{Client, config, numerics, serve, world};
use crate::local::{guest, open};

#[tokio::test]
async fn names_that_are_none_and_targets_that_are_parts_are_refused() {
    let served = serve(world(), open()).await;
    let mut ann = Client::login(&served, "", "").await;
    for (line, answer) in [
        ("JOIN @#x", ":wx.test 403 ann @#x :No such channel"),
        ("JOIN +&x", ":wx.test 403 ann +&x :No such channel"),
        ("PRIVMSG , :hi", ":wx.test 411 ann :No recipient given (PRIVMSG)"),
        ("NAMES ,", ":wx.test 366 ann * :End of /NAMES list"),
        ("PRIVMSG @#家 :hi", ":wx.test 404 ann @#家 :A group hears all of it or nothing"),
        ("MODE #家 +k x", ":wx.test 482 ann #家 :You're not channel operator"),
        ("MODE #家 +l 5", ":wx.test 482 ann #家 :You're not channel operator"),
        ("MODE #家 +h 李四", ":wx.test 482 ann #家 :You're not channel operator"),
        ("MODE #家 +y", ":wx.test 472 ann y :is unknown mode char to me"),
    ] {
        assert_eq!(ann.ask(line).await, [answer], "{line}");
    }
    let long = "x".repeat(49);
    let refused = format!(":wx.test 432 ann {long} :Erroneous nickname");
    assert_eq!(
        ann.ask(&format!("MONITOR + {long},bea")).await,
        [refused, ":wx.test 731 ann :bea".to_owned()]
    );
}

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
async fn a_ctcp_that_reaches_nobody_is_refused() {
    let served = serve(world(), config()).await;
    let mut ann = Client::login(&served, "", "").await;
    let dcc = "\x01DCC SEND photo.jpg 1 2 3\x01";
    let told = ann.ask(&format!("PRIVMSG 张三 :{dcc}")).await;
    assert!(
        told.len() == 1 && told[0].contains(" NOTICE ann :CTCP DCC is not carried to WeChat"),
        "{told:#?}"
    );
    assert!(ann.ask(&format!("NOTICE 张三 :{dcc}")).await.is_empty());
    for (line, code) in [
        (format!("PRIVMSG #家 :{dcc}"), "404"),
        ("PRIVMSG #家 :\x01ACTION\x01".to_owned(), "412"),
        ("PRIVMSG 张三 :\x01ACTION \x01".to_owned(), "412"),
        ("PRIVMSG nobody :\x01FINGER\x01".to_owned(), "401"),
    ] {
        assert_eq!(numerics(&ann.ask(&line).await), [code], "{line}");
    }
    let mut modern = Client::login(&served, "b", "standard-replies labeled-response").await;
    let told = modern.ask(&format!("@label=1 PRIVMSG 张三 :{dcc}")).await;
    assert!(told[0].starts_with("@label=1 :wx.test FAIL PRIVMSG CTCP_UNSUPPORTED 张三 :"), "{told:#?}");
}

#[tokio::test]
async fn a_channel_is_shown_with_the_tags_of_a_join() {
    let served = serve(world(), open()).await;
    let mut ann = Client::login(&served, "a", "").await;
    ann.ask("JOIN &room").await;
    ann.ask("MODE ann +B").await;
    let mut other = Client::begin(&served, "b", "server-time account-tag message-tags").await;
    let join = other.until(" JOIN &room").await.pop().unwrap();
    assert_eq!(join, "@time=2023-11-14T22:13:20.000Z;account=ann;bot :ann!ann@wxgate JOIN &room");
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
