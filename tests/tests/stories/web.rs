//! The web pages: people sign in, sign their WeChat in, find chats, and reach nothing that is not theirs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wxgate_tests::browser::{Browser, form_key};
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::gateway::{Gateway, GatewayOptions, PASSWORD};
use wxgate_tests::homeserver::root;
use wxgate_tests::http::{self, Place};
use wxgate_tests::irc::Line;
use wxgate_tests::scratch::tell;
use wxgate_tests::sim::{Sim, SimOptions};
use wxgate_tests::stage::Stage;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_signs_their_wechat_in_on_a_page() -> Result<()> {
    tell("web-sign-in", LIMIT, async |scratch| {
        let sim =
            Sim::start(scratch, &SimOptions { accounts: 1, contacts: 120, ..SimOptions::default() }).await?;
        let mut gateway = Gateway::start(scratch, &sim.url(), &GatewayOptions::default()).await?;
        gateway.add_user(USER).await?;
        let mut browser = Browser::at(&gateway.web);
        let wrong = browser.sign_in(USER, "guess").await?;
        ensure!(wrong.status == 401 && wrong.text().contains("Wrong user or password"), "{wrong:?}");
        let home = browser.sign_in(USER, PASSWORD).await?.good("the first page")?.text();
        ensure!(home.contains("no WeChat account here yet"), "{home}");
        let cookie = browser.set.last().context("no cookie")?;
        ensure!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");

        let key = form_key(&home)?;
        let page = browser.send("/accounts", &[("key", &key), ("name", "phone")]).await?;
        let page = page.good("the page with the code")?.text();
        ensure!(page.contains("/accounts/phone/sign-in/events?key="), "{page}");
        let mut table = browser.follow("/live").await?;
        table.expect("needs you").await?;
        let mut steps = browser.follow(&format!("/accounts/phone/sign-in/events?key={key}")).await?;
        steps.expect("<svg").await?;
        let uuid = uuid(&sim).await?;
        sim.scan(&uuid, "account0").await?;
        steps.expect("Confirm on your phone").await?;
        sim.confirm(&uuid).await?;
        steps.expect("Online.").await?;
        ensure!(steps.next().await?.is_none(), "nothing comes after the end");
        table.expect("class=\"up\"").await?;

        gateway.wait_state("phone", "up", SOON).await?;
        chats(&mut browser).await?;
        leave(&mut browser, &gateway, &key).await?;
        gateway.assert_up()?;
        sim.assert_no_violations().await
    })
    .await
}

/// The code that is being shown.
async fn uuid(sim: &Sim) -> Result<String> {
    until("a login", SOON, async || {
        let logins = sim.logins().await?;
        Ok(logins.last().and_then(|login| login["uuid"].as_str()).map(str::to_owned))
    })
    .await
}

/// Chats come in pages, and a search finds by title.
async fn chats(browser: &mut Browser) -> Result<()> {
    let all = browser.open("/accounts/phone").await?.good("the account's page")?.text();
    ensure!(all.contains("文件传输助手") && all.contains("rel=\"next\""), "{all}");
    let next =
        all.split("&amp;after=").nth(1).and_then(|rest| rest.split('"').next()).context("no next page")?;
    let more = browser.open(&format!("/accounts/phone?q=&after={next}")).await?.good("the next page")?.text();
    ensure!(!more.contains("文件传输助手"), "the next page repeats");
    let path = format!("/accounts/phone?q={}", wxgate_tests::http::encode("传输助"));
    let found = browser.open(&path).await?.good("a search")?.text();
    ensure!(found.contains("文件传输助手") && found.matches("<tr>").count() == 2, "{found}");
    let chat =
        found.split("href=\"").filter_map(|rest| rest.split('"').next()).find(|to| to.contains("/chat?"));
    let chat = browser.open(chat.context("no way to the chat")?).await?.good("the chat's page")?.text();
    ensure!(chat.contains("<h1>文件传输助手</h1>"), "{chat}");
    ensure!(browser.open("/accounts/phone/chat?chat=p-nobody").await?.status == 404, "a chat that is none");
    browser.language = "zh-CN,zh;q=0.9";
    let none = browser.open("/accounts/phone?q=%3Cscript%3E").await?.good("a search in vain")?.text();
    ensure!(none.contains("没有标题匹配的会话") && !none.contains("<script>"), "{none}");
    let nothing = browser.open("/media/AAAA/a.jpg").await?;
    ensure!(nothing.status == 404 && nothing.text().contains("这个地址没有内容"), "{}", nothing.text());
    browser.language = "en";
    Ok(())
}

/// Signs out of WeChat, removes the account, signs out of the pages.
async fn leave(browser: &mut Browser, gateway: &Gateway, key: &str) -> Result<()> {
    let mut standing = browser.follow("/accounts/phone/live").await?;
    ensure!(!standing.expect("class=\"up\"").await?.contains("href"), "there is nothing to sign in");
    browser.send("/accounts/phone/sign-out", &[("key", key)]).await?.good("signing out of WeChat")?;
    // Whoever looks at the page finds the way back on it.
    standing.expect("href=\"/accounts/phone/sign-in\"").await?;
    gateway.wait_state("phone", "needs_human", SOON).await?;
    let slip = browser.send("/accounts/phone/remove", &[("key", key), ("typed", "phono")]).await?;
    ensure!(slip.status == 400, "{slip:?}");
    gateway.state("phone").await.context("a slip removed the account")?;
    let home = browser.send("/accounts/phone/remove", &[("key", key), ("typed", "phone")]).await?;
    ensure!(home.good("removing it")?.text().contains("no WeChat account here yet"));
    let mut table = browser.follow("/live").await?;
    table.expect("no WeChat account here yet").await?;
    let out = browser.send("/sign-out", &[("key", key)]).await?.text();
    ensure!(out.contains("name=\"password\""), "{out}");
    ensure!(table.next().await?.is_none(), "a page goes on after signing out");
    let late = browser.send("/accounts/phone/sign-out", &[("key", key)]).await?;
    let leads_home = late.text().contains("name=\"back\" value=\"/\"");
    ensure!(late.status == 401 && leads_home, "{late:?}");
    ensure!(browser.open("/accounts/phone").await?.status == 401, "still signed in");
    Ok(())
}

/// Pages and forms that are everybody's, also of whoever is not signed in.
const EVERYBODYS: [&str; 8] = [
    "/",
    "/sign-in",
    "/language",
    "/enter/{token}",
    "/enter",
    "/matrix/signed-in",
    "/style.css",
    "/board.js",
];
/// Those that show and change what belongs to whoever is signed in.
const OWN: [&str; 10] = [
    "/live",
    "/links",
    "/sign-out",
    "/accounts",
    "/me",
    "/me/password",
    "/me/tokens",
    "/me/tokens/end",
    "/me/certificates",
    "/me/certificates/end",
];
/// What some form asks for; each passes over what it does not.
const FIELDS: [(&str, &str); 16] = [
    ("typed", "account0"),
    ("chat", "p-x"),
    ("same_as", ""),
    ("request", "1"),
    ("verdict", "accept"),
    ("shown", "yes"),
    ("name", USER),
    ("accounts", "1"),
    ("one", "irc:local/#a"),
    ("two", "irc:local/#b"),
    ("which", "1"),
    ("what", "rate"),
    ("value", "60"),
    ("everything", "yes"),
    ("answer", "x"),
    ("face", "irc:local"),
];

/// Everything that the pages route, as the program lists it: the path, and whether it is a form's.
fn routes() -> Result<Vec<(String, bool)>> {
    let source = root().join("crates/gateway/src/web/board.rs");
    let source = std::fs::read_to_string(&source).with_context(|| source.display().to_string())?;
    let mut routes = Vec::new();
    for row in source.lines().filter_map(|line| line.trim().strip_prefix(".route(")) {
        let (path, handlers) = row.split_once(", ").with_context(|| row.to_owned())?;
        let path = match path {
            "SIGN_IN_PAGE" => "/matrix/sign-in",
            "SIGNED_IN_PAGE" => "/matrix/signed-in",
            literal => literal.trim_matches('"'),
        };
        for (word, is_form) in [("get(", false), ("post(", true)] {
            routes.extend(handlers.contains(word).then(|| (path.to_owned(), is_form)));
        }
    }
    ensure!(routes.len() > 40, "{} routes", routes.len());
    Ok(routes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reaches_what_is_not_theirs() -> Result<()> {
    tell("web-tenants", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let gateway = stage.gateway();
        gateway.add_user("mallory").await?;
        let body = json!({"name": "root", "is_admin": true, "password": PASSWORD});
        gateway.api("POST", "/api/v1/users", &body).await?;
        let theirs = name(0);
        let (mut owner, mut other) = (Browser::at(&gateway.web), Browser::at(&gateway.web));
        let owners_page = owner.sign_in(USER, PASSWORD).await?.good("the owner's page")?.text();
        ensure!(owners_page.contains(&theirs), "{owners_page}");
        let page = other.sign_in("mallory", PASSWORD).await?.good("the other's page")?.text();
        ensure!(!page.contains(&theirs), "{page}");
        let (key, owners_key) = (form_key(&page)?, form_key(&owners_page)?);
        for (route, is_form) in routes()? {
            if EVERYBODYS.contains(&route.as_str()) {
                continue;
            }
            let path = route.replace("{name}", &theirs);
            let of = |key: &str| match is_form {
                true => path.clone(),
                false => format!("{path}?key={key}&chat=p-x"),
            };
            let ask = async |browser: &mut Browser, key: &str| match is_form {
                true => browser.send_only(&path, &[&[("key", key)], &FIELDS[..]].concat()).await,
                false => browser.open(&of(key)).await,
            };
            let answer = ask(&mut Browser::at(&gateway.web), &owners_key).await?;
            ensure!(answer.status == 401 && !answer.text().contains("online"), "{route}: {answer:?}");
            if OWN.contains(&route.as_str()) {
                continue;
            }
            let answer = ask(&mut other, &key).await?;
            ensure!(answer.status == 404, "{route} for somebody else: {answer:?}");
            if is_form {
                // The owner with another's key.
                let answer = ask(&mut owner, &key).await?;
                ensure!(answer.status == 403, "{route} with another key: {answer:?}");
            } else if route.starts_with("/accounts/") {
                let path = of(&key).replace(&theirs, "nosuch");
                ensure!(other.open(&path).await?.status == 404, "{path}");
            }
        }
        let mut chief = Browser::at(&gateway.web);
        chief.sign_in("root", PASSWORD).await?;
        let admin = chief.open("/admin").await?.good("administration")?.text();
        ensure!(admin.contains(&theirs) && admin.contains("Room and limits"), "{admin}");
        let one = format!("/admin/accounts/{theirs}");
        let settings = chief.open(&one).await?.good("one account")?.text();
        let roots_key = form_key(&settings)?;
        let rate = |key, value| [("key", key), ("what", "rate"), ("value", value)];
        ensure!(
            other.send_only(&one, &rate(&key, "60")).await?.status == 404,
            "settings are for administrators"
        );
        let settings = chief.send(&one, &rate(&roots_key, "60")).await?.good("another rate")?.text();
        ensure!(settings.contains("value=\"60\""), "{settings}");
        ensure!(chief.send_only(&one, &rate(&roots_key, "fast")).await?.status == 400, "no rate");
        let people = chief.open("/admin/people").await?.good("the people")?.text();
        ensure!(people.contains("mallory") && people.contains("1 / "), "{people}");
        gateway.wait_state(&theirs, "up", SOON).await?;
        stage.end().await
    })
    .await
}

/// The first word of a text that begins like this.
fn word_of<'a>(text: &'a str, start: &str) -> Result<&'a str> {
    text.split_whitespace()
        .find(|word| word.starts_with(start))
        .with_context(|| format!("no {start} in {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_from_the_service_nick_lets_in_once_and_friends_are_accepted_there() -> Result<()> {
    tell("web-door", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let gateway = stage.gateway();
        let mut client = stage.client(0, "x").await?;
        client.say("wechat", "web").await?;
        let is_link = |line: &Line| line.verb == "NOTICE" && line.last().contains("/enter/");
        let said = client.expect("a link to the pages", is_link).await?.last().to_owned();
        let path =
            said.split_once("/enter/").map(|(_, token)| format!("/enter/{token}")).context("no link")?;
        let mut browser = Browser::at(&gateway.web);
        // Whoever makes a preview of it uses nothing up.
        for _ in 0..2 {
            let page = browser.open(&path).await?.good("the door")?.text();
            ensure!(page.contains(&format!("Sign in as {USER}")), "{page}");
        }
        let token = path.trim_start_matches("/enter/");
        let home = browser.send("/enter", &[("token", token)]).await?.good("coming in")?.text();
        ensure!(home.contains(&name(0)), "{home}");
        let mut late = Browser::at(&gateway.web);
        for answer in [late.open(&path).await?, late.send_only("/enter", &[("token", token)]).await?] {
            ensure!(answer.status == 404 && answer.text().contains("used already"), "{answer:?}");
        }

        let account = format!("/accounts/{}", name(0));
        // What is chosen on the page is what the service nick knows, at once, and the other way round.
        let page = browser.open(&account).await?.good("the account")?.text();
        ensure!(page.contains("<option value=\"remove\" selected>"), "{page}");
        let key = form_key(&page)?;
        let keep =
            |value| [("key", key.as_str()), ("face", "irc:local"), ("name", "recalls"), ("value", value)];
        browser.send(&format!("{account}/choices"), &keep("keep")).await?.good("choosing")?;
        let bad = browser.send_only(&format!("{account}/choices"), &keep("burn")).await?;
        ensure!(bad.status == 409 && bad.text().contains("nothing to choose"), "{bad:?}");
        client.say("wechat", "recalls").await?;
        client.expect("the choice", |line| line.verb == "NOTICE" && line.last().starts_with("keep:")).await?;
        client.say("wechat", "language chinese").await?;
        client.expect("another", |line| line.verb == "NOTICE" && line.last().contains("[图片]")).await?;
        let page = browser.open(&account).await?.good("the account")?.text();
        ensure!(page.contains("<option value=\"chinese\" selected>"), "{page}");
        client.say("wechat", "language english").await?;

        let kind = json!({"kind": "friend_request", "nick": "新朋友", "greeting": "我是新朋友"});
        stage.sim.tell(&name(0), "c0", "c0", kind).await?;
        let page = until("the request", SOON, async || {
            let page = browser.open(&account).await?.good("the account")?.text();
            Ok(page.contains("我是新朋友").then_some(page))
        })
        .await?;
        let (_, rest) = page.split_once("name=\"request\" value=\"").context("no request")?;
        let request = rest.split('"').next().unwrap_or_default();
        let key = form_key(&page)?;
        let fields = [("key", key.as_str()), ("request", request), ("verdict", "accept")];
        let page = browser.send(&format!("{account}/requests"), &fields).await?.good("accepting")?.text();
        ensure!(!page.contains("我是新朋友"), "it is offered again: {page}");
        let again = browser.send_only(&format!("{account}/requests"), &fields).await?;
        ensure!(again.status == 409, "{again:?}");
        stage.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_look_after_their_own_doors_and_administrators_after_links() -> Result<()> {
    tell("web-own", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let gateway = stage.gateway();
        let (mut here, mut there) = (Browser::at(&gateway.web), Browser::at(&gateway.web));
        there.sign_in(USER, PASSWORD).await?.good("another session")?;
        let key = form_key(&here.sign_in(USER, PASSWORD).await?.good("a session")?.text())?;
        let key = key.as_str();
        let page = here.send("/me/tokens", &[("key", key), ("label", "cron"), ("read", "yes")]).await?;
        let page = page.good("a token")?.text();
        let token = word_of(&page.replace(['<', '>'], " "), "wxgate_")?.to_owned();
        let bearer = format!("Bearer {token}");
        let place = Place::Tcp(gateway.web.clone());
        let asked = async || {
            let headers = [("authorization", bearer.as_str())];
            http::ask(&place, "GET", "/api/v1/me", &headers, "", SOON).await
        };
        ensure!(asked().await?.status == 200, "the token opens nothing");
        let page = here.open("/me").await?.good("one's own page")?.text();
        ensure!(page.contains("cron") && !page.contains(&token), "a token is shown once: {page}");
        here.send("/me/tokens/end", &[("key", key), ("what", "cron")]).await?.good("ending it")?;
        ensure!(asked().await?.status == 401, "it still opens something");
        let none = here.send_only("/me/tokens", &[("key", key), ("label", "x")]).await?;
        ensure!(none.status == 400, "a token that opens nothing: {none:?}");
        here.language = "zh";
        let none = here.send_only("/me/tokens", &[("key", key), ("label", "x")]).await?.text();
        ensure!(none.contains("令牌至少要有 read"), "{none}");
        here.language = "en";

        let print = "AB:".repeat(31) + "AB";
        let page = here.send("/me/certificates", &[("key", key), ("what", &print)]).await?;
        ensure!(page.good("a certificate")?.text().contains(&"ab".repeat(32)));
        let gone = here.send("/me/certificates/end", &[("key", key), ("what", &"ab".repeat(32))]).await?;
        ensure!(!gone.good("none")?.text().contains(&"ab".repeat(32)));

        for (now, new, status) in [("a guess", "long enough", 403), (PASSWORD, "short", 400)] {
            let answer = here.send_only("/me/password", &[("key", key), ("now", now), ("new", new)]).await?;
            ensure!(answer.status == status, "{now} {new}: {answer:?}");
        }
        let fields = [("key", key), ("now", PASSWORD), ("new", "a new one 新")];
        here.send("/me/password", &fields).await?.good("a new password")?;
        ensure!(there.open("/me").await?.status == 401, "other sessions end");
        ensure!(there.sign_in(USER, PASSWORD).await?.status == 401, "the old password");
        there.sign_in(USER, "a new one 新").await?.good("the new password")?;

        let body = json!({"name": "root", "is_admin": true, "password": PASSWORD});
        gateway.api("POST", "/api/v1/users", &body).await?;
        let mut root = Browser::at(&gateway.web);
        let key = form_key(&root.sign_in("root", PASSWORD).await?.good("an administrator")?.text())?;
        let link = [("key", key.as_str()), ("one", "irc:x/#a"), ("two", "irc:local/&b")];
        let answer = root.send("/admin/links", &link).await?;
        ensure!(answer.status == 404 && answer.text().contains("irc:x"), "{answer:?}");
        let trail = root.open("/admin/audit").await?.good("the audit trail")?.text();
        for word in
            ["password-changed", "token-made", "certificate-removed", "administrator-added", "signed-in"]
        {
            ensure!(trail.contains(word), "{word}: {trail}");
        }
        stage.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_add_people_help_them_back_in_and_remove_them() -> Result<()> {
    tell("web-people", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let gateway = stage.gateway();
        let body = json!({"name": "root", "is_admin": true, "password": PASSWORD});
        gateway.api("POST", "/api/v1/users", &body).await?;
        let mut root = Browser::at(&gateway.web);
        let key = form_key(&root.sign_in("root", PASSWORD).await?.good("an administrator")?.text())?;
        let key = key.as_str();
        let made = |page: &str| page.split("<pre>").nth(1)?.split("</pre>").next().map(str::to_owned);

        let page = root.send("/admin/people", &[("key", key), ("name", "lina")]).await?;
        let first = made(&page.good("somebody new")?.text()).context("no password is shown")?;
        Browser::at(&gateway.web).sign_in("lina", &first).await?.good("the new person")?;
        let twice = root.send_only("/admin/people", &[("key", key), ("name", "lina")]).await?;
        ensure!(twice.status == 409 && twice.text().contains("already"), "{twice:?}");

        let page = root.send("/admin/people/password", &[("key", key), ("name", "lina")]).await?;
        let second = made(&page.good("a new password")?.text()).context("no password is shown")?;
        ensure!(first != second && Browser::at(&gateway.web).sign_in("lina", &first).await?.status == 401);
        Browser::at(&gateway.web).sign_in("lina", &second).await?.good("the new password")?;

        let own = root.send_only("/admin/people/password", &[("key", key), ("name", "root")]).await?;
        ensure!(own.status == 409 && own.text().contains("Yours"), "{own:?}");

        let other = |most| [("key", key), ("name", "lina"), ("accounts", most)];
        // Whoever changes something stays where they searched for it.
        let there = [&other("3")[..], &[("q", "lin"), ("page", "0")]].concat();
        let page = root.send("/admin/people/quota", &there).await?.good("another number")?.text();
        ensure!(page.contains("0 / 3") && page.contains("value=\"lin\""), "{page}");
        ensure!(!page.contains(&format!("<td>{USER}</td>")), "everybody is shown: {page}");
        for bad in ["-1", "many", "100001"] {
            ensure!(root.send_only("/admin/people/quota", &other(bad)).await?.status == 400, "{bad}");
        }
        let page = root.send("/admin/people/quota", &other("")).await?.good("that of all")?.text();
        ensure!(!page.contains("0 / 3"), "{page}");

        let gone = |name| [("key", key), ("name", name)];
        for (name, status, why) in [
            ("root", 409, "yourself"),
            ("nobody", 404, "there is no user"),
            (USER, 409, "still has 1 accounts"),
        ] {
            let answer = root.send_only("/admin/people/remove", &gone(name)).await?;
            ensure!(answer.status == status && answer.text().contains(why), "{name}: {answer:?}");
        }
        let page = root.send("/admin/people/remove", &gone("lina")).await?.good("somebody less")?.text();
        ensure!(!page.contains("lina") && page.contains(USER), "{page}");
        ensure!(Browser::at(&gateway.web).sign_in("lina", &second).await?.status == 401);
        let all = [("key", key), ("name", USER), ("everything", "yes")];
        let page = root.send("/admin/people/remove", &all).await?.good("and their accounts")?.text();
        ensure!(!page.contains(USER), "{page}");
        stage.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_slow_and_tells_nothing() -> Result<()> {
    tell("web-guess", LIMIT, async |scratch| {
        let sim = Sim::start(scratch, &SimOptions { accounts: 1, ..SimOptions::default() }).await?;
        let mut gateway = Gateway::start(scratch, &sim.url(), &GatewayOptions::default()).await?;
        gateway.add_user(USER).await?;
        let mut browser = Browser::at(&gateway.web);
        let known = browser.sign_in(USER, "guess").await?;
        let unknown = browser.sign_in("nobody", "guess").await?;
        ensure!(known.status == unknown.status && known.text() == unknown.text(), "{known:?} {unknown:?}");
        let mut statuses = Vec::new();
        for _ in 0..12 {
            statuses.push(browser.sign_in(USER, "guess").await?.status);
        }
        ensure!(statuses.contains(&401) && statuses.last() == Some(&429), "{statuses:?}");
        // Its owner waits as well, at every door, but other people do not.
        ensure!(browser.sign_in(USER, PASSWORD).await?.status == 429, "the name has no attempt left");
        let secret = format!("Basic {}", STANDARD.encode(format!("{USER}:guess")));
        let place = Place::Tcp(gateway.web.clone());
        let headers = [("authorization", secret.as_str())];
        let upload = http::ask(&place, "POST", "/upload", &headers, "x", SOON).await?;
        ensure!(upload.status == 429, "a file as well: {upload:?}");
        gateway.add_user("bob").await?;
        for _ in 0..15 {
            browser.sign_in("bob", PASSWORD).await?.good("somebody else, as often as they like")?;
        }
        gateway.assert_up()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_accounts_come_in_pages() -> Result<()> {
    tell("web-many", LIMIT, async |scratch| {
        let sim = Sim::start(scratch, &SimOptions { accounts: 1, ..SimOptions::default() }).await?;
        let mut gateway = Gateway::start(scratch, &sim.url(), &GatewayOptions::default()).await?;
        gateway.add_user(USER).await?;
        for at in 0..120 {
            gateway.add_account(&format!("phone{at:03}"), USER).await?;
        }
        let mut browser = Browser::at(&gateway.web);
        let home = browser.sign_in(USER, PASSWORD).await?.good("the first page")?.text();
        let count = |page: &str| page.matches("href=\"/accounts/phone").count();
        ensure!(count(&home) == 50 && home.len() < 60 << 10, "{} rows, {} bytes", count(&home), home.len());
        ensure!(home.contains("phone000") && home.contains("data-live=\"/live?q=&amp;page=0\""), "{home}");
        let last = browser.open("/?q=&page=2").await?.good("the last page")?.text();
        ensure!(count(&last) == 20 && last.contains("phone119") && !last.contains("rel=\"next\""), "{last}");
        let found = browser.open("/?q=PHONE07").await?.good("a search")?.text();
        ensure!(count(&found) == 10, "{found}");
        let mut table = browser.follow("/live?q=phone07&page=0").await?;
        let row = table.expect("phone079").await?;
        ensure!(!row.contains("phone080"), "what follows is not what is shown: {row}");
        let beyond = browser.open("/?page=18446744073709551615").await?.good("a page far beyond")?.text();
        ensure!(count(&beyond) == 0, "{beyond}");
        gateway.assert_up()
    })
    .await
}
