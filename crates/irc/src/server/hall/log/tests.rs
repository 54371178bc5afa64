use super::*;
use crate::server::hall::State;

fn entry(at: i64, author: &Owner) -> Entry {
    let event = Event {
        prefix: "ann!~ann@wxgate".to_owned(),
        account: None,
        is_bot: false,
        at: Timestamp(at),
        msgid: at.to_string(),
        tags: String::new(),
        body: "x".repeat(1000),
    };
    Entry { event, said: None, author: author.clone(), is_redacted: false }
}

#[test]
fn all_that_is_remembered_is_bounded_and_the_longest_silence_goes_first() {
    let (ann, max) = (Owner::Guest(UserId(0)), 400_000);
    let mut state = State::default();
    for at in 0..1000_i64 {
        let entry = entry(at, &ann);
        state.make_room(&entry, max);
        // One query goes on all the time.
        let other = if at % 20 == 0 { 1 } else { 2 + at.unsigned_abs() / 10 };
        state.queries.push(ann.clone(), Owner::Guest(UserId(other)), entry);
        let bytes: usize = state.queries.logs.values().map(|log| log.bytes).sum();
        assert!(bytes <= max + max / 4 + 2000, "{bytes}");
    }
    let has =
        |state: &mut State, other| state.queries.get(ann.clone(), Owner::Guest(UserId(other))).is_some();
    assert!(has(&mut state, 1) && has(&mut state, 101) && !has(&mut state, 2));
}

#[test]
fn what_a_guest_said_is_theirs_when_they_say_who_they_are() {
    let (guest, bob) = (Owner::Guest(UserId(1)), Owner::Guest(UserId(2)));
    let account = Owner::Account("ann".to_owned());
    let mut state = State::default();
    state.queries.push(guest.clone(), bob.clone(), entry(2, &guest));
    state.queries.push(account.clone(), bob.clone(), entry(1, &account));
    state.owned_by(UserId(1), "ann");
    assert!(state.queries.get(guest, bob.clone()).is_none());
    let log = state.queries.get(account.clone(), bob).unwrap();
    let kept: Vec<_> = log.entries.iter().map(|entry| (entry.event.at.ms(), entry.author.clone())).collect();
    assert_eq!(kept, [(1, account.clone()), (2, account)]);
}
