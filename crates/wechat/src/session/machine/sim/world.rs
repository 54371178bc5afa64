//! The service, the network, the store, the phone and the owner, as one number plays them.

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use wechat_proto::SyncKey;
use wechat_proto::sync_key::KeyPair;
use wxgate_contract::Health;

use super::*;
use crate::chinese::in_chinese;

const HOLD: Duration = Duration::from_secs(25);
/// Messages of one answer. Chosen: small, so that answers go on.
const PAGE: usize = 5;
/// How long the service takes a code or a question on the phone for.
const TICKET: Duration = Duration::from_secs(300);

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
    mood: Mood,
    mood_until: Duration,
    is_calm: bool,
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
        Self {
            dice: SmallRng::seed_from_u64(seed),
            now: Duration::ZERO,
            mood: Mood::Well,
            mood_until: Duration::ZERO,
            is_calm: false,
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

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000).after(self.now)
    }

    pub(super) fn start(&mut self) -> Machine {
        self.prepared = None;
        self.running = None;
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

    pub(super) fn is_over(&self, after: Duration) -> bool {
        self.now >= after
    }

    pub(super) fn be_calm_after(&mut self, after: Duration) {
        if self.now >= after && !self.is_calm {
            self.is_calm = true;
            (self.mood, self.store_fails_until) = (Mood::Well, Duration::ZERO);
            self.useless.clear();
        }
    }

    /// The program ends at any moment, and starts again.
    pub(super) fn dies(&mut self) -> bool {
        let dies = !self.is_calm && self.chance(0.002);
        self.restarts += u32::from(dies);
        dies
    }

    /// Whatever the machine shows must fit what it does.
    pub(super) fn look_at(&mut self, machine: &Machine) -> Result<(), String> {
        let stands = machine.standing() == Standing::Online;
        if stands != (machine.state == State::Online) {
            return Err(format!("{:?} stands as {:?}", machine.state, machine.standing()));
        }
        let health = machine.health();
        if !health.detail().is_empty() && in_chinese(health.detail()).is_none() {
            return Err(format!("not said in Chinese: {}", health.detail()));
        }
        if self.codes > (self.wishes + 1) * MAX_CODES {
            return Err(format!("{} codes for {} wishes", self.codes, self.wishes));
        }
        // One question to the phone for each session that ended, and one more after each start and each wish.
        if self.pushes > self.ends + self.restarts + self.wishes {
            return Err(format!("{} questions to the phone for {} ends", self.pushes, self.ends));
        }
        Ok(())
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

    fn useless(&mut self) -> Result<(), String> {
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
            self.over = [1100, 1101, 1102][self.dice.random_range(0..3)];
            self.session = None;
            self.ends += 1;
        }
    }

    /// The next event: what came of the work, or what the owner wants.
    pub(super) fn carry_out(&mut self, work: Option<Work>, keys: Option<Keys>) -> Result<Event, String> {
        let Some(work) = work else {
            // Nothing runs: only the owner can change that.
            let pause = self.below(Duration::from_secs(1_200));
            self.pass(pause);
            self.wishes += 1;
            return Ok(Event::SignIn);
        };
        if self.chance(0.001) {
            self.running = Some(work);
            self.wishes += 1;
            return Ok(Event::SignIn);
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
            Work::Enter { .. } => {
                self.sessions += 1;
                self.logins += 1;
                self.session = Some(Session { number: self.sessions, from: self.log });
                self.uin = Some(5);
                (self.stored, self.stored_keys, self.is_roster_loaded) = (Some(self.sessions), None, false);
                self.ending = None;
                Event::Entered(Ok(Entry::Accepted { uin: 5 }))
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
        let ret = RetCode::from_number(if self.valid() { 0 } else { self.over });
        let has_news = ret.is_ok() && at(&keys) < self.log;
        if !ret.is_ok() {
            self.useless()?;
        }
        Ok(Event::Checked(Ok(Checked { ret, has_news, took: self.now - began })))
    }

    fn fetch(&mut self, keys: Option<Keys>) -> Result<Event, String> {
        let Some(keys) = keys else { return Err("it fetches without a key".to_owned()) };
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

    /// When all has been well for long: it is online, and has everything that its session was for.
    pub(super) fn judge(&self, machine: &Machine) -> Result<Sum, String> {
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
