//! What people ask of the bot.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wxgate_tests::homeserver::tell;
use wxgate_tests::matrix::{BOT, Ground, SOON, is_join, uuid};
use wxgate_tests::sim::SimOptions;

const LIMIT: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_signs_in_with_a_code_that_changes_as_the_phone_does() -> Result<()> {
    tell("sign-in", LIMIT, async |scratch| {
        let ground = Ground::set(scratch).await?;
        let ann = ground.people.register("ann").await?;
        let desk = ann.create("wxgate", &[BOT], true).await?;
        ann.expect("the bot to come", SOON, |seen| is_join(seen, &desk, BOT)).await?;
        let help = ground.ask(&ann, &desk, "help").await?;
        ensure!(help.body().contains("`login [account]`") && help.class == "RoomMessageNotice", "{help:?}");
        let odd = ground.ask(&ann, &desk, "lgoin").await?;
        ensure!(odd.body().contains("did you mean `login`"), "{}", odd.body());
        let none = ground.ask(&ann, &desk, "list-logins").await?;
        ensure!(none.body().contains("no WeChat account"), "{}", none.body());

        let mark = ann.mark();
        ann.say(&desk, "login").await?;
        let is_code = |seen: &wxgate_tests::people::Seen| seen.content()["msgtype"] == "m.image";
        let code = ann.expect_after(mark, "a code", SOON, is_code).await?;
        ensure!(code.class == "RoomMessageImage", "{code:?}");
        let png = ann.download(code.content()["url"].as_str().context("no url")?).await?;
        ensure!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "not a picture");
        // The code runs out: another one takes its place in the same event.
        ground.sim.order("expire", &serde_json::json!({"uuid": uuid(&code)?})).await?;
        let edit = ann
            .expect_after(mark, "another code", SOON, |seen| {
                is_code(seen) && seen.content()["m.relates_to"]["rel_type"] == "m.replace"
            })
            .await?;
        ensure!(edit.content()["m.relates_to"]["event_id"] == code.id(), "{}", edit.event);
        ensure!(uuid(&edit)? != uuid(&code)?, "the same code again");
        ground.sim.scan(&uuid(&edit)?, "account0").await?;
        ann.expect_after(mark, "to be asked for the tap", SOON, |seen| seen.body().contains("confirm"))
            .await?;
        ground.sim.confirm(&uuid(&edit)?).await?;
        ann.expect_after(mark, "to be online", SOON, |seen| seen.body().contains("is online")).await?;
        ann.expect_after(mark, "the code to be taken away", SOON, |seen| {
            let content = seen.content();
            seen.kind() == "m.room.redaction"
                && (content["redacts"] == code.id() || seen.event["redacts"] == code.id())
        })
        .await?;
        let list = ground.ask(&ann, &desk, "list-logins").await?;
        ensure!(list.body().contains("ann") && list.body().contains("is online"), "{}", list.body());
        let ping = ground.ask(&ann, &desk, "ping").await?;
        ensure!(ping.body().contains("is online"), "{}", ping.body());
        let out = ground.ask(&ann, &desk, "logout").await?;
        ensure!(out.body().contains("is being signed out"), "{}", out.body());
        ground.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_and_groups_are_found_and_their_rooms_opened_before_anybody_speaks() -> Result<()> {
    tell("search", LIMIT, async |scratch| {
        let ground = Ground::set(scratch).await?;
        let (ann, desk) = ground.signed_in("ann", "account0").await?;
        let nick = ground.sim.person("account0", "c6").await?.nick;
        let found = ground.ask(&ann, &desk, &format!("search {nick}")).await?;
        ensure!(found.body().contains(&nick), "{}", found.body());
        let mark = ann.mark();
        let opened = ground.ask(&ann, &desk, &format!("start-chat {nick}")).await?;
        let html = opened.content()["formatted_body"].as_str().context("no link")?;
        let (_, rest) = html.split_once("https://matrix.to/#/").context("no link")?;
        let room = rest.split('"').next().unwrap_or_default().to_owned();
        ann.expect_after(mark, "to be in the room", SOON, |seen| is_join(seen, &room, &ann.id)).await?;
        let said = ann.say(&room, "first words").await?;
        let heard = ground.sim.heard("account0", "first words").await?;
        ensure!(heard.chat == "c6", "{heard:?}");
        ann.expect("the bot's receipt", SOON, |seen| {
            seen.part == "ephemeral" && seen.event.to_string().contains(&said)
        })
        .await?;
        let again = ground.ask(&ann, &desk, &format!("pm {nick}")).await?;
        ensure!(again.body().contains(&room), "another room: {}", again.body());
        // A second account of the same person: the first one is left alone.
        ground.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_has_two_accounts_and_nobody_else_sees_them() -> Result<()> {
    tell("two", LIMIT, async |scratch| {
        let world = SimOptions { accounts: 2, ..SimOptions::default() };
        let ground = Ground::set_with(scratch, world, "").await?;
        let (ann, desk) = ground.signed_in("ann", "account0").await?;
        let answer = ground.ask(&ann, &desk, "login").await?;
        ensure!(answer.body().contains("login <name>"), "{}", answer.body());
        ground.sign_in(&ann, &desk, "login work", "account1").await?;
        let list = ground.ask(&ann, &desk, "list-logins").await?;
        ensure!(list.body().matches("is online").count() == 2, "{}", list.body());
        let which = ground.ask(&ann, &desk, "logout").await?;
        ensure!(which.body().contains("`logout work`"), "{}", which.body());
        let bob = ground.people.register("bob").await?;
        let room = bob.create("", &[BOT], true).await?;
        bob.expect("the bot to come", SOON, |seen| is_join(seen, &room, BOT)).await?;
        let none = ground.ask(&bob, &room, "logout work").await?;
        ensure!(none.body().contains("no WeChat account"), "{}", none.body());
        // In a room with others the bot is silent until it is meant, and shows no code.
        let open = ann.create("open", &[BOT, &bob.id], false).await?;
        ann.expect("the bot to come", SOON, |seen| is_join(seen, &open, BOT)).await?;
        ann.expect("bob to come", SOON, |seen| is_join(seen, &open, &bob.id)).await?;
        let unasked = ann.say(&open, "help").await?;
        let refused = ground.ask(&ann, &open, "!wx login").await?;
        ensure!(refused.body().contains("private chat"), "{}", refused.body());
        let answers = ann.seen();
        let to =
            |seen: &wxgate_tests::people::Seen| seen.content()["m.relates_to"].to_string().contains(&unasked);
        ensure!(!answers.iter().any(to), "the bot spoke without being asked");
        ground.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn friends_are_accepted_and_groups_made_at_the_desk() -> Result<()> {
    tell("friends", LIMIT, async |scratch| {
        let ground = Ground::set(scratch).await?;
        let (ann, desk) = ground.signed_in("ann", "account0").await?;
        let kind = serde_json::json!({"kind": "friend_request", "nick": "新朋友", "greeting": "我是新朋友"});
        ground.sim.tell("account0", "c0", "c0", kind).await?;
        let card = ann
            .expect("the card", SOON, |seen| seen.room == desk && seen.body().contains("我是新朋友"))
            .await?;
        ensure!(card.sender() == BOT && card.body().contains("`accept "), "{card:?}");
        let mark = ann.mark();
        let said = ann.reply(&desk, card.id(), "accept").await?;
        let answer = ann
            .expect_after(mark, "the answer", SOON, |seen| {
                seen.content()["m.relates_to"]["m.in_reply_to"]["event_id"] == said.as_str()
            })
            .await?;
        ensure!(answer.body().contains("is your contact now"), "{}", answer.body());
        let again = ground.ask(&ann, &desk, "accept 1").await?;
        ensure!(again.body().contains("no request of that number"), "{}", again.body());
        let nothing = ground.ask(&ann, &desk, "identity").await?;
        ensure!(nothing.body().contains("nothing to settle"), "{}", nothing.body());
        // A group, and the first thing said in it.
        let mut people = Vec::new();
        for who in ["c6", "c9", "c11", "c12"] {
            let nick = ground.sim.person("account0", who).await?.nick;
            let found = ground.ask(&ann, &desk, &format!("search {nick}")).await?;
            let id = found.body().split_once("`start-chat ").and_then(|(_, rest)| rest.split('`').next());
            people.extend(id.map(str::to_owned));
        }
        ensure!(people.len() > 1, "{people:?}");
        let mark = ann.mark();
        let made = ground.ask(&ann, &desk, &format!("create-group 旅行: {}", people.join(", "))).await?;
        let html = made.content()["formatted_body"].as_str().with_context(|| made.body().to_owned())?;
        let (_, rest) = html.split_once("https://matrix.to/#/").context("no link")?;
        let room = rest.split('"').next().unwrap_or_default().to_owned();
        ann.expect_after(mark, "to be in the room", SOON, |seen| is_join(seen, &room, &ann.id)).await?;
        ann.say(&room, "the first words in it").await?;
        let heard = ground.sim.heard("account0", "the first words in it").await?;
        ensure!(heard.chat.starts_with('g'), "{heard:?}");
        let title = ann.state(&room, "m.room.name", "").await?;
        ensure!(title["name"].as_str().is_some_and(|name| name.contains("旅行")), "{title}");
        ground.end().await
    })
    .await
}
