//! What must hold at any moment, and in the end.

use super::*;
use crate::chinese::in_chinese;

impl World {
    /// Whatever the machine shows must fit what it does.
    pub(in crate::session::machine::sim) fn look_at(&mut self, machine: &Machine) -> Result<(), String> {
        let stands = machine.standing() == Standing::Online;
        if stands != (machine.state == State::Online) {
            return Err(format!("{:?} stands as {:?}", machine.state, machine.standing()));
        }
        self.was_online = stands;
        let health = machine.health();
        if !health.detail().is_empty() && health.detail() != BARRED && in_chinese(health.detail()).is_none() {
            return Err(format!("not said in Chinese: {}", health.detail()));
        }
        self.tell(machine, health)?;
        if self.codes > (self.wishes + 1) * MAX_CODES {
            return Err(format!("{} codes for {} wishes", self.codes, self.wishes));
        }
        // One question to the phone for each session that ended, and one more after each start and each wish.
        if self.pushes > self.ends + self.restarts + self.wishes {
            return Err(format!("{} questions to the phone for {} ends", self.pushes, self.ends));
        }
        Ok(())
    }

    /// Whether this may be asked of the service now.
    pub(super) fn may(&self, work: &Work) -> Result<(), String> {
        if !self.is_wanted && !matches!(work, Work::Leave) {
            return Err(format!("{work:?} of an account that its owner signed out"));
        }
        if self.phone_left && matches!(work, Work::AskPhone) {
            return Err("the phone that had just signed the account out was asked to sign it in".to_owned());
        }
        Ok(())
    }

    /// The owner is told that the account is out when it goes out, and not again for the same reason. Whoever is refused
    /// is told what the service said, and rests: what may leave that is for the run to see.
    fn tell(&mut self, machine: &Machine, health: Health) -> Result<(), String> {
        if let Some(words) = self.said_no.take() {
            let is_told = matches!(&health, Health::Down { why } if why.contains(words));
            if !is_told || !matches!(machine.state, State::Refused { .. }) {
                return Err(format!("refused with {words:?}, it is {:?}, {health:?}", machine.state));
            }
        }
        let is_out = |health: &Health| health.is_signed_out() || matches!(health, Health::Down { .. });
        if is_out(&health) && (!is_out(&self.shown) || self.shown != health) {
            self.outs += 1;
        }
        self.shown = health;
        match self.outs > self.reasons {
            true => Err(format!("told {} times that it is out, for {} reasons", self.outs, self.reasons)),
            false => Ok(()),
        }
    }

    pub(super) fn useless(&mut self) -> Result<(), String> {
        self.useless.push_back(self.now);
        while self.useless.front().is_some_and(|at| self.now - *at > Duration::from_secs(60)) {
            self.useless.pop_front();
        }
        match self.useless.len() > USELESS_PER_MINUTE {
            true => Err(format!(
                "{} requests in a minute that brought nothing, {:?}",
                self.useless.len(),
                self.mood
            )),
            false => Ok(()),
        }
    }

    /// When all has been well for long: it is online, and has everything that its session was for.
    pub(in crate::session::machine::sim) fn judge(&self, machine: &Machine) -> Result<Sum, String> {
        let health = machine.health();
        if machine.state != State::Online || health != Health::Up {
            return Err(format!("after hours in which all was well it is {:?}, {health:?}", machine.state));
        }
        let Some(session) = &self.session else { return Err("it is online without a session".to_owned()) };
        let have: Vec<usize> =
            self.committed.iter().copied().filter(|message| *message >= session.from).collect();
        let first = have.first().copied().unwrap_or(session.from);
        if first != session.from && !have.is_empty() {
            return Err(format!("the session began at {} and the first message is {first}", session.from));
        }
        if let Some(gap) = have.windows(2).find(|pair| pair[1] != pair[0] + 1) {
            return Err(format!("between {} and {} something is missing", gap[0], gap[1]));
        }
        // The last ones may be on their way.
        let missing = self.log - session.from - have.len();
        if missing > 2 * PAGE {
            return Err(format!("{missing} messages of the session never came"));
        }
        Ok(Sum {
            said: self.log,
            committed: self.committed.len(),
            requests: self.requests,
            logins: self.logins,
            restarts: self.restarts,
        })
    }
}
