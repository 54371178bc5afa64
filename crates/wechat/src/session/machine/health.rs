//! What others see of the state: health for people, standing for sends.

use wxgate_contract::Health;

use wechat_proto::{Reaction, RetCode};

use super::sign_in::LEFT_ALONE;
use super::{Fault, Machine, Standing, State};

/// Attempts to come back that do not yet count as "degraded" for people: a dropped poll is
/// nothing to look at, and nobody is told twice a day that it happened. Chosen: some five seconds.
const QUIET_ATTEMPTS: u32 = 3;
/// Polls in a row that said nothing useful before it is told that news come late. Chosen.
const QUIET_POLLS: u32 = 5;

/// Tries to open a session that are nothing to look at yet. Chosen.
const QUIET_TRIES: u32 = 2;

impl Machine {
    /// A function of the state, not a second truth.
    pub(crate) fn health(&self) -> Health {
        let needs = |step: &str| Health::NeedsHuman { step: step.to_owned() };
        let degraded = |why: &str| Health::Degraded { why: why.to_owned() };
        match &self.state {
            State::SignedOut | State::Leaving { .. } => Health::signed_out(None),
            State::FetchingQr | State::AwaitingScan { .. } => needs("scan the code with the phone"),
            State::AwaitingConfirm { is_push: true, .. } if self.over.is_some() => {
                needs(&format!("{}; confirm the sign-in on the phone", self.end_in_words()))
            }
            State::AwaitingConfirm { .. } => needs("confirm the sign-in on the phone"),
            State::Opening { .. } if self.is_left_alone() => degraded(LEFT_ALONE),
            State::Opening { tries, .. } if *tries > QUIET_TRIES => {
                degraded("WeChat does not open the session; still trying")
            }
            State::Entering { .. } | State::Opening { .. } | State::Resuming { attempt: 0 } => {
                Health::Starting
            }
            State::Online
                if self.store_trouble.is_none() && self.trouble.is_some() && self.faults > QUIET_POLLS =>
            {
                degraded("WeChat does not say when there is news; messages come up to a minute late")
            }
            State::Online => self.while_it_stands(),
            State::Offline { attempt } | State::Resuming { attempt }
                if *attempt <= self.quiet_attempts() && !self.is_left_alone() =>
            {
                match self.was_online {
                    true => self.while_it_stands(),
                    false => Health::Starting,
                }
            }
            State::Offline { .. } | State::Resuming { .. } => degraded(&self.trouble_in_words()),
            // A moment: what the phone says is told.
            State::Reviving if self.faults <= QUIET_TRIES => Health::Starting,
            State::Reviving => {
                degraded(&format!("{}; the phone cannot be asked yet, still trying", self.end_in_words()))
            }
            State::Ended { why } => Health::signed_out(Some(why)),
            State::Refused { why } => Health::Down { why: why.clone() },
        }
    }

    /// What lasts over an interruption that nobody is told of.
    fn while_it_stands(&self) -> Health {
        match &self.store_trouble {
            Some(why) => Health::Degraded { why: format!("nothing can be stored: {why}") },
            None if self.lacks_roster => Health::Limited {
                why: "WeChat's list of contacts cannot be read, names may be missing; messages are not affected; \
                      still trying"
                    .to_owned(),
            },
            None => Health::Up,
        }
    }

    /// Attempts to come back that nobody is told of.
    pub(super) fn quiet_attempts(&self) -> u32 {
        QUIET_ATTEMPTS << self.restless
    }

    /// The service said "too much": the pause is a long one, and not a moment's interruption.
    pub(super) fn is_left_alone(&self) -> bool {
        matches!(&self.trouble, Some(Fault::Ret(ret, _)) if ret.reaction() == Reaction::SlowDown)
    }

    /// How the session ended, as a clause for people. Which code means what is disputed, so nothing is claimed that
    /// the other sources deny. Source: the protocol sheet, section 5.4 (table).
    pub(super) fn end_in_words(&self) -> &'static str {
        match self.over {
            Some(RetCode::NotLoggedIn) => "the phone signed this account out",
            Some(RetCode::SessionInvalid) => {
                "WeChat ended the session: the account was opened on another computer, or signed out on the phone"
            }
            _ => "WeChat ended the session",
        }
    }

    /// Why it is offline, as a clause for people.
    fn trouble_in_words(&self) -> String {
        match &self.trouble {
            _ if self.is_left_alone() => LEFT_ALONE.to_owned(),
            Some(Fault::Ret(ret, _)) => format!("WeChat answers with {ret}; still trying"),
            Some(Fault::Garbled) => "WeChat's answers cannot be read; still trying".to_owned(),
            Some(Fault::TimedOut) => "WeChat does not answer in time; still trying".to_owned(),
            Some(Fault::Store(why)) => format!("nothing can be stored: {why}"),
            Some(Fault::Network | Fault::Superseded) | None => {
                "WeChat cannot be reached; still trying".to_owned()
            }
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        let away = |why: &str| Standing::Away { why: why.to_owned() };
        match &self.state {
            State::Online => Standing::Online,
            State::Opening { .. } if self.is_left_alone() => away(LEFT_ALONE),
            State::Opening { .. } | State::Entering { .. } => away("the account is just signing in"),
            State::Offline { .. } | State::Resuming { .. } if self.trouble.is_some() => {
                Standing::Away { why: self.trouble_in_words() }
            }
            State::Offline { .. } | State::Resuming { .. } => away("the account is just starting"),
            State::Ended { why } => Standing::Out { why: format!("WeChat is signed out: {why}") },
            State::Refused { why } => Standing::Out { why: format!("WeChat refused the account: {why}") },
            State::SignedOut
            | State::Leaving { .. }
            | State::FetchingQr
            | State::AwaitingScan { .. }
            | State::AwaitingConfirm { .. }
            | State::Reviving => Standing::Out { why: "WeChat is signed out".to_owned() },
        }
    }
}
