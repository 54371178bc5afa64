//! What a network does not say, however it tells so.

use super::*;

const LABELS: Caps = Caps { labels: true, echo: true, batch: true, tags: true, ..NOTHING };
const ECHO: Caps = Caps { echo: true, tags: true, ..NOTHING };
const NOTHING: Caps = Caps {
    tags: false,
    echo: false,
    labels: false,
    redaction: false,
    relaymsg: false,
    batch: false,
    history: false,
    accounts: false,
    multiline: None,
};
/// What the server says behind a line that has no label.
const PONG: &str = ":irc.test PONG irc.test :w";

/// Says something in `chat`, hears the answer, and gives the outcome.
async fn said(session: &mut Session<'_>, double: &Double, chat: &str, answer: &[&str]) -> Option<Outcome> {
    session.pace.set(crate::client::config::Rate { burst: 1000.0, per_second: 1000.0 }, Instant::now());
    clear(session, chat, "hi");
    session.next_token += 1;
    session.relay.flights.all[0].delivery.id = DeliveryId(i64::try_from(session.next_token).unwrap());
    session.advance(Instant::now());
    session.advance(Instant::now());
    let token = session.next_token;
    for line in answer {
        let line = line.replace("@label=w ", &format!("@label=w{token} "));
        let line = if line == PONG { format!("{line}{token}") } else { line };
        hear(session, &line);
    }
    store(session).await;
    double.state().outcomes.pop().map(|(_, outcome)| outcome)
}

fn is_later(outcome: &Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::TryLater { after, .. }) if *after == Duration::from_secs(60))
}

#[tokio::test]
async fn what_is_dropped_for_a_moment_is_said_later_however_it_is_told() {
    let (many, flood) = (
        ":irc.test 707 relay #c :Targets changing too fast, message dropped",
        ":irc.test NOTICE relay :*** Message to #c throttled due to flooding",
    );
    let labelled = [format!("@label=w {many}"), format!("@label=w {flood}")];
    for (caps, answer) in [
        (NOTHING, vec![many, PONG]),
        (NOTHING, vec![flood, PONG]),
        (ECHO, vec![many, PONG]),
        (LABELS, vec![labelled[0].as_str()]),
        (LABELS, vec![labelled[1].as_str()]),
    ] {
        let double = Double::new();
        let (mut relay, _running) = relay_of(&double, &["#c"]);
        let mut session = session(&mut relay);
        session.caps = caps;
        hear(&mut session, ":relay!r@h JOIN #c");
        let outcome = said(&mut session, &double, "#c", &answer).await;
        assert!(is_later(&outcome), "{answer:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn who_hears_only_people_that_they_know_was_not_reached() {
    let refusal = ":irc.test 716 relay carol :is in +g mode (server-side ignore.)";
    let labelled = format!("@label=w {refusal}");
    for (caps, answer) in [(NOTHING, [refusal, PONG]), (LABELS, [labelled.as_str(), "PING :x"])] {
        let double = Double::new();
        let (mut relay, _running) = relay_of(&double, &["#c", "carol"]);
        let mut session = session(&mut relay);
        session.caps = caps;
        let outcome = said(&mut session, &double, "carol", &answer).await;
        assert!(matches!(outcome, Some(Outcome::Refused { .. })), "{answer:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_is_not_shown_was_not_said_where_everything_is_shown_in_time() {
    const SHOWN: &str = ":relay!r@h PRIVMSG #c :<Ming> hi";
    let double = Double::new();
    let (mut relay, _running) = relay_of(&double, &["#c", "carol"]);
    relay.config.colours = false;
    let mut session = session(&mut relay);
    session.caps = ECHO;
    hear(&mut session, ":relay!r@h JOIN #c");
    let sent = Some(Outcome::Sent { remote_ids: Vec::new() });
    assert_eq!(said(&mut session, &double, "#c", &[PONG]).await, sent, "nobody knows yet");
    assert_eq!(said(&mut session, &double, "#c", &[SHOWN, PONG]).await, sent);
    let outcome = said(&mut session, &double, "#c", &[PONG]).await;
    assert!(is_later(&outcome), "{outcome:?}");
    assert_eq!(said(&mut session, &double, "#c", &[SHOWN, PONG]).await, sent);
    let to_ops = SHOWN.replace("#c", "@#c");
    assert_eq!(said(&mut session, &double, "#c", &[&to_ops, PONG]).await, sent, "operators read it");
    // Another server shows what is said to somebody there, and may be slow.
    assert_eq!(said(&mut session, &double, "carol", &[PONG]).await, sent);
    hear(&mut session, ":relay!r@h PRIVMSG carol :<Ming> hi");
    assert!(is_later(&said(&mut session, &double, "#c", &[PONG]).await));
    // It was only late, as it is behind a bouncer.
    hear(&mut session, SHOWN);
    assert_eq!(said(&mut session, &double, "#c", &[PONG]).await, sent);
}

#[tokio::test]
async fn an_answer_without_the_line_says_that_it_was_not_said_unless_the_line_comes_late() {
    const SHOWN: &str = ":relay!r@h PRIVMSG #c :<Ming> hi";
    let (shown, answered) = (format!("@label=w {SHOWN}"), "@label=w :irc.test ACK");
    let double = Double::new();
    let (mut relay, _running) = relay_of(&double, &["#c"]);
    let mut session = session(&mut relay);
    session.caps = LABELS;
    hear(&mut session, ":relay!r@h JOIN #c");
    let sent = Some(Outcome::Sent { remote_ids: Vec::new() });
    assert_eq!(said(&mut session, &double, "#c", &[answered]).await, sent, "nobody knows yet");
    assert_eq!(said(&mut session, &double, "#c", &[&shown]).await, sent);
    assert!(is_later(&said(&mut session, &double, "#c", &[answered]).await));
    // The lines of a message of several are none that come late.
    hear(&mut session, &format!("@batch=b {SHOWN}"));
    assert!(is_later(&said(&mut session, &double, "#c", &[answered]).await));
    hear(&mut session, SHOWN);
    assert_eq!(said(&mut session, &double, "#c", &[answered]).await, sent);
}

#[tokio::test]
async fn what_a_filter_swallows_again_and_again_is_refused() {
    let double = Double::new();
    let (mut relay, _running) = relay_of(&double, &["#c"]);
    let mut session = session(&mut relay);
    session.caps = LABELS;
    session.echoes.came_in_time();
    hear(&mut session, ":relay!r@h JOIN #c");
    clear(&mut session, "#c", "hi");
    session.relay.flights.all[0].delivery.attempt = 3;
    session.advance(Instant::now());
    session.advance(Instant::now());
    hear(&mut session, "@label=w1 :irc.test ACK");
    store(&mut session).await;
    let outcome = double.state().outcomes.pop().map(|(_, outcome)| outcome);
    assert!(
        matches!(&outcome, Some(Outcome::Refused { why }) if why.contains("without a word")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_line_that_a_kick_overtook_is_said_when_we_are_in_again() {
    for answer in ["404 relay #c :Cannot send to channel", "442 relay #c :You're not on that channel"] {
        let double = Double::new();
        let (mut relay, _running) = relay_of(&double, &["#c"]);
        let mut session = session(&mut relay);
        hear(&mut session, ":relay!r@h JOIN #c");
        let refusal = format!(":irc.test {answer}");
        let outcome =
            said(&mut session, &double, "#c", &[":op!o@h KICK #c relay :out", &refusal, PONG]).await;
        assert!(is_later(&outcome), "{outcome:?}");
        hear(&mut session, ":relay!r@h JOIN #c");
        let outcome = said(&mut session, &double, "#c", &[&refusal, PONG]).await;
        assert!(matches!(outcome, Some(Outcome::Refused { .. })), "{outcome:?}");
    }
}
