//! The two kinds of names that the service gives to accounts and groups.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::special::{self, SpecialClass};

/// A `UserName`: who or what is meant, **within one login session only** (bare words aside).
///
/// Source: the protocol sheet, sections 3.1 and 5.6.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Arc<str>);

/// What the form of a [`UserName`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// `@…`: a person or an official account; only `VerifyFlag` tells them apart.
    Person,
    /// `@@…` or `…@chatroom`: a group.
    Room,
    /// A built-in account of the table in [`special`].
    Special(SpecialClass),
    /// `…@lbsroom`, `…@talkroom`: never shown.
    HiddenRoom,
    /// `…@qqim`: treated as special by the page.
    Qq,
    /// `v1_…@stranger` and its like, from friend requests.
    Stranger,
    /// `wxid_…`, `gh_…` or another permanent form.
    Permanent,
    /// Nothing: as a sender it means ourselves.
    Empty,
    /// A bare word that is in no table.
    Other,
}

impl UserName {
    /// Wraps a name as it came.
    #[must_use]
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(Arc::from(name.as_ref()))
    }

    /// As it goes on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What its form says. Source: the protocol sheet, sections 3.1 and 3.8.
    #[must_use]
    pub fn kind(&self) -> NameKind {
        let name = self.as_str();
        if name.is_empty() {
            NameKind::Empty
        } else if let Some(class) = special::class_of(name) {
            NameKind::Special(class)
        } else if name.starts_with("@@") || name.ends_with("@chatroom") {
            NameKind::Room
        } else if name.ends_with("@lbsroom") || name.ends_with("@talkroom") {
            NameKind::HiddenRoom
        } else if name.ends_with("@qqim") {
            NameKind::Qq
        } else if name.ends_with("@stranger") {
            NameKind::Stranger
        } else if name.starts_with('@') {
            NameKind::Person
        } else if name.starts_with("wxid_") || name.starts_with("gh_") {
            NameKind::Permanent
        } else {
            NameKind::Other
        }
    }

    /// Whether it names a group.
    #[must_use]
    pub fn is_room(&self) -> bool {
        self.kind() == NameKind::Room
    }

    /// Whether it keeps its meaning over logins: the built-in bare words.
    ///
    /// Source: the protocol sheet, section 5.6.
    #[must_use]
    pub fn survives_login(&self) -> bool {
        matches!(self.kind(), NameKind::Special(_))
    }

    /// Whether chats with it are never shown.
    ///
    /// Source: the protocol sheet, section 3.8. Groups that we are not a member of are hidden too,
    /// which no name tells.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        matches!(self.kind(), NameKind::HiddenRoom | NameKind::Special(SpecialClass::Hidden))
    }
}

impl Default for UserName {
    fn default() -> Self {
        Self::new("")
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for UserName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for UserName {
    fn from(name: String) -> Self {
        Self(Arc::from(name))
    }
}

impl AsRef<str> for UserName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for UserName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UserName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::flex::string(deserializer).map(Self::from)
    }
}

/// An id that survives logins (`wxid_…`, `…@chatroom`, `gh_…`, a custom id), where some XML leaks it.
///
/// Source: the protocol sheet, sections 4.13 and 5.6: expect nothing and take it where it comes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PermanentId(String);

impl PermanentId {
    /// Accepts what has the form of a permanent id: a bare word of letters, digits, `_` and `-`,
    /// or such a word with `@chatroom` behind it; not a session name, a stranger's code or a
    /// built-in account.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let word = text.strip_suffix("@chatroom").unwrap_or(text);
        let well_formed = !word.is_empty()
            && word.len() <= 64
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let built_in = special::class_of(text).is_some();
        (well_formed && !built_in).then(|| Self(text.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PermanentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_says_what_a_name_is() {
        for (name, kind) in [
            ("@22b625cb4598b00fddca323fcc66216a", NameKind::Person),
            ("@@0da7991ffbf90ba51711bdafa1036aad", NameKind::Room),
            ("11111111111@chatroom", NameKind::Room),
            ("filehelper", NameKind::Special(SpecialClass::Writable)),
            ("newsapp", NameKind::Special(SpecialClass::Hidden)),
            ("fmessage", NameKind::Special(SpecialClass::BuiltIn)),
            ("wxid_novlwrv3lqwv11", NameKind::Special(SpecialClass::Hidden)),
            ("1@lbsroom", NameKind::HiddenRoom),
            ("12@qqim", NameKind::Qq),
            ("v1_0011@stranger", NameKind::Stranger),
            ("wxid_fixture000001", NameKind::Permanent),
            ("", NameKind::Empty),
            ("someone", NameKind::Other),
        ] {
            assert_eq!(UserName::new(name).kind(), kind, "{name}");
        }
        assert!(UserName::new("a@talkroom").is_hidden());
    }

    #[test]
    fn item_32_a_session_name_is_not_a_permanent_id() {
        for name in ["@22b625cb4598b00fddca323fcc66216a", "@@0da7", "filehelper", "v1_00@stranger", "", "a b"]
        {
            assert_eq!(PermanentId::parse(name), None, "{name}");
        }
        for name in ["wxid_fixture000001", "11111111111@chatroom", "gh_000000000000", "bo-fixture"] {
            assert_eq!(PermanentId::parse(name).unwrap().as_str(), name);
        }
        assert!(UserName::new("filehelper").survives_login());
        assert!(!UserName::new("@22b625cb4598b00fddca323fcc66216a").survives_login());
    }
}
