//! The whole roster after a login: fetched, matched with what was known, committed in slices.
//!
//! Parsed lists are large and live only here; nothing of them stays when this is done.

mod meter;
mod settled;

use std::collections::{HashMap, HashSet};

use wechat_proto::endpoint::{BatchGetContact, GetContact, Wanted, batch_get_contact};
use wechat_proto::{Contact, SelfUser, SyncKey, UserName, contact};
use wxgate_contract::{FarEnd, FarError, LoadingPart, NetworkId, Note};
use wxgate_identity::{Answer, Answers, Book, recognise};

use meter::Meter;

use super::bounds::Bounds;
use super::record::{Keys, Login, Mark, owner, put_group, put_person};
use super::{Draft, Kind, Named, PAGE, member_note, name_note, new_key, stranger_note};
use crate::identity::settle::Settler;
use crate::identity::stand_in::{self, StandIn};
use crate::identity::{evidence, shelf};
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
    #[error("contacts changed while the list was read")]
    Overtaken,
}

/// What was known of somebody may have changed: batches that were translated before are translated again.
struct Changed<'a>(&'a Live);

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        self.0.who_changed();
    }
}

/// Loads and commits everything, and says how much did not fit. `told` is what the opening of the session already
/// told. News may be fetched and committed beside it, except while it commits.
pub(crate) async fn load(
    transport: &Transport,
    settler: &Settler,
    told: (&[Contact], &[UserName]),
    key: &SyncKey,
) -> Result<u64, LoadError> {
    let (live, far, network) = (&*settler.live, &*settler.far, &settler.network);
    let (login, contacts) = (Login::of(network, live), live.contacts());
    let mut bounds = Bounds::default();
    let mut meter = Meter::new(far, network, !live.rest().is_roster_loaded);
    let mut records = gather((transport, live, far), &login, told, (&mut bounds, &mut meter)).await?;
    // An answer of the owner that comes now is given to what is known after this, and not overwritten by it. Nor is a
    // batch under way meanwhile.
    let _deciding = live.deciding().lock().await;
    let _alone = live.settling().lock().await;
    if live.generation() != login.generation || live.contacts() != contacts {
        return Err(LoadError::Overtaken);
    }
    let _changed = Changed(live);
    let gone = settled::gone(far, &login, &records).await?;
    records.retain(|record| !gone.contains(&record.user_name));
    let at_s = live.now().ms() / 1000;
    let seen = evidence::of(&records, &login.own.user_name, login.uin, at_s, key);
    let (book, answers, stand_ins) = decide(settler, &login, seen).await?;
    commit_all(far, &login, records, &answers, &mut meter).await?;
    // Before what is known is: a load that is cut short finds them again.
    for (stand_in, to) in &stand_ins {
        settler.replace(stand_in, to).await?;
    }
    keep(far, network, &book).await?;
    if bounds.left_out() > 0 {
        tracing::warn!(%network, left_out = bounds.left_out(), "more contacts and members than fit");
    }
    Ok(bounds.left_out())
}

/// Everything that the service lists, with the members of groups.
async fn gather(
    (transport, live, far): (&Transport, &Live, &dyn FarEnd),
    login: &Login<'_>,
    (recent, chats): (&[Contact], &[UserName]),
    (bounds, meter): (&mut Bounds, &mut Meter<'_>),
) -> Result<Vec<Contact>, LoadError> {
    let mut records = address_book(transport, live, bounds, meter).await?;
    let known: HashSet<UserName> = records.iter().map(|record| record.user_name.clone()).collect();
    let recent = recent.iter().filter(|record| !known.contains(&record.user_name)).cloned();
    records.extend(recent.filter_map(|record| bounds.admit(record)));
    records.retain(|record| !record.user_name.is_hidden() && !login.is_own(&record.user_name));

    // Recent chats that are in no list are groups nobody saved. Source: the protocol sheet, 2.9.
    let mut wanted: Vec<UserName> =
        records.iter().filter(|r| r.is_room()).map(|r| r.user_name.clone()).collect();
    wanted.extend(chats.iter().filter(|name| name.is_room()).cloned());
    // Nor are those who spoke meanwhile and are in no list: who they are is decided with the rest.
    let unlisted = stand_in::unlisted(far, login).await?;
    wanted.extend(unlisted.into_iter().filter(|name| !known.contains(name)));
    wanted.sort_unstable();
    wanted.dedup();
    let all = wanted.len();
    let mut tell = |done| meter.at(LoadingPart::Groups, done, Some(all));
    let mut details = fetch_within(transport, live, plain(&wanted), bounds, &mut tell).await?;
    let empty: Vec<UserName> = details
        .values()
        .filter(|record| record.is_room() && record.member_list.is_empty())
        .map(|record| record.user_name.clone())
        .collect();
    if !empty.is_empty() {
        // The first answer for a large group may come without its members. Source: sheet, 2.10.
        details.extend(fetch_within(transport, live, plain(&empty), bounds, &mut |_| {}).await?);
    }
    for record in &mut records {
        if let Some(detail) = details.remove(&record.user_name) {
            *record = detail;
        }
    }
    records.extend(details.into_values());
    Ok(records)
}

async fn address_book(
    transport: &Transport,
    live: &Live,
    bounds: &mut Bounds,
    meter: &mut Meter<'_>,
) -> Result<Vec<Contact>, CallError> {
    let mut found: Vec<Contact> = Vec::new();
    let mut page = Some(GetContact::default());
    let mut seen = HashSet::new();
    for _ in 0..wechat_proto::endpoint::get_contact::MAX_PAGES {
        let Some(asked) = page else { break };
        if bounds.is_full() {
            break;
        }
        let reply = transport.call(live, &asked).await?;
        page = reply.next(asked);
        let fresh = reply.member_list.into_iter().filter(|record| seen.insert(record.user_name.clone()));
        found.extend(fresh.filter_map(|record| bounds.admit(record)));
        meter.at(LoadingPart::Contacts, found.len(), None);
    }
    if page.is_some() {
        bounds.cut_short();
    }
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
    fetch_wanted(transport, live, plain(names)).await
}

fn plain(names: &[UserName]) -> Vec<Wanted> {
    names.iter().cloned().map(Wanted::plain).collect()
}

pub(crate) async fn fetch_wanted(
    transport: &Transport,
    live: &Live,
    wanted: Vec<Wanted>,
) -> Result<HashMap<UserName, Contact>, CallError> {
    fetch_within(transport, live, wanted, &mut Bounds::default(), &mut |_| {}).await
}

/// `tell` hears how many were asked for so far, whether they came or not.
async fn fetch_within(
    transport: &Transport,
    live: &Live,
    wanted: Vec<Wanted>,
    bounds: &mut Bounds,
    tell: &mut (dyn FnMut(usize) + Send),
) -> Result<HashMap<UserName, Contact>, CallError> {
    let mut found = HashMap::with_capacity(wanted.len());
    let mut asked = 0;
    // Rooms first, as the page does.
    let (rooms, others): (Vec<Wanted>, Vec<Wanted>) = wanted.into_iter().partition(|w| w.user_name.is_room());
    let mut waiting: Vec<(Vec<Wanted>, usize)> = Vec::new();
    for kind in [others, rooms] {
        waiting.extend(kind.chunks(batch_get_contact::MAX_ENTRIES).map(|part| (part.to_vec(), 0)));
    }
    while let Some((part, depth)) = waiting.pop() {
        match transport.call(live, &BatchGetContact { wanted: &part }).await {
            Ok(reply) => {
                let admitted = reply.contact_list.into_iter().filter_map(|contact| bounds.admit(contact));
                found.extend(admitted.map(|contact| (contact.user_name.clone(), contact)));
                asked += part.len();
            }
            Err(CallError::Refused { ret, .. }) if !ret.ends_session() => {
                match batch_get_contact::RETRY_SIZES.get(depth).copied() {
                    Some(size) => {
                        waiting.extend(part.chunks(size).map(|part| (part.to_vec(), depth + 1)));
                    }
                    None => asked += part.len(),
                }
            }
            Err(error) => return Err(error),
        }
        tell(asked);
    }
    Ok(found)
}

/// Commits persons first: groups refer to them.
async fn commit_all(
    far: &dyn FarEnd,
    login: &Login<'_>,
    records: Vec<Contact>,
    answers: &Answers,
    meter: &mut Meter<'_>,
) -> Result<(), FarError> {
    let by_name: HashMap<&str, &Answer> =
        answers.records.iter().map(|answer| (answer.name.as_str(), answer)).collect();
    let own_key = |record: &Contact| (login.key_for(&record.user_name), Mark::Sure, None);
    let key = |record: &Contact| {
        let known = by_name.get(record.user_name.as_str());
        known.map_or_else(
            || own_key(record),
            |known| (known.id.clone(), Mark::of(known.is_open), known.marked),
        )
    };
    let contacts = || records.iter().filter(|record| !record.is_room() && record.is_in_address_book());
    let keys = Keys {
        contacts: contacts().map(|record| (record.user_name.clone(), key(record).0)).collect(),
        own_names: contacts().map(|record| (record.user_name.clone(), record.nick_name.decoded())).collect(),
        strangers: answers
            .strangers
            .iter()
            .map(|(name, id)| (UserName::from(name.as_str()), id.clone()))
            .collect(),
    };
    let own = SelfUser { uin: login.uin, user_name: login.own.user_name.clone(), ..SelfUser::default() };

    let mut draft = Draft::default();
    draft.batch.people.push(owner(&login.own));
    let (mut in_draft, mut members) = (0_usize, 0_usize);
    let mut order: Vec<&Contact> = records.iter().collect();
    order.sort_by_key(|record| record.is_room());
    let all = order.len();
    for (at, record) in order.into_iter().enumerate() {
        let (key, mark, marked) = key(record);
        if record.is_room() {
            let owner = contact::room_owner(record, None, &own);
            put_group(&mut draft, login, (&key, mark), record, owner.as_ref(), &keys);
            members += record.member_list.len();
        } else {
            put_person(&mut draft, login, (&key, mark, marked), record);
        }
        in_draft += 1;
        if in_draft >= SLICE || members >= MEMBERS_SLICE {
            far.commit(login.network, std::mem::take(&mut draft).batch).await?;
            (in_draft, members) = (0, 0);
            meter.at(LoadingPart::Storing, at + 1, Some(all));
        }
    }
    far.commit(login.network, draft.batch).await?;
    meter.at(LoadingPart::Storing, all, Some(all));
    keep_strangers(far, login, &keys).await
}

/// Members who were known before keep their key wherever they speak; the others have the one that
/// follows from their name.
async fn keep_strangers(far: &dyn FarEnd, login: &Login<'_>, keys: &Keys) -> Result<(), FarError> {
    let known = keys.strangers.iter().filter(|(name, key)| login.key_for(name) != **key);
    let mut known: Vec<(&UserName, &String)> = known.collect();
    known.sort_unstable();
    for part in known.chunks(PAGE) {
        let mut draft = Draft::default();
        for (name, key) in part {
            let named = Named::new((*key).clone(), Kind::Person, "");
            draft.put(stranger_note(login.generation, name), named);
        }
        far.commit(login.network, draft.batch).await?;
    }
    Ok(())
}

/// Who is who. The matcher may compute for a second: it does so beside the runtime's threads.
async fn decide(
    settler: &Settler,
    login: &Login<'_>,
    mut seen: wxgate_identity::Login,
) -> Result<(Book, Answers, Vec<(StandIn, String)>), FarError> {
    let mut book = shelf::load(&*settler.far, login.network).await?;
    if settler.live.rest().is_roster_loaded {
        seen.known = settled::names(&*settler.far, login, &seen, &book).await?;
    }
    let is_first = seen.known.is_empty();
    let (network, uin, generation) = (login.network.clone(), login.uin, login.generation);
    let work = move || {
        let mint = |name: &str| new_key(&network, uin, generation, &UserName::from(name));
        let stand_ins = stand_in::take_out(&mut book, &seen, mint);
        seen.proven = stand_in::proofs(&stand_ins);
        let verdicts = recognise(&book, &seen);
        let answers = book.apply(&seen, &verdicts, mint);
        let replaced = stand_in::replaced(&mut book, stand_ins, &answers);
        (book, answers, replaced, verdicts.kept)
    };
    let done = tokio::task::spawn_blocking(work).await;
    let (book, answers, replaced, kept) =
        done.map_err(|_| FarError::Unavailable("the contacts could not be matched".to_owned()))?;
    let open = answers.records.iter().filter(|answer| answer.is_open).count();
    tracing::info!(
        network = %login.network,
        records = answers.records.len(),
        open,
        versions = kept.versions,
        order = kept.order,
        // Once for each login: a second look finds what the first one left.
        kept_percent = is_first.then(|| evidence::shares(&kept)),
        "matched with earlier logins"
    );
    Ok((book, answers, replaced))
}

/// What is known from now on; the head last.
async fn keep(far: &dyn FarEnd, network: &NetworkId, book: &Book) -> Result<(), FarError> {
    let seen = |login: u32| login == book.login;
    let people = book.people.iter().filter(|profile| seen(profile.seen.login)).map(shelf::person_note);
    let groups = book.groups.iter().filter(|profile| seen(profile.seen.login)).map(shelf::group_note);
    let mut notes: Vec<Note> = people.chain(groups).collect();
    while !notes.is_empty() {
        let rest = notes.split_off(notes.len().min(SLICE));
        let batch = wxgate_contract::Batch { notes, ..Default::default() };
        far.commit(network, batch).await?;
        notes = rest;
    }
    let notes = vec![shelf::head_note(book)];
    far.commit(network, wxgate_contract::Batch { notes, ..Default::default() }).await?;
    Ok(())
}

/// Earlier logins whose notes are looked for: more are left only by crashes in a row, and a broken note must not make
/// the search long. Chosen.
pub(crate) const SWEPT: u32 = 16;

/// Removes what belongs to earlier logins, in slices: names, and requests that only those could answer.
pub(crate) async fn sweep(
    far: &dyn FarEnd,
    network: &NetworkId,
    oldest: u32,
    present: u32,
) -> Result<(), FarError> {
    let nobody = UserName::default();
    for generation in oldest.max(present.saturating_sub(SWEPT))..present {
        let names = name_note(generation, &nobody);
        let members = member_note(generation, "", &nobody);
        let strangers = stranger_note(generation, &nobody);
        for prefix in [names.as_str(), members.trim_end_matches('/'), strangers.as_str()] {
            remove_all(far, network, prefix).await?;
        }
    }
    remove_all(far, network, shelf::UNPROVEN).await?;
    crate::asked::sweep_requests(far, network, present).await
}

/// Removes the notes that begin so.
async fn remove_all(far: &dyn FarEnd, network: &NetworkId, prefix: &str) -> Result<(), FarError> {
    loop {
        let page = far.notes(network, prefix, None, PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        let notes = page.into_iter().map(|(key, _)| shelf::gone(key)).collect();
        far.commit(network, wxgate_contract::Batch { notes, ..Default::default() }).await?;
    }
}
