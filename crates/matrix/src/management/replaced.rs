//! Tells whoever talks to the bot that its session was ended, and which one it has now. While it had none it could say
//! nothing here: the other faces of its people told them.

use wxgate_contract::Note;

use super::answer::Answer;
use crate::shared::Shared;
use crate::speak::{Utterance, derived_txn_id};
use crate::trouble::Trouble;

/// The note that says of which session everybody was told.
const TOLD: &str = "replaced-told";
/// Private chats read at once.
const PAGE: usize = 200;

impl Shared {
    /// Says it once to each of them. Doing it again says it to those who were not told.
    pub(crate) async fn tell_replaced(&self, device: &str) -> Result<(), Trouble> {
        if self.memory.read(TOLD).await?.is_some_and(|told| told == device.as_bytes()) {
            return Ok(());
        }
        let content = Answer::of("My session was ended, by my account in another client or by whoever runs the homeserver. ")
            .text("I have begun another one, ")
            .code(device)
            .text(", signed by the same keys. If nobody of you did that, my password or token is known to somebody else.")
            .content();
        let mut after: Option<String> = None;
        loop {
            let page = self.memory.page("desk/", after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, bytes) in &page {
                let Ok(desk) = serde_json::from_slice::<String>(bytes) else { continue };
                let txn_id = derived_txn_id(&["replaced", device, &desk]);
                let what = Utterance { kind: "m.room.message", content: content.clone(), txn_id, at: None };
                match self.say_in_time(&desk, &what).await {
                    Ok(_) => {}
                    Err(error) if error.is_passing() => return Err(error.into()),
                    // The new session has not heard of the room yet, or the bot was sent away from there.
                    Err(_) if self.is_inside(&desk).await? => {
                        return Err(Trouble::NotYet(
                            "the new session does not know its rooms yet".to_owned(),
                        ));
                    }
                    Err(error) => tracing::info!(%error, "a private chat with the bot is no more"),
                }
            }
        }
        let value = Some(device.to_owned().into_bytes().into());
        Ok(self.memory.save(vec![Note { key: TOLD.to_owned(), value, is_secret: false }]).await?)
    }
}
