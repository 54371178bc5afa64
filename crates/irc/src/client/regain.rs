//! The nick that we would rather have.

use tokio::time::Instant;

use super::inbound::nick_of;
use super::session::Session;
use crate::wire::message::Line;

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
        // 731: it is offline. 303: those who are online.
        let is_free = match numeric {
            "731" => is_named,
            "303" => !is_named,
            _ => false,
        };
        if is_free {
            self.take_nick();
        }
    }

    pub(super) fn take_nick(&mut self) {
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

    /// Asks now and then whether the wanted nick is free, where nobody tells us.
    pub(super) fn regain(&mut self, now: Instant) {
        let is_wanted = self.is_me(&self.relay.config.nick);
        if is_wanted || self.support.has_monitor || now < self.next_regain {
            return;
        }
        self.next_regain = now + self.relay.config.limits.rejoin;
        let line = Line::new().command("ISON").param(&self.relay.config.nick).build();
        self.queue.push_back(line);
    }
}
