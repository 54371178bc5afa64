//! With what attachments go: whose they are when they are stored, and which go with an account or a message.

use std::collections::HashSet;

use sqlx::AnyConnection;
use wxgate_contract::MediaOwner;

use crate::error::StoreError;
use crate::report::Pruned;
use crate::sql::{self, Columns, Many, Value, row};
use crate::store::Store;

/// What a row says about whose it is.
#[derive(Default)]
pub(super) struct Bonds {
    network: Option<i64>,
    made_of: Option<String>,
    words_of: Option<i64>,
}

impl Bonds {
    /// `None` when the owner is not there any more. `number` is the one of an owner that is a network.
    pub(super) async fn of(
        tx: &mut AnyConnection,
        owner: &MediaOwner,
        number: Option<i64>,
    ) -> Result<Option<Self>, StoreError> {
        const DOING: &str = "looking up whose an attachment is";
        let (text, value) = match owner {
            MediaOwner::Posts => return Ok(Some(Self::default())),
            MediaOwner::Network(_) => return Ok(Some(Self { network: number, ..Self::default() })),
            MediaOwner::Media(media) => {
                ("SELECT network FROM media WHERE id = $1", Value::from(media.to_string()))
            }
            MediaOwner::Post(post) => ("SELECT network FROM post WHERE id = $1", Value::from(post.0)),
        };
        let rows = sql::fetch(tx, DOING, text, [value]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut bonds = Self { network: row.at(0)?, ..Self::default() };
        match owner {
            MediaOwner::Media(media) => bonds.made_of = Some(media.to_string()),
            MediaOwner::Post(post) => bonds.words_of = Some(post.0),
            MediaOwner::Posts | MediaOwner::Network(_) => {}
        }
        Ok(Some(bonds))
    }

    pub(super) fn values(&self) -> [Value; 3] {
        row![self.network, self.made_of.as_deref(), self.words_of]
    }
}

/// Those of `w` that stay when everything of the network goes: what belongs to another account, and what is here and
/// somebody else's posts show as well.
const KEPT: &str = ") SELECT w.id FROM w JOIN media m ON m.id = w.id \
     WHERE m.network <> w.network AND m.network IN (SELECT network FROM account) \
     OR m.state = 1 AND EXISTS (SELECT 1 FROM attached a JOIN post p ON p.id = a.post \
     WHERE a.media = w.id AND p.network <> w.network)";

/// Deletes attachments with all of a network, and what was made of them; gives the content that nothing names any
/// more. What has to stay is the network's no longer.
pub(crate) async fn forget(
    tx: &mut AnyConnection,
    doing: &'static str,
    number: i64,
    ids: Vec<String>,
) -> Result<Vec<String>, StoreError> {
    let mut kept = Many::new("WITH w (id, network) AS (VALUES ", KEPT);
    ids.iter().for_each(|id| kept.push(row![id.as_str(), number]));
    let kept = kept.fetch(tx, doing).await?;
    let kept: HashSet<String> = kept.iter().map(|row| row.at(0)).collect::<Result<_, _>>()?;
    let mut left = Many::new(
        "WITH w (id, network) AS (VALUES ",
        ") UPDATE media SET network = NULL FROM w WHERE media.id = w.id AND media.network = w.network",
    );
    let mut gone = Many::new("DELETE FROM media WHERE id IN (VALUES ", ") RETURNING hash");
    let mut made = Many::new("DELETE FROM media WHERE made_of IN (VALUES ", ") RETURNING hash");
    for id in ids {
        if kept.contains(&id) {
            left.push(row![id, number]);
        } else {
            gone.push(row![&*id]);
            made.push(row![id]);
        }
    }
    left.run(tx, doing).await?;
    let mut rows = gone.fetch(tx, doing).await?;
    rows.extend(made.fetch(tx, doing).await?);
    let mut hashes = Vec::new();
    for row in rows {
        hashes.extend(row.at::<Option<String>>(0)?);
    }
    unnamed(tx, doing, hashes).await
}

/// Deletes attachments that hold the words of these posts; gives the content that nothing names any more.
pub(crate) async fn forget_words(
    tx: &mut AnyConnection,
    doing: &'static str,
    posts: &[i64],
) -> Result<Vec<String>, StoreError> {
    let mut many = Many::new("DELETE FROM media WHERE words_of IN (VALUES ", ") RETURNING hash");
    posts.iter().for_each(|post| many.push(row![*post]));
    let mut hashes = Vec::new();
    for row in many.fetch(tx, doing).await? {
        hashes.extend(row.at::<Option<String>>(0)?);
    }
    unnamed(tx, doing, hashes).await
}

/// Makes attachments that no account has a network's own: the posts that showed them are going, and nothing else
/// would say whose they were.
pub(crate) async fn hand_over(
    tx: &mut AnyConnection,
    doing: &'static str,
    number: i64,
    ids: Vec<String>,
) -> Result<(), StoreError> {
    // What still has to come keeps its network, under whose name its source is sealed.
    let mut many = Many::new(
        "WITH w (id, network) AS (VALUES ",
        ") UPDATE media SET network = w.network FROM w WHERE media.id = w.id AND media.state = 1 \
         AND (media.network IS NULL OR media.network NOT IN (SELECT network FROM account))",
    );
    ids.into_iter().for_each(|id| many.push(row![id, number]));
    many.run(tx, doing).await.map(drop)
}

/// Those contents that no attachment names.
pub(super) async fn unnamed(
    conn: &mut AnyConnection,
    doing: &'static str,
    mut hashes: Vec<String>,
) -> Result<Vec<String>, StoreError> {
    hashes.sort_unstable();
    hashes.dedup();
    let mut many = Many::new(
        "WITH w (hash) AS (VALUES ",
        ") SELECT DISTINCT m.hash FROM w JOIN media m ON m.hash = w.hash",
    );
    hashes.iter().for_each(|hash| many.push(row![&**hash]));
    let named = many.fetch(conn, doing).await?;
    let named: HashSet<String> = named.iter().map(|row| row.at(0)).collect::<Result<_, _>>()?;
    hashes.retain(|hash| !named.contains(hash));
    Ok(hashes)
}

impl Store {
    /// Removes files that no attachment names. Whoever calls this holds the gate of the files.
    pub(crate) async fn drop_unnamed(
        &self,
        doing: &'static str,
        hashes: Vec<String>,
    ) -> Result<(), StoreError> {
        let mut conn = self.reader(doing).await?;
        let hashes = unnamed(&mut conn, doing, hashes).await?;
        drop(conn);
        self.remove_contents(&hashes, &mut Pruned::default()).await
    }

    /// Removes the files of these contents.
    pub(crate) async fn remove_contents(
        &self,
        hashes: &[String],
        pruned: &mut Pruned,
    ) -> Result<(), StoreError> {
        for hash in hashes {
            self.remove_file(&self.media_path(hash), pruned).await?;
        }
        Ok(())
    }
}
