//! `wxgate account …`

use clap::Subcommand;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wxgate_contract::{Loading, LoadingPart};

use super::client::{Client, Follow, segment};
use super::progress::Progress;
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
    /// How far the first reading of its contacts is, while it lasts.
    loading: Option<Loading>,
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
            let detail = [row.detail.clone(), loaded(row)];
            let detail = detail.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
            let texts = [&row.name, &row.owner, &row.state, &row.own_name, &detail];
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
    let (instance, loaded) = (row.instance.clone().unwrap_or_default(), loaded(row));
    let more = [
        ("detail", &row.detail),
        ("contacts", &loaded),
        ("WeChat name", &row.own_name),
        ("instance", &instance),
    ];
    for (name, value) in more {
        if !value.is_empty() {
            rows.push(vec![name.to_owned(), print::tame(value)]);
        }
    }
    let lines: Vec<String> = rows.iter().map(|row| format!("{:<12}{}", row[0], row[1])).collect();
    print::out(&lines.join("\n"));
}

/// How far its contacts are, in words; empty while nothing is read.
fn loaded(row: &Row) -> String {
    row.loading.map(|how| how.to_string()).unwrap_or_default()
}

/// One step of a sign-in, as the gateway tells it.
#[derive(Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
enum Step {
    Starting,
    ShowQr {
        text: String,
        number: u32,
    },
    ConfirmOnPhone {
        is_push: bool,
    },
    Loading {
        #[serde(flatten)]
        how: Option<Loading>,
    },
    Done,
    Failed {
        why: String,
    },
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
    let mut told = Told::default();
    client
        .follow(Method::POST, &path(name, "/sign-in"), |value| {
            if json {
                // One line per step, so that a program can follow.
                print::out(&value.to_string());
            }
            match serde_json::from_value(value) {
                Ok(step) => tell(name, step, json, &mut told),
                Err(e) => {
                    Follow::Done(Err(Failure::bug(format!("the gateway's answer is not understood: {e}"))))
                }
            }
        })
        .await
}

/// What was told of a sign-in so far.
#[derive(Default)]
struct Told {
    has_begun: bool,
    /// Contacts are read.
    is_loading: bool,
    /// How far that is.
    bar: Option<Progress>,
}

impl Told {
    /// Contacts are read, as far as this.
    fn loading(&mut self, how: Loading) {
        let what = match how.part {
            LoadingPart::Contacts => "Loading contacts",
            LoadingPart::Groups => "Loading groups",
            LoadingPart::Storing => "Storing contacts and groups",
        };
        let all = how.of.map(u64::from);
        // A bar that is replaced stays as it stood.
        let bar = match self.bar.take().filter(|bar| bar.is(what, all)) {
            Some(bar) => bar,
            None => Progress::counting(what, all),
        };
        self.bar.insert(bar).at(how.done.into());
    }
}

fn tell(name: &str, step: Step, is_quiet: bool, told: &mut Told) -> Follow {
    if !matches!(step, Step::Loading { .. }) {
        (told.is_loading, told.bar) = (false, None);
    }
    let say = |text: &str| {
        if !is_quiet {
            print::out(text);
        }
    };
    match step {
        // Told again with each code; the first time says enough.
        Step::Starting if told.has_begun => {}
        Step::Starting => {
            told.has_begun = true;
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
        Step::Loading { how } => {
            if !std::mem::replace(&mut told.is_loading, true) {
                say("Confirmed. Loading contacts …");
            }
            if let Some(how) = how.filter(|_| !is_quiet) {
                told.loading(how);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_sign_in_may_say_how_far_the_contacts_are() {
        let how = |value: Value| match serde_json::from_value(value) {
            Ok(Step::Loading { how }) => how,
            _ => panic!("no such step"),
        };
        assert_eq!(how(json!({ "step": "loading" })), None);
        let contacts = Loading { part: LoadingPart::Contacts, done: 1200, of: None };
        assert_eq!(
            how(json!({ "step": "loading", "part": "contacts", "done": 1200, "of": null })),
            Some(contacts)
        );
        let groups = Loading { part: LoadingPart::Groups, done: 20, of: Some(50) };
        assert_eq!(how(json!({ "step": "loading", "part": "groups", "done": 20, "of": 50 })), Some(groups));
    }

    #[test]
    fn a_bar_goes_on_within_a_part_and_begins_anew_with_the_next() {
        let mut told = Told::default();
        let mut is = |part, done, of, what: &str| {
            told.loading(Loading { part, done, of });
            told.bar.as_ref().is_some_and(|bar| bar.is(what, of.map(u64::from)))
        };
        assert!(is(LoadingPart::Contacts, 100, None, "Loading contacts"));
        assert!(is(LoadingPart::Contacts, 200, None, "Loading contacts"));
        assert!(is(LoadingPart::Groups, 1, Some(3), "Loading groups"));
        assert!(is(LoadingPart::Storing, 1, Some(203), "Storing contacts and groups"));
        assert!(matches!(tell("phone", Step::Done, true, &mut told), Follow::Done(Ok(()))));
        assert!(told.bar.is_none(), "no bar stands under what comes next");
    }
}
