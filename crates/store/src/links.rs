//! Links: sets of chats that mirror each other. A chat is in one link at most.

use std::collections::BTreeMap;

use sqlx::AnyConnection;
use wxgate_contract::{ChatRef, Timestamp};

use crate::error::StoreError;
use crate::limits;
use crate::prepare::{Ready, chat_ref};
use crate::report::{Link, LinkId};
use crate::sql::{self, Columns, row};
use crate::store::Store;
use crate::tx::Tx;

impl Store {
    /// Links chats with each other.
    ///
    /// # Errors
    /// `Conflict` when one of them is linked already, `Invalid` for fewer than two chats.
    pub async fn add_link(&self, members: &[ChatRef]) -> Result<LinkId, StoreError> {
        const DOING: &str = "adding a link";
        let mut wanted = members.to_vec();
        wanted.sort();
        wanted.dedup();
        if wanted.len() < 2 {
            return Err(StoreError::invalid("a link needs two different chats"));
        }
        let mut rows = Vec::with_capacity(wanted.len());
        for member in wanted {
            limits::check_chat(&member)?;
            rows.push((self.number(&member.network).await?, member));
        }
        let now = self.0.clock.now().ms();
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    let text = "UPDATE counter SET value = value + 1 WHERE name = 'seq' RETURNING value";
                    let id: i64 = match sql::fetch(tx, DOING, text, []).await?.first() {
                        Some(row) => row.at(0)?,
                        None => return Err(StoreError::corrupt("counter", "seq")),
                    };
                    let text = "INSERT INTO link (id, created_ms) VALUES ($1, $2)";
                    sql::run(tx, DOING, text, row![id, now]).await?;
                    for (number, member) in rows {
                        let text = "INSERT INTO link_member (network, chat, link) VALUES ($1, $2, $3) \
                                    ON CONFLICT (network, chat) DO NOTHING";
                        let values = row![number, member.chat.as_str(), id];
                        if sql::run(tx, DOING, text, values).await? == 0 {
                            let (network, chat) = (&member.network, &member.chat);
                            return Err(StoreError::conflict(format!(
                                "{chat} of {network} is in a link already"
                            )));
                        }
                    }
                    Ok(LinkId(id))
                })
            })
            .await
    }

    /// All links, oldest first.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read.
    pub async fn links(&self) -> Result<Vec<Link>, StoreError> {
        const DOING: &str = "reading links";
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT link, network, chat, created_ms FROM link_member JOIN link ON id = link";
        let mut links: BTreeMap<LinkId, Link> = BTreeMap::new();
        for row in sql::fetch(&mut conn, DOING, text, []).await? {
            let network = self.0.names.name(&mut conn, row.at(1)?).await?;
            let (id, since) = (LinkId(row.at(0)?), Timestamp(row.at(3)?));
            let link = links.entry(id).or_insert_with(|| Link { id, since, members: Vec::new() });
            link.members.push(chat_ref(network, row.at(2)?));
        }
        links.values_mut().for_each(|link| link.members.sort());
        Ok(links.into_values().collect())
    }

    /// Takes a link apart; false when there is no such link.
    ///
    /// # Errors
    /// `Unavailable` when the database failed.
    pub async fn remove_link(&self, link: LinkId) -> Result<bool, StoreError> {
        const DOING: &str = "removing a link";
        self.writer()?
            .transaction(DOING, move |tx| {
                Box::pin(async move {
                    sql::run(tx, DOING, "DELETE FROM link_member WHERE link = $1", row![link.0]).await?;
                    Ok(sql::run(tx, DOING, "DELETE FROM link WHERE id = $1", row![link.0]).await? > 0)
                })
            })
            .await
    }
}

/// Gives the links of chats to those that they turned out to be; true when there were any. Where both are linked, their
/// links become one.
pub(crate) async fn follow(tx: &mut Tx<'_>, batch: &Ready) -> Result<bool, StoreError> {
    const DOING: &str = "moving links";
    let mut is_changed = false;
    for (from, to) in batch.follows.iter().filter(|(from, to)| from != to) {
        let tx = tx.conn(DOING).await?;
        let (mut left, mut taken) = (None, None);
        let text = "SELECT chat, link FROM link_member WHERE network = $1 AND chat IN ($2, $3)";
        for row in sql::fetch(tx, DOING, text, row![batch.number, &**from, &**to]).await? {
            let of = if row.at::<String>(0)? == *from { &mut left } else { &mut taken };
            *of = Some(row.at::<i64>(1)?);
        }
        let Some(left) = left else { continue };
        is_changed = true;
        let Some(taken) = taken else {
            let text = "UPDATE link_member SET chat = $3 WHERE network = $1 AND chat = $2";
            sql::run(tx, DOING, text, row![batch.number, &**from, &**to]).await?;
            continue;
        };
        let text = "DELETE FROM link_member WHERE network = $1 AND chat = $2";
        sql::run(tx, DOING, text, row![batch.number, &**from]).await?;
        sql::run(tx, DOING, "UPDATE link_member SET link = $1 WHERE link = $2", row![taken, left]).await?;
        drop_lonely(tx).await?;
    }
    Ok(is_changed)
}

/// A link with fewer than two members mirrors nothing.
pub(crate) async fn drop_lonely(tx: &mut AnyConnection) -> Result<(), StoreError> {
    const DOING: &str = "removing links";
    let text = "DELETE FROM link_member WHERE link IN \
                (SELECT link FROM link_member GROUP BY link HAVING COUNT(*) < 2)";
    sql::run(tx, DOING, text, []).await?;
    let text = "DELETE FROM link WHERE id NOT IN (SELECT link FROM link_member)";
    sql::run(tx, DOING, text, []).await.map(|_| ())
}
