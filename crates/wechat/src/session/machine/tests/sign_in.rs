//! Codes, the phone that is asked instead, and whoever waits for either.

use super::*;

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

#[test]
fn a_restart_tells_how_it_ended_and_whoever_was_refused_begins_by_a_code() {
    for is_refused in [false, true] {
        let ending = Ending { why: "the phone signed this account out".to_owned(), is_refused };
        let mut machine = machine();
        let found = Found { uin: Some(1), ending: Some(ending.clone()), ..Found::default() };
        assert!(machine.step(Event::Found(found), NOW).is_empty());
        let told = match is_refused {
            false => Health::signed_out(Some(&ending.why)),
            true => Health::Down { why: ending.why },
        };
        assert_eq!(machine.health(), told);
        let first = if is_refused { Work::FetchQr } else { Work::AskPhone };
        assert_eq!(works(&machine.step(Event::SignIn, NOW)), [&first]);
    }
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
            let is_forgotten = actions.iter().any(|action| matches!(action, Action::Forget(_)));
            assert!(!is_forgotten, "{number}: it costs a scan");
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
