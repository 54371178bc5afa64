//! The phone: what its owner does with a QR code.

use std::collections::HashSet;

use crate::login::Step;
use crate::world::World;

impl World {
    fn attempt(&self, uuid: &str) -> Result<std::sync::Arc<crate::login::Attempt>, String> {
        self.0
            .attempts
            .find(uuid, self.now_ms())
            .ok_or_else(|| format!("there is no login with uuid '{uuid}'"))
    }

    /// The owner of `account` scans the code.
    ///
    /// # Errors
    /// When there is no such code or account, or the code is past scanning.
    pub fn scan(&self, uuid: &str, account: &str) -> Result<(), String> {
        let attempt = self.attempt(uuid)?;
        let account = self.account(account)?;
        {
            let mut state = attempt.state();
            if !matches!(state.step, Step::Waiting) {
                return Err(format!("login '{uuid}' cannot be scanned any more"));
            }
            state.account = Some(account);
            state.step = Step::Scanned;
        }
        attempt.wake.notify_waiters();
        Ok(())
    }

    /// The owner confirms what was scanned, or a push login.
    ///
    /// # Errors
    /// When nothing is there to confirm.
    pub fn confirm(&self, uuid: &str) -> Result<(), String> {
        let attempt = self.attempt(uuid)?;
        {
            let mut state = attempt.state();
            let ready =
                matches!(state.step, Step::Scanned) || (attempt.push && matches!(state.step, Step::Waiting));
            if !ready || state.account.is_none() {
                return Err(format!("login '{uuid}' waits for no confirmation"));
            }
            let number = self.next_number();
            state.step = Step::Confirmed(format!(
                "{}@qrticket_0",
                crate::seed::base64_like(&[number, attempt.made_ms, 72], 24)
            ));
        }
        attempt.wake.notify_waiters();
        Ok(())
    }

    /// The owner presses *cancel*: polls are told 202.
    ///
    /// # Errors
    /// When there is no such code.
    pub fn cancel(&self, uuid: &str) -> Result<(), String> {
        self.attempt(uuid)?.set(Step::Cancelled);
        Ok(())
    }

    /// The code expires: polls are told 400.
    ///
    /// # Errors
    /// When there is no such code.
    pub fn expire(&self, uuid: &str) -> Result<(), String> {
        self.attempt(uuid)?.set(Step::Expired);
        Ok(())
    }

    /// The poll server breaks: polls are told 500.
    ///
    /// # Errors
    /// When there is no such code.
    pub fn break_login(&self, uuid: &str) -> Result<(), String> {
        self.attempt(uuid)?.set(Step::Broken);
        Ok(())
    }

    /// Scans and confirms a code for the first account that is not signed in and has no other code.
    pub(crate) fn confirm_for_next(&self, uuid: &str) {
        let taken: HashSet<String> = self
            .0
            .attempts
            .list()
            .iter()
            .filter_map(|attempt| {
                let state = attempt.state();
                let pending = matches!(state.step, Step::Scanned | Step::Confirmed(_)) && !state.redeemed;
                let account = state.account.as_ref().filter(|_| pending)?;
                Some(account.name.clone())
            })
            .collect();
        let next = self
            .accounts()
            .into_iter()
            .find(|account| !taken.contains(&account.name) && account.state().session.is_none());
        if let Some(account) = next {
            // The uuid is new, so neither step can fail.
            let _ = self.scan(uuid, &account.name);
        }
    }
}
