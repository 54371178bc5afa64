//! Ids. All are opaque to everybody but the adapter that made them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text unchanged.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }
    };
}

text_id! {
    /// One running adapter: `wechat:alice`, `irc:local`, `irc:libera`, `matrix`.
    NetworkId
}
text_id! {
    /// A conversation, as its own network names it for good (never a session-scoped name).
    ChatKey
}
text_id! {
    /// A person, as their network names them for good (never a session-scoped name).
    PersonKey
}
text_id! {
    /// The id of one post on its network, unique within the network for ever.
    RemoteId
}

/// Stands before the id of a post that its network says again in another chat.
const SAID_AGAIN: &str = "moved-";

impl RemoteId {
    /// The id under which a network says a post again in another chat, as when it is settled who somebody is. The
    /// network itself goes on calling it by the first one.
    #[must_use]
    pub fn said_again(&self) -> Self {
        Self::new(format!("{SAID_AGAIN}{self}"))
    }

    /// The id that the network knows, however often the post was said again.
    #[must_use]
    pub fn first(&self) -> &str {
        self.as_str().trim_start_matches(SAID_AGAIN)
    }
}
text_id! {
    /// A person of this instance, the owner of accounts.
    UserName
}

impl NetworkId {
    /// The kind before the colon (`wechat` of `wechat:alice`), or all of it.
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(kind, _)| kind)
    }

    /// The name after the colon (`alice` of `wechat:alice`), or all of it.
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(_, name)| name)
    }
}

impl PersonKey {
    /// How another network names somebody of `network`, written `NETWORK/KEY`, so that nobody of
    /// its own can be mistaken for them. The owner of an account has the empty key.
    pub fn seen_from_elsewhere(&self, network: &NetworkId) -> Self {
        Self::new(format!("{network}/{self}"))
    }

    /// The person's own key, when this names somebody of `network` in that form.
    pub fn on(&self, network: &NetworkId) -> Option<Self> {
        let key = self.as_str().strip_prefix(network.as_str())?.strip_prefix('/')?;
        (!key.is_empty()).then(|| Self::from(key))
    }
}

/// A conversation together with the network it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChatRef {
    /// Where the conversation lives.
    pub network: NetworkId,
    /// Which one it is there.
    pub chat: ChatKey,
}

impl ChatRef {
    /// The lane on `face` that mirrors this chat.
    #[must_use]
    pub fn mirrored_on(&self, face: &NetworkId) -> Self {
        Self { network: face.clone(), chat: ChatKey::new(format!("{}/{}", self.network, self.chat)) }
    }

    /// The chat that a mirroring lane stands for; `None` when it is no such lane.
    pub fn mirrored_by(lane: &ChatKey) -> Option<Self> {
        // Names of accounts hold no slash.
        let (network, chat) = lane.as_str().split_once('/')?;
        Some(Self { network: network.into(), chat: chat.into() })
    }
}

/// A person together with the network that knows them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PersonRef {
    /// Where the person lives.
    pub network: NetworkId,
    /// Who it is there.
    pub person: PersonKey,
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id! {
    /// One post in our own store. Grows; has gaps; never used twice.
    PostId
}
number_id! {
    /// One order to one network. The same order keeps its id over every attempt.
    DeliveryId
}

/// One attachment's bytes: 128 bits, written as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaId(pub [u8; 16]);

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 32 hex digits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a media id is 32 hex digits")]
pub struct BadMediaId;

impl FromStr for MediaId {
    type Err = BadMediaId;

    fn from_str(text: &str) -> Result<Self, BadMediaId> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadMediaId);
        }
        u128::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| BadMediaId)
    }
}

impl Serialize for MediaId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MediaId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_id_survives_its_text_form() {
        let id = MediaId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("+123".parse::<MediaId>(), Err(BadMediaId));
        assert_eq!(format!("{:0>32}", "+1").parse::<MediaId>(), Err(BadMediaId));
    }

    #[test]
    fn a_mirroring_lane_names_its_chat() {
        let chat = ChatRef { network: "wechat:alice".into(), chat: "g-1/2".into() };
        let lane = chat.mirrored_on(&"matrix".into());
        assert_eq!((lane.network.as_str(), lane.chat.as_str()), ("matrix", "wechat:alice/g-1/2"));
        assert_eq!(ChatRef::mirrored_by(&lane.chat), Some(chat));
        assert_eq!(ChatRef::mirrored_by(&"room".into()), None);
    }

    #[test]
    fn a_network_id_has_a_kind_and_a_name() {
        let id = NetworkId::from("wechat:alice:2");
        assert_eq!((id.kind(), id.name()), ("wechat", "alice:2"));
        assert_eq!(NetworkId::from("matrix").kind(), "matrix");
    }
}
