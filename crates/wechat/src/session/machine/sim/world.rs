//! The service, the network, the store, the phone and the owner, as one number plays them.

mod watch;

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use tokio::time::Instant;
use wechat_proto::SyncKey;
use wechat_proto::sync_key::KeyPair;
use wxgate_contract::Health;

use super::*;
use crate::session::passing::Passing;

const HOLD: Duration = Duration::from_secs(25);
/// Messages of one answer. Chosen: small, so that answers go on.
const PAGE: usize = 5;
/// How long the service takes a code or a question on the phone for.
const TICKET: Duration = Duration::from_secs(300);
/// What the service says to whom it does not want; nothing, at times.
const BARRED: &str = "为了你的帐号安全，暂时不能登录网页版微信";
/// Longest sleep of the computer, and farthest that somebody sets its clock. Chosen: longer than a session lives.
const SLEEP: Duration = Duration::from_secs(9 * 3600);
const SET: Duration = Duration::from_secs(2 * 86_400);

const START: Timestamp = Timestamp(1_700_000_000_000);

/// How the service or the network is for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Away,
    Hangs,
    Html,
    Odd(i64),
}

/// A session at the service: the messages that it is for.
#[derive(Debug)]
struct Session {
    number: i64,
    /// Where in the log it begins.
    from: usize,
}

pub(super) struct World {
    dice: SmallRng,
    now: Duration,
    /// Of that the computer slept so long: its timer stood.
    slept: Duration,
    /// How far its clock is off, in milliseconds.
    off_ms: i64,
    began: Instant,
    passing: Passing,
    mood: Mood,
    mood_until: Duration,
    is_calm: bool,
    calm_since: Duration,
    /// Everything said to the account.
    log: usize,
    next_said: Duration,
    session: Option<Session>,
    sessions: i64,
    over: i64,
    ticket: Option<Duration>,
    /// What is on disk: the session, its keys, whether its roster was loaded.
    stored: Option<i64>,
    stored_keys: Option<Keys>,
    is_roster_loaded: bool,
    ending: Option<Ending>,
    uin: Option<i64>,
    store_fails_until: Duration,
    /// The service does not want the account here.
    barred_until: Duration,
    /// It has just said so, in these words.
    said_no: Option<&'static str>,
    /// The owner wants it signed in, as far as anybody knows.
    is_wanted: bool,
    /// It was signed out on the phone while messages crossed: nothing is asked of that phone until somebody wants it.
    phone_left: bool,
    was_online: bool,
    /// As far as its clock tells it may have been away for hours since news were last read.
    was_disturbed: bool,
    /// What the owner was shown last, and how often it was that the account is out.
    shown: Health,
    outs: u32,
    /// What may be the reason for it.
    reasons: u32,
    /// Numbers of messages, as committed.
    committed: Vec<usize>,
    prepared: Option<(usize, usize, Keys)>,
    running: Option<Work>,
    /// When requests brought nothing.
    useless: VecDeque<Duration>,
    requests: usize,
    codes: u32,
    wishes: u32,
    pushes: u32,
    ends: u32,
    logins: u32,
    restarts: u32,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let began = Instant::now();
        Self {
            dice: SmallRng::seed_from_u64(seed),
            now: Duration::ZERO,
            slept: Duration::ZERO,
            off_ms: 0,
            began,
            passing: Passing::from(START, began),
            mood: Mood::Well,
            mood_until: Duration::ZERO,
            is_calm: false,
            calm_since: Duration::ZERO,
            log: 0,
            next_said: Duration::from_secs(1),
            session: None,
            sessions: 0,
            over: 1101,
            ticket: None,
            stored: None,
            stored_keys: None,
            is_roster_loaded: false,
            ending: None,
            uin: None,
            store_fails_until: Duration::ZERO,
            barred_until: Duration::ZERO,
            said_no: None,
            is_wanted: true,
            phone_left: false,
            was_online: false,
            was_disturbed: false,
            shown: Health::Starting,
            outs: 0,
            reasons: 0,
            committed: Vec::new(),
            prepared: None,
            running: None,
            useless: VecDeque::new(),
            requests: 0,
            codes: 0,
            wishes: 0,
            pushes: 0,
            ends: 0,
            logins: 0,
            restarts: 0,
        }
    }

    fn chance(&mut self, share: f64) -> bool {
        self.dice.random_bool(share)
    }

    fn below(&mut self, longest: Duration) -> Duration {
        Duration::from_millis(self.dice.random_range(0..=longest.as_millis() as u64))
    }

    /// What the clock of the computer shows, and how long its timer has run.
    fn clocks(&self) -> (Timestamp, Instant) {
        let wall = START.after(self.now).0.saturating_add(self.off_ms);
        (Timestamp(wall), self.began + (self.now - self.slept))
    }

    /// Time as the driver tells it to the machine.
    pub(super) fn now(&mut self) -> Timestamp {
        let (wall, at) = self.clocks();
        self.passing.read(wall, at)
    }

    pub(super) fn start(&mut self) -> Machine {
        self.prepared = None;
        self.running = None;
        self.said_no = None;
        // What the owner ordered last may not have reached the disk.
        self.is_wanted |= self.stored.is_some();
        self.phone_left = false;
        self.reasons += 1;
        let (wall, at) = self.clocks();
        self.passing = Passing::from(wall, at);
        Machine::new(Timings::default(), SmallRng::seed_from_u64(self.dice.random()))
    }

    pub(super) fn found(&self) -> Found {
        Found {
            is_sealed: false,
            uin: self.uin,
            has_session: self.stored.is_some(),
            keys: self.stored_keys.clone(),
            is_roster_loaded: self.is_roster_loaded,
            ending: self.ending.clone(),
        }
    }

    /// The machine says that the session is over, and how it ended.
    pub(super) fn forget(&mut self, ending: Option<Ending>) {
        self.stored = None;
        self.stored_keys = None;
        self.ending = ending;
    }

    pub(super) fn is_over(&self, calm: Duration) -> bool {
        self.is_calm && self.now - self.calm_since >= calm
    }

    /// What the computer slept through was no trouble.
    pub(super) fn be_calm_after(&mut self, trouble: Duration) {
        if self.now - self.slept >= trouble && !self.is_calm {
            (self.is_calm, self.calm_since, self.mood) = (true, self.now, Mood::Well);
            (self.store_fails_until, self.barred_until) = (Duration::ZERO, Duration::ZERO);
            self.useless.clear();
        }
    }

    /// The program ends at any moment, and starts again.
    pub(super) fn dies(&mut self) -> bool {
        let dies = !self.is_calm && self.chance(0.002);
        self.restarts += u32::from(dies);
        dies
    }

    /// The list of contacts is read beside the work, at some time.
    pub(super) fn looks_beside(&mut self, machine: &Machine) -> Option<Event> {
        if !machine.is_looking() || !self.chance(0.3) {
            return None;
        }
        self.requests += 1;
        Some(Event::Looked(match self.mood {
            _ if !self.valid() => Err(self.gone()),
            Mood::Well if self.now < self.store_fails_until => {
                Err(Fault::Store("the disk is full".to_owned()))
            }
            Mood::Well => {
                self.is_roster_loaded = true;
                Ok(())
            }
            _ => Err(Fault::Network),
        }))
    }

    /// The work that a wish did not touch.
    pub(super) fn goes_on(&mut self) -> Option<Action> {
        self.running.take().map(Action::Run)
    }

    /// Time passes, and things happen in it.
    fn pass(&mut self, by: Duration) {
        let until = self.now + by;
        while self.next_said <= until {
            self.now = self.now.max(self.next_said);
            self.log += 1;
            let longest = Duration::from_secs(if self.chance(0.9) { 20 } else { 1_800 });
            let pause = self.below(longest);
            self.next_said += pause + Duration::from_millis(1);
        }
        self.now = until;
        if self.is_calm {
            return;
        }
        if self.now >= self.mood_until && self.chance(0.03) {
            let odd = [-1, 1, 3, 1205, 4711][self.dice.random_range(0..5)];
            let moods = [Mood::Away, Mood::Hangs, Mood::Html, Mood::Odd(odd), Mood::Odd(odd)];
            self.mood = moods[self.dice.random_range(0..5)];
            self.mood_until = self.now + self.below(Duration::from_secs(3_600));
        } else if self.now >= self.mood_until {
            self.mood = Mood::Well;
        }
        if self.chance(0.01) {
            self.store_fails_until = self.now + self.below(Duration::from_secs(300));
        }
        if self.session.is_some() && self.chance(0.003) {
            let over = [1100, 1101, 1102][self.dice.random_range(0..3)];
            self.end_session(over);
        }
        if self.chance(0.0008) {
            self.barred_until = self.now + self.below(Duration::from_secs(7_200));
            // An account that is limited often loses its session first. Source: the protocol sheet, section 5.4.
            if self.session.is_some() && self.chance(0.5) {
                self.end_session(1102);
            }
        }
        if self.chance(0.0004) {
            self.disturb_clocks();
        }
    }

    fn end_session(&mut self, over: i64) {
        (self.over, self.session) = (over, None);
        (self.ends, self.reasons) = (self.ends + 1, self.reasons + 1);
        // Source: the protocol sheet, section 5.4: so says the service after "log out" on the phone.
        // Away for hours, a session may have expired by itself: then the phone is asked whatever the code.
        self.phone_left = over == 1100 && self.was_online && !self.was_disturbed;
    }

    /// The computer sleeps while the world goes on, or somebody sets its clock.
    fn disturb_clocks(&mut self) {
        (self.phone_left, self.was_disturbed) = (false, true);
        if self.chance(0.5) {
            let sleep = self.below(SLEEP);
            (self.now, self.slept) = (self.now + sleep, self.slept + sleep);
            return;
        }
        let by = i64::try_from(self.below(SET).as_millis()).unwrap();
        self.off_ms += if self.chance(0.5) { by } else { -by };
    }

    fn is_barred(&self) -> bool {
        self.now < self.barred_until
    }

    /// The service says that it does not want the account here.
    fn bar(&mut self) -> (RetCode, String) {
        let words = if self.chance(0.5) { BARRED } else { "" };
        self.said_no = Some(words);
        self.reasons += 1;
        (RetCode::LoginRefused, words.to_owned())
    }

    fn wish(&mut self) -> Event {
        (self.wishes, self.reasons) = (self.wishes + 1, self.reasons + 1);
        (self.is_wanted, self.phone_left) = (true, false);
        Event::SignIn
    }

    /// The next event: what came of the work, or what the owner wants.
    pub(super) fn carry_out(&mut self, work: Option<Work>, keys: Option<Keys>) -> Result<Event, String> {
        let Some(work) = work else {
            // Nothing runs: only the owner can change that.
            let pause = self.below(Duration::from_secs(1_200));
            self.pass(pause);
            return Ok(self.wish());
        };
        self.may(&work)?;
        if self.chance(0.001) {
            self.running = Some(work);
            return Ok(self.wish());
        }
        if !self.is_calm && self.chance(0.0003) {
            (self.is_wanted, self.reasons) = (false, self.reasons + 1);
            return Ok(Event::SignOut);
        }
        let fault = match work {
            Work::Wait(_) | Work::Commit | Work::Leave => None,
            _ => self.fault(),
        };
        if let Some(fault) = fault {
            self.requests += 1;
            self.useless()?;
            return Ok(answer_with(&work, fault));
        }
        self.well(work, keys)
    }

    /// How a request fails, if it does.
    fn fault(&mut self) -> Option<Fault> {
        let pause = self.below(Duration::from_millis(400));
        self.pass(pause);
        let slips = self.chance(0.01) && !self.is_calm;
        match self.mood {
            Mood::Well => slips.then_some(Fault::Network),
            Mood::Away => Some(Fault::Network),
            Mood::Hangs => {
                self.pass(Duration::from_secs(35));
                Some(Fault::TimedOut)
            }
            Mood::Html => Some(Fault::Garbled),
            Mood::Odd(number) => Some(Fault::Ret(RetCode::from_number(number), String::new())),
        }
    }

    fn well(&mut self, work: Work, keys: Option<Keys>) -> Result<Event, String> {
        if !matches!(work, Work::Wait(_) | Work::Commit) {
            self.requests += 1;
        }
        Ok(match work {
            Work::Wait(wait) => {
                self.pass(wait);
                Event::Waited
            }
            Work::FetchQr => {
                self.codes += 1;
                self.ticket = Some(self.now);
                Event::Ticket(Ok("code".to_owned()))
            }
            Work::AskPhone => {
                self.pushes += 1;
                self.ticket = Some(self.now);
                let is_offered = self.chance(0.8) || self.is_calm;
                match self.uin {
                    Some(_) if is_offered => Event::Ticket(Ok("push".to_owned())),
                    _ => Event::Ticket(Err(Fault::Ret(RetCode::Param, String::new()))),
                }
            }
            Work::PollPhone { .. } => self.phone(),
            Work::Enter { .. } if self.is_barred() => {
                let (ret, message) = self.bar();
                Event::Entered(Ok(Entry::Refused { ret, message }))
            }
            Work::Enter { .. } => {
                self.sessions += 1;
                self.logins += 1;
                self.session = Some(Session { number: self.sessions, from: self.log });
                self.uin = Some(5);
                (self.stored, self.stored_keys, self.is_roster_loaded) = (Some(self.sessions), None, false);
                self.ending = None;
                Event::Entered(Ok(Entry::Accepted { uin: 5 }))
            }
            Work::Open if self.is_barred() => {
                let (ret, message) = self.bar();
                Event::Opened(Err(Fault::Ret(ret, message)))
            }
            Work::Open => match self.valid() {
                true => {
                    // What is said before the first opening is not the session's.
                    if self.stored_keys.is_none() {
                        self.session.iter_mut().for_each(|session| session.from = self.log);
                    }
                    let opened = self.stored_keys.clone().unwrap_or_else(|| key(self.log));
                    self.stored_keys = Some(opened.clone());
                    Event::Opened(Ok(opened))
                }
                false => Event::Opened(Err(self.gone())),
            },
            Work::LoadRoster | Work::LookAlone => match self.valid() {
                true => {
                    self.is_roster_loaded = true;
                    Event::RosterLoaded(Ok(()))
                }
                false => Event::RosterLoaded(Err(self.gone())),
            },
            Work::Check => self.check(keys)?,
            Work::Fetch | Work::FetchWhatCanBeRead => self.fetch(keys)?,
            Work::Commit => self.commit()?,
            Work::Leave => {
                self.forget(None);
                self.session = None;
                Event::Left
            }
        })
    }

    fn valid(&self) -> bool {
        self.session.as_ref().map(|session| session.number) == self.stored && self.stored.is_some()
    }

    fn gone(&self) -> Fault {
        Fault::Ret(RetCode::from_number(self.over), String::new())
    }

    /// The owner scans and confirms, or is not there.
    fn phone(&mut self) -> Event {
        let began = self.now;
        let hold = self.below(HOLD);
        self.pass(hold);
        let is_gone = self.ticket.is_none_or(|since| self.now - since > TICKET);
        let is_there = self.is_calm || self.chance(0.2);
        let answer = match (is_gone, is_there) {
            (true, _) => Phone::Gone,
            (false, true) if self.chance(0.1) && !self.is_calm => Phone::Declined,
            (false, true) if self.chance(0.4) => Phone::Scanned { picture: None },
            (false, true) => {
                let page = "https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A";
                Phone::Confirmed { redirect: url::Url::parse(page).unwrap() }
            }
            (false, false) => {
                self.pass(HOLD - hold.min(HOLD));
                Phone::Waiting
            }
        };
        Event::Phone { answer: Ok(answer), took: self.now - began }
    }

    fn check(&mut self, keys: Option<Keys>) -> Result<Event, String> {
        let Some(keys) = keys else { return Err("it polls without a key".to_owned()) };
        let began = self.now;
        while self.valid() && at(&keys) >= self.log && self.now - began < HOLD {
            self.pass(Duration::from_secs(1));
        }
        let ret = match self.valid() {
            _ if self.is_barred() => RetCode::LoginRefused,
            true => RetCode::Ok,
            false => RetCode::from_number(self.over),
        };
        let has_news = ret.is_ok() && at(&keys) < self.log;
        if !ret.is_ok() {
            self.useless()?;
        }
        Ok(Event::Checked(Ok(Checked { ret, has_news, took: self.now - began })))
    }

    fn fetch(&mut self, keys: Option<Keys>) -> Result<Event, String> {
        let Some(keys) = keys else { return Err("it fetches without a key".to_owned()) };
        if self.is_barred() {
            let (ret, message) = self.bar();
            return Ok(Event::Fetched(Err(Fault::Ret(ret, message))));
        }
        if !self.valid() {
            self.useless()?;
            return Ok(Event::Fetched(Err(self.gone())));
        }
        let from = at(&keys);
        let to = (from + PAGE).min(self.log);
        if from == to {
            self.useless()?;
        }
        self.prepared = Some((from, to, key(to)));
        self.was_disturbed = false;
        let fetched =
            Fetched { keys: key(to), has_content: to > from, more: to < self.log, has_unlisted: false };
        Ok(Event::Fetched(Ok(fetched)))
    }

    /// What was fetched is stored with its key, or it is not.
    fn commit(&mut self) -> Result<Event, String> {
        let pause = self.below(Duration::from_millis(20));
        self.pass(pause);
        if self.now < self.store_fails_until {
            self.prepared = None;
            return Ok(Event::Committed(Err(Fault::Store("the disk is full".to_owned()))));
        }
        let Some((from, to, keys)) = self.prepared.take() else { return Ok(Event::Committed(Ok(()))) };
        for message in from..to {
            match self.committed.last() {
                // Known by its id.
                Some(last) if *last >= message => {}
                _ => self.committed.push(message),
            }
        }
        if self.stored.is_some() {
            self.stored_keys = Some(keys);
        }
        // A program that dies here has stored it, and does not know.
        Ok(Event::Committed(Ok(())))
    }
}

fn key(at: usize) -> Keys {
    Keys::first(SyncKey::new(vec![KeyPair { key: 1, val: i64::try_from(at).unwrap() + 1 }]))
}

fn at(keys: &Keys) -> usize {
    usize::try_from(keys.sync.list[0].val - 1).unwrap()
}

fn answer_with(work: &Work, fault: Fault) -> Event {
    match work {
        Work::FetchQr | Work::AskPhone => Event::Ticket(Err(fault)),
        Work::PollPhone { .. } => Event::Phone { answer: Err(fault), took: Duration::ZERO },
        Work::Enter { .. } => Event::Entered(Err(fault)),
        Work::Open => Event::Opened(Err(fault)),
        Work::LoadRoster | Work::LookAlone => Event::RosterLoaded(Err(fault)),
        Work::Check => match fault {
            Fault::Ret(ret, _) => Event::Checked(Ok(Checked { ret, has_news: false, took: Duration::ZERO })),
            fault => Event::Checked(Err(fault)),
        },
        Work::Fetch | Work::FetchWhatCanBeRead => Event::Fetched(Err(fault)),
        Work::Wait(_) => Event::Waited,
        Work::Commit => Event::Committed(Err(Fault::Store("away".to_owned()))),
        Work::Leave => Event::Left,
    }
}
