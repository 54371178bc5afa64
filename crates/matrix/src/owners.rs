//! Whose an account is, and who on Matrix that is. Asked for every message, changed once a month.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wxgate_contract::{AccountView, Directory, FarError, NetworkId, PersonRef, UserName};

/// Matrix users at hand. Chosen: those that speak in the rooms of one gateway within a day.
const USERS: usize = 4096;

/// The answers, as long as nothing changes.
#[derive(Default)]
struct Known {
    /// Every account; empty when not read yet.
    accounts: Option<HashMap<NetworkId, Arc<AccountView>>>,
    /// Matrix id by person of this instance.
    ids: HashMap<UserName, String>,
    /// The other way round.
    users: HashMap<String, UserName>,
}

/// Reads the directory, and remembers.
pub(crate) struct Owners {
    directory: Arc<dyn Directory>,
    network: NetworkId,
    // Locked for the length of a lookup; many deliveries read side by side.
    known: Mutex<Known>,
}

impl Owners {
    pub(crate) fn new(directory: Arc<dyn Directory>, network: NetworkId) -> Self {
        Self { directory, network, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accounts came or went: everything is read again.
    pub(crate) fn changed(&self) {
        *self.known() = Known::default();
    }

    /// The account itself.
    pub(crate) async fn account(&self, account: &NetworkId) -> Result<Option<Arc<AccountView>>, FarError> {
        if let Some(all) = &self.known().accounts
            && let Some(found) = all.get(account)
        {
            return Ok(Some(Arc::clone(found)));
        }
        let views = self.directory.all_accounts().await?;
        let all: HashMap<_, _> =
            views.into_iter().map(|view| (view.network.clone(), Arc::new(view))).collect();
        let found = all.get(account).cloned();
        self.known().accounts = Some(all);
        Ok(found)
    }

    /// The account as it is now. Reads those of its owner only: at a start each of ten thousand asks.
    pub(crate) async fn fresh(&self, account: &NetworkId) -> Result<Option<AccountView>, FarError> {
        let Some(known) = self.account(account).await? else { return Ok(None) };
        let now = self.directory.accounts(&known.owner).await?;
        Ok(now.into_iter().find(|view| view.network == *account))
    }

    /// The Matrix id of the owner of an account; `None` when the owner has none here.
    pub(crate) async fn id_of_owner(&self, account: &NetworkId) -> Result<Option<String>, FarError> {
        match self.account(account).await? {
            Some(view) => self.id_of(&view.owner).await,
            None => Ok(None),
        }
    }

    /// The Matrix id of a person of this instance.
    pub(crate) async fn id_of(&self, user: &UserName) -> Result<Option<String>, FarError> {
        if let Some(id) = self.known().ids.get(user) {
            return Ok(Some(id.clone()));
        }
        // Only what is there is remembered: who signs in for the first time is seen at once.
        let Some(person) = self.directory.person_of(user, &self.network).await? else { return Ok(None) };
        let id = person.as_str().to_owned();
        self.known().ids.insert(user.clone(), id.clone());
        Ok(Some(id))
    }

    /// The person of this instance that a Matrix user is.
    pub(crate) async fn user_of(&self, user_id: &str) -> Result<Option<UserName>, FarError> {
        if let Some(user) = self.known().users.get(user_id) {
            return Ok(Some(user.clone()));
        }
        let person = PersonRef { network: self.network.clone(), person: user_id.into() };
        let Some(user) = self.directory.user_of(&person).await? else { return Ok(None) };
        let mut known = self.known();
        if known.users.len() >= USERS {
            known.users.clear();
        }
        known.users.insert(user_id.to_owned(), user.clone());
        Ok(Some(user))
    }

    /// True when the Matrix user owns the account.
    pub(crate) async fn owns(&self, user_id: &str, account: &NetworkId) -> Result<bool, FarError> {
        let Some(user) = self.user_of(user_id).await? else { return Ok(false) };
        Ok(self.account(account).await?.is_some_and(|view| view.owner == user))
    }
}
