//! What local users do about themselves.

use super::modes::Made;
use super::{Event, Floor, MAX_WAS, Was};
use crate::server::caps::Caps;
use crate::wire::casemap::fold;
use crate::wire::numeric as n;

impl Floor<'_> {
    /// Changes the nick; false when it is taken. The line goes to all connections of the user.
    pub(in crate::server) fn rename(&mut self, wanted: &str) -> bool {
        let (me, new, old) = (self.act.me, fold(wanted), fold(&self.nick()));
        if self.state.by_nick.get(&new).is_some_and(|owner| *owner != me) {
            return false;
        }
        let event = Event { msgid: String::new(), ..self.event(format!("NICK {wanted}")) };
        for (folded, _) in self.my_channels() {
            self.log_event(&folded, &event);
        }
        self.tell_nick(wanted, |floor| floor.change_nick(&old, &new, wanted));
        true
    }

    fn change_nick(&mut self, old: &str, new: &str, wanted: &str) {
        let (me, now) = (self.act.me, self.act.now);
        self.state.by_nick.remove(old);
        self.state.by_nick.insert(new.to_owned(), me);
        let Some(user) = self.state.users.get_mut(&me) else { return };
        let before = user.id.clone();
        wanted.clone_into(&mut user.id.nick);
        let prefix = user.prefix();
        if old != new {
            let shown = before.nick.clone();
            self.state.was.push_front(Was { id: before, at: now });
            self.state.was.truncate(MAX_WAS);
            let by = (self.act.server, now);
            self.state.tell_watchers(by, old, n::RPL_MONOFFLINE, &shown, me);
            self.state.tell_watchers(by, new, n::RPL_MONONLINE, &prefix, me);
        }
    }

    /// The acting user said who they are. Source: IRCv3 account-notify.
    pub(in crate::server) fn identify(&mut self, account: &str) {
        let me = self.act.me;
        if let Some(user) = self.state.users.get_mut(&me) {
            user.id.account = Some(account.to_owned());
        }
        self.state.owned_by(me, account);
        let account = super::shown(account);
        self.tell_neighbours(format!("ACCOUNT {account}"), Caps::ACCOUNT_NOTIFY);
        let event = Event { msgid: String::new(), ..self.event(format!("ACCOUNT {account}")) };
        if self.act.caps.has(Caps::ACCOUNT_NOTIFY) {
            self.out.push(event.line(self.act.caps, ""));
        }
    }

    /// The user is gone: nobody of them is connected any more.
    pub(in crate::server) fn quit(&mut self, reason: &str) {
        let me = self.act.me;
        let event = Event { msgid: String::new(), ..self.event(format!("QUIT :{reason}")) };
        let neighbours = self.state.neighbours(me);
        self.tell(neighbours, &|caps| Some(event.line(caps, "")));
        for (folded, _) in self.my_channels() {
            self.log_event(&folded, &event);
            self.leave(&folded, me);
        }
        let now = self.act.now;
        if let Some(user) = self.state.users.remove(&me) {
            let folded = fold(&user.id.nick);
            self.state.by_nick.remove(&folded);
            let shown = user.id.nick.clone();
            self.state.was.push_front(Was { id: user.id, at: now });
            self.state.was.truncate(MAX_WAS);
            self.state.tell_watchers((self.act.server, now), &folded, n::RPL_MONOFFLINE, &shown, me);
        }
    }

    /// Source: IRCv3 away-notify.
    pub(in crate::server) fn away(&mut self, text: Option<String>) {
        let me = self.act.me;
        if let Some(user) = self.state.users.get_mut(&me) {
            if user.away == text {
                return;
            }
            user.away.clone_from(&text);
        }
        let body = text.map_or_else(|| "AWAY".to_owned(), |text| format!("AWAY :{text}"));
        self.tell_neighbours(body, Caps::AWAY_NOTIFY);
    }

    /// Modes of the acting user: bot, invisible, operator, and whether they hear operators.
    pub(in crate::server) fn user_mode(&mut self, modes: Option<&str>) {
        let Some(modes) = modes else {
            let flags = self.me().map(|me| {
                [(me.is_bot, 'B'), (me.is_invisible, 'i'), (me.is_oper, 'o'), (me.hears_wallops, 'w')]
            });
            let set = flags.into_iter().flatten().filter(|(is_set, _)| *is_set);
            let text: String = std::iter::once('+').chain(set.map(|(_, mode)| mode)).collect();
            return self.numeric(n::RPL_UMODEIS, &text);
        };
        let (mut is_plus, mut is_unknown) = (true, false);
        let mut made = Made::default();
        for mode in modes.chars() {
            let me = self.act.me;
            let Some(user) = self.state.users.get_mut(&me) else { return };
            let flag = match mode {
                '+' | '-' => {
                    is_plus = mode == '+';
                    continue;
                }
                'B' => &mut user.is_bot,
                'i' => &mut user.is_invisible,
                'w' => &mut user.hears_wallops,
                'o' if !is_plus => &mut user.is_oper,
                // Source: Modern IRC, "MODE message": to be had with OPER only, and asking for it is no error.
                'o' => continue,
                _ => {
                    is_unknown = true;
                    continue;
                }
            };
            if *flag != is_plus {
                *flag = is_plus;
                made.add(is_plus, mode, None);
            }
        }
        if !made.modes.is_empty() {
            let nick = self.nick();
            let event = Event { msgid: String::new(), ..self.event(format!("MODE {nick} :{}", made.modes)) };
            self.tell([self.act.me], &|caps| Some(event.line(caps, "")));
        }
        if is_unknown {
            self.numeric(n::ERR_UMODEUNKNOWNFLAG, ":Unknown MODE flag");
        }
    }

    /// Source: IRCv3 setname. The acting user's own connections see it too.
    pub(in crate::server) fn set_realname(&mut self, realname: &str) {
        let me = self.act.me;
        if let Some(user) = self.state.users.get_mut(&me) {
            realname.clone_into(&mut user.id.realname);
        }
        self.tell_neighbours(format!("SETNAME :{realname}"), Caps::SETNAME);
    }

    /// Tells who shares a channel, and who watches and takes that (extended-monitor), once each.
    fn tell_neighbours(&mut self, body: String, caps: Caps) {
        let event = Event { msgid: String::new(), ..self.event(body) };
        let (me, folded) = (self.act.me, fold(&self.nick()));
        let neighbours = self.state.neighbours(me);
        let line = |theirs: Caps| theirs.has(caps).then(|| event.line(theirs, ""));
        for (id, user) in self.state.users.iter().filter(|(id, _)| **id != me) {
            for seat in &user.seats {
                let watches = seat.caps.has(Caps::EXTENDED_MONITOR) && seat.watched.contains(&folded);
                if (watches || neighbours.contains(id))
                    && self.is_seen_by(*id)
                    && let Some(line) = line(seat.caps)
                {
                    super::push_line(&seat.queue, &line);
                }
            }
        }
    }
}
