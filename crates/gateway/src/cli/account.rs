//! `wxgate account …`

use clap::Subcommand;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, Follow, segment};
use super::user::done;
use super::{Globals, print};
use crate::failure::Failure;
use crate::qr::{self, Ink};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add an account, signed out
    Add {
        /// Its name here
        name: String,
        /// Whose it is
        #[arg(long, value_name = "USER")]
        owner: String,
    },
    /// List the accounts and how they are doing
    List,
    /// Show one account
    Show {
        /// Which
        name: String,
    },
    /// Sign in: shows a QR code, waits, ends once online
    SignIn {
        /// Which
        name: String,
    },
    /// End the session
    SignOut {
        /// Which
        name: String,
    },
    /// Show or say which way it goes to WeChat
    Proxy {
        /// Which
        name: String,
        /// http://HOST:PORT or socks5://HOST:PORT, "direct", "default" (as wechat.proxy), or "-" to read it from
        /// standard input
        way: Option<String>,
    },
    /// Show or say how often it sends to WeChat
    Rate {
        /// Which
        name: String,
        /// Messages a minute, or "default" (as limits.sends_per_minute)
        rate: Option<String>,
    },
    /// Sign out and forget the account, its chats and its media
    Remove {
        /// Which
        name: String,
    },
}

/// An account as the gateway tells it.
#[derive(Deserialize, Serialize)]
struct Row {
    name: String,
    owner: String,
    state: String,
    detail: String,
    own_name: String,
    /// Which instance runs it, where several share the database.
    instance: Option<String>,
}

fn path(name: &str, rest: &str) -> String {
    format!("/api/v1/accounts/{}{rest}", segment(name))
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    match command {
        Command::Add { name, owner } => {
            let body = json!({ "name": name, "owner": owner });
            let row: Row = client.call(Method::POST, "/api/v1/accounts", Some(body)).await?;
            match globals.json {
                true => print::json(&row),
                false => print::out(&format!("{name} was added. Next: wxgate account sign-in {name}")),
            }
        }
        Command::List => {
            let rows: Vec<Row> = client.call(Method::GET, "/api/v1/accounts", None).await?;
            list(globals, &rows);
        }
        Command::Show { name } => {
            let row: Row = client.call(Method::GET, &path(&name, ""), None).await?;
            show(globals, &row);
        }
        Command::SignIn { name } => sign_in(globals, &client, &name).await?,
        Command::SignOut { name } => {
            let _: Value = client.call(Method::POST, &path(&name, "/sign-out"), None).await?;
            done(globals, &format!("{name} is being signed out."));
        }
        Command::Proxy { name, way } => {
            let wanted = way.map(proxy).transpose()?.map(|proxy| json!({ "proxy": proxy }));
            let method = if wanted.is_some() { Method::PUT } else { Method::GET };
            let told: Value = client.call(method, &path(&name, "/proxy"), wanted).await?;
            match globals.json {
                true => print::json(&told),
                false => print::out(told["proxy"].as_str().unwrap_or_default()),
            }
        }
        Command::Rate { name, rate } => {
            let wanted = rate.map(|rate| json!({ "sends_per_minute": rate }));
            let method = if wanted.is_some() { Method::PUT } else { Method::GET };
            let told: Value = client.call(method, &path(&name, "/rate"), wanted).await?;
            match globals.json {
                true => print::json(&told),
                false => print::out(told["sends_per_minute"].as_str().unwrap_or_default()),
            }
        }
        Command::Remove { name } => {
            let _: Value = client.see_through("Removing", Method::DELETE, &path(&name, "")).await?;
            done(globals, &format!("{name} was removed."));
        }
    }
    Ok(())
}

/// What was typed, or what stands on standard input, where nobody sees a password in the list of processes.
fn proxy(typed: String) -> Result<String, Failure> {
    if typed != "-" {
        return Ok(typed);
    }
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|e| Failure::environment(format!("standard input: {e}")))?;
    Ok(line.trim().to_owned())
}

fn list(globals: &Globals, rows: &[Row]) {
    if globals.json {
        print::json(&rows);
    } else if rows.is_empty() {
        print::out("There are no accounts yet. Add one with: wxgate account add NAME --owner USER");
    } else {
        let cells = |row: &Row| {
            let texts = [&row.name, &row.owner, &row.state, &row.own_name, &row.detail];
            texts.into_iter().map(|text| print::tame(text)).collect()
        };
        let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
        print::out(&print::table(&["NAME", "OWNER", "STATE", "WECHAT NAME", "DETAIL"], &rows));
    }
}

fn show(globals: &Globals, row: &Row) {
    if globals.json {
        print::json(row);
        return;
    }
    let mut rows = vec![
        vec!["name".to_owned(), row.name.clone()],
        vec!["owner".to_owned(), row.owner.clone()],
        vec!["state".to_owned(), row.state.clone()],
    ];
    let instance = row.instance.clone().unwrap_or_default();
    for (name, value) in [("detail", &row.detail), ("WeChat name", &row.own_name), ("instance", &instance)] {
        if !value.is_empty() {
            rows.push(vec![name.to_owned(), print::tame(value)]);
        }
    }
    let lines: Vec<String> = rows.iter().map(|row| format!("{:<12}{}", row[0], row[1])).collect();
    print::out(&lines.join("\n"));
}

/// One step of a sign-in, as the gateway tells it.
#[derive(Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
enum Step {
    Starting,
    ShowQr { text: String, number: u32 },
    ConfirmOnPhone { is_push: bool },
    Loading,
    Done,
    Failed { why: String },
}

async fn sign_in(globals: &Globals, client: &Client, name: &str) -> Result<(), Failure> {
    let json = globals.json;
    let now: Row = client.call(Method::GET, &path(name, ""), None).await?;
    if now.state == "up" {
        match json {
            true => print::out(&json!({ "step": "done" }).to_string()),
            false => print::out(&format!("{name} is online already.")),
        }
        return Ok(());
    }
    let mut was_told = false;
    client
        .follow(Method::POST, &path(name, "/sign-in"), |value| {
            if json {
                // One line per step, so that a program can follow.
                print::out(&value.to_string());
            }
            match serde_json::from_value(value) {
                Ok(step) => tell(name, step, json, &mut was_told),
                Err(e) => {
                    Follow::Done(Err(Failure::bug(format!("the gateway's answer is not understood: {e}"))))
                }
            }
        })
        .await
}

fn tell(name: &str, step: Step, is_quiet: bool, was_told: &mut bool) -> Follow {
    let say = |text: &str| {
        if !is_quiet {
            print::out(text);
        }
    };
    match step {
        // Told again with each code; the first time says enough.
        Step::Starting if *was_told => {}
        Step::Starting => {
            *was_told = true;
            say("Asking WeChat for a code …");
        }
        Step::ShowQr { text, number } => {
            let ink = if print::is_terminal() { Ink::Ansi } else { Ink::Plain };
            if number > 1 {
                say(&format!("The last code has expired; this is code {number}:"));
            }
            say(&qr::draw(&text, ink).unwrap_or_default());
            say(&format!(
                "Scan it with WeChat on the phone: Discover, Scan. The code says: {}",
                print::tame(&text)
            ));
        }
        Step::ConfirmOnPhone { is_push: false } => say("Scanned. Confirm on the phone …"),
        Step::ConfirmOnPhone { is_push: true } => say("WeChat asks on the phone; confirm there …"),
        Step::Loading => say("Confirmed. Loading contacts …"),
        Step::Done => {
            say(&format!("{name} is online."));
            return Follow::Done(Ok(()));
        }
        Step::Failed { why } => {
            return Follow::Done(Err(Failure::asked(format!(
                "{name} was not signed in: {}",
                print::tame(&why)
            ))));
        }
    }
    Follow::On
}
