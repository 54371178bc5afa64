//! Commands of people and of the operator.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use wxgate_contract::{
    Answer, Ask, BoxFuture, ChatRef, Command, CommandError, Control, FeedEvent, NetworkId, Order, Reply,
    Request, SecretLink, SignInStep, UserName,
};
use wxgate_store::StoreError;

use crate::{Bridge, acts, orders, supervisor};

/// Longest account name in bytes: it becomes a part of nicks, paths and metric labels. Chosen.
const ACCOUNT_NAME_BYTES: usize = 32;
/// How long a running account may take to answer. Chosen: a large picture over a slow line; the
/// person who asked is told then.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Commands need the shared handle, because an added account gets a task of its own.
pub(crate) struct Desk {
    pub bridge: Arc<Bridge>,
    /// Where it is asked, for the audit trail.
    pub door: String,
    /// By whom, where a command is carried out in nobody's name.
    pub who: Option<UserName>,
}

impl Control for Desk {
    fn run(&self, user: Option<UserName>, command: Command) -> BoxFuture<'_, Result<Reply, CommandError>> {
        Box::pin(async move {
            let act = acts::of(&command);
            let who = user.clone().or_else(|| self.who.clone());
            let Some((what, about)) = act else { return run(&self.bridge, user, command).await };
            // What changes something is done to its end and written down, whoever waits for it.
            let (bridge, door) = (Arc::clone(&self.bridge), self.door.clone());
            let order = async move {
                let reply = run(&bridge, user, command).await?;
                bridge.record(who, &door, what, about).await;
                Ok(reply)
            };
            self.bridge.see_through(order).await
        })
    }
}

async fn run(bridge: &Arc<Bridge>, user: Option<UserName>, command: Command) -> Result<Reply, CommandError> {
    match command {
        Command::Authenticate { names, password, from } => bridge.authenticate(&names, &password, from).await,
        Command::Administer { user, password, from } => bridge.administer(&user, &password, from).await,
        Command::Scram { .. }
        | Command::Proved { .. }
        | Command::StillOpens { .. }
        | Command::Recognise { .. }
            if user.is_some() =>
        {
            Err(CommandError::Refused("only the gateway itself lets people in".to_owned()))
        }
        Command::Scram { user, from } => bridge.scram(&user, from).await.map(Reply::Scram),
        Command::Proved { user, from, is_right } => bridge.proved(&user, from, is_right),
        Command::StillOpens { user, credential } => {
            let opens = bridge.store.still_opens(&user, &credential).await.map_err(failed)?;
            opens.map(|_| Reply::Done).ok_or(CommandError::Denied)
        }
        Command::Recognise { fingerprint } => {
            let found = bridge.store.user_of_certificate(&fingerprint).await.map_err(failed)?;
            found.map(Reply::User).ok_or(CommandError::Denied)
        }
        Command::Trust { user: of, .. }
        | Command::Distrust { user: of, .. }
        | Command::Trusted { user: of }
            if user.as_ref().is_some_and(|user| *user != of) =>
        {
            Err(CommandError::Refused("you can only look after doors of your own".to_owned()))
        }
        Command::Trust { user, fingerprint } => {
            bridge.store.add_certificate(&user, &fingerprint).await.map_err(refused)?;
            Ok(Reply::Done)
        }
        Command::Distrust { user, fingerprint } => {
            bridge.store.remove_certificate(&user, &fingerprint).await.map_err(refused)?;
            bridge.shut(&user);
            Ok(Reply::Done)
        }
        Command::Trusted { user } => {
            bridge.store.certificates(&user).await.map(Reply::Fingerprints).map_err(failed)
        }
        Command::OpenPages { user: of, .. } if user.as_ref().is_some_and(|user| *user != of) => {
            Err(CommandError::Refused("you can only open pages of your own".to_owned()))
        }
        Command::OpenPages { user, credential } => match (bridge.pages)(&user, &credential) {
            Some(link) => Ok(Reply::Link(SecretLink(link))),
            None => Err(CommandError::Failed("the system gives no random numbers".to_owned())),
        },
        Command::AddAccount { owner, name } => add(bridge, user, owner, &name).await,
        Command::SignIn { account } => {
            let watch = {
                let mut slot = bridge.networks.get_mut(&account).ok_or_else(|| no_such(&account))?;
                may(user.as_ref(), slot.owner.as_ref()).ok_or_else(|| no_such(&account))?;
                slot.follow_sign_in()
            };
            supervisor::order(bridge, &account, Order::SignIn).await?;
            Ok(Reply::SignIn(watch))
        }
        Command::SignOut { account } => {
            owned(bridge, user.as_ref(), &account)?;
            supervisor::order(bridge, &account, Order::SignOut).await?;
            Ok(Reply::Done)
        }
        Command::RemoveAccount { account } => {
            orders::remove_account(bridge, user.as_ref(), &account).await.map(|()| Reply::Done)
        }
        Command::Mirror { account, face } => {
            owned(bridge, user.as_ref(), &account)?;
            bridge.store.add_mirror(&account, &face).await.map_err(failed)?;
            bridge.routes.mirror(&account, &face);
            Ok(Reply::Done)
        }
        Command::Unmirror { account, face } => {
            owned(bridge, user.as_ref(), &account)?;
            unmirror(bridge, &account, &face).await.map_err(failed)
        }
        Command::Introduce { .. } | Command::Identify { .. } if user.is_some() => {
            Err(CommandError::Refused("only the gateway itself says who somebody is".to_owned()))
        }
        Command::Introduce { person } => {
            let wanted = plain_name(person.person.as_str());
            bridge.store.introduce(&person, &wanted).await.map(Reply::User).map_err(refused)
        }
        Command::Identify { person, user } => {
            bridge.store.identify(&person, &user).await.map_err(refused)?;
            // Whoever shows accounts on that network looks again whose they are.
            bridge.tell(FeedEvent::Accounts(user));
            Ok(Reply::Done)
        }
        Command::Ask { account, request } => {
            owned(bridge, user.as_ref(), &account)?;
            if let Request::Read { chat, at } = &request {
                let chat = ChatRef { network: account.clone(), chat: chat.clone() };
                bridge.tell(FeedEvent::Read(chat, *at));
            }
            ask(bridge, &account, request).await.map(Reply::Answer)
        }
    }
}

async fn unmirror(bridge: &Bridge, account: &NetworkId, face: &NetworkId) -> Result<Reply, StoreError> {
    // First here: nothing is ordered of the face any more when it is told that it was done.
    let was_there = bridge.routes.unmirror(account, face);
    let removed = bridge.store.remove_mirror(account, face).await;
    if removed.is_err() && was_there {
        bridge.routes.mirror(account, face);
    }
    removed.map(|()| Reply::Done)
}

pub(crate) async fn ask(
    bridge: &Bridge,
    account: &NetworkId,
    request: Request,
) -> Result<Answer, CommandError> {
    let (answer, mut answers) = mpsc::channel(1);
    supervisor::order(bridge, account, Order::Ask(Ask { request, answer })).await?;
    let unanswered = |why| CommandError::Failed(format!("{account} {why}"));
    match tokio::time::timeout(ANSWER_PATIENCE, answers.recv()).await {
        Ok(Some(answer)) => answer,
        Ok(None) => Err(unanswered("went offline before it answered")),
        Err(_) => Err(unanswered("did not answer in time")),
    }
}

/// A name for a person of this instance from what another network calls them: the part before the
/// domain, of characters that no command line and no login minds.
fn plain_name(key: &str) -> UserName {
    let local = key.trim_start_matches('@').split(':').next().unwrap_or_default();
    let plain: String = local
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        .take(32)
        .collect();
    UserName::new(if plain.is_empty() { "guest".to_owned() } else { plain })
}

impl Bridge {
    /// Waits until nobody else changes which accounts run; an error when the pipe is ending.
    pub(crate) async fn alone(&self) -> Result<impl Drop + '_, CommandError> {
        let may_change = self.changing.lock().await;
        match *may_change {
            true => Ok(may_change),
            false => Err(CommandError::Failed("the gateway is stopping".to_owned())),
        }
    }
}

async fn add(
    bridge: &Arc<Bridge>,
    user: Option<UserName>,
    owner: UserName,
    name: &str,
) -> Result<Reply, CommandError> {
    if user.is_some_and(|user| user != owner) {
        return Err(CommandError::Refused("you can only add accounts of your own".to_owned()));
    }
    check_name(name)?;
    let _alone = bridge.alone().await?;
    let own = bridge.store.user(&owner).await.map_err(failed)?.and_then(|row| row.accounts_max);
    let limit = own.map_or(bridge.accounts_per_user, |own| usize::try_from(own).unwrap_or(usize::MAX));
    // As stored: while the program starts, not all of them run yet.
    let count = bridge.store.accounts_of(&owner).await.map_err(failed)?.len();
    if count >= limit {
        return Err(CommandError::Refused(format!(
            "{owner} has {count} accounts already; the limit for them is {limit}"
        )));
    }
    let network = NetworkId::new(format!("{}:{name}", bridge.account_kind));
    let row = match bridge.store.add_account(&network, &owner).await {
        Ok(row) => row,
        Err(StoreError::Conflict { .. }) => {
            return Err(CommandError::Refused(format!("the account name {name} is taken")));
        }
        Err(other) => return Err(refused(other)),
    };
    bridge.add_network((bridge.factory)(&row), Some(owner.clone()));
    bridge.tell(FeedEvent::Accounts(owner));
    Ok(Reply::Added(network))
}

fn check_name(name: &str) -> Result<(), CommandError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > ACCOUNT_NAME_BYTES || !name.chars().all(fits) {
        let rule = format!("1 to {ACCOUNT_NAME_BYTES} of a-z, A-Z, 0-9, '-', '_' and '.'");
        return Err(CommandError::Refused(format!("an account name is {rule}")));
    }
    Ok(())
}

pub(crate) fn owned(
    bridge: &Bridge,
    user: Option<&UserName>,
    account: &NetworkId,
) -> Result<Option<UserName>, CommandError> {
    let slot = bridge.networks.get(account).ok_or_else(|| no_such(account))?;
    may(user, slot.owner.as_ref()).ok_or_else(|| no_such(account))?;
    Ok(slot.owner.clone())
}

/// Somebody else's account is no account: its existence is not told.
pub(crate) fn may(user: Option<&UserName>, owner: Option<&UserName>) -> Option<()> {
    match (user, owner) {
        (None, Some(_)) => Some(()),
        (Some(user), Some(owner)) if user == owner => Some(()),
        _ => None,
    }
}

pub(crate) fn no_such(account: &NetworkId) -> CommandError {
    CommandError::NoSuchAccount(account.name().to_owned())
}

pub(crate) fn refused(error: StoreError) -> CommandError {
    match error {
        StoreError::Invalid { what } | StoreError::Conflict { what } => CommandError::Refused(what),
        other => failed(other),
    }
}

pub(crate) fn failed(error: StoreError) -> CommandError {
    CommandError::Failed(error.to_string())
}

impl supervisor::Slot {
    /// A watch on the sign-in, starting anew when the last one is over.
    pub(crate) fn follow_sign_in(&mut self) -> wxgate_contract::SignInWatch {
        let running = self.sign_in.as_ref().filter(|watch| {
            watch.receiver_count() > 0
                && !matches!(*watch.borrow(), SignInStep::Done | SignInStep::Failed { .. })
        });
        if let Some(running) = running {
            return running.subscribe();
        }
        let (tx, rx) = tokio::sync::watch::channel(SignInStep::Starting);
        self.sign_in = Some(tx);
        rx
    }
}
