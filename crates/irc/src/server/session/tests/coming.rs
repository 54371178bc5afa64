//! Clients that come while others talk, or while the connection before them ends.

use std::sync::OnceLock;

use wxgate_contract::{BoxFuture, Command, CommandError, Control, Credential, Reply};

use super::*;
use crate::server::caps::Caps;
use crate::server::config::LocalChannels;
use crate::server::hall::{Act, Floor, Hall, Identity, talk_of};
use crate::server::multiline::Part;

/// bob in the hall.
struct Bob {
    hall: Arc<Hall>,
    id: UserId,
}

impl Bob {
    fn enter(shared: &Shared) -> Self {
        let hall = Arc::clone(shared.hall.as_ref().unwrap());
        let (nick, user, realname) = ("bob".to_owned(), "~bob".to_owned(), "bob".to_owned());
        let id = Identity { nick, user, realname, account: None };
        let id = hall.enter(id, Arc::default(), "wx.test", Timestamp(1)).unwrap();
        Self { hall, id }
    }

    fn does(&self, what: impl FnOnce(&mut Floor<'_>)) {
        let (client, caps, now) = (ClientId(99), Caps::NONE, Timestamp(2));
        what(&mut self.hall.floor(Act { me: self.id, client, caps, server: "wx.test", now }));
    }

    fn says(&self, target: &str) {
        let parts = [Part { text: "hi".to_owned(), is_concat: false }];
        self.does(|floor| floor.say(talk_of("PRIVMSG", target, &parts, "")));
    }
}

/// While the gateway is asked something, bob talks.
struct Meanwhile {
    control: Arc<dyn Control>,
    bob: Arc<OnceLock<Bob>>,
}

impl Control for Meanwhile {
    fn run(&self, user: Option<UserName>, command: Command) -> BoxFuture<'_, Result<Reply, CommandError>> {
        if let Some(bob) = self.bob.get() {
            bob.says("#room");
            bob.says("ann");
        }
        self.control.run(user, command)
    }
}

/// ann's session where there are local channels; with a word that wakes bob.
async fn begun() -> (Session, Arc<OnceLock<Bob>>, (Running, mpsc::Sender<Incoming>)) {
    let double = Double::new();
    double.add_account("ann", "secret", ACCOUNT);
    let mut config = config();
    config.local_channels = LocalChannels::Hash;
    let bob = Arc::new(OnceLock::new());
    let (shared, running) = shared_with(&double, config, |parts| {
        let control = Arc::clone(&parts.control);
        parts.control = Arc::new(Meanwhile { control, bob: Arc::clone(&bob) });
    });
    let (lines, _) = mpsc::channel(8);
    let key = SessionKey { user: "ann".into(), account: Some(ACCOUNT.into()), guest: None };
    let mut session = Session::new(shared, key, lines.downgrade());
    session.load().await.unwrap();
    (session, bob, (running, lines))
}

/// A client arrives; what it is to read.
async fn comes(session: &mut Session, id: u64, caps: &str) -> Arc<SendQueue> {
    let (mut arrival, answer) = arrival(id);
    arrival.negotiation.command(&["REQ", caps], &mut Vec::new());
    arrival.credential = Some(Credential::Password("secret".to_owned()));
    let queue = Arc::clone(&arrival.queue);
    session.arrived(arrival).await;
    assert!(matches!(answer.await, Ok(Ok(()))));
    queue
}

async fn read(queue: &SendQueue) -> Vec<String> {
    let mut bytes = Vec::new();
    queue.take(&mut bytes).await;
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn what_others_say_comes_behind_the_welcome_and_the_channels() {
    let (mut session, waiting, _kept) = begun().await;
    let _first = comes(&mut session, 1, "").await;
    session.line(ClientId(1), "JOIN #room", None).await;
    let bob = Bob::enter(&session.shared);
    bob.does(|floor| assert!(floor.join("#room", None)));
    assert!(waiting.set(bob).is_ok());
    let lines = read(&*comes(&mut session, 2, "").await).await;
    let at = |what: &str| {
        lines.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{lines:#?}"))
    };
    assert_eq!(at(" 001 "), 0, "{lines:#?}");
    assert!(
        at(" JOIN #room") < at(" 366 ann #room ")
            && at(" 366 ann #room ") < at(":bob!~bob@wxgate PRIVMSG #room :hi")
    );
    assert!(at(" 366 ann #room ") < at(":bob!~bob@wxgate PRIVMSG ann :hi"), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_others_say_comes_behind_the_answer_to_a_label() {
    let (mut session, waiting, _kept) = begun().await;
    let queue = comes(&mut session, 1, "labeled-response batch").await;
    session.line(ClientId(1), "JOIN #room", None).await;
    let bob = Bob::enter(&session.shared);
    bob.does(|floor| assert!(floor.join("#room", None)));
    assert!(waiting.set(bob).is_ok());
    read(&queue).await;
    session.line(ClientId(1), "@label=7 OPER ann wrong", None).await;
    let lines = read(&queue).await;
    assert!(lines[0].starts_with("@label=7 :wx.test 4") && lines[1].contains(":bob!"), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_while_the_last_connection_ends_has_a_place() {
    for is_killed in [false, true] {
        let (mut session, _waiting, _kept) = begun().await;
        let bob = Bob::enter(&session.shared);
        for id in [1, 2] {
            comes(&mut session, id, "").await;
        }
        session.line(ClientId(1), "JOIN #room", None).await;
        if is_killed {
            bob.does(|floor| floor.kill("ann", ""));
        } else {
            session.line(ClientId(1), "QUIT", None).await;
            session.line(ClientId(2), "QUIT", None).await;
        }
        assert!(!bob.hall.is_taken("ann"));
        // Nobody has told yet that those connections are gone.
        let queue = comes(&mut session, 3, "").await;
        for id in [1, 2] {
            session.left(ClientId(id)).await;
        }
        assert!(bob.hall.is_taken("ann") && session.clients.len() == 1, "killed: {is_killed}");
        bob.says("ann");
        let lines = read(&queue).await;
        let has = |what: &str| lines.iter().any(|line| line.ends_with(what));
        assert!(has(" PRIVMSG ann :hi") && has(" JOIN #room"), "killed: {is_killed}: {lines:#?}");
    }
}
