//! Two people of one WeChat group, each with an account, in one room.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::homeserver::tell;
use wxgate_tests::matrix::{BOT, Ground, SOON, is_join, is_membership};
use wxgate_tests::sim::SimOptions;

const LIMIT: Duration = Duration::from_secs(300);
const GROUP: &str = "g0";

/// The words in a room, oldest first, with who said them; those of the bot and to the bot aside.
fn words(history: &[Value]) -> Vec<(String, String)> {
    let text = |event: &Value| {
        Some((event["sender"].as_str()?.to_owned(), event["content"]["body"].as_str()?.to_owned()))
    };
    let all = history.iter().filter_map(text);
    all.filter(|(who, text)| who != BOT && !text.starts_with("!wx")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_of_one_group_share_a_room_and_nothing_is_said_twice() -> Result<()> {
    tell("share", LIMIT, async |scratch| {
        let world = SimOptions { accounts: 2, ..SimOptions::default() };
        let mut ground = Ground::set_with(scratch, world, "").await?;
        ground.sim.order("share_group", &json!({"seats": [["account0", 0], ["account1", 0]]})).await?;
        let people = ground.homeserver.people()?;
        ground.signed_in("ann", "account0").await?;
        ground.signed_in("bob", "account1").await?;
        let (ann, bob) = (people.login("ann").await?, people.login("bob").await?);
        let (ann_id, bob_id) = (ann.id.clone(), bob.id.clone());
        // The last of the members: the second is Bob.
        let eve = ground.sim.person("account0", GROUP).await?.members.pop().context("an empty group")?;
        ground.sim.say("account0", GROUP, &eve, "everybody hears this").await?;
        let room = ann.expect_text("everybody hears this", SOON).await?.room;
        let own = bob.expect_text("everybody hears this", SOON).await?.room;
        ensure!(own != room, "one room per account, unless somebody wants otherwise");

        let asked = ground.ask(&ann, &room, &format!("!wx share {bob_id}")).await?;
        ensure!(asked.body().contains("is asked in"), "{}", asked.body());
        bob.expect("to be in the room", SOON, |seen| is_join(seen, &room, &bob_id)).await?;
        let shared = ground.ask(&bob, &room, "!wx share").await?;
        ensure!(shared.body().contains("through your own account"), "{}", shared.body());
        bob.expect("to be led to the shared room", SOON, |seen| {
            seen.kind() == "m.room.tombstone" && seen.content()["replacement_room"] == room.as_str()
        })
        .await?;

        // Each speaks through their own account; the other account hears it and shows nothing new.
        let mark = ann.mark();
        bob.say(&room, "typed by bob").await?;
        ensure!(ground.sim.heard("account1", "typed by bob").await?.chat == GROUP, "another chat");
        ann.say(&room, "typed by ann").await?;
        ensure!(ground.sim.heard("account0", "typed by ann").await?.chat == GROUP, "another chat");
        // What others say stands there once, also over a kill of the gateway under way.
        let mut wanted = vec!["typed by bob".to_owned(), "typed by ann".to_owned()];
        for n in 0..10 {
            let text = format!("from eve {n}");
            ground.sim.say("account0", GROUP, &eve, &text).await?;
            if n % 5 == 2 {
                ground.gateway.kill().await?;
                ground.gateway.run().await?;
            }
            wanted.push(text);
        }
        ground.sim.say("account1", GROUP, "self", "from bob's phone").await?;
        ground.sim.say("account0", GROUP, "self", "from ann's phone").await?;
        let last = ground.sim.say("account0", GROUP, &eve, "the last words").await?;
        ann.expect_after(mark, "the last words", SOON, |seen| seen.body() == "the last words").await?;
        wanted.extend(["from bob's phone", "from ann's phone", "the last words"].map(str::to_owned));
        let said = words(&ann.history(&room).await?);
        let shown: Vec<String> =
            said.iter().map(|(_, text)| text.clone()).filter(|text| wanted.contains(text)).collect();
        ensure!(shown == wanted, "something is missing, doubled or out of order: {said:?}");
        for (who, text) in [(&bob_id, "from bob's phone"), (&ann_id, "from ann's phone")] {
            ensure!(said.contains(&(who.clone(), text.to_owned())), "{text} is not in their name: {said:?}");
        }

        // Answers and recalls lead to the event from either account.
        let event =
            ann.seen().into_iter().rev().find(|seen| seen.body() == "the last words").context("gone")?;
        bob.reply(&room, event.id(), "an answer of bob's").await?;
        let heard = ground.sim.heard_part("account1", "an answer of bob's").await?;
        ensure!(heard.text.contains("the last words"), "the answer quotes nothing: {heard:?}");
        let mark = bob.mark();
        ground
            .sim
            .tell(
                "account1",
                GROUP,
                &last_as_bob_knows(&ground, &eve).await?,
                json!({"kind": "recall", "msg_id": last.to_string()}),
            )
            .await?;
        bob.expect_after(mark, "the recall", SOON, |seen| {
            seen.kind() == "m.room.redaction" && seen.event.to_string().contains(event.id())
        })
        .await?;

        // Bob goes; each has a room again.
        let bye = ground.ask(&bob, &room, "!wx unshare").await?;
        ensure!(bye.body().contains("leaves this room"), "{}", bye.body());
        // He is told first; until he is out he sees what is said there as well.
        ann.expect("bob to be out", SOON, |seen| is_membership(seen, "leave", &room, &bob_id)).await?;
        let (bobs, anns) = (bob.mark(), ann.mark());
        ground.sim.say("account0", GROUP, &eve, "to each alone").await?;
        let at_ann =
            ann.expect_after(anns, "it in the old room", SOON, |seen| seen.body() == "to each alone").await?;
        let at_bob =
            bob.expect_after(bobs, "it in a new room", SOON, |seen| seen.body() == "to each alone").await?;
        ensure!(at_ann.room == room && at_bob.room != room, "{} {}", at_ann.room, at_bob.room);
        ground.end_after_kills().await
    })
    .await
}

/// Eve, as Bob's account knows her: the same place among the members.
async fn last_as_bob_knows(ground: &Ground, eve: &str) -> Result<String> {
    let anns = ground.sim.person("account0", GROUP).await?.members;
    let place = anns.iter().position(|member| member == eve).context("no eve")?;
    let bobs = ground.sim.person("account1", GROUP).await?.members;
    bobs.get(place).cloned().context("no eve")
}
