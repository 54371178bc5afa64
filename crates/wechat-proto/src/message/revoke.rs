//! Messages that were taken back (10002).

use super::{IdHint, Parts, Sender, body::Body, hint};
use crate::names::decode_name;
use crate::{MsgId, xml};

/// A message is taken back. Source: the protocol sheet, section 4.14.
#[derive(Clone, PartialEq, Eq)]
pub struct Revoke {
    /// The `MsgId` of the message; `None` if the service wrote 0: then it is our last one in this
    /// chat. The other id in the XML, `oldmsgid`, is useless here.
    pub target: Option<MsgId>,
    /// What the service shows instead, in its language.
    pub replacement: String,
}

impl std::fmt::Debug for Revoke {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revoke").field("target", &self.target).finish_non_exhaustive()
    }
}

pub(super) fn decode(parts: &Parts<'_>, hints: &mut Vec<IdHint>) -> Body {
    let Some(root) = xml::parse(&parts.xml_text()) else {
        return Body::OtherSystem;
    };
    let Some(revoke) = root.find("revokemsg") else {
        return Body::OtherSystem;
    };
    let id = revoke.text_at(&["msgid"]);
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Body::OtherSystem;
    }
    // What `session` means for an own revoke in a private chat is not known.
    if parts.chat.is_room() || parts.sender == Sender::Peer {
        let session = revoke.text_at(&["session"]);
        if parts.chat.is_room() == session.ends_with("@chatroom") {
            hints.extend(hint(parts.chat.clone(), session));
        }
    }
    Body::Revoke(Revoke {
        target: Some(MsgId::new(id)).filter(|id| !id.is_empty()),
        // Names in it are written as everywhere. Source: the protocol sheet, section 4.2.
        replacement: decode_name(revoke.text_at(&["replacemsg"])),
    })
}
