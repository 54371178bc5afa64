//! Poll, fetch, commit, adopt, poll; and what happens when one of them fails.

use std::time::Duration;

use wechat_proto::{Reaction, RetCode};
use wxgate_contract::{SignInStep, Timestamp};

use super::{
    Action, Checked, EMPTY_ALLOWED, EXPIRES, Event, Fault, Fetched, GARBLED_ALLOWED, MAX_RESTLESS,
    MAX_ROUNDS, MAX_STRIKES, Machine, OVERTAKEN_ALLOWED, QUICK_ALLOWED, STEADY, State, Work,
    sign_in::in_its_words,
};

impl Machine {
    pub(super) fn fetch(&mut self, out: &mut Vec<Action>) {
        self.next_keys = None;
        let is_stuck = self.garbled > GARBLED_ALLOWED;
        self.run(if is_stuck { Work::FetchWhatCanBeRead } else { Work::Fetch }, out);
    }

    pub(super) fn go_online(&mut self, now: Timestamp) {
        if matches!(self.state, State::Resuming { attempt } if self.was_online && attempt > self.quiet_attempts())
        {
            self.restless = (self.restless + 1).min(MAX_RESTLESS);
        }
        self.online_since = now;
        self.state = State::Online;
        self.was_online = true;
        self.trouble = None;
        self.last_fetch = now;
        // A line whose polls break off stays online; what is over is the absence.
        self.faults = 0;
        if self.roster_due.is_none() && !self.is_looking {
            self.read_again_some_day(now);
        }
        self.look_when_due(now, false);
    }

    pub(super) fn online(&mut self, answer: Event, now: Timestamp, out: &mut Vec<Action>) {
        match answer {
            // After every pause a sync, not a poll: it is the one answer that settles doubts.
            Event::Waited => self.fetch(out),
            Event::Checked(Ok(checked)) => self.checked(checked, now, out),
            Event::Checked(Err(Fault::TimedOut)) => {
                self.asked_by_poll = false;
                self.fetch(out);
            }
            // A poll that broke off or cannot be read may mean news, and says nothing of the line: that decides the sync.
            // The first one costs no delay. Source: the protocol sheet, section 2.11 (anomalies).
            Event::Checked(Err(Fault::Garbled | Fault::Network)) if self.faults == 0 => {
                self.faults = 1;
                self.asked_by_poll = false;
                self.fetch(out);
            }
            Event::Checked(Err(fault @ (Fault::Garbled | Fault::Network))) => {
                self.asked_by_poll = false;
                self.trouble = Some(fault);
                let wait = self.back_off();
                self.wait(wait, out);
            }
            Event::Checked(Err(fault)) => self.go_offline(fault, out),
            Event::Fetched(Ok(fetched)) => self.fetched(fetched, now, out),
            Event::Fetched(Err(fault)) => self.fetch_failed(fault, out),
            Event::Committed(Ok(())) => self.committed(out),
            Event::Committed(Err(fault)) => self.commit_failed(fault, out),
            Event::RosterLoaded(done) => {
                self.looked_through(&done, now);
                match done {
                    Err(fault @ Fault::Ret(ret, _)) if ret.reaction() == Reaction::SlowDown => {
                        self.go_offline(fault, out);
                    }
                    // Whatever it was, the poll finds out.
                    _ => self.run(Work::Check, out),
                }
            }
            _ => {}
        }
    }

    pub(super) fn resuming(&mut self, attempt: u32, answer: Event, now: Timestamp, out: &mut Vec<Action>) {
        match answer {
            Event::Waited => self.fetch(out),
            Event::Fetched(Ok(fetched)) => {
                if self.step.is_some() || self.is_asked {
                    self.tell(SignInStep::Done, out);
                    self.is_asked = false;
                }
                self.go_online(now);
                self.fetched(fetched, now, out);
            }
            Event::Fetched(Err(Fault::Ret(ret, _))) if ret.ends_session() => match self.doubt.replace(ret) {
                Some(first) if self.was_online && now.since(self.last_fetch) < EXPIRES => {
                    self.lost(first, out)
                }
                Some(first) => self.revive(first, out),
                None => self.wait(self.timings.confirm_after, out),
            },
            Event::Fetched(Err(Fault::Ret(ret, words))) if ret.reaction() == Reaction::Refused => {
                self.refuse(in_its_words(ret, &words), out);
            }
            Event::Fetched(Err(fault)) => self.stay_offline(attempt, fault, out),
            _ => {}
        }
    }

    fn go_offline(&mut self, fault: Fault, out: &mut Vec<Action>) {
        self.asked_by_poll = false;
        self.stay_offline(0, fault, out);
    }

    /// Comes back later: soon at first, then every minute, and much later when the service says "too much".
    fn stay_offline(&mut self, attempt: u32, fault: Fault, out: &mut Vec<Action>) {
        self.state = State::Offline { attempt: attempt.saturating_add(1) };
        let is_too_much = matches!(&fault, Fault::Ret(ret, _) if ret.reaction() == Reaction::SlowDown);
        self.trouble = Some(fault);
        if is_too_much {
            return self.slow_down(out);
        }
        let wait = self.back_off();
        self.wait(wait, out);
    }

    fn checked(&mut self, checked: Checked, now: Timestamp, out: &mut Vec<Action>) {
        if checked.ret.ends_session() {
            self.doubt = Some(checked.ret);
            self.asked_by_poll = false;
            return self.wait(self.timings.confirm_after, out);
        }
        if checked.ret.reaction() == Reaction::SlowDown {
            return self.go_offline(Fault::Ret(checked.ret, String::new()), out);
        }
        if !checked.ret.is_ok() {
            // Not the end: back off and look.
            self.asked_by_poll = false;
            self.trouble = Some(Fault::Ret(checked.ret, String::new()));
            let wait = self.back_off();
            return self.wait(wait, out);
        }
        self.faults = 0;
        self.trouble = None;
        self.strikes = 0;
        if now.since(self.online_since) >= STEADY {
            self.restless = 0;
        }
        if checked.has_news {
            self.asked_by_poll = true;
            return self.fetch(out);
        }
        self.empty = 0;
        self.look_when_due(now, true);
        if now.since(self.last_fetch) >= self.timings.unasked_sync {
            self.asked_by_poll = false;
            return self.fetch(out);
        }
        self.quick = if checked.took < self.timings.shortest_hold { self.quick.saturating_add(1) } else { 0 };
        if self.quick > QUICK_ALLOWED {
            self.asked_by_poll = false;
            self.wait(self.timings.shortest_hold, out);
        } else {
            self.poll(out);
        }
    }

    /// Begins to read the list when its time has come: in a quiet moment, which is waited for, but not for long where
    /// there is none, and not at all while there is no list.
    fn look_when_due(&mut self, now: Timestamp, is_quiet: bool) {
        let waits = !(is_quiet || self.lacks_roster);
        let wait = if waits { self.timings.unasked_sync } else { Duration::ZERO };
        if self.is_looking || self.roster_due.is_none_or(|due| now < due.after(wait)) {
            return;
        }
        self.roster_due = None;
        // What changes all the time is never read beside its changes.
        self.looks_alone = self.overtaken > OVERTAKEN_ALLOWED;
        self.is_looking = !self.looks_alone;
    }

    /// The poll, or what is to be read instead of it.
    fn poll(&mut self, out: &mut Vec<Action>) {
        let work = if std::mem::take(&mut self.looks_alone) { Work::LookAlone } else { Work::Check };
        self.run(work, out);
    }

    /// Changes come without the version that the list has, so it is read now and then.
    fn read_again_some_day(&mut self, now: Timestamp) {
        let wait = self.jittered(self.timings.reread_roster);
        self.roster_due = Some(now.after(wait));
    }

    /// What came of reading the list beside the work.
    pub(super) fn looked(&mut self, done: &Result<(), Fault>, now: Timestamp) {
        if std::mem::take(&mut self.is_looking) {
            self.looked_through(done, now);
        }
    }

    fn looked_through(&mut self, done: &Result<(), Fault>, now: Timestamp) {
        self.lacks_roster &= done.is_err();
        self.overtaken = match done {
            Err(Fault::Superseded) => self.overtaken.saturating_add(1),
            _ => 0,
        };
        self.reread_at = Some(now);
        match done {
            Ok(()) if self.roster_due.is_none() => self.read_again_some_day(now),
            Err(Fault::Superseded) => self.roster_due = Some(now.after(self.timings.retry_cap)),
            // It failed, or somebody turned up meanwhile.
            _ => self.roster_due = Some(now.after(self.timings.unasked_sync)),
        }
    }

    /// Whoever is not in the list as it was read may be somebody known: it is read again in the next quiet moment, and
    /// then not for a while.
    fn look_again(&mut self, now: Timestamp) {
        let due = self.reread_at.map_or(now, |at| at.after(self.timings.unasked_sync).max(now));
        self.roster_due = Some(self.roster_due.map_or(due, |other| other.min(due)));
    }

    fn fetched(&mut self, fetched: Fetched, now: Timestamp, out: &mut Vec<Action>) {
        self.last_fetch = now;
        // The first reading takes in whoever turned up before it, and may be past whoever does now.
        if fetched.has_unlisted && (self.is_looking || !self.lacks_roster) {
            self.look_again(now);
        }
        self.look_when_due(now, false);
        if let Some(ret) = self.doubt.take() {
            // The poll said it is over and the sync did not: the sync is right, up to a point.
            self.strikes = self.strikes.saturating_add(1);
            if self.strikes >= MAX_STRIKES {
                return self.lost(ret, out);
            }
        }
        self.more = fetched.more && fetched.has_content && self.rounds < MAX_ROUNDS;
        self.rounds = if self.more { self.rounds + 1 } else { 0 };
        self.empty = if fetched.has_content {
            0
        } else if self.asked_by_poll {
            self.empty.saturating_add(1)
        } else {
            self.empty
        };
        let is_same = self.keys.as_ref() == Some(&fetched.keys);
        self.next_keys = Some(fetched.keys);
        if fetched.has_content || !is_same {
            self.run(Work::Commit, out);
        } else {
            self.committed(out);
        }
    }

    fn committed(&mut self, out: &mut Vec<Action>) {
        self.store_trouble = None;
        if let Some(keys) = self.next_keys.take() {
            self.keys = Some(keys);
        }
        if self.more {
            return self.fetch(out);
        }
        match self.empty.checked_sub(EMPTY_ALLOWED + 1) {
            // The poll keeps saying "news" and there is none: spaced, the session stays.
            // Source: the protocol sheet, section 2.11 (anomalies).
            Some(over) => {
                let full = Duration::from_secs(1 << over.min(10)).min(self.timings.empty_cap);
                let wait = self.jittered(full);
                self.wait(wait, out);
            }
            None => self.poll(out),
        }
    }

    fn commit_failed(&mut self, fault: Fault, out: &mut Vec<Action>) {
        if !matches!(fault, Fault::Store(_) | Fault::Superseded) {
            return self.go_offline(fault, out);
        }
        // Nothing is acknowledged: the same key brings the same news again.
        self.next_keys = None;
        self.more = false;
        let Fault::Store(why) = fault else { return self.run(Work::Fetch, out) };
        self.store_trouble = Some(why);
        let wait = self.back_off();
        self.wait(wait, out);
    }

    fn fetch_failed(&mut self, fault: Fault, out: &mut Vec<Action>) {
        match fault {
            Fault::Ret(ret, _) if ret.ends_session() => match self.doubt.replace(ret) {
                Some(first) => self.lost(first, out),
                None => self.wait(self.timings.confirm_after, out),
            },
            Fault::Store(why) => self.commit_failed(Fault::Store(why), out),
            Fault::Ret(ret, words) if ret.reaction() == Reaction::Refused => {
                self.refuse(in_its_words(ret, &words), out);
            }
            fault => self.go_offline(fault, out),
        }
    }

    /// The session is over, and that was confirmed.
    ///
    /// (A session that is *found* over at a start, or after a long absence, asks the phone whatever the code: while we
    /// were away it may have expired, which looks the same. Source: the protocol sheet, section 5.1 (R to P).)
    ///
    /// 1100 is what the service says after "log out" on the phone: asking that phone at once to
    /// confirm a new sign-in would be rude. Any other end may be a glitch or an expiry, and one
    /// question to the phone costs less than a scan, though none is owed: the sheet's picture goes
    /// from a running session to a code after each of them.
    /// Source: the protocol sheet, sections 5.1 (H to A) and 5.4 (table); which code means what is disputed there.
    fn lost(&mut self, ret: RetCode, out: &mut Vec<Action>) {
        if ret == RetCode::NotLoggedIn {
            self.end("the phone signed this account out", out);
        } else {
            self.revive(ret, out);
        }
    }
}
