//! The world: its accounts, its rules, and what a test or a demo may do to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::account::{Account, AccountSpec};
use crate::breach::{Breaches, Violation};
use crate::clock::now_ms;
use crate::fault::{Fault, FaultRule, Faults};
use crate::ledger::LedgerEntry;
use crate::login::Attempts;
use commons::Common;

mod commons;
mod doings;
mod phone;

pub(crate) use doings::md5_hex;

pub use doings::{Change, LoginView, Said};

/// Which address a confirmed login is sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// A real family host, as the service does; the client maps it onto our listener.
    Family(String),
    /// The address that the client used, for clients that cannot map hosts.
    Listener,
}

/// The world's rules.
#[derive(Debug, Clone)]
pub struct WorldConfig {
    /// Everything that is made up follows from it.
    pub seed: u64,
    /// How long an idle `synccheck` is held (the real service: 25 s).
    pub hold: Duration,
    /// How long an idle login poll is held.
    pub login_hold: Duration,
    /// Scans and confirms each QR code for the next account that is not signed in.
    pub auto_confirm: bool,
    /// Where a confirmed login goes.
    pub redirect: Redirect,
    /// Messages per `webwxsync` answer; more wait behind `ContinueFlag`.
    pub sync_batch: usize,
    /// Delivers what a client sent back to it before it has the answer.
    pub echo_before_answer: bool,
    /// Answers the first question about every fifth group without its members.
    pub late_members: bool,
    /// Answers the first download of every seventh file with nothing.
    pub late_media: bool,
    /// Renews `webwx_data_ticket` with every so many answers of a session; 0 is never.
    pub renew_ticket_every: u32,
    /// Puts permanent ids into the conversation list, as the service did until 2017.
    pub permanent_ids: bool,
    /// Keeps remarks that a client sets; without it they are answered and gone, as reported since 2023.
    pub keeps_remarks: bool,
    /// One contact of each account has a name that is not UTF-8.
    pub invalid_utf8: bool,
    /// From how many members on a group invites people instead of adding them.
    pub invite_start: usize,
    /// Ledger entries kept per account.
    pub ledger_limit: usize,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            hold: Duration::from_secs(25),
            login_hold: Duration::from_secs(25),
            auto_confirm: false,
            redirect: Redirect::Family("wx2.qq.com".to_owned()),
            sync_batch: 50,
            echo_before_answer: false,
            late_members: true,
            late_media: true,
            renew_ticket_every: 40,
            permanent_ids: true,
            keeps_remarks: true,
            invalid_utf8: true,
            invite_start: 40,
            ledger_limit: 200_000,
        }
    }
}

/// Counters of the world.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) polls_open: AtomicU64,
    pub(crate) logins: AtomicU64,
    pub(crate) said: AtomicU64,
    pub(crate) heard: AtomicU64,
    pub(crate) faults: AtomicU64,
}

/// What the counters say.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Stats {
    /// Accounts of the world.
    pub accounts: usize,
    /// Accounts that are signed in.
    pub sessions: usize,
    /// Long polls that are being held.
    pub polls_open: u64,
    /// Open connections.
    pub connections: u64,
    /// Requests so far.
    pub requests: u64,
    /// Logins so far.
    pub logins: u64,
    /// Messages said to accounts so far.
    pub said: u64,
    /// Messages heard from clients so far.
    pub heard: u64,
    /// Faults that struck so far.
    pub faults: u64,
}

/// Something a client sent, told to those who listen.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The account that sent it.
    pub account: String,
    /// The entry in its ledger.
    pub entry: LedgerEntry,
}

/// Listeners hear at most this many unread messages; a slower one misses some.
const HEARD_WAITING: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: WorldConfig,
    hold_ms: AtomicU64,
    auto_confirm: AtomicBool,
    /// Read by every request, written when accounts are added.
    accounts: RwLock<Roll>,
    pub(crate) attempts: Attempts,
    pub(crate) violations: Breaches,
    pub(crate) tolerated: Breaches,
    /// Looked at by each request only while `any_faults` is set.
    faults: Mutex<Faults>,
    any_faults: AtomicBool,
    pub(crate) counters: Counters,
    /// Groups that several accounts are in; read by everything that is said in groups.
    pub(crate) commons: RwLock<Vec<Common>>,
    next_msg_id: AtomicU64,
    next_number: AtomicU64,
    /// Those who want to hear; changed rarely.
    listeners: Mutex<Vec<mpsc::Sender<Heard>>>,
}

#[derive(Debug, Default)]
struct Roll {
    order: Vec<Arc<Account>>,
    by_name: HashMap<String, Arc<Account>>,
    by_uin: HashMap<u64, Arc<Account>>,
}

/// A handle on the world; clones share it.
#[derive(Debug, Clone)]
pub struct World(pub(crate) Arc<Inner>);

impl World {
    /// A world without accounts.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        Self(Arc::new(Inner {
            hold_ms: AtomicU64::new(u64::try_from(config.hold.as_millis()).unwrap_or(u64::MAX)),
            auto_confirm: AtomicBool::new(config.auto_confirm),
            accounts: RwLock::default(),
            attempts: Attempts::default(),
            violations: Breaches::default(),
            tolerated: Breaches::default(),
            faults: Mutex::new(Faults::new(config.seed)),
            any_faults: AtomicBool::new(false),
            counters: Counters::default(),
            commons: RwLock::default(),
            next_msg_id: AtomicU64::new(7_294_813_305_518_270_451),
            next_number: AtomicU64::new(1),
            listeners: Mutex::default(),
            config,
        }))
    }

    /// Adds an account.
    ///
    /// # Errors
    /// When its name or number is taken.
    pub fn add_account(&self, spec: &AccountSpec) -> Result<(), String> {
        let mut roll = self.0.accounts.write().unwrap_or_else(PoisonError::into_inner);
        if roll.by_name.contains_key(&spec.name) {
            return Err(format!("account '{}' exists already", spec.name));
        }
        if roll.by_uin.contains_key(&spec.uin) {
            return Err(format!("an account with uin {} exists already", spec.uin));
        }
        let account = Arc::new(Account::new(spec, self.0.config.seed, self.0.config.invalid_utf8));
        roll.order.push(account.clone());
        roll.by_name.insert(spec.name.clone(), account.clone());
        roll.by_uin.insert(spec.uin, account);
        Ok(())
    }

    pub(crate) fn account(&self, name: &str) -> Result<Arc<Account>, String> {
        let roll = self.0.accounts.read().unwrap_or_else(PoisonError::into_inner);
        roll.by_name.get(name).cloned().ok_or_else(|| format!("there is no account '{name}'"))
    }

    pub(crate) fn account_of(&self, uin: u64) -> Option<Arc<Account>> {
        let roll = self.0.accounts.read().unwrap_or_else(PoisonError::into_inner);
        roll.by_uin.get(&uin).cloned()
    }

    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        let roll = self.0.accounts.read().unwrap_or_else(PoisonError::into_inner);
        roll.order.clone()
    }

    /// The names of all accounts, in the order in which they were added.
    #[must_use]
    pub fn account_names(&self) -> Vec<String> {
        self.accounts().iter().map(|account| account.name.clone()).collect()
    }

    /// How long idle polls are held from now on.
    pub fn set_hold(&self, hold: Duration) {
        let ms = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX);
        self.0.hold_ms.store(ms, Ordering::Relaxed);
    }

    pub(crate) fn hold(&self) -> Duration {
        Duration::from_millis(self.0.hold_ms.load(Ordering::Relaxed))
    }

    /// Whether QR codes are scanned and confirmed by themselves from now on.
    pub fn set_auto_confirm(&self, on: bool) {
        self.0.auto_confirm.store(on, Ordering::Relaxed);
    }

    pub(crate) fn auto_confirm(&self) -> bool {
        self.0.auto_confirm.load(Ordering::Relaxed)
    }

    /// Adds a fault.
    pub fn add_fault(&self, rule: FaultRule) {
        let mut faults = self.0.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.add(rule);
        self.0.any_faults.store(true, Ordering::Relaxed);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        let mut faults = self.0.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.clear();
        self.0.any_faults.store(false, Ordering::Relaxed);
    }

    pub(crate) fn strike(&self, endpoint: &str, account: Option<&str>) -> Option<Fault> {
        if !self.0.any_faults.load(Ordering::Relaxed) {
            return None;
        }
        let mut faults = self.0.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = faults.strike(endpoint, account);
        self.0.any_faults.store(!faults.is_empty(), Ordering::Relaxed);
        if fault.is_some() {
            self.0.counters.faults.fetch_add(1, Ordering::Relaxed);
        }
        fault
    }

    /// Breaches of the protocol, each with its count.
    #[must_use]
    pub fn violations(&self) -> Vec<(Violation, u64)> {
        self.0.violations.list()
    }

    /// Variants that other clients use and the service tolerates, each with its count.
    #[must_use]
    pub fn tolerated(&self) -> Vec<(Violation, u64)> {
        self.0.tolerated.list()
    }

    /// Forgets what was recorded so far.
    pub fn clear_violations(&self) {
        self.0.violations.clear();
        self.0.tolerated.clear();
    }

    /// A receiver of everything that clients send from now on.
    #[must_use]
    pub fn listen(&self) -> mpsc::Receiver<Heard> {
        let (sender, receiver) = mpsc::channel(HEARD_WAITING);
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    pub(crate) fn tell(&self, account: &str, entry: LedgerEntry) {
        self.0.counters.heard.fetch_add(1, Ordering::Relaxed);
        let mut listeners = self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| !listener.is_closed());
        for listener in listeners.iter() {
            // A listener that does not keep up misses some; the ledger has them all.
            let _ = listener.try_send(Heard { account: account.to_owned(), entry: entry.clone() });
        }
    }

    pub(crate) fn next_msg_id(&self) -> u64 {
        self.0.next_msg_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.0.next_number.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        now_ms()
    }

    /// What the counters say now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let accounts = self.accounts();
        let counters = &self.0.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            accounts: accounts.len(),
            sessions: accounts.iter().filter(|account| account.state().session.is_some()).count(),
            polls_open: read(&counters.polls_open),
            connections: read(&counters.connections),
            requests: read(&counters.requests),
            logins: read(&counters.logins),
            said: read(&counters.said),
            heard: read(&counters.heard),
            faults: read(&counters.faults),
        }
    }

    /// Up to `limit` ledger entries of `account`, numbered `from` or later.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn ledger(&self, account: &str, from: u64, limit: usize) -> Result<Vec<LedgerEntry>, String> {
        Ok(self.account(account)?.state().ledger.page(from, limit))
    }
}
