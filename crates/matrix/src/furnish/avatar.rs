//! Names and pictures of ghosts and rooms. The same picture is uploaded once, whoever shows it.

use ring::digest;
use serde_json::json;
use wxgate_contract::{Answer, Attachment, Command, MediaId, NetworkId, PersonRef, Reply, Request, Subject};

use crate::api::account::{ProfileField, SetProfile};
use crate::chores::PATIENCE;
use crate::media::{Place, picture_of};
use crate::memory::{Ghost, Room};
use crate::shared::Shared;
use crate::trouble::Trouble;

/// What stands in a note when the account had no picture to give.
const NONE: &str = "-";
/// What stands in the note of a room whose picture somebody chose.
const CHOSEN: &str = "chosen";

/// What came of asking an account for a picture.
enum Asked {
    /// Its hash, or [`NONE`].
    Picture(String),
    CannotTell,
    /// It was slow, now or lately: whatever stands in the note as "none yet" is asked for again.
    Later,
}

impl Room {
    /// Somebody chose its picture, which takes the place of the account's.
    pub(super) fn has_chosen_picture(&self) -> bool {
        self.avatar == CHOSEN
    }
}

impl Shared {
    /// Brings the name of a ghost up to date, if there is one; gives it its first picture.
    pub(crate) async fn dress(&self, person: &PersonRef) -> Result<(), Trouble> {
        let localpart = self.names.ghost(person);
        let Some(ghost) = self.memory.ghosts.get(&self.memory, &localpart).await? else { return Ok(()) };
        let people = self.directory.people(&person.network, std::slice::from_ref(&person.person)).await?;
        let name = people.first().map(|profile| self.name_of(profile, ""));
        let has_id = !ghost.user_id.is_empty();
        if let Some(name) = name.filter(|name| has_id && *name != ghost.name) {
            let field = ProfileField::DisplayName(&name);
            self.client.call(self.as_ghost(&ghost), &SetProfile { user_id: &ghost.user_id, field }).await?;
            self.memory.ghosts.put(&self.memory, &localpart, Ghost { name, ..(*ghost).clone() }).await?;
        }
        // Asked once; later only when the account says that something about the person changed.
        match ghost.avatar.is_empty() {
            true => self.picture_ghost(person).await,
            false => Ok(()),
        }
    }

    /// Brings the picture of a ghost up to date, if there is one.
    pub(crate) async fn picture_ghost(&self, person: &PersonRef) -> Result<(), Trouble> {
        let localpart = self.names.ghost(person);
        let Some(ghost) = self.memory.ghosts.get(&self.memory, &localpart).await? else { return Ok(()) };
        let picture = match self.picture(&person.network, Subject::Person(person.person.clone())).await? {
            Asked::Picture(picture) => picture,
            Asked::CannotTell => return Ok(()),
            Asked::Later => {
                let ghost = Ghost { avatar: String::new(), ..(*ghost).clone() };
                self.memory.ghosts.put(&self.memory, &localpart, ghost).await?;
                return Ok(());
            }
        };
        // An account that has none to give may only not know it yet.
        let has_one = !ghost.avatar.is_empty() || !ghost.avatar_url.is_empty();
        if picture == ghost.avatar || picture == NONE && has_one {
            return Ok(());
        }
        let avatar_url = self.url_of(&picture).await?;
        if avatar_url != ghost.avatar_url && !ghost.user_id.is_empty() {
            let field = ProfileField::AvatarUrl(&avatar_url);
            self.client.call(self.as_ghost(&ghost), &SetProfile { user_id: &ghost.user_id, field }).await?;
        }
        let ghost = Ghost { avatar_url, avatar: picture, ..(*ghost).clone() };
        self.memory.ghosts.put(&self.memory, &localpart, ghost).await?;
        Ok(())
    }

    /// Gives a group the picture that the account shows for it: a mosaic of its members, mostly.
    pub(super) async fn hang_picture(&self, room: &mut Room) -> Result<(), Trouble> {
        let subject = Subject::Chat(room.chat.chat.clone());
        let picture = match self.picture(&room.chat.network, subject).await? {
            Asked::Picture(picture) => picture,
            Asked::CannotTell => return Ok(()),
            Asked::Later if room.has_chosen_picture() => return Ok(()),
            Asked::Later => {
                room.avatar.clear();
                return Ok(());
            }
        };
        if picture == room.avatar || picture == NONE && !room.avatar.is_empty() {
            return Ok(());
        }
        // Asking took a while, in which somebody may have chosen one.
        if self.memory.room_of(&room.chat).await?.is_some_and(|room| room.has_chosen_picture()) {
            return Ok(());
        }
        if picture != NONE {
            let url = self.url_of(&picture).await?;
            self.set_state(&room.room_id, "m.room.avatar", "", json!({ "url": url })).await?;
        }
        room.avatar = picture;
        Ok(())
    }

    /// Gives a room a topic and a picture that the chat itself cannot have. An announcement of the
    /// chat takes the place of the topic.
    pub(crate) async fn adorn(&self, room: &Room, topic: &str, url: &str) -> Result<(), Trouble> {
        if !topic.is_empty() {
            self.set_state(&room.room_id, "m.room.topic", "", json!({ "topic": topic })).await?;
        }
        if !url.is_empty() {
            let chosen = |room: &mut Room| CHOSEN.clone_into(&mut room.avatar);
            self.memory.update_room(&room.chat, &room.room_id, chosen).await?;
            self.set_state(&room.room_id, "m.room.avatar", "", json!({ "url": url })).await?;
        }
        Ok(())
    }

    /// Asks an account for a picture, which is in the vault then.
    async fn picture(&self, account: &NetworkId, subject: Subject) -> Result<Asked, Trouble> {
        if !self.chores.may_be_asked(account) {
            return Ok(Asked::Later);
        }
        let command = Command::Ask { account: account.clone(), request: Request::Avatar(subject.clone()) };
        let Ok(answer) = tokio::time::timeout(PATIENCE, self.control.run(None, command)).await else {
            tracing::info!(%account, "is slow to give pictures; asked again later");
            self.chores.is_slow(account, &subject);
            return Ok(Asked::Later);
        };
        let Ok(Reply::Answer(Answer::Media(media))) = answer else {
            // It is not online, or does not know: the next change of the profile asks again.
            return Ok(Asked::CannotTell);
        };
        let Some(media) = media else { return Ok(Asked::Picture(NONE.to_owned())) };
        let Some(hash) = self.hash_of(media).await else { return Ok(Asked::CannotTell) };
        if self.memory.pictures.get(&self.memory, &hash).await?.is_none() {
            let url = self.upload_picture(media).await?;
            self.memory.pictures.put(&self.memory, &hash, url).await?;
        }
        Ok(Asked::Picture(hash))
    }

    async fn url_of(&self, picture: &str) -> Result<String, Trouble> {
        if picture == NONE {
            return Ok(String::new());
        }
        let url = self.memory.pictures.get(&self.memory, picture).await?;
        Ok(url.map(|url| (*url).clone()).unwrap_or_default())
    }

    async fn hash_of(&self, media: MediaId) -> Option<String> {
        let mut reader = self.media.reader(media, 0).await.ok()?;
        let mut hash = digest::Context::new(&digest::SHA256);
        while let Some(piece) = reader.read().await.ok()? {
            hash.update(&piece);
        }
        Some(hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    async fn upload_picture(&self, media: MediaId) -> Result<String, Trouble> {
        let picture = Attachment { name: "avatar".to_owned(), ..picture_of(media) };
        // Names and pictures of rooms are state, which everybody who is let in sees; it is never encrypted.
        match self.upload_ready(&picture, false).await? {
            Place::Clear(url) => Ok(url),
            Place::Sealed(_) => Ok(String::new()),
        }
    }
}
