//! The phone is off for too long: WeChat takes nothing from us, and says so to sends only.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::json;
use wxgate_tests::fleet::name;
use wxgate_tests::irc::Line;
use wxgate_tests::scratch::tell;
use wxgate_tests::stage::Stage;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(200);
/// What waits is tried again every minute.
const AGAIN: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_whose_phone_is_off_is_told_once_and_what_waited_is_said_when_it_is_back() -> Result<()> {
    tell("phone-off", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let account = name(0);
        let mut client = stage.client(0, "x").await?;
        let mut nicks = Vec::new();
        for who in ["c1", "c2"] {
            let text = format!("hello from {who}");
            stage.sim.say(&account, who, who, &text).await?;
            nicks.push(client.expect_text(&text).await?.source.nick);
        }
        let [anna, bo] = nicks.as_slice() else { bail!("two were greeted: {nicks:?}") };
        stage.sim.order("phone_offline", &json!({"account": account, "on": true})).await?;
        client.say(anna, "I am late").await?;
        let about = |line: &Line| {
            line.verb == "NOTICE" && line.source.nick == "wechat" && line.last().starts_with("account0 is")
        };
        let word = client.expect("a word from the service", about).await?.last().to_owned();
        println!("told: {word}");
        for part in ["in trouble", "the phone has been offline for too long", "open WeChat on it", "waits"] {
            ensure!(word.contains(part), "{part:?} is not in: {word}");
        }
        let detail = stage.gateway().wait_state(&account, "degraded", AGAIN).await?;
        ensure!(detail.contains("open WeChat on it"), "{detail}");
        // Who comes now hears it as well, and nobody hears it twice.
        let mut late = stage.client(0, "late").await?;
        late.expect("a word from the service", about).await?;
        client.say(bo, "are you there?").await?;
        ensure!(!client.drain().await?.iter().any(about), "it was told again");
        stage.sim.order("phone_offline", &json!({"account": account, "on": false})).await?;
        for (nick, who, text) in [(anna, "c1", "I am late"), (bo, "c2", "are you there?")] {
            let heard = until("what waited to be said", AGAIN, async || {
                let ledger = stage.sim.ledger(&account).await?;
                Ok(ledger.into_iter().find(|entry| entry.is_heard() && entry.text == text))
            })
            .await?;
            ensure!(heard.chat == who && heard.repeats == 0, "{nick}: {heard:?}");
        }
        // In whichever order they went: each chat has its own.
        for text in ["I am late", "are you there?"] {
            let mut looks = 0;
            while !client.seen().iter().any(|line| line.is_said() && line.last() == text) {
                looks += 1;
                ensure!(looks < 100, "{text:?} is not shown");
                client.drain().await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        stage.gateway().wait_state(&account, "up", AGAIN).await?;
        for client in [&mut client, &mut late] {
            client.drain().await?;
            let words: Vec<&str> = client.seen().iter().filter(|line| about(line)).map(Line::last).collect();
            ensure!(words == [word.as_str(), "account0 is online"], "{words:?}");
        }
        stage.end().await
    })
    .await
}
