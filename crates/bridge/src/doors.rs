//! Who may come in. Every door asks here, so that what is wrong at one of them counts at all of them.
//!
//! A wrong attempt costs the name and the address one of those they have in reserve; without any, nothing is checked,
//! and whoever is right is not told so either. A name from where it came in before has a reserve of its own there, so
//! that others' guesses lock nobody out of their own places.

mod tries;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use wxgate_contract::{Clock, CommandError, FeedEvent, Reply, ScramVerifier, UserName};
use wxgate_store::{Opens, StoreError, token_credential};

use crate::Bridge;
use tries::Tries;

/// Passwords that are checked at once; the store works at no more either. Who waits has used up no attempt yet: a
/// thousand clients that come back at once after a restart are right.
const CHECKS: usize = 2;
/// Who may wait for that. Chosen: they are through within half a minute, which is what clients wait.
const WAITING: usize = 2048;

/// The doors of the instance.
pub(crate) struct Doors {
    // Held for a look or a change.
    tries: Mutex<Tries>,
    checks: Semaphore,
    waiting: Semaphore,
    clock: Arc<dyn Clock>,
}

/// Attempts that were taken; whoever is right gets them back.
struct Attempt<'a> {
    doors: &'a Doors,
    names: Vec<UserName>,
    from: Option<IpAddr>,
}

impl Attempt<'_> {
    fn was_right(self, name: &UserName) {
        let now = self.doors.clock.now();
        self.doors.tries().was_right(&self.names, name, self.from, now);
    }
}

impl Doors {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            tries: Mutex::default(),
            checks: Semaphore::new(CHECKS),
            waiting: Semaphore::new(WAITING),
            clock,
        }
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when one of these names may be tried.
    fn may_try(&self, names: &[UserName], from: Option<IpAddr>) -> bool {
        let now = self.clock.now();
        let tries = self.tries();
        names.iter().any(|name| tries.has_one(name, from, now))
    }

    /// Takes an attempt of each of these names that has one.
    fn attempt(&self, names: &[UserName], from: Option<IpAddr>) -> Result<Attempt<'_>, CommandError> {
        let names = self.tries().take(names, from, self.clock.now());
        match names.is_empty() {
            true => Err(CommandError::TooOften),
            false => Ok(Attempt { doors: self, names, from }),
        }
    }
}

impl Bridge {
    /// A token that logs in opens the same doors as its owner's password. What is no token of theirs is checked as a
    /// password, so that a wrong token costs whoever guesses as much time as a wrong password. A right one cannot
    /// have been guessed, and is not held up by what others try.
    pub(crate) async fn authenticate(
        &self,
        names: &[UserName],
        secret: &str,
        from: Option<IpAddr>,
    ) -> Result<Reply, CommandError> {
        let doors = &self.doors;
        if let Some((owner, opens)) = self.store.verify_token(secret).await.map_err(failed)?
            && opens.includes(Opens::LOGIN)
            && names.contains(&owner)
        {
            doors.tries().was_right(&[], &owner, from, doors.clock.now());
            return Ok(Reply::Opened(owner, token_credential(secret)));
        }
        if !doors.may_try(names, from) {
            return Err(CommandError::TooOften);
        }
        let busy = |_| CommandError::Failed("too many people come in at once; try again".to_owned());
        let _waiting = doors.waiting.try_acquire().map_err(busy)?;
        let ending = |_| CommandError::Failed("the gateway is stopping".to_owned());
        let _place = doors.checks.acquire().await.map_err(ending)?;
        // Taken first and given back: who goes away before the answer has tried all the same.
        let attempt = doors.attempt(names, from)?;
        for name in attempt.names.clone() {
            if let Some(credential) = self.store.verify_password(&name, secret).await.map_err(failed)? {
                attempt.was_right(&name);
                return Ok(Reply::Opened(name, credential));
            }
        }
        Err(CommandError::Denied)
    }

    /// The same of an administrator, who comes with what opens that.
    pub(crate) async fn administer(
        &self,
        user: &UserName,
        secret: &str,
        from: Option<IpAddr>,
    ) -> Result<Reply, CommandError> {
        let Reply::Opened(user, credential) =
            self.authenticate(std::slice::from_ref(user), secret, from).await?
        else {
            return Err(CommandError::Denied);
        };
        let opens = self.store.still_opens(&user, &credential).await.map_err(failed)?;
        let person = self.store.user(&user).await.map_err(failed)?;
        let may = opens.is_some_and(|opens| opens.includes(Opens::ADMIN));
        match may && person.is_some_and(|person| person.is_admin) {
            true => Ok(Reply::Done),
            false => Err(CommandError::Denied),
        }
    }

    /// What checks SCRAM; whoever has no attempt left is told so before they work at their proof.
    pub(crate) async fn scram(
        &self,
        user: &UserName,
        from: Option<IpAddr>,
    ) -> Result<ScramVerifier, CommandError> {
        if !self.doors.may_try(std::slice::from_ref(user), from) {
            return Err(CommandError::TooOften);
        }
        self.store.scram(user).await.map_err(failed)?.ok_or(CommandError::Denied)
    }

    /// How SCRAM ended. Proofs that were begun side by side count one after the other.
    pub(crate) fn proved(
        &self,
        user: &UserName,
        from: Option<IpAddr>,
        is_right: bool,
    ) -> Result<Reply, CommandError> {
        let attempt = self.doors.attempt(std::slice::from_ref(user), from)?;
        match is_right {
            true => attempt.was_right(user),
            false => return Err(CommandError::Denied),
        }
        Ok(Reply::Done)
    }

    /// Something that opened a person's doors opens them no more: whoever came in with it is to go.
    pub fn shut(&self, user: &UserName) {
        self.tell(FeedEvent::Doors(user.clone()));
    }
}

fn failed(error: StoreError) -> CommandError {
    CommandError::Failed(error.to_string())
}
