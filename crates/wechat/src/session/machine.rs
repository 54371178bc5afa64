//! What a session does next: pure, time and randomness are arguments.
//!
//! Events come from the driver, actions go to it. At any moment at most one piece of work runs
//! (a request of the sync road, a commit, or a wait), so that two syncs can never overlap. Beside it
//! the list of contacts is read again ([`Machine::is_looking`]). Sends and downloads do not pass here;
//! they need only to know whether the session stands ([`Machine::standing`]).

mod health;
mod online;
mod sign_in;
mod words;

use std::time::Duration;

use rand::{Rng, rngs::SmallRng};
use wechat_proto::RetCode;
use wxgate_contract::{SignInStep, Timestamp};

use crate::config::Timings;
pub(crate) use words::{
    Action, Checked, Ending, Entry, Event, Fault, Fetched, Found, Keys, Phone, Standing, Work,
};

/// Codes shown per sign-in before it waits for somebody to ask again: about half an hour. An
/// unattended screen must not look like a login farm. Chosen.
const MAX_CODES: u32 = 5;
/// Faults in a row that end a sign-in (not a session): some ten minutes with the default cap. Chosen.
const MAX_SIGN_IN_FAULTS: u32 = 20;
/// "It is over" from polls whose sync says the opposite, in a row, before it is believed. Chosen.
const MAX_STRIKES: u32 = 5;
/// Syncs in a row because of `ContinueFlag`. Source: the protocol sheet, section 2.12.
const MAX_ROUNDS: u32 = 20;
/// Empty syncs in a row before they are spaced. Source: the protocol sheet, section 2.11 ("N"). Chosen.
const EMPTY_ALLOWED: u32 = 2;
/// Readings of the list in a row that changes may overtake; the next one holds up the news. Chosen.
const OVERTAKEN_ALLOWED: u32 = 2;
/// Syncs in a row that cannot be read before one takes what it can. The first ones may have been cut off, or be those of
/// a proxy; an answer whose JSON is broken is none even then. Chosen.
const GARBLED_ALLOWED: u32 = 2;
/// Polls in a row that were no long polls before they are spaced. Chosen.
const QUICK_ALLOWED: u32 = 5;
/// Online for this long, a line counts as a steady one again. Chosen.
const STEADY: Duration = Duration::from_secs(600);
/// Away for less than this, a session has not expired by itself. Chosen: half of what its cookies live.
/// Source: the protocol sheet, section 2.1.5.
const EXPIRES: Duration = Duration::from_secs(6 * 3600);
/// Each interruption that was told doubles what the next one may last untold, so often. Chosen: five seconds, most of a
/// minute, some minutes; longer ones are told however often they come.
const MAX_RESTLESS: u32 = 2;
/// Why a session is none that is sealed with another key.
const SEALED: &str =
    "the stored session is sealed with another key; or put that seal key back and start the gateway anew";

/// Where the account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing to resume, and nobody asked.
    SignedOut,
    /// Being signed out for good; `again` when somebody already asks to sign in.
    Leaving {
        again: bool,
    },
    FetchingQr,
    AwaitingScan {
        uuid: String,
        polled: bool,
    },
    AwaitingConfirm {
        uuid: String,
        is_push: bool,
        since: Timestamp,
        polled: bool,
    },
    Entering {
        redirect: url::Url,
        tries: u32,
    },
    Opening {
        is_open: bool,
        tries: u32,
    },
    Online,
    Offline {
        attempt: u32,
    },
    Resuming {
        attempt: u32,
    },
    Reviving,
    /// Needs a human.
    Ended {
        why: String,
    },
    /// The service does not want this account here.
    Refused {
        why: String,
    },
}

impl Ending {
    fn state(self) -> State {
        match self.is_refused {
            true => State::Refused { why: self.why },
            false => State::Ended { why: self.why },
        }
    }
}

/// The machine of one account.
#[derive(Debug)]
pub(crate) struct Machine {
    state: State,
    timings: Timings,
    rng: SmallRng,
    /// A piece of work runs.
    is_busy: bool,
    /// Somebody asked to sign in, so a code may be shown.
    is_asked: bool,
    /// Since when.
    asked_at: Timestamp,
    codes: u32,
    keys: Option<Keys>,
    /// The keys of a sync that is not committed yet.
    next_keys: Option<Keys>,
    /// Number of the account that this one belongs to, once it ever signed in.
    uin: Option<i64>,
    /// Faults in a row.
    faults: u32,
    /// The last of them, for people.
    trouble: Option<Fault>,
    /// The session that is being opened was found at the start: nobody just signed in.
    is_found: bool,
    /// Was online since the session was opened or found: a short interruption is nothing to look at.
    was_online: bool,
    /// Since when it is, or last was.
    online_since: Timestamp,
    /// Interruptions that were told lately: a line that comes and goes is not told of each time.
    restless: u32,
    /// "Over" that was said and is not confirmed yet.
    doubt: Option<RetCode>,
    /// What the service said when the session ended, from then on: people are told.
    over: Option<RetCode>,
    strikes: u32,
    empty: u32,
    quick: u32,
    rounds: u32,
    /// Syncs in a row that could not be read.
    garbled: u32,
    more: bool,
    asked_by_poll: bool,
    store_trouble: Option<String>,
    last_fetch: Timestamp,
    /// When the roster is read again: because it did not load, because somebody is not in it, or because it is old.
    roster_due: Option<Timestamp>,
    /// It did not load yet.
    lacks_roster: bool,
    /// When it was read last while online.
    reread_at: Option<Timestamp>,
    /// It is being read, beside the work.
    is_looking: bool,
    /// How often in a row a change overtook the reading.
    overtaken: u32,
    /// The work waits for the next reading.
    looks_alone: bool,
    /// What those who follow the sign-in see; `None` when none is under way.
    step: Option<SignInStep>,
}

impl Machine {
    pub(crate) fn new(timings: Timings, rng: SmallRng) -> Self {
        Self {
            state: State::SignedOut,
            timings,
            rng,
            is_busy: false,
            is_asked: false,
            asked_at: Timestamp(0),
            codes: 0,
            keys: None,
            next_keys: None,
            uin: None,
            faults: 0,
            trouble: None,
            is_found: false,
            was_online: false,
            online_since: Timestamp(0),
            restless: 0,
            doubt: None,
            over: None,
            strikes: 0,
            empty: 0,
            quick: 0,
            rounds: 0,
            garbled: 0,
            more: false,
            asked_by_poll: false,
            store_trouble: None,
            last_fetch: Timestamp(0),
            roster_due: None,
            lacks_roster: false,
            reread_at: None,
            is_looking: false,
            overtaken: 0,
            looks_alone: false,
            step: None,
        }
    }

    /// The keys as last committed.
    pub(crate) fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// Whether the list of contacts is to be read beside the work, until [`Event::Looked`] says what came of it. What is
    /// under way ends where this does.
    pub(crate) fn is_looking(&self) -> bool {
        self.is_looking
    }

    /// Takes one event and says what to do. Events that fit no running work are ignored.
    pub(crate) fn step(&mut self, event: Event, now: Timestamp) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Found(found) => self.found(found, &mut out),
            Event::SignIn => self.asked(now, &mut out),
            Event::SignOut => self.sign_out(&mut out),
            Event::Looked(done) => self.looked(&done, now),
            answer if !self.is_busy => drop(answer),
            answer => {
                self.is_busy = false;
                self.answered(answer, now, &mut out);
            }
        }
        out
    }

    fn answered(&mut self, answer: Event, now: Timestamp, out: &mut Vec<Action>) {
        match &answer {
            Event::Fetched(Ok(_)) => self.garbled = 0,
            Event::Fetched(Err(Fault::Garbled)) => self.garbled = self.garbled.saturating_add(1),
            _ => {}
        }
        match (self.state.clone(), answer) {
            (State::Leaving { again }, Event::Left) => {
                self.state = State::SignedOut;
                if again {
                    self.asked(now, out);
                }
            }
            (State::FetchingQr | State::Reviving, answer) => self.ticket(answer, now, out),
            (State::AwaitingScan { .. } | State::AwaitingConfirm { .. }, answer) => {
                self.phone(answer, now, out);
            }
            (State::Entering { redirect, tries }, answer) => self.entering(redirect, tries, answer, out),
            (State::Opening { tries, .. }, answer) => self.opening(tries, answer, now, out),
            (State::Online, answer) => self.online(answer, now, out),
            (State::Offline { attempt }, Event::Waited) => {
                self.state = State::Resuming { attempt };
                self.fetch(out);
            }
            (State::Resuming { attempt }, answer) => self.resuming(attempt, answer, now, out),
            // Nothing runs in the other states, and no other answer fits these.
            _ => {}
        }
    }

    fn found(&mut self, found: Found, out: &mut Vec<Action>) {
        self.uin = found.uin;
        if found.is_sealed {
            self.state = State::Ended { why: SEALED.to_owned() };
        }
        if !found.has_session {
            if let Some(ending) = found.ending {
                self.state = ending.state();
            }
            return;
        }
        self.keys = found.keys;
        if self.keys.is_some() && found.is_roster_loaded {
            self.state = State::Resuming { attempt: 0 };
            self.fetch(out);
        } else {
            self.is_found = true;
            self.state = State::Opening { is_open: false, tries: 0 };
            self.run(Work::Open, out);
        }
    }

    fn sign_out(&mut self, out: &mut Vec<Action>) {
        if self.is_busy {
            out.push(Action::Cancel);
        }
        self.forget_session();
        self.is_asked = false;
        if self.step.is_some() {
            self.tell(SignInStep::Failed { why: "the account was signed out".to_owned() }, out);
        }
        self.state = State::Leaving { again: false };
        self.run(Work::Leave, out);
    }

    fn forget_session(&mut self) {
        self.keys = None;
        self.next_keys = None;
        self.doubt = None;
        self.store_trouble = None;
        (self.roster_due, self.lacks_roster, self.reread_at, self.is_looking) = (None, false, None, false);
        (self.overtaken, self.looks_alone) = (0, false);
        self.trouble = None;
        self.garbled = 0;
        (self.is_found, self.was_online) = (false, false);
        (self.faults, self.strikes, self.empty, self.quick, self.rounds) = (0, 0, 0, 0, 0);
    }

    /// The session is gone for good; a human must do something.
    fn end(&mut self, why: impl Into<String>, out: &mut Vec<Action>) {
        self.close(Ending { why: why.into(), is_refused: false }, out);
    }

    fn refuse(&mut self, why: impl Into<String>, out: &mut Vec<Action>) {
        self.close(Ending { why: why.into(), is_refused: true }, out);
    }

    fn close(&mut self, ending: Ending, out: &mut Vec<Action>) {
        self.forget_session();
        self.is_asked = false;
        out.push(Action::Forget(ending.clone()));
        if self.step.is_some() {
            self.tell(SignInStep::Failed { why: ending.why.clone() }, out);
        }
        self.state = ending.state();
    }

    fn run(&mut self, work: Work, out: &mut Vec<Action>) {
        self.is_busy = true;
        out.push(Action::Run(work));
    }

    fn wait(&mut self, wait: Duration, out: &mut Vec<Action>) {
        self.run(Work::Wait(wait.min(self.timings.retry_cap)), out);
    }

    /// Tells those who follow the sign-in; a sign-in is over after `Done` and `Failed`.
    fn tell(&mut self, step: SignInStep, out: &mut Vec<Action>) {
        let is_over = matches!(step, SignInStep::Done | SignInStep::Failed { .. });
        self.step = (!is_over).then(|| step.clone());
        out.push(Action::Tell(step));
    }

    /// The service wants to be left alone for a while.
    fn slow_down(&mut self, out: &mut Vec<Action>) {
        self.faults = self.faults.saturating_add(1);
        let wait = self.jittered(self.timings.slow_down);
        self.run(Work::Wait(wait), out);
    }

    /// One more fault in a row: says how long to wait, jittered, never above the cap.
    fn back_off(&mut self) -> Duration {
        self.faults = self.faults.saturating_add(1);
        let doublings = self.faults.saturating_sub(1).min(16);
        let full = self.timings.retry_first.saturating_mul(1 << doublings).min(self.timings.retry_cap);
        self.jittered(full)
    }

    /// Between half and all of it.
    fn jittered(&mut self, full: Duration) -> Duration {
        let full_us = u64::try_from(full.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.rng.random_range(full_us / 2..=full_us))
    }
}

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
