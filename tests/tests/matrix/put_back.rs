//! Keys that are older than they should be, or gone: a copy of the data directory that is put back, a backup
//! that is restored, a store that was lost. Nobody reads less for it, and no key is used twice.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::matrix::Ground;
use wxgate_tests::people::Person;
use wxgate_tests::sqlite;

use crate::encrypted::{ARRIVE, ground, heard, is_sealed, tell_sealed};

/// What is done to the data directory between two runs.
enum Put {
    /// As it was once.
    Back,
    /// Made anew from a backup.
    Restored,
    /// Without anything that encrypts.
    Lost,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_were_put_back_or_lost_are_not_used_again() -> Result<()> {
    tell_sealed("sealed-put-back", async |scratch| {
        let mut ground = ground(scratch, 2).await?;
        let people = ground.homeserver.people()?;
        let ann = people.enter_as("ann", "register", json!({})).await?;
        ground.at_home(&ann, "account0").await?;
        let sue = people.enter_as("sue", "register", json!({"strict": true})).await?;
        ground.at_home(&sue, "account1").await?;
        let pair = [(&ann, "account0"), (&sue, "account1")];
        let mut used = HashSet::new();
        both_ways(&ground, &pair, "at first", &mut used).await?;
        let backup = scratch.join("backup.tar");
        ground.gateway.cli(&["backup", &backup.to_string_lossy()], None).await?;
        ground.gateway.stop().await?;
        let (data, copy) = (ground.gateway.data_dir().to_owned(), scratch.join("copy"));
        copy_dir(&data, &copy)?;
        ground.gateway.run().await?;
        // The same keys go on over a restart: what happens next is what must not happen twice.
        for n in 0..2 {
            for (person, account) in pair {
                let words = format!("gone past {n}");
                ground.sim.say(account, "c1", "c1", &words).await?;
                used.insert(session(person, &words).await?);
            }
        }
        ensure!(used.len() == 2, "keys changed by themselves: {used:?}");
        for (put, when) in [(Put::Back, "put back"), (Put::Restored, "restored"), (Put::Lost, "lost")] {
            ground.gateway.kill().await?;
            put_in_place(&ground, &put, &copy, &backup).await?;
            ground.gateway.run().await?;
            // Whoever has seen a strict client's worst, another person under the same name, is not written to.
            let pair = if matches!(put, Put::Lost) { &pair[..1] } else { &pair[..] };
            both_ways(&ground, pair, when, &mut used).await.context(when)?;
        }
        let noticed = ground.gateway.logged().matches("is older than what the homeserver saw").count();
        ensure!(noticed >= 1, "nobody noticed");
        ground.end_after_kills().await
    })
    .await
}

/// Everybody reads and is read, with keys that were never used before.
async fn both_ways(
    ground: &Ground,
    pair: &[(&Person<'_>, &str)],
    when: &str,
    used: &mut HashSet<String>,
) -> Result<()> {
    for (person, account) in pair {
        let words = format!("{when} to {account}");
        ground.sim.say(account, "c1", "c1", &words).await?;
        let new = session(person, &words).await?;
        ensure!(used.insert(new), "{words}: with a key of before");
        let room = person.expect_text(&words, ARRIVE).await?.room;
        let answer = format!("{when} from {account}");
        person.say(&room, &answer).await?;
        heard(ground, account, &answer, |entry| entry.text == answer).await?;
    }
    Ok(())
}

/// The key by which somebody reads a text, as the homeserver has it.
async fn session(person: &Person<'_>, words: &str) -> Result<String> {
    let seen = person.expect_text(words, ARRIVE).await?;
    let event = is_sealed(person, &seen).await?;
    Ok(event["content"]["session_id"].as_str().context("no key")?.to_owned())
}

async fn put_in_place(ground: &Ground, put: &Put, copy: &Path, backup: &Path) -> Result<()> {
    let data = ground.gateway.data_dir();
    match put {
        Put::Back => {
            std::fs::remove_dir_all(data).context("clear the data directory")?;
            copy_dir(copy, data)
        }
        Put::Restored => {
            std::fs::remove_dir_all(data).context("clear the data directory")?;
            std::fs::create_dir_all(data)?;
            std::fs::copy(copy.join("seal.key"), data.join("seal.key")).context("bring the seal key")?;
            ground.gateway.cli(&["restore", &backup.to_string_lossy()], None).await.map(drop)
        }
        Put::Lost => {
            let gone =
                sqlite::ask(&data.join("wxgate.db"), "DELETE FROM note WHERE key LIKE 'e2ee/%'").await?;
            ensure!(gone > 20, "only {gone} notes");
            Ok(())
        }
    }
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let (path, kind) = {
            let entry = entry?;
            (entry.path(), entry.file_type()?)
        };
        let target = to.join(path.file_name().context("no name")?);
        if kind.is_dir() {
            copy_dir(&path, &target)?;
        } else if kind.is_file() {
            std::fs::copy(&path, &target).with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}
