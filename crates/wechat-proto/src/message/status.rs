//! What the phone does (51): never shown, but it names chats and permanent ids.

use super::{IdHint, Parts, body::Body, hint};
use crate::{UserName, xml};

/// A note about the phone. Source: the protocol sheet, section 4.13.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Code 2: a chat was opened on the phone; it is read.
    Opened(UserName),
    /// Code 4: the recent chats, to be fetched where they are unknown.
    Chats(Vec<UserName>),
    /// Code 5: a chat was left.
    Left(UserName),
    /// Any other code; 9 is known to occur.
    Other(i64),
}

/// The most names that are taken from one list. Chosen: far above any phone's recent chats.
const MAX_NAMES: usize = 5_000;

pub(super) fn decode(parts: &Parts<'_>, hints: &mut Vec<IdHint>) -> Body {
    let names = list(&parts.raw.status_notify_user_name);
    pair(parts, &names, hints);
    let chat = || names.first().cloned().unwrap_or_else(|| parts.raw.to_user_name.clone());
    Body::Status(match parts.raw.status_notify_code {
        2 => Status::Opened(chat()),
        4 => Status::Chats(names),
        5 => Status::Left(chat()),
        code => Status::Other(code),
    })
}

fn list(text: &str) -> Vec<UserName> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .take(MAX_NAMES)
        .map(UserName::new)
        .collect()
}

/// Pairs session names with the permanent ids of the content: same order, same number, or nothing.
///
/// Source: the protocol sheet, section 4.13; the service has mostly stopped sending the ids.
fn pair(parts: &Parts<'_>, names: &[UserName], hints: &mut Vec<IdHint>) {
    if parts.content.is_empty() || names.is_empty() {
        return;
    }
    let Some(root) = xml::parse(&parts.xml_text()) else {
        return;
    };
    let Some(op) = root.find("op") else {
        return;
    };
    let ids: Vec<&str> =
        op.text_at(&["username"]).split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    if ids.len() != names.len() {
        return;
    }
    let fits = |name: &UserName, id: &str| name.is_room() == id.ends_with("@chatroom");
    let pairs = names.iter().zip(ids).filter(|(name, id)| fits(name, id));
    hints.extend(pairs.filter_map(|(name, id)| hint(name.clone(), id)));
}
