//! Plays people of a homeserver with matrix-sdk, the client library of the Matrix foundation.
//!
//! Led by the same lines of JSON as `tests/matrix/people.py`, and answers in the same way, so every story can
//! be told to either. `class` is what the library took an event for, in the words of that file.
#![recursion_limit = "256"]

mod person;
mod shown;
mod shut;
mod verify;

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use person::Person;

/// Lines that wait for standard output. Chosen: one answer of sync of a busy room.
const LINES: usize = 4096;

/// Everybody who has signed in.
type People = Mutex<HashMap<String, Arc<Person>>>;
/// Where lines for the story go.
type Tell = mpsc::Sender<Value>;

#[tokio::main]
async fn main() -> Result<()> {
    let homeserver = std::env::args().nth(1).context("name the homeserver")?;
    let (tell, mut told) = mpsc::channel::<Value>(LINES);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut stdout = tokio::io::stdout();
        while let Some(line) = told.recv().await {
            stdout.write_all(format!("{line}\n").as_bytes()).await?;
            stdout.flush().await?;
        }
        Ok::<_, std::io::Error>(())
    });
    let people = Arc::new(People::default());
    let mut orders = JoinSet::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        // Orders of one story may be on their way at once; it waits for answers where order matters.
        let (homeserver, people, tell) = (homeserver.clone(), Arc::clone(&people), tell.clone());
        orders.spawn(async move { answer(&homeserver, &people, &tell, &line).await });
        while orders.try_join_next().is_some() {}
    }
    Ok(())
}

async fn answer(homeserver: &str, people: &People, tell: &Tell, line: &str) {
    let order: Value = serde_json::from_str(line).unwrap_or_default();
    let id = order["id"].clone();
    let line = match obey(homeserver, people, tell, &order).await {
        Ok(done) => json!({ "id": id, "ok": done }),
        Err(error) => json!({ "id": id, "error": format!("{error:#}") }),
    };
    // Nobody listens at the end of a story.
    let _ = tell.send(line).await;
}

async fn obey(homeserver: &str, people: &People, tell: &Tell, order: &Value) -> Result<Value> {
    let who = order["who"].as_str().context("no name")?;
    let verb = order["do"].as_str().context("nothing to do")?;
    if matches!(verb, "register" | "login") {
        let person = Person::enter(homeserver, who, verb == "register", order).await?;
        let entered = person.entered();
        let person = Arc::new(person);
        person.follow(tell.clone()).await;
        people.lock().await.insert(who.to_owned(), person);
        return Ok(entered);
    }
    if verb == "end" {
        return match people.lock().await.remove(who) {
            Some(_) => Ok(Value::Null),
            None => bail!("{who} has not signed in"),
        };
    }
    let person = people.lock().await.get(who).cloned();
    person.with_context(|| format!("{who} has not signed in"))?.act(verb, order).await
}
