//! A delivery into an account's chat that was carried out takes its place in the account's timeline.
//! See docs/decisions/0008.

use sqlx::AnyConnection;
use wxgate_contract::{Author, ChatRef, TimelineItem};

use super::group::Scene;
use super::settle::{fate_number, fate_why};
use crate::error::StoreError;
use crate::limits::without_nul;
use crate::relayed::as_shown;
use crate::sql::{self, Columns, row};

const DOING: &str = "showing what was carried into a chat";

/// Gives the post of `item` its place in `chat`; `None` when it has one, whose fate is corrected
/// then. `home` is the number of the network that it was said on.
pub(super) async fn show(
    scene: &Scene<'_>,
    tx: &mut AnyConnection,
    (number, chat): (i64, ChatRef),
    home: i64,
    item: TimelineItem,
) -> Result<Option<TimelineItem>, StoreError> {
    let (fate, why) = (fate_number(&item.fate), fate_why(&item.fate));
    let native_id = item.native_id.as_ref().map(wxgate_contract::RemoteId::as_str);
    let place = row![item.post_id.0, number, chat.chat.as_str()];
    let text = "UPDATE relayed SET fate = $4, why = $5, native_id = COALESCE($6, native_id) \
                WHERE post = $1 AND network = $2 AND chat = $3";
    let values = place.clone().into_iter().chain(row![fate, why, native_id]);
    if sql::run(tx, DOING, text, values).await? > 0 {
        return Ok(None);
    }
    let author = without_nul(&author_name(tx, home, &item).await?);
    let seq = scene.numbers.take(tx, 1).await?;
    let text = "INSERT INTO relayed (post, network, chat, shown_seq, fate, why, native_id, author) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = place.into_iter().chain(row![seq, fate, why, native_id, &*author]);
    sql::run(tx, DOING, text, values).await?;
    Ok(Some(TimelineItem { seq, post: as_shown(item.post, &chat, &author), ..item }))
}

/// How the author was called when it was said; the owner of another account as that account's
/// profile has it.
async fn author_name(tx: &mut AnyConnection, home: i64, item: &TimelineItem) -> Result<String, StoreError> {
    match &item.post.author {
        Author::Person { person, name } if name.is_empty() => Ok(person.as_str().to_owned()),
        Author::Person { name, .. } => Ok(name.clone()),
        Author::Owner => {
            let found =
                sql::fetch(tx, DOING, "SELECT own_name FROM account WHERE network = $1", row![home]).await?;
            found.first().map_or_else(|| Ok(String::new()), |row| row.at(0))
        }
        Author::Network | Author::Gateway => Ok(String::new()),
    }
}
