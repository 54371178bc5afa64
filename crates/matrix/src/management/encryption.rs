//! How to be sure that it is this gateway that reads an encrypted room, and making a room encrypted.

use super::answer::Answer;
use super::words::Wish;
use super::{No, Question, no};
use crate::rooms::{ENCRYPTION, encryption};
use crate::shared::Shared;

impl Shared {
    /// Tells by what the bot's device is recognised.
    pub(super) async fn tell_fingerprint(&self) -> Result<Answer, No> {
        if !self.config.encrypts_on_demand() {
            return no("This gateway does not encrypt.");
        }
        let own = self.fingerprint().await?;
        let answer = Answer::of("My keys, as your client shows them where it lists my sessions:")
            .item()
            .text("session ")
            .code(&own.device_id)
            .item()
            .text("its key ")
            .code(&in_fours(&own.device_key))
            .item()
            .text("my signing key ")
            .code(&in_fours(&own.master_key.unwrap_or_default()));
        Ok(answer.line().text(
            "Compare them with what whoever runs this gateway tells you by another way; then verify me by hand in your client.",
        ))
    }

    /// Shows the pictures of the verification that somebody began, or hears whether theirs are the same.
    pub(super) async fn verify(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let user_id = &question.addressed.sender;
        let Some(shown) = self.shown_to(user_id) else {
            return no("Begin it in your client: it offers to verify me where it shows who I am.");
        };
        let are_the_same = match wish.rest.to_ascii_lowercase().as_str() {
            "" => return Ok(shown),
            "yes" | "y" => true,
            "no" | "n" => false,
            _ => return no("Say yes or no behind it."),
        };
        if !self.decide(user_id, are_the_same).await? {
            return no("That verification is over.");
        }
        Ok(Answer::of(match are_the_same {
            true => "Then confirm it in your client as well.",
            false => "Then somebody stands between us. I have given the verification up.",
        }))
    }

    /// Makes the room encrypted, for good.
    pub(super) async fn encrypt_room(&self, question: &Question) -> Result<Answer, No> {
        if !self.config.encrypts_on_demand() {
            return no("This gateway does not encrypt.");
        }
        let room_id = &question.addressed.room_id;
        if question.chat.is_some() {
            self.own_chat(question).await?;
        } else if !self.is_private(room_id).await? {
            return no("Switch encryption on in your client: this is not a room of mine.");
        }
        if self.seals(room_id).await? {
            return Ok(Answer::of("This room is encrypted."));
        }
        match self.set_state(room_id, ENCRYPTION, "", encryption()).await {
            Ok(()) => {}
            Err(error) if error.code() == "M_FORBIDDEN" => {
                return no("I may not do that in this room; switch encryption on in your client.");
            }
            Err(error) => return Err(error.into()),
        }
        self.follow_encryption(room_id, ENCRYPTION, "", &encryption()).await?;
        Ok(Answer::of("From now on this room is encrypted. It cannot be switched off again."))
    }
}

/// As clients group keys for comparing.
fn in_fours(key: &str) -> String {
    let chars: Vec<char> = key.chars().collect();
    chars.chunks(4).map(String::from_iter).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_key_is_shown_in_groups_of_four() {
        assert_eq!(super::in_fours("abcdefghij"), "abcd efgh ij");
    }
}
