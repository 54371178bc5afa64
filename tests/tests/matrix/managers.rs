//! The provisioning API, as bridge managers speak it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wxgate_tests::homeserver::tell;
use wxgate_tests::http::{self, Answer, Place, encode};
use wxgate_tests::matrix::{BOT, Ground, SOON};
use wxgate_tests::sim::SimOptions;
use wxgate_tests::stage::confirm_pushed;
use wxgate_tests::wait::until;

const LIMIT: Duration = Duration::from_secs(240);

struct Manager<'a> {
    ground: &'a Ground,
    token: String,
}

impl Manager<'_> {
    async fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        let place = Place::Tcp(self.ground.back.address.clone());
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let path = format!("/_matrix/provision/v3{path}");
        let text = if body.is_null() { String::new() } else { body.to_string() };
        http::ask(&place, method, &path, &headers, text, SOON).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.ask("GET", path, &Value::Null).await?.good(path)?.json()
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.ask("POST", path, &body).await?.good(path)?.json()
    }

    /// The step after this one.
    async fn after(&self, step: &Value) -> Result<Value> {
        let text = |key: &str| step[key].as_str().with_context(|| format!("no {key} in {step}"));
        let path = format!("/login/step/{}/{}/{}", text("login_id")?, text("step_id")?, text("type")?);
        self.post(&format!("{path}?txn_id={}", text("txn_id")?), json!({})).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_manager_signs_somebody_in_and_finds_their_contacts() -> Result<()> {
    tell("manager", LIMIT, async |scratch| {
        let secret = scratch.join("managers.secret");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&secret);
        file.and_then(|mut file| file.write_all(b"a secret of the story\n")).context("write the secret")?;
        let keys = format!("provisioning_secret_file = {secret:?}\n");
        let world = SimOptions { accounts: 1, ..SimOptions::default() };
        let ground = Ground::set_with(scratch, world, &keys).await?;
        let ann = ground.people.register("ann").await?;
        let manager = Manager { ground: &ground, token: ann.token.clone() };
        let me = manager.get("/whoami").await?;
        ensure!(me["bridge_bot"] == BOT && me["logins"] == json!([]), "{me}");
        ensure!(me["login_flows"][0]["id"] == "qr" && me["command_prefix"] == "!wx", "{me}");
        // The same on the listener for pages, which keeps its own.
        let bearer = format!("Bearer {}", manager.token);
        let same = ground.gateway.get("/_matrix/provision/v3/whoami", &[("authorization", &bearer)]).await?;
        ensure!(same.good("whoami")?.json()? == me, "another answer on the other listener");
        ensure!(ground.gateway.get("/healthz", &[]).await?.status == 200, "no health any more");
        strangers(&ground, &manager).await?;
        sign_in(&ground, &manager).await?;
        contacts(&ground, &manager).await?;
        manager.post("/logout/ann", json!({})).await?;
        until("the login to be out", SOON, async || {
            let me = manager.get("/whoami").await?;
            Ok((me["logins"][0]["state"]["state_event"] == "BAD_CREDENTIALS").then_some(()))
        })
        .await?;
        sign_in_by_phone(&ground, &manager).await?;
        ground.end().await
    })
    .await
}

async fn sign_in(ground: &Ground, manager: &Manager<'_>) -> Result<()> {
    let first = manager.post("/login/start/qr", json!({})).await?;
    ensure!(first["type"] == "display_and_wait" && first["display_and_wait"]["type"] == "qr", "{first}");
    let data = first["display_and_wait"]["data"].as_str().context("no code")?;
    let (_, uuid) = data.rsplit_once("/l/").context("no code")?;
    let wrong = format!("/login/step/{}/x/user_input", first["login_id"].as_str().unwrap_or_default());
    let wrong = manager.ask("POST", &wrong, &json!({})).await?;
    ensure!(wrong.status == 400 && wrong.text().contains("M_BAD_STATE"), "{}", wrong.text());
    ground.sim.scan(uuid, "account0").await?;
    let second = manager.after(&first).await?;
    ensure!(second["display_and_wait"]["type"] == "nothing", "{second}");
    // The answer was lost: the same submission gives the same step.
    ensure!(manager.after(&first).await? == second, "a repetition is another step");
    ground.sim.confirm(uuid).await?;
    let mut step = second;
    while step["type"] != "complete" {
        step = manager.after(&step).await?;
    }
    ensure!(step["complete"]["user_login_id"] == "ann", "{step}");
    let me = manager.get("/whoami").await?;
    ensure!(me["logins"][0]["id"] == "ann" && me["logins"][0]["state"]["state_event"] == "CONNECTED", "{me}");
    ensure!(manager.get("/logins").await? == json!({"login_ids": ["ann"]}));
    Ok(())
}

/// A login that exists, without a scan.
async fn sign_in_by_phone(ground: &Ground, manager: &Manager<'_>) -> Result<()> {
    let flows = manager.get("/login/flows").await?;
    ensure!(flows["flows"][1]["id"] == "push", "{flows}");
    let mut step = manager.post("/login/start/push?login_id=ann", json!({})).await?;
    ensure!(step["display_and_wait"]["type"] == "nothing", "{step}");
    confirm_pushed(&ground.sim).await?;
    while step["type"] != "complete" {
        step = manager.after(&step).await?;
        ensure!(step["display_and_wait"]["type"] != "qr", "{step}");
    }
    let me = manager.get("/whoami").await?;
    ensure!(me["logins"][0]["state"]["state_event"] == "CONNECTED", "{me}");
    Ok(())
}

async fn contacts(ground: &Ground, manager: &Manager<'_>) -> Result<()> {
    let all = until("contacts", SOON, async || {
        let all = manager.get("/contacts").await?;
        Ok(all["contacts"].as_array().filter(|all| !all.is_empty()).cloned())
    })
    .await?;
    let somebody = all.iter().find(|one| one["name"].is_string()).context("nobody has a name")?;
    let (id, name) =
        (somebody["id"].as_str().context("no id")?, somebody["name"].as_str().context("no name")?);
    ensure!(somebody["mxid"].as_str().is_some_and(|id| id.starts_with("@wechat_")), "{somebody}");
    let found = manager.post("/search_users", json!({"query": name})).await?;
    ensure!(found["results"].as_array().is_some_and(|all| all.iter().any(|one| one["id"] == id)), "{found}");
    ensure!(
        manager.get(&format!("/resolve_identifier/{}", encode(id))).await?["name"] == name,
        "another one"
    );
    let opened = manager.post(&format!("/create_dm/{}", encode(id)), json!({})).await?;
    ensure!(opened["dm_room_mxid"].as_str().is_some_and(|room| room.starts_with('!')), "{opened}");
    let others = all.iter().filter(|one| one["name"].is_string() && one["id"] != id);
    let other = others.map(|one| one["id"].clone()).next().context("one contact alone")?;
    let wish = json!({"participants": [id, other], "name": {"name": "made by a manager"}});
    let group = manager.post("/create_group/group", wish).await?;
    let room = group["mxid"].as_str().context("no room")?;
    ensure!(group["id"].as_str().is_some_and(|id| id.starts_with("g-")), "{group}");
    ensure!(room.starts_with('!'), "{group}");
    let alone = json!({"participants": [id], "name": {"name": "too small"}});
    let alone = manager.ask("POST", "/create_group/group", &alone).await?;
    ensure!(alone.status == 403, "{}", alone.text());
    let nobody = manager.ask("GET", "/resolve_identifier/nobody", &Value::Null).await?;
    ensure!(nobody.status == 404 && nobody.text().contains("M_NOT_FOUND"), "{}", nobody.text());
    ensure!(!ground.gateway.logged().contains(&manager.token), "a token is in the log");
    Ok(())
}

async fn strangers(ground: &Ground, manager: &Manager<'_>) -> Result<()> {
    let wrong = Manager { ground, token: "guess".to_owned() };
    let answer = wrong.ask("GET", "/whoami", &Value::Null).await?;
    ensure!(answer.status == 401 && answer.text().contains("M_UNKNOWN_TOKEN"), "{}", answer.text());
    let bare = Manager { ground, token: String::new() };
    let answer = bare.ask("GET", "/whoami", &Value::Null).await?;
    ensure!(answer.status == 401 && answer.text().contains("M_MISSING_TOKEN"), "{}", answer.text());
    let answer = bare.ask("OPTIONS", "/whoami", &Value::Null).await?;
    ensure!(
        answer.status == 204 && answer.header("access-control-allow-origin") == "*",
        "{:?}",
        answer.headers
    );
    let trusted = Manager { ground, token: "a secret of the story".to_owned() };
    let answer = trusted.ask("GET", "/whoami?user_id=@ann:localhost", &Value::Null).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    let answer = trusted.ask("GET", "/whoami", &Value::Null).await?;
    ensure!(answer.status == 400 && answer.text().contains("M_MISSING_PARAM"), "{}", answer.text());
    let answer = trusted.ask("GET", "/whoami?user_id=@eve:elsewhere", &Value::Null).await?;
    ensure!(answer.status == 403, "{}", answer.text());
    let other = manager.ask("GET", "/whoami?user_id=@bob:localhost", &Value::Null).await?;
    ensure!(other.status == 401, "somebody else's token: {}", other.text());
    Ok(())
}
