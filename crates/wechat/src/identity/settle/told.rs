//! What is said in the chats of a link that a permanent name has shown to be wrong: what was said there went to, or came
//! from, somebody else, and only the owner can put that right.

use wxgate_contract::{Author, Body, ChatKind, ChatProfile, ChatRef, FarError, GroupEvent, Post, RemoteId};

use super::{Settler, Taught};

impl Settler {
    /// One notice in each chat that somebody leaves and in the one where they go on; none where they stood apart until
    /// now, because nothing was said in a wrong place.
    /// Source: the paper on contact identity, method, step 9.
    pub(super) async fn notices(&self, taught: &Taught) -> Result<Vec<Post>, FarError> {
        let mut posts = Vec::new();
        for (from, to) in taught.lesson.ends() {
            if taught.stood_apart(from) {
                continue;
            }
            let left = self.chat(from).await?;
            let stays = taught.book.people.iter().any(|known| known.id == from)
                || taught.book.groups.iter().any(|known| known.id == from);
            let old = if stays {
                "WeChat has shown that whoever wrote here since the last sign-in is somebody else than before. They go \
                 on in another chat; what was said here since then was said to them."
            } else {
                "WeChat has shown who this is: it goes on in the chat of that name from before."
            };
            let new = format!(
                "WeChat has shown that this goes on here. What was said since the last sign-in stands in another \
                 chat{}.",
                named(left.as_ref())
            );
            posts.push(self.notice(posts.len(), from, old.to_owned()));
            posts.push(self.notice(posts.len(), to, new));
        }
        Ok(posts)
    }

    fn notice(&self, number: usize, chat: &str, text: String) -> Post {
        let at = self.live.now();
        Post {
            remote_id: RemoteId::from(format!("identity-{}-{number}-{chat}", at.ms())),
            chat: ChatRef { network: self.network.clone(), chat: chat.into() },
            author: Author::Network,
            at,
            body: Body::Event { event: GroupEvent::Notice, text },
            quote: None,
            mentions: Vec::new(),
            echo_of: None,
        }
    }
}

/// The title of a chat, where only the owner reads it: of a group it may be their remark, and others can be in its room.
fn named(chat: Option<&ChatProfile>) -> String {
    let chat = chat.filter(|chat| chat.kind != ChatKind::Group && !chat.title.is_empty());
    chat.map(|chat| format!(", \"{}\"", chat.title)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_owner_calls_a_group_is_not_told_to_its_members() {
        let mut chat = ChatProfile {
            chat: "g-a".into(),
            kind: ChatKind::Group,
            title: "those boring people".to_owned(),
            topic: String::new(),
            is_owned: false,
            owner: None,
            members: None,
            is_gone: false,
        };
        assert_eq!(named(Some(&chat)), "");
        chat.kind = ChatKind::Private;
        assert_eq!(named(Some(&chat)), ", \"those boring people\"");
        assert_eq!(named(None), "");
    }
}
