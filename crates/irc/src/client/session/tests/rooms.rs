//! Channels that do not let us in, or not any more.

use super::*;

fn why(session: &Session<'_>) -> String {
    session.health().detail().to_owned()
}

fn joins(session: &mut Session<'_>) -> usize {
    written(session).iter().filter(|line| line.starts_with("JOIN #c")).count()
}

#[test]
fn whatever_refuses_to_let_us_in_is_told() {
    for (numeric, is_final) in [
        ("926 relay #c :Channel #c is forbidden: no", true),
        ("479 relay #c :Illegal channel name", true),
        ("480 relay #c :Cannot join channel (+j) - throttle exceeded, try again later", false),
        ("471 relay #c :Cannot join channel (+l)", false),
    ] {
        let (mut relay, _running) = relay(&["#c"]);
        let mut session = session(&mut relay);
        let mut now = Instant::now();
        pass(&mut session, &mut now, 2);
        assert_eq!(joins(&mut session), 1);
        hear(&mut session, &format!(":irc.test {numeric}"));
        assert!(why(&session).starts_with("not in #c"), "{numeric}: {:?}", session.health());
        pass(&mut session, &mut now, 90);
        assert_eq!(joins(&mut session), usize::from(!is_final), "{numeric}");
    }
}

#[test]
fn a_join_without_an_answer_is_told_and_tried_again() {
    let (mut relay, _running) = relay(&["#c"]);
    let mut session = session(&mut relay);
    let mut now = Instant::now();
    pass(&mut session, &mut now, 50);
    assert_eq!((session.health(), joins(&mut session)), (Health::Up, 1));
    pass(&mut session, &mut now, 20);
    assert!(why(&session).contains("does not answer"), "{:?}", session.health());
    pass(&mut session, &mut now, 60);
    assert_eq!(joins(&mut session), 1);
    hear(&mut session, ":relay!r@h JOIN #c");
    assert_eq!(session.health(), Health::Up);
}

#[test]
fn who_is_removed_comes_once_more_and_a_minute_later() {
    let (mut relay, _running) = relay(&["#c"]);
    let mut session = session(&mut relay);
    let mut now = Instant::now();
    pass(&mut session, &mut now, 2);
    hear(&mut session, ":relay!r@h JOIN #c");
    joins(&mut session);
    hear(&mut session, ":relay!r@h PART #c :requested by op (no relays)");
    assert!(why(&session).contains("requested by op"), "{:?}", session.health());
    pass(&mut session, &mut now, 50);
    assert_eq!(joins(&mut session), 0);
    pass(&mut session, &mut now, 20);
    assert_eq!(joins(&mut session), 1);
    hear(&mut session, ":relay!r@h JOIN #c");
    hear(&mut session, ":relay!r@h PART #c :requested by op (I said no)");
    pass(&mut session, &mut now, 300);
    assert_eq!(joins(&mut session), 0, "it comes again and again");
}

#[test]
fn the_part_of_an_earlier_link_says_nothing_about_this_one() {
    let double = Double::new();
    let (mut relay, _running) = relay_of(&double, &["#c"]);
    let mut session = session(&mut relay);
    let mut now = Instant::now();
    pass(&mut session, &mut now, 2);
    hear(&mut session, ":relay!r@h JOIN #c");
    for linked in [&[][..], &["#c"]] {
        double.link(&NetworkId::new("irc:test"), linked);
        session.link();
    }
    pass(&mut session, &mut now, 5);
    let lines = written(&mut session);
    let place = |wanted: &str| lines.iter().rposition(|line| line.starts_with(wanted));
    assert!(place("PART #c").is_some() && place("PART #c") < place("JOIN #c"), "{lines:?}");
    hear(&mut session, ":relay!r@h PART #c :unlinked");
    hear(&mut session, ":relay!r@h JOIN #c");
    assert_eq!(session.health(), Health::Up);
    // It counts as no kick.
    hear(&mut session, ":op!o@h KICK #c relay :once");
    pass(&mut session, &mut now, 70);
    assert_eq!(joins(&mut session), 1);
}

#[test]
fn a_channel_with_another_name_is_not_entered_under_the_old_one() {
    let (mut relay, _running) = relay(&["#c"]);
    let mut session = session(&mut relay);
    let mut now = Instant::now();
    pass(&mut session, &mut now, 2);
    hear(&mut session, ":relay!r@h JOIN #c");
    hear(&mut session, ":op!o@h RENAME #c #C :louder");
    assert_eq!(session.health(), Health::Up);
    joins(&mut session);
    hear(&mut session, ":op!o@h RENAME #C #new :moved");
    assert!(why(&session).contains("renamed to #new; link that"), "{:?}", session.health());
    pass(&mut session, &mut now, 300);
    let lines = written(&mut session);
    assert!(lines.contains(&"PART #new".to_owned()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("JOIN")), "{lines:?}");
}
