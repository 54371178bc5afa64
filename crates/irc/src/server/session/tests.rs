//! A session without sockets, against the in-memory far end.

use tokio::sync::oneshot;
use tokio::time::timeout;
use wxgate_contract::conformance::{Double, FixedClock, Running};

use super::*;
use crate::server::caps::{Negotiation, Sts};
use crate::server::config::{Guests, IrcServerConfig};
use crate::server::metadata::Early;
use crate::server::queue::SendQueue;
use crate::server::registry::Arrival;
use crate::server::shared::Parts;

const PATIENCE: Duration = Duration::from_secs(10);

fn config() -> IrcServerConfig {
    let mut config = IrcServerConfig::new("irc:local".into(), "wx.test");
    config.limits.hold = Duration::ZERO;
    config
}

/// What a run would share, and the far end's side of it, which is to be kept.
fn shared(double: &Double, config: IrcServerConfig) -> (Arc<Shared>, Running) {
    let (context, running) = double.context(&config.network, FixedClock::at(1_700_000_000_000));
    let parts = Parts {
        sts: Sts::new(None, config.sts_seconds),
        network: config.network.clone(),
        config,
        far: context.far,
        media: context.media,
        directory: context.directory,
        control: context.control,
        clock: context.clock,
        stop: context.stop,
        seed: [7; 32],
        marks: mpsc::channel(1).0,
    };
    (Arc::new(Shared::new(parts)), running)
}

/// A client that arrives; whoever gets the answer is the connection.
fn arrival(id: u64) -> (Arrival, oneshot::Receiver<Result<(), Refusal>>) {
    let (taken, answer) = oneshot::channel();
    let arrival = Arrival {
        id: ClientId(id),
        negotiation: Negotiation::default(),
        nick: "ann".to_owned(),
        username: "ann".to_owned(),
        realname: "Ann".to_owned(),
        away: None,
        metadata: Early::default(),
        client_name: format!("c{id}"),
        queue: Arc::new(SendQueue::new(1024 * 1024)),
        address: [127, 0, 0, 1].into(),
        is_secure: false,
        fingerprint: None,
        credential: None,
        taken,
    };
    (arrival, answer)
}

/// Runs a guest's session that is told this; true when it ends.
async fn ends(incoming: Vec<Incoming>) -> bool {
    let mut config = config();
    config.guests = Guests::Loopback;
    let (shared, _running) = shared(&Double::new(), config);
    let (lines, waiting) = mpsc::channel(8);
    for incoming in incoming {
        assert!(lines.try_send(incoming).is_ok());
    }
    let (_feed, feed) = mpsc::channel(8);
    let inputs = Inputs { lines: waiting, feed, lag: Arc::default(), own: lines.downgrade() };
    let key = SessionKey { user: "guest".into(), account: None, guest: Some(ClientId(1)) };
    let has_ended = timeout(PATIENCE, run(Arc::clone(&shared), key, inputs)).await.is_ok();
    let (visible, invisible, _) = shared.hall.as_ref().unwrap().counts();
    assert_eq!((has_ended, visible + invisible), (has_ended, usize::from(!has_ended)), "its nick is free");
    has_ended
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_before_it_is_taken_leaves_no_session() {
    let (arrival, answer) = arrival(1);
    drop(answer);
    assert!(ends(vec![Incoming::Attach(Box::new(arrival))]).await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_and_goes_at_once_leaves_no_session() {
    let (arrival, _answer) = arrival(1);
    assert!(ends(vec![Incoming::Attach(Box::new(arrival)), Incoming::Gone(ClientId(1))]).await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stays_keeps_its_session() {
    let (arrival, _answer) = arrival(1);
    assert!(!ends(vec![Incoming::Attach(Box::new(arrival))]).await);
}
