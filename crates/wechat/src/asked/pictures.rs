//! Keeps the pictures of whoever writes: it may be asked some day who somebody is, and WeChat shows a picture only in
//! the login that it belongs to.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::SmallRng};
use wxgate_contract::{ChatKey, CommandError, Subject};

use super::{Asked, failed};

/// Chats that are looked after, those that spoke last. Chosen: whoever is asked about has spoken, and a person reads
/// no more than that.
const CHATS: usize = 100;
/// Between two pictures. Chosen: WeChat's own page shows a screenful at once.
const PAUSE: Duration = Duration::from_secs(5);

impl Asked {
    /// Looks now and then; does not end.
    pub(crate) async fn keep_pictures(&self, seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed);
        loop {
            // Accounts that began together do not ask together.
            let wait = self.look_for_pictures.mul_f64(rng.random_range(0.5..1.0));
            tokio::time::sleep(wait).await;
            // Boxed: what a look needs is no part of an idle account.
            if let Err(error) = Box::pin(self.look_once()).await {
                tracing::debug!(network = %self.network, %error, "pictures of chats could not be kept");
            }
        }
    }

    async fn look_once(&self) -> Result<(), CommandError> {
        let spoken = self.settler.directory.spoken(&self.network, CHATS).await.map_err(failed)?;
        for spoken in spoken {
            if self.away().is_some() {
                return Ok(());
            }
            if self.lacks(&spoken.chat).await? {
                // One that cannot be had now is looked for again the next time.
                let brought = self.avatar(&Subject::Chat(spoken.chat)).await;
                tracing::trace!(network = %self.network, ?brought, "a picture was asked for");
                tokio::time::sleep(PAUSE.min(self.look_for_pictures)).await;
            }
        }
        Ok(())
    }

    /// Whether WeChat has a picture that is not here yet.
    async fn lacks(&self, chat: &ChatKey) -> Result<bool, CommandError> {
        Ok(match self.seen_as(chat.as_str()).await? {
            // Without a version it would be fetched again and again.
            Some(known) if known.seq != 0 && known.generation == self.live.generation() => {
                !self.is_here(self.media_id(chat.as_str(), known.seq)).await
            }
            _ => false,
        })
    }
}
