//! What was taken back in WeChat, as the owner chose: removed, or kept and told of. Source: the IRC notes, section 5.

use wxgate_contract::{Body, Fate, TimelineItem};

use super::caps::Caps;
use super::choices::Recalls;
use super::outbound::{Rendered, Replay, Window};
use super::session::Session;

impl Session {
    /// What was taken back stays to be read.
    pub(super) fn keeps_recalled(&self) -> bool {
        self.choices.recalls == Recalls::Keep
    }

    /// The lines of an item, and of a recall what it takes back, where some client understands that.
    pub(super) async fn render_whole(
        &mut self,
        item: &TimelineItem,
        window: Window,
        replay: Replay,
    ) -> Option<Rendered> {
        let told = self.told_in_full(item).await;
        let item = told.as_ref().unwrap_or(item);
        let mut rendered = self.render(item, window, replay)?;
        if let (Body::Recall { .. }, Fate::Said, Some(target)) = (&item.post.body, &item.fate, item.target)
            && !self.keeps_recalled()
            && self.clients.values().any(|client| client.has(Caps::REDACTION))
        {
            rendered.take_back(self.redacted(&item.post.chat.chat, target).await);
        }
        Some(rendered)
    }

    /// A recall with the first words of what it takes back, where that is kept.
    async fn told_in_full(&self, item: &TimelineItem) -> Option<TimelineItem> {
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
