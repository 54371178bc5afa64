//! Rooms that several people share, each with an account of their own in the same group.

use wxgate_contract::ChatKind;

use super::answer::Answer;
use super::words::Wish;
use super::{No, Question, no};
use crate::api::membership::{Invite, JoinedMembers};
use crate::config::Level;
use crate::inbound::PREFIX;
use crate::memory::Room;
use crate::shared::Shared;

impl Shared {
    /// Lets another account of the same group into a room, or asks somebody to come with theirs.
    pub(super) async fn share(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let Some(chat) = question.chat.as_deref() else {
            return no("Say that in the room of a WeChat group.");
        };
        if !self.names.has_ghosts() {
            return no("Here one account says everybody's words, so nobody could speak through their own.");
        }
        let asked = &question.addressed;
        let Some(room) = self.memory.room_of(chat).await?.filter(|room| room.room_id == asked.room_id) else {
            return no("This is an earlier room of the group.");
        };
        let profile = self.directory.chat(chat).await?;
        if !profile.is_some_and(|profile| profile.kind == ChatKind::Group) {
            return no("Only the room of a group can be shared.");
        }
        if self.owners.owns(&asked.sender, &chat.network).await? {
            return match wish.rest.as_str() {
                "" => self.describe_sharing(&room).await,
                user_id => self.ask_to_share(&room, user_id).await,
            };
        }
        self.bring_account(question, &room).await
    }

    async fn describe_sharing(&self, room: &Room) -> Result<Answer, No> {
        let how = format!("{PREFIX} share");
        let Some(sharing) = self.sharing(room).await?.filter(|sharing| sharing.chats.len() > 1) else {
            return Ok(Answer::of(
                "Only your account is here. Whoever has an account of their own in this group says ",
            )
            .code(&how)
            .text(" here; ")
            .code(&format!("{how} @name:{}", self.names.domain()))
            .text(" asks them in."));
        };
        let mut answer = Answer::of("Here speak through accounts of their own:");
        for user_id in self.sharers_of(&sharing).await? {
            answer = answer.item().strong(&user_id);
        }
        Ok(answer)
    }

    async fn ask_to_share(&self, room: &Room, user_id: &str) -> Result<Answer, No> {
        if self.names.who(user_id) != crate::names::Who::Human
            || self.config.permissions.of(user_id) < Level::User
        {
            return no("They may not use this gateway.");
        }
        let members = self.client.call(self.bot(), &JoinedMembers { room_id: &room.room_id }).await?;
        if !members.joined.contains_key(user_id) {
            self.client.call(self.bot(), &Invite { room_id: &room.room_id, user_id }).await?;
        }
        Ok(Answer::default()
            .strong(user_id)
            .text(" is asked in; they say ")
            .code(&format!("{PREFIX} share"))
            .text(" here."))
    }

    async fn bring_account(&self, question: &Question, room: &Room) -> Result<Answer, No> {
        let (_, accounts) = self.accounts_of(&question.addressed.sender).await?;
        if accounts.is_empty() {
            return no("You have no WeChat account here yet; sign in to it in a private chat with me first.");
        }
        // The lead is the one whose number every other account's is compared with.
        let lead = match self.chat_of(&room.room_id).await? {
            Some(lead) => lead,
            None => return no("This room shows nothing any more."),
        };
        let Some(evidence) = self.same_group(&lead, &accounts).await? else {
            return no(
                "None of your accounts has heard what was said here lately, so I cannot tell that it is in this group. Say it again once somebody has spoken in the group while both accounts were online.",
            );
        };
        if let Some(before) = self.memory.room_of(&evidence.chat).await?
            && self.sharing(&before).await?.is_some_and(|sharing| sharing.chats.len() > 1)
        {
            return no("Your account shares another room of this group; leave that one first.");
        }
        let account = evidence.chat.network.clone();
        let lead = self.memory.room_of(&lead).await?;
        let done = match &lead {
            Some(lead) if lead.room_id == room.room_id => self.join_sharing(lead, evidence).await?,
            _ => false,
        };
        if !done {
            return no("The room of this group has changed just now; say it again there.");
        }
        Ok(Answer::of("From now on you speak here through your own account ")
            .strong(account.name())
            .text(", and what it hears in this group is shown here. ")
            .code(&format!("{PREFIX} unshare"))
            .text(" ends that."))
    }

    /// Takes an account out of a shared room.
    pub(super) async fn unshare(&self, question: &Question) -> Result<Answer, No> {
        let chat = self.own_chat(question).await?.clone();
        let said = Answer::of(
            "Your account leaves this room. The group gets one of its own for you when something is said in it.",
        );
        let room = self.memory.room_of(&chat).await?;
        let is_here = room.as_ref().is_some_and(|room| room.room_id == question.addressed.room_id);
        let sharing = match &room {
            Some(room) if is_here => self.sharing(room).await?,
            _ => None,
        };
        if sharing.is_none_or(|sharing| sharing.chats.len() < 2) {
            return no("Nobody shares this room with you.");
        }
        // First: whoever leaves is not in the room any more afterwards.
        self.answer(&question.addressed.room_id, &question.addressed.event_id, &said).await?;
        self.leave_sharing(&chat).await?;
        Err(No::Silent)
    }
}
