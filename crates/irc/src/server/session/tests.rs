//! A session without sockets, against the in-memory far end.

use tokio::sync::oneshot;
use tokio::time::timeout;
use wxgate_contract::conformance::{Double, FixedClock, Running};
use wxgate_contract::{Author, Body, Fate, PersonKind, PersonProfile, Post, PostId, TimelineItem};

use super::*;
use crate::server::caps::{Negotiation, Sts};
use crate::server::config::{Guests, IrcServerConfig};
use crate::server::metadata::Early;
use crate::server::outbound::MAX_AHEAD_BYTES;
use crate::server::queue::SendQueue;
use crate::server::registry::Arrival;
use crate::server::shared::Parts;

mod coming;

const PATIENCE: Duration = Duration::from_secs(10);

fn config() -> IrcServerConfig {
    let mut config = IrcServerConfig::new("irc:local".into(), "wx.test");
    config.limits.hold = Duration::ZERO;
    config
}

/// What a run would share, and the far end's side of it, which is to be kept.
fn shared(double: &Double, config: IrcServerConfig) -> (Arc<Shared>, Running) {
    shared_with(double, config, |_| {})
}

/// The same with something else in the place of a part.
fn shared_with(
    double: &Double,
    config: IrcServerConfig,
    change: impl FnOnce(&mut Parts),
) -> (Arc<Shared>, Running) {
    let (context, running) = double.context(&config.network, FixedClock::at(1_700_000_000_000));
    let mut parts = Parts {
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
    change(&mut parts);
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

/// The session of ann's account, where `bob` is a contact, and one client that came.
struct Bench {
    double: Double,
    session: Session,
    queue: Arc<SendQueue>,
    /// What the session would miss.
    _kept: (Running, mpsc::Sender<Incoming>, mpsc::Receiver<Incoming>),
}

const ACCOUNT: &str = "wechat:work";

impl Bench {
    /// The client negotiated these capabilities and has read its welcome.
    async fn with(caps: &str) -> Self {
        let double = Double::new();
        double.add_account("ann", "secret", ACCOUNT);
        let bob = PersonProfile {
            person: "p-bob".into(),
            kind: PersonKind::Human,
            nickname: "bob".to_owned(),
            remark: String::new(),
            public_id: String::new(),
            signature: String::new(),
            region: String::new(),
            is_contact: true,
        };
        double.state().people.insert((ACCOUNT.into(), "p-bob".into()), bob);
        let (shared, running) = shared(&double, config());
        let (lines, waiting) = mpsc::channel(8);
        let key = SessionKey { user: "ann".into(), account: Some(ACCOUNT.into()), guest: None };
        let mut session = Session::new(shared, key, lines.downgrade());
        session.load().await.unwrap();
        let (mut arrival, _answer) = arrival(1);
        arrival.negotiation.command(&["REQ", caps], &mut Vec::new());
        let queue = Arc::clone(&arrival.queue);
        session.arrived(arrival).await;
        let mut bench = Self { double, session, queue, _kept: (running, lines, waiting) };
        bench.read().await;
        assert!(bench.client().is_live());
        bench
    }

    fn client(&self) -> &Client {
        &self.session.clients[&ClientId(1)]
    }

    /// The client reads what waits for it; the session hears of it where it asked to.
    async fn read(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while self.queue.len_bytes() > 0 {
            let mut bytes = Vec::new();
            self.queue.take(&mut bytes).await;
            self.queue.wrote(bytes.len());
            lines.extend(String::from_utf8(bytes).unwrap().lines().map(str::to_owned));
            self.session.incoming(Incoming::Drained(ClientId(1))).await;
        }
        lines
    }

    /// So much waits for the client that it is given no more for now.
    fn fill(&self) {
        self.queue.push(format!("{}\r\n", "x".repeat(MAX_AHEAD_BYTES)).as_bytes());
    }

    /// bob says something, and the session hears of it.
    async fn says(&mut self, id: &str, body: Body) -> PostId {
        let item = self.double.show(Post {
            remote_id: id.into(),
            chat: wxgate_contract::ChatRef { network: ACCOUNT.into(), chat: "p-bob".into() },
            author: Author::Person { person: "p-bob".into(), name: "bob".to_owned() },
            at: Timestamp(1_700_000_000_000),
            body,
            quote: None,
            mentions: Vec::new(),
            echo_of: None,
        });
        let post = item.post_id;
        self.show(item).await;
        post
    }

    async fn recalls(&mut self, id: &str) {
        let body = Body::Recall { target: Some(id.into()), notice: String::new() };
        self.says(&format!("recall-{id}"), body).await;
    }

    async fn show(&mut self, item: Arc<TimelineItem>) {
        self.session.event(FeedEvent::Shown(item)).await;
    }

    async fn types(&mut self, line: &str) {
        self.session.line(ClientId(1), line, None).await;
    }

    /// What the client typed last, as its fate is known.
    fn decided(&self) -> Arc<TimelineItem> {
        let post = self.double.state().posts.last().unwrap().0;
        self.double.decide(post, Fate::Said)
    }
}

#[tokio::test(start_paused = true)]
async fn who_falls_behind_as_the_own_line_is_said_gets_its_echo_once() {
    for caps in ["echo-message", "message-tags"] {
        let mut bench = Bench::with(caps).await;
        bench.types("PRIVMSG bob :typed").await;
        bench.fill();
        let item = bench.decided();
        bench.show(item).await;
        assert!(!bench.client().is_live());
        let lines = bench.read().await;
        let echoes = lines.iter().filter(|line| line.contains("typed")).count();
        assert_eq!(echoes, usize::from(caps == "echo-message"), "{caps}: {:#?}", lines.get(1..));
        assert!(bench.client().is_live() && bench.session.pending.is_empty());
    }
}

/// What a client with these capabilities is given of a message that it has seen and one that it has not, which were
/// both taken back while it was behind; and when it asks for all of it again.
async fn taken_back_behind_its_back(caps: &str) -> (PostId, PostId, Vec<String>, Vec<String>) {
    let mut bench = Bench::with(caps).await;
    let seen = bench.says("1", Body::text("it was seen")).await;
    assert!(bench.read().await.iter().any(|line| line.ends_with(" PRIVMSG ann :it was seen")));
    bench.fill();
    let missed = bench.says("2", Body::text("it was missed")).await;
    assert!(!bench.client().is_live());
    bench.recalls("1").await;
    bench.recalls("2").await;
    let mut lines = bench.read().await;
    lines.retain(|line| !line.starts_with("xx"));
    bench.types("PRIVMSG wechat :more bob").await;
    (seen, missed, lines, bench.read().await)
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_back_while_a_client_was_behind_is_a_redaction() {
    let caps = "batch server-time draft/message-redaction";
    let (seen, missed, lines, again) = taken_back_behind_its_back(caps).await;
    let redactions = |lines: &[String]| -> Vec<String> {
        // Outside of the batch, which holds messages alone.
        let parts = lines
            .iter()
            .filter_map(|line| line.split_once(" :bob!"))
            .filter(|(tags, _)| !tags.contains("batch="));
        parts.filter_map(|(_, line)| line.split_once(" REDACT ").map(|(_, what)| what.to_owned())).collect()
    };
    let expected = [format!("ann wx{seen}"), format!("ann wx{missed}")];
    assert_eq!((redactions(&lines), lines.len()), (expected.to_vec(), 2), "{lines:#?}");
    let (begin, end) = (&again[0], &again[again.len() - 1]);
    assert!(begin.contains(" BATCH +h") && end.contains(" BATCH -h"), "{again:#?}");
    assert_eq!((redactions(&again), again.len()), (expected.to_vec(), 4), "{again:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_back_is_told_once_to_who_knows_no_redactions() {
    let (.., lines, again) = taken_back_behind_its_back("server-time").await;
    for lines in [lines, again] {
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines.iter().all(|line| line.ends_with(" NOTICE ann :bob recalled a message")), "{lines:#?}");
    }
}
