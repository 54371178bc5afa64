//! Tables for the paths, properties for the invariants.

mod properties;
mod sign_in;
mod trouble;

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
    Found { uin: Some(1), has_session: true, keys: Some(keys(1)), is_roster_loaded: true, ..Found::default() }
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

/// A session that is said to be over, and is.
fn over(number: i64) -> Vec<Event> {
    let gone = Fault::Ret(RetCode::from_number(number), String::new());
    vec![checked(number, false), Event::Waited, Event::Fetched(Err(gone))]
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
#[test]
fn a_dropped_poll_is_nothing_to_look_at_and_news_that_are_never_announced_are() {
    let mut machine = online();
    assert_eq!(works(&machine.step(Event::Checked(Err(Fault::Network)), NOW)), [&Work::Fetch]);
    assert_eq!((machine.health(), machine.standing()), (Health::Up, Standing::Online));
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
    let broken = [Event::Checked(Err(Fault::Garbled)), Event::Checked(Err(Fault::Network))];
    for event in [checked(-1, false), checked(3, false), checked(4711, false)].into_iter().chain(broken) {
        let mut machine = online();
        for _ in 0..100 {
            machine.step(event.clone(), NOW);
            machine.step(Event::Waited, NOW);
            machine.step(fetched(1, false), NOW);
            assert_eq!((&machine.state, machine.standing()), (&State::Online, Standing::Online));
        }
        let told = machine.health();
        assert!(told.detail().contains("up to a minute late"), "{event:?}: {told:?}");
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
fn the_list_of_contacts_is_read_again_after_some_days_of_a_session() {
    let mut machine = online();
    let (half, whole) = (Timings::default().reread_roster / 2, Timings::default().reread_roster);
    let looks = |machine: &mut Machine, at: Timestamp| {
        if works(&machine.step(checked(0, false), at)) == [&Work::Fetch] {
            machine.step(fetched(1, false), at);
        }
        machine.is_looking()
    };
    let just_before = NOW.after(half - Duration::from_secs(1));
    assert!(!looks(&mut machine, just_before));
    assert!(looks(&mut machine, NOW.after(whole)));
    let read = NOW.after(whole);
    machine.step(Event::Looked(Ok(())), read);
    assert!(!looks(&mut machine, read.after(half - Duration::from_secs(1))));
    assert!(looks(&mut machine, read.after(whole)));
}

#[test]
fn while_the_list_of_contacts_is_read_news_come_as_ever() {
    let mut machine = machine();
    machine.step(Event::Found(Found { is_roster_loaded: false, keys: None, ..resumed() }), NOW);
    assert_eq!(works(&machine.step(Event::Opened(Ok(keys(1))), NOW)), [&Work::LoadRoster]);
    // The first reading may take a moment, and no longer.
    assert_eq!(works(&machine.step(Event::RosterLoaded(Err(Fault::TimedOut)), NOW)), [&Work::Check]);
    assert_eq!(works(&machine.step(checked(0, false), NOW)), [&Work::Check]);
    assert!(machine.is_looking());
    for at in 2..9 {
        assert_eq!(works(&machine.step(checked(0, true), NOW)), [&Work::Fetch]);
        assert_eq!(works(&machine.step(fetched(at, true), NOW)), [&Work::Commit]);
        assert_eq!(works(&machine.step(Event::Committed(Ok(())), NOW)), [&Work::Check]);
        assert!(machine.is_looking());
    }
    // What became of it interrupts nothing; a change that overtook it has it read again soon.
    assert!(machine.step(Event::Looked(Err(Fault::Superseded)), NOW).is_empty());
    let soon = NOW.after(Timings::default().retry_cap);
    machine.step(checked(0, false), soon);
    assert!(machine.is_looking() && matches!(machine.health(), Health::Limited { .. }));
    assert!(machine.step(Event::Looked(Ok(())), soon).is_empty());
    assert_eq!((machine.is_looking(), machine.health()), (false, Health::Up));
    machine.step(checked(0, false), soon);
    assert!(!machine.is_looking(), "there is no hurry any more");
}

/// Online, and the list of contacts could not be read before the news.
fn without_list() -> Machine {
    let mut machine = machine();
    machine.step(Event::Found(Found { is_roster_loaded: false, keys: None, ..resumed() }), NOW);
    machine.step(Event::Opened(Ok(keys(1))), NOW);
    assert_eq!(works(&machine.step(Event::RosterLoaded(Err(Fault::TimedOut)), NOW)), [&Work::Check]);
    machine
}

#[test]
fn a_worse_trouble_is_told_over_a_lesser_one_and_an_interruption_that_nobody_is_told_of_is_neither() {
    let mut machine = without_list();
    let lesser = machine.health();
    assert!(matches!(&lesser, Health::Limited { why } if why.contains("not affected")), "{lesser:?}");
    // A moment's interruption.
    machine.step(checked(0, true), NOW);
    machine.step(Event::Fetched(Err(Fault::Network)), NOW);
    assert_eq!((matches!(machine.state, State::Offline { .. }), machine.health()), (true, lesser.clone()));
    machine.step(Event::Waited, NOW);
    assert_eq!(machine.health(), lesser);
    // One that lasts.
    let mut told = machine.health();
    for _ in 0..20 {
        machine.step(Event::Fetched(Err(Fault::Network)), NOW);
        machine.step(Event::Waited, NOW);
        assert!(machine.health() == told || machine.health().is_news_after(&told));
        told = machine.health();
    }
    assert!(matches!(told, Health::Degraded { .. }), "{told:?}");
    machine.step(fetched(1, false), NOW);
    assert_eq!(machine.health(), lesser, "that messages pass again is news as well");
    // Polls that say nothing are worse than names that are missing.
    for _ in 0..20 {
        machine.step(Event::Checked(Err(Fault::Network)), NOW);
        machine.step(Event::Waited, NOW);
        machine.step(fetched(1, false), NOW);
    }
    assert!(matches!(machine.health(), Health::Degraded { .. }), "{:?}", machine.health());
}

#[test]
fn a_list_that_is_missing_is_read_though_it_is_never_quiet() {
    let mut machine = without_list();
    assert!(machine.is_looking(), "at once");
    machine.step(Event::Looked(Err(Fault::Network)), NOW);
    let later = NOW.after(Timings::default().unasked_sync);
    // The line cuts every poll, and there is news in each sync.
    assert_eq!(works(&machine.step(Event::Checked(Err(Fault::Network)), later)), [&Work::Fetch]);
    assert_eq!(works(&machine.step(fetched(2, true), later)), [&Work::Commit]);
    assert!(machine.is_looking());
}

#[test]
fn whoever_turns_up_while_the_first_list_is_read_has_it_read_again() {
    let mut machine = without_list();
    machine.step(checked(0, true), NOW);
    let fetched = Fetched { keys: keys(2), has_content: true, more: false, has_unlisted: true };
    machine.step(Event::Fetched(Ok(fetched)), NOW);
    machine.step(Event::Committed(Ok(())), NOW);
    machine.step(Event::Looked(Ok(())), NOW);
    assert_eq!(machine.health(), Health::Up);
    machine.step(checked(0, false), NOW.after(Timings::default().unasked_sync));
    assert!(machine.is_looking());
}

#[test]
fn a_list_that_changes_all_the_time_is_read_alone() {
    let mut machine = without_list();
    let mut now = NOW;
    for _ in 0..=OVERTAKEN_ALLOWED {
        assert!(machine.is_looking());
        machine.step(Event::Looked(Err(Fault::Superseded)), now);
        now = now.after(Timings::default().retry_cap);
        machine.step(checked(0, true), now);
        machine.step(fetched(2, true), now);
        let next = machine.step(Event::Committed(Ok(())), now);
        let is_alone = works(&next) == [&Work::LookAlone];
        assert_ne!(machine.is_looking(), is_alone);
    }
    assert!(!machine.is_looking());
    assert_eq!(works(&machine.step(Event::RosterLoaded(Ok(())), now)), [&Work::Check]);
    assert_eq!(machine.health(), Health::Up);
}

#[test]
fn a_poll_that_breaks_after_an_absence_is_the_first_that_breaks() {
    let mut machine = online();
    machine.step(checked(0, true), NOW);
    machine.step(Event::Fetched(Err(Fault::Network)), NOW);
    for _ in 0..9 {
        assert_eq!(works(&machine.step(Event::Waited, NOW)), [&Work::Fetch]);
        machine.step(Event::Fetched(Err(Fault::Network)), NOW);
    }
    machine.step(Event::Waited, NOW);
    machine.step(fetched(1, false), NOW);
    assert_eq!(works(&machine.step(Event::Checked(Err(Fault::Network)), NOW)), [&Work::Fetch], "no pause");
    assert_eq!(machine.health(), Health::Up);
}

#[test]
fn a_session_that_ends_while_the_list_is_read_takes_no_list() {
    let mut machine = online();
    let later = NOW.after(Timings::default().reread_roster);
    machine.step(checked(0, false), later);
    assert!(machine.is_looking());
    machine.step(fetched(1, false), later);
    over(1101).into_iter().for_each(|event| drop(machine.step(event, later)));
    assert!(!machine.is_looking());
    assert!(machine.step(Event::Looked(Ok(())), later).is_empty());
    assert_eq!(machine.state, State::Reviving);
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
    let quiet = |machine: &mut Machine, at: Timestamp| {
        machine.step(checked(0, false), at);
        machine.is_looking()
    };
    assert!(quiet(&mut machine, NOW));
    machine.step(Event::Looked(Ok(())), NOW);
    speak(&mut machine, NOW);
    assert!(!quiet(&mut machine, NOW), "one was just read");
    let later = NOW.after(Timings::default().unasked_sync);
    assert!(quiet(&mut machine, later));
    machine.step(fetched(2, false), later);
    // Who turns up while it is read may have come too late for it.
    speak(&mut machine, later);
    machine.step(Event::Looked(Ok(())), later);
    assert!(!quiet(&mut machine, later));
    let later = later.after(Timings::default().unasked_sync);
    assert!(quiet(&mut machine, later));
    machine.step(Event::Looked(Err(Fault::TimedOut)), later);
    assert_eq!(machine.health(), Health::Up, "the list that was read stands");
}

#[test]
fn item_29_a_stored_key_is_older_than_a_new_opening_and_wins() {
    let mut machine = machine();
    machine.step(Event::Found(Found { is_roster_loaded: false, ..resumed() }), NOW);
    machine.step(Event::Opened(Ok(keys(50))), NOW);
    assert_eq!(machine.keys(), Some(&keys(1)));
}
