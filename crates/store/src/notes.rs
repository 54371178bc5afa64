//! Reading notes: exactly what was last committed.

use bytes::Bytes;
use sqlx::any::AnyRow;
use wxgate_contract::NetworkId;

use crate::error::StoreError;
use crate::limits;
use crate::seal::Place;
use crate::sql::{self, Columns, Many, row};
use crate::store::Store;

const DOING: &str = "reading notes";

impl Store {
    /// One note.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be read, `Sealed` when a note does not open with the seal key.
    pub async fn note(&self, network: &NetworkId, key: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.notes_of(network, &[key.to_owned()]).await?.pop().map(|(_, value)| value))
    }

    /// Several notes by key; missing ones are left out.
    ///
    /// # Errors
    /// As [`Store::note`].
    pub async fn notes_of(
        &self,
        network: &NetworkId,
        keys: &[String],
    ) -> Result<Vec<(String, Bytes)>, StoreError> {
        let Some(number) = self.find(network).await? else { return Ok(Vec::new()) };
        let mut many = Many::new(
            "WITH w (network, key) AS (VALUES ",
            ") SELECT n.key, n.is_secret, n.value FROM w JOIN note n ON n.network = w.network AND n.key = w.key",
        );
        for key in keys {
            // Such a key was never stored; PostgreSQL would refuse the whole question.
            if limits::check_id("the key of a note", key).is_ok() {
                many.push(row![number, &**key]);
            }
        }
        let mut conn = self.reader(DOING).await?;
        let rows = many.fetch(&mut conn, DOING).await?;
        rows.iter().map(|row| self.opened(network, row)).collect()
    }

    /// Notes whose key starts with `prefix`, after `after` in key order, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::note`].
    pub async fn notes(
        &self,
        network: &NetworkId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Bytes)>, StoreError> {
        let Some(number) = self.find(network).await? else { return Ok(Vec::new()) };
        limits::check_id("the prefix of notes", prefix)?;
        limits::check_id("the key of a note", after.unwrap_or_default())?;
        // Keys are compared byte by byte on both engines; "" is below every key but an empty one.
        let text = "SELECT key, is_secret, value FROM note WHERE network = $1 AND key >= $2 AND key > $3 \
                    AND key < $4 ORDER BY key LIMIT $5";
        let whole = "SELECT key, is_secret, value FROM note WHERE network = $1 AND key >= $2 AND key > $3 \
                     ORDER BY key LIMIT $4";
        let after = after.unwrap_or_default();
        let mut conn = self.reader(DOING).await?;
        let rows = match past(prefix) {
            Some(end) => {
                let values = row![number, prefix, after, end, limits::rows(limit)];
                sql::fetch(&mut conn, DOING, text, values).await?
            }
            None => {
                sql::fetch(&mut conn, DOING, whole, row![number, prefix, after, limits::rows(limit)]).await?
            }
        };
        rows.iter().map(|row| self.opened(network, row)).collect()
    }

    fn opened(&self, network: &NetworkId, row: &AnyRow) -> Result<(String, Bytes), StoreError> {
        let (key, is_secret, value): (String, i64, Vec<u8>) = (row.at(0)?, row.at(1)?, row.at(2)?);
        if is_secret == 0 {
            return Ok((key, value.into()));
        }
        let place = Place::Note { network: network.as_str(), key: &key };
        match self.0.key.open(&place, &value) {
            Some(plain) => Ok((key, plain.into())),
            None => Err(StoreError::Sealed { network: network.as_str().to_owned(), key }),
        }
    }
}

/// The first text after everything that starts with `prefix`; `None` when there is no such text.
fn past(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Skips the gap of the surrogates by itself; the last character of all has no successor.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_next_text() {
        assert_eq!(past("roster/").as_deref(), Some("roster0"));
        assert_eq!(past("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(past("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(past("\u{10ffff}"), None);
        assert_eq!(past(""), None);
    }
}
