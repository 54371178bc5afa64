//! Who is let in, at every door at once: what a token opens on the pages, what ends with it, and guesses.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wxgate_tests::browser::{Browser, form_key};
use wxgate_tests::gateway::{Gateway, GatewayOptions, PASSWORD, login};
use wxgate_tests::http::{self, Answer, Place, encode};
use wxgate_tests::irc::{IrcClient, Login};
use wxgate_tests::scratch::{Scratch, tell};

const LIMIT: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);
/// Nothing has to be there: nobody signs in to WeChat.
const SERVICE: &str = "http://127.0.0.1:9";

async fn start(scratch: &Scratch) -> Result<Gateway> {
    let env = vec![("WXGATE__WEB__PROXY_FROM".to_owned(), "127.0.0.1".to_owned())];
    Gateway::start(scratch, SERVICE, &GatewayOptions { env, ..GatewayOptions::default() }).await
}

async fn token(gateway: &Gateway, user: &str, label: &str, opens: &[&str]) -> Result<String> {
    let body = json!({ "label": label, "opens": opens });
    let made = gateway.api("POST", &format!("/api/v1/users/{user}/token"), &body).await?;
    Ok(made["token"].as_str().context("no token")?.to_owned())
}

/// An IRC connection without an account.
async fn irc(gateway: &Gateway, user: &str, password: &str) -> Result<IrcClient> {
    IrcClient::login(&gateway.irc, &Login { password, ..login(user, "", "") }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_came_in_with_bounds_what_they_do_and_for_how_long() -> Result<()> {
    tell("doors-keys", LIMIT, async |scratch| {
        let mut gateway = start(scratch).await?;
        let boss = json!({"name": "boss", "is_admin": true, "password": PASSWORD});
        gateway.api("POST", "/api/v1/users", &boss).await?;
        let phone = token(&gateway, "boss", "phone", &["login"]).await?;
        let mut browser = Browser::at(&gateway.web);
        let page = browser.sign_in("boss", &phone).await?.good("the pages, with a token")?.text();
        let key = form_key(&page)?;
        ensure!(!page.contains("/admin"), "administration is offered: {page}");
        ensure!(browser.open("/admin").await?.status == 404, "a token that logs in administers");
        let wide = [("key", key.as_str()), ("label", "more"), ("login", "yes"), ("admin", "yes")];
        ensure!(browser.send("/me/tokens", &wide).await?.status == 403, "it made one that opens more");
        let same = [("key", key.as_str()), ("label", "same"), ("login", "yes")];
        browser.send("/me/tokens", &same).await?.good("one that opens as much")?;
        let mut full = Browser::at(&gateway.web);
        full.sign_in("boss", PASSWORD).await?.good("the pages, with the password")?;
        full.open("/admin").await?.good("administration")?;

        let mut by_token = irc(&gateway, "boss", &phone).await?;
        let mut by_password = irc(&gateway, "boss", PASSWORD).await?;
        let mut live = browser.follow("/live").await?;
        live.next().await?;
        gateway.api("DELETE", "/api/v1/users/boss/tokens/phone", &json!(null)).await?;
        by_token
            .expect("why", |line| line.verb == "ERROR" && line.last().contains("the token was ended"))
            .await?;
        by_token.expect_close(SOON).await?;
        while live.next().await?.is_some() {}
        ensure!(browser.open("/me").await?.status == 401, "the pages go on without the token");
        by_password.drain().await?;
        full.open("/me").await?.good("what began with the password goes on")?;

        let page = full.open("/me").await?.text();
        let key = form_key(&page)?;
        let other = "another 芝麻";
        let change = [("key", key.as_str()), ("now", PASSWORD), ("new", other)];
        full.send("/me/password", &change).await?.good("another password, and the same session goes on")?;
        by_password
            .expect("why", |line| line.verb == "ERROR" && line.last().contains("the password was"))
            .await?;
        by_password.expect_close(SOON).await?;

        gateway.add_user("ann").await?;
        let mut anns = Browser::at(&gateway.web);
        anns.sign_in("ann", PASSWORD).await?.good("ann's pages")?;
        gateway.api("DELETE", "/api/v1/users/ann", &json!(null)).await?;
        gateway.add_user("ann").await?;
        ensure!(anns.open("/me").await?.status == 401, "somebody new has the session of somebody removed");
        gateway.assert_up()
    })
    .await
}

/// A form that signs in, sent on by a proxy for `from`.
async fn try_in(gateway: &Gateway, from: &str, user: &str, password: &str) -> Result<u16> {
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-forwarded-for", from),
        ("connection", "close"),
    ];
    let body = format!("user={user}&password={}&back=/", encode(password));
    let place = Place::Tcp(gateway.web.clone());
    Ok(http::ask(&place, "POST", "/sign-in", &headers, body, SOON).await?.status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_one_door_count_at_all_and_whoever_is_at_home_comes_in() -> Result<()> {
    tell("doors-guesses", LIMIT, async |scratch| {
        let mut gateway = start(scratch).await?;
        for person in ["ann", "bob", "boss"] {
            let body = json!({"name": person, "is_admin": person == "boss", "password": PASSWORD});
            gateway.api("POST", "/api/v1/users", &body).await?;
        }
        ensure!(try_in(&gateway, "192.0.2.7", "ann", PASSWORD).await? == 303);
        // What a client writes in front is not believed: all of these come from one place.
        for at in 0..10 {
            let status =
                try_in(&gateway, &format!("192.0.2.7, 203.0.113.{at}, 198.51.100.9"), "ann", "guess").await?;
            ensure!(status == 401, "{at}: {status}");
        }
        ensure!(try_in(&gateway, "198.51.100.9", "ann", PASSWORD).await? == 429, "the eleventh is looked at");
        let refused = irc(&gateway, "ann", PASSWORD).await.err().context("IRC looks at a twelfth")?;
        ensure!(format!("{refused:#}").contains("too many wrong attempts"), "{refused:#}");
        ensure!(
            try_in(&gateway, "192.0.2.7", "ann", PASSWORD).await? == 303,
            "ann is locked out of her home"
        );
        irc(&gateway, "bob", PASSWORD).await.context("bob")?.drain().await?;

        metrics(&gateway).await?;
        gateway.assert_up()
    })
    .await
}

/// Who is told the metrics.
async fn metrics(gateway: &Gateway) -> Result<()> {
    let ask = async |headers: &[(&str, &str)]| -> Result<Answer> { gateway.get("/metrics", headers).await };
    ensure!(ask(&[]).await?.good("from this machine")?.text().contains("wxgate_build_info"));
    ensure!(ask(&[("x-forwarded-for", "10.1.2.3")]).await?.status == 200, "from a private network");
    for header in [("x-forwarded-for", "203.0.113.9"), ("via", "1.1 proxy")] {
        ensure!(ask(&[header]).await?.status == 403, "{header:?}");
    }
    for (user, opens, wanted) in
        [("boss", vec!["read"], 403), ("boss", vec!["admin"], 200), ("ann", vec!["read", "admin"], 403)]
    {
        let bearer = format!("Bearer {}", token(gateway, user, "scraper", &opens).await?);
        let asked = ask(&[("x-forwarded-for", "203.0.113.9"), ("authorization", &bearer)]).await?;
        ensure!(asked.status == wanted, "{user} {opens:?}: {asked:?}");
    }
    Ok(())
}
