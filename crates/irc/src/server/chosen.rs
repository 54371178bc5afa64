//! What is chosen for an account, asked and changed from elsewhere: the web pages, and whoever asks the API.

use std::sync::Arc;

use bytes::Bytes;
use wxgate_contract::{Answer, Batch, Choice, CommandError, FarError, NetworkId, Note, Request};

use super::choices::{Offer, offers};
use super::roster::account_note;
use super::shared::Shared;

/// The answer of the built-in server to what is asked of it.
pub(super) async fn answer(shared: &Arc<Shared>, request: Request) -> Result<Answer, CommandError> {
    match request {
        Request::Choices(account) => {
            let mut choices = Vec::new();
            for offer in offers() {
                choices.push(shown(shared, &account, &offer).await.map_err(failed)?);
            }
            Ok(Answer::Choices(choices))
        }
        Request::Choose { account, name, value } => {
            choose(shared, &account, &name, &value).await.map(|()| Answer::Done)
        }
        _ => Err(CommandError::Refused("the built-in IRC server has no such thing".to_owned())),
    }
}

fn failed(error: FarError) -> CommandError {
    CommandError::Failed(error.to_string())
}

async fn shown(shared: &Shared, account: &NetworkId, offer: &Offer) -> Result<Choice, FarError> {
    let note = shared.far.note(&shared.network, &account_note(account, offer.note)).await?;
    let word = note.as_deref().and_then(|note| std::str::from_utf8(note).ok()).unwrap_or_default();
    let known = offer.ways.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
    Ok(Choice {
        name: offer.name.to_owned(),
        value: known.map_or(offer.usual, |(known, _)| known).to_owned(),
        values: offer.ways.iter().map(|(word, said)| ((*word).to_owned(), (*said).to_owned())).collect(),
    })
}

async fn choose(
    shared: &Arc<Shared>,
    account: &NetworkId,
    name: &str,
    value: &str,
) -> Result<(), CommandError> {
    let none =
        || CommandError::Refused(format!("there is nothing to choose called {name} with the value {value}"));
    let offer = offers().into_iter().find(|offer| offer.name == name).ok_or_else(none)?;
    let (word, _) = offer.ways.iter().find(|(word, _)| *word == value).ok_or_else(none)?;
    // As it is without a note, none is kept.
    let value = (*word != offer.usual).then(|| Bytes::from_static(word.as_bytes()));
    let notes = vec![Note { key: account_note(account, offer.note), value, is_secret: false }];
    let batch = Batch { notes, ..Batch::default() };
    shared.far.commit(&shared.network, batch).await.map_err(failed)?;
    shared.registry.chosen(account).await;
    Ok(())
}
