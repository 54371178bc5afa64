//! What did not arrive, or waits to be tried again, for the owner of an account.

use maud::{Markup, html};
use wxgate_contract::{ChatRef, NetworkId};
use wxgate_store::{Stand, StoreError, Trouble};

use super::words::{Words, fill};
use crate::chat_name;
use crate::clock;
use crate::wiring::{Parts, matrix};

/// Rows of each kind. Chosen: what is wrong is seen, and more of the same says nothing more.
const SHOWN: u32 = 10;

/// What goes to WeChat from this account's chats, and what goes from them to the faces that mirror them; nothing
/// when all is well.
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
            None => (words.wechat, trouble.lane.clone()),
        };
        let title = chat_name::title(parts, &chat).await;
        rows.push((trouble, to, if title.is_empty() { words.unnamed.to_owned() } else { title }));
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
