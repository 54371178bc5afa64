//! The stories that every adapter is judged by, on a modern network and on an old one. Two are left
//! out: what is said while a guest is away is kept by no IRC network.

use std::sync::Arc;
use std::time::Duration;

use wxgate_contract::conformance::{Double, Running, stories};
use wxgate_contract::{Adapter, Body, BoxFuture, ChatKey};
use wxgate_irc::IrcClientAdapter;

use crate::network::{MODERN, NETWORK, Network, OLD, config, post};

struct Played {
    network: Network,
    has_ids: bool,
    last: String,
    said: usize,
}

impl Played {
    async fn new(caps: &str) -> Self {
        Self { network: Network::start(caps).await, has_ids: !caps.is_empty(), last: String::new(), said: 0 }
    }
}

impl stories::Outside for Played {
    fn adapter(&self) -> Arc<dyn Adapter> {
        Arc::new(IrcClientAdapter::new(config(&self.network)))
    }

    fn open<'a>(&'a mut self, double: &'a Double, _: &'a Running) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            double.link(&NETWORK.into(), &["#c"]);
            self.network.wait_line("MODE #c").await;
        })
    }

    fn say<'a>(&'a mut self, text: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.said += 1;
            let tags = if self.has_ids { format!("@msgid=m{} ", self.said) } else { String::new() };
            self.last = format!("{tags}:bob!b@h PRIVMSG #c :{text}");
            self.network.line(&self.last);
        })
    }

    fn repeat_last(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Without ids a repetition is just the same words again, and nobody repeats lines there.
            if self.has_ids {
                self.network.line(&self.last);
            }
        })
    }

    fn heard(&mut self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move { self.network.said("#c") })
    }

    fn chat(&self, _: &Double) -> ChatKey {
        "#c".into()
    }

    fn set_reachable(&mut self, reachable: bool) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.network.set_reachable(reachable) })
    }
}

macro_rules! stories {
    ($($name:ident: $caps:ident;)*) => {
        $(mod $name {
            use super::*;

            #[tokio::test]
            async fn posts_arrive_once_and_in_order() {
                stories::posts_arrive_once_and_in_order(&mut Played::new($caps).await).await;
            }

            #[tokio::test]
            async fn a_failed_commit_is_handed_over_again() {
                stories::a_failed_commit_is_handed_over_again(&mut Played::new($caps).await).await;
            }

            #[tokio::test]
            async fn a_delivery_is_settled_and_not_doubled() {
                let mut played = Played::new($caps).await;
                stories::a_delivery_is_settled_and_not_doubled(&mut played, post("Ming", Body::text("hello"))).await;
            }

            #[tokio::test]
            async fn it_stops_within_the_grace_period() {
                stories::it_stops_within_the_grace_period(&mut Played::new($caps).await).await;
            }
        })*
    };
}

stories! {
    on_a_modern_network: MODERN;
    on_an_old_network: OLD;
}

#[tokio::test]
async fn what_is_said_while_the_store_is_down_arrives_in_order() {
    let mut played = Played::new(OLD).await;
    let double = Double::new();
    let guest = crate::network::Guest::start(&double, config(&played.network));
    played.network.wait_line("MODE #c").await;
    double.state().store_is_down = true;
    for at in 0..50 {
        stories::Outside::say(&mut played, &format!("line {at}")).await;
    }
    played.network.line("PING :still");
    played.network.wait_line("PONG :still").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    double.state().store_is_down = false;
    let posts = guest.posts(50).await;
    let texts: Vec<&str> = posts.iter().map(crate::network::text_of).collect();
    assert_eq!(texts, (0..50).map(|at| format!("line {at}")).collect::<Vec<_>>());
}
