//! What an operator may ask of encrypted rooms: that nothing is said in clear, that only devices count which their
//! owners have signed, and from which size on the bot's device encrypts for everybody.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::homeserver::DOMAIN;
use wxgate_tests::matrix::{BOT, Ground, SOON, is_join};
use wxgate_tests::people::{Person, Seen};
use wxgate_tests::sim::SimOptions;
use wxgate_tests::wait::until;

use crate::encrypted::{heard, is_sealed, tell_sealed};

const ACCOUNT: &str = "account0";
/// A private chat's room has the owner, the bot and at most two ghosts; a group's has all its members.
const KEYS: &str = "encryption = \"allow\"\nencryption_required = true\nonly_signed_devices = true\n\
                    own_devices_up_to = 4\n";

/// Whose device encrypted something: the sender's own, or the bot's.
async fn is_by_own_device(person: &Person<'_>, seen: &Seen) -> Result<bool> {
    let event = is_sealed(person, seen).await?;
    let device = event["content"]["device_id"].as_str().context("no device")?;
    let users = json!({ "device_keys": { seen.sender(): [], BOT: [] } });
    let told = person.ask("POST", "/_matrix/client/v3/keys/query", users).await?;
    let has = |user: &str| told["device_keys"][user].get(device).is_some();
    ensure!(has(seen.sender()) != has(BOT), "nobody's device, or everybody's: {device}");
    Ok(has(seen.sender()))
}

/// Waits until somebody is told why something did not cross.
async fn refused(person: &Person<'_>, mark: usize, why: &str) -> Result<()> {
    let fits = |seen: &Seen| seen.sender() == BOT && seen.event.to_string().contains(why);
    person.expect_after(mark, why, SOON, fits).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_clear_nothing_from_strange_devices_and_one_device_for_large_groups() -> Result<()> {
    tell_sealed("sealed-policy", async |scratch| {
        let world = SimOptions { accounts: 1, ..SimOptions::default() };
        let ground = Ground::set_with(scratch, world, KEYS).await?;
        let people = ground.homeserver.people()?;
        let ann = people.enter_as("ann", "register", json!({})).await?;
        // A private chat with the bot is no exception.
        let order = json!({ "name": "desk", "invite": [BOT], "direct": true, "encrypted": true });
        let desk = ann.act("create", order).await?["room"].as_str().context("no room")?.to_owned();
        ann.expect("the bot to come", SOON, |seen| is_join(seen, &desk, BOT)).await?;
        ground.sign_in(&ann, &desk, "login", ACCOUNT).await?;
        ground.sim.say(ACCOUNT, "c1", "c1", "in private").await?;
        let private = ann.expect_text("in private", SOON).await?;
        ensure!(is_by_own_device(&ann, &private).await?, "encrypted by the bot");
        let room = private.room.clone();

        let group = ground.sim.person(ACCOUNT, "g0").await?;
        let member = group.members.iter().find(|member| *member != "self").context("an empty group")?;
        ground.sim.say(ACCOUNT, "g0", member, "among many").await?;
        let among = ann.expect_text("among many", SOON).await?;
        ensure!(among.sender() != BOT, "the bot speaks for a ghost");
        let path = among.room.replace('!', "%21").replace(':', "%3A");
        let path = format!("/_matrix/client/v3/rooms/{path}/joined_members");
        until("the group to be there", SOON, async || {
            let told = ann.ask("GET", &path, Value::Null).await?;
            let count = told["joined"].as_object().map_or(0, |all| all.len());
            ensure!(count > 4, "{count} are there");
            Ok(Some(()))
        })
        .await?;
        ground.sim.say(ACCOUNT, "g0", member, "still among many").await?;
        let among = ann.expect_text("still among many", SOON).await?;
        ensure!(!is_by_own_device(&ann, &among).await?, "encrypted by a device for one ghost alone");

        let mark = ann.mark();
        let path = room.replace('!', "%21").replace(':', "%3A");
        let path = format!("/_matrix/client/v3/rooms/{path}/send/m.room.message/clear");
        ann.ask("PUT", &path, json!({ "msgtype": "m.text", "body": "in clear" })).await?;
        refused(&ann, mark, "takes encrypted messages only").await?;

        let phone = people.enter_as("phone", "login", json!({ "user": "ann", "signs": false })).await?;
        // One of her devices has her own signature beside its own, the other one only its own.
        until("the unsigned device's keys", SOON, async || {
            let told = ann.ask("POST", "/_matrix/client/v3/keys/query", own_devices()).await?;
            let of_ann = |value: &Value| value[format!("@ann:{DOMAIN}")].as_object().map(|all| all.len());
            let devices = told["device_keys"][format!("@ann:{DOMAIN}")].as_object().context("no devices")?;
            let mut signatures: Vec<_> = devices.values().map(|keys| of_ann(&keys["signatures"])).collect();
            signatures.sort_unstable();
            Ok((signatures == [Some(1), Some(2)]).then_some(()))
        })
        .await?;
        let mark = ann.mark();
        phone.say(&room, "from a strange device").await?;
        refused(&ann, mark, "is not verified by yourself").await?;
        ann.say(&room, "from one of hers").await?;
        heard(&ground, ACCOUNT, "hers", |entry| entry.text == "from one of hers").await?;
        let ledger = ground.sim.ledger(ACCOUNT).await?;
        let crossed = |text: &str| ledger.iter().any(|entry| entry.is_heard() && entry.text.contains(text));
        ensure!(!crossed("in clear") && !crossed("strange"), "something crossed");
        ground.end().await
    })
    .await
}

fn own_devices() -> Value {
    json!({ "device_keys": { format!("@ann:{DOMAIN}"): [] } })
}
