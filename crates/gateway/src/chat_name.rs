//! How people write chats: `NETWORK/CHAT`, where CHAT is the chat's key, its title, or as much of
//! the title as no other chat begins with. `wechat:alice/家`, `irc:libera/#rust`, `matrix/!id:host`.

use wxgate_contract::{ChatKey, ChatProfile, ChatRef, Directory, NetworkId};
use wxgate_store::StoreError;

use crate::wiring::{ACCOUNT_KIND, IRC_KIND, IRC_NETWORK, Parts};

/// Chats read at once.
const PAGE: usize = 500;
/// Candidates that an error names. Chosen: a screen is not flooded, and more say nothing more.
const SHOWN: usize = 8;
/// Longest name of a channel or nick that is taken. Source: RFC 1459, 1.3 (channels: 200).
const IRC_NAME_BYTES: usize = 200;

/// Why a name means no chat.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NameError {
    /// Nothing here has that name.
    #[error("{0}")]
    Unknown(String),
    /// The name does not say which.
    #[error("{0}")]
    Unclear(String),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// The form that this program prints and understands for good.
pub(crate) fn written(chat: &ChatRef) -> String {
    format!("{}/{}", chat.network, chat.chat)
}

/// The chat that somebody means.
pub(crate) async fn resolve(parts: &Parts, text: &str) -> Result<ChatRef, NameError> {
    let Some((network, name)) = text.split_once('/').filter(|(n, c)| !n.is_empty() && !c.is_empty()) else {
        let form = "is not NETWORK/CHAT, such as wechat:alice/家 or irc:libera/#rust";
        return Err(NameError::Unclear(format!("{text:?} {form}")));
    };
    let network = NetworkId::from(network);
    check_network(parts, &network).await?;
    let chat = match network.kind() {
        IRC_KIND => irc_name(&network, name)?,
        _ => known(parts, &network, name).await?,
    };
    Ok(ChatRef { network, chat })
}

async fn check_network(parts: &Parts, network: &NetworkId) -> Result<(), NameError> {
    if network.as_str() == IRC_NETWORK {
        let why = "shows the chats of accounts and has none of its own; name the account's chat";
        return Err(NameError::Unknown(format!("{network} {why}")));
    }
    let is_here = match network.kind() {
        ACCOUNT_KIND => parts.bridge.store().account(network).await?.is_some(),
        _ => parts.bridge.health_of(network).is_some(),
    };
    if is_here {
        return Ok(());
    }
    let mut others: Vec<String> =
        parts.bridge.healths().into_iter().map(|(other, ..)| other.to_string()).collect();
    others.retain(|other| other != IRC_NETWORK);
    let count = others.len();
    others.truncate(SHOWN);
    let more = if count > SHOWN { ", …" } else { "" };
    let here = match count {
        0 => "no network yet".to_owned(),
        _ => format!("{}{more}", others.join(", ")),
    };
    Err(NameError::Unknown(format!("there is no network {network}; there is {here}")))
}

/// Channels and nicks need not be known to anybody here. Keys are lower case, which is right under
/// every case mapping; what else a network folds, its adapter does.
fn irc_name(network: &NetworkId, name: &str) -> Result<ChatKey, NameError> {
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, ',' | ':' | '!' | '@' | '*');
    let rest = name.strip_prefix(['#', '&', '+']).unwrap_or(name);
    if rest.is_empty() || rest.contains(is_odd) || name.len() > IRC_NAME_BYTES {
        return Err(NameError::Unclear(format!(
            "{name:?} is no channel or nick of {network}: channels begin with #, and neither has spaces, \
             commas, colons, ! @ or *"
        )));
    }
    Ok(ChatKey::new(name.to_ascii_lowercase()))
}

/// A chat that the directory knows, by key, by title, or by the beginning of its title.
async fn known(parts: &Parts, network: &NetworkId, name: &str) -> Result<ChatKey, NameError> {
    let chats = all(parts, network).await?;
    if let Some(chat) = chats.iter().find(|chat| chat.chat.as_str() == name) {
        return Ok(chat.chat.clone());
    }
    let wanted = fold(name);
    let here = || chats.iter().filter(|chat| !chat.is_gone && !chat.title.is_empty());
    let exact: Vec<&ChatProfile> = here().filter(|chat| fold(&chat.title) == wanted).collect();
    let found = match exact.is_empty() {
        false => exact,
        true => here().filter(|chat| fold(&chat.title).starts_with(&wanted)).collect(),
    };
    match found.as_slice() {
        [] => {
            let list = match network.kind() {
                ACCOUNT_KIND => format!("; see: wxgate chat list {}", network.name()),
                _ => String::new(),
            };
            Err(NameError::Unknown(format!("{network} has no chat {name:?}{list}")))
        }
        [one] => Ok(one.chat.clone()),
        several => {
            let written: Vec<String> = several
                .iter()
                .take(SHOWN)
                .map(|chat| {
                    format!("{network}/{} ({})", chat.chat, chat.title.replace(char::is_control, " "))
                })
                .collect();
            let more = if several.len() > SHOWN { ", …" } else { "" };
            Err(NameError::Unclear(format!(
                "{name:?} may be {} chats of {network}; write one of: {}{more}",
                several.len(),
                written.join(", ")
            )))
        }
    }
}

async fn all(parts: &Parts, network: &NetworkId) -> Result<Vec<ChatProfile>, StoreError> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = parts.bridge.store().chats(network, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some(last.chat.clone());
        all.extend(page);
    }
}

fn fold(title: &str) -> String {
    title.trim().to_lowercase()
}

/// The title of a chat, as far as its network told one.
pub(crate) async fn title(parts: &Parts, chat: &ChatRef) -> String {
    let profile = parts.bridge.chat(chat).await;
    profile.ok().flatten().map(|profile| profile.title).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_nicks_are_taken_in_lower_case() {
        let network = NetworkId::from("irc:libera");
        let key = |name: &str| irc_name(&network, name).ok().map(|key| key.to_string());
        assert_eq!(key("#Rust").as_deref(), Some("#rust"));
        assert_eq!(key("##c++").as_deref(), Some("##c++"));
        assert_eq!(key("Bob").as_deref(), Some("bob"));
        assert_eq!(key("#家").as_deref(), Some("#家"));
        for odd in ["", "#", "#a b", "a,b", "#a\u{7}", "a!b", "x:y"] {
            assert_eq!(key(odd), None, "{odd:?}");
        }
    }
}
