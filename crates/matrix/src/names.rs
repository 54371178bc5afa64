//! User ids of ghosts and aliases of rooms: made from lasting ids alone, the same for ever.
//!
//! A homeserver does not check the ids of an application service (it takes capitals, `@` and 257
//! characters), so they are made valid here. Source: the Matrix notes, section 4, item 7;
//! <https://spec.matrix.org/v1.16/appendices/#user-identifiers>

use ring::digest;
use wxgate_contract::{ChatRef, NetworkId, PersonRef};

/// Longest user id or alias with sigil and domain. Source: Matrix specification, appendices,
/// section "User Identifiers".
const MAX_ID_BYTES: usize = 255;
/// Stands before a hash where an encoded key would be too long. `=` is otherwise followed by two
/// hex digits, so no encoded key begins like this.
const HASHED: &str = "=h";

/// What aliases begin with that an ordinary account makes, and how many characters of a hash follow.
const ALIAS: &str = "wxgate-";
const ALIAS_CHARS: usize = 32;

/// Who an id belongs to, as far as this bridge is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The bridge's own bot.
    Bot,
    /// Somebody of a mirrored account.
    Ghost,
    /// Anybody else.
    Human,
}

/// How things of this bridge are called on its homeserver.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    domain: String,
    prefix: String,
    bot_localpart: String,
    bot: String,
    /// People have ids of their own; those of an ordinary account have none.
    has_ghosts: bool,
}

impl Names {
    pub(crate) fn new(domain: &str, prefix: &str, bot_localpart: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            prefix: prefix.to_owned(),
            bot_localpart: bot_localpart.to_owned(),
            bot: format!("@{bot_localpart}:{domain}"),
            has_ghosts: true,
        }
    }

    /// Where an ordinary account speaks for everybody.
    pub(crate) fn of_account(self) -> Self {
        Self { has_ghosts: false, ..self }
    }

    /// Whether people have ids of their own.
    pub(crate) fn has_ghosts(&self) -> bool {
        self.has_ghosts
    }

    /// The bot's user id.
    pub(crate) fn bot(&self) -> &str {
        &self.bot
    }

    pub(crate) fn bot_localpart(&self) -> &str {
        &self.bot_localpart
    }

    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// The localpart of somebody's ghost.
    pub(crate) fn ghost(&self, person: &PersonRef) -> String {
        self.localpart(&person.network, person.person.as_str())
    }

    /// The user id that belongs to a localpart.
    pub(crate) fn user_id(&self, localpart: &str) -> String {
        format!("@{localpart}:{}", self.domain)
    }

    /// The localpart of a user of this homeserver.
    pub(crate) fn localpart_of<'a>(&self, user_id: &'a str) -> Option<&'a str> {
        user_id.strip_prefix('@')?.strip_suffix(self.domain.as_str())?.strip_suffix(':')
    }

    /// The localpart of a chat's alias.
    pub(crate) fn alias(&self, chat: &ChatRef) -> String {
        if !self.has_ghosts {
            // Nothing reserves it for us and everybody on that homeserver may look: it says nothing.
            let mut hash = hex(format!("{} {} {}", self.bot, chat.network, chat.chat).as_bytes());
            hash.truncate(ALIAS_CHARS);
            return format!("{ALIAS}{hash}");
        }
        self.localpart(&chat.network, chat.chat.as_str())
    }

    /// The localpart of the alias of an account's space. Keys of chats are never empty.
    pub(crate) fn space_alias(&self, account: &NetworkId) -> String {
        self.localpart(account, "")
    }

    /// The alias that belongs to a localpart.
    pub(crate) fn full_alias(&self, localpart: &str) -> String {
        format!("#{localpart}:{}", self.domain)
    }

    pub(crate) fn who(&self, user_id: &str) -> Who {
        if user_id == self.bot {
            return Who::Bot;
        }
        match self.localpart_of(user_id) {
            Some(localpart) if self.has_ghosts && localpart.starts_with(&self.prefix) => Who::Ghost,
            _ => Who::Human,
        }
    }

    /// True for the ghosts of one account.
    pub(crate) fn is_of(&self, user_id: &str, account: &NetworkId) -> bool {
        let of_account = self.localpart(account, "");
        self.localpart_of(user_id).is_some_and(|localpart| localpart.starts_with(&of_account))
    }

    /// `PREFIX ACCOUNT _ KEY`: the account's name cannot hold the separator once it is encoded.
    fn localpart(&self, account: &NetworkId, key: &str) -> String {
        let account = encode(account.name());
        let room =
            MAX_ID_BYTES.saturating_sub(self.prefix.len() + account.len() + self.domain.len() + "@_:".len());
        let key = encode(key);
        let key = if key.len() <= room { key } else { format!("{HASHED}{}", hex(key.as_bytes())) };
        format!("{}{account}_{key}", self.prefix)
    }
}

/// Lower-case letters, digits, `.` and `-` stand for themselves, everything else is `=xx`.
/// Source: Matrix specification, appendices, "Mapping from other character sets".
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' => out.push(char::from(byte)),
            _ => out.push_str(&format!("={byte:02x}")),
        }
    }
    out
}

/// SHA-256 in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new("example.org", "wechat_", "wechatbot")
    }

    fn person(account: &str, key: &str) -> PersonRef {
        PersonRef { network: NetworkId::from(account), person: key.into() }
    }

    #[test]
    fn an_id_holds_only_what_the_grammar_allows() {
        let ghost = names().ghost(&person("wechat:Alice_2", "家@X/1"));
        assert_eq!(ghost, "wechat_=41lice=5f2_=e5=ae=b6=40=58=2f1");
        assert_eq!(names().user_id(&ghost), format!("@{ghost}:example.org"));
    }

    #[test]
    fn accounts_and_keys_cannot_run_into_each_other() {
        let names = names();
        assert_ne!(names.ghost(&person("wechat:a_b", "c")), names.ghost(&person("wechat:a", "b_c")));
        assert_ne!(names.ghost(&person("wechat:a", "b")), names.ghost(&person("wechat:a", "B")));
    }

    #[test]
    fn a_long_key_is_hashed_and_still_its_own() {
        let names = names();
        let long = |last: &str| {
            names.user_id(&names.ghost(&person("wechat:a", &format!("{}{last}", "家".repeat(90)))))
        };
        assert!(long("x").len() <= MAX_ID_BYTES);
        assert_ne!(long("x"), long("y"));
        assert!(long("x").contains(HASHED));
    }

    #[test]
    fn bot_ghosts_and_people_are_told_apart() {
        let names = names();
        assert_eq!(names.who("@wechatbot:example.org"), Who::Bot);
        assert_eq!(names.who("@wechat_a_b:example.org"), Who::Ghost);
        assert_eq!(names.who("@wechat_a_b:elsewhere.org"), Who::Human);
        assert_eq!(names.who("@me:example.org"), Who::Human);
        assert_eq!(names.who("nonsense"), Who::Human);
        let (a, ab) = (NetworkId::from("wechat:a"), NetworkId::from("wechat:a_b"));
        let ghost = names.user_id(&names.ghost(&person("wechat:a_b", "c")));
        assert!(names.is_of(&ghost, &ab) && !names.is_of(&ghost, &a));
    }
}
