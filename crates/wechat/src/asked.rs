//! What people ask of the account and want an answer to. Nothing here is durable.

use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use wechat_proto::Endpoint;
use wechat_proto::endpoint::{GetHeadImg, GetIcon, MEDIA_TIMEOUT, Notify, StatusNotify};
use wxgate_contract::{
    Answer, Ask, ChatKey, CommandError, FarEnd, MediaId, MediaOwner, MediaState, MediaVault, NetworkId,
    Request, Subject,
};

mod change;
mod gather;
mod pictures;

pub(crate) use change::{failed, keep_request, refused, sweep_requests};

use crate::identity::marks::Marks;
use crate::identity::settle::Settler;
use crate::inbound::fetch::{Trouble, Way};
use crate::roster::{self, Lasting};
use crate::session::live::Live;
use crate::session::machine::Standing;
use crate::transport::Transport;

/// Larger pictures are not of people. Chosen: some fifty times what the service gives.
const AVATAR_BYTES: u64 = 4 << 20;

/// Answers questions, one at a time per question.
pub(crate) struct Asked {
    pub(crate) transport: Arc<Transport>,
    pub(crate) live: Arc<Live>,
    pub(crate) far: Arc<dyn FarEnd>,
    pub(crate) vault: Arc<dyn MediaVault>,
    pub(crate) network: NetworkId,
    pub(crate) settler: Arc<Settler>,
    pub(crate) marks: Marks,
    /// How long the pictures of chats are not looked after, or half of it.
    pub(crate) look_for_pictures: Duration,
}

impl Asked {
    /// Answers one question. Whoever asked may be gone; then the answer is too.
    pub(crate) async fn answer(&self, ask: Ask) {
        let answer = match &ask.request {
            Request::Avatar(subject) => self.avatar(subject).await.map(Answer::Media),
            Request::Read { chat, .. } => match self.away() {
                Some(why) => Err(CommandError::Failed(why)),
                None => self.read(chat).await.map(|()| Answer::Done),
            },
            Request::Bring { .. }
            | Request::Remove { .. }
            | Request::Retitle { .. }
            | Request::Leave { .. }
            | Request::Gather { .. }
            | Request::Befriend { .. } => match self.away() {
                Some(why) => Err(CommandError::Failed(why)),
                None => self.make(&ask.request).await,
            },
            Request::FriendRequests => self.friend_requests().await.map(Answer::FriendRequests),
            Request::Questions => self.settler.questions().await.map(Answer::Questions),
            Request::Resolve { chat, same_as } => {
                let same_as = same_as.as_ref().map(ChatKey::as_str);
                self.settler.resolve(chat.as_str(), same_as).await.map(|()| Answer::Done)
            }
            Request::Why(chat) => self.settler.why(chat.as_str()).await.map(Answer::Text),
            Request::Undo(chat) => self.settler.undo(chat.as_str()).await.map(|()| Answer::Done),
            Request::Mark { chats, marking } => match self.away() {
                Some(why) => Err(CommandError::Failed(why)),
                None => self.marks.want(chats, *marking).await.map(Answer::Text),
            },
            Request::Markers => self.marks.list().await.map(Answer::Markers),
            Request::Choices(_) | Request::Choose { .. } => {
                Err(refused("what is chosen about a face is asked of that face"))
            }
            Request::Retry => Err(refused("an account gives nothing up while it is signed in")),
        };
        let has_work = matches!(ask.request, Request::Mark { .. }) && answer.is_ok();
        let _ = ask.answer.try_send(answer);
        if has_work {
            // Slowly, while whoever asked does something else.
            self.marks.write().await;
        }
    }

    fn away(&self) -> Option<String> {
        match &*self.live.standing().borrow() {
            Standing::Online => None,
            Standing::Out { why } | Standing::Away { why } => Some(why.clone()),
        }
    }

    /// Tells the phone that a chat was read here. Of a chat that this login has not seen nothing can
    /// be told, and nothing was read.
    async fn read(&self, chat: &ChatKey) -> Result<(), CommandError> {
        let known = self.seen_as(chat.as_str()).await?;
        let Some(known) = known.filter(|known| known.generation == self.live.generation()) else {
            return Ok(());
        };
        let own = self.live.own().user_name;
        let notify = StatusNotify { own: &own, notify: Notify::Read(&known.user_name) };
        let told = self.transport.call(&self.live, &notify).await;
        told.map(drop).map_err(failed)
    }

    /// As whom a chat or person was seen last, and with which picture.
    async fn seen_as(&self, key: &str) -> Result<Option<Lasting>, CommandError> {
        let note = self.far.note(&self.network, &roster::lasting_note(key)).await.map_err(failed)?;
        Ok(note.and_then(|note| serde_json::from_slice(&note).ok()))
    }

    async fn avatar(&self, subject: &Subject) -> Result<Option<MediaId>, CommandError> {
        let key = match subject {
            Subject::Person(person) => person.as_str(),
            Subject::Chat(chat) => chat.as_str(),
        };
        let Some(known) = self.seen_as(key).await? else { return Ok(None) };
        let (user_name, seq) = (&known.user_name, known.seq);
        let media = self.media_id(key, seq);
        // Without a version nobody can tell whether it is another picture by now.
        if seq != 0 && self.is_here(media).await {
            return Ok(Some(media));
        }
        if let Some(why) = self.away() {
            return Err(failed(why));
        }
        // Only names of this login can be asked for; of whoever was seen in an earlier one there is what was kept.
        if known.generation != self.live.generation() {
            return Ok(None);
        }
        let request = self.live.with_call(|call| match user_name.is_room() {
            true => GetHeadImg { room: user_name, seq }.request(&call),
            false => GetIcon { user_name, seq, room: None, msg_id: None }.request(&call),
        });
        let request = request.map_err(failed)?;
        let way = Way {
            transport: &self.transport,
            live: &self.live,
            vault: &*self.vault,
            max_bytes: AVATAR_BYTES,
        };
        let owner = MediaOwner::Network(self.network.clone());
        let brought = way.bring(request, media, ("avatar", ""), owner);
        match tokio::time::timeout(MEDIA_TIMEOUT, brought).await {
            Ok(Ok(())) => Ok(Some(media)),
            Ok(Err(Trouble::Never(why) | Trouble::Later(why) | Trouble::Nothing(why))) => Err(failed(why)),
            Err(_) => Err(failed("the download took too long")),
        }
    }

    async fn is_here(&self, media: MediaId) -> bool {
        let info = self.vault.info(media).await.ok().flatten();
        info.is_some_and(|info| info.state == MediaState::Ready)
    }

    /// A version of a picture has an id of its own, the same in every login: an untouched record
    /// keeps its version. Source: the protocol sheet, section 4, `HeadImgUrl`; the identity sheet.
    fn media_id(&self, key: &str, seq: i64) -> MediaId {
        let text = format!("avatar\0{}\0{key}\0{seq}", self.network);
        let mut id = [0; 16];
        let hash = digest(&SHA256, text.as_bytes());
        id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        MediaId(id)
    }
}
