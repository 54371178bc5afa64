//! Modes of local channels: b k l i m n s t, and o h v of members.

use wxgate_contract::Timestamp;

use super::{Floor, UserId};
use crate::wire::casemap::matches_mask;

mod change;

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

    /// The modes that give the signs.
    pub(super) fn letters(self) -> String {
        let modes = [(self.is_op, 'o'), (self.is_half, 'h'), (self.has_voice, 'v')];
        modes.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mode)| mode).collect()
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
pub(super) struct Made {
    pub(super) modes: String,
    params: Vec<String>,
    sign: Option<char>,
}

impl Made {
    pub(super) fn add(&mut self, is_plus: bool, mode: char, param: Option<String>) {
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
