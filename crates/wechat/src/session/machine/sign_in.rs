//! From "somebody wants in" to an open session.

use wechat_proto::{Reaction, RetCode};
use wxgate_contract::{SignInStep, Timestamp};

use super::{Action, Entry, Event, Fault, MAX_CODES, MAX_SIGN_IN_FAULTS, Machine, Phone, State, Work};

/// Tries of the ticket exchange. Source: the protocol sheet, section 2.1.7.
const ENTRY_TRIES: u32 = 3;
/// Tries of an opening that the service refuses. Source: the protocol sheet, section 5.1 (E).
const REFUSED_OPENINGS: u32 = 2;
/// Tries of an opening whose answers cannot be read. Chosen.
const GARBLED_OPENINGS: u32 = 6;
/// Tries of a roster that does not load before the news go first. Chosen: a fault of a moment costs nobody the names.
const ROSTER_TRIES: u32 = 2;
/// Unreadable answers to a push login before a code has to do. Chosen: a page under an error status
/// is a matter of seconds, and a code costs somebody a walk to the phone.
const GARBLED_PUSHES: u32 = 3;
/// What is told while the service wants a session that is being opened to be left alone.
pub(super) const LEFT_ALONE: &str =
    "WeChat says that this account does too much; it is left alone for a while";
/// What is added to how the session ended when the phone was asked in vain.
const UNCONFIRMED: &str = ", and the phone did not confirm a new sign-in";

impl Machine {
    /// Somebody asks to sign in, or to follow the sign-in that is under way.
    ///
    /// An account that was signed in before asks the phone, and shows a code when that does not agree soon. Whoever was
    /// refused begins anew by a code: a sign-in that goes on from the last one would be what was refused.
    /// Source: the protocol sheet, section 5.8 ("prefer it over QR").
    pub(super) fn asked(&mut self, now: Timestamp, out: &mut Vec<Action>) {
        if self.is_left_alone() && matches!(self.state, State::Opening { .. }) {
            return out.push(Action::Tell(SignInStep::Failed { why: LEFT_ALONE.to_owned() }));
        }
        if !self.is_asked {
            self.asked_at = now;
        }
        match &mut self.state {
            State::SignedOut | State::Ended { .. } if self.uin.is_some() => {
                self.begin_asked();
                self.state = State::Reviving;
                self.tell(SignInStep::Starting, out);
                self.run(Work::AskPhone, out);
            }
            State::SignedOut | State::Ended { .. } | State::Refused { .. } => {
                self.begin_asked();
                self.fetch_qr(out);
            }
            State::Leaving { again } => *again = true,
            State::Online => out.push(Action::Tell(SignInStep::Done)),
            _ => {
                self.is_asked = true;
                self.codes = self.codes.min(1);
                let step = self.step.clone().unwrap_or(SignInStep::Loading);
                self.tell(step, out);
            }
        }
    }

    fn begin_asked(&mut self) {
        self.is_asked = true;
        (self.codes, self.faults, self.over) = (0, 0, None);
    }

    /// Asks for the next code, within the budget of one sign-in.
    fn fetch_qr(&mut self, out: &mut Vec<Action>) {
        if self.codes >= MAX_CODES {
            self.end("nobody scanned the code in time", out);
            return;
        }
        self.state = State::FetchingQr;
        if self.codes == 0 {
            self.tell(SignInStep::Starting, out);
        }
        self.run(Work::FetchQr, out);
    }

    /// Asks the phone to approve again, without a code.
    pub(super) fn revive(&mut self, over: RetCode, out: &mut Vec<Action>) {
        self.forget_session();
        self.over = Some(over);
        self.state = State::Reviving;
        self.run(Work::AskPhone, out);
    }

    pub(super) fn ticket(&mut self, answer: Event, now: Timestamp, out: &mut Vec<Action>) {
        let is_push = self.state == State::Reviving;
        match answer {
            Event::Waited if is_push => self.run(Work::AskPhone, out),
            Event::Waited => self.run(Work::FetchQr, out),
            Event::Ticket(Ok(uuid)) if is_push => {
                self.faults = 0;
                self.tell(SignInStep::ConfirmOnPhone { is_push, picture: None }, out);
                self.run(Work::PollPhone { uuid: uuid.clone(), polled: false }, out);
                self.state = State::AwaitingConfirm { uuid, is_push, since: now, polled: true };
            }
            Event::Ticket(Ok(uuid)) => {
                self.faults = 0;
                self.codes += 1;
                let text = wechat_proto::qr::text(&uuid);
                self.tell(SignInStep::ShowQr { text, number: self.codes }, out);
                self.run(Work::PollPhone { uuid: uuid.clone(), polled: false }, out);
                self.state = State::AwaitingScan { uuid, polled: true };
            }
            // Somebody waits for a code.
            Event::Ticket(Err(_)) if is_push && self.is_asked => self.without_push("", out),
            Event::Ticket(Err(Fault::Network | Fault::TimedOut)) if is_push => {
                let wait = self.back_off();
                self.wait(wait, out);
            }
            Event::Ticket(Err(Fault::Garbled)) if is_push && self.faults + 1 < GARBLED_PUSHES => {
                let wait = self.back_off();
                self.wait(wait, out);
            }
            // A push login that is not offered is no trouble: a code does it, if somebody looks.
            Event::Ticket(Err(_)) if is_push => self.without_push("", out),
            Event::Ticket(Err(fault)) if self.faults >= MAX_SIGN_IN_FAULTS => {
                self.end(gave_up(&fault), out);
            }
            Event::Ticket(Err(_)) => {
                let wait = self.back_off();
                self.wait(wait, out);
            }
            _ => {}
        }
    }

    /// The phone was asked and did not approve: a code, if somebody looks at it.
    fn without_push(&mut self, phone: &str, out: &mut Vec<Action>) {
        if self.is_asked {
            self.faults = 0;
            self.fetch_qr(out);
        } else {
            self.end(format!("{}{phone}", self.end_in_words()), out);
        }
    }

    pub(super) fn phone(&mut self, answer: Event, now: Timestamp, out: &mut Vec<Action>) {
        let (uuid, push_since, is_scanned) = match &self.state {
            State::AwaitingScan { uuid, .. } => (uuid.clone(), None, false),
            State::AwaitingConfirm { uuid, is_push, since, .. } => {
                (uuid.clone(), is_push.then_some(*since), true)
            }
            _ => return,
        };
        let again = Work::PollPhone { uuid: uuid.clone(), polled: true };
        let (answer, took) = match answer {
            Event::Waited => return self.run(again, out),
            Event::Phone { answer, took } => (answer, took),
            _ => return,
        };
        let is_quick = took < self.timings.shortest_hold;
        let is_too_long = push_since.is_some_and(|since| self.is_too_long(since, now));
        match answer {
            Ok(Phone::Confirmed { redirect }) => {
                self.faults = 0;
                self.state = State::Entering { redirect: redirect.clone(), tries: 1 };
                self.tell(SignInStep::Loading, out);
                self.run(Work::Enter { redirect }, out);
            }
            Ok(Phone::Scanned { picture }) if !is_scanned => {
                self.faults = 0;
                self.tell(SignInStep::ConfirmOnPhone { is_push: false, picture }, out);
                self.state = State::AwaitingConfirm { uuid, is_push: false, since: now, polled: true };
                self.run(again, out);
            }
            Ok(Phone::Waiting | Phone::Scanned { .. }) | Err(Fault::TimedOut) if is_too_long => {
                self.without_push(UNCONFIRMED, out);
            }
            Err(_) if is_too_long && self.is_asked => self.without_push(UNCONFIRMED, out),
            Ok(Phone::Waiting | Phone::Scanned { .. }) => {
                self.faults = 0;
                if is_quick {
                    // The service repeats itself at once in some states; that is no long poll.
                    self.wait(self.timings.shortest_hold, out);
                } else {
                    self.run(again, out);
                }
            }
            Ok(Phone::Declined) if push_since.is_some() => {
                self.without_push(", and a new sign-in was declined on the phone", out);
            }
            Ok(Phone::Gone) if push_since.is_some() => self.without_push(UNCONFIRMED, out),
            Ok(Phone::Declined | Phone::Gone) => self.fetch_qr(out),
            Err(Fault::TimedOut) => self.run(again, out),
            Err(fault) if self.faults >= MAX_SIGN_IN_FAULTS => self.end(gave_up(&fault), out),
            Err(_) => {
                let wait = self.back_off();
                self.wait(wait, out);
            }
        }
    }

    /// Whether the phone has been waited for long enough: whoever asked wants a code.
    fn is_too_long(&self, since: Timestamp, now: Timestamp) -> bool {
        let asked = now.since(since.max(self.asked_at));
        now.since(since) >= self.timings.push_patience
            || (self.is_asked && asked >= self.timings.asked_patience)
    }

    pub(super) fn entering(&mut self, redirect: url::Url, tries: u32, answer: Event, out: &mut Vec<Action>) {
        match answer {
            Event::Waited => {
                self.state = State::Entering { redirect: redirect.clone(), tries: tries + 1 };
                self.run(Work::Enter { redirect }, out);
            }
            Event::Entered(Ok(Entry::Accepted { uin })) => {
                if self.uin.is_some_and(|known| known != uin) {
                    self.refuse(
                        "the phone belongs to another WeChat account than the one signed in here before",
                        out,
                    );
                    return;
                }
                self.faults = 0;
                self.uin = Some(uin);
                (self.keys, self.is_found) = (None, false);
                self.state = State::Opening { is_open: false, tries: 0 };
                self.run(Work::Open, out);
            }
            Event::Entered(Ok(Entry::WantsBrowser)) => {
                self.refuse("WeChat wants a real browser for this account", out);
            }
            Event::Entered(Ok(Entry::Refused { ret, message })) => match ret.reaction() {
                Reaction::Refused => self.refuse(in_its_words(ret, &message), out),
                Reaction::RefreshContact if tries < ENTRY_TRIES => {
                    let wait = self.back_off();
                    self.wait(wait, out);
                }
                _ => self.end(in_its_words(ret, &message), out),
            },
            Event::Entered(Err(_)) if tries < ENTRY_TRIES => {
                let wait = self.back_off();
                self.wait(wait, out);
            }
            Event::Entered(Err(_)) => self.end("WeChat did not complete the sign-in", out),
            _ => {}
        }
    }

    pub(super) fn opening(&mut self, tries: u32, answer: Event, now: Timestamp, out: &mut Vec<Action>) {
        let is_open = matches!(self.state, State::Opening { is_open: true, .. });
        match answer {
            Event::Waited if is_open => self.run(Work::LoadRoster, out),
            Event::Waited => self.run(Work::Open, out),
            Event::Opened(Ok(keys)) => {
                // A stored key is older than the one of a new opening: what lies between would be lost.
                self.keys.get_or_insert(keys);
                self.faults = 0;
                self.trouble = None;
                self.state = State::Opening { is_open: true, tries: 0 };
                self.run(Work::LoadRoster, out);
            }
            Event::RosterLoaded(Ok(())) => {
                (self.roster_due, self.lacks_roster) = (None, false);
                self.open_for_news(now, out);
            }
            Event::Opened(Err(fault)) | Event::RosterLoaded(Err(fault)) => {
                self.opening_failed(is_open, tries, fault, now, out);
            }
            _ => {}
        }
    }

    /// Names are fetched as they turn up, and the roster is read beside the news, in the first quiet moment and then now
    /// and again: news must not wait for it. Source: the protocol sheet, sections 5.1 (G) and 5.3.
    fn open_without_roster(&mut self, now: Timestamp, out: &mut Vec<Action>) {
        (self.roster_due, self.lacks_roster) = (Some(now), true);
        self.open_for_news(now, out);
    }

    fn open_for_news(&mut self, now: Timestamp, out: &mut Vec<Action>) {
        if self.step.is_some() || self.is_asked {
            self.tell(SignInStep::Done, out);
        }
        self.is_asked = false;
        self.go_online(now);
        self.run(Work::Check, out);
    }

    fn opening_failed(
        &mut self,
        is_open: bool,
        tries: u32,
        fault: Fault,
        now: Timestamp,
        out: &mut Vec<Action>,
    ) {
        let tries = tries + 1;
        self.state = State::Opening { is_open, tries };
        match fault {
            Fault::Ret(ret, message) => match ret.reaction() {
                Reaction::Refused => return self.refuse(in_its_words(ret, &message), out),
                Reaction::SlowDown if is_open && tries >= ROSTER_TRIES => {
                    return self.open_without_roster(now, out);
                }
                Reaction::SlowDown => {
                    // Says nothing about the session, so it does not count against it.
                    let tries = if is_open { tries } else { tries - 1 };
                    self.state = State::Opening { is_open, tries };
                    self.trouble = Some(Fault::Ret(ret, message));
                    self.tell_waiting(LEFT_ALONE, out);
                    return self.slow_down(out);
                }
                // A session that was found over asks the phone. Source: the protocol sheet, section 5.1 (R to P).
                Reaction::SessionOver | Reaction::Bug
                    if (is_open || self.is_found) && tries >= REFUSED_OPENINGS =>
                {
                    return self.revive(ret, out);
                }
                Reaction::SessionOver | Reaction::Bug if tries >= REFUSED_OPENINGS => {
                    let why = format!("WeChat refused the session right after the sign-in: {ret}");
                    return self.end(why, out);
                }
                _ if is_open && tries >= ROSTER_TRIES => return self.open_without_roster(now, out),
                _ if tries == GARBLED_OPENINGS => {
                    self.tell_waiting(&format!("{}; still trying", in_its_words(ret, &message)), out);
                }
                _ => {}
            },
            // If it is the connection that fails, the poll will find out.
            Fault::TimedOut if is_open => return self.open_without_roster(now, out),
            Fault::Garbled | Fault::Network if is_open && tries >= ROSTER_TRIES => {
                return self.open_without_roster(now, out);
            }
            Fault::Network | Fault::TimedOut | Fault::Garbled | Fault::Store(_) | Fault::Superseded
                if tries == MAX_SIGN_IN_FAULTS =>
            {
                let why = "the phone confirmed, but WeChat does not open the session; still trying";
                self.tell_waiting(why, out);
            }
            Fault::Network | Fault::TimedOut | Fault::Garbled | Fault::Store(_) | Fault::Superseded => {}
        }
        let wait = self.back_off();
        self.wait(wait, out);
    }

    /// Whoever waits for the sign-in is told at last; the session is there and is tried on.
    fn tell_waiting(&mut self, why: &str, out: &mut Vec<Action>) {
        if self.step.is_some() {
            self.tell(SignInStep::Failed { why: why.to_owned() }, out);
        }
        self.is_asked = false;
    }
}

/// Why a sign-in was given up after many tries.
fn gave_up(fault: &Fault) -> String {
    match fault {
        Fault::Garbled => "WeChat's answers could not be read".to_owned(),
        Fault::Ret(ret, words) => in_its_words(*ret, words),
        Fault::Network | Fault::TimedOut | Fault::Store(_) | Fault::Superseded => {
            "WeChat could not be reached".to_owned()
        }
    }
}

/// The service's own sentence, which says more than any of ours; else the code.
pub(super) fn in_its_words(ret: RetCode, message: &str) -> String {
    let message = message.trim();
    if message.is_empty() { format!("WeChat refused: {ret}") } else { message.chars().take(300).collect() }
}
