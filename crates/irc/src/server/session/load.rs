//! Reading an account when its first client comes.

use wxgate_contract::{ChatKey, ChatKind, ChatProfile, ChatRef, FarError, Health, PersonKey};

use super::Session;
use crate::server::roster::{Changed, Channel, ChannelIx, Rank, Renamed};

/// Rows read at once.
const PAGE: usize = 500;
/// People asked for at once.
const PEOPLE_AT_ONCE: usize = 500;

impl Session {
    /// Names as they were given, then contacts and groups as they are.
    pub(super) async fn load(&mut self) -> Result<(), FarError> {
        let Some(account) = self.key.account.clone() else {
            self.health = Health::Up;
            if self.key.guest.is_none() {
                let accounts = self.shared.directory.accounts(&self.key.user).await?;
                self.accounts_are(&accounts);
                self.load_notes("meta").await?;
                self.load_notes("read").await?;
                self.load_local_channels().await?;
            }
            self.look_elsewhere().await;
            return Ok(());
        };
        self.load_style().await?;
        self.load_choices().await?;
        self.load_notes("nick").await?;
        self.load_notes("chan").await?;
        let owner = self.key.user.clone();
        let accounts = self.shared.directory.accounts(&owner).await?;
        self.accounts_are(&accounts);
        self.look_elsewhere().await;
        if let Some(view) = accounts.into_iter().find(|view| view.network == account) {
            self.health = view.health;
        }
        self.load_profiles().await?;
        // Nobody has seen them yet.
        self.roster.moved.clear();
        self.load_notes("topic").await?;
        self.load_notes("part").await?;
        self.load_notes("in").await?;
        self.load_notes("meta").await?;
        self.load_notes("read").await?;
        self.load_local_channels().await
    }

    async fn load_notes(&mut self, kind: &str) -> Result<(), FarError> {
        let prefix = self.roster.note_key(kind, "");
        let mut after: Option<String> = None;
        loop {
            let far = &self.shared.far;
            let page = far.notes(&self.shared.network, &prefix, after.as_deref(), PAGE).await?;
            let count = page.len();
            for (key, value) in page {
                let id = key.strip_prefix(&prefix).unwrap_or("");
                match kind {
                    "nick" => self.roster.load_nick(id, &value),
                    "chan" => self.roster.load_channel(id, &value),
                    "meta" => self.load_value(id, &value),
                    "read" => self.load_mark(&ChatKey::new(id), &value),
                    "topic" => self.roster.load_titled(&ChatKey::new(id), &value),
                    "in" => self.with_channel(&ChatKey::new(id), |channel| channel.is_wanted = true),
                    _ => self.with_channel(&ChatKey::new(id), |channel| channel.is_hidden = true),
                }
                after = Some(key);
            }
            if count < PAGE {
                return Ok(());
            }
        }
    }

    fn with_channel(&mut self, chat: &ChatKey, change: impl FnOnce(&mut Channel)) {
        if let Some(channel) = self.roster.by_chat(chat).and_then(|ix| self.roster.channel_mut(ix)) {
            change(channel);
        }
    }

    /// Contacts and chats; renames are what changed since the last look.
    async fn load_profiles(&mut self) -> Result<(Vec<Renamed>, Vec<(ChannelIx, Renamed)>), FarError> {
        let Some(account) = self.key.account.clone() else { return Ok(Default::default()) };
        let (mut people, mut channels) = (Vec::new(), Vec::new());
        let now = self.shared.clock.now();
        let mut after = None;
        loop {
            let page = self.shared.directory.contacts(&account, after.as_ref(), PAGE).await?;
            for profile in &page {
                people.extend(self.roster.update_person(profile, now).1);
            }
            after = page.last().map(|profile| profile.person.clone());
            if page.len() < PAGE {
                break;
            }
        }
        let mut after = None;
        loop {
            let page = self.shared.directory.chats(&account, after.as_ref(), PAGE).await?;
            after = page.last().map(|profile| profile.chat.clone());
            let count = page.len();
            for profile in page {
                if let Some((ix, renamed)) = self.take_chat(profile).await? {
                    channels.extend(renamed.map(|renamed| (ix, renamed)));
                }
            }
            if count < PAGE {
                break;
            }
        }
        Ok((people, channels))
    }

    /// Takes a chat without its members.
    pub(in crate::server) async fn take_chat(
        &mut self,
        mut profile: ChatProfile,
    ) -> Result<Option<(ChannelIx, Option<Renamed>)>, FarError> {
        if profile.kind != ChatKind::Group {
            if let Some(ix) = self.roster.by_key(&PersonKey::new(profile.chat.as_str())) {
                self.roster.set_private_chat(ix, &profile.chat);
            }
            return Ok(None);
        }
        // An unnamed group is named after its members, once.
        let is_new = self.roster.by_chat(&profile.chat).is_none();
        if is_new
            && profile.title.is_empty()
            && let Some(chat) = self.chat_ref(&profile.chat)
            && let Some(whole) = self.shared.directory.chat(&chat).await?
        {
            profile = whole;
        }
        Ok(Some(self.roster.update_channel(&profile, self.shared.clock.now())))
    }

    /// The members of a group, read when somebody needs them.
    pub(in crate::server) async fn load_members(&mut self, ix: ChannelIx) -> Result<(), FarError> {
        let Some(channel) = self.roster.channel(ix) else { return Ok(()) };
        if channel.members.is_some() {
            return Ok(());
        }
        let Some(chat) = self.chat_ref(&channel.chat) else { return Ok(()) };
        let Some(profile) = self.shared.directory.chat(&chat).await? else { return Ok(()) };
        self.take_members(ix, &chat, &profile).await?;
        Ok(())
    }

    /// What changed since the last list of members.
    pub(super) async fn take_members(
        &mut self,
        ix: ChannelIx,
        chat: &ChatRef,
        profile: &ChatProfile,
    ) -> Result<Changed, FarError> {
        let now = self.shared.clock.now();
        let members = profile.members.as_deref().unwrap_or_default();
        // A member's own name, not how this one group calls them, makes the nick.
        let unknown: Vec<PersonKey> = members
            .iter()
            .filter(|member| !member.is_self && self.roster.by_key(&member.person).is_none())
            .map(|member| member.person.clone())
            .collect();
        for keys in unknown.chunks(PEOPLE_AT_ONCE) {
            for person in self.shared.directory.people(&chat.network, keys).await? {
                if !person.display_name().is_empty() {
                    self.roster.update_person(&person, now);
                }
            }
        }
        Ok(self.roster.set_members(ix, profile.owner.as_ref(), members, now))
    }

    /// Reads everything again after events were lost.
    pub(in crate::server) async fn refresh(&mut self) {
        let joined = self.roster.joined().into_iter();
        let ranks: Vec<(ChannelIx, Rank)> =
            joined.filter_map(|ix| Some((ix, self.roster.channel(ix)?.own_rank()))).collect();
        match self.load_profiles().await {
            Ok((people, channels)) => {
                for renamed in people {
                    self.nick_changed(&renamed);
                }
                for (ix, renamed) in channels {
                    self.channel_renamed(ix, &renamed);
                }
            }
            Err(error) => tracing::warn!(%error, "contacts and groups could not be read again"),
        }
        self.tell_moved();
        ranks.into_iter().for_each(|(ix, before)| self.own_rank_changed(ix, before));
        for ix in self.roster.joined() {
            self.members_changed(ix).await;
        }
    }
}
