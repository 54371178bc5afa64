//! The API on the web listener: what the document promises, and that a token opens what is its owner's and no more.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use wxgate_tests::fleet::{USER, name};
use wxgate_tests::gateway::{Gateway, PASSWORD};
use wxgate_tests::http::{self, Answer, Lines, Place};
use wxgate_tests::program;
use wxgate_tests::scratch::tell;
use wxgate_tests::stage::Stage;

/// Who may do all.
const ADMINISTRATOR: &str = "root";
const LIMIT: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(30);

/// Somebody with a token.
struct Asker {
    place: Place,
    header: String,
}

impl Asker {
    async fn new(gateway: &Gateway, user: &str) -> Result<Self> {
        let made = gateway.api("POST", &format!("/api/v1/users/{user}/token"), &json!({})).await?;
        let token = made["token"].as_str().context("no token")?;
        Ok(Self { place: Place::Tcp(gateway.web.clone()), header: format!("Bearer {token}") })
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        let headers = [("authorization", self.header.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::ask(&self.place, method, path, &headers, body, SOON).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.ask("GET", path, &Value::Null).await?.good(path)?.json()
    }

    async fn refused(&self, status: u16, method: &str, path: &str, body: &Value) -> Result<()> {
        let answer = self.ask(method, path, body).await?;
        ensure!(answer.status == status, "{method} {path}: {status}, but {answer:?}");
        ensure!(answer.json()?["error"].is_string(), "{method} {path}: {answer:?}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_what_is_its_owners_and_no_more() -> Result<()> {
    tell("api", LIMIT, async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let gateway = stage.gateway();
        gateway.add_user("mallory").await?;
        let body = json!({"name": ADMINISTRATOR, "is_admin": true, "password": PASSWORD});
        gateway.api("POST", "/api/v1/users", &body).await?;
        let owner = Asker::new(gateway, USER).await?;
        let other = Asker::new(gateway, "mallory").await?;
        let root = Asker::new(gateway, ADMINISTRATOR).await?;
        documented(&owner).await?;
        let theirs = name(0);
        let account = format!("/api/v1/accounts/{theirs}");
        ensure!(owner.get("/api/v1/me").await? == json!({"name": USER, "is_admin": false, "accounts": 1}));
        ensure!(owner.get(&account).await?["state"] == "up");
        ensure!(!owner.get(&format!("{account}/chats")).await?.as_array().context("chats")?.is_empty());
        ensure!(owner.get(&format!("{account}/questions")).await? == json!([]));
        strangers(&other, &account).await?;
        // Administrators see how everybody's accounts are doing, and nobody's chats.
        ensure!(root.get(&account).await?["owner"] == USER);
        ensure!(root.get("/api/v1/users").await?.as_array().context("users")?.len() == 3);
        root.refused(404, "GET", &format!("{account}/chats"), &Value::Null).await?;
        let link = json!({"members": [format!("wechat:{theirs}/x"), "irc:local/#x"]});
        root.refused(404, "POST", "/api/v1/links", &link).await?;
        // Neither a title that several chats begin with, nor one that is nobody's, tells anything.
        for title in ["x", "c"] {
            let (path, gone) = (
                format!("/api/v1/links/wechat:{theirs}%2F{title}"),
                format!("/api/v1/links/wechat:nosuch%2F{title}"),
            );
            let (told, none) = (
                root.ask("DELETE", &path, &Value::Null).await?,
                root.ask("DELETE", &gone, &Value::Null).await?,
            );
            ensure!(told.status == 404 && none.status == 404, "{told:?} {none:?}");
            let (told, none) = (told.text(), none.text());
            ensure!(told.replace(&format!("wechat:{theirs}"), "wechat:nosuch") == none, "{told} {none}");
        }
        follow(&other).await?;
        scopes(&other, &root).await?;
        audit(&other, &root).await?;
        // A new token ends the one before.
        let again = other.ask("POST", "/api/v1/users/mallory/token", &Value::Null).await?;
        ensure!(again.good("a new token")?.json()?["token"].is_string());
        other.refused(401, "GET", "/api/v1/me", &Value::Null).await?;
        gateway.wait_state(&theirs, "up", SOON).await?;
        stage.end().await
    })
    .await
}

/// Things asked of each operation. Chosen: half a minute on a quiet machine.
const EXAMPLES: &str = "8";
/// What schemathesis looks at.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,negative_data_rejection,allow_header_conformance";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_is_as_its_document_says() -> Result<()> {
    let Some(python) = program::python("fuzz") else { return Ok(()) };
    tell("fuzz", Duration::from_secs(600), async |scratch| {
        let stage = Stage::set(scratch, 1).await?;
        let gateway = stage.gateway();
        let body = json!({"name": ADMINISTRATOR, "is_admin": true, "password": PASSWORD});
        gateway.api("POST", "/api/v1/users", &body).await?;
        let root = Asker::new(gateway, ADMINISTRATOR).await?;
        let mut fuzzer = Command::new(python);
        fuzzer.args(["-m", "schemathesis.cli", "run"]);
        fuzzer.arg(format!("http://{}/api/v1/openapi.json", gateway.web));
        fuzzer.arg("--header").arg(format!("Authorization: {}", root.header));
        // A stream does not end by itself; the one of a sign-in neither, while nobody scans. A new token would end
        // the one that is asked with; a proxy that is not there takes the account away.
        fuzzer.args(["--exclude-path", "/api/v1/events", "--exclude-path-regex", "/sign-in$|/token|/proxy$"]);
        fuzzer.args(["--checks", CHECKS, "--phases", "coverage,fuzzing", "--max-examples", EXAMPLES]);
        fuzzer.args(["--seed", "1", "--warnings", "off", "--no-color"]);
        let done =
            fuzzer.current_dir(scratch.path()).stdin(Stdio::null()).kill_on_drop(true).output().await?;
        let told = String::from_utf8_lossy(&done.stdout);
        ensure!(done.status.success(), "{told}{}", String::from_utf8_lossy(&done.stderr));
        ensure!(told.contains(" generated, "), "nothing was asked: {told}");
        stage.end().await
    })
    .await
}

/// Each operation of the document is there, and asks who one is.
async fn documented(somebody: &Asker) -> Result<()> {
    let nobody = Asker { place: somebody.place.clone(), header: "Bearer wxgate_guess".to_owned() };
    let document = nobody.get("/api/v1/openapi.json").await?;
    let mut count = 0;
    for (path, operations) in document["paths"].as_object().context("paths")? {
        for method in operations.as_object().context("operations")?.keys() {
            let path = path.replace("{name}", "x").replace("{chat}", "x").replace("{which}", "1");
            let path = path.replace("{label}", "x").replace("{fingerprint}", &"a".repeat(64));
            nobody.refused(401, &method.to_uppercase(), &path, &json!({})).await?;
            count += 1;
        }
    }
    ensure!(count > 20, "{count} operations");
    // What only the operator may, the web listener does not have at all.
    for path in ["/api/v1/backup", "/api/v1/seal-key/rotate"] {
        let answer = somebody.ask("POST", path, &Value::Null).await?;
        ensure!(answer.status == 404, "{path}: {answer:?}");
    }
    somebody.refused(405, "PATCH", "/api/v1/accounts", &Value::Null).await?;
    somebody.refused(400, "POST", "/api/v1/accounts", &json!({"name": 7})).await
}

/// What anybody may ask about themselves and what is theirs, and what all may know.
const OWN: [(&str, &str); 4] = [
    ("get", "/api/v1/me"),
    ("get", "/api/v1/status"),
    ("get", "/api/v1/events"),
    ("get", "/api/v1/accounts"),
];

/// Somebody else's account is like none, and what is for another or for administrators is refused: each operation that
/// the document has.
async fn strangers(other: &Asker, account: &str) -> Result<()> {
    ensure!(other.get("/api/v1/accounts").await? == json!([]));
    // What some operation asks for; each passes over what it does not.
    let body = json!({
        "name": "x", "owner": USER, "password": PASSWORD, "is_admin": true, "label": "x", "opens": ["read"],
        "id": "p-x", "same_as": null, "matrix": "@a:b", "proxy": "direct", "sends_per_minute": "6000",
        "accounts_max": 100, "members": ["irc:local/#a", "irc:local/#b"], "marking": "put", "chats": ["p-x"], "face": "irc:local", "value": "keep",
    });
    let document = other.get("/api/v1/openapi.json").await?;
    let mut count = 0;
    for (path, operations) in document["paths"].as_object().context("paths")? {
        for (method, operation) in operations.as_object().context("operations")? {
            if OWN.contains(&(method.as_str(), path.as_str())) {
                continue;
            }
            let (method, is_admins) = (method.to_uppercase(), operation["description"].is_string());
            let filled = path.replace("{chat}", "p-x").replace("{which}", "1").replace("{network}", "irc:x");
            let filled = filled.replace("{label}", "main").replace("{fingerprint}", &"a".repeat(64));
            match filled.strip_prefix("/api/v1/accounts/{name}").filter(|_| !is_admins) {
                Some(rest) => {
                    other.refused(404, &method, &format!("{account}{rest}"), &body).await?;
                    other.refused(404, &method, &format!("/api/v1/accounts/nosuch{rest}"), &body).await?;
                }
                None => {
                    let filled = filled.replace("/accounts/{name}", &account["/api/v1".len()..]);
                    other.refused(403, &method, &filled.replace("{name}", USER), &body).await?;
                }
            }
            count += 1;
        }
    }
    ensure!(count > 30, "{count} operations");
    Ok(())
}

/// A token opens what it was made for, and gives nobody more than it has.
async fn scopes(other: &Asker, root: &Asker) -> Result<()> {
    let made = async |asker: &Asker, who: &str, label: &str, opens: &[&str]| -> Result<Asker> {
        let path = format!("/api/v1/users/{who}/token");
        let answer = asker.ask("POST", &path, &json!({"label": label, "opens": opens})).await?;
        let answer = answer.good("a token for one thing")?.json()?;
        ensure!(answer["label"] == label, "{answer}");
        let token = answer["token"].as_str().context("no token")?;
        Ok(Asker { place: asker.place.clone(), header: format!("Bearer {token}") })
    };
    let looks = made(other, "mallory", "dashboard", &["read"]).await?;
    let writes = made(other, "mallory", "script", &["write"]).await?;
    let chats = made(other, "mallory", "phone", &["login"]).await?;
    ensure!(looks.get("/api/v1/me").await?["name"] == "mallory");
    looks.refused(403, "POST", "/api/v1/accounts", &json!({"name": "other"})).await?;
    chats.refused(403, "GET", "/api/v1/me", &Value::Null).await?;
    writes.ask("POST", "/api/v1/accounts", &json!({"name": "other"})).await?.good("an account")?;
    writes.ask("DELETE", "/api/v1/accounts/other", &Value::Null).await?.good("removing it")?;
    // It makes no token that opens more, and no door that it does not open itself.
    let path = "/api/v1/users/mallory/token";
    writes.refused(403, "POST", path, &json!({"label": "more"})).await?;
    writes.refused(403, "POST", path, &json!({"label": "more", "opens": ["login"]})).await?;
    let certificate = format!("/api/v1/users/mallory/certificates/{}", "a".repeat(64));
    writes.refused(403, "PUT", &certificate, &Value::Null).await?;
    writes.refused(400, "POST", path, &json!({"label": "more", "opens": ["all"]})).await?;
    let plain = made(root, ADMINISTRATOR, "no admin", &["read", "write"]).await?;
    plain.refused(403, "GET", "/api/v1/users", &Value::Null).await?;
    no_more_than_they_have(&made(root, ADMINISTRATOR, "people", &["write", "admin"]).await?, root).await?;
    let tokens = other.get("/api/v1/users/mallory/tokens").await?;
    let labels: Vec<_> = tokens.as_array().context("tokens")?.iter().map(|row| &row["label"]).collect();
    ensure!(labels.len() == 4 && labels.contains(&&json!("phone")), "{tokens}");
    other.ask("DELETE", "/api/v1/users/mallory/tokens/script", &Value::Null).await?.good("ending one")?;
    writes.refused(401, "GET", "/api/v1/me", &Value::Null).await?;
    ensure!(looks.get("/api/v1/me").await?["name"] == "mallory", "the others go on");
    Ok(())
}

/// A token that opens administration and not everything helps others back in, and makes no way to everything.
async fn no_more_than_they_have(people: &Asker, root: &Asker) -> Result<()> {
    let password = json!({"password": "another one"});
    let identity = json!({"matrix": "@root:x.example"});
    for (what, body) in [("password", &password), ("identity", &identity)] {
        people.refused(403, "PUT", &format!("/api/v1/users/{ADMINISTRATOR}/{what}"), body).await?;
    }
    let admin = |is_admin| json!({"name": "second", "password": PASSWORD, "is_admin": is_admin});
    people.refused(403, "POST", "/api/v1/users", &admin(true)).await?;
    people.ask("POST", "/api/v1/users", &admin(false)).await?.good("somebody new")?;
    people.ask("PUT", "/api/v1/users/second/password", &password).await?.good("helping somebody")?;
    people.ask("DELETE", "/api/v1/users/second", &Value::Null).await?.good("and removing them")?;
    // What one administrator did to others is not theirs to make forgotten.
    root.ask("POST", "/api/v1/users", &admin(true)).await?.good("another administrator")?;
    people.refused(403, "DELETE", "/api/v1/users/second", &Value::Null).await?;
    for asker in [people, root] {
        asker.refused(409, "DELETE", &format!("/api/v1/users/{ADMINISTRATOR}"), &Value::Null).await?;
    }
    root.ask("DELETE", "/api/v1/users/second", &Value::Null)
        .await?
        .good("removing an administrator")
        .map(drop)
}

/// What was done is told to administrators, in pages, and what was refused is not there.
async fn audit(other: &Asker, root: &Asker) -> Result<()> {
    other.refused(403, "GET", "/api/v1/audit", &Value::Null).await?;
    let acts = root.get("/api/v1/audit").await?;
    let acts = acts.as_array().context("acts")?;
    let of = |what: &str, about: &str| acts.iter().find(|act| act["what"] == what && act["about"] == about);
    let added = of("person-added", "mallory").context("who was added")?;
    ensure!(added["who"].is_null() && added["door"] == "commands", "{added}");
    let removed = of("account-removed", "other").context("what was removed")?;
    ensure!(removed["who"] == "mallory" && removed["door"] == "api", "{removed}");
    ensure!(of("account-removed", "nosuch").is_none(), "what was refused was not done");
    let first = root.get("/api/v1/audit?limit=1").await?;
    let next = root.get(&format!("/api/v1/audit?limit=1&before={}", first[0]["id"])).await?;
    ensure!(first[0] == acts[0] && next[0] == acts[1], "{first} {next}");
    root.refused(400, "GET", "/api/v1/audit?limit=x", &Value::Null).await
}

/// Accounts that come and go are told.
async fn follow(other: &Asker) -> Result<()> {
    let headers = [("authorization", other.header.as_str())];
    let mut lines = Lines::follow_with(&other.place, "GET", "/api/v1/events", &headers).await?;
    let added = other.ask("POST", "/api/v1/accounts", &json!({"name": "mine"})).await?;
    ensure!(added.good("adding an account")?.json()?["owner"] == "mallory");
    until_line(&mut lines, "\"name\":\"mine\"").await?;
    other.ask("DELETE", "/api/v1/accounts/mine", &Value::Null).await?.good("removing it")?;
    until_line(&mut lines, "event: gone").await
}

async fn until_line(lines: &mut Lines, part: &str) -> Result<()> {
    while let Some(line) = lines.next_text(SOON).await? {
        if line.contains(part) {
            return Ok(());
        }
    }
    anyhow::bail!("the events ended before {part:?}")
}
