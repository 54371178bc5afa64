//! From new posts to orders: who is linked, how the author is called, and what routing says.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use wxgate_contract::{Author, ChatRef, Fate, Job, NetworkId, Post, PostId, RemoteId, Report};

use super::CommitRequest;
use super::group::Scene;
use super::intake::Item;
use super::known;
use crate::error::StoreError;
use crate::limits::check_chat;
use crate::prepare::{ChatPlace, chat_ref};
use crate::report::{Route, RouteInput};
use crate::rows;
use crate::sql::{Columns, Many, row};

/// A delivery that will be written.
pub(super) struct Ordered {
    /// Whose it is: as [`Heard::index`].
    pub(super) index: usize,
    pub(super) post: i64,
    pub(super) lane: ChatRef,
    pub(super) network: i64,
    /// It brings a face's post to the chat it was said in.
    pub(super) is_home: bool,
    pub(super) job: String,
}

/// A post that somebody has to hear of.
pub(super) struct Heard<'a> {
    /// Which request it belongs to; handed on to [`Ordered::index`].
    pub(super) index: usize,
    pub(super) post_id: i64,
    /// The network that handed it over.
    pub(super) origin: (i64, &'a NetworkId),
    /// The number of the network of its chat.
    pub(super) chat_network: i64,
    pub(super) post: &'a Post,
    /// The post that it quotes or recalls.
    pub(super) target: Option<i64>,
    /// Its ids on its chat's own network.
    pub(super) native_ids: &'a [RemoteId],
    pub(super) route: &'a dyn Route,
    pub(super) targets: Vec<ChatRef>,
}

/// What new posts order.
pub(super) async fn of_items(
    scene: &Scene<'_>,
    tx: &mut AnyConnection,
    commits: &[CommitRequest],
    items: &[Item<'_>],
    links: Vec<AnyRow>,
) -> Result<Vec<Ordered>, StoreError> {
    let links = links_in(scene, tx, links).await?;
    let mut heard = Vec::new();
    for item in items {
        let Some(request) = commits.get(item.commit) else { continue };
        let mut new = item.heard(request);
        let place = (item.ready.chat_network, item.chat().chat.as_str().to_owned());
        let mut targets = links.get(&place).cloned().unwrap_or_default();
        targets.retain(|target| target != item.chat());
        if item.ready.is_from_face(item.origin) {
            targets.push(item.chat().clone());
        } else {
            targets.extend(mirrors(new.route, item.chat(), new.origin.1));
        }
        if !targets.is_empty() {
            new.targets = targets;
            heard.push(new);
        }
    }
    orders(scene, tx, &heard).await
}

/// The lanes that mirror a chat, but for the network that something came from.
pub(super) fn mirrors(route: &dyn Route, chat: &ChatRef, origin: &NetworkId) -> Vec<ChatRef> {
    let faces = route.mirrors(&chat.network).into_iter().filter(|face| face != origin);
    faces.map(|face| chat.mirrored_on(&face)).collect()
}

/// Asks routing what each target must do.
pub(super) async fn orders(
    scene: &Scene<'_>,
    tx: &mut AnyConnection,
    heard: &[Heard<'_>],
) -> Result<Vec<Ordered>, StoreError> {
    if heard.is_empty() {
        return Ok(Vec::new());
    }
    let names = authors(tx, heard).await?;
    let earlier = known::with_ids(scene, tx, heard.iter().filter_map(|heard| heard.target)).await?;
    let mut orders = Vec::new();
    for heard in heard {
        let post = heard.post;
        let author_name = match &post.author {
            Author::Owner => names.owners.get(&heard.chat_network).map_or("", String::as_str),
            Author::Person { person, name } => {
                let place = (heard.chat_network, person.as_str().to_owned());
                names.people.get(&place).map_or(name, |latest| latest)
            }
            Author::Network | Author::Gateway => "",
        };
        let input = RouteInput {
            origin: heard.origin.1,
            post_id: PostId(heard.post_id),
            post,
            targets: &heard.targets,
            target: heard.target.and_then(|target| earlier.get(&target)),
            author_name,
            native_ids: heard.native_ids,
        };
        // Routing is the bridge's code; its bug must cost one batch and not the writer.
        let routed = catch_unwind(AssertUnwindSafe(|| heard.route.route(&input)))
            .map_err(|_| StoreError::invalid(format!("routing post {} panicked", post.remote_id)))?;
        for (lane, job) in routed {
            orders.push(order(scene, heard, lane, &job)?);
        }
    }
    Ok(orders)
}

/// Tells whoever said a post through a mirroring network what became of it.
pub(super) fn report(scene: &Scene<'_>, heard: &Heard<'_>, fate: Fate) -> Result<Ordered, StoreError> {
    let (post, remote_id) = (PostId(heard.post_id), heard.post.remote_id.clone());
    let lane = heard.post.chat.mirrored_on(heard.origin.1);
    let native_ids = heard.native_ids.to_vec();
    order(scene, heard, lane, &Job::Report(Report { post, remote_id, fate, native_ids }))
}

fn order(scene: &Scene<'_>, heard: &Heard<'_>, lane: ChatRef, job: &Job) -> Result<Ordered, StoreError> {
    check_chat(&lane)?;
    let Some(network) = scene.names.known(&lane.network) else {
        return Err(StoreError::invalid(format!(
            "a post was routed to {}, which nobody knows",
            lane.network
        )));
    };
    let is_home = heard.chat_network != heard.origin.0 && lane == heard.post.chat;
    Ok(Ordered { index: heard.index, post: heard.post_id, lane, network, is_home, job: rows::json(job)? })
}

/// Writes orders down.
pub(super) async fn write(
    scene: &Scene<'_>,
    tx: &mut AnyConnection,
    orders: &[Ordered],
) -> Result<(), StoreError> {
    if orders.is_empty() {
        return Ok(());
    }
    let first_id = scene.numbers.take(tx, orders.len()).await?;
    let mut many = Many::new(
        "INSERT INTO delivery (id, network, chat, post, attempt, due_ms, created_ms, state, job) VALUES ",
        "",
    );
    for (order, id) in orders.iter().zip(first_id..) {
        let (chat, now) = (order.lane.chat.as_str(), scene.now_ms);
        many.push(row![id, order.network, chat, order.post, 1_i64, now, now, 0_i64, &*order.job]);
    }
    many.run(tx, "ordering deliveries").await.map(|_| ())
}

/// Asks for the links of the chats that these posts are in: all members of each.
pub(super) fn links_of(items: &[Item<'_>]) -> Many {
    let mut places: Vec<(i64, &str)> =
        items.iter().map(|item| (item.ready.chat_network, item.chat().chat.as_str())).collect();
    places.sort_unstable();
    places.dedup();
    let mut many = Many::new(
        "WITH w (network, chat) AS (VALUES ",
        ") SELECT a.network, a.chat, b.network, b.chat FROM w \
         JOIN link_member a ON a.network = w.network AND a.chat = w.chat \
         JOIN link_member b ON b.link = a.link",
    );
    for (network, chat) in places {
        many.push(row![network, chat]);
    }
    many
}

/// What [`links_of`] gave, by chat.
async fn links_in(
    scene: &Scene<'_>,
    tx: &mut AnyConnection,
    rows: Vec<AnyRow>,
) -> Result<HashMap<ChatPlace, Vec<ChatRef>>, StoreError> {
    let mut links: HashMap<ChatPlace, Vec<ChatRef>> = HashMap::new();
    for row in rows {
        let member = chat_ref(scene.names.name(tx, row.at(2)?).await?, row.at(3)?);
        links.entry((row.at(0)?, row.at(1)?)).or_default().push(member);
    }
    links.values_mut().for_each(|members| members.sort());
    Ok(links)
}

struct AuthorNames {
    owners: HashMap<i64, String>,
    people: HashMap<(i64, String), String>,
}

/// How authors are called now.
async fn authors(tx: &mut AnyConnection, heard: &[Heard<'_>]) -> Result<AuthorNames, StoreError> {
    const DOING: &str = "looking up authors";
    let (mut networks, mut people) = (Vec::new(), Vec::new());
    for heard in heard {
        match &heard.post.author {
            Author::Owner => networks.push(heard.chat_network),
            Author::Person { person, .. } => people.push((heard.chat_network, person.as_str())),
            Author::Network | Author::Gateway => {}
        }
    }
    networks.sort_unstable();
    networks.dedup();
    people.sort_unstable();
    people.dedup();
    let mut owners = Many::new(
        "WITH w (network) AS (VALUES ",
        ") SELECT a.network, a.own_name FROM w JOIN account a ON a.network = w.network",
    );
    networks.into_iter().for_each(|network| owners.push(row![network]));
    let mut persons = Many::new(
        "WITH w (network, person) AS (VALUES ",
        ") SELECT p.network, p.person, p.profile FROM w \
         JOIN person p ON p.network = w.network AND p.person = w.person",
    );
    people.into_iter().for_each(|(network, person)| persons.push(row![network, person]));
    let mut names = AuthorNames { owners: HashMap::new(), people: HashMap::new() };
    for row in owners.fetch(tx, DOING).await? {
        names.owners.insert(row.at(0)?, row.at(1)?);
    }
    for row in persons.fetch(tx, DOING).await? {
        let (network, key): (i64, String) = (row.at(0)?, row.at(1)?);
        let profile = rows::person(key.clone(), 0, &row.at::<String>(2)?)?;
        // A profile without any name says less than the post does.
        if !profile.display_name().is_empty() {
            names.people.insert((network, key), profile.display_name().to_owned());
        }
    }
    Ok(names)
}
