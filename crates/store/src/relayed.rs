//! What was carried into a chat from another member of its link, as that chat shows it.

use wxgate_contract::{Author, ChatRef, PersonKey, Post};

/// A post as it stands in `chat`: somebody else's words, under the name they have there. The
/// mentions go, because they name people of the other network; the text keeps their names.
pub(crate) fn as_shown(post: Post, chat: &ChatRef, author: &str) -> Post {
    let name = author.to_owned();
    let author = match &post.author {
        Author::Person { person, .. } => {
            Author::Person { person: person.seen_from_elsewhere(&post.chat.network), name }
        }
        Author::Owner => {
            Author::Person { person: PersonKey::from("").seen_from_elsewhere(&post.chat.network), name }
        }
        other => other.clone(),
    };
    Post { chat: chat.clone(), author, mentions: Vec::new(), ..post }
}
