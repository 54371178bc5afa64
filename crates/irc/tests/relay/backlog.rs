//! What comes late and in numbers goes as one text.

use std::time::Duration;

use wxgate_contract::conformance::{Double, State};
use wxgate_contract::{Body, Delivery, DeliveryId, Job, Order, Outcome, RemoteId, Timestamp};

use crate::network::{Guest, MODERN, Network, OLD, PATIENCE, config, post};

/// Where so many wait behind, it is a backlog.
const MANY: usize = 3;
/// When what is late was said: 2023-11-14 22:00 UTC, and the double's clock stands 13 minutes later.
const SAID: i64 = 1_699_999_200_000;
const SENT: Outcome = Outcome::Sent { remote_ids: Vec::new() };

async fn guest(network: &Network) -> Guest {
    let mut config = config(network);
    config.limits.many = MANY;
    Guest::ready(network, config).await
}

/// Something that somebody said so many minutes after the first, not ordered yet.
fn said(double: &Double, minute: i64, name: &str, text: &str) -> Delivery {
    let mut post = post(name, Body::text(text));
    post.at = Timestamp(SAID + minute * 60_000);
    let mut delivery = double.delivery(&"#c".into(), post);
    let Job::Say(say) = &mut delivery.job else { unreachable!() };
    name.clone_into(&mut say.author_prefix);
    delivery
}

fn recall(double: &Double, of: &Delivery, remote_ids: Vec<RemoteId>) -> Delivery {
    let mut delivery = said(double, 0, "", "");
    delivery.job = Job::Recall { post: of.job.post(), remote_ids };
    delivery
}

/// Orders the first of them; the others wait behind it.
async fn order(guest: &Guest, all: &[Delivery]) -> DeliveryId {
    guest.double.state().waiting = all.to_vec();
    guest.running.orders.send(Order::Deliver(Box::new(all[0].clone()))).await.unwrap();
    all[0].id
}

fn outcomes(guest: &Guest) -> Vec<(DeliveryId, Outcome)> {
    guest.double.state().outcomes.clone()
}

/// The text behind the link at the end of a line.
fn text_behind(guest: &Guest, line: &str) -> String {
    let media = line.rsplit('/').nth(1).unwrap().parse().unwrap();
    String::from_utf8(guest.double.media_bytes(media).unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn what_waited_too_long_is_one_text_and_each_of_it_is_settled_behind_the_line() {
    for caps in [MODERN, OLD] {
        let network = Network::start(caps).await;
        let guest = guest(&network).await;
        let texts = ["one", "two\nlines", "three", "四"];
        let all: Vec<Delivery> =
            (0..).zip(texts).map(|(n, text)| said(&guest.double, n, "张三", text)).collect();
        let head = order(&guest, &all).await;
        assert_eq!(guest.outcome(head).await, SENT, "the line is none of them, and has none of their ids");
        let lines = network.said("#c");
        assert_eq!(lines.len(), 1, "{lines:?}");
        let words = "… 4 messages waited too long to be said one by one (2023-11-14 22:00 to 2023-11-14 22:03 UTC): http";
        assert!(lines[0].starts_with(words), "{lines:?}");
        let wanted = "2023-11-14 22:00:00 <张三> one\n2023-11-14 22:01:00 <张三> two\n    lines\n\
                      2023-11-14 22:02:00 <张三> three\n2023-11-14 22:03:00 <张三> 四\n";
        assert_eq!(text_behind(&guest, &lines[0]), wanted);
        let mut ids: Vec<DeliveryId> = outcomes(&guest).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids.pop(), Some(head), "the lane goes on when all of it is settled");
        assert_eq!(ids, all[1..].iter().map(|delivery| delivery.id).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_is_new_or_few_goes_line_by_line() {
    let network = Network::start(OLD).await;
    let guest = guest(&network).await;
    let few: Vec<Delivery> = ["one", "two", "three"].map(|text| said(&guest.double, 0, "Ming", text)).into();
    let head = order(&guest, &few).await;
    guest.outcome(head).await;
    // Many, but just said.
    let new: Vec<Delivery> = (0..9).map(|n| said(&guest.double, 13, "Ming", &format!("new {n}"))).collect();
    let head = order(&guest, &new).await;
    guest.outcome(head).await;
    assert_eq!(network.said("#c"), ["<Ming> one", "<Ming> new 0"]);
    assert_eq!(outcomes(&guest).len(), 2, "the others have their turn");
}

#[tokio::test]
async fn what_was_taken_back_is_not_in_the_text_and_what_stands_in_the_channel_ends_it() {
    let network = Network::start(MODERN).await;
    let guest = guest(&network).await;
    let double = &guest.double;
    let say = |text: &str| said(double, 0, "Ming", text);
    let (before, one, two) = (say("stands there"), say("one"), say("typo"));
    let taken_back = recall(double, &two, Vec::new());
    let (three, gone) = (say("three"), recall(double, &before, vec!["m1".into()]));
    let last = say("has its own turn");
    let all = [one, two, taken_back, three, gone.clone(), last.clone()];
    let head = order(&guest, &all).await;
    guest.outcome(head).await;
    let lines = network.said("#c");
    assert!(lines[0].starts_with("… 2 messages"), "{lines:?}");
    let text = text_behind(&guest, &lines[0]);
    assert_eq!(
        text.lines().map(|line| line.rsplit(' ').next().unwrap()).collect::<Vec<_>>(),
        ["one", "three"]
    );
    let settled: Vec<DeliveryId> = outcomes(&guest).into_iter().map(|(id, _)| id).collect();
    assert_eq!(settled.len(), 4);
    assert!(!settled.contains(&gone.id) && !settled.contains(&last.id));
}

#[tokio::test]
async fn after_a_crash_only_the_line_is_repeated_and_all_that_it_stands_for_is_settled() {
    let network = Network::start(OLD).await;
    let guest = guest(&network).await;
    let all: Vec<Delivery> = (0..5).map(|n| said(&guest.double, n, "Ming", "words")).collect();
    network.change(|manners| manners.is_mute = true);
    order(&guest, &all).await;
    network.wait_said("#c", 1).await;
    // The crash: no farewell, no settling.
    guest.task.abort();
    network.cut();
    network.change(|manners| manners.is_mute = false);
    let mut config = config(&network);
    config.limits.many = MANY;
    let next = Guest::start(&guest.double, config);
    next.running.orders.send(Order::Deliver(Box::new(all[0].clone()))).await.unwrap();
    assert_eq!(next.outcome(all[0].id).await, SENT);
    let lines = network.said("#c");
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1], format!("[may be repeated] {}", lines[0]));
    assert_eq!(outcomes(&next).len(), 5);
}

#[tokio::test]
async fn where_the_line_with_the_link_is_swallowed_each_message_has_its_turn() {
    let network = Network::start(MODERN).await;
    let guest = guest(&network).await;
    let id = guest.say("Ming", "shown").await;
    guest.outcome(id).await;
    network.change(|manners| manners.drops = Some(("relay", "")));
    let mut all: Vec<Delivery> = (0..4).map(|n| said_by_ming(&guest, n)).collect();
    // The last try of it.
    all[0].attempt = 3;
    let head = order(&guest, &all).await;
    let outcome = guest.outcome(head).await;
    assert!(matches!(&outcome, Outcome::Refused { why } if why.contains("without a word")), "{outcome:?}");
    let said = network.said("#c");
    assert!(said.len() == 3 && said[1].starts_with("… 4 messages") && said[2] == "<Ming> words", "{said:?}");
    assert_eq!(outcomes(&guest).len(), 2, "nothing is said of those that stand behind");
}

#[tokio::test]
async fn where_the_line_with_the_link_is_refused_each_message_has_its_turn() {
    let network = Network::start(OLD).await;
    let guest = guest(&network).await;
    network.change(|manners| manners.refuses = Some(("404", "Cannot send to channel (+m)")));
    let all: Vec<Delivery> = (0..4).map(|n| said(&guest.double, n, "Ming", "words")).collect();
    order(&guest, &all).await;
    let refused = |state: &mut State| state.outcomes.first().cloned();
    let (id, outcome) = guest.double.wait_for(PATIENCE, refused).await;
    assert!(id == all[0].id && matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    let said = network.said("#c");
    assert!(said.len() == 2 && said[0].starts_with("… 4 messages") && said[1] == "<Ming> words", "{said:?}");
    assert_eq!(outcomes(&guest).len(), 1, "nothing is said of those that stand behind");
    network.change(|manners| manners.refuses = None);
    let more: Vec<Delivery> = (0..4).map(|n| said_by_ming(&guest, n)).collect();
    let head = order(&guest, &more).await;
    guest.outcome(head).await;
    assert_eq!(network.said("#c").last().unwrap(), "<Ming> words");
}

fn said_by_ming(guest: &Guest, minute: i64) -> Delivery {
    said(&guest.double, minute, "Ming", "words")
}

#[tokio::test]
async fn what_is_put_off_settles_nothing_of_a_backlog() {
    let network = Network::start(OLD).await;
    let guest = guest(&network).await;
    network.change(|manners| manners.bars = Some("471"));
    network.line(":op!o@h KICK #c relay :out");
    network.line("PING :kicked");
    network.wait_line("PONG :kicked").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let more: Vec<Delivery> = (0..4).map(|n| said(&guest.double, n, "Ming", "words")).collect();
    let head = order(&guest, &more).await;
    assert!(matches!(guest.outcome(head).await, Outcome::TryLater { .. }));
    assert_eq!(outcomes(&guest).len(), 1);
}

#[tokio::test]
async fn a_text_has_the_words_of_one_account() {
    let network = Network::start(OLD).await;
    let guest = guest(&network).await;
    let mut all: Vec<Delivery> = (0..6).map(|n| said_by_ming(&guest, n)).collect();
    let Job::Say(say) = &mut all[4].job else { unreachable!() };
    say.post.chat.network = "wechat:b".into();
    let head = order(&guest, &all).await;
    guest.outcome(head).await;
    assert!(network.said("#c")[0].starts_with("… 4 messages"), "{:?}", network.said("#c"));
}
