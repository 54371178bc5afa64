//! What faces read: chats, people and timelines.

use sqlx::any::AnyRow;
use wxgate_contract::{
    ChatKey, ChatProfile, ChatRef, Fate, HistoryRange, NetworkId, PersonKey, PersonProfile, Post, PostId,
    RemoteId, TimelineItem,
};

use crate::error::StoreError;
use crate::limits;
use crate::relayed;
use crate::rows;
use crate::sql::{self, Columns, Many, row};
use crate::store::Store;

/// A timeline is what was said in a network's chats and what was carried into them from elsewhere,
/// in one order. One statement, so that nothing is committed between the two halves of it. What a row says in
/// numbers is one column, because each column of a row is copied and described three times on its way here.
macro_rules! history {
    ($own:literal, $relayed:literal, $order:literal) => {
        concat!(
            "SELECT * FROM (SELECT ",
            numbers!("id", "shown_seq", "origin", "fate", "is_recalled", "target"),
            " AS numbers, why, native_id, post, '' AS to_chat, NULL AS author FROM post ",
            "WHERE network = $1 AND shown_seq IS NOT NULL AND ",
            $own,
            " ORDER BY shown_seq",
            $order,
            ") own UNION ALL SELECT * FROM (SELECT ",
            numbers!("p.id", "r.shown_seq", "p.origin", "r.fate", "p.is_recalled", "p.target"),
            ", r.why, r.native_id, p.post, r.chat, r.author ",
            "FROM relayed r JOIN post p ON p.id = r.post WHERE r.network = $1 AND ",
            $relayed,
            " ORDER BY r.shown_seq",
            $order,
            ") carried"
        )
    };
}

/// Numbers as a JSON list; the last one may be NULL.
macro_rules! numbers {
    ($id:literal, $seq:literal, $origin:literal, $fate:literal, $recalled:literal, $target:literal) => {
        concat!(
            "'[' || CAST(",
            $id,
            " AS TEXT) || ',' || CAST(",
            $seq,
            " AS TEXT) || ',' || CAST(",
            $origin,
            " AS TEXT) || ',' || CAST(",
            $fate,
            " AS TEXT) || ',' || CAST(",
            $recalled,
            " AS TEXT) || ',' || COALESCE(CAST(",
            $target,
            " AS TEXT), 'null') || ']'"
        )
    };
}

/// `id`, `shown_seq`, `origin`, `fate`, `is_recalled`, `target`.
type Numbers = (i64, i64, i64, i64, i64, Option<i64>);

impl Store {
    /// Chats of a network without their members, after `after` in key order.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read, `Corrupt` when a row makes no sense.
    pub async fn chats(
        &self,
        network: &NetworkId,
        after: Option<&ChatKey>,
        limit: usize,
    ) -> Result<Vec<ChatProfile>, StoreError> {
        const DOING: &str = "reading chats";
        let Some(number) = self.find(network).await? else { return Ok(Vec::new()) };
        let after = after.map_or("", ChatKey::as_str);
        limits::check_id("a chat key", after)?;
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT chat, profile FROM chat WHERE network = $1 AND chat > $2 ORDER BY chat LIMIT $3";
        let found = sql::fetch(&mut conn, DOING, text, row![number, after, limits::rows(limit)]).await?;
        found.iter().map(|row| rows::chat(row.at(0)?, &row.at::<String>(1)?, None)).collect()
    }

    /// One chat with its members.
    ///
    /// # Errors
    /// As [`Store::chats`].
    pub async fn chat(&self, chat: &ChatRef) -> Result<Option<ChatProfile>, StoreError> {
        const DOING: &str = "reading a chat";
        let Some(number) = self.find(&chat.network).await? else { return Ok(None) };
        limits::check_chat(chat)?;
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT chat, profile, members FROM chat WHERE network = $1 AND chat = $2";
        let found = sql::fetch(&mut conn, DOING, text, row![number, chat.chat.as_str()]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        rows::chat(row.at(0)?, &row.at::<String>(1)?, row.at::<Option<String>>(2)?.as_deref()).map(Some)
    }

    /// These people; unknown ones are left out.
    ///
    /// # Errors
    /// As [`Store::chats`].
    pub async fn people(
        &self,
        network: &NetworkId,
        keys: &[PersonKey],
    ) -> Result<Vec<PersonProfile>, StoreError> {
        const DOING: &str = "reading people";
        let Some(number) = self.find(network).await? else { return Ok(Vec::new()) };
        let mut many = Many::new(
            "WITH w (network, person) AS (VALUES ",
            ") SELECT p.person, p.is_contact, p.profile FROM w \
             JOIN person p ON p.network = w.network AND p.person = w.person",
        );
        for key in keys {
            limits::check_id("a person key", key.as_str())?;
            many.push(row![number, key.as_str()]);
        }
        let mut conn = self.reader(DOING).await?;
        many.fetch(&mut conn, DOING).await?.iter().map(person).collect()
    }

    /// Contacts of a network (not mere group members), after `after` in key order.
    ///
    /// # Errors
    /// As [`Store::chats`].
    pub async fn contacts(
        &self,
        network: &NetworkId,
        after: Option<&PersonKey>,
        limit: usize,
    ) -> Result<Vec<PersonProfile>, StoreError> {
        const DOING: &str = "reading contacts";
        let Some(number) = self.find(network).await? else { return Ok(Vec::new()) };
        let after = after.map_or("", PersonKey::as_str);
        limits::check_id("a person key", after)?;
        let mut conn = self.reader(DOING).await?;
        let text = "SELECT person, is_contact, profile FROM person \
                    WHERE network = $1 AND person > $2 AND is_contact = 1 ORDER BY person LIMIT $3";
        let found = sql::fetch(&mut conn, DOING, text, row![number, after, limits::rows(limit)]).await?;
        found.iter().map(person).collect()
    }

    /// A part of a network's timeline, or of one chat of it; always oldest first.
    ///
    /// # Errors
    /// As [`Store::chats`].
    pub async fn history(
        &self,
        network: &NetworkId,
        chat: Option<&ChatKey>,
        range: HistoryRange,
        limit: usize,
    ) -> Result<Vec<TimelineItem>, StoreError> {
        const DOING: &str = "reading a timeline";
        let Some(number) = self.find(network).await? else { return Ok(Vec::new()) };
        let mut values = Vec::from(row![number]);
        if let Some(chat) = chat {
            limits::check_id("a chat key", chat.as_str())?;
            values.push(chat.as_str().into());
        }
        let (text, bound, is_backwards) = match (range, chat.is_some()) {
            (HistoryRange::After(seq), false) => {
                let text = history!("shown_seq > $2", "r.shown_seq > $2", " LIMIT $3");
                (text, seq, false)
            }
            (HistoryRange::Before(seq), false) => {
                let text = history!("shown_seq < $2", "r.shown_seq < $2", " DESC LIMIT $3");
                (text, seq, true)
            }
            (HistoryRange::After(seq), true) => {
                let text =
                    history!("chat = $2 AND shown_seq > $3", "r.chat = $2 AND r.shown_seq > $3", " LIMIT $4");
                (text, seq, false)
            }
            (HistoryRange::Before(seq), true) => {
                let text = history!(
                    "chat = $2 AND shown_seq < $3",
                    "r.chat = $2 AND r.shown_seq < $3",
                    " DESC LIMIT $4"
                );
                (text, seq, true)
            }
        };
        values.extend(row![bound, limits::rows(limit)]);
        let mut conn = self.reader(DOING).await?;
        let found = sql::fetch(&mut conn, DOING, text, values).await?;
        let mut items = Vec::with_capacity(found.len());
        for row in &found {
            let numbers: Numbers = serde_json::from_str(&row.at::<String>(0)?)
                .map_err(|_| StoreError::corrupt("post", "of a timeline"))?;
            let origin = self.0.names.name(&mut conn, numbers.2).await?;
            let item = item(number, numbers, origin, row)?;
            items.push(match row.at::<Option<String>>(5)? {
                None => item,
                Some(author) => {
                    let chat = ChatRef { network: network.clone(), chat: row.at::<String>(4)?.into() };
                    TimelineItem { post: relayed::as_shown(item.post, &chat, &author), ..item }
                }
            });
        }
        // Each half came in order and as long as the whole may be.
        items.sort_by_key(|item| item.seq);
        if is_backwards {
            items.drain(..items.len().saturating_sub(limit));
        } else {
            items.truncate(limit);
        }
        Ok(items)
    }
}

fn person(row: &AnyRow) -> Result<PersonProfile, StoreError> {
    rows::person(row.at(0)?, row.at(1)?, &row.at::<String>(2)?)
}

fn item(number: i64, numbers: Numbers, origin: NetworkId, row: &AnyRow) -> Result<TimelineItem, StoreError> {
    let (id, seq, origin_number, fate, is_recalled, target) = numbers;
    let corrupt = || StoreError::corrupt("post", id);
    let post: Post = serde_json::from_str(&row.at::<String>(3)?).map_err(|_| corrupt())?;
    let why = || row.at::<Option<String>>(1).map(Option::unwrap_or_default);
    let fate = match fate {
        1 => Fate::Said,
        2 => Fate::NotDelivered { why: why()? },
        3 => Fate::MaybeDelivered { why: why()? },
        _ => return Err(corrupt()),
    };
    let native_id = match origin_number == number {
        true => Some(post.remote_id.clone()),
        false => row.at::<Option<String>>(2)?.map(RemoteId::new),
    };
    Ok(TimelineItem {
        seq,
        post_id: PostId(id),
        origin,
        post,
        fate,
        target: target.map(PostId),
        native_id,
        is_recalled: is_recalled != 0,
    })
}
