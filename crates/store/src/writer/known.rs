//! Earlier posts: by the ids that networks gave them, and all the ids of one.

use std::collections::{BTreeMap, HashMap};

use sqlx::AnyConnection;
use wxgate_contract::{PostId, RemoteId};

use super::group::Scene;
use super::intake::{Item, RemotePlace};
use crate::error::StoreError;
use crate::prepare::chat_ref;
use crate::report::KnownPost;
use crate::sql::{Columns, Many, row};

const DOING: &str = "looking up earlier posts";

/// So often one post may have been said again. Chosen: for the time being, and then by an answer.
const MOVES: usize = 2;

/// The posts with these ids; unknown ones are left out.
pub(super) async fn posts(
    tx: &mut AnyConnection,
    places: impl Iterator<Item = RemotePlace<'_>>,
) -> Result<HashMap<(i64, String), i64>, StoreError> {
    let found = placed(tx, places).await?;
    Ok(found.into_iter().map(|(place, (post, _))| (place, post)).collect())
}

/// The same with their chats.
async fn placed(
    tx: &mut AnyConnection,
    places: impl Iterator<Item = RemotePlace<'_>>,
) -> Result<HashMap<(i64, String), (i64, String)>, StoreError> {
    let mut many = Many::new(
        "WITH w (network, remote_id) AS (VALUES ",
        ") SELECT r.network, r.remote_id, r.post, r.chat FROM w \
         JOIN remote_id r ON r.network = w.network AND r.remote_id = w.remote_id",
    );
    for (network, id) in places {
        many.push(row![network, id.as_str()]);
    }
    let rows = many.fetch(tx, DOING).await?;
    rows.iter().map(|row| Ok(((row.at(0)?, row.at(1)?), (row.at(2)?, row.at(3)?)))).collect()
}

/// The ids that a post may have by now, the first one first.
fn names(id: &RemoteId) -> impl Iterator<Item = RemoteId> {
    std::iter::successors(Some(id.clone()), |id| Some(id.said_again())).take(MOVES + 1)
}

/// Finds what posts quote or recall. The id is looked for on the network that handed the post
/// over, then on the chat's own network, because a face may name a line by the id it has there.
/// Of a post that was said again in another chat the one in the same chat is meant, else the last.
pub(super) async fn targets(tx: &mut AnyConnection, items: &mut [Item<'_>]) -> Result<(), StoreError> {
    let wanted =
        items.iter().filter_map(|item| Some((item.origin, item.ready.chat_network, item.ready.target()?)));
    let mut places: Vec<(i64, RemoteId)> = Vec::new();
    for (origin, home, id) in wanted {
        places.push((origin, id.clone()));
        places.extend(names(id).map(|id| (home, id)));
    }
    if places.is_empty() {
        return Ok(());
    }
    places.sort_unstable();
    places.dedup();
    let found = placed(tx, places.iter().map(|(network, id)| (*network, id))).await?;
    for item in items {
        if let Some(id) = item.ready.target() {
            let chat = item.ready.post.chat.chat.as_str();
            let at = |network: i64| {
                let known = || names(id).filter_map(|id| found.get(&(network, id.as_str().to_owned())));
                known().find(|(_, place)| place == chat).or_else(|| known().last()).map(|(post, _)| *post)
            };
            let target = at(item.origin).or_else(|| at(item.ready.chat_network));
            // A post that quotes itself quotes nothing.
            item.target = target.filter(|target| *target != item.id);
        }
    }
    Ok(())
}

/// These posts with all their ids.
pub(super) async fn with_ids(
    scene: &Scene<'_>,
    tx: &mut AnyConnection,
    posts: impl Iterator<Item = i64>,
) -> Result<HashMap<i64, KnownPost>, StoreError> {
    let mut wanted: Vec<i64> = posts.collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut many = Many::new(
        "WITH w (post) AS (VALUES ",
        ") SELECT r.post, r.piece, r.remote_id, r.network, r.chat FROM w JOIN remote_id r ON r.post = w.post",
    );
    let mut known: HashMap<i64, KnownPost> = HashMap::with_capacity(wanted.len());
    for post in wanted {
        known.insert(post, KnownPost { post_id: PostId(post), ids: Vec::new() });
        many.push(row![post]);
    }
    // Oldest piece first.
    let mut ordered: BTreeMap<(i64, i64, String), (i64, String)> = BTreeMap::new();
    for row in many.fetch(tx, DOING).await? {
        ordered.insert((row.at(0)?, row.at(1)?, row.at(2)?), (row.at(3)?, row.at(4)?));
    }
    for ((post, _, id), (network, chat)) in ordered {
        let network = scene.names.name(tx, network).await?;
        if let Some(known) = known.get_mut(&post) {
            known.ids.push((chat_ref(network, chat), RemoteId::new(id)));
        }
    }
    Ok(known)
}
