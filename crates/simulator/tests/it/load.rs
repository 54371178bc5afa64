//! Many accounts, bursts, and the demo's cast.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use wxgate_simulator::{AccountSpec, Kind, Way, Who, World, WorldConfig, scenario, serve};

use crate::browser::Browser;

#[tokio::test]
async fn a_burst_arrives_whole_and_in_order() {
    let world = World::new(WorldConfig { sync_batch: 500, ..WorldConfig::default() });
    for at in 0..20 {
        let spec = AccountSpec::new(&format!("a{at}"), at, 20, 4);
        world.add_account(&spec).unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = serve(world.clone(), listener).await.unwrap();
    let begun = Instant::now();
    for name in world.account_names() {
        world.say_many(&name, Who::Contact(0), Who::Contact(0), &Kind::text("n"), 1_000).unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a7").await;
    world.say_many("a7", Who::Contact(0), Who::Contact(0), &Kind::text("m"), 1_000).unwrap();
    let mut got = Vec::new();
    while got.len() < 1_000 {
        let value = browser.sync().await;
        let list = value["AddMsgList"].as_array().unwrap().clone();
        assert!(!list.is_empty());
        got.extend(list.into_iter().map(|message| message["Content"].as_str().unwrap().to_owned()));
    }
    let wanted: Vec<_> = (0..1_000).map(|at| format!("m {at}")).collect();
    assert_eq!(got, wanted);
    let delivered = world.ledger("a7", 1_000, 2_000).unwrap();
    assert!(delivered.iter().all(|entry| entry.deliveries == 1));
}

#[tokio::test]
async fn the_cast_talks_and_answers() {
    let world = World::new(WorldConfig::default());
    world.add_account(&AccountSpec::new("a", 0, 30, 4)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = serve(world.clone(), listener).await.unwrap();
    let mut browser = Browser::new(&server);
    browser.sign_in(&world, "a").await;
    let play = scenario::demo(world.clone(), vec!["a".to_owned()], 400.0);
    let asked = async {
        let to = world.user_name("a", Who::Contact(0)).unwrap();
        let body = browser.message(1, &to, "在吗？", "17000000600000123");
        // The listener is set up by the first step of the demo.
        while world.stats().said == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(browser.call("webwxsendmsg", "", body).await.ret(), 0);
        loop {
            let entries = world.ledger("a", 0, 100_000).unwrap();
            let sent = entries.iter().position(|entry| entry.way == Way::FromAccount);
            let answered = sent.is_some_and(|sent| {
                entries[sent..]
                    .iter()
                    .any(|entry| entry.way == Way::ToAccount && entry.chat == Who::Contact(0))
            });
            let kinds: std::collections::BTreeSet<_> = entries.iter().map(|entry| entry.kind).collect();
            if answered
                && ["text", "image", "voice", "recall", "articles"].iter().all(|kind| kinds.contains(kind))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = play => panic!("the demo ended: {ended:?}"),
        done = tokio::time::timeout(Duration::from_secs(20), asked) => done.unwrap(),
    }
    assert!(scenario::demo(world, vec!["nobody".to_owned()], 1.0).await.is_err());
}

#[tokio::test]
async fn codes_that_confirm_themselves_go_round_the_accounts() {
    let world = World::new(WorldConfig { auto_confirm: true, ..WorldConfig::default() });
    for at in 0..3 {
        let spec = AccountSpec::new(&format!("a{at}"), at, 5, 2);
        world.add_account(&spec).unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = serve(world.clone(), listener).await.unwrap();
    let mut browsers = Vec::new();
    for _ in 0..3 {
        let mut browser = Browser::new(&server);
        let uuid = browser.uuid().await;
        assert!(browser.poll(&uuid, 1).await.starts_with("window.code=201;"));
        let confirmed = browser.poll(&uuid, 0).await;
        browser.exchange(&confirmed, "&version=v2").await;
        assert_eq!(browser.init().await.ret(), 0);
        browsers.push(browser);
    }
    assert_eq!(world.stats().sessions, 3);
    world.end_session("a1", 1101).unwrap();
    let mut again = Browser::new(&server);
    let uuid = again.uuid().await;
    again.poll(&uuid, 1).await;
    let confirmed = again.poll(&uuid, 0).await;
    again.exchange(&confirmed, "&version=v2").await;
    assert_eq!(again.init().await.ret(), 0);
    assert!(world.is_online("a1").unwrap());
}
