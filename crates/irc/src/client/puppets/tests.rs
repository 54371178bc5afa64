//! Who gets a connection, and when it speaks.

use wxgate_contract::Job;
use wxgate_contract::conformance::Double;

use super::*;
use crate::client::relay::Relay;
use crate::client::session::tests::{hear, heard_in, relay_of, session, words_of_ming};
use crate::client::source::SourcePrefix;

#[tokio::test]
async fn a_puppet_that_a_bug_ends_is_told_as_gone() {
    let (tell, mut told) = mpsc::channel(1);
    // Without the hook that prints a backtrace.
    let run = async { std::panic::resume_unwind(Box::new("the test says so")) };
    watched(PuppetId(7), run, tell.clone()).await;
    assert!(matches!(told.recv().await, Some((PuppetId(7), News::Gone(Gone::Lost(_))))));
    watched(PuppetId(8), async {}, tell).await;
    assert!(told.recv().await.is_none(), "one that ends tells so itself");
}

#[tokio::test]
async fn what_the_network_shows_of_one_who_has_another_nick_or_went_is_still_ours() {
    let double = Double::new();
    let (mut relay, _running) = relay_of(&double, &["#c"]);
    let mut session = session(&mut relay);
    hear(&mut session, ":relay!r@h JOIN #c");
    let idle = Duration::from_secs(3600);
    let settings = Settings { most: 3, nick: "{nick}[wx]".to_owned(), idle, from: None };
    session.puppets = Puppets::new(Some(settings), None, None, Instant::now());
    let delivery = words_of_ming("#c", "hi");
    let Job::Say(say) = &delivery.job else { panic!("nothing is said") };
    assert_eq!(session.puppet_for(say, &"#c".into(), Instant::now()), None, "it is on its way");
    // It has asked for a nick that somebody has; what they say is theirs.
    hear(&mut session, "@msgid=m0 :Ming[wx]!other@h PRIVMSG #c :I was first");
    assert_eq!(heard_in(&mut session, &double, "#c").await, ["m0"]);
    session.puppet_news(PuppetId(1), News::Called("Ming[wx]".to_owned()));
    hear(&mut session, ":Ming[wx]!u@h PRIVMSG #c :its words");
    hear(&mut session, ":Ming[wx]!u@h NICK Guest7");
    hear(&mut session, ":Guest7!u@h PRIVMSG #c :under another nick");
    session.puppet_gone(PuppetId(1), Gone::Lost("killed".to_owned()));
    hear(&mut session, ":Guest7!u@h PRIVMSG #c :its last words");
    assert_eq!(heard_in(&mut session, &double, "#c").await, ["m0"]);
    hear(&mut session, "@msgid=m1 :bob!u@h PRIVMSG #c :hello");
    assert_eq!(heard_in(&mut session, &double, "#c").await, ["m0", "m1"]);
}

/// A session in `#c` with bob, and connections for people.
fn session_with_puppets(relay: &mut Relay, from: Option<SourcePrefix>) -> Session<'_> {
    let mut session = session(relay);
    hear(&mut session, ":relay!r@h JOIN #c");
    hear(&mut session, ":irc.test 353 relay = #c :relay bob");
    hear(&mut session, ":irc.test 366 relay #c :End of /NAMES list.");
    let idle = Duration::from_secs(3600);
    let settings = Settings { most: 3, nick: "{nick}[wx]".to_owned(), idle, from };
    session.puppets = Puppets::new(Some(settings), None, None, Instant::now());
    session
}

/// Who would say this in `#c`.
fn speaker(session: &mut Session<'_>, person: &str, now: Instant) -> Option<PuppetId> {
    let mut delivery = words_of_ming("#c", "hi");
    let Job::Say(say) = &mut delivery.job else { panic!("nothing is said") };
    say.post.author = Author::Person { person: person.into(), name: "Ming".to_owned() };
    session.puppet_for(say, &"#c".into(), now)
}

#[tokio::test]
async fn who_failed_to_get_a_nick_leaves_it_to_who_has_it() {
    let double = Double::new();
    let (mut relay, _running) = relay_of(&double, &["#c"]);
    let mut session = session_with_puppets(&mut relay, None);
    speaker(&mut session, "p", Instant::now());
    session.puppet_gone(PuppetId(1), Gone::Lost("no nick is free".to_owned()));
    hear(&mut session, "@msgid=m1 :Ming[wx]!other@h PRIVMSG #c :it is mine");
    assert_eq!(heard_in(&mut session, &double, "#c").await, ["m1"]);
}

/// Somebody's puppet says that it is in the channel; the relay has not seen that.
fn ming_enters(session: &mut Session<'_>) -> PuppetId {
    speaker(session, "p", Instant::now());
    let id = PuppetId(1);
    session.puppet_news(id, News::Called("Ming[wx]".to_owned()));
    let prefix = "Ming[wx]!u@h".to_owned();
    session.puppet_news(id, News::In { channel: "#c".to_owned(), prefix });
    id
}

#[tokio::test]
async fn on_the_other_side_of_a_netsplit_nobody_of_ours_is_talked_to() {
    let (mut relay, _running) = relay_of(&Double::new(), &["#c"]);
    let mut session = session_with_puppets(&mut relay, None);
    let (now, id) = (Instant::now(), ming_enters(&mut session));
    let mut speaks = |line: &str| {
        hear(&mut session, line);
        speaker(&mut session, "p", now)
    };
    assert_eq!(speaks("PING :still"), None, "the relay has not seen it there");
    assert_eq!(speaks(":Ming[wx]!u@h JOIN #c"), Some(id));
    assert_eq!(speaks(":Ming[wx]!u@h QUIT :a.test b.test"), None);
    assert_eq!(speaks(":Ming[wx]!u@h JOIN #c"), Some(id));
    assert_eq!(speaks(":Ming[wx]!u@h NICK Guest7"), Some(id));
}

#[tokio::test]
async fn where_joins_are_hidden_it_speaks_without_having_been_seen() {
    let (mut relay, _running) = relay_of(&Double::new(), &["#c"]);
    let mut session = session_with_puppets(&mut relay, None);
    let (now, id) = (Instant::now(), ming_enters(&mut session));
    let mut speaks = |line: &str| {
        hear(&mut session, line);
        speaker(&mut session, "p", now)
    };
    assert_eq!(speaks("PING :still"), None, "the relay has not seen it there");
    assert_eq!(speaks(":irc.test 324 relay #c +ntD"), Some(id), "nor would it");
    assert_eq!(speaks(":op!o@h MODE #c -D"), None);
}

#[tokio::test]
async fn one_with_an_address_of_its_own_is_sent_away_alone() {
    for (from, left) in [(Some("127.7.0.0/16".parse().unwrap()), [2, 2, 0]), (None, [0, 0, 0])] {
        let (mut relay, _running) = relay_of(&Double::new(), &["#c"]);
        let mut session = session_with_puppets(&mut relay, from);
        let mut now = Instant::now();
        let mut seen = Vec::new();
        for at in 1..=3 {
            now += Duration::from_secs(3600);
            session.puppets.next_connect = now;
            speaker(&mut session, &format!("p{at}"), now);
            let id = PuppetId(session.puppets.next_id);
            session.puppet_gone(id, Gone::Barred("K-Lined".to_owned()));
            session.puppets.next_connect = now;
            speaker(&mut session, &format!("p{at}"), now);
            assert!(session.puppets.all.is_empty(), "it is tried again");
            seen.push(session.puppets.most.min(2));
        }
        assert_eq!(seen, left);
    }
}

#[tokio::test]
async fn one_that_is_moved_into_another_channel_leaves_it() {
    let (mut relay, _running) = relay_of(&Double::new(), &["#c"]);
    let mut session = session_with_puppets(&mut relay, None);
    speaker(&mut session, "p", Instant::now());
    let (tell, mut told) = mpsc::channel(8);
    session.puppets.all[0].words = tell;
    session.puppet_news(PuppetId(1), News::Called("Ming[wx]".to_owned()));
    session.puppet_news(PuppetId(1), News::Out { channel: "#c".to_owned() });
    let prefix = "Ming[wx]!u@h".to_owned();
    session.puppet_news(PuppetId(1), News::In { channel: "##unregistered".to_owned(), prefix });
    assert!(matches!(told.try_recv(), Ok(Word::Join(channel)) if channel == "#c"));
    assert!(matches!(told.try_recv(), Ok(Word::Part(channel)) if channel == "##unregistered"));
}
