//! The bot's account (`matrix.bot`) is killed at every point of its set-up, and is whole after the next start.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::cut::{Hold, Trap, Wire};
use wxgate_tests::homeserver::{DOMAIN, Homeserver, tell};
use wxgate_tests::people::Person;
use wxgate_tests::sim::{Sim, SimOptions};
use wxgate_tests::wait::until;

use crate::bot::{SOON, invite, prepare, sign_in};

const LIMIT: Duration = Duration::from_secs(480);
/// In the order in which a set-up asks for them: an identity (the device was sent signed by it), a backup, its secrets.
const STEPS: [(&str, Hold); 5] = [
    ("POST keys/device_signing/upload", Hold::Answered),
    ("POST room_keys/version", Hold::Before),
    ("POST room_keys/version", Hold::Answered),
    ("PUT m.secret_storage.default_key", Hold::Before),
    ("PUT m.secret_storage.default_key", Hold::Answered),
];

/// Whether the bot's only device is signed, by itself and by its owner's key.
async fn is_signed(ann: &Person<'_>, bot: &str) -> Result<bool> {
    let told =
        ann.ask("POST", "/_matrix/client/v3/keys/query", json!({ "device_keys": { bot: [] } })).await?;
    let devices: Vec<&Value> =
        told["device_keys"][bot].as_object().into_iter().flat_map(|all| all.values()).collect();
    let by_both = |keys: &&Value| keys["signatures"][bot].as_object().is_some_and(|by| by.len() == 2);
    Ok(devices.len() == 1 && devices.iter().all(by_both))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_killed_at_every_point_of_its_set_up_is_whole_after_it() -> Result<()> {
    tell("bot-setup", LIMIT, async |scratch| {
        let mut homeserver = Homeserver::prepare(scratch)?;
        let wire = Wire::to(&homeserver.address).await?;
        let url = format!("http://{}", wire.address);
        homeserver.is_known_as(&url);
        homeserver.start(&[]).await?;
        let people = homeserver.people()?;
        let sim = Sim::start(scratch, &SimOptions { accounts: 1, ..SimOptions::default() }).await?;
        let trap = |(words, at): (&str, Hold)| wire.set(Trap { words: words.to_owned(), skip: 0, at });
        trap(STEPS[0]);
        let mut gateway = prepare(scratch, &homeserver, &url, &sim).await?;
        // It is not ready before it is greeted, and it is not while its set-up is held.
        gateway.launch()?;
        for (at, step) in STEPS.into_iter().enumerate() {
            wire.caught(SOON).await?;
            gateway.kill().await?;
            wire.lose();
            if let Some(next) = STEPS.get(at + 1) {
                trap(*next);
            }
            gateway.launch()?;
            ensure!(!gateway.logged().contains("another one is begun"), "another session after {step:?}");
        }

        gateway.ready().await?;
        let bot = format!("@bot:{DOMAIN}");
        let ann = people.enter_as("ann", "register", json!({ "encrypts": true })).await?;
        let desk = invite(&ann, &bot).await?;
        sign_in(&ann, &sim, &desk).await?;
        until("its device to be signed", SOON, async || Ok(is_signed(&ann, &bot).await?.then_some(())))
            .await?;
        let key = gateway.data_dir().join("matrix-bot.recovery");
        until("its recovery key", SOON, async || Ok(key.is_file().then_some(()))).await?;
        until("the examination to be content", SOON, async || {
            let (_, out, err) = gateway.try_cli(&["doctor", "--json"], None).await?;
            ensure!(out.contains("works, in both directions"), "{out}{err}");
            Ok(Some(()))
        })
        .await?;
        gateway.assert_up()?;
        homeserver.stop().await
    })
    .await
}
