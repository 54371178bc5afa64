//! The nick that we would rather have.

use std::time::Duration;

use tokio::time::Instant;

use super::inbound::nick_of;
use super::session::Session;
use crate::wire::message::Line;

/// Longest pause before a nick that was taken from us is asked for again. Chosen: whoever enforces that it is somebody
/// else's does so each time, and it may be ours again some day.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// What we know of that nick.
pub(super) struct Wanted {
    /// When we got it.
    since: Instant,
    /// It was taken from us, and is not asked for before this; each time twice as long.
    not_before: Instant,
    pause: Duration,
    /// It was free when we did not ask.
    is_free: bool,
    /// When the network is asked about it next, where nobody tells us.
    next_question: Instant,
}

impl Wanted {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, not_before: now, pause: Duration::ZERO, is_free: false, next_question: now }
    }

    /// It is ours.
    pub(super) fn got(&mut self, now: Instant) {
        (self.since, self.is_free) = (now, false);
    }

    /// The network gave us another one, which we did not ask for. Once we have had it for long that counts anew.
    pub(super) fn taken(&mut self, rejoin: Duration, now: Instant) {
        let before = if now >= self.since + LONGEST { Duration::ZERO } else { self.pause };
        self.pause = (before * 2).clamp(rejoin, LONGEST.max(rejoin));
        self.not_before = now + self.pause;
    }
}

impl Session<'_> {
    /// Whose nick we would rather have is free, or not.
    pub(super) fn nick_news(&mut self, numeric: &str, list: &str) {
        let wanted = self.support.fold(&self.relay.config.nick);
        if self.support.fold(&self.me.nick) == wanted {
            return;
        }
        let names = |list: &str| -> Vec<String> {
            list.split([',', ' ']).map(|one| self.support.fold(nick_of(one))).collect()
        };
        let is_named = names(list).contains(&wanted);
        // 731: it is offline, 730: online. 303: those who are online.
        match (numeric, is_named) {
            ("731", true) | ("303", false) => self.take_nick(),
            ("730" | "303", true) => self.wanted_nick.is_free = false,
            _ => {}
        }
    }

    /// Asks for it, or as soon as it may be asked for.
    pub(super) fn take_nick(&mut self) {
        self.wanted_nick.is_free = Instant::now() < self.wanted_nick.not_before;
        if self.wanted_nick.is_free {
            return;
        }
        let line = Line::new().command("NICK").param(&self.relay.config.nick).build();
        self.queue.push_back(line);
    }

    /// Tells NickServ that the nick that we would rather have is ours. It is named where we have another one; by
    /// itself the password is for the nick one has, which the oldest services know as well. Source: Anope and Atheme,
    /// help of NickServ's IDENTIFY.
    pub(super) fn identify(&mut self) {
        let Some(password) = &self.nickserv else { return };
        let wanted = &self.relay.config.nick;
        let words = match self.is_me(wanted) {
            true => format!("IDENTIFY {password}"),
            false => format!("IDENTIFY {wanted} {password}"),
        };
        self.send(&Line::new().command("PRIVMSG").param("NickServ").last(&words).build());
    }

    /// Has the network tell us when the nick that we would rather have is free, where it can.
    pub(super) fn watch_nick(&mut self) {
        if self.support.has_monitor && !self.is_me(&self.relay.config.nick) {
            let line = Line::new().command("MONITOR").param("+").param(&self.relay.config.nick).build();
            self.queue.push_back(line);
        }
    }

    /// Takes the wanted nick when its time has come. Asks now and then whether it is free, where nobody tells us.
    pub(super) fn regain(&mut self, now: Instant) {
        let is_wanted = self.is_me(&self.relay.config.nick);
        if is_wanted {
            return;
        }
        if self.wanted_nick.is_free && now >= self.wanted_nick.not_before {
            self.take_nick();
        }
        if self.support.has_monitor || now < self.wanted_nick.next_question {
            return;
        }
        self.wanted_nick.next_question = now + self.relay.config.limits.rejoin;
        let line = Line::new().command("ISON").param(&self.relay.config.nick).build();
        self.queue.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use wxgate_contract::conformance::Double;

    use super::*;
    use crate::client::session::tests::{hear, pass, relay_of, session, written};

    /// So many seconds pass.
    async fn wait(session: &mut Session<'_>, seconds: u32) {
        let mut now = Instant::now();
        tokio::time::advance(Duration::from_secs(seconds.into())).await;
        pass(session, &mut now, seconds);
    }

    #[tokio::test(start_paused = true)]
    async fn a_nick_that_is_taken_from_us_again_and_again_is_asked_for_more_and_more_rarely() {
        let (mut relay, _running) = relay_of(&Double::new(), &[]);
        let mut session = session(&mut relay);
        session.support.has_monitor = true;
        let mut asked = Vec::new();
        for round in 0..4 {
            hear(&mut session, &format!(":relay!r@h NICK Guest{round}"));
            hear(&mut session, ":irc.test 731 Guest :relay");
            for second in 0..=600 {
                if written(&mut session).contains(&"NICK relay".to_owned()) {
                    asked.push(second);
                    break;
                }
                wait(&mut session, 1).await;
            }
            hear(&mut session, &format!(":Guest{round}!r@h NICK relay"));
        }
        assert_eq!(asked, [60, 120, 240, 480]);
        // Kept for long, it may have been a mistake.
        tokio::time::advance(LONGEST).await;
        hear(&mut session, ":relay!r@h NICK Guest9");
        hear(&mut session, ":irc.test 731 Guest :relay");
        wait(&mut session, 60).await;
        assert!(written(&mut session).contains(&"NICK relay".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_nick_that_somebody_took_meanwhile_is_not_asked_for() {
        let (mut relay, _running) = relay_of(&Double::new(), &[]);
        let mut session = session(&mut relay);
        session.support.has_monitor = true;
        hear(&mut session, ":relay!r@h NICK Guest1");
        hear(&mut session, ":irc.test 731 Guest1 :relay");
        hear(&mut session, ":irc.test 730 Guest1 :relay!u@h");
        wait(&mut session, 61).await;
        assert!(!written(&mut session).contains(&"NICK relay".to_owned()));
    }
}
