//! Whose words they are, where one account says everybody's: a name in front, and beside it the same for
//! clients that show it as the sender.
//!
//! Source: MSC4144, <https://github.com/matrix-org/matrix-spec-proposals/pull/4144>: a client that knows
//! profiles of messages takes the name in front away again.

use serde_json::{Value, json};
use wxgate_contract::{Author, ChatKind, ChatRef, PersonKind, PersonRef};

use crate::chores::Chore;
use crate::format::markup::escape;
use crate::memory::Ghost;
use crate::names::hex;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// The profile of a message, as clients that have it read it now, and as they will.
const KEYS: [&str; 2] = ["com.beeper.per_message_profile", "m.per_message_profile"];
/// Characters of a profile's id.
const ID_CHARS: usize = 16;
/// Longest name, in characters. Chosen: what leaves room for the message.
const NAME_CHARS: usize = 64;

/// Who is to be seen as speaking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Voice {
    id: String,
    name: String,
    /// Where the picture is; empty for none, or none yet.
    picture: String,
}

impl Voice {
    fn new(who: &str, name: &str) -> Self {
        let mut id = hex(who.as_bytes());
        id.truncate(ID_CHARS);
        let shown = |c: &char| !c.is_control();
        let name = name.trim().chars().filter(shown).take(NAME_CHARS).collect();
        Self { id, name, picture: String::new() }
    }

    /// Puts the name in front of what is said.
    pub(super) fn give(&self, content: &mut Value) {
        let body = content["body"].as_str().unwrap_or_default().to_owned();
        let html = content["formatted_body"].as_str().map(str::to_owned);
        content["body"] = json!(format!("{}: {body}", self.name));
        // The text of what is no text (a place, a file) has HTML only where it had some: as a caption.
        if html.is_some() || matches!(content["msgtype"].as_str(), Some("m.text" | "m.notice")) {
            let rest = html.unwrap_or_else(|| escape(&body));
            let name = escape(&self.name);
            content["format"] = json!("org.matrix.custom.html");
            content["formatted_body"] =
                json!(format!("<strong data-mx-profile-fallback>{name}: </strong>{rest}"));
        }
        if content["msgtype"] == "m.emote" {
            // As an emote it would be the bot who does it.
            content["msgtype"] = json!("m.text");
            content["body"] = json!(format!("* {} {body}", self.name));
        }
        let mut profile = json!({ "id": self.id, "displayname": self.name, "has_fallback": true });
        if !self.picture.is_empty() {
            profile["avatar_url"] = json!(self.picture);
        }
        for key in KEYS {
            content[key] = profile.clone();
        }
    }
}

/// Who is seen as speaking in a message of ours, and their words without the name in front.
pub(crate) fn heard<'a>(content: &'a Value, text: &'a str) -> Option<(&'a str, &'a str)> {
    let profile = KEYS.iter().find_map(|key| content.get(key))?;
    let name = profile.get("displayname")?.as_str()?;
    let rest = text.strip_prefix(name).map_or(text, |rest| rest.trim_start_matches([':', ' ']));
    Some((name, rest))
}

impl Shared {
    /// In whose name the account says something; `None` for its own words, and where people have ids.
    pub(super) async fn voice(&self, author: &Author, chat: &ChatRef) -> Result<Option<Voice>, Trouble> {
        if self.names.has_ghosts() {
            return Ok(None);
        }
        Ok(match author {
            Author::Network | Author::Gateway => None,
            Author::Owner => {
                let view = self.owners.account(&chat.network).await?;
                let own = view.map(|view| view.own_name.clone()).filter(|name| !name.is_empty());
                let name = own.unwrap_or_else(|| chat.network.name().to_owned());
                Some(Voice::new(&format!("{} own", chat.network), &name))
            }
            Author::Person { person, name } => {
                let id = format!("{} {person}", chat.network);
                let people = self.directory.people(&chat.network, std::slice::from_ref(person)).await?;
                let kind = self.directory.chat(chat).await?.map(|profile| profile.kind);
                // In a group people have names of their own; elsewhere the owner's name for them counts.
                let is_group = kind.is_none_or(|kind| kind == ChatKind::Group);
                let known = people.first().filter(|_| !is_group || name.is_empty());
                let name = match known {
                    Some(profile) => self.name_of(profile, name),
                    None => self.display_name(name, PersonKind::Human),
                };
                let known = PersonRef { network: chat.network.clone(), person: person.clone() };
                Some(Voice { picture: self.portrait(&known).await?, ..Voice::new(&id, &name) })
            }
        })
    }

    /// Where somebody's picture is. It is asked for when they speak first, and there for what they say later.
    async fn portrait(&self, person: &PersonRef) -> Result<String, Trouble> {
        let key = self.names.ghost(person);
        if let Some(known) = self.memory.ghosts.get(&self.memory, &key).await? {
            return Ok(known.avatar_url.clone());
        }
        let new = Ghost { person: Some(person.clone()), ..Ghost::default() };
        self.memory.ghosts.put(&self.memory, &key, new).await?;
        self.chores.add(Chore::Picture(person.clone()));
        Ok(String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_in_front_and_can_be_taken_away_again() {
        let mut content = json!({ "msgtype": "m.text", "body": "a < b" });
        let voice = Voice::new("wechat:a p-bob", "Bob <1>\n");
        voice.give(&mut content);
        assert_eq!(content["body"], "Bob <1>: a < b");
        let html = "<strong data-mx-profile-fallback>Bob &lt;1&gt;: </strong>a &lt; b";
        assert_eq!(content["formatted_body"], html);
        let profile = &content["com.beeper.per_message_profile"];
        assert_eq!((&profile["displayname"], &profile["has_fallback"]), (&json!("Bob <1>"), &json!(true)));
        assert_eq!(heard(&content, "Bob <1>: a < b"), Some(("Bob <1>", "a < b")));
        assert_eq!(heard(&json!({ "body": "hi" }), "hi"), None);
    }

    #[test]
    fn a_picture_goes_along_where_there_is_one() {
        let mut content = json!({ "msgtype": "m.text", "body": "hi" });
        let voice = Voice::new("x", "Bob");
        voice.give(&mut content);
        assert_eq!(content["m.per_message_profile"].get("avatar_url"), None);
        Voice { picture: "mxc://x/bob".to_owned(), ..voice }.give(&mut content);
        assert_eq!(content["m.per_message_profile"]["avatar_url"], "mxc://x/bob");
    }

    #[test]
    fn what_somebody_does_is_not_done_by_the_bot() {
        let mut content = json!({ "msgtype": "m.emote", "body": "waves" });
        Voice::new("x", "Bob").give(&mut content);
        assert_eq!((&content["msgtype"], &content["body"]), (&json!("m.text"), &json!("* Bob waves")));
    }

    #[test]
    fn a_file_keeps_its_name() {
        let mut content = json!({ "msgtype": "m.image", "body": "cat.jpg", "filename": "cat.jpg" });
        Voice::new("x", "Bob").give(&mut content);
        assert_eq!((&content["body"], &content["filename"]), (&json!("Bob: cat.jpg"), &json!("cat.jpg")));
        assert!(content.get("formatted_body").is_none());
    }
}
