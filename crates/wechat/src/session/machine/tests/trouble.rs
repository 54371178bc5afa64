//! What an owner hears of faults and endings, and how often the service is asked meanwhile.

use super::*;

/// Where an hour of one fault leads, and how often the service is asked in it.
fn an_hour_of(fault: &Fault) -> (Machine, u32) {
    let mut machine = online();
    let (mut asked, mut passed) = (0, Duration::ZERO);
    let mut actions = machine.step(checked(0, true), NOW);
    while passed < Duration::from_secs(3600) {
        actions = match works(&actions)[..] {
            [Work::Wait(wait)] => {
                passed += *wait;
                machine.step(Event::Waited, NOW.after(passed))
            }
            [Work::Fetch | Work::FetchWhatCanBeRead] => {
                asked += 1;
                machine.step(Event::Fetched(Err(fault.clone())), NOW.after(passed))
            }
            _ => break,
        };
    }
    (machine, asked)
}

#[test]
fn an_hour_of_trouble_is_told_as_what_it_is_and_costs_the_service_little() {
    let ret = |number| Fault::Ret(RetCode::from_number(number), String::new());
    for (fault, told, most) in [
        (Fault::Network, "WeChat cannot be reached; still trying", 100),
        (Fault::TimedOut, "WeChat does not answer in time; still trying", 100),
        (Fault::Garbled, "WeChat's answers cannot be read; still trying", 100),
        (ret(-1), "WeChat answers with -1 (the recipient is unknown or stale); still trying", 100),
        (ret(1205), "WeChat says that this account does too much; it is left alone for a while", 9),
    ] {
        let (mut machine, asked) = an_hour_of(&fault);
        assert_eq!(machine.health(), Health::Degraded { why: told.to_owned() });
        assert!((2..=most).contains(&asked), "{fault:?}: asked {asked} times");
        assert!(matches!(machine.standing(), Standing::Away { .. }));
        // And back by itself, with nothing left of it.
        if !matches!(machine.state, State::Resuming { .. }) {
            machine.step(Event::Waited, NOW);
        }
        machine.step(fetched(1, false), NOW);
        assert_eq!((&machine.state, machine.health()), (&State::Online, Health::Up));
    }
}

#[test]
fn an_answer_that_can_never_be_read_is_read_as_far_as_it_can_be() {
    let mut machine = online();
    let mut actions = machine.step(checked(0, true), NOW);
    let mut asked = Vec::new();
    for _ in 0..4 {
        while let [Work::Wait(_)] = works(&actions)[..] {
            actions = machine.step(Event::Waited, NOW);
        }
        asked.extend(works(&actions).into_iter().cloned());
        actions = machine.step(Event::Fetched(Err(Fault::Garbled)), NOW);
    }
    let expected = [Work::Fetch, Work::Fetch, Work::Fetch, Work::FetchWhatCanBeRead];
    assert_eq!(asked, expected, "a bad line is not an answer that cannot be read");
    machine.step(Event::Waited, NOW);
    assert_eq!(works(&machine.step(fetched(2, true), NOW)), [&Work::Commit]);
    machine.step(Event::Committed(Ok(())), NOW);
    assert_eq!(works(&machine.step(checked(0, true), NOW)), [&Work::Fetch], "the next one is whole");
}

#[test]
fn a_line_that_comes_and_goes_is_told_of_once_and_a_long_absence_all_the_same() {
    let away = || [Event::Fetched(Err(Fault::Network)), Event::Waited];
    let absence = |attempts: usize| {
        let away = (1..attempts).flat_map(|_| away());
        let begins =
            [Event::Checked(Err(Fault::Network)), Event::Fetched(Err(Fault::Network)), Event::Waited];
        begins.into_iter().chain(away)
    };
    let back = || [fetched(1, false), checked(0, false)];
    let (mut machine, mut now) = (online(), NOW);
    let mut heard = |events: Vec<Event>| heard_from(&mut machine, &mut now, events);
    // Each event takes a minute in which it is online or away.
    let restless = (0..20).flat_map(|_| absence(5).chain(back())).collect();
    assert_eq!(heard(restless), ["degraded: WeChat cannot be reached; still trying", "up: "]);
    assert_eq!(heard(absence(14).chain(back()).collect()).len(), 2, "an absence of many minutes");
    // When it was steady for a while, the next one is told as the first.
    assert!(heard((0..12).map(|_| checked(0, false)).collect()).is_empty());
    assert_eq!(heard(absence(5).chain(back()).collect()).len(), 2);
}

#[test]
fn a_phone_that_signed_us_out_is_not_asked_although_the_line_broke_before_that_was_confirmed() {
    let gone = || Event::Fetched(Err(Fault::Ret(RetCode::NotLoggedIn, String::new())));
    let broken = || Event::Fetched(Err(Fault::Network));
    for away in [Duration::from_secs(60), Duration::from_secs(24 * 3600)] {
        let mut machine = online();
        for event in [checked(1100, false), Event::Waited, broken()] {
            machine.step(event, NOW);
        }
        assert!(matches!(machine.state, State::Offline { .. }));
        machine.step(Event::Waited, NOW.after(away));
        machine.step(gone(), NOW.after(away));
        // What is found over after a day may have expired.
        let is_ended = matches!(machine.state, State::Ended { .. });
        assert_eq!(is_ended, away < EXPIRES, "{:?}", machine.state);
        assert_eq!(!is_ended, machine.state == State::Reviving);
    }
}

#[test]
fn a_long_pause_is_told_when_it_begins() {
    let mut machine = online();
    machine.step(checked(1205, false), NOW);
    let told = machine.health();
    assert!(matches!(&told, Health::Degraded { why } if why.contains("left alone")), "{told:?}");
}

/// What an owner hears who knows that the account was online.
fn heard(machine: &mut Machine, events: Vec<Event>) -> Vec<String> {
    let mut now = NOW;
    heard_from(machine, &mut now, events)
}

/// The same from a time on.
fn heard_from(machine: &mut Machine, now: &mut Timestamp, events: Vec<Event>) -> Vec<String> {
    let (mut told, mut heard) = (Health::Up, Vec::new());
    for event in events {
        *now = now.after(Duration::from_secs(60));
        machine.step(event, *now);
        let health = machine.health();
        if health.is_news_after(&told) {
            heard.push(format!("{}: {}", health.word(), health.detail()));
            told = health;
        }
    }
    heard
}

#[test]
fn each_ending_is_told_once_with_what_happened_and_what_to_do() {
    let phone = |answer| Event::Phone { answer: Ok(answer), took: HELD };
    let asked = || vec![Event::Ticket(Ok("u".into())), phone(Phone::Waiting), phone(Phone::Waiting)];
    let back = || {
        let entered = Event::Entered(Ok(Entry::Accepted { uin: 1 }));
        let redirect = redirect();
        vec![
            phone(Phone::Confirmed { redirect }),
            entered,
            Event::Opened(Ok(keys(1))),
            Event::RosterLoaded(Ok(())),
        ]
    };
    let refused = Fault::Ret(RetCode::LoginRefused, String::new());
    let too_much = || Event::Fetched(Err(Fault::Ret(RetCode::TooFrequent, String::new())));
    let away = || [Event::Fetched(Err(Fault::Network)), Event::Waited];
    let ended = "WeChat ended the session";
    let elsewhere =
        format!("{ended}: the account was opened on another computer, or signed out on the phone");
    for (what, events, hears) in [
        (
            "signed out on the phone",
            over(1100),
            vec!["needs_human: sign the account in again: the phone signed this account out".to_owned()],
        ),
        (
            "taken over, and taken back on the phone",
            [over(1101), asked(), back()].concat(),
            vec![format!("needs_human: {elsewhere}; confirm the sign-in on the phone"), "up: ".to_owned()],
        ),
        (
            "taken over, and nobody has the phone",
            [over(1101), asked(), vec![phone(Phone::Gone)]].concat(),
            vec![
                format!("needs_human: {elsewhere}; confirm the sign-in on the phone"),
                format!(
                    "needs_human: sign the account in again: {elsewhere}, and the phone did not confirm a new sign-in"
                ),
            ],
        ),
        (
            "ended, and declined on the phone",
            [over(1102), asked(), vec![phone(Phone::Declined)]].concat(),
            vec![
                format!("needs_human: {ended}; confirm the sign-in on the phone"),
                format!(
                    "needs_human: sign the account in again: {ended}, and a new sign-in was declined on the phone"
                ),
            ],
        ),
        (
            "ended, and the phone cannot be asked",
            [over(1102), vec![Event::Ticket(Err(Fault::Ret(RetCode::Param, String::new())))]].concat(),
            vec![format!("needs_human: sign the account in again: {ended}")],
        ),
        (
            "refused",
            vec![checked(0, true), Event::Fetched(Err(refused))],
            vec!["down: WeChat refused: 1203 (this account may not use the web)".to_owned()],
        ),
        (
            "too much, again, and good again",
            vec![checked(0, true), too_much(), Event::Waited, too_much(), Event::Waited, fetched(1, false)],
            vec![
                "degraded: WeChat says that this account does too much; it is left alone for a while"
                    .to_owned(),
                "up: ".to_owned(),
            ],
        ),
        (
            "away for long, and back",
            [
                vec![checked(0, true)],
                [away(), away(), away(), away(), away(), away()].concat(),
                vec![fetched(1, false)],
            ]
            .concat(),
            vec!["degraded: WeChat cannot be reached; still trying".to_owned(), "up: ".to_owned()],
        ),
    ] {
        assert_eq!(heard(&mut online(), events), hears, "{what}");
    }
}

#[test]
fn an_account_that_is_refused_while_it_is_online_is_not_tried_again() {
    for fetches in [1, 4] {
        let mut machine = online();
        machine.step(checked(0, true), NOW);
        for _ in 1..fetches {
            machine.step(Event::Fetched(Err(Fault::Network)), NOW);
            machine.step(Event::Waited, NOW);
        }
        let words = "this account may not sign in here".to_owned();
        let refused = Event::Fetched(Err(Fault::Ret(RetCode::LoginRefused, words.clone())));
        assert!(works(&machine.step(refused, NOW)).is_empty());
        assert_eq!(machine.health(), Health::Down { why: words });
    }
}
