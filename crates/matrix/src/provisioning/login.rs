//! Sign-ins as processes of steps. A step is answered by the next one; a request for the next step
//! hangs until the phone has done something.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use axum::http::StatusCode;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use tokio::sync::watch;
use wxgate_contract::{
    AccountView, Command, Health, NetworkId, Reply, SignInStep, SignInWatch, Timestamp, UserName,
};

use super::shapes::{PUSH, QR, can_be_asked};
use super::{Caller, HANG, OfLogin, Provisioning, Refusal};
use crate::shared::Shared;

/// Sign-ins under way at once, of everybody and of one person. Chosen: codes expire after minutes, and
/// nobody looks at four of them.
const PROCESSES: usize = 256;
const OF_ONE: usize = 4;
/// A process that nobody asked about for this long is over. Chosen: three codes live six minutes.
const FORGOTTEN: Duration = Duration::from_secs(30 * 60);

/// After a sign-in has failed, how often and with what pauses it is looked whether its account is signed out: it says
/// so after it has cleared away what it knew. Chosen: two seconds.
const LOOKS: u32 = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A sign-in under way, or one that is over and was not forgotten yet.
struct Process {
    owner: String,
    user: UserName,
    account: NetworkId,
    /// The account was added for this sign-in, and goes when nothing comes of it.
    is_new: bool,
    steps: SignInWatch,
    asked: Timestamp,
    /// What is shown now, and what that came from.
    shown: Shown,
    /// Told when a request begins to wait for the next step: an earlier one that waits ends then.
    turn: watch::Sender<()>,
}

/// A step as it was given out.
#[derive(Clone)]
struct Shown {
    step: SignInStep,
    number: u32,
    txn_id: String,
    /// Of the step before; a repetition of its submission gets this step again.
    before: String,
}

/// The sign-ins, by process id: of one person at most one of each account.
#[derive(Default)]
pub(super) struct Logins {
    processes: HashMap<String, Process>,
    /// Starts that wait for their first step, by who asked.
    starting: HashMap<String, usize>,
}

/// A start under way; it counts until it is dropped.
struct Starting<'a> {
    api: &'a Provisioning,
    owner: &'a str,
}

impl<'a> Starting<'a> {
    /// An error when too many sign-ins are under way; a new one of the named login takes the place of an earlier one.
    fn begin(api: &'a Provisioning, owner: &'a str, login: Option<&str>) -> Result<Self, Refusal> {
        api.logins().make_room(owner, login)?;
        Ok(Self { api, owner })
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.api.logins().has_started(self.owner);
    }
}

impl Logins {
    pub(super) fn clear(&mut self) {
        self.processes.clear();
    }

    fn of<'a>(&'a mut self, id: &str, owner: &str) -> Result<&'a mut Process, Refusal> {
        // Somebody else's is as unknown as none.
        let process = self.processes.get_mut(id).filter(|process| process.owner == owner);
        process.ok_or_else(|| Refusal::not_found("there is no such login process; start again"))
    }

    /// Forgets what nobody asked about for long, and gives it.
    fn forget_old(&mut self, now: Timestamp) -> Vec<Process> {
        let is_old = |_: &String, process: &mut Process| now.since(process.asked) >= FORGOTTEN;
        self.processes.extract_if(is_old).map(|(_, process)| process).collect()
    }

    /// Counts one more start, or an error when too many are under way, that of the named login aside: a new one takes
    /// its place.
    fn make_room(&mut self, owner: &str, login: Option<&str>) -> Result<(), Refusal> {
        let is_same = |process: &Process| process.owner == owner && Some(process.account.name()) == login;
        let others = self.processes.values().filter(|process| !process.is_over() && !is_same(process));
        let (own, all) =
            others.fold((0, 0), |(own, all), process| (own + usize::from(process.owner == owner), all + 1));
        let starting = self.starting.get(owner).copied().unwrap_or_default();
        if own + starting >= OF_ONE || all + self.starting.values().sum::<usize>() >= PROCESSES {
            let error = "too many sign-ins are under way; finish or cancel one first";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED", error));
        }
        self.starting.insert(owner.to_owned(), starting + 1);
        Ok(())
    }

    fn has_started(&mut self, owner: &str) {
        match self.starting.get_mut(owner) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.starting.remove(owner)),
        }
    }

    /// Puts one in the place of earlier ones of the same account.
    fn put(&mut self, id: String, mut process: Process) {
        let is_earlier = |_: &String, earlier: &mut Process| {
            earlier.account == process.account && (earlier.owner == process.owner || earlier.is_over())
        };
        let was_new = self.processes.extract_if(is_earlier).fold(false, |is, (_, one)| is || one.is_new);
        process.is_new |= was_new;
        self.processes.insert(id, process);
    }
}

/// What a manager submits.
pub(super) struct Submitted<'a> {
    pub(super) step: &'a str,
    pub(super) kind: &'a str,
    pub(super) txn_id: Option<&'a str>,
}

/// Begins a sign-in: of the login that is named, or of a new one.
pub(super) async fn start(
    api: &Provisioning,
    caller: &Caller,
    flow: &str,
    of: &OfLogin,
) -> Result<Value, Refusal> {
    if flow != QR && flow != PUSH {
        return Err(Refusal::not_found("there is no such flow; see /login/flows"));
    }
    let shared = &caller.shared;
    let old = api.logins().forget_old(shared.clock.now());
    for process in old {
        process.came_to_nothing(shared, 1).await;
    }
    let _starting = Starting::begin(api, &caller.user_id, of.login_id.as_deref())?;
    let (user, accounts) = caller.accounts().await?;
    let (account, is_new) = match &of.login_id {
        _ if flow == PUSH => (to_be_asked(caller, of, &accounts).await?, false),
        Some(_) => (caller.account(of).await?.network, false),
        None => match unused(api, &accounts) {
            Some(account) => (account, false),
            None => (shared.add_account(&user, None, &caller.user_id).await?, true),
        },
    };
    let begun = begin(caller, &user, &account).await;
    if begun.is_err() && is_new {
        remove_unused(shared, &user, &account, 1).await;
    }
    let (steps, shown) = begun?;
    let (id, owner) = (token()?, caller.user_id.clone());
    let answer = shown.answer(&id, &account);
    let asked = shared.clock.now();
    let turn = watch::Sender::new(());
    let process = Process { owner, user, account, is_new, steps, asked, shown, turn };
    match (&answer, &process.shown.step) {
        (Ok(_), SignInStep::Done) => {}
        (Ok(_), _) => api.logins().put(id, process),
        (Err(_), _) => process.came_to_nothing(shared, LOOKS).await,
    }
    answer
}

/// The account whose phone is to be asked: the one that is named, or the first that can be.
async fn to_be_asked(caller: &Caller, of: &OfLogin, accounts: &[AccountView]) -> Result<NetworkId, Refusal> {
    let named = match &of.login_id {
        Some(_) => Some(caller.account(of).await?),
        None => None,
    };
    let found = named.as_ref().into_iter().chain(accounts.iter().filter(|_| named.is_none()));
    let found = found.into_iter().find(|view| can_be_asked(view)).map(|view| view.network.clone());
    found.ok_or_else(|| Refusal::not_found("no such login can be asked on the phone; sign in by a code"))
}

/// An account of theirs that was added and never signed in, and that nobody is signing in: what a sign-in left that was
/// dropped in the middle.
fn unused(api: &Provisioning, accounts: &[AccountView]) -> Option<NetworkId> {
    let logins = api.logins();
    let under_way = |account: &NetworkId| {
        logins.processes.values().any(|process| process.account == *account && !process.is_over())
    };
    let is_free = |view: &&AccountView| is_unused(view) == Some(true) && !under_way(&view.network);
    accounts.iter().find(is_free).map(|view| view.network.clone())
}

/// True for an account that was never signed in and that nobody is signing in, wherever they do it. `None` while
/// somebody is, or seems to be until the account has settled.
fn is_unused(view: &AccountView) -> Option<bool> {
    match &view.health {
        _ if !view.own_name.is_empty() => Some(false),
        health if health.is_signed_out() => Some(true),
        // WeChat does not let it in.
        Health::Down { .. } => Some(true),
        Health::NeedsHuman { .. } => None,
        Health::Starting
        | Health::Up
        | Health::Limited { .. }
        | Health::Partial { .. }
        | Health::Degraded { .. } => Some(false),
    }
}

/// Begins the sign-in of an account, and waits for its first step.
async fn begin(
    caller: &Caller,
    user: &UserName,
    account: &NetworkId,
) -> Result<(SignInWatch, Shown), Refusal> {
    let command = Command::SignIn { account: account.clone() };
    let Reply::SignIn(mut steps) = caller.shared.control.run(Some(user.clone()), command).await? else {
        return Err(Refusal::away("the sign-in cannot be followed"));
    };
    let waited = steps.wait_for(|step| *step != SignInStep::Starting);
    let step = match tokio::time::timeout(HANG, waited).await {
        Ok(Ok(step)) => step.clone(),
        Ok(Err(_)) => return Err(Refusal::away("the account has stopped")),
        Err(_) => return Err(Refusal::away("WeChat does not answer; try again")),
    };
    let shown = Shown { step, number: 1, txn_id: token()?, before: String::new() };
    Ok((steps, shown))
}

/// Removes an account if it is unused as it is now: somebody may have signed it in meanwhile, elsewhere.
async fn remove_unused(shared: &Shared, user: &UserName, account: &NetworkId, looks: u32) {
    for look in 1..=looks {
        let Ok(accounts) = shared.directory.accounts(user).await else { break };
        let Some(view) = accounts.iter().find(|view| view.network == *account) else { return };
        match is_unused(view) {
            Some(true) => return remove(shared, user, account).await,
            Some(false) => return,
            None if look < looks => tokio::time::sleep(LOOK_PAUSE).await,
            None => {}
        }
    }
    // It is left over, and the next sign-in takes it.
    tracing::info!(%account, "an account stays that was added for a sign-in: it is being signed in elsewhere, it seems");
}

async fn remove(shared: &Shared, user: &UserName, account: &NetworkId) {
    let command = Command::RemoveAccount { account: account.clone() };
    if let Err(error) = shared.control.run(Some(user.clone()), command).await {
        tracing::warn!(%error, %account, "an account stays that was added for a sign-in which came to nothing");
    }
}

impl Process {
    /// True when the phone has agreed: what a manager says after that does not undo it.
    fn is_in(&self) -> bool {
        matches!(*self.steps.borrow(), SignInStep::Loading | SignInStep::Done)
    }

    /// True when nothing more comes of it.
    fn is_over(&self) -> bool {
        let has_ended = self.steps.has_changed().is_err();
        has_ended || matches!(*self.steps.borrow(), SignInStep::Done | SignInStep::Failed { .. })
    }

    /// Nobody will finish it: an account that was added for it goes, if it is still unused.
    async fn came_to_nothing(self, shared: &Shared, looks: u32) {
        if self.is_new && !self.is_in() {
            remove_unused(shared, &self.user, &self.account, looks).await;
        }
    }
}

/// The step after the one that is submitted, as soon as there is one.
pub(super) async fn step(
    api: &Provisioning,
    caller: &Caller,
    id: &str,
    submitted: &Submitted<'_>,
) -> Result<Value, Refusal> {
    let now = caller.shared.clock.now();
    let (mut steps, shown, mut turn) = {
        let mut logins = api.logins();
        let process = logins.of(id, &caller.user_id)?;
        process.asked = now;
        let shown = process.shown.clone();
        if submitted.txn_id.is_some_and(|txn| txn == shown.before) {
            // The answer to it was lost on the way.
            return shown.answer(id, &process.account);
        }
        shown.check(submitted)?;
        process.turn.send_replace(());
        (process.steps.clone(), shown, process.turn.subscribe())
    };
    let next = tokio::select! {
        waited = tokio::time::timeout(HANG, steps.wait_for(|step| *step != shown.step)) => match waited {
            Ok(Ok(step)) => step.clone(),
            Ok(Err(_)) => SignInStep::Failed { why: "the account has stopped".to_owned() },
            // Nothing happened yet: the same step again, with the same ids.
            Err(_) => shown.step.clone(),
        },
        // The same, because it is asked for anew.
        _ = turn.changed() => shown.step.clone(),
    };
    let (answer, failed) = {
        let mut logins = api.logins();
        let process = logins.of(id, &caller.user_id)?;
        if process.shown.txn_id == shown.txn_id && next != shown.step {
            let (number, txn_id) = (shown.number + 1, token()?);
            process.shown = Shown { step: next, number, txn_id, before: shown.txn_id };
        }
        let answer = process.shown.answer(id, &process.account);
        let has_failed = matches!(process.shown.step, SignInStep::Failed { .. });
        (answer, has_failed.then(|| logins.processes.remove(id)).flatten())
    };
    if let Some(process) = failed {
        process.came_to_nothing(&caller.shared, LOOKS).await;
    }
    answer
}

/// Gives a sign-in up. One that the phone has agreed to meanwhile is not undone.
pub(super) async fn cancel(api: &Provisioning, caller: &Caller, id: &str) -> Result<(), Refusal> {
    let process = {
        let mut logins = api.logins();
        logins.of(id, &caller.user_id)?;
        logins.processes.remove(id)
    };
    let Some(process) = process.filter(|process| !process.is_in()) else { return Ok(()) };
    if !process.is_over() {
        let command = Command::SignOut { account: process.account.clone() };
        caller.shared.control.run(Some(process.user.clone()), command).await?;
    }
    process.came_to_nothing(&caller.shared, LOOKS).await;
    Ok(())
}

impl Shown {
    /// What it is called: the same step never comes twice under two names.
    fn step_id(&self) -> String {
        let what = match &self.step {
            SignInStep::Starting => "starting",
            SignInStep::ShowQr { .. } => "qr",
            SignInStep::ConfirmOnPhone { .. } => "confirm",
            SignInStep::Loading => "loading",
            SignInStep::Done | SignInStep::Failed { .. } => "complete",
        };
        format!("wxgate.{what}.{}", self.number)
    }

    fn kind(&self) -> &'static str {
        match &self.step {
            SignInStep::Done => "complete",
            _ => "display_and_wait",
        }
    }

    fn check(&self, submitted: &Submitted<'_>) -> Result<(), Refusal> {
        if submitted.kind != self.kind() {
            return Err(Refusal::bad_state(&format!("the step has the type {}", self.kind())));
        }
        if submitted.step != self.step_id() {
            return Err(Refusal::bad_state(&format!("the present step is {}", self.step_id())));
        }
        if self.step == SignInStep::Done {
            return Err(Refusal::bad_state("the login is complete"));
        }
        Ok(())
    }

    /// The step as managers read it; a failed sign-in is an error.
    fn answer(&self, process: &str, account: &NetworkId) -> Result<Value, Refusal> {
        let (instructions, details) = match &self.step {
            SignInStep::ShowQr { text, .. } => {
                ("Scan this code with WeChat on your phone.", json!({ "type": "qr", "data": text }))
            }
            SignInStep::ConfirmOnPhone { is_push: true, .. } => {
                ("Open WeChat on your phone and confirm there.", json!({ "type": "nothing" }))
            }
            SignInStep::ConfirmOnPhone { is_push: false, .. } => {
                ("The code was scanned. Confirm on your phone.", json!({ "type": "nothing" }))
            }
            SignInStep::Starting | SignInStep::Loading => {
                ("Your contacts are being loaded.", json!({ "type": "nothing" }))
            }
            SignInStep::Done => ("Signed in.", json!({ "user_login_id": account.name() })),
            SignInStep::Failed { why } => {
                let error = format!("the sign-in failed: {why}");
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", error));
            }
        };
        let mut step = json!({
            "login_id": process,
            "type": self.kind(),
            "step_id": self.step_id(),
            "txn_id": self.txn_id,
            "instructions": instructions,
        });
        step[self.kind()] = details;
        Ok(step)
    }
}

/// An id that nobody guesses.
fn token() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Refusal::away("the system has no random numbers"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
