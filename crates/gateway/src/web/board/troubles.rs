//! What did not arrive, or waits to be tried again, for the owner of an account.

use std::collections::BTreeSet;

use maud::{Markup, html};
use wxgate_contract::{ChatRef, NetworkId};
use wxgate_store::{Stand, StoreError, Trouble};

use super::words::{Words, fill};
use crate::chat_name;
use crate::clock;
use crate::wiring::{Parts, is_guest, matrix};

/// Rows of each kind. Chosen: what is wrong is seen, and more of the same says nothing more.
const SHOWN: u32 = 10;

/// Rows of a network of others that are looked through for those of linked channels. Chosen: far more than are shown.
const LOOKED: u32 = 200;

/// What goes to WeChat from this account's chats, to the faces that mirror them, and to the channels that are linked
/// with them; nothing when all is well.
pub(super) async fn section(parts: &Parts, network: &NetworkId, words: &Words) -> Markup {
    let troubles = match read(parts, network).await {
        Ok(troubles) => troubles,
        Err(error) => return html! { p.alarm { (error) } },
    };
    if troubles.is_empty() {
        return html! {};
    }
    let mut rows = Vec::with_capacity(troubles.len());
    for trouble in &troubles {
        let mirrored = ChatRef::mirrored_by(&trouble.lane.chat);
        let (to, chat) = match mirrored.filter(|chat| chat.network == *network) {
            Some(chat) => (trouble.lane.network.kind(), chat),
            None if is_guest(&trouble.lane.network) => (trouble.lane.network.as_str(), trouble.lane.clone()),
            None => (words.wechat, trouble.lane.clone()),
        };
        let title = chat_name::title(parts, &chat).await;
        let title =
            if title.is_empty() { words.unnamed.to_owned() } else { words.title(&title).into_owned() };
        rows.push((trouble, to, title));
    }
    html! {
        h2 { (words.troubles) }
        div.wide { table {
            thead { tr {
                th scope="col" { (words.when) } th scope="col" { (words.title) } th scope="col" { (words.to) }
                th scope="col" { (words.state) }
            } }
            tbody { @for (trouble, to, title) in &rows {
                tr {
                    td { (clock::written(trouble.since)) } td { (title) } td.word { (to) }
                    td { (stand(trouble, words)) }
                }
            } }
        } }
    }
}

async fn read(parts: &Parts, network: &NetworkId) -> Result<Vec<Trouble>, StoreError> {
    let store = parts.bridge.store();
    let mut troubles = store.troubles(network, SHOWN).await?;
    for face in matrix::NETWORKS {
        troubles.extend(store.mirror_troubles(network, &face.into(), SHOWN).await?);
    }
    troubles.extend(linked(parts, network).await?);
    Ok(troubles)
}

/// What is wrong in the channels that chats of this account are linked with.
async fn linked(parts: &Parts, network: &NetworkId) -> Result<Vec<Trouble>, StoreError> {
    let (store, links) = (parts.bridge.store(), parts.bridge.links().await?);
    let theirs = links.iter().filter(|link| link.members.iter().any(|member| member.network == *network));
    let channels: BTreeSet<&ChatRef> =
        theirs.flat_map(|link| &link.members).filter(|member| is_guest(&member.network)).collect();
    let networks: BTreeSet<&NetworkId> = channels.iter().map(|channel| &channel.network).collect();
    let mut troubles = Vec::new();
    for network in networks {
        let all = store.troubles(network, LOOKED).await?;
        let theirs = all.into_iter().filter(|trouble| channels.contains(&trouble.lane));
        troubles.extend(theirs.take(SHOWN as usize));
    }
    Ok(troubles)
}

fn stand(trouble: &Trouble, words: &Words) -> Markup {
    let (class, word) = match trouble.stand {
        Stand::Waits { attempts, .. } => ("degraded", fill(words.tried, attempts)),
        Stand::Refused => ("down", words.not_delivered.to_owned()),
        Stand::Uncertain => ("degraded", words.maybe_delivered.to_owned()),
    };
    html! {
        span class=(class) { (word) }
        @if let Stand::Waits { next, .. } = trouble.stand { " " span.soft { (fill(words.next_try, clock::written(next))) } }
        @if !trouble.why.is_empty() { br; span.soft { (words.told(&trouble.why)) } }
    }
}
