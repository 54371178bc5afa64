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
use crate::outbound::render::Rendered;
use crate::shared::Shared;
use crate::trouble::Trouble;

/// The profile of a message, as clients that have it read it now, and as they will.
const KEYS: [&str; 2] = ["com.beeper.per_message_profile", "m.per_message_profile"];
/// Characters of a profile's id.
const ID_CHARS: usize = 16;
/// Longest name, in characters. Chosen: what leaves room for the message.
const NAME_CHARS: usize = 64;

const MESSAGE: &str = "m.room.message";
const STICKER: &str = "m.sticker";
/// Source: MSC3245, "Proposal".
const VOICE_MARK: &str = "org.matrix.msc3245.voice";
/// Source: MSC3488, "Proposal".
const DESCRIPTION: &str = "/org.matrix.msc3488.location/description";

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

    /// Puts the name in front of what is said, where clients show it.
    pub(super) fn give(&self, (kind, content): &mut Rendered) {
        if *kind == STICKER {
            *kind = MESSAGE;
            picture_of_sticker(content);
        }
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
        match content["msgtype"].as_str() {
            // As an emote it would be the bot who does it.
            Some("m.emote") => {
                content["msgtype"] = json!("m.text");
                content["body"] = json!(format!("* {} {body}", self.name));
            }
            // What stands below the map.
            Some("m.location") => {
                if let Some(description) = content.pointer_mut(DESCRIPTION) {
                    let place = description.as_str().unwrap_or_default();
                    *description = json!(format!("{}: {place}", self.name));
                }
            }
            // A voice message is shown without words, a piece of music with them.
            Some("m.audio") => {
                content.as_object_mut().and_then(|content| content.remove(VOICE_MARK));
            }
            _ => {}
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

/// A sticker as a picture: what a sticker is called is shown by no client, and what a picture is called is, where it is
/// not the name of its file. Source: client-server API, "Stickers" and "Media captions".
fn picture_of_sticker(content: &mut Value) {
    let is_picture = content
        .pointer("/info/mimetype")
        .and_then(Value::as_str)
        .is_some_and(|mime| mime.starts_with("image/"));
    content["msgtype"] = json!(if is_picture { "m.image" } else { "m.file" });
    content["filename"] = content["body"].clone();
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

    fn given(content: Value) -> Value {
        let mut rendered = (MESSAGE, content);
        Voice::new("x", "Bob").give(&mut rendered);
        rendered.1
    }

    #[test]
    fn a_name_stands_in_front_and_can_be_taken_away_again() {
        let mut rendered = (MESSAGE, json!({ "msgtype": "m.text", "body": "a < b" }));
        Voice::new("wechat:a p-bob", "Bob <1>\n").give(&mut rendered);
        let content = rendered.1;
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
        let mut rendered = (MESSAGE, json!({ "msgtype": "m.text", "body": "hi" }));
        let voice = Voice::new("x", "Bob");
        voice.give(&mut rendered);
        assert_eq!(rendered.1["m.per_message_profile"].get("avatar_url"), None);
        Voice { picture: "mxc://x/bob".to_owned(), ..voice }.give(&mut rendered);
        assert_eq!(rendered.1["m.per_message_profile"]["avatar_url"], "mxc://x/bob");
    }

    #[test]
    fn what_somebody_does_is_not_done_by_the_bot() {
        let content = given(json!({ "msgtype": "m.emote", "body": "waves" }));
        assert_eq!((&content["msgtype"], &content["body"]), (&json!("m.text"), &json!("* Bob waves")));
    }

    #[test]
    fn a_file_keeps_its_name() {
        let content = given(json!({ "msgtype": "m.image", "body": "cat.jpg", "filename": "cat.jpg" }));
        assert_eq!((&content["body"], &content["filename"]), (&json!("Bob: cat.jpg"), &json!("cat.jpg")));
        assert!(content.get("formatted_body").is_none());
    }

    /// Source: what clients show: the caption of a picture and of music, the description of a place; of a sticker and
    /// a voice message no words.
    #[test]
    fn who_sends_what_has_no_words_is_seen() {
        for (mime, msgtype) in [("image/gif", "m.image"), ("application/octet-stream", "m.file")] {
            let sticker = json!({ "body": "cat.gif", "url": "mxc://x/1", "info": { "mimetype": mime } });
            let mut rendered = ("m.sticker", sticker);
            Voice::new("x", "Bob").give(&mut rendered);
            assert_eq!((rendered.0, &rendered.1["msgtype"]), ("m.room.message", &json!(msgtype)));
            assert_eq!(
                (&rendered.1["body"], &rendered.1["filename"]),
                (&json!("Bob: cat.gif"), &json!("cat.gif"))
            );
        }
        let voice =
            json!({ "msgtype": "m.audio", "body": "voice.ogg", "filename": "voice.ogg", VOICE_MARK: {} });
        let voice = given(voice);
        assert_eq!((&voice["body"], voice.get(VOICE_MARK)), (&json!("Bob: voice.ogg"), None));
        let place = json!({
            "msgtype": "m.location",
            "body": "Palace (geo:1,2)",
            "org.matrix.msc3488.location": { "uri": "geo:1,2", "description": "Palace" },
        });
        let place = given(place);
        assert_eq!(place["body"], "Bob: Palace (geo:1,2)");
        assert_eq!(place["org.matrix.msc3488.location"]["description"], "Bob: Palace");
    }
}
