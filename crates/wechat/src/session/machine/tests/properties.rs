//! Whatever happens in whatever order: what always holds.

use proptest::prelude::*;

use super::*;

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
        2 => result(Just(())).prop_map(Event::Looked),
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
            | (Work::LoadRoster | Work::LookAlone, Event::RosterLoaded(_))
            | (Work::Check, Event::Checked(_))
            | (Work::Fetch | Work::FetchWhatCanBeRead, Event::Fetched(_))
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
        if let Event::Looked(_) = event {
            prop_assert!(machine.step(event, NOW).is_empty() && !machine.is_looking());
            continue;
        }
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
                Action::Forget(_) | Action::Tell(_) => {}
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
