//! What people order and what has to come to its end, whether or not they wait for it: a browser that is closed in the
//! middle of a removal must not leave half an account.
//!
//! Such work is a task of the pipe; whoever ordered it waits for its answer, or goes. The end of the program ends it
//! where it is, and what a removal had not come to then is gone on with at the next start.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dashmap::mapref::entry::Entry;
use futures_util::FutureExt as _;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{oneshot, watch};
use wxgate_contract::{CommandError, FeedEvent, Health, NetworkId, Order, UserName};
use wxgate_store::{LeavingUser, Replaced, StoreError};

use crate::control::{failed, may, no_such, owned, refused};
use crate::{Bridge, supervisor};

/// How long a session may take to end on the other side before its account is removed all the same. Chosen: a call
/// over a slow line; somebody waits.
const FAREWELL: Duration = Duration::from_secs(5);
/// First pause before a removal goes on that the store could not carry out; doubles up to the cap.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Pause before removals that could not be finished are tried again. Chosen: what is in their way is no moment's
/// trouble, and each try is a line in the log.
const TRY_AGAIN: Duration = Duration::from_secs(3600);

/// What became of a removal, once it is known; the sender goes without a word when the program ends first.
type Done = watch::Receiver<Option<Result<(), CommandError>>>;

/// Says it.
type Tell = watch::Sender<Option<Result<(), CommandError>>>;

/// A removal that is under way.
pub(crate) struct Going {
    owner: Option<UserName>,
    done: Done,
}

/// What becomes of a person's accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// A person who has accounts stays.
    Alone,
    /// Their accounts go first, with all that was said in them.
    WithEverything,
}

/// Takes a removal out of the table, however it ends.
struct Listed<'a> {
    bridge: &'a Bridge,
    account: &'a NetworkId,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.bridge.leaving.remove(self.account);
    }
}

fn stopping() -> CommandError {
    CommandError::Failed("the gateway is stopping".to_owned())
}

impl Bridge {
    /// Does something to its end in a task of the pipe. Dropping the future drops the answer only.
    pub(crate) async fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, CommandError>> + Send + 'static,
    ) -> Result<T, CommandError> {
        let (tell, told) = oneshot::channel();
        let stop = self.tasks.ending();
        // Boxed: some of it is large, and it waits here for whatever it waits for.
        let work = AssertUnwindSafe(Box::pin(work)).catch_unwind();
        self.tasks.spawn("orders", async move {
            let done = tokio::select! {
                biased;
                () = stop.stopping() => Err(stopping()),
                done = work => done.unwrap_or_else(|_| {
                    Err(CommandError::Failed("a bug in the gateway ended it before it was done".to_owned()))
                }),
            };
            // An error means that nobody waits for it any more.
            let _ = tell.send(done);
        });
        told.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Goes on with the removals that the end of the program cut short, one after the other, while everybody else comes
    /// online. Accounts of people who are to go with everything are not to be added after it.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read which there are.
    pub async fn go_on_removing(self: &Arc<Self>) -> Result<(), StoreError> {
        let people = self.store.leaving_users().await?;
        for person in &people {
            self.take_along(person).await?;
        }
        let Some(mut left) = self.left_over(people).await? else { return Ok(()) };
        let (bridge, stop) = (Arc::clone(self), self.tasks.ending());
        self.tasks.spawn("orders", async move {
            let all = async {
                while !left.finish(&bridge).await {
                    left = loop {
                        tokio::time::sleep(TRY_AGAIN).await;
                        match bridge.still_left().await {
                            Ok(Some(left)) => break left,
                            Ok(None) => return,
                            Err(error) => {
                                tracing::error!(%error, "the removals that were begun cannot be read")
                            }
                        }
                    };
                }
            };
            tokio::select! {
                () = stop.stopping() => {}
                () = all => {}
            }
        });
        Ok(())
    }

    /// What there is to finish, of these people and of accounts whose removal nobody is at; `None`: nothing.
    async fn left_over(&self, people: Vec<LeavingUser>) -> Result<Option<LeftOver>, StoreError> {
        let mut accounts = Vec::new();
        for row in self.store.leaving_accounts().await? {
            let Entry::Vacant(place) = self.leaving.entry(row.network.clone()) else { continue };
            let (tell, done) = watch::channel(None);
            let with = people.iter().find(|person| person.name == row.owner).cloned();
            place.insert(Going { owner: Some(row.owner), done });
            accounts.push((row.network, with, tell));
        }
        Ok((!accounts.is_empty() || !people.is_empty()).then_some(LeftOver { accounts, people }))
    }

    /// The same a while later.
    async fn still_left(&self) -> Result<Option<LeftOver>, StoreError> {
        let people = self.store.leaving_users().await?;
        self.left_over(people).await
    }

    /// Accounts of somebody who is being removed go too: those whose turn had not come yet.
    async fn take_along(&self, person: &LeavingUser) -> Result<(), StoreError> {
        for row in self.store.accounts_of(&person.name).await? {
            self.store.leave_account(&row.network).await?;
            self.routes.unmirror_all(&row.network);
        }
        Ok(())
    }

    /// Whether somebody has accounts, those that are being removed among them.
    async fn has_accounts(&self, owner: &UserName) -> Result<bool, StoreError> {
        let is_kept = !self.store.accounts_of(owner).await?.is_empty();
        Ok(is_kept || self.store.leaving_accounts().await?.iter().any(|row| row.owner == *owner))
    }

    /// Why somebody is not removed. They stay if none of their accounts is on its way out: else the next start would
    /// remove, unasked, whoever was told to be there still.
    async fn not_removed(&self, person: &LeavingUser, error: CommandError) -> CommandError {
        if error == stopping() {
            return error;
        }
        let going = self.store.leaving_accounts().await;
        let stays = going.is_ok_and(|accounts| accounts.iter().all(|row| row.owner != person.name));
        if stays && self.store.has_left(&person.name).await.is_ok() {
            return error;
        }
        CommandError::Failed(format!("{error}; the removal goes on at the next start"))
    }

    /// An account went with its owner.
    async fn record_gone(&self, person: &LeavingUser, account: &NetworkId) {
        let about = account.name().to_owned();
        self.record(person.who.clone(), &person.door, "account-removed", about).await;
    }

    /// Replaces the seal key, whose file is `path`, for `who` at `door` as the audit trail has it.
    ///
    /// # Errors
    /// What the store says, inside; outside when the pipe is ending or a bug ended it: both keys are in the file then, and
    /// calling again goes on.
    pub async fn replace_seal_key(
        self: &Arc<Self>,
        path: PathBuf,
        (who, door): (Option<UserName>, &str),
    ) -> Result<Result<Replaced, StoreError>, CommandError> {
        let (bridge, door) = (Arc::clone(self), door.to_owned());
        self.see_through(async move {
            let done = bridge.store.replace_seal_key(&path).await;
            if let Ok(done) = &done {
                bridge.record(who, &door, "seal-key-replaced", String::new()).await;
                tracing::info!(
                    resealed = done.resealed,
                    unreadable = done.unreadable,
                    "the seal key was replaced"
                );
            }
            Ok(done)
        })
        .await
    }

    /// Removes a person, for `who` at `door` as the audit trail has it. What the end of the program cuts short goes on
    /// at the next start.
    ///
    /// # Errors
    /// `Refused` when there is no such person, or they have accounts and were to leave alone.
    pub async fn remove_person(
        self: &Arc<Self>,
        name: UserName,
        leaving: Leaving,
        (who, door): (Option<UserName>, &str),
    ) -> Result<(), CommandError> {
        let (bridge, person) = (Arc::clone(self), LeavingUser { name, who, door: door.to_owned() });
        self.see_through(async move {
            let with_accounts = leaving == Leaving::WithEverything;
            {
                // Whoever is adding an account for them has come to the end of it.
                let _alone = bridge.alone().await?;
                bridge.store.leave_user(&person, with_accounts).await.map_err(refused)?;
            }
            if with_accounts && let Err(error) = remove_accounts(&bridge, &person).await {
                return Err(bridge.not_removed(&person, error).await);
            }
            let_go_in_time(&bridge, &person).await
        })
        .await
    }
}

/// Removals that the end of the program cut short, or that could not be finished.
struct LeftOver {
    /// Each with the person it goes with, and whoever waits for it.
    accounts: Vec<(NetworkId, Option<LeavingUser>, Tell)>,
    people: Vec<LeavingUser>,
}

impl LeftOver {
    /// Goes on with them one after the other; `true`: all are finished.
    async fn finish(self, bridge: &Bridge) -> bool {
        let mut is_done = true;
        for (account, with, tell) in self.accounts {
            let listed = Listed { bridge, account: &account };
            let done = forget_in_time(bridge, &account).await;
            match (&done, &with) {
                (Err(error), _) => {
                    is_done = false;
                    tracing::error!(network = %account, %error, "a removal that was begun cannot be finished yet");
                }
                // Of one who ordered an account's end alone nothing is known any more.
                (Ok(()), None) => {}
                (Ok(()), Some(person)) => bridge.record_gone(person, &account).await,
            }
            drop(listed);
            tell.send_replace(Some(done));
        }
        for person in self.people {
            // They go behind their last account.
            let done =
                match in_time(person.name.as_str(), || async { Ok(bridge.has_accounts(&person.name).await) })
                    .await
                {
                    Ok(Ok(true)) => {
                        is_done = false;
                        continue;
                    }
                    Ok(Ok(false)) => let_go_in_time(bridge, &person).await,
                    Ok(Err(error)) => Err(failed(error)),
                    Err(error) => Err(error),
                };
            if let Err(error) = done {
                is_done = false;
                tracing::error!(user = %person.name, %error, "a removal that was begun cannot be finished yet");
            }
        }
        is_done
    }
}

/// Forgets a person whose accounts are gone, however often the store fails at it.
async fn let_go_in_time(bridge: &Bridge, person: &LeavingUser) -> Result<(), CommandError> {
    let done = in_time(person.name.as_str(), || async {
        // Two who ordered it come here one after the other.
        let _alone = bridge.alone().await?;
        Ok(let_go(bridge, person).await)
    });
    done.await?.map_err(refused)
}

/// Does a step of the removal of `whom`, however often the store is away; outside is the error that the pipe is ending.
async fn in_time<T, W: Future<Output = Result<Result<T, StoreError>, CommandError>>>(
    whom: &str,
    step: impl Fn() -> W,
) -> W::Output {
    let mut pause = PAUSE;
    loop {
        match step().await {
            Ok(Err(error)) if error.is_unavailable() => {
                tracing::warn!(whom, %error, "a removal waits for the store");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            done => return done,
        }
    }
}

async fn let_go(bridge: &Bridge, person: &LeavingUser) -> Result<(), StoreError> {
    let LeavingUser { name, who, door } = person;
    if !bridge.store.is_leaving(name).await? {
        return Ok(());
    }
    if bridge.store.user(name).await?.is_some() {
        bridge.store.remove_user(name).await?;
    }
    bridge.shut(name);
    // Nobody who is called so later has their channels and marks.
    forget_notes(bridge, &format!("user:{name}")).await?;
    bridge.record(who.clone(), door, "person-removed", name.to_string()).await;
    tracing::info!(user = %name, "a person was removed");
    bridge.store.has_left(name).await
}

/// All accounts of a person, those that are being removed already among them.
async fn remove_accounts(bridge: &Arc<Bridge>, person: &LeavingUser) -> Result<(), CommandError> {
    let owner = &person.name;
    let theirs = in_time(owner.as_str(), || async { Ok(bridge.store.accounts_of(owner).await) });
    for row in theirs.await?.map_err(failed)? {
        match remove_account(bridge, None, &row.network).await {
            Ok(()) => bridge.record_gone(person, &row.network).await,
            // Somebody else removed it meanwhile.
            Err(CommandError::NoSuchAccount(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let theirs = |going: &Going| going.owner.as_ref() == Some(owner);
    let going: Vec<_> = bridge.leaving.iter().filter(|going| theirs(going)).map(|g| g.done.clone()).collect();
    for done in going {
        wait_for(done).await?;
    }
    Ok(())
}

async fn wait_for(mut done: Done) -> Result<(), CommandError> {
    match done.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(done)) => done.clone(),
        _ => Err(stopping()),
    }
}

/// Removes an account. Who asks for it while it is being removed waits for the same removal.
pub(crate) async fn remove_account(
    bridge: &Arc<Bridge>,
    user: Option<&UserName>,
    account: &NetworkId,
) -> Result<(), CommandError> {
    if let Some(done) = join(bridge, user, account)? {
        return wait_for(done).await;
    }
    let owner = owned(bridge, user, account)?;
    let (tell, done) = watch::channel(None);
    match bridge.leaving.entry(account.clone()) {
        Entry::Vacant(place) => drop(place.insert(Going { owner: owner.clone(), done })),
        Entry::Occupied(place) => {
            let done = place.get().done.clone();
            drop(place);
            return wait_for(done).await;
        }
    }
    let listed = Listed { bridge, account };
    let done = take_away(bridge, account, owner).await;
    drop(listed);
    tell.send_replace(Some(done.clone()));
    done
}

/// The removal that is under way, if there is one and it is theirs to ask for.
fn join(bridge: &Bridge, user: Option<&UserName>, account: &NetworkId) -> Result<Option<Done>, CommandError> {
    let Some(going) = bridge.leaving.get(account) else { return Ok(None) };
    may(user, going.owner.as_ref()).ok_or_else(|| no_such(account))?;
    Ok(Some(going.done.clone()))
}

async fn take_away(
    bridge: &Arc<Bridge>,
    account: &NetworkId,
    owner: Option<UserName>,
) -> Result<(), CommandError> {
    // The session ends on the other side too, if it can; the account goes in any case.
    sign_out(bridge, account).await;
    let left = in_time(account.as_str(), || async {
        let _alone = bridge.alone().await?;
        // Durable first: from here on the next start goes on with it.
        if let Err(error) = bridge.store.leave_account(account).await {
            return Ok(Err(error));
        }
        bridge.remove_network(account).await;
        bridge.routes.unmirror_all(account);
        Ok(Ok(()))
    });
    left.await?.map_err(failed)?;
    // What was said in it may be much: whoever adds or starts another account does not wait for that.
    let tell = || owner.iter().for_each(|owner| bridge.tell(FeedEvent::Accounts(owner.clone())));
    tell();
    forget_in_time(bridge, account).await?;
    tell();
    Ok(())
}

/// Forgets an account, however often the store fails at it.
async fn forget_in_time(bridge: &Bridge, account: &NetworkId) -> Result<(), CommandError> {
    in_time(account.as_str(), || async { Ok(forget(bridge, account).await) }).await?.map_err(failed)
}

async fn forget(bridge: &Bridge, account: &NetworkId) -> Result<(), StoreError> {
    // Networks leave the chats of links that went with it at once, and not after the last message.
    bridge.tell_links().await?;
    forget_notes(bridge, account.as_str()).await?;
    bridge.store.remove_account(account).await?;
    bridge.lanes.removed(account).await;
    // What was written down while it went.
    forget_notes(bridge, account.as_str()).await
}

/// What networks keep about an account, or a person, that they read the timelines of: names made of what contacts are
/// called are among it.
async fn forget_notes(bridge: &Bridge, about: &str) -> Result<(), StoreError> {
    for face in bridge.routes.browsing() {
        bridge.store.forget_notes(&face, about).await?;
    }
    Ok(())
}

/// Ends a session on the other side, and waits a moment for it.
async fn sign_out(bridge: &Bridge, account: &NetworkId) {
    let is_out = || {
        let health = bridge.health_of(account).map(|(_, health)| health);
        health.is_none_or(|health| health.is_signed_out() || matches!(health, Health::Down { .. }))
    };
    let mut feed = bridge.feed.subscribe();
    if is_out() || supervisor::order(bridge, account, Order::SignOut).await.is_err() {
        return;
    }
    let out = async {
        while !is_out() {
            match feed.recv().await {
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    };
    let _ = tokio::time::timeout(FAREWELL, out).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, Idle};

    /// Time enough for whatever needs no clock.
    async fn a_while() {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_removal_that_cannot_be_finished_is_gone_on_with_an_hour_later() {
        let dir = tempfile::tempdir().unwrap();
        let bridge = sample::bridge(dir.path(), Arc::new(|row| Arc::new(Idle(row.network.clone())))).await;
        let (store, account) = (bridge.store.clone(), NetworkId::from("net:a"));
        store.add_user(&"ann".into(), None, false).await.unwrap();
        store.add_account(&account, &"ann".into()).await.unwrap();
        let person = LeavingUser { name: "ann".into(), who: None, door: "api".to_owned() };
        store.leave_user(&person, true).await.unwrap();
        // Somebody is at the account already, and comes to no end: nobody goes before their last account.
        let (_tell, done) = watch::channel(None);
        bridge.leaving.insert(account.clone(), Going { owner: Some("ann".into()), done });
        bridge.go_on_removing().await.unwrap();
        a_while().await;
        bridge.leaving.remove(&account);
        a_while().await;
        let is_there = async || store.user(&"ann".into()).await.unwrap().is_some();
        assert!(is_there().await, "it was not tried in vain");
        tokio::time::pause();
        tokio::time::advance(TRY_AGAIN - Duration::from_secs(1)).await;
        tokio::time::resume();
        a_while().await;
        assert!(is_there().await, "it is tried all the time");
        // A slow machine has come to its first try late, and its hour ends so much later.
        let gone = async {
            while is_there().await || !store.leaving_users().await.unwrap().is_empty() {
                tokio::time::pause();
                tokio::time::advance(TRY_AGAIN / 4).await;
                tokio::time::resume();
                a_while().await;
            }
        };
        let begun = std::time::Instant::now();
        tokio::pin!(gone);
        while futures_util::poll!(&mut gone).is_pending() {
            assert!(begun.elapsed() < Duration::from_secs(10), "nobody goes on with it");
            tokio::task::yield_now().await;
        }
        assert!(store.leaving_accounts().await.unwrap().is_empty());
        bridge.shutdown().await;
    }
}
