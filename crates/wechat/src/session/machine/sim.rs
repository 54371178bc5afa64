//! The machine against a played service, under seeds. One number decides what is said, how the service and the
//! network misbehave, whether it wants the account at all, when the program dies, the computer sleeps and its clock is set,
//! and what the owner does, here and on the phone; time is a number, so that a day passes in no time and a seed can be had
//! again. `cargo xtask test sim` plays thousands; `--seed N` plays one again.

mod world;

use rand::{Rng, SeedableRng};

use super::*;
use world::World;

/// How long it may misbehave, and how long all is well afterwards.
const TROUBLE: Duration = Duration::from_secs(6 * 3600);
const CALM: Duration = Duration::from_secs(2 * 3600);
/// Requests that bring nothing, in any minute. Chosen: a person who presses "again" all the time does as much.
const USELESS_PER_MINUTE: usize = 40;

/// What a run came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    said: usize,
    committed: usize,
    requests: usize,
    logins: u32,
    restarts: u32,
}

/// Plays one seed.
fn play(seed: u64) -> Result<Sum, String> {
    let mut world = World::new(seed);
    let mut machine = world.start();
    let mut actions = machine.step(Event::Found(world.found()), world.now());
    loop {
        let mut work = None;
        for action in std::mem::take(&mut actions) {
            match action {
                Action::Cancel => work = None,
                Action::Run(next) => work = Some(next),
                Action::Forget(ending) => world.forget(Some(ending)),
                Action::Tell(_) => {}
            }
        }
        world.look_at(&machine)?;
        if world.is_over(CALM) {
            break;
        }
        world.be_calm_after(TROUBLE);
        if world.dies() {
            let ended = matches!(machine.state, State::Ended { .. } | State::Refused { .. });
            let told = ended.then(|| machine.health());
            machine = world.start();
            actions = machine.step(Event::Found(world.found()), world.now());
            if told.as_ref().is_some_and(|told| *told != machine.health()) {
                return Err(format!("{told:?} became {:?} at a restart", machine.health()));
            }
            continue;
        }
        if let Some(event) = world.looks_beside(&machine)
            && !machine.step(event, world.now()).is_empty()
        {
            return Err("reading the list of contacts came between".to_owned());
        }
        let event = world.carry_out(work, machine.keys().cloned())?;
        let is_wish = matches!(event, Event::SignIn | Event::SignOut);
        let before = machine.state.clone();
        actions = machine.step(event.clone(), world.now());
        let rests = matches!(before, State::Ended { .. } | State::Refused { .. } | State::SignedOut);
        if rests && machine.state != before && !is_wish {
            return Err(format!("{before:?} was left by {event:?}"));
        }
        // A wish that changes nothing leaves the work running.
        if is_wish && actions.iter().all(|action| matches!(action, Action::Tell(_))) {
            actions.extend(world.goes_on());
        }
    }
    world.judge(&machine)
}

/// A number from the environment, for runs by hand.
fn given(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn simulated_sessions_come_back_lose_nothing_and_are_gentle() {
    let (first, count) = match given("WXGATE_SEED") {
        Some(seed) => (seed, 1),
        None => (0, given("WXGATE_SIM_SEEDS").unwrap_or(150)),
    };
    let mut sum = Sum::default();
    for seed in first..first + count {
        let one = play(seed).unwrap_or_else(|wrong| panic!("WXGATE_SEED={seed}: {wrong}"));
        sum.said += one.said;
        sum.committed += one.committed;
        sum.requests += one.requests;
        sum.logins += one.logins;
        sum.restarts += one.restarts;
    }
    println!("simulated: {count} seeds of a session, {sum:?}");
    assert!(count == 1 || (sum.committed > 0 && sum.restarts > 0), "nothing happened: {sum:?}");
}

#[test]
fn simulated_a_seed_is_always_the_same_run() {
    for seed in 0..10 {
        assert_eq!(play(seed), play(seed), "WXGATE_SEED={seed}");
    }
}
