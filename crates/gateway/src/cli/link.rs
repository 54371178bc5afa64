//! `wxgate link …`

use clap::Subcommand;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, segment};
use super::user::done;
use super::{Globals, print};
use crate::failure::Failure;
use crate::wiring::IRC_NETWORK;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the links and their members
    List,
    /// Make chats mirror each other: what is said in one appears in all others
    ///
    /// A chat is written NETWORK/CHAT: wechat:alice/家 (title, the beginning of it, or the ID of
    /// `wxgate chat list`), irc:libera/#channel, irc:libera/nick.
    #[command(verbatim_doc_comment)]
    Add {
        /// Two chats or more
        #[arg(required = true, num_args = 2.., value_name = "NETWORK/CHAT")]
        members: Vec<String>,
    },
    /// Take a link apart
    Remove {
        /// Its number, or one of its chats
        #[arg(value_name = "LINK")]
        link: String,
    },
}

#[derive(Deserialize, Serialize)]
struct Member {
    name: String,
    network: String,
    chat: String,
    title: String,
}

#[derive(Deserialize, Serialize)]
struct Link {
    id: i64,
    members: Vec<Member>,
}

/// A link that was made, for programs.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    link: Link,
    /// What there is to know about it, in words.
    warnings: Vec<String>,
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    match command {
        Command::List => {
            let links: Vec<Link> = client.call(Method::GET, "/api/v1/links", None).await?;
            match globals.json {
                true => print::json(&links),
                false if links.is_empty() => {
                    print::out(
                        "There are no links yet. Make one with: wxgate link add NETWORK/CHAT NETWORK/CHAT",
                    );
                }
                false => print::out(&table(&links)),
            }
        }
        Command::Add { members } => {
            let body = json!({ "members": members });
            let link: Link = client.call(Method::POST, "/api/v1/links", Some(body)).await?;
            let warnings: Vec<String> = link.members.iter().filter_map(warning).collect();
            if globals.json {
                print::json(&Made { link, warnings });
            } else {
                // What a shortened title was taken for is seen here.
                print::out(&table(&[link]));
                warnings.iter().for_each(|warning| print::err(warning));
            }
        }
        Command::Remove { link } => {
            let gone: Value =
                client.call(Method::DELETE, &format!("/api/v1/links/{}", segment(&link)), None).await?;
            done(globals, &format!("Link {} was taken apart.", gone["id"]));
        }
    }
    Ok(())
}

/// What a link with a nick of a foreign IRC network means. A channel there begins with a sign; a nick cannot.
fn warning(member: &Member) -> Option<String> {
    let is_nick = member.chat.starts_with(|c: char| c.is_alphanumeric() || "[]\\`_^{|}".contains(c));
    let is_foreign = member.network.starts_with("irc:") && member.network != IRC_NETWORK;
    let name = print::tame(&member.name);
    (is_foreign && is_nick).then(|| {
        format!(
            "Careful: {name} is whoever has that nick, until somebody has spoken there who is signed in to the network's \
             services: then it is theirs. Before, and on networks without accounts, who takes the nick when its owner is \
             away reads what is said there, and is heard as its owner."
        )
    })
}

fn table(links: &[Link]) -> String {
    let mut rows = Vec::new();
    for link in links {
        for (at, member) in link.members.iter().enumerate() {
            let id = if at == 0 { link.id.to_string() } else { String::new() };
            rows.push(vec![id, print::tame(&member.name), print::tame(&member.title)]);
        }
    }
    print::table(&["LINK", "CHAT", "TITLE"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_with_a_nick_of_a_foreign_network_comes_with_a_warning() {
        for (network, chat, is_warned) in [
            ("irc:libera", "carol", true),
            ("irc:libera", "[carol]", true),
            ("irc:libera", "#home", false),
            ("irc:libera", "&home", false),
            ("irc:local", "carol", false),
            ("wechat:phone", "carol", false),
        ] {
            let name = format!("{network}/{chat}");
            let (network, chat) = (network.to_owned(), chat.to_owned());
            let member = Member { name, network, chat, title: String::new() };
            assert_eq!(warning(&member).is_some(), is_warned, "{}", member.name);
        }
    }
}
