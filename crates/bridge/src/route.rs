//! Who must hear of a post, and in which form: a post and its targets in, jobs out.
//!
//! What routing notes on the way (what was heard, what will be said) is seen by the next post of the same transaction,
//! and taken back where nothing came of it: see [`Routing`].

use std::sync::{Arc, Mutex, PoisonError};

use dashmap::{DashMap, DashSet};
use wxgate_contract::{
    Attachment, Author, Body, Capabilities, ChatRef, Delivery, DeliveryId, Job, MediaVault, Mention,
    NetworkId, POSTER_NAME, Post, RemoteId, Say, Timestamp,
};
use wxgate_store::{End, FailedDelivery, KnownPost, Route, RouteInput};

use crate::echoes::Echoes;
use crate::notice;
use crate::twins::Twins;

/// The routing table: what each network can carry, and how a file is turned into a link.
pub(crate) struct Routes {
    capabilities: DashMap<NetworkId, Capabilities>,
    /// Which networks show an account; also those that do not run now.
    mirrors: DashMap<NetworkId, Vec<NetworkId>>,
    /// Networks that are somebody's account: others there hear what it says.
    accounts: DashSet<NetworkId>,
    echoes: Echoes,
    pub(crate) twins: Twins,
    vault: Arc<dyn MediaVault>,
}

impl Routes {
    pub(crate) fn new(vault: Arc<dyn MediaVault>) -> Self {
        Self {
            capabilities: DashMap::new(),
            mirrors: DashMap::new(),
            accounts: DashSet::new(),
            echoes: Echoes::default(),
            twins: Twins::default(),
            vault,
        }
    }

    pub(crate) fn mirror(&self, account: &NetworkId, face: &NetworkId) {
        let mut faces = self.mirrors.entry(account.clone()).or_default();
        if !faces.contains(face) {
            faces.push(face.clone());
        }
    }

    /// False when it was not mirrored there.
    pub(crate) fn unmirror(&self, account: &NetworkId, face: &NetworkId) -> bool {
        let Some(mut faces) = self.mirrors.get_mut(account) else { return false };
        let before = faces.len();
        faces.retain(|known| known != face);
        faces.len() < before
    }

    /// The account is gone.
    pub(crate) fn unmirror_all(&self, account: &NetworkId) {
        self.mirrors.remove(account);
    }

    fn does_mirror(&self, network: &NetworkId) -> bool {
        self.capabilities.get(network).is_some_and(|can| can.mirrors)
    }

    /// Networks that read what was said by themselves.
    pub(crate) fn browsing(&self) -> Vec<NetworkId> {
        self.capabilities.iter().filter(|known| known.browses).map(|known| known.key().clone()).collect()
    }

    pub(crate) fn learn(&self, network: &NetworkId, capabilities: Capabilities) {
        self.capabilities.insert(network.clone(), capabilities);
    }

    /// A network is somebody's account.
    pub(crate) fn learn_account(&self, network: &NetworkId) {
        self.accounts.insert(network.clone());
    }

    pub(crate) fn forget(&self, network: &NetworkId) {
        self.capabilities.remove(network);
        self.accounts.remove(network);
    }

    /// A delivery goes to its network now.
    pub(crate) fn goes(&self, network: &NetworkId, delivery: &Delivery) {
        if let Job::Say(say) = &delivery.job {
            let chat = ChatRef { network: network.clone(), chat: delivery.chat.clone() };
            self.echoes.goes(&chat, say);
        }
    }

    fn link(&self, file: &Attachment) -> String {
        self.vault.link(file.media, &file.name).unwrap_or_else(|| "(not available here)".to_owned())
    }

    fn job(&self, input: &RouteInput<'_>, target: &ChatRef) -> Option<Job> {
        // A target that is not running now keeps its place in the lane; what it can carry is not
        // known then, so it gets the least that every network can.
        let can = self.capabilities.get(&target.network).map_or(LEAST, |known| *known);
        if let Body::Recall { .. } = &input.post.body {
            let known = input.target?;
            let remote_ids = ids_at(known, target);
            // It may be on its way there; which ids it got is looked up when its turn has come.
            return can.can_recall.then_some(Job::Recall { post: known.post_id, remote_ids });
        }
        let is_home = input.post.chat == *target;
        let shows_home = is_home || ChatRef::mirrored_by(&target.chat).as_ref() == Some(&input.post.chat);
        let body = self.degrade(&input.post.body, can)?;
        let speaks_for_itself = is_home && input.post.author == Author::Owner;
        let author_prefix =
            if speaks_for_itself || can.shows_authors { String::new() } else { input.author_name.to_owned() };
        let quoted_remote_id = input.target.and_then(|known| ids_at(known, target).into_iter().next());
        let named = |m: &Mention| {
            let person = m.person.as_ref()?;
            let known = if shows_home { person.clone() } else { person.on(&target.network)? };
            Some((known, m.range))
        };
        let mentions = input.post.mentions.iter().filter_map(named).collect();
        let post = Post { body, ..input.post.clone() };
        Some(Job::Say(Box::new(Say {
            post_id: input.post_id,
            post,
            author_prefix,
            quoted: input.target.map(|known| known.post_id),
            quoted_remote_id,
            mentions,
            native_ids: input.native_ids.to_vec(),
        })))
    }

    /// The form in which a network can show a body; `None` when it is no news to it.
    fn degrade(&self, body: &Body, can: Capabilities) -> Option<Body> {
        Some(match body {
            Body::Attachment(file) if !can.carries_files => {
                let poster = file.poster.and_then(|poster| self.vault.link(poster, POSTER_NAME));
                Body::text(file.summary(&self.link(file), poster.as_deref()))
            }
            Body::Card(card) if !can.shows_authors => Body::text(card.summary()),
            Body::Unsupported { summary } if !can.shows_authors => Body::text(format!("[{summary}]")),
            // What happens inside one network's chat is that network's own affair, unless the
            // other can show it as such.
            Body::Event { .. } | Body::FriendRequest { .. } if !can.shows_authors => return None,
            other => other.clone(),
        })
    }
}

const LEAST: Capabilities = Capabilities {
    browses: false,
    mirrors: false,
    max_text_chars: 2000,
    carries_files: true,
    can_recall: true,
    shows_authors: false,
};

fn ids_at(known: &KnownPost, target: &ChatRef) -> Vec<RemoteId> {
    known.ids.iter().filter(|(chat, _)| chat == target).map(|(_, id)| id.clone()).collect()
}

/// Which post it was that left something behind: the same when it is handed over again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct By {
    pub(crate) origin: NetworkId,
    pub(crate) id: RemoteId,
}

/// What a post leaves behind while it is routed, and where.
pub(crate) struct Noted {
    by: By,
    chats: Vec<ChatRef>,
}

impl Noted {
    /// The post, for something that it leaves at a chat.
    pub(crate) fn by(&mut self, chat: &ChatRef) -> By {
        if !self.chats.contains(chat) {
            self.chats.push(chat.clone());
        }
        self.by.clone()
    }
}

impl Routes {
    /// The orders that follow from a post. Asked again about the same post it says the same.
    fn decide(&self, input: &RouteInput<'_>, noted: &mut Noted) -> Vec<(ChatRef, Job)> {
        // What the gateway or a network says about itself stays in the timeline it was said in.
        if matches!(input.post.author, Author::Gateway) {
            return Vec::new();
        }
        // The chat itself and what mirrors it are not told of by a link.
        let is_linked = |target: &&ChatRef| {
            **target != input.post.chat
                && ChatRef::mirrored_by(&target.chat).as_ref() != Some(&input.post.chat)
        };
        let home = &input.post.chat;
        let is_known = self.echoes.knows(input, input.targets.iter().filter(is_linked), noted)
            || self.twins.knows(input, input.targets.iter().filter(is_linked), noted);
        let mut jobs: Vec<(ChatRef, Job)> = Vec::with_capacity(input.targets.len());
        for target in input.targets.iter().filter(|target| !(is_known && is_linked(target))) {
            let is_twin = |other: &ChatRef| self.twins.are(other, target);
            if is_linked(&target) && (is_twin(home) || jobs.iter().any(|(other, _)| is_twin(other))) {
                continue;
            }
            let Some(job) = self.job(input, target) else { continue };
            if let Job::Say(say) = &job
                && is_linked(&target)
                && self.accounts.contains(&target.network)
            {
                self.echoes.said(target, say, noted.by(target));
            }
            jobs.push((target.clone(), job));
        }
        jobs
    }

    fn mirrors(&self, network: &NetworkId) -> Vec<NetworkId> {
        // What is not running here any more is not ordered anything: nobody would ever take it.
        let Some(faces) = self.mirrors.get(network) else { return Vec::new() };
        faces.iter().filter(|face| self.does_mirror(face)).cloned().collect()
    }

    fn wants_reports(&self, network: &NetworkId) -> bool {
        self.does_mirror(network)
    }

    /// A post that did not reach a *further* member of its link: a line of the gateway in the chat it was said in.
    /// (What did not reach its own chat shows its fate itself.)
    fn notice(&self, delivery: DeliveryId, failed: &FailedDelivery, at: Timestamp) -> Option<Post> {
        if failed.target == failed.post.chat {
            return None;
        }
        let text = notice::sentence(&failed.post, failed.target.network.as_str(), &failed.outcome)?;
        Some(notice::post(&failed.post.chat, delivery, text, at))
    }
}

/// Routing for one request to the store.
pub(crate) struct Routing {
    routes: Arc<Routes>,
    /// Since the last end. A lock and not a message: the store asks by a shared handle, one question after the other.
    noted: Mutex<Vec<Noted>>,
}

impl Routing {
    pub(crate) fn new(routes: Arc<Routes>) -> Self {
        Self { routes, noted: Mutex::default() }
    }
}

impl Route for Routing {
    fn route(&self, input: &RouteInput<'_>) -> Vec<(ChatRef, Job)> {
        let by = By { origin: input.origin.clone(), id: input.post.remote_id.clone() };
        let mut noted = Noted { by, chats: Vec::new() };
        let jobs = self.routes.decide(input, &mut noted);
        if !noted.chats.is_empty() {
            self.noted.lock().unwrap_or_else(PoisonError::into_inner).push(noted);
        }
        jobs
    }

    fn over(&self, end: End) {
        let noted = std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
        if end == End::Undone {
            for Noted { by, chats } in &noted {
                for chat in chats {
                    self.routes.echoes.forget(chat, by);
                    self.routes.twins.forget(chat, by);
                }
            }
        }
    }

    fn mirrors(&self, network: &NetworkId) -> Vec<NetworkId> {
        self.routes.mirrors(network)
    }

    fn notice(&self, delivery: DeliveryId, failed: &FailedDelivery, at: Timestamp) -> Option<Post> {
        self.routes.notice(delivery, failed, at)
    }

    fn wants_reports(&self, network: &NetworkId) -> bool {
        self.routes.wants_reports(network)
    }
}

#[cfg(test)]
mod tests;
