//! What others see of the state: health for people, standing for sends.

use wxgate_contract::Health;

use super::{Machine, Standing, State};

/// Attempts to come back that do not yet count as "degraded" for people: a dropped poll is
/// nothing to look at. Chosen.
const QUIET_ATTEMPTS: u32 = 1;

/// Tries to open a session that are nothing to look at yet. Chosen.
const QUIET_TRIES: u32 = 2;

impl Machine {
    /// A function of the state, not a second truth.
    pub(crate) fn health(&self) -> Health {
        let needs = |step: &str| Health::NeedsHuman { step: step.to_owned() };
        let degraded = |why: &str| Health::Degraded { why: why.to_owned() };
        match &self.state {
            State::SignedOut | State::Leaving { .. } => needs("sign the account in"),
            State::FetchingQr | State::AwaitingScan { .. } => needs("scan the code with the phone"),
            State::AwaitingConfirm { .. } => needs("confirm the sign-in on the phone"),
            State::Opening { tries, .. } if *tries > QUIET_TRIES => {
                degraded("WeChat does not open the session; still trying")
            }
            State::Entering { .. } | State::Opening { .. } | State::Resuming { attempt: 0 } => {
                Health::Starting
            }
            State::Online => match &self.store_trouble {
                Some(why) => degraded(&format!("nothing can be stored: {why}")),
                None if self.roster_due.is_some() => degraded(
                    "WeChat's list of contacts cannot be read, names may be missing; messages are not affected; \
                     still trying",
                ),
                None => Health::Up,
            },
            State::Offline { attempt } | State::Resuming { attempt } if *attempt <= QUIET_ATTEMPTS => {
                degraded("the connection to WeChat was interrupted")
            }
            State::Offline { .. } | State::Resuming { .. } => {
                degraded("WeChat cannot be reached, or its answers cannot be read; still trying")
            }
            State::Reviving => degraded("the session ended; asking the phone"),
            State::Ended { why } => needs(&format!("sign the account in again: {why}")),
            State::Refused { why } => Health::Down { why: why.clone() },
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        let away = |why: &str| Standing::Away { why: why.to_owned() };
        match &self.state {
            State::Online => Standing::Online,
            State::Opening { .. } | State::Entering { .. } => away("the account is just signing in"),
            State::Offline { .. } | State::Resuming { .. } => away("the connection to WeChat is interrupted"),
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
