//! The whole roster after a login: fetched, matched with what was known, committed in slices.
//!
//! Parsed lists are large and live only here; nothing of them stays when this is done.

use std::collections::{HashMap, HashSet};

use wechat_proto::endpoint::{BatchGetContact, GetContact, Wanted, batch_get_contact};
use wechat_proto::{Contact, SelfUser, UserName, contact};
use wxgate_contract::{FarEnd, FarError, NetworkId, Note};

use super::record::{Login, evidence, owner, put_group, put_person};
use super::{Draft, Lasting, PAGE, member_note, name_note};
use crate::identity::{self, Evidence};
use crate::session::live::Live;
use crate::transport::{CallError, Transport};

/// Records per commit. Chosen: a few hundred rows in one transaction, some milliseconds.
const SLICE: usize = 100;
/// Members per commit, counted with their groups. Chosen as above.
const MEMBERS_SLICE: usize = 400;

/// Why the roster was not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Far(#[from] FarError),
}

/// Loads and commits everything. `recent` is what the opening of the session already told.
pub(crate) async fn load(
    transport: &Transport,
    live: &Live,
    far: &dyn FarEnd,
    network: &NetworkId,
    recent: &[Contact],
    chats: &[UserName],
) -> Result<(), LoadError> {
    let login = Login::of(network, live);
    let mut records = address_book(transport, live).await?;
    let known: HashSet<UserName> = records.iter().map(|record| record.user_name.clone()).collect();
    records.extend(recent.iter().filter(|record| !known.contains(&record.user_name)).cloned());
    records.retain(|record| !record.user_name.is_hidden() && !login.is_own(&record.user_name));

    // Recent chats that are in no list are groups nobody saved. Source: the protocol sheet, 2.9.
    let mut rooms: Vec<UserName> =
        records.iter().filter(|r| r.is_room()).map(|r| r.user_name.clone()).collect();
    rooms.extend(chats.iter().filter(|name| name.is_room()).cloned());
    rooms.sort_unstable();
    rooms.dedup();
    let mut details = fetch(transport, live, &rooms).await?;
    let empty: Vec<UserName> = details
        .values()
        .filter(|room| room.member_list.is_empty())
        .map(|room| room.user_name.clone())
        .collect();
    if !empty.is_empty() {
        // The first answer for a large group may come without its members. Source: sheet, 2.10.
        details.extend(fetch(transport, live, &empty).await?);
    }
    for record in &mut records {
        if let Some(detail) = details.remove(&record.user_name) {
            *record = detail;
        }
    }
    records.extend(details.into_values());
    commit_all(far, &login, records).await?;
    Ok(())
}

async fn address_book(transport: &Transport, live: &Live) -> Result<Vec<Contact>, CallError> {
    let mut found: Vec<Contact> = Vec::new();
    let mut page = Some(GetContact::default());
    for _ in 0..wechat_proto::endpoint::get_contact::MAX_PAGES {
        let Some(asked) = page else { break };
        let reply = transport.call(live, &asked).await?;
        page = reply.next(asked);
        found.extend(reply.member_list);
    }
    let mut seen = HashSet::new();
    found.retain(|record| seen.insert(record.user_name.clone()));
    Ok(found)
}

/// Details by name. The whole call can fail because of one bad name, so a failed set is asked for
/// in ever smaller parts; what fails alone is left out.
///
/// Source: the protocol sheet, section 2.10.
pub(crate) async fn fetch(
    transport: &Transport,
    live: &Live,
    names: &[UserName],
) -> Result<HashMap<UserName, Contact>, CallError> {
    let wanted = names.iter().cloned().map(Wanted::plain).collect();
    fetch_wanted(transport, live, wanted).await
}

pub(crate) async fn fetch_wanted(
    transport: &Transport,
    live: &Live,
    wanted: Vec<Wanted>,
) -> Result<HashMap<UserName, Contact>, CallError> {
    let mut found = HashMap::with_capacity(wanted.len());
    // Rooms first, as the page does.
    let (rooms, others): (Vec<Wanted>, Vec<Wanted>) = wanted.into_iter().partition(|w| w.user_name.is_room());
    let mut waiting: Vec<(Vec<Wanted>, usize)> = Vec::new();
    for kind in [others, rooms] {
        waiting.extend(kind.chunks(batch_get_contact::MAX_ENTRIES).map(|part| (part.to_vec(), 0)));
    }
    while let Some((part, depth)) = waiting.pop() {
        match transport.call(live, &BatchGetContact { wanted: &part }).await {
            Ok(reply) => {
                found.extend(
                    reply.contact_list.into_iter().map(|contact| (contact.user_name.clone(), contact)),
                );
            }
            Err(CallError::Refused { ret, .. }) if !ret.ends_session() => {
                let Some(size) = batch_get_contact::RETRY_SIZES.get(depth).copied() else { continue };
                waiting.extend(part.chunks(size).map(|part| (part.to_vec(), depth + 1)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Decides who is who, and commits persons first: groups refer to them.
async fn commit_all(far: &dyn FarEnd, login: &Login<'_>, records: Vec<Contact>) -> Result<(), FarError> {
    let keys = decide(far, login, &records).await?;
    let contacts: HashMap<UserName, String> = records
        .iter()
        .zip(&keys)
        .filter(|(record, _)| !record.is_room() && record.is_in_address_book())
        .map(|(record, key)| (record.user_name.clone(), key.clone()))
        .collect();
    let own = SelfUser { uin: login.uin, user_name: login.own.user_name.clone(), ..SelfUser::default() };

    let mut draft = Draft::default();
    draft.batch.people.push(owner(&login.own));
    let (mut in_draft, mut members) = (0_usize, 0_usize);
    let mut order: Vec<(&Contact, &String)> = records.iter().zip(&keys).collect();
    order.sort_by_key(|(record, _)| record.is_room());
    for (record, key) in order {
        if record.is_room() {
            let owner = contact::room_owner(record, None, &own);
            put_group(&mut draft, login, key, record, owner.as_ref(), &contacts);
            members += record.member_list.len();
        } else {
            put_person(&mut draft, login, key, record);
        }
        in_draft += 1;
        if in_draft >= SLICE || members >= MEMBERS_SLICE {
            far.commit(login.network, std::mem::take(&mut draft).batch).await?;
            (in_draft, members) = (0, 0);
        }
    }
    far.commit(login.network, draft.batch).await?;
    Ok(())
}

/// The lasting key of each record.
async fn decide(far: &dyn FarEnd, login: &Login<'_>, records: &[Contact]) -> Result<Vec<String>, FarError> {
    let known = known(far, login.network).await?;
    let mut same_login: HashMap<&UserName, &str> = HashMap::new();
    let mut old_keys = Vec::new();
    let mut old = Vec::new();
    for (key, lasting) in &known {
        if lasting.generation == login.generation {
            // A load that was cut short: these are decided already.
            same_login.insert(&lasting.user_name, key);
        } else if !lasting.user_name.survives_login() {
            old_keys.push(key.clone());
            old.push(lasting.evidence.clone());
        }
    }
    let open: Vec<usize> = (0..records.len())
        .filter(|&at| {
            records
                .get(at)
                .is_some_and(|r| !r.user_name.survives_login() && !same_login.contains_key(&r.user_name))
        })
        .collect();
    let fresh: Vec<Evidence> = open.iter().filter_map(|&at| records.get(at)).map(evidence).collect();
    let hits = identity::match_all(&old, &fresh);
    let matched: HashMap<usize, &String> =
        open.into_iter().zip(hits).filter_map(|(at, hit)| Some((at, old_keys.get(hit?)?))).collect();
    let key = |(at, record): (usize, &Contact)| match (same_login.get(&record.user_name), matched.get(&at)) {
        (Some(key), _) => (*key).to_owned(),
        (None, Some(key)) => (*key).clone(),
        (None, None) => login.key_for(&record.user_name),
    };
    Ok(records.iter().enumerate().map(key).collect())
}

async fn known(far: &dyn FarEnd, network: &NetworkId) -> Result<Vec<(String, Lasting)>, FarError> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = far.notes(network, "k/", after.as_deref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|(key, _)| key.clone());
        let read = |(key, value): (String, bytes::Bytes)| {
            Some((key.strip_prefix("k/")?.to_owned(), serde_json::from_slice::<Lasting>(&value).ok()?))
        };
        found.extend(page.into_iter().filter_map(read));
        if is_last {
            return Ok(found);
        }
    }
}

/// Removes the names of earlier logins, in slices.
pub(crate) async fn sweep(
    far: &dyn FarEnd,
    network: &NetworkId,
    oldest: u32,
    present: u32,
) -> Result<(), FarError> {
    let nobody = UserName::default();
    // More than a few generations are left only by crashes in a row; a broken note must not make
    // this loop long.
    for generation in oldest.max(present.saturating_sub(16))..present {
        let names = name_note(generation, &nobody);
        let members = member_note(generation, "", &nobody);
        for prefix in [names.as_str(), members.trim_end_matches('/')] {
            loop {
                let page = far.notes(network, prefix, None, PAGE).await?;
                if page.is_empty() {
                    break;
                }
                let notes =
                    page.into_iter().map(|(key, _)| Note { key, value: None, is_secret: false }).collect();
                far.commit(network, wxgate_contract::Batch { notes, ..Default::default() }).await?;
            }
        }
    }
    Ok(())
}
