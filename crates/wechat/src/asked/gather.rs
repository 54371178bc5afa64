//! A new group. The service tells the phone of it when something is said in it; whoever asked wants
//! to say the first thing, so it is written down here.
//! Source: the protocol sheet, section 2.23.

use wechat_proto::endpoint::CreateChatroom;
use wechat_proto::{Contact, Endpoint, RetCode, UserName};
use wxgate_contract::{Answer, ChatKey, CommandError, FarError, PersonKey};

use super::Asked;
use super::change::{TITLE_CHARS, failed, refused};
use crate::roster::record::{Keys, Login, Mark, put_group};
use crate::roster::{Draft, Named, load, name_note};
use crate::transport::CallError;

/// Most people that a group begins with, the owner aside. Source: the protocol sheet, section 2.24:
/// from forty members on, people are invited and have to agree.
const MAX_PEOPLE: usize = 39;

impl Asked {
    /// Makes a group of the owner and these people.
    pub(super) async fn gather(&self, people: &[PersonKey], title: &str) -> Result<Answer, CommandError> {
        let title = title.trim();
        if title.chars().count() > TITLE_CHARS {
            return Err(CommandError::Refused(format!("a title has at most {TITLE_CHARS} characters")));
        }
        if people.len() < 2 || people.len() > MAX_PEOPLE {
            return Err(CommandError::Refused(format!("a group begins with 2 to {MAX_PEOPLE} other people")));
        }
        let mut members = Vec::with_capacity(people.len());
        for person in people {
            members.push(self.known(person.as_str(), "one of the people").await?);
        }
        let room = self.create(&CreateChatroom { members: &members, topic: title }).await?;
        let known = self.settler.directory.people(&self.network, people).await.map_err(failed)?;
        let own_name = |key: &PersonKey| known.iter().find(|known| known.person == *key);
        let mut keys = Keys::default();
        for (name, person) in members.into_iter().zip(people) {
            keys.own_names.extend(own_name(person).map(|known| (name.clone(), known.nickname.clone())));
            keys.contacts.insert(name, person.as_str().to_owned());
        }
        self.write_down(&room, title, &keys).await.map(|key| Answer::Chat(ChatKey::from(key))).map_err(failed)
    }

    /// Asks once: nobody can tell whether a call that got no answer made a group.
    async fn create(&self, create: &CreateChatroom<'_>) -> Result<UserName, CommandError> {
        match self.transport.ask(&self.live, create).await {
            Ok(created) => match (created.room(), CreateChatroom::verdict(&created)) {
                (Some(room), _) => Ok(room.clone()),
                (None, RetCode::TooFrequent) => {
                    Err(refused("WeChat allows no more new groups for some hours"))
                }
                (None, RetCode::Ok) => {
                    Err(CommandError::Failed("WeChat did not say which group it made".to_owned()))
                }
                (None, ret) => Err(CommandError::Refused(format!("WeChat refused it: {ret}"))),
            },
            Err(error @ CallError::Proto(_)) => Err(failed(error)),
            Err(error) => {
                Err(CommandError::Failed(format!("WeChat did not say whether the group was made: {error}")))
            }
        }
    }

    /// Writes down what is known of a new group, unless a sync has done so; gives its lasting key.
    async fn write_down(&self, room: &UserName, title: &str, keys: &Keys) -> Result<String, FarError> {
        let told = load::fetch(&self.transport, &self.live, std::slice::from_ref(room)).await;
        let told = told.unwrap_or_default().remove(room);
        let mut record = told.unwrap_or_else(|| Contact { user_name: room.clone(), ..Contact::default() });
        if record.nick_name.is_empty() {
            record.nick_name = title.into();
        }
        let login = Login::of(&self.network, &self.live);
        // No batch of the sync is under way meanwhile.
        let _alone = self.live.settling().lock().await;
        let known = self.far.note(&self.network, &name_note(login.generation, room)).await?;
        if let Some(known) = known.and_then(|note| serde_json::from_slice::<Named>(&note).ok()) {
            return Ok(known.key);
        }
        let key = login.key_for(room);
        let mut draft = Draft::default();
        put_group(&mut draft, &login, (&key, Mark::Sure), &record, Some(&login.own.user_name), keys);
        let (batch, _) = draft.split();
        self.far.commit(&self.network, batch).await?;
        Ok(key)
    }
}
