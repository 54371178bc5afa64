//! What was taken back in WeChat, as the owner chose: removed, or kept and told of. Source: the IRC notes, section 5.

use wxgate_contract::{Body, TimelineItem};

use super::choices::Recalls;
use super::session::Session;

impl Session {
    /// What was taken back stays to be read.
    pub(super) fn keeps_recalled(&self) -> bool {
        self.choices.recalls == Recalls::Keep
    }

    /// A recall with the first words of what it takes back, where that is kept.
    pub(super) async fn told_in_full(&self, item: &TimelineItem) -> Option<TimelineItem> {
        let (Body::Recall { target, .. }, Some(post), true) =
            (&item.post.body, item.target, self.keeps_recalled())
        else {
            return None;
        };
        let words = Self::first_words(&self.item(&item.post.chat.chat, post).await?);
        if words.is_empty() {
            return None;
        }
        let (who, did) = (self.author_name(&item.post.author), self.word("recalled", "撤回了"));
        let mut told = item.clone();
        told.post.body = Body::Recall { target: target.clone(), notice: format!("{who} {did}: \"{words}\"") };
        Some(told)
    }
}
