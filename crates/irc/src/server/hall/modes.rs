//! Modes of local channels: b k l i m n s t, and o h v of members.

use wxgate_contract::Timestamp;

use super::{Event, Floor, UserId, shown};
use crate::wire::casemap::{is_same, matches_mask};
use crate::wire::numeric as n;

/// Bans of one channel; announced as MAXLIST. Chosen.
pub(in crate::server) const MAX_BANS: usize = 100;
/// Longest key; announced as KEYLEN. Chosen.
pub(in crate::server) const KEY_BYTES: usize = 32;
/// Longest mask of a ban. Chosen.
const MASK_BYTES: usize = 200;
/// Changes with a parameter in one command; announced as MODES.
pub(in crate::server) const MAX_CHANGES: usize = 6;

/// What a member may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) is_op: bool,
    pub(super) is_half: bool,
    pub(super) has_voice: bool,
}

impl Status {
    pub(super) const OP: Self = Self { is_op: true, is_half: false, has_voice: false };

    /// All signs, the highest first.
    pub(super) fn signs(self) -> String {
        [(self.is_op, '@'), (self.is_half, '%'), (self.has_voice, '+')]
            .into_iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, sign)| sign)
            .collect()
    }

    /// One sign, or all of them where the client takes that.
    pub(super) fn shown(self, with_all: bool) -> String {
        let mut signs = self.signs();
        if !with_all {
            signs.truncate(1);
        }
        signs
    }

    pub(super) fn may_moderate(self) -> bool {
        self.is_op || self.is_half
    }

    pub(super) fn may_speak(self) -> bool {
        self.is_op || self.is_half || self.has_voice
    }

    /// Kicking and the like need at least what the other has.
    pub(super) fn outranks(self, other: Self) -> bool {
        self.is_op || (self.is_half && !other.is_op && !other.is_half)
    }

    fn slot(&mut self, mode: char) -> Option<&mut bool> {
        match mode {
            'o' => Some(&mut self.is_op),
            'h' => Some(&mut self.is_half),
            'v' => Some(&mut self.has_voice),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Ban {
    mask: String,
    by: String,
    at: Timestamp,
}

#[derive(Debug)]
pub(super) struct Modes {
    pub(super) invite_only: bool,
    pub(super) moderated: bool,
    pub(super) no_outside: bool,
    pub(super) secret: bool,
    pub(super) topic_lock: bool,
    pub(super) key: Option<String>,
    pub(super) limit: Option<usize>,
    bans: Vec<Ban>,
}

impl Modes {
    /// Of a new channel: no messages from outside, the topic to operators.
    pub(super) fn new() -> Self {
        Self {
            invite_only: false,
            moderated: false,
            no_outside: true,
            secret: false,
            topic_lock: true,
            key: None,
            limit: None,
            bans: Vec::new(),
        }
    }

    fn flag(&mut self, mode: char) -> Option<&mut bool> {
        match mode {
            'i' => Some(&mut self.invite_only),
            'm' => Some(&mut self.moderated),
            'n' => Some(&mut self.no_outside),
            's' => Some(&mut self.secret),
            't' => Some(&mut self.topic_lock),
            _ => None,
        }
    }

    pub(super) fn bans(&self, prefix: &str) -> bool {
        self.bans.iter().any(|ban| matches_mask(&ban.mask, prefix))
    }

    /// `+klnt key 5`; the key only for members.
    fn written(&self, is_member: bool) -> String {
        let flags = [
            (self.invite_only, 'i'),
            (self.key.is_some(), 'k'),
            (self.limit.is_some(), 'l'),
            (self.moderated, 'm'),
            (self.no_outside, 'n'),
            (self.secret, 's'),
            (self.topic_lock, 't'),
        ];
        let mut text = String::from("+");
        text.extend(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mode)| mode));
        if let Some(key) = &self.key {
            text.push(' ');
            text.push_str(if is_member { key } else { "*" });
        }
        if let Some(limit) = self.limit {
            text.push_str(&format!(" {limit}"));
        }
        text
    }
}

/// `mask` with what is missing filled in: `nick`, `user@host` and `nick!user` become whole.
fn whole_mask(mask: &str) -> String {
    let (nick, rest) =
        mask.split_once('!').unwrap_or(if mask.contains('@') { ("*", mask) } else { (mask, "") });
    let (user, host) = rest.split_once('@').unwrap_or((rest, ""));
    let or_any = |part: &str| if part.is_empty() { "*".to_owned() } else { part.to_owned() };
    format!("{}!{}@{}", or_any(nick), or_any(user), or_any(host))
}

/// Changes that were made, as the line tells them.
#[derive(Default)]
struct Made {
    modes: String,
    params: Vec<String>,
    sign: Option<char>,
}

impl Made {
    fn add(&mut self, is_plus: bool, mode: char, param: Option<String>) {
        let sign = if is_plus { '+' } else { '-' };
        if self.sign != Some(sign) {
            self.modes.push(sign);
            self.sign = Some(sign);
        }
        self.modes.push(mode);
        self.params.extend(param);
    }
}

impl Floor<'_> {
    /// `MODE #channel [modes [params…]]`; of a secret channel nothing is told or changed from outside.
    pub(in crate::server) fn mode(&mut self, folded: &str, params: &[&str]) {
        let Some(channel) = self.state.channels.get(folded) else { return };
        let (name, is_secret, created) = (channel.name.clone(), channel.modes.secret, channel.created);
        let status = self.my_status(folded);
        if is_secret && status.is_none() {
            return self.numeric(n::ERR_NOTONCHANNEL, &format!("{name} :You're not on that channel"));
        }
        let Some(modes) = params.first().copied().filter(|modes| !modes.is_empty()) else {
            let text = channel.modes.written(status.is_some());
            self.numeric(n::RPL_CHANNELMODEIS, &format!("{name} {text}"));
            return self.numeric(n::RPL_CREATIONTIME, &format!("{name} {}", created.seconds()));
        };
        let mut made = Made::default();
        let mut given = params.get(1..).unwrap_or_default().iter().copied();
        let (mut is_plus, mut with_param) = (true, 0);
        for mode in modes.chars() {
            match mode {
                '+' => is_plus = true,
                '-' => is_plus = false,
                'b' => match given.next().filter(|mask| !mask.is_empty()) {
                    None => self.list_bans(folded, &name),
                    Some(mask) if self.may(folded, &name) && with_param < MAX_CHANGES => {
                        with_param += 1;
                        self.change_ban(folded, is_plus, mask, &mut made);
                    }
                    Some(_) => {}
                },
                'o' | 'h' | 'v' => {
                    let Some(nick) = given.next().filter(|nick| !nick.is_empty()) else {
                        self.numeric(n::ERR_NEEDMOREPARAMS, "MODE :Not enough parameters");
                        continue;
                    };
                    if self.may(folded, &name) && with_param < MAX_CHANGES {
                        with_param += 1;
                        self.change_status(folded, is_plus, mode, nick, &mut made);
                    }
                }
                'k' | 'l' => {
                    let param = if is_plus || mode == 'k' { given.next() } else { None };
                    if self.may(folded, &name) && with_param < MAX_CHANGES {
                        with_param += 1;
                        self.change_value(folded, is_plus, mode, param, &mut made);
                    }
                }
                'i' | 'm' | 'n' | 's' | 't' => {
                    if self.may(folded, &name)
                        && let Some(flag) =
                            self.state.channels.get_mut(folded).and_then(|c| c.modes.flag(mode))
                        && *flag != is_plus
                    {
                        *flag = is_plus;
                        made.add(is_plus, mode, None);
                    }
                }
                unknown => {
                    let rest = format!("{} :is unknown mode char to me", shown(&unknown.to_string()));
                    self.numeric(n::ERR_UNKNOWNMODE, &rest);
                }
            }
        }
        self.tell_modes(folded, &name, made);
    }

    fn tell_modes(&mut self, folded: &str, name: &str, made: Made) {
        if made.modes.is_empty() {
            return;
        }
        let params: String = made.params.iter().map(|param| format!(" {param}")).collect();
        let event = self.event(format!("MODE {name} {}{params}", made.modes));
        self.log_event(folded, &event);
        self.tell_channel(folded, &|caps| Some(event.line(caps, "")));
    }

    /// True when the acting user may change the channel; says so otherwise.
    fn may(&mut self, folded: &str, name: &str) -> bool {
        let may = self.my_status(folded).is_some_and(Status::may_moderate);
        let refused = format!(":{} {:03} ", self.act.server, n::ERR_CHANOPRIVSNEEDED);
        // Once per command is enough.
        if !may && !self.out.iter().any(|line| line.starts_with(&refused)) {
            self.numeric(n::ERR_CHANOPRIVSNEEDED, &format!("{name} :You're not channel operator"));
        }
        may
    }

    fn list_bans(&mut self, folded: &str, name: &str) {
        let Some(channel) = self.state.channels.get(folded) else { return };
        let bans = channel.modes.bans.iter();
        let lines: Vec<String> =
            bans.map(|ban| format!("{name} {} {} {}", ban.mask, ban.by, ban.at.seconds())).collect();
        for line in lines {
            self.numeric(n::RPL_BANLIST, &line);
        }
        self.numeric(n::RPL_ENDOFBANLIST, &format!("{name} :End of channel ban list"));
    }

    fn change_ban(&mut self, folded: &str, is_plus: bool, mask: &str, made: &mut Made) {
        let (mask, by, at) = (whole_mask(mask), self.nick(), self.act.now);
        let Some(channel) = self.state.channels.get_mut(folded) else { return };
        let name = channel.name.clone();
        let bans = &mut channel.modes.bans;
        let known = bans.iter().position(|ban| is_same(&ban.mask, &mask));
        match (is_plus, known) {
            (true, None) if bans.len() >= MAX_BANS => {
                self.numeric(n::ERR_BANLISTFULL, &format!("{name} {} :Channel list is full", shown(&mask)));
            }
            (true, None) if mask.len() <= MASK_BYTES && !mask.contains(' ') => {
                bans.push(Ban { mask: mask.clone(), by, at });
                made.add(true, 'b', Some(mask));
            }
            (false, Some(at)) => {
                let ban = bans.remove(at);
                made.add(false, 'b', Some(ban.mask));
            }
            _ => {}
        }
    }

    fn change_status(&mut self, folded: &str, is_plus: bool, mode: char, nick: &str, made: &mut Made) {
        let my = self.my_status(folded).unwrap_or_default();
        let Some(channel) = self.state.channels.get(folded) else { return };
        let name = channel.name.clone();
        let Some((user, nick)) = self.state.find(nick).map(|(id, user)| (id, user.id.nick.clone())) else {
            return self.numeric(n::ERR_NOSUCHNICK, &format!("{} :No such nick/channel", shown(nick)));
        };
        // Half-operators give voice only; anybody may step down.
        let is_own_step = user == self.act.me && !is_plus;
        if !my.is_op && mode != 'v' && !is_own_step {
            return self.numeric(n::ERR_CHANOPRIVSNEEDED, &format!("{name} :You're not channel operator"));
        }
        let slot = self.state.channels.get_mut(folded).and_then(|channel| channel.members.get_mut(&user));
        let Some(slot) = slot.and_then(|status| status.slot(mode)) else {
            let rest = format!("{nick} {name} :They aren't on that channel");
            return self.numeric(n::ERR_USERNOTINCHANNEL, &rest);
        };
        if *slot != is_plus {
            *slot = is_plus;
            made.add(is_plus, mode, Some(nick));
        }
    }

    fn change_value(
        &mut self,
        folded: &str,
        is_plus: bool,
        mode: char,
        param: Option<&str>,
        made: &mut Made,
    ) {
        let Some(channel) = self.state.channels.get_mut(folded) else { return };
        let name = channel.name.clone();
        let fits = |key: &&str| {
            !key.is_empty() && key.len() <= KEY_BYTES && !key.starts_with(':') && !key.contains([' ', ','])
        };
        match (mode, is_plus, param) {
            ('k', true, Some(key)) if fits(&key) => {
                channel.modes.key = Some(key.to_owned());
                made.add(true, 'k', Some(key.to_owned()));
            }
            ('k', false, _) => {
                if let Some(key) = channel.modes.key.take() {
                    made.add(false, 'k', Some(key));
                }
            }
            ('l', true, Some(limit)) if limit.parse::<usize>().is_ok_and(|limit| limit > 0) => {
                channel.modes.limit = limit.parse().ok();
                made.add(true, 'l', Some(limit.to_owned()));
            }
            ('l', false, _) => {
                if channel.modes.limit.take().is_some() {
                    made.add(false, 'l', None);
                }
            }
            (_, _, None) => self.numeric(n::ERR_NEEDMOREPARAMS, "MODE :Not enough parameters"),
            (_, _, Some(param)) => {
                // A key is a secret, also one that does not fit.
                let param = if mode == 'k' { "*".to_owned() } else { shown(param) };
                let rest = format!("{name} {mode} {param} :Invalid mode parameter");
                self.numeric(n::ERR_INVALIDMODEPARAM, &rest);
            }
        }
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

    /// Why the acting user cannot say something in a channel.
    pub(super) fn is_silenced(&self, folded: &str, user: UserId) -> bool {
        let Some(channel) = self.state.channels.get(folded) else { return true };
        let status = channel.members.get(&user).copied();
        let speaks = status.is_some_and(Status::may_speak);
        let prefix = self.state.user(user).map(super::User::prefix).unwrap_or_default();
        (channel.modes.no_outside && status.is_none())
            || (channel.modes.moderated && !speaks)
            || (!speaks && channel.modes.bans(&prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_made_whole() {
        for (given, whole) in [
            ("bob", "bob!*@*"),
            ("bob!b", "bob!b@*"),
            ("*@host", "*!*@host"),
            ("a!b@c", "a!b@c"),
            ("!@", "*!*@*"),
        ] {
            assert_eq!(whole_mask(given), whole);
        }
    }
}
