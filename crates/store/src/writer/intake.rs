//! Posts of a group: which are new, what they refer to, who must hear of them.

use std::collections::{HashMap, HashSet};

use sqlx::any::AnyRow;
use wxgate_contract::{Body, ChatRef, Fate, PostFate, PostId, RemoteId};

use super::CommitRequest;
use super::fanout::{self, Heard};
use super::group::{Decided, Scene, Shown};
use super::known;
use super::settle::{fate_number, fate_why, recalls};
use crate::error::StoreError;
use crate::prepare::{ReadyPost, is_recall};
use crate::sql::{Many, row};
use crate::tx::Tx;

const DOING: &str = "writing posts";

/// One post on its way in.
pub(super) struct Item<'a> {
    pub(super) commit: usize,
    pub(super) index: usize,
    pub(super) origin: i64,
    pub(super) ready: &'a ReadyPost,
    /// Our id of it, if it is new.
    pub(super) id: i64,
    /// The post it quotes or recalls.
    pub(super) target: Option<i64>,
}

/// Why a face's post is shown although nothing was ordered for its own chat.
const NOWHERE: &str = "the chat's network cannot do this";

pub(super) async fn all(
    scene: &Scene<'_>,
    tx: &mut Tx<'_>,
    commits: &[CommitRequest],
    echoes: &HashMap<(usize, usize), i64>,
    decided: &mut [Decided],
) -> Result<(), StoreError> {
    let Sifted { mut items, fates, links } = sift(scene, tx, commits, echoes).await?;
    for (decided, fates) in decided.iter_mut().zip(fates) {
        decided.fates = fates;
    }
    if items.is_empty() {
        return Ok(());
    }
    let conn = tx.conn(DOING).await?;
    known::targets(conn, &mut items).await?;
    let mut orders = fanout::of_items(scene, conn, commits, &items, links).await?;
    let at_home: HashSet<i64> = orders.iter().filter(|order| order.is_home).map(|order| order.post).collect();
    for item in &items {
        let Some(request) = commits.get(item.commit) else { continue };
        let is_lost = item.ready.is_from_face(item.origin) && !at_home.contains(&item.id);
        if is_lost && request.route.wants_reports(&request.ready.network) {
            let heard = item.heard(request);
            orders.push(fanout::report(scene, &heard, Fate::NotDelivered { why: NOWHERE.to_owned() })?);
        }
    }
    fanout::write(scene, conn, &orders).await?;
    for order in &orders {
        if let Some(decided) = decided.get_mut(order.index)
            && !decided.lanes.contains(&order.lane)
        {
            decided.lanes.push(order.lane.clone());
        }
    }
    write_posts(tx, &items, &at_home, decided);
    Ok(())
}

#[derive(Default)]
struct Sifted<'a> {
    /// What is new.
    items: Vec<Item<'a>>,
    fates: Vec<Vec<PostFate>>,
    /// Members of the links of their chats.
    links: Vec<AnyRow>,
}

/// Separates new posts from known ones. A new post is one whose remote id goes into the table.
async fn sift<'a>(
    scene: &Scene<'_>,
    tx: &mut Tx<'_>,
    commits: &'a [CommitRequest],
    echoes: &HashMap<(usize, usize), i64>,
) -> Result<Sifted<'a>, StoreError> {
    let count = commits.iter().map(|commit| commit.ready.posts.len()).sum();
    if count == 0 {
        let fates = commits.iter().map(|_| Vec::new()).collect();
        return Ok(Sifted { fates, ..Sifted::default() });
    }
    let first_id = scene.numbers.take_with(tx, count).await?;
    let mut many = Many::new(
        "INSERT INTO remote_id (network, remote_id, post, piece, chat) VALUES ",
        " ON CONFLICT (network, remote_id) DO NOTHING",
    );
    let mut ids = first_id..;
    let mut items = Vec::with_capacity(count);
    // Duplicates within the group: the first one counts.
    let mut seen: HashMap<(i64, &str), i64> = HashMap::new();
    for (commit, request) in commits.iter().enumerate() {
        let origin = request.ready.number;
        for (index, ready) in request.ready.posts.iter().enumerate() {
            let id = ids.next().unwrap_or(i64::MAX);
            if let Some(post) = echoes.get(&(commit, index)) {
                seen.entry((origin, ready.post.remote_id.as_str())).or_insert(*post);
                continue;
            }
            let remote_id = ready.post.remote_id.as_str();
            if let std::collections::hash_map::Entry::Vacant(slot) = seen.entry((origin, remote_id)) {
                slot.insert(id);
                many.push(row![origin, remote_id, id, 0_i64, ready.post.chat.chat.as_str()]);
                items.push(Item { commit, index, origin, ready, id, target: None });
            }
        }
    }
    // Nearly all of them are new, so their links are looked up on the way.
    let [taken, links] = tx.ask_all([many, fanout::links_of(&items)], DOING).await?;
    let (taken, links) = (taken.changed, links.rows);
    // Mostly all of them are new, and then nothing has to be asked.
    if taken < items.len() as u64 {
        let places = items.iter().map(|item| (item.origin, &item.ready.post.remote_id));
        let found = known::posts(tx.conn(DOING).await?, places).await?;
        items.retain(|item| {
            let remote_id = item.ready.post.remote_id.as_str();
            let owner = found.get(&(item.origin, remote_id.to_owned())).copied().unwrap_or(item.id);
            seen.insert((item.origin, remote_id), owner);
            owner == item.id
        });
    }
    let kept: HashSet<(usize, usize)> = items.iter().map(|item| (item.commit, item.index)).collect();
    let fate = |commit: usize, index: usize, origin: i64, ready: &ReadyPost| {
        let id = PostId(seen.get(&(origin, ready.post.remote_id.as_str())).copied().unwrap_or_default());
        if kept.contains(&(commit, index)) { PostFate::Kept(id) } else { PostFate::Known(id) }
    };
    let fates = commits.iter().enumerate().map(|(commit, request)| {
        let posts = request.ready.posts.iter().enumerate();
        posts.map(|(index, ready)| fate(commit, index, request.ready.number, ready)).collect()
    });
    let fates = fates.collect();
    Ok(Sifted { items, fates, links })
}

fn write_posts(tx: &mut Tx<'_>, items: &[Item<'_>], at_home: &HashSet<i64>, decided: &mut [Decided]) {
    let mut many = Many::new(
        "INSERT INTO post (id, origin, network, chat, shown_seq, fate, why, target, is_recalled, post) VALUES ",
        "",
    );
    let mut attached =
        Many::new("INSERT INTO attached (post, media) VALUES ", " ON CONFLICT (post, media) DO NOTHING");
    let mut recalled = Vec::new();
    for item in items {
        if let Body::Attachment(file) = &item.ready.post.body {
            let shown = [Some(file.media), file.poster].into_iter().flatten();
            shown.for_each(|media| attached.push(row![item.id, media.to_string()]));
        }
        let is_from_face = item.ready.is_from_face(item.origin);
        let fate = match is_from_face {
            false => Some(Fate::Said),
            true if at_home.contains(&item.id) => None,
            true => Some(Fate::NotDelivered { why: NOWHERE.to_owned() }),
        };
        // A post that is visible at once takes its place in the timeline by its own id.
        let seq = fate.as_ref().map(|_| item.id);
        let number = fate.as_ref().map_or(0, fate_number);
        let why = fate.as_ref().and_then(fate_why);
        let chat = item.ready.post.chat.chat.as_str();
        many.push(row![
            item.id,
            item.origin,
            item.ready.chat_network,
            chat,
            seq,
            number,
            why,
            item.target,
            0_i64,
            &*item.ready.json
        ]);
        let Some(fate) = fate else { continue };
        if fate == Fate::Said && is_recall(&item.ready.post) {
            recalled.extend(item.target);
        }
        if let Some(decided) = decided.get_mut(item.commit) {
            let native_id = (!is_from_face).then(|| item.ready.post.remote_id.clone());
            let (post_id, target) = (PostId(item.id), item.target.map(PostId));
            decided.shown.push(Shown { index: item.index, seq: item.id, post_id, fate, target, native_id });
        }
    }
    tx.later(many);
    tx.later(attached);
    tx.later(recalls(recalled));
}

/// A remote id with the network that uses it.
pub(super) type RemotePlace<'a> = (i64, &'a RemoteId);

impl<'a> Item<'a> {
    /// The post as routing hears of it; nobody is its target yet.
    pub(super) fn heard(&self, request: &'a CommitRequest) -> Heard<'a> {
        let is_from_face = self.ready.is_from_face(self.origin);
        let native = std::slice::from_ref(&self.ready.post.remote_id);
        Heard {
            native_ids: if is_from_face { &[] } else { native },
            index: self.commit,
            post_id: self.id,
            origin: (self.origin, &request.ready.network),
            chat_network: self.ready.chat_network,
            post: &self.ready.post,
            target: self.target,
            route: &*request.route,
            targets: Vec::new(),
        }
    }

    pub(super) fn chat(&self) -> &ChatRef {
        &self.ready.post.chat
    }
}
