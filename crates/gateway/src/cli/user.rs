//! `wxgate user …`

use std::path::{Path, PathBuf};

use clap::Subcommand;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wxgate_contract::Timestamp;

use super::backup::Output;
use super::client::{Client, segment};
use super::{Globals, print, typed};
use crate::clock;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a person; makes a password and prints it, unless one comes by --password-stdin
    Add {
        /// The name to sign in with
        name: String,
        /// May see and change everything
        #[arg(long)]
        admin: bool,
        /// Read the password from standard input: one line, asked for where that is a terminal
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the people
    List,
    /// Give a person another password; makes one and prints it, unless one comes by --password-stdin
    Password {
        /// Whose
        name: String,
        /// Read the password from standard input: one line, asked for where that is a terminal
        #[arg(long)]
        password_stdin: bool,
    },
    /// Say how many accounts a person may have
    Quota {
        /// Whose
        name: String,
        /// How many, or "default" for what limits.accounts_per_user says; accounts beyond that stay
        #[arg(value_parser = quota)]
        accounts: Quota,
    },
    /// Say who a person is on Matrix; their accounts appear there
    Matrix {
        /// Who
        name: String,
        /// Their Matrix id, as @name:domain
        id: String,
    },
    /// Write everything of a person into one file: chats, contacts, messages, attachments
    Export {
        /// Whose
        name: String,
        /// The file to write (a tar archive, mode 0600); it must not exist
        file: PathBuf,
    },
    /// Remove a person who has no accounts any more
    Remove {
        /// Who
        name: String,
        /// Remove their accounts first, with all that was said in them, for good
        #[arg(long)]
        everything: bool,
    },
    /// Show which client certificates log a person in on IRC (SASL EXTERNAL), add one, or take one away
    Certificate {
        /// Whose
        name: String,
        /// The SHA-256 fingerprint of one more: openssl x509 -in cert.pem -noout -fingerprint -sha256
        #[arg(long, value_name = "FINGERPRINT")]
        add: Option<String>,
        /// The fingerprint of one that shall open nothing any more
        #[arg(long, value_name = "FINGERPRINT", conflicts_with = "add")]
        remove: Option<String>,
    },
    /// Make a token that stands in the place of the person's password, and print it this once
    Token {
        /// Whose
        name: String,
        /// What to call it; a token with the same label ends
        #[arg(long, default_value = "main")]
        label: String,
        /// What it opens: read, write (over the API), login (IRC, pages), admin [default: everything]
        #[arg(long, value_delimiter = ',', value_parser = ["read", "write", "login", "admin"])]
        opens: Vec<String>,
        /// List the tokens instead
        #[arg(long, conflicts_with_all = ["opens", "end"])]
        list: bool,
        /// End the token of this label instead
        #[arg(long, value_name = "LABEL", conflicts_with = "opens")]
        end: Option<String>,
    },
}

/// How many accounts a person may have; `None`: as many as everybody.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota(Option<u32>);

fn quota(text: &str) -> Result<Quota, String> {
    match text {
        "default" => Ok(Quota(None)),
        _ => text
            .parse()
            .map(|most| Quota(Some(most)))
            .map_err(|_| "must be a number, or \"default\"".to_owned()),
    }
}

#[derive(Deserialize, Serialize)]
struct Row {
    name: String,
    is_admin: bool,
    accounts: usize,
    has_password: bool,
    has_token: bool,
    accounts_max: Option<u32>,
}

#[derive(Deserialize, Serialize)]
struct Token {
    name: String,
    label: String,
    opens: Vec<String>,
    token: String,
}

#[derive(Deserialize, Serialize)]
struct TokenRow {
    label: String,
    opens: Vec<String>,
    made_ms: i64,
    used_ms: Option<i64>,
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    match command {
        Command::Add { name, admin, password_stdin } => {
            add(globals, &client, &name, admin, password_stdin).await?
        }
        Command::Password { name, password_stdin } => {
            change_password(globals, &client, &name, password_stdin).await?;
        }
        Command::Quota { name, accounts: Quota(most) } => {
            let path = format!("/api/v1/users/{}/quota", segment(&name));
            let _: Value = client.call(Method::PUT, &path, Some(json!({ "accounts_max": most }))).await?;
            let sentence = match most {
                Some(1) => format!("{name} may have 1 account."),
                Some(most) => format!("{name} may have {most} accounts."),
                None => format!("{name} may have as many accounts as everybody."),
            };
            done(globals, &sentence);
        }
        Command::List => {
            let rows: Vec<Row> = client.call(Method::GET, "/api/v1/users", None).await?;
            match globals.json {
                true => print::json(&rows),
                false => print::out(&listed(&rows)),
            }
        }
        Command::Matrix { name, id } => {
            let path = format!("/api/v1/users/{}/identity", segment(&name));
            let _: Value = client.call(Method::PUT, &path, Some(json!({ "matrix": id }))).await?;
            done(globals, &format!("{name} is {id} on Matrix."));
        }
        Command::Export { name, file } => export(globals, &client, &name, &file).await?,
        Command::Remove { name, everything } => {
            let path = format!("/api/v1/users/{}?everything={everything}", segment(&name));
            let _: Value = client.see_through("Removing", Method::DELETE, &path).await?;
            done(globals, &format!("{name} was removed."));
        }
        Command::Certificate { name, add, remove } => {
            let path = format!("/api/v1/users/{}/certificates", segment(&name));
            let one = |fingerprint: &str| format!("{path}/{}", segment(fingerprint));
            match (add, remove) {
                (Some(print), _) => {
                    let _: Value = client.call(Method::PUT, &one(&print), None).await?;
                    done(globals, &format!("This certificate logs {name} in from now on."));
                }
                (None, Some(print)) => {
                    let _: Value = client.call(Method::DELETE, &one(&print), None).await?;
                    done(globals, &format!("This certificate does not log {name} in any more."));
                }
                (None, None) => {
                    let all: Vec<String> = client.call(Method::GET, &path, None).await?;
                    match (globals.json, all.is_empty()) {
                        (true, _) => print::json(&all),
                        (false, true) => print::out(&format!("No certificate logs {name} in.")),
                        (false, false) => print::out(&all.join("\n")),
                    }
                }
            }
        }
        Command::Token { name, list: true, .. } => {
            let path = format!("/api/v1/users/{}/tokens", segment(&name));
            let rows: Vec<TokenRow> = client.call(Method::GET, &path, None).await?;
            match (globals.json, rows.is_empty()) {
                (true, _) => print::json(&rows),
                (false, true) => print::out(&format!("{name} has no token.")),
                (false, false) => print::out(&tokens(&rows)),
            }
        }
        Command::Token { name, end: Some(label), .. } => {
            let path = format!("/api/v1/users/{}/tokens/{}", segment(&name), segment(&label));
            let _: Value = client.call(Method::DELETE, &path, None).await?;
            done(globals, &format!("The token {label:?} of {name} opens nothing any more."));
        }
        Command::Token { name, label, opens, .. } => {
            let path = format!("/api/v1/users/{}/token", segment(&name));
            let mut body = json!({ "label": label });
            if !opens.is_empty() {
                body["opens"] = opens.into();
            }
            let made: Token = client.call(Method::POST, &path, Some(body)).await?;
            match globals.json {
                true => print::json(&made),
                // Alone on standard output: a script puts it into a variable.
                false => {
                    print::err(&format!(
                        "A token of {name}, shown only now. It opens: {}. A token with the label {label:?} from \
                         before works no more.",
                        made.opens.join(", ")
                    ));
                    print::out(&made.token);
                }
            }
        }
    }
    Ok(())
}

/// The password that comes by standard input, or one that is made; and whether it was made.
async fn password(from_stdin: bool) -> Result<(String, bool), Failure> {
    match from_stdin {
        true => Ok((typed::password().await?, false)),
        false => Ok((clock::password()?, true)),
    }
}

async fn add(
    globals: &Globals,
    client: &Client,
    name: &str,
    admin: bool,
    from_stdin: bool,
) -> Result<(), Failure> {
    let (password, is_made) = password(from_stdin).await?;
    let body = json!({ "name": name, "is_admin": admin, "password": password });
    let _: Value = client.call(Method::POST, "/api/v1/users", Some(body)).await?;
    match (globals.json, is_made) {
        (true, true) => print::json(&json!({ "name": name, "is_admin": admin, "password": password })),
        (true, false) => print::json(&json!({ "name": name, "is_admin": admin })),
        (false, true) => print::out(&format!(
            "{name} was added. Password (shown only now): {password}\n\
             Next: wxgate account add ACCOUNT --owner {name}"
        )),
        (false, false) => {
            print::out(&format!("{name} was added. Next: wxgate account add ACCOUNT --owner {name}"))
        }
    }
    Ok(())
}

async fn change_password(
    globals: &Globals,
    client: &Client,
    name: &str,
    from_stdin: bool,
) -> Result<(), Failure> {
    let (password, is_made) = password(from_stdin).await?;
    let path = format!("/api/v1/users/{}/password", segment(name));
    let _: Value = client.call(Method::PUT, &path, Some(json!({ "password": password }))).await?;
    match (globals.json, is_made) {
        (true, true) => print::json(&json!({ "name": name, "password": password })),
        (false, true) => print::out(&format!("The password of {name} (shown only now): {password}")),
        (_, false) => done(globals, &format!("{name} has another password.")),
    }
    Ok(())
}

async fn export(globals: &Globals, client: &Client, name: &str, file: &Path) -> Result<(), Failure> {
    let mut output = Output::create(file, "Export")?;
    let path = format!("/api/v1/users/{}/export", segment(name));
    let mut download = client.download(Method::GET, &path).await?;
    while let Some(piece) = download.next().await? {
        output.write(&piece)?;
    }
    let size_bytes = output.finish()?;
    if globals.json {
        print::json(&json!({ "file": file, "bytes": size_bytes }));
    } else {
        print::out(&format!("{} holds everything of {name} ({size_bytes} bytes).", file.display()));
    }
    Ok(())
}

fn tokens(rows: &[TokenRow]) -> String {
    let cells = |row: &TokenRow| {
        let used = row.used_ms.map_or_else(|| "not yet".to_owned(), |ms| clock::written(Timestamp(ms)));
        vec![row.label.clone(), row.opens.join(", "), clock::written(Timestamp(row.made_ms)), used]
    };
    print::table(&["LABEL", "OPENS", "MADE (UTC)", "LAST USED"], &rows.iter().map(cells).collect::<Vec<_>>())
}

fn listed(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "There is nobody yet. Add somebody with: wxgate user add NAME".to_owned();
    }
    let cells = |row: &Row| {
        let role = if row.is_admin { "admin" } else { "user" };
        let opens = match (row.has_password, row.has_token) {
            (true, true) => "password, token",
            (true, false) => "password",
            (false, true) => "token",
            (false, false) => "nothing",
        };
        let accounts = match row.accounts_max {
            Some(most) => format!("{} of {most}", row.accounts),
            None => row.accounts.to_string(),
        };
        vec![row.name.clone(), role.to_owned(), accounts, opens.to_owned()]
    };
    print::table(&["NAME", "ROLE", "ACCOUNTS", "SIGNS IN WITH"], &rows.iter().map(cells).collect::<Vec<_>>())
}

/// Tells that something was done.
pub(super) fn done(globals: &Globals, sentence: &str) {
    if globals.json {
        print::json(&json!({ "done": true }));
    } else {
        print::out(sentence);
    }
}
