//! MODE of local channels.

use super::super::{Floor, shown};
use super::{Ban, KEY_BYTES, MASK_BYTES, MAX_BANS, MAX_CHANGES, Made, Status, whole_mask};
use crate::wire::casemap::is_same;
use crate::wire::numeric as n;

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
        let members = self.members(folded);
        self.tell_done(members, &event);
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
}
