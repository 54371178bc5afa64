//! Local channels of people with an account outlive their connections.

use crate::client::{Client, Served, serve, world};
use crate::local::{guest, open};

/// Somebody with a password and without an account of WeChat; what came up to the answer to a PING.
async fn bea(served: &Served) -> (Client, Vec<String>) {
    let mut client = Client::connect(served.address).await;
    for line in ["CAP REQ :draft/read-marker", "PASS bea:pencil", "NICK bea", "USER bea 0 * :Bea", "CAP END"]
    {
        client.send(line).await;
    }
    let mut lines = client.until(" 422 ").await;
    lines.extend(client.sync().await);
    (client, lines)
}

#[tokio::test]
async fn who_comes_back_is_in_their_local_channels_again() {
    let double = world();
    double.state().users.insert("bea".into(), "pencil".to_owned());
    let mark = "MARKREAD #lab timestamp=2021-05-20T08:30:00.000Z";
    {
        let served = serve(double.clone(), open()).await;
        let (mut client, _) = bea(&served).await;
        client.ask("JOIN #lab,#left,&den").await;
        client.ask("MODE &den +k sesame").await;
        client.ask("PART #left").await;
        client.ask(mark).await;
        client.send("QUIT").await;
        client.rest().await;
        // The founder of a room that lives on meanwhile.
        let mut ann = guest(&served, "anna", "").await;
        ann.ask("JOIN #lab").await;
        let (mut client, lines) = bea(&served).await;
        let joins: Vec<&String> = lines.iter().filter(|line| line.contains(" JOIN ")).collect();
        assert_eq!(joins, [":bea!bea@wxgate JOIN #lab", ":bea!bea@wxgate JOIN &den"]);
        assert!(lines.contains(&format!(":wx.test {mark}")), "{lines:#?}");
        assert_eq!(ann.sync().await, [":bea!bea@wxgate JOIN #lab"]);
        // A key that was set belongs to it, and a door that was closed meanwhile is told of.
        assert!(client.ask("MODE &den").await[0].contains("+nt"), "made anew");
        client.send("QUIT").await;
        client.rest().await;
        ann.ask("MODE #lab +i").await;
        let (_, lines) = bea(&served).await;
        assert!(lines.iter().any(|line| line.contains("you are not in #lab any more")), "{lines:#?}");
        served.running.stop.stop();
        served.task.await.unwrap().unwrap();
    }
    // And over a restart of the gateway; what did not take them in is forgotten.
    let served = serve(double, open()).await;
    let (_, lines) = bea(&served).await;
    let joins: Vec<&String> = lines.iter().filter(|line| line.contains(" JOIN ")).collect();
    assert_eq!(joins, [":bea!bea@wxgate JOIN &den"]);
}

#[tokio::test]
async fn a_guest_begins_anew() {
    let served = serve(world(), open()).await;
    let mut ann = guest(&served, "anna", "").await;
    ann.ask("JOIN #lab").await;
    ann.send("QUIT").await;
    ann.rest().await;
    let mut ann = guest(&served, "anna", "").await;
    assert!(ann.ask("NAMES #lab").await.iter().all(|line| !line.contains(" 353 ")), "nobody is there");
}

#[tokio::test]
async fn a_read_mark_goes_along_with_the_name_of_its_channel() {
    let double = world();
    double.state().users.insert("bea".into(), "pencil".to_owned());
    let served = serve(double, open()).await;
    let mut ann = guest(&served, "anna", "").await;
    ann.ask("JOIN &old").await;
    let (mut client, _) = bea(&served).await;
    client.ask("JOIN &old").await;
    let at = "timestamp=2021-05-20T08:30:00.000Z";
    client.ask(&format!("MARKREAD &old {at}")).await;
    ann.ask("RENAME &old &new").await;
    client.sync().await;
    assert_eq!(client.ask("MARKREAD &new").await, [format!(":wx.test MARKREAD &new {at}")]);
    let lines = client.ask("JOIN &old").await;
    assert!(
        lines.contains(&":wx.test MARKREAD &old *".to_owned()),
        "another channel of that name: {lines:#?}"
    );
    client.send("QUIT").await;
    client.rest().await;
    let (_, lines) = bea(&served).await;
    assert!(lines.contains(&format!(":wx.test MARKREAD &new {at}")), "it is on disk: {lines:#?}");
}

#[tokio::test]
async fn a_query_can_be_read_while_the_other_one_is_away() {
    let double = world();
    double.state().users.insert("bea".into(), "pencil".to_owned());
    let served = serve(double, open()).await;
    let mut ann = Client::login(&served, "", "batch draft/chathistory").await;
    let (mut client, _) = bea(&served).await;
    client.ask("PRIVMSG ann :hi").await;
    client.send("QUIT").await;
    client.rest().await;
    ann.sync().await;
    let got = ann.ask("CHATHISTORY LATEST BEA * 9").await;
    assert!(got.len() == 3 && got[1].ends_with(":bea!bea@wxgate PRIVMSG ann :hi"), "{got:#?}");
    let range = "timestamp=2020-01-01T00:00:00.000Z timestamp=2030-01-01T00:00:00.000Z";
    let got = ann.ask(&format!("CHATHISTORY TARGETS {range} 9")).await;
    assert!(got.iter().any(|line| line.contains(" CHATHISTORY TARGETS bea ")), "{got:#?}");
    let _stranger = guest(&served, "bea", "").await;
    assert_eq!(ann.ask("CHATHISTORY LATEST bea * 9").await.len(), 2, "that one has said nothing");
}
