//! Somebody verifies another person by emoji, as clients do it in a private chat.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use matrix_sdk::Client;
use matrix_sdk::encryption::verification::{SasVerification, VerificationRequestState};
use matrix_sdk::ruma::events::key::verification::VerificationMethod;
use matrix_sdk::ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};

/// How long the other side may take for one step.
const STEP: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// Asks for it, and waits for the pictures; gives them, and what the verification is called.
pub(crate) async fn begin(client: &Client, user: &str) -> Result<Value> {
    let user: OwnedUserId = user.try_into()?;
    let identity = client.encryption().request_user_identity(&user).await?.context("nobody to verify")?;
    let request = identity.request_verification_with_methods(vec![VerificationMethod::SasV1]).await?;
    let work = async {
        let sas = loop {
            match request.state() {
                VerificationRequestState::Ready { .. } => {
                    break request.start_sas().await?.context("it cannot begin")?;
                }
                VerificationRequestState::Cancelled(info) => bail!("cancelled: {}", info.reason()),
                _ => tokio::time::sleep(LOOK).await,
            }
        };
        while !sas.can_be_presented() {
            if let Some(info) = sas.cancel_info() {
                bail!("cancelled: {}", info.reason());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(sas)
    };
    let sas = tokio::time::timeout(STEP, work).await.context("the other side does not get on")??;
    let emojis = sas.emoji().context("no pictures")?;
    let emojis: Vec<String> = emojis.iter().map(|one| format!("{} {}", one.symbol, one.description)).collect();
    Ok(json!({ "flow": request.flow_id(), "emojis": emojis }))
}

/// Says that the pictures are the same, and waits for its end; gives whether they are verified by it.
pub(crate) async fn confirm(client: &Client, user: &str, flow: &str) -> Result<Value> {
    let user: OwnedUserId = user.try_into()?;
    let sas = sas(client, &user, flow).await?;
    sas.confirm().await?;
    let work = async {
        while !sas.is_done() {
            if let Some(info) = sas.cancel_info() {
                bail!("cancelled: {}", info.reason());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    tokio::time::timeout(STEP, work).await.context("the other side does not end it")??;
    // What the client has signed it knows from the homeserver.
    let work = async {
        loop {
            let identity = client.encryption().request_user_identity(&user).await?.context("nobody")?;
            if identity.is_verified() {
                return Ok(json!({ "is_verified": true }));
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(STEP, work).await.context("the homeserver does not show it as verified")?
}

async fn sas(client: &Client, user: &UserId, flow: &str) -> Result<SasVerification> {
    let verification = client.encryption().get_verification(user, flow).await;
    verification.and_then(|verification| verification.sas()).context("no such verification")
}
