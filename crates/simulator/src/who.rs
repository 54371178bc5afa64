//! Who is meant, and the session's name for it.
//!
//! `Who` is the world's own, permanent way to name somebody inside one account's universe. The service
//! never says it: on the wire everybody has a `UserName` that is new at each login. Those names are not
//! stored. A name is the number of the person, enciphered with the session's key and followed by a check
//! sum, so that several thousand accounts with hundreds of contacts cost nothing until they are asked for.

use std::fmt;
use std::str::FromStr;

use crate::seed::{mix_all, push_hex};

/// Built-in accounts, whose names are the same in every session.
///
/// Source: the protocol sheet, section 3.8.
pub(crate) const SPECIAL: [(&str, &str); 4] = [
    ("filehelper", "文件传输助手"),
    ("weixin", "微信团队"),
    ("fmessage", "朋友推荐消息"),
    ("newsapp", "腾讯新闻"),
];

/// Somebody in the universe of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// The owner of the account (`self`).
    Own,
    /// A friend or followed account (`c12`).
    Contact(u32),
    /// A group (`g3`).
    Group(u32),
    /// A member of a group who is not a friend (`m3.5`).
    Stranger(u32, u32),
    /// A built-in account, by its bare name.
    Special(u8),
}

impl Who {
    fn code(self) -> u64 {
        match self {
            Self::Own => 1 << 56,
            Self::Contact(at) => (2 << 56) | u64::from(at),
            Self::Group(at) => (3 << 56) | u64::from(at),
            Self::Stranger(group, at) => (4 << 56) | (u64::from(group & 0xff_ffff) << 32) | u64::from(at),
            Self::Special(at) => (5 << 56) | u64::from(at),
        }
    }

    fn from_code(code: u64) -> Option<Self> {
        let low = u32::try_from(code & 0xffff_ffff).ok()?;
        let middle = u32::try_from((code >> 32) & 0xff_ffff).ok()?;
        match code >> 56 {
            1 => Some(Self::Own),
            2 => Some(Self::Contact(low)),
            3 => Some(Self::Group(low)),
            4 => Some(Self::Stranger(middle, low)),
            _ => None,
        }
    }

    /// The file transfer assistant.
    #[must_use]
    pub fn filehelper() -> Self {
        Self::Special(0)
    }

    /// A number that identifies this somebody, for made-up details.
    pub(crate) fn number(self) -> u64 {
        self.code()
    }

    /// Whether this is a group.
    #[must_use]
    pub fn is_group(self) -> bool {
        matches!(self, Self::Group(_))
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("self"),
            Self::Contact(at) => write!(f, "c{at}"),
            Self::Group(at) => write!(f, "g{at}"),
            Self::Stranger(group, at) => write!(f, "m{group}.{at}"),
            Self::Special(at) => {
                f.write_str(SPECIAL.get(usize::from(*at)).map_or("unknown", |(name, _)| *name))
            }
        }
    }
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{text}' is nobody: expected self, c<number>, g<number>, m<group>.<number> or a built-in name"
            )
        };
        if text == "self" {
            return Ok(Self::Own);
        }
        if let Some(at) = SPECIAL.iter().position(|(name, _)| *name == text) {
            return u8::try_from(at).map(Self::Special).map_err(|_| wrong());
        }
        let number = |digits: &str| digits.parse::<u32>().map_err(|_| wrong());
        match text.split_at_checked(1) {
            Some(("c", rest)) => number(rest).map(Self::Contact),
            Some(("g", rest)) => number(rest).map(Self::Group),
            Some(("m", rest)) => {
                let (group, at) = rest.split_once('.').ok_or_else(wrong)?;
                Ok(Self::Stranger(number(group)?, number(at)?))
            }
            _ => Err(wrong()),
        }
    }
}

impl serde::Serialize for Who {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The names of one login session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    pub(crate) key: u64,
}

impl Names {
    /// The `UserName` of `who` in this session.
    ///
    /// Source: the protocol sheet, section 3.1: `@` and 64 (older records 32) hex digits, `@@` for groups.
    pub(crate) fn name(self, who: Who) -> String {
        if let Who::Special(_) = who {
            return who.to_string();
        }
        let code = who.code();
        let check = mix_all(&[self.key, code]);
        let mut name = String::with_capacity(66);
        name.push_str(if who.is_group() { "@@" } else { "@" });
        push_hex(&mut name, code ^ mix_all(&[self.key, check, 7]));
        push_hex(&mut name, check);
        if !matches!(who, Who::Contact(at) if at % 9 == 5) {
            push_hex(&mut name, mix_all(&[self.key, check, 8]));
            push_hex(&mut name, mix_all(&[self.key, check, 9]));
        }
        name
    }

    /// Who has this name, if anybody has it in this session.
    pub(crate) fn who(self, name: &str) -> Option<Who> {
        if let Some(at) = SPECIAL.iter().position(|(special, _)| *special == name) {
            return u8::try_from(at).ok().map(Who::Special);
        }
        let digits = name.trim_start_matches('@');
        let part = |range| digits.get(range).and_then(|hex: &str| u64::from_str_radix(hex, 16).ok());
        let check = part(16..32)?;
        let code = part(0..16)? ^ mix_all(&[self.key, check, 7]);
        let who = Who::from_code(code)?;
        (self.name(who) == name).then_some(who)
    }

    /// The group's `EncryChatRoomId`, which also changes at each login.
    pub(crate) fn room_id(self, group: u32) -> String {
        format!("@{}", crate::seed::hex(&[self.key, u64::from(group), 11], 32))
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, Who};

    #[test]
    fn names_lead_back_to_their_owner_in_their_own_session_only() {
        let today = Names { key: 1 };
        let tomorrow = Names { key: 2 };
        for who in [
            Who::Own,
            Who::Contact(0),
            Who::Contact(5),
            Who::Group(19),
            Who::Stranger(3, 4),
            Who::filehelper(),
        ] {
            let name = today.name(who);
            assert_eq!(today.who(&name), Some(who), "{name}");
            if !matches!(who, Who::Special(_)) {
                assert_eq!(tomorrow.who(&name), None, "{name}");
                assert_ne!(tomorrow.name(who), name);
            }
            assert_eq!(who.to_string().parse(), Ok(who));
        }
        assert_eq!(today.name(Who::Contact(5)).len(), 33);
        assert_eq!(today.name(Who::Contact(6)).len(), 65);
        assert_eq!(today.who("@0000"), None);
        assert_eq!(today.who(""), None);
    }
}
