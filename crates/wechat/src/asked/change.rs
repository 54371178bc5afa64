//! Changes that people ask for: members and title of a group, answers to friend requests.

use serde::{Deserialize, Serialize};
use wechat_proto::endpoint::revoke_msg::Done;
use wechat_proto::endpoint::update_chatroom::{INVITE_START_COUNT, RoomChange, UpdateChatroom};
use wechat_proto::endpoint::verify_user::{Verify, VerifyUser};
use wechat_proto::message::FriendRequest;
use wechat_proto::{Endpoint, RetCode, UserName};
use wxgate_contract::{
    Answer, Batch, ChatKey, CommandError, FarEnd, FarError, NetworkId, Note, PersonKey, RemoteId, Request,
    Timestamp, Verdict,
};

use super::Asked;
use crate::roster::{Named, lasting, member_note};
use crate::transport::CallError;

/// Notes of members or requests read at once.
const PAGE: usize = 500;
/// Longest title that is sent. Chosen: far above what a phone shows; WeChat itself says no earlier.
pub(super) const TITLE_CHARS: usize = 100;

/// What answering a friend request needs. Secret: who has the ticket can answer.
#[derive(Serialize, Deserialize)]
struct Kept {
    user_name: UserName,
    ticket: String,
    generation: u32,
    // Requests from before these were kept are listed without them.
    #[serde(default)]
    name: String,
    #[serde(default)]
    greeting: String,
    #[serde(default)]
    at: Timestamp,
}

/// Requests that are kept, the newest, and so the most that are told at once. Chosen: more than anybody reads.
const KEPT: usize = 100;
const REQUESTS: &str = "f/";

fn request_note(remote_id: &RemoteId) -> String {
    format!("{REQUESTS}{remote_id}")
}

/// Forgets a request.
fn gone(key: String) -> Note {
    Note { key, value: None, is_secret: true }
}

/// The requests that are kept, by the keys of their notes; `None` for what cannot be read.
async fn requests(far: &dyn FarEnd, network: &NetworkId) -> Result<Vec<(String, Option<Kept>)>, FarError> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = far.notes(network, REQUESTS, after.as_deref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|(key, _)| key.clone());
        found.extend(page.into_iter().map(|(key, value)| (key, serde_json::from_slice(&value).ok())));
        if is_last {
            return Ok(found);
        }
    }
}

/// The note that keeps a friend request answerable, and the end of those that there is no room for any more.
/// `drafted` are notes that will be committed with it.
pub(crate) async fn keep_request(
    (far, network, generation): (&dyn FarEnd, &NetworkId, u32),
    remote_id: &RemoteId,
    (request, at): (&FriendRequest, Timestamp),
    drafted: &[Note],
) -> Result<Vec<Note>, FarError> {
    let kept = Kept {
        user_name: request.card.user_name.clone(),
        ticket: request.ticket.clone(),
        generation,
        name: request.card.nick_name.clone(),
        greeting: request.greeting.clone(),
        at,
    };
    let key = request_note(remote_id);
    let mut known = requests(far, network).await?;
    known.retain(|(other, _)| *other != key);
    known.sort_by_key(|(_, kept)| kept.as_ref().map(|kept| kept.at));
    let is_request = |note: &&Note| note.value.is_some() && note.key.starts_with(REQUESTS);
    let new = drafted.iter().filter(is_request).count() + 1;
    known.truncate((known.len() + new).saturating_sub(KEPT));
    let mut notes: Vec<Note> = known.into_iter().map(|(key, _)| gone(key)).collect();
    // Plain data: writing it as JSON cannot fail.
    let value = serde_json::to_vec(&kept).unwrap_or_default();
    notes.push(Note { key, value: Some(value.into()), is_secret: true });
    Ok(notes)
}

/// Forgets the requests of earlier logins: nobody can answer them here any more.
pub(crate) async fn sweep_requests(
    far: &dyn FarEnd,
    network: &NetworkId,
    present: u32,
) -> Result<(), FarError> {
    let known = loop {
        match requests(far, network).await {
            // Nobody can answer it here either. Each turn forgets one of those that are kept.
            Err(FarError::Sealed { key }) => {
                far.commit(network, Batch { notes: vec![gone(key)], ..Batch::default() }).await?;
            }
            other => break other?,
        }
    };
    let is_old = |kept: &Option<Kept>| kept.as_ref().is_none_or(|kept| kept.generation != present);
    let old: Vec<Note> =
        known.into_iter().filter(|(_, kept)| is_old(kept)).map(|(key, _)| gone(key)).collect();
    for notes in old.chunks(PAGE) {
        far.commit(network, Batch { notes: notes.to_vec(), ..Batch::default() }).await?;
    }
    Ok(())
}

pub(crate) fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError::Failed(error.to_string())
}

pub(crate) fn refused(why: &str) -> CommandError {
    CommandError::Refused(why.to_owned())
}

impl Asked {
    /// Makes a change.
    pub(super) async fn make(&self, request: &Request) -> Result<Answer, CommandError> {
        match request {
            Request::Bring { group, people, present } => self.bring(group, people, *present).await,
            Request::Remove { group, people } => self.remove(group, people).await,
            Request::Retitle { group, title } => self.retitle(group, title).await,
            Request::Leave { group } => self.leave(group).await,
            Request::Befriend { request, verdict } => self.befriend(request, *verdict).await,
            Request::Gather { people, title } => self.gather(people, title).await,
            _ => Err(refused("this is no change")),
        }
    }

    async fn bring(
        &self,
        group: &ChatKey,
        people: &[PersonKey],
        present: usize,
    ) -> Result<Answer, CommandError> {
        let room = self.known(group.as_str(), "the group").await?;
        let mut names = Vec::with_capacity(people.len());
        for person in people {
            names.push(self.known(person.as_str(), "the person").await?);
        }
        let told = usize::try_from(self.live.rest().invite_start).unwrap_or(INVITE_START_COUNT);
        let threshold = if told == 0 { INVITE_START_COUNT } else { told };
        let change = RoomChange::bring_in(&names, present, threshold);
        self.change(&UpdateChatroom { room: &room, change }).await?;
        // Source: the protocol sheet, section 2.24: a large group invites, and people have to agree.
        Ok(if matches!(change, RoomChange::Invite(_)) { Answer::Invited } else { Answer::Done })
    }

    async fn remove(&self, group: &ChatKey, people: &[PersonKey]) -> Result<Answer, CommandError> {
        let room = self.known(group.as_str(), "the group").await?;
        let names = self.members(group, people).await?;
        if names.len() < people.len() {
            return Err(refused("the person is not known as a member of the group"));
        }
        self.change(&UpdateChatroom { room: &room, change: RoomChange::Remove(&names) }).await?;
        Ok(Answer::Done)
    }

    async fn retitle(&self, group: &ChatKey, title: &str) -> Result<Answer, CommandError> {
        let title = title.trim();
        if title.is_empty() || title.chars().count() > TITLE_CHARS {
            return Err(CommandError::Refused(format!("a title has 1 to {TITLE_CHARS} characters")));
        }
        let room = self.known(group.as_str(), "the group").await?;
        self.change(&UpdateChatroom { room: &room, change: RoomChange::Topic(title) }).await?;
        Ok(Answer::Done)
    }

    /// That it is gone comes with the next sync. Source: the protocol sheet, section 2.24, `quitchatroom`: in the page,
    /// which has no button for it.
    async fn leave(&self, group: &ChatKey) -> Result<Answer, CommandError> {
        let room = self.known(group.as_str(), "the group").await?;
        self.change(&UpdateChatroom { room: &room, change: RoomChange::Quit }).await?;
        Ok(Answer::Done)
    }

    async fn befriend(&self, request: &RemoteId, verdict: Verdict) -> Result<Answer, CommandError> {
        let note = self.far.note(&self.network, &request_note(request)).await.map_err(failed)?;
        let kept = note.and_then(|note| serde_json::from_slice::<Kept>(&note).ok());
        let kept =
            kept.ok_or_else(|| refused("nobody knows this request any more; answer it on the phone"))?;
        if kept.generation != self.live.generation() {
            return Err(refused("the account signed in anew since; answer the request on the phone"));
        }
        let ticket = kept.ticket.as_str();
        let verify = match verdict {
            Verdict::Accept => Verify::Accept { ticket },
            Verdict::Decline => Verify::Reject { ticket },
        };
        self.change(&VerifyUser { user_name: &kept.user_name, verify }).await?;
        let batch = Batch { notes: vec![gone(request_note(request))], ..Batch::default() };
        if let Err(error) = self.far.commit(&self.network, batch).await {
            // It would be offered once more, and refused by the service.
            tracing::warn!(network = %self.network, %error, "an answered friend request cannot be forgotten");
        }
        Ok(Answer::Done)
    }

    /// Requests of this login that nobody answered here.
    pub(super) async fn friend_requests(&self) -> Result<Vec<wxgate_contract::FriendRequest>, CommandError> {
        let known = requests(&*self.far, &self.network).await.map_err(failed)?;
        let mut found = Vec::with_capacity(known.len());
        for (key, kept) in known {
            let kept = kept.filter(|kept| kept.generation == self.live.generation());
            if let (Some(kept), Some(id)) = (kept, key.strip_prefix(REQUESTS)) {
                let Kept { name, greeting, at, .. } = kept;
                found.push(wxgate_contract::FriendRequest { request: id.into(), name, greeting, at });
            }
        }
        found.sort_by_key(|request| std::cmp::Reverse(request.at));
        found.truncate(KEPT);
        Ok(found)
    }

    /// Who a lasting key is in this login.
    pub(super) async fn known(&self, key: &str, what: &str) -> Result<UserName, CommandError> {
        let found = lasting(&*self.far, &self.network, key, self.live.generation()).await.map_err(failed)?;
        found.ok_or_else(|| CommandError::Refused(format!("{what} is not known in this login")))
    }

    /// These members of a group, as this login names them; most are no contacts.
    async fn members(&self, group: &ChatKey, people: &[PersonKey]) -> Result<Vec<UserName>, CommandError> {
        let prefix = member_note(self.live.generation(), group.as_str(), &UserName::default());
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page =
                self.far.notes(&self.network, &prefix, after.as_deref(), PAGE).await.map_err(failed)?;
            let is_last = page.len() < PAGE;
            for (key, value) in page {
                let named = serde_json::from_slice::<Named>(&value).ok();
                if named.is_some_and(|named| people.iter().any(|person| person.as_str() == named.key)) {
                    found.extend(key.strip_prefix(&prefix).map(UserName::from));
                }
                after = Some(key);
            }
            if is_last {
                return Ok(found);
            }
        }
    }

    /// Sends a change once: nobody can tell whether one that got no answer was made.
    async fn change<E: Endpoint<Reply = Done>>(&self, endpoint: &E) -> Result<(), CommandError> {
        match self.transport.ask(&self.live, endpoint).await {
            Ok(done) if done.base.ret.is_ok() => Ok(()),
            Ok(done) if !done.base.err_msg.is_empty() => {
                Err(CommandError::Refused(done.base.err_msg.chars().take(200).collect()))
            }
            Ok(done) if done.base.ret == RetCode::NoAccess => Err(refused("WeChat does not allow it")),
            Ok(done) => Err(CommandError::Refused(format!("WeChat refused it: {}", done.base.ret))),
            Err(error @ CallError::Proto(_)) => Err(failed(error)),
            Err(error) => {
                Err(CommandError::Failed(format!("WeChat did not say whether it was done: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wxgate_contract::conformance::Double;

    use super::*;

    #[tokio::test]
    async fn requests_that_nobody_answers_are_kept_up_to_a_bound_and_the_oldest_go() {
        let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
        let request = FriendRequest::default();
        // Two at a time, as one answer of the service brings them.
        for n in 0..KEPT as i64 {
            let mut batch = Batch::default();
            for n in [2 * n, 2 * n + 1] {
                let (id, at) = (RemoteId::from(n.to_string()), Timestamp(n));
                let notes = keep_request((&double, &network, 1), &id, (&request, at), &batch.notes).await;
                batch.notes.extend(notes.unwrap());
            }
            double.commit(&network, batch).await.unwrap();
        }
        let mut kept: Vec<i64> = requests(&double, &network)
            .await
            .unwrap()
            .into_iter()
            .filter_map(|(_, kept)| Some(kept?.at.0))
            .collect();
        kept.sort_unstable();
        assert_eq!(kept, (KEPT as i64..2 * KEPT as i64).collect::<Vec<_>>());
        sweep_requests(&double, &network, 1).await.unwrap();
        assert_eq!(requests(&double, &network).await.unwrap().len(), KEPT, "those of this login stay");
        double.state().sealed = Some(request_note(&RemoteId::from("150")));
        sweep_requests(&double, &network, 2).await.unwrap();
        assert!(requests(&double, &network).await.unwrap().is_empty());
    }
}
