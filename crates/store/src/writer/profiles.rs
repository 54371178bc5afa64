//! Notes, names and announced attachments of a group: the latest value wins, and what did not
//! change is not written.

use std::collections::{HashMap, HashSet};

use wxgate_contract::{ChatKey, PersonKey};

use super::group::{Decided, Scene};
use crate::error::StoreError;
use crate::prepare::{Ready, ReadyChat, ReadyNote, ReadyPerson};
use crate::sql::{Columns, Many, Value, row};
use crate::tx::Tx;

pub(super) async fn write(
    scene: &Scene<'_>,
    tx: &mut Tx<'_>,
    batches: &[&Ready],
    decided: &mut [Decided],
) -> Result<(), StoreError> {
    notes(tx, batches);
    people(tx, batches, decided).await?;
    chats(tx, batches, decided).await?;
    media(scene, tx, batches);
    Ok(())
}

fn notes(tx: &mut Tx<'_>, batches: &[&Ready]) {
    // One statement may not name a row twice, so the last value of each is found first.
    let mut latest: HashMap<(i64, &str), &ReadyNote> = HashMap::new();
    for ready in batches {
        for note in &ready.notes {
            latest.insert((ready.number, &note.key), note);
        }
    }
    let mut kept = Many::new(
        "INSERT INTO note (network, key, is_secret, value) VALUES ",
        " ON CONFLICT (network, key) DO UPDATE SET is_secret = excluded.is_secret, value = excluded.value",
    );
    let mut removed = Many::new("DELETE FROM note WHERE (network, key) IN (VALUES ", ")");
    for ((number, key), note) in latest {
        match &note.value {
            Some(value) => kept.push(row![number, key, note.is_secret, Value::Blob(value.clone())]),
            None => removed.push(row![number, key]),
        }
    }
    tx.later(kept);
    tx.later(removed);
}

async fn people(tx: &mut Tx<'_>, batches: &[&Ready], decided: &mut [Decided]) -> Result<(), StoreError> {
    let mut latest: HashMap<(i64, &str), &ReadyPerson> = HashMap::new();
    for ready in batches {
        for person in &ready.people {
            latest.insert((ready.number, &person.key), person);
        }
    }
    let mut many = Many::new(
        "INSERT INTO person (network, person, is_contact, profile) VALUES ",
        " ON CONFLICT (network, person) DO UPDATE SET is_contact = excluded.is_contact, \
         profile = excluded.profile WHERE person.profile <> excluded.profile \
         OR person.is_contact <> excluded.is_contact RETURNING network, person",
    );
    // In key order, so that rows of one account go into neighbouring pages.
    let mut rows: Vec<_> = latest.into_iter().collect();
    rows.sort_unstable_by_key(|(place, _)| *place);
    for ((number, key), person) in rows {
        many.push(row![number, key, person.is_contact, &*person.profile]);
    }
    let changed = changed(tx, many, "writing people").await?;
    for (ready, decided) in batches.iter().zip(decided) {
        let mut told = HashSet::new();
        for person in &ready.people {
            if told.insert(&person.key) && changed.contains(&(ready.number, person.key.clone())) {
                decided.people.push(PersonKey::from(&*person.key));
            }
        }
    }
    Ok(())
}

async fn chats(tx: &mut Tx<'_>, batches: &[&Ready], decided: &mut [Decided]) -> Result<(), StoreError> {
    // The latest profile, and the latest member list that was told at all.
    let mut latest: HashMap<(i64, &str), (&ReadyChat, Option<&str>)> = HashMap::new();
    for ready in batches {
        for chat in &ready.chats {
            let entry = latest.entry((ready.number, &chat.key)).or_insert((chat, None));
            *entry = (chat, chat.members.as_deref().or(entry.1));
        }
    }
    let mut many = Many::new(
        "INSERT INTO chat (network, chat, profile, members) VALUES ",
        " ON CONFLICT (network, chat) DO UPDATE SET profile = excluded.profile, \
         members = COALESCE(excluded.members, chat.members) WHERE chat.profile <> excluded.profile \
         OR (excluded.members IS NOT NULL AND excluded.members IS DISTINCT FROM chat.members) \
         RETURNING network, chat",
    );
    let mut rows: Vec<_> = latest.into_iter().collect();
    rows.sort_unstable_by_key(|(place, _)| *place);
    for ((number, key), (chat, members)) in rows {
        many.push(row![number, key, &*chat.profile, members]);
    }
    let changed = changed(tx, many, "writing chats").await?;
    for (ready, decided) in batches.iter().zip(decided) {
        let mut told = HashSet::new();
        for chat in &ready.chats {
            if told.insert(&chat.key) && changed.contains(&(ready.number, chat.key.clone())) {
                decided.chats.push(ChatKey::from(&*chat.key));
            }
        }
    }
    Ok(())
}

async fn changed(
    tx: &mut Tx<'_>,
    many: Many,
    doing: &'static str,
) -> Result<HashSet<(i64, String)>, StoreError> {
    let rows = tx.ask(many, doing).await?.rows;
    rows.iter().map(|row| Ok((row.at(0)?, row.at(1)?))).collect()
}

fn media(scene: &Scene<'_>, tx: &mut Tx<'_>, batches: &[&Ready]) {
    let mut many = Many::new(
        "INSERT INTO media (id, network, state, name, mime, size_bytes, source, created_ms, last_used_ms) VALUES ",
        " ON CONFLICT (id) DO NOTHING",
    );
    for ready in batches {
        for media in &ready.media {
            let source = Value::Blob(media.source.clone());
            let (name, mime, now) = (&*media.name, &*media.mime, scene.now_ms);
            many.push(row![&*media.id, ready.number, 0_i64, name, mime, 0_i64, source, now, now]);
        }
    }
    tx.later(many);
}
