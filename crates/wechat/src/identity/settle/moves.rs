//! What was said in a chat for the time being is said again where it belongs.

use std::collections::HashMap;

use wxgate_contract::{
    Author, Batch, Body, ChatKey, ChatRef, FarError, Fate, HistoryRange, NetworkId, Post, RemoteId,
    TimelineItem,
};

use super::{Settler, Taught};
use crate::identity::shelf;
use crate::roster::note;

/// Posts moved at once. Chosen: a page of history.
pub(super) const PAGE: usize = 200;

impl Settler {
    /// Moves what was said to all who stood apart, from where it was moved to before; `moved` is the last of each, by
    /// its two chats.
    pub(super) async fn move_all(
        &self,
        taught: &Taught,
        moved: &mut HashMap<(String, String), i64>,
    ) -> Result<(), FarError> {
        for (from, to) in taught.moves() {
            let after = moved.entry((from.to_owned(), to.to_owned())).or_default();
            *after = self.move_posts((from, to), taught.taken_back(from), *after).await?;
        }
        Ok(())
    }

    /// To how many others, before this one, what was said in a chat was moved: so an answer that is given again is the
    /// one it was, and another one is another. It is written down before the first post is moved: an answer that is cut
    /// off has moved some as well.
    async fn others(&self, (from, to): (&str, &str), taken_back: &[String]) -> Result<usize, FarError> {
        let key = shelf::moved_key(from);
        let kept = self.far.note(&self.network, &key).await?;
        let kept = kept.and_then(|value| serde_json::from_slice::<Vec<String>>(&value).ok());
        let mut targets = kept.unwrap_or_default();
        for target in taken_back {
            if !targets.contains(target) {
                targets.push(target.clone());
            }
        }
        if let Some(others) = targets.iter().position(|target| target == to) {
            return Ok(others);
        }
        targets.push(to.to_owned());
        let notes = vec![note(key, &targets)];
        self.far.commit(&self.network, Batch { notes, ..Batch::default() }).await?;
        Ok(targets.len() - 1)
    }

    /// Says again in `to` what was said in `from` after this place of the timeline, in order, and says to which place.
    /// Their ids follow from the first ones, so that what was moved already is not said twice; each of several answers
    /// has its own.
    pub(in crate::identity) async fn move_posts(
        &self,
        (from, to): (&str, &str),
        taken_back: &[String],
        mut after: i64,
    ) -> Result<i64, FarError> {
        let chat = ChatKey::from(from);
        let mut others = None;
        loop {
            let page =
                self.directory.history(&self.network, Some(&chat), HistoryRange::After(after), PAGE).await?;
            let Some(last) = page.last() else { return Ok(after) };
            let others = match others {
                Some(others) => others,
                None => *others.insert(self.others((from, to), taken_back).await?),
            };
            after = last.seq;
            let own = &self.network;
            let said = page.iter().filter(|item| matches!(item.fate, Fate::Said));
            let posts = said.map(|item| moved(item, own, (from, to), others)).collect();
            self.far.commit(&self.network, Batch { posts, ..Batch::default() }).await?;
        }
    }
}

/// The same post in another chat.
fn moved(item: &TimelineItem, network: &NetworkId, (from, to): (&str, &str), others: usize) -> Post {
    let again = |id: &RemoteId| (0..others).fold(id.said_again(), |id, _| id.said_again());
    let mut post = item.post.clone();
    post.remote_id = match &item.native_id {
        _ if item.origin == *network => again(&post.remote_id),
        // The service knows what was said through us by its own id.
        Some(native) => again(native),
        None => again(&RemoteId::from(format!("{}-{}", item.origin, post.remote_id))),
    };
    post.chat = ChatRef { network: network.clone(), chat: to.into() };
    post.echo_of = None;
    if let Author::Person { person, .. } = &mut post.author
        && person.as_str() == from
    {
        *person = to.into();
    }
    if let Body::Recall { target: Some(target), .. } = &mut post.body {
        *target = again(target);
    }
    if let Some(target) = post.quote.as_mut().and_then(|quote| quote.target.as_mut()) {
        *target = again(target);
    }
    post
}
