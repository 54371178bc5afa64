//! From new posts to orders: who is linked, how the author is called, and what routing says.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sqlx::AnyConnection;
use wxgate_contract::{Author, ChatRef, Job, PostId};

use super::CommitRequest;
use super::group::Scene;
use super::intake::Item;
use super::known;
use crate::error::StoreError;
use crate::limits::check_chat;
use crate::prepare::{ChatPlace, chat_ref};
use crate::report::RouteInput;
use crate::rows;
use crate::sql::{Columns, Many, row};

const DOING: &str = "looking up links";

/// A delivery that will be written.
pub(super) struct Ordered {
    pub(super) commit: usize,
    pub(super) post: i64,
    pub(super) lane: ChatRef,
    pub(super) network: i64,
    /// It brings a face's post to the chat it was said in.
    pub(super) is_home: bool,
    pub(super) job: String,
}

pub(super) async fn orders(
    scene: &Scene<'_>,
    tx: &mut AnyConnection,
    commits: &[CommitRequest],
    items: &[Item<'_>],
) -> Result<Vec<Ordered>, StoreError> {
    let links = links(scene, tx, items).await?;
    let mut heard: Vec<(&Item<'_>, Vec<ChatRef>)> = Vec::new();
    for item in items {
        let place = (item.ready.chat_network, item.chat().chat.as_str().to_owned());
        let mut targets = links.get(&place).cloned().unwrap_or_default();
        targets.retain(|target| target != item.chat());
        if item.ready.is_from_face(item.origin) {
            targets.push(item.chat().clone());
        }
        if !targets.is_empty() {
            heard.push((item, targets));
        }
    }
    if heard.is_empty() {
        return Ok(Vec::new());
    }
    let names = authors(tx, &heard).await?;
    let earlier = known::with_ids(scene, tx, heard.iter().filter_map(|(item, _)| item.target)).await?;
    let mut orders = Vec::new();
    for (item, targets) in &heard {
        let Some(request) = commits.get(item.commit) else { continue };
        let post = &item.ready.post;
        let author_name = match &post.author {
            Author::Owner => names.owners.get(&item.ready.chat_network).map_or("", String::as_str),
            Author::Person { person, name } => {
                let place = (item.ready.chat_network, person.as_str().to_owned());
                names.people.get(&place).map_or(name, |latest| latest)
            }
            Author::Network | Author::Gateway => "",
        };
        let input = RouteInput {
            origin: &request.ready.network,
            post_id: PostId(item.id),
            post,
            targets,
            target: item.target.and_then(|target| earlier.get(&target)),
            author_name,
        };
        // Routing is the bridge's code; its bug must cost one batch and not the writer.
        let routed = catch_unwind(AssertUnwindSafe(|| request.route.route(&input)))
            .map_err(|_| StoreError::invalid(format!("routing post {} panicked", post.remote_id)))?;
        for (lane, job) in routed {
            orders.push(order(scene, item, lane, &job)?);
        }
    }
    Ok(orders)
}

fn order(scene: &Scene<'_>, item: &Item<'_>, lane: ChatRef, job: &Job) -> Result<Ordered, StoreError> {
    check_chat(&lane)?;
    let Some(network) = scene.names.known(&lane.network) else {
        return Err(StoreError::invalid(format!(
            "a post was routed to {}, which nobody knows",
            lane.network
        )));
    };
    let is_home = item.ready.is_from_face(item.origin) && lane == *item.chat();
    Ok(Ordered { commit: item.commit, post: item.id, lane, network, is_home, job: rows::json(job)? })
}

/// The links of the chats that these posts are in: all members of each.
async fn links(
    scene: &Scene<'_>,
    tx: &mut AnyConnection,
    items: &[Item<'_>],
) -> Result<HashMap<ChatPlace, Vec<ChatRef>>, StoreError> {
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
    let mut links: HashMap<ChatPlace, Vec<ChatRef>> = HashMap::new();
    for row in many.fetch(tx, DOING).await? {
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
async fn authors(
    tx: &mut AnyConnection,
    heard: &[(&Item<'_>, Vec<ChatRef>)],
) -> Result<AuthorNames, StoreError> {
    const DOING: &str = "looking up authors";
    let (mut networks, mut people) = (Vec::new(), Vec::new());
    for (item, _) in heard {
        match &item.ready.post.author {
            Author::Owner => networks.push(item.ready.chat_network),
            Author::Person { person, .. } => people.push((item.ready.chat_network, person.as_str())),
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
