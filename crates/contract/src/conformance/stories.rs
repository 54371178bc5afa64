//! The stories. Each takes an [`Outside`]: the adapter's own fake of its network.

use std::sync::Arc;
use std::time::Duration;

use super::double::{Double, FixedClock, Running};
use crate::adapter::Adapter;
use crate::context::{AdapterContext, BoxFuture, Order};
use crate::delivery::Outcome;
use crate::ids::{ChatKey, RemoteId};

/// How long a story waits for something that must happen. Chosen: far above any honest delay, so
/// that a loaded machine does not fail a story.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The adapter's own fake of its network, as the stories need it.
pub trait Outside: Send {
    /// The adapter under test, configured for this outside.
    fn adapter(&self) -> Arc<dyn Adapter>;
    /// Brings the far end and the outside into a state where posts flow (signs in, connects).
    fn open<'a>(&'a mut self, double: &'a Double, running: &'a Running) -> BoxFuture<'a, ()>;
    /// Somebody says `text` in the story's chat, outside.
    fn say<'a>(&'a mut self, text: &'a str) -> BoxFuture<'a, ()>;
    /// Hands over the last thing again, as networks do after a lost acknowledgement.
    fn repeat_last(&mut self) -> BoxFuture<'_, ()>;
    /// Texts that arrived outside from us in the story's chat, oldest first.
    fn heard(&mut self) -> BoxFuture<'_, Vec<String>>;
    /// The story's chat, once [`Outside::open`] is done.
    fn chat(&self, double: &Double) -> ChatKey;
    /// Cuts the adapter off, and lets it come back.
    fn set_reachable(&mut self, reachable: bool) -> BoxFuture<'_, ()>;
}

/// One run of the adapter in the background of a story.
struct Life {
    running: Running,
    task: tokio::task::JoinHandle<()>,
}

fn begin(outside: &dyn Outside, double: &Double) -> Life {
    let adapter = outside.adapter();
    let clock = FixedClock::at(1_700_000_000_000);
    let (context, running): (AdapterContext, Running) = double.context(adapter.network(), clock);
    #[allow(clippy::disallowed_methods, reason = "the story owns the task and waits for it in `end`")]
    let task = tokio::spawn(async move {
        // What `run` returns is judged by `stops_within_the_grace_period` alone.
        let _ = adapter.run(context).await;
    });
    Life { running, task }
}

async fn end(life: Life) {
    life.running.stop.stop();
    let ended = tokio::time::timeout(Duration::from_secs(10), life.task).await;
    assert!(matches!(ended, Ok(Ok(()))), "the adapter did not stop within the grace period: {ended:?}");
}

fn texts(double: &Double) -> Vec<String> {
    let state = double.state();
    let text = |post: &crate::batch::Post| match &post.body {
        crate::body::Body::Text { text } => Some(text.clone()),
        _ => None,
    };
    state.posts.iter().filter_map(|(_, _, post)| text(post)).collect()
}

async fn expect_texts(double: &Double, wanted: &[&str]) {
    double
        .wait_for(PATIENCE, |state| {
            let found =
                state.posts.iter().filter(|(_, _, p)| matches!(p.body, crate::body::Body::Text { .. }));
            (found.count() >= wanted.len()).then_some(())
        })
        .await;
    assert_eq!(texts(double), wanted);
}

/// Posts arrive once, in order; a repetition from outside is harmless.
pub async fn posts_arrive_once_and_in_order(outside: &mut dyn Outside) {
    let double = Double::new();
    let life = begin(outside, &double);
    outside.open(&double, &life.running).await;
    for text in ["one", "二", "three 😀"] {
        outside.say(text).await;
    }
    expect_texts(&double, &["one", "二", "three 😀"]).await;
    outside.repeat_last().await;
    outside.say("four").await;
    expect_texts(&double, &["one", "二", "three 😀", "four"]).await;
    end(life).await;
}

/// While the store is down nothing is acknowledged; afterwards everything arrives.
pub async fn a_failed_commit_is_handed_over_again(outside: &mut dyn Outside) {
    let double = Double::new();
    let life = begin(outside, &double);
    outside.open(&double, &life.running).await;
    let before = {
        let mut state = double.state();
        state.store_is_down = true;
        state.commits
    };
    outside.say("kept").await;
    double.wait_for(PATIENCE, |state| (state.commits > before).then_some(())).await;
    assert!(texts(&double).is_empty(), "a failed commit left something behind");
    double.state().store_is_down = false;
    expect_texts(&double, &["kept"]).await;
    end(life).await;
}

/// A run that ends and starts again goes on from the committed notes: nothing lost, nothing twice.
pub async fn a_restart_goes_on_from_the_notes(outside: &mut dyn Outside) {
    let double = Double::new();
    let life = begin(outside, &double);
    outside.open(&double, &life.running).await;
    outside.say("before").await;
    expect_texts(&double, &["before"]).await;
    end(life).await;
    outside.say("between").await;
    let life = begin(outside, &double);
    outside.say("after").await;
    expect_texts(&double, &["before", "between", "after"]).await;
    end(life).await;
}

/// The outside goes away and comes back: nothing is lost.
pub async fn the_outside_goes_and_comes_back(outside: &mut dyn Outside) {
    let double = Double::new();
    let life = begin(outside, &double);
    outside.open(&double, &life.running).await;
    outside.set_reachable(false).await;
    outside.say("while away").await;
    outside.set_reachable(true).await;
    expect_texts(&double, &["while away"]).await;
    end(life).await;
}

/// A delivery is carried out and settled exactly once, also when the same order comes again.
pub async fn a_delivery_is_settled_and_not_doubled(outside: &mut dyn Outside, text: crate::batch::Post) {
    let double = Double::new();
    let life = begin(outside, &double);
    outside.open(&double, &life.running).await;
    let chat = outside.chat(&double);
    let delivery = double.delivery(&chat, text);
    for attempt in 1..=2_u32 {
        let again = crate::delivery::Delivery { attempt, ..delivery.clone() };
        let sent = life.running.orders.send(Order::Deliver(Box::new(again))).await;
        assert!(sent.is_ok(), "the adapter takes no orders");
        let count = attempt as usize;
        double.wait_for(PATIENCE, |state| (state.outcomes.len() == count).then_some(())).await;
    }
    let outcomes: Vec<Outcome> = double.state().outcomes.iter().map(|(_, o)| o.clone()).collect();
    let ids = |outcome: &Outcome| match outcome {
        Outcome::Sent { remote_ids } => remote_ids.clone(),
        other => panic!("not sent: {other:?}"),
    };
    let first: Vec<RemoteId> = outcomes.first().map(ids).unwrap_or_default();
    assert_eq!(outcomes.last().map(ids), Some(first), "the second attempt got other ids");
    assert_eq!(outside.heard().await.len(), 1, "said twice");
    end(life).await;
}

/// The adapter stops within the grace period, also when its outside is gone.
pub async fn it_stops_within_the_grace_period(outside: &mut dyn Outside) {
    let double = Double::new();
    let life = begin(outside, &double);
    outside.open(&double, &life.running).await;
    outside.set_reachable(false).await;
    end(life).await;
    outside.set_reachable(true).await;
}
