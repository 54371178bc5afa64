//! Tables for the paths, properties for the invariants.

use proptest::prelude::*;
use rand::SeedableRng;
use wechat_proto::SyncKey;
use wechat_proto::sync_key::KeyPair;
use wxgate_contract::Health;

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const HELD: Duration = Duration::from_secs(25);

fn machine() -> Machine {
    Machine::new(Timings::default(), SmallRng::seed_from_u64(7))
}

fn keys(at: i64) -> Keys {
    Keys::first(SyncKey::new(vec![KeyPair { key: 1, val: at }]))
}

fn redirect() -> url::Url {
    url::Url::parse("https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A").unwrap()
}

fn resumed() -> Found {
    Found { uin: Some(1), has_session: true, keys: Some(keys(1)), is_roster_loaded: true, is_sealed: false }
}

fn fetched(at: i64, has_content: bool) -> Event {
    Event::Fetched(Ok(Fetched { keys: keys(at), has_content, more: false, has_unlisted: false }))
}

fn checked(number: i64, has_news: bool) -> Event {
    Event::Checked(Ok(Checked { ret: RetCode::from_number(number), has_news, took: HELD }))
}

fn online() -> Machine {
    let mut machine = machine();
    machine.step(Event::Found(resumed()), NOW);
    machine.step(fetched(1, false), NOW);
    assert_eq!(machine.state, State::Online);
    machine
}

fn works(actions: &[Action]) -> Vec<&Work> {
    actions
        .iter()
        .filter_map(|action| if let Action::Run(work) = action { Some(work) } else { None })
        .collect()
}

#[test]
fn a_sign_in_goes_from_code_to_news() {
    let mut machine = machine();
    let phone = |answer| Event::Phone { answer: Ok(answer), took: HELD };
    let road = [
        (Event::SignIn, Work::FetchQr),
        (Event::Ticket(Ok("u".into())), Work::PollPhone { uuid: "u".into(), polled: false }),
        (phone(Phone::Waiting), Work::PollPhone { uuid: "u".into(), polled: true }),
        (phone(Phone::Scanned { picture: None }), Work::PollPhone { uuid: "u".into(), polled: true }),
        (phone(Phone::Confirmed { redirect: redirect() }), Work::Enter { redirect: redirect() }),
        (Event::Entered(Ok(Entry::Accepted { uin: 5 })), Work::Open),
        (Event::Opened(Ok(keys(1))), Work::LoadRoster),
        (Event::RosterLoaded(Ok(())), Work::Check),
        (checked(0, false), Work::Check),
        (checked(0, true), Work::Fetch),
        (fetched(2, true), Work::Commit),
        (Event::Committed(Ok(())), Work::Check),
    ];
    for (event, work) in road {
        let label = format!("{event:?}");
        let actions = machine.step(event, NOW);
        assert_eq!(works(&actions), [&work], "{label}");
    }
    assert_eq!((machine.health(), machine.keys()), (Health::Up, Some(&keys(2))));
}

#[test]
fn without_a_stored_session_nothing_happens_by_itself() {
    let mut machine = machine();
    assert!(machine.step(Event::Found(Found::default()), NOW).is_empty());
    assert_eq!(machine.state, State::SignedOut);
}

#[test]
fn a_commit_that_fails_fetches_again_from_the_same_key() {
    let mut machine = online();
    machine.step(checked(0, true), NOW);
    machine.step(fetched(9, true), NOW);
    let actions = machine.step(Event::Committed(Err(Fault::Store("full".into()))), NOW);
    assert!(matches!(works(&actions)[..], [Work::Wait(_)]), "{actions:?}");
    assert_eq!(machine.keys(), Some(&keys(1)));
    assert!(matches!(machine.health(), Health::Degraded { .. }));
    assert_eq!(works(&machine.step(Event::Waited, NOW)), [&Work::Fetch]);
}

#[test]
fn news_that_were_read_under_old_names_are_read_anew_at_once_and_nobody_is_troubled() {
    let mut machine = online();
    machine.step(checked(0, true), NOW);
    machine.step(fetched(9, true), NOW);
    let actions = machine.step(Event::Committed(Err(Fault::Superseded)), NOW);
    assert_eq!(works(&actions), [&Work::Fetch]);
    assert_eq!(machine.keys(), Some(&keys(1)));
    assert_eq!(machine.health(), Health::Up);
}

#[test]
fn what_ends_a_session_is_confirmed_by_one_sync() {
    for (code, ends_in) in
        [(1100, "ended"), (1101, "reviving"), (1102, "reviving"), (1103, "reviving"), (-14, "reviving")]
    {
        let mut machine = online();
        let wait = machine.step(checked(code, false), NOW);
        assert!(matches!(works(&wait)[..], [Work::Wait(_)]));
        assert_eq!(works(&machine.step(Event::Waited, NOW)), [&Work::Fetch]);
        machine.step(Event::Fetched(Err(Fault::Ret(RetCode::from_number(code), String::new()))), NOW);
        let state = match machine.state {
            State::Ended { .. } => "ended",
            State::Reviving => "reviving",
            ref other => panic!("{other:?}"),
        };
        assert_eq!(state, ends_in, "{code}");

        let mut machine = online();
        machine.step(checked(code, false), NOW);
        machine.step(Event::Waited, NOW);
        machine.step(fetched(1, false), NOW);
        assert_eq!(machine.state, State::Online, "the sync denies {code}");
    }
}

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
            [Work::Fetch] => {
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
fn a_line_that_comes_and_goes_is_told_of_once_and_a_long_absence_all_the_same() {
    let away = || [Event::Fetched(Err(Fault::Network)), Event::Waited];
    let absence = |attempts: usize| {
        let away = (1..attempts).flat_map(|_| away());
        [Event::Checked(Err(Fault::Network)), Event::Waited].into_iter().chain(away)
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

/// A session that is said to be over, and is.
fn over(number: i64) -> Vec<Event> {
    let gone = Fault::Ret(RetCode::from_number(number), String::new());
    vec![checked(number, false), Event::Waited, Event::Fetched(Err(gone))]
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

#[test]
fn a_dropped_poll_is_nothing_to_look_at_and_news_that_are_never_announced_are() {
    let mut machine = online();
    machine.step(Event::Checked(Err(Fault::Network)), NOW);
    assert_eq!(machine.health(), Health::Up);
    assert!(matches!(machine.standing(), Standing::Away { .. }));
    machine.step(Event::Waited, NOW);
    machine.step(fetched(1, false), NOW);
    for _ in 0..10 {
        assert_eq!(machine.health(), Health::Up);
        machine.step(checked(4711, false), NOW);
        machine.step(Event::Waited, NOW);
        machine.step(fetched(1, false), NOW);
        if matches!(machine.health(), Health::Degraded { .. }) {
            break;
        }
    }
    assert!(machine.health().detail().contains("up to a minute late"), "{:?}", machine.health());
    machine.step(checked(0, false), NOW);
    assert_eq!(machine.health(), Health::Up);
}

#[test]
fn a_poll_that_is_always_denied_is_believed_in_the_end() {
    let mut machine = online();
    for _ in 0..MAX_STRIKES {
        machine.step(checked(1102, false), NOW);
        machine.step(Event::Waited, NOW);
        machine.step(fetched(1, false), NOW);
    }
    assert_eq!(machine.state, State::Reviving);
}

#[test]
fn item_19_other_answers_of_a_poll_never_end_a_session() {
    for event in
        [checked(-1, false), checked(3, false), checked(4711, false), Event::Checked(Err(Fault::Garbled))]
    {
        let mut machine = online();
        for _ in 0..100 {
            machine.step(event.clone(), NOW);
            machine.step(Event::Waited, NOW);
            machine.step(fetched(1, false), NOW);
            assert_eq!(machine.state, State::Online);
        }
    }
}

#[test]
fn item_21_empty_syncs_are_spaced() {
    let mut machine = online();
    let mut waits = Vec::new();
    for _ in 0..12 {
        let mut actions = machine.step(checked(0, true), NOW);
        if works(&actions) == [&Work::Fetch] {
            actions = machine.step(fetched(1, false), NOW);
        }
        if let [Work::Wait(wait)] = works(&actions)[..] {
            waits.push(*wait);
            machine.step(Event::Waited, NOW);
            machine.step(fetched(1, false), NOW);
            if machine.is_busy && !matches!(works(&actions)[..], [Work::Check]) {
                machine.step(Event::Waited, NOW);
                machine.step(fetched(1, false), NOW);
            }
        }
    }
    assert!(waits.len() >= 3 && waits.iter().all(|wait| *wait <= Duration::from_secs(30)), "{waits:?}");
    assert!(waits.last() > waits.first());
    assert_eq!(machine.state, State::Online);
}

#[test]
fn the_clock_asks_for_a_sync_now_and_then() {
    let mut machine = online();
    assert_eq!(works(&machine.step(checked(0, false), NOW)), [&Work::Check]);
    let later = NOW.after(Duration::from_secs(601));
    assert_eq!(works(&machine.step(checked(0, false), later)), [&Work::Fetch]);
}

#[test]
fn five_codes_and_no_more() {
    let mut machine = machine();
    machine.step(Event::SignIn, NOW);
    let mut shown = 0;
    while machine.state == State::FetchingQr {
        shown += 1;
        machine.step(Event::Ticket(Ok(format!("u{shown}"))), NOW);
        machine.step(Event::Phone { answer: Ok(Phone::Gone), took: HELD }, NOW);
    }
    assert_eq!(shown, MAX_CODES);
    assert!(matches!(machine.state, State::Ended { .. }));
    assert_eq!(works(&machine.step(Event::SignIn, NOW)), [&Work::FetchQr]);
}

#[test]
fn another_account_is_refused() {
    let mut machine = machine();
    machine.step(Event::Found(Found { uin: Some(1), ..Found::default() }), NOW);
    machine.step(Event::SignIn, NOW);
    machine.step(Event::Ticket(Ok("u".into())), NOW);
    machine.step(Event::Phone { answer: Ok(Phone::Confirmed { redirect: redirect() }), took: HELD }, NOW);
    let actions = machine.step(Event::Entered(Ok(Entry::Accepted { uin: 2 })), NOW);
    assert!(works(&actions).is_empty() && matches!(machine.state, State::Refused { .. }), "{actions:?}");
}

/// A machine of an account that was signed in before, and is not now.
fn signed_out() -> Machine {
    let mut machine = machine();
    machine.step(Event::Found(Found { uin: Some(1), ..Found::default() }), NOW);
    machine
}

#[test]
fn who_asks_for_an_account_that_was_signed_in_before_is_asked_on_the_phone_first() {
    let ended = || {
        let mut machine = online();
        over(1100).into_iter().for_each(|event| drop(machine.step(event, NOW)));
        assert!(matches!(machine.state, State::Ended { .. }));
        machine
    };
    let left = || {
        let mut machine = online();
        machine.step(Event::SignOut, NOW);
        machine.step(Event::Left, NOW);
        machine
    };
    for mut machine in [signed_out(), ended(), left()] {
        let actions = machine.step(Event::SignIn, NOW);
        assert_eq!(works(&actions), [&Work::AskPhone]);
        assert_eq!(told(&actions), [&SignInStep::Starting]);
        let actions = machine.step(Event::Ticket(Ok("p".into())), NOW);
        assert_eq!(told(&actions), [&SignInStep::ConfirmOnPhone { is_push: true, picture: None }]);
        assert_eq!(machine.health(), Health::NeedsHuman { step: "confirm the sign-in on the phone".into() });
        let confirmed = Ok(Phone::Confirmed { redirect: redirect() });
        let actions = machine.step(Event::Phone { answer: confirmed, took: HELD }, NOW);
        assert_eq!(works(&actions), [&Work::Enter { redirect: redirect() }]);
    }
}

#[test]
fn a_phone_that_is_not_offered_or_does_not_agree_costs_who_asked_no_more_than_a_moment() {
    let refused = || Fault::Ret(RetCode::Param, String::new());
    for fault in [refused(), Fault::Network, Fault::TimedOut, Fault::Garbled] {
        let mut machine = signed_out();
        machine.step(Event::SignIn, NOW);
        let actions = machine.step(Event::Ticket(Err(fault)), NOW);
        assert_eq!(works(&actions), [&Work::FetchQr]);
    }
    let declined = || Event::Phone { answer: Ok(Phone::Declined), took: HELD };
    let gone = || Event::Phone { answer: Ok(Phone::Gone), took: HELD };
    for answer in [declined(), gone()] {
        let mut machine = signed_out();
        machine.step(Event::SignIn, NOW);
        machine.step(Event::Ticket(Ok("p".into())), NOW);
        assert_eq!(works(&machine.step(answer, NOW)), [&Work::FetchQr]);
    }
    for answer in [Ok(Phone::Waiting), Err(Fault::TimedOut), Err(Fault::Network)] {
        let mut machine = signed_out();
        machine.step(Event::SignIn, NOW);
        machine.step(Event::Ticket(Ok("p".into())), NOW);
        let mut passed = Duration::ZERO;
        while machine.state != State::FetchingQr {
            passed += HELD;
            assert!(passed <= 3 * HELD, "{answer:?}: still no code after {passed:?}");
            let actions =
                machine.step(Event::Phone { answer: answer.clone(), took: HELD }, NOW.after(passed));
            if matches!(works(&actions)[..], [Work::Wait(_)]) {
                machine.step(Event::Waited, NOW.after(passed));
            }
        }
    }
}

#[test]
fn who_asks_while_the_phone_is_asked_already_gets_a_code_soon() {
    let mut machine = online();
    over(1101).into_iter().for_each(|event| drop(machine.step(event, NOW)));
    machine.step(Event::Ticket(Ok("p".into())), NOW);
    let waiting = || Event::Phone { answer: Ok(Phone::Waiting), took: HELD };
    machine.step(waiting(), NOW.after(HELD));
    let actions = machine.step(Event::SignIn, NOW.after(HELD * 4));
    assert_eq!(told(&actions), [&SignInStep::ConfirmOnPhone { is_push: true, picture: None }]);
    assert!(works(&machine.step(waiting(), NOW.after(HELD * 5))) != [&Work::FetchQr], "no time to confirm");
    assert_eq!(works(&machine.step(waiting(), NOW.after(HELD * 6))), [&Work::FetchQr]);
}

#[test]
fn who_was_refused_begins_anew_by_a_code() {
    let mut machine = online();
    machine.step(checked(0, true), NOW);
    machine.step(Event::Fetched(Err(Fault::Ret(RetCode::LoginRefused, String::new()))), NOW);
    assert!(matches!(machine.state, State::Refused { .. }));
    assert_eq!(works(&machine.step(Event::SignIn, NOW)), [&Work::FetchQr]);
}

/// A machine that has a session, and is about to open it.
fn opening() -> Machine {
    let mut machine = machine();
    machine.step(Event::SignIn, NOW);
    machine.step(Event::Ticket(Ok("u".into())), NOW);
    machine.step(Event::Phone { answer: Ok(Phone::Confirmed { redirect: redirect() }), took: HELD }, NOW);
    machine.step(Event::Entered(Ok(Entry::Accepted { uin: 5 })), NOW);
    assert!(matches!(machine.state, State::Opening { is_open: false, .. }));
    machine
}

fn told(actions: &[Action]) -> Vec<&SignInStep> {
    actions
        .iter()
        .filter_map(|action| if let Action::Tell(step) = action { Some(step) } else { None })
        .collect()
}

#[test]
fn a_session_that_wechat_does_not_open_yet_is_kept_and_whoever_waits_is_told() {
    for (number, most) in [(1205, 17), (-1, 200), (4711, 200)] {
        let mut machine = opening();
        let (mut passed, mut asked, mut failed) = (Duration::ZERO, 0, 0);
        let mut actions = vec![Action::Run(Work::Open)];
        while passed < Duration::from_secs(2 * 3600) {
            assert!(!actions.contains(&Action::Forget), "{number}: it costs a scan");
            failed += told(&actions).iter().filter(|step| matches!(step, SignInStep::Failed { .. })).count();
            actions = match works(&actions)[..] {
                [Work::Wait(wait)] => {
                    passed += *wait;
                    machine.step(Event::Waited, NOW.after(passed))
                }
                [Work::Open] => {
                    asked += 1;
                    let fault = Fault::Ret(RetCode::from_number(number), String::new());
                    machine.step(Event::Opened(Err(fault)), NOW.after(passed))
                }
                ref other => panic!("{number}: {other:?}"),
            };
        }
        assert_eq!(failed, 1, "{number}");
        assert!((2..=most).contains(&asked), "{number}: asked {asked} times");
        assert!(matches!(machine.health(), Health::Degraded { .. }), "{number}: {:?}", machine.health());
        if works(&actions) != [&Work::Open] {
            machine.step(Event::Waited, NOW);
        }
        machine.step(Event::Opened(Ok(keys(1))), NOW);
        machine.step(Event::RosterLoaded(Ok(())), NOW);
        assert_eq!((&machine.state, machine.health()), (&State::Online, Health::Up));
    }
}

#[test]
fn the_list_of_contacts_is_read_again_after_some_days_of_a_session() {
    let mut machine = online();
    let (half, whole) = (Timings::default().reread_roster / 2, Timings::default().reread_roster);
    let quiet = |machine: &mut Machine, at: Timestamp| {
        let next = works(&machine.step(checked(0, false), at)).into_iter().cloned().collect::<Vec<_>>();
        if next == [Work::Fetch] {
            machine.step(fetched(1, false), at);
        }
        next
    };
    let just_before = NOW.after(half - Duration::from_secs(1));
    assert_ne!(quiet(&mut machine, just_before), [Work::LoadRoster]);
    assert_eq!(quiet(&mut machine, NOW.after(whole)), [Work::LoadRoster]);
    let read = NOW.after(whole);
    assert_eq!(works(&machine.step(Event::RosterLoaded(Ok(())), read)), [&Work::Check]);
    assert_ne!(quiet(&mut machine, read.after(half - Duration::from_secs(1))), [Work::LoadRoster]);
    assert_eq!(quiet(&mut machine, read.after(whole)), [Work::LoadRoster]);
}

#[test]
fn whoever_is_not_listed_has_the_list_read_again_in_a_quiet_moment_and_not_at_once_again() {
    let mut machine = online();
    let unlisted = || {
        let fetched = Fetched { keys: keys(2), has_content: true, more: false, has_unlisted: true };
        Event::Fetched(Ok(fetched))
    };
    let speak = |machine: &mut Machine, at: Timestamp| {
        assert_eq!(works(&machine.step(checked(0, true), at)), [&Work::Fetch]);
        machine.step(unlisted(), at);
        machine.step(Event::Committed(Ok(())), at);
    };
    speak(&mut machine, NOW);
    assert_eq!(machine.health(), Health::Up, "nothing is missing");
    assert_eq!(works(&machine.step(checked(0, true), NOW)), [&Work::Fetch], "news come first");
    machine.step(fetched(2, false), NOW);
    assert_eq!(works(&machine.step(checked(0, false), NOW)), [&Work::LoadRoster]);
    machine.step(Event::RosterLoaded(Ok(())), NOW);
    speak(&mut machine, NOW);
    assert_eq!(works(&machine.step(checked(0, false), NOW)), [&Work::Check], "one was just read");
    let later = NOW.after(Timings::default().unasked_sync);
    assert_eq!(works(&machine.step(checked(0, false), later)), [&Work::LoadRoster]);
    machine.step(Event::RosterLoaded(Err(Fault::TimedOut)), later);
    assert_eq!(machine.health(), Health::Up, "the list that was read stands");
}

#[test]
fn who_asks_while_a_session_is_left_alone_is_told_so() {
    let mut machine = opening();
    let too_much = || Event::Opened(Err(Fault::Ret(RetCode::TooFrequent, String::new())));
    machine.step(too_much(), NOW);
    let actions = machine.step(Event::SignIn, NOW);
    assert!(matches!(told(&actions)[..], [SignInStep::Failed { why }] if why.contains("left alone")));
    assert!(works(&actions).is_empty());
    assert_eq!(works(&machine.step(Event::Waited, NOW)), [&Work::Open]);
    // It says nothing about the session: that it is over is still believed at the second time only.
    let over = || Event::Opened(Err(Fault::Ret(RetCode::SessionInvalid, String::new())));
    assert!(matches!(works(&machine.step(over(), NOW))[..], [Work::Wait(_)]));
}

#[test]
fn a_session_that_is_found_over_before_its_contacts_were_loaded_asks_the_phone() {
    for code in [1100, 1101, 1102, -14] {
        let over = || Event::Opened(Err(Fault::Ret(RetCode::from_number(code), String::new())));
        let mut machine = machine();
        machine.step(Event::Found(Found { is_roster_loaded: false, ..resumed() }), NOW);
        assert!(matches!(works(&machine.step(over(), NOW))[..], [Work::Wait(_)]));
        assert_eq!(works(&machine.step(Event::Waited, NOW)), [&Work::Open]);
        assert_eq!(works(&machine.step(over(), NOW)), [&Work::AskPhone], "{code}");
    }
}

#[test]
fn item_29_a_stored_key_is_older_than_a_new_opening_and_wins() {
    let mut machine = machine();
    machine.step(Event::Found(Found { is_roster_loaded: false, ..resumed() }), NOW);
    machine.step(Event::Opened(Ok(keys(50))), NOW);
    assert_eq!(machine.keys(), Some(&keys(1)));
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Network),
        Just(Fault::TimedOut),
        Just(Fault::Garbled),
        Just(Fault::Store("full".into())),
        Just(Fault::Superseded),
        prop::sample::select(vec![-14, -1, 1, 3, 1100, 1101, 1102, 1103, 1203, 1205, 4711])
            .prop_map(|number| Fault::Ret(RetCode::from_number(number), String::new())),
    ]
}

fn result<T: Clone + std::fmt::Debug>(
    good: impl Strategy<Value = T>,
) -> impl Strategy<Value = Result<T, Fault>> {
    prop_oneof![2 => good.prop_map(Ok), 1 => any_fault().prop_map(Err)]
}

fn any_event() -> impl Strategy<Value = Event> {
    let phone = prop_oneof![
        Just(Phone::Confirmed { redirect: redirect() }),
        Just(Phone::Scanned { picture: None }),
        Just(Phone::Waiting),
        Just(Phone::Declined),
        Just(Phone::Gone),
    ];
    let entry = prop_oneof![
        3 => (1_i64..3).prop_map(|uin| Entry::Accepted { uin }),
        1 => prop::sample::select(vec![-1, 1101, 1203, 1205])
            .prop_map(|n| Entry::Refused { ret: RetCode::from_number(n), message: "words".into() }),
        1 => Just(Entry::WantsBrowser),
    ];
    let check =
        (prop::sample::select(vec![0, 0, 0, 1100, 1101, 1102, 1205, -1, 4711]), any::<bool>(), 0_u64..30)
            .prop_map(|(number, has_news, secs)| Checked {
                ret: RetCode::from_number(number),
                has_news,
                took: Duration::from_secs(secs),
            });
    let fetch = (1_i64..9, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(at, has_content, more, has_unlisted)| Fetched { keys: keys(at), has_content, more, has_unlisted },
    );
    prop_oneof![
        1 => Just(Event::SignIn),
        1 => prop::bool::weighted(0.2).prop_map(|out| if out { Event::SignOut } else { Event::Waited }),
        6 => Just(Event::Waited),
        3 => result(Just("u".to_owned())).prop_map(Event::Ticket),
        4 => (result(phone), 0_u64..30)
            .prop_map(|(answer, secs)| Event::Phone { answer, took: Duration::from_secs(secs) }),
        3 => result(entry).prop_map(Event::Entered),
        3 => result((1_i64..9).prop_map(keys)).prop_map(Event::Opened),
        3 => result(Just(())).prop_map(Event::RosterLoaded),
        6 => result(check).prop_map(Event::Checked),
        6 => result(fetch).prop_map(Event::Fetched),
        5 => result(Just(())).prop_map(Event::Committed),
        1 => Just(Event::Left),
    ]
}

/// Whether an event is the answer to a piece of work: the driver feeds back nothing else.
fn answers(work: &Work, event: &Event) -> bool {
    matches!(
        (work, event),
        (Work::FetchQr | Work::AskPhone, Event::Ticket(_))
            | (Work::PollPhone { .. }, Event::Phone { .. })
            | (Work::Enter { .. }, Event::Entered(_))
            | (Work::Open, Event::Opened(_))
            | (Work::LoadRoster, Event::RosterLoaded(_))
            | (Work::Check, Event::Checked(_))
            | (Work::Fetch, Event::Fetched(_))
            | (Work::Commit, Event::Committed(_))
            | (Work::Wait(_), Event::Waited)
            | (Work::Leave, Event::Left)
    )
}

fn says_too_much(event: &Event) -> bool {
    let ret = match event {
        Event::Fetched(Err(Fault::Ret(ret, _)))
        | Event::Checked(Err(Fault::Ret(ret, _)))
        | Event::Opened(Err(Fault::Ret(ret, _)))
        | Event::RosterLoaded(Err(Fault::Ret(ret, _)))
        | Event::Committed(Err(Fault::Ret(ret, _))) => *ret,
        Event::Checked(Ok(checked)) => checked.ret,
        _ => return false,
    };
    ret == RetCode::TooFrequent
}

/// Plays events as a driver would, and holds the machine to its invariants after each step.
fn play(events: Vec<Event>, start: Found, seed: u64) -> Result<(), TestCaseError> {
    let mut machine = Machine::new(Timings::default(), SmallRng::seed_from_u64(seed));
    let (cap, slow_down) = (Timings::default().retry_cap, Timings::default().slow_down);
    let mut running: Option<Work> = None;
    let mut waits: Vec<Duration> = Vec::new();
    let all = std::iter::once(Event::Found(start)).chain(events);
    for event in all {
        let is_wish = matches!(event, Event::SignIn | Event::SignOut | Event::Found(_));
        if !is_wish && !running.as_ref().is_some_and(|work| answers(work, &event)) {
            continue;
        }
        let (was, keys_before) = (machine.state.clone(), machine.keys.clone());
        if !is_wish {
            running = None;
        }
        let actions = machine.step(event.clone(), NOW);
        for action in &actions {
            match action {
                Action::Cancel => running = None,
                Action::Run(work) => {
                    prop_assert!(running.is_none(), "two pieces of work: {running:?} and {work:?}");
                    if let Work::Wait(wait) = work {
                        let longest = if says_too_much(&event) { slow_down } else { cap };
                        prop_assert!(*wait <= longest, "{wait:?} after {event:?}");
                        waits.push(*wait);
                    }
                    running = Some(work.clone());
                }
                Action::Forget | Action::Tell(_) => {}
            }
        }
        let is_ok = |event: &Event| {
            matches!(event, Event::RosterLoaded(_) | Event::Opened(_) | Event::Fetched(Ok(_)))
        };
        if machine.state == State::Online && was != State::Online {
            let opened = matches!(was, State::Opening { .. } | State::Resuming { .. });
            prop_assert!(opened && is_ok(&event), "online from {was:?} by {event:?}");
        }
        let resting = matches!(was, State::Ended { .. } | State::Refused { .. } | State::SignedOut);
        if resting && machine.state != was {
            prop_assert!(is_wish, "{was:?} was left by {event:?}");
        }
        if was == State::Online && machine.state == State::Online && machine.keys != keys_before {
            prop_assert_eq!(event.clone(), Event::Committed(Ok(())), "the key changed before the commit");
        }
        if event == Event::SignOut {
            prop_assert_eq!(&machine.state, &State::Leaving { again: false });
            prop_assert!(machine.keys.is_none());
        }
        let is_resting =
            matches!(machine.state, State::Ended { .. } | State::Refused { .. } | State::SignedOut);
        prop_assert_eq!(running.is_none(), is_resting, "{:?} with {:?} running", &machine.state, &running);
        prop_assert!(machine.codes <= MAX_CODES);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_from_a_stored_session(
        events in prop::collection::vec(any_event(), 0..250), seed: u64,
    ) {
        play(events, resumed(), seed)?;
    }

    #[test]
    fn the_invariants_hold_from_nothing(events in prop::collection::vec(any_event(), 0..250), seed: u64) {
        play(events, Found::default(), seed)?;
    }

    #[test]
    fn delays_have_jitter_of_the_given_generator(seed: u64, faults in 1_u32..40) {
        let mut machine = Machine::new(Timings::default(), SmallRng::seed_from_u64(seed));
        let mut again = Machine::new(Timings::default(), SmallRng::seed_from_u64(seed));
        let mut other = Machine::new(Timings::default(), SmallRng::seed_from_u64(seed ^ 1));
        let draw = |machine: &mut Machine| (0..faults).map(|_| machine.back_off()).collect::<Vec<_>>();
        let (one, same, different) = (draw(&mut machine), draw(&mut again), draw(&mut other));
        prop_assert_eq!(&one, &same);
        prop_assert_ne!(&one, &different);
        for (at, wait) in one.iter().enumerate() {
            let full = Duration::from_secs(1 << at.min(16)).min(Duration::from_secs(60));
            prop_assert!((full / 2..=full).contains(wait), "{wait:?} of {full:?}");
        }
    }
}
