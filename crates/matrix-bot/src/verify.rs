//! Gets on with verifications by emoji that somebody began with the account. The SDK hears the steps with the sync.

use matrix_sdk::encryption::verification::{SasState, SasVerification, VerificationRequestState};
use matrix_sdk::ruma::UserId;
use matrix_sdk::ruma::events::key::verification::VerificationMethod;
use wxgate_matrix::{CallError, Verification};

use crate::{SdkAccount, wrong};

impl SdkAccount {
    /// Says what has to be said, and gives how far it is; `None` when nothing is known of it.
    pub(crate) async fn verify_on(
        &self,
        user_id: &str,
        flow: &str,
        are_the_same: Option<bool>,
    ) -> Result<Option<Verification>, CallError> {
        let client = self.open_client("verify")?;
        let encryption = client.encryption();
        let Ok(user) = UserId::parse(user_id) else { return Ok(None) };
        let Some(request) = encryption.get_verification_request(&user, flow).await else { return Ok(None) };
        if let Some(info) = request.cancel_info() {
            return Ok(Some(Verification::Cancelled(info.reason().to_owned())));
        }
        if matches!(request.state(), VerificationRequestState::Requested { .. }) {
            let accepted = request.accept_with_methods(vec![VerificationMethod::SasV1]).await;
            accepted.map_err(|error| wrong::call("verify", &error))?;
        }
        let verification = encryption.get_verification(&user, flow).await;
        let Some(sas) = verification.and_then(|verification| verification.sas()) else {
            return Ok(Some(Verification::Going));
        };
        if matches!(sas.state(), SasState::Started { .. }) && !sas.we_started() {
            sas.accept().await.map_err(|error| wrong::call("verify", &error))?;
        }
        match are_the_same {
            Some(true) => sas.confirm().await.map_err(|error| wrong::call("verify", &error))?,
            Some(false) => sas.mismatch().await.map_err(|error| wrong::call("verify", &error))?,
            None => {}
        }
        Ok(Some(stage(&sas)))
    }
}

fn stage(sas: &SasVerification) -> Verification {
    match sas.state() {
        SasState::KeysExchanged { emojis: Some(shown), .. } => Verification::Compare(
            shown.emojis.iter().map(|one| (one.symbol.to_owned(), one.description.to_owned())).collect(),
        ),
        SasState::Confirmed => Verification::Agreed,
        SasState::Done { .. } => Verification::Done,
        SasState::Cancelled(info) => Verification::Cancelled(info.reason().to_owned()),
        _ => Verification::Going,
    }
}
