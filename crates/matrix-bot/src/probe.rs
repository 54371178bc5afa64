//! A look by somebody who searches for mistakes: does the homeserver let the account in?

use matrix_sdk::authentication::matrix::MatrixSession;
use matrix_sdk::authentication::oauth::error::OAuthDiscoveryError;
use matrix_sdk::config::RequestConfig;
use matrix_sdk::{Client, SessionMeta, SessionTokens};
use wxgate_matrix::CallError;

use crate::session::TIMEOUT;
use crate::{AccountConfig, Entrance, wrong};

/// The device that a password is tried with; it is signed out at once.
const DEVICE: &str = "WXGATEDOCTOR";

/// Goes in as the settings say, and out again; what is there, as a clause for people. The account's own device and
/// store are left alone.
///
/// # Errors
/// Why not, as a clause for people.
pub async fn probe(config: &AccountConfig) -> Result<String, String> {
    let patience = RequestConfig::new().disable_retry().timeout(TIMEOUT);
    let built = Client::builder().homeserver_url(&config.homeserver).request_config(patience).build().await;
    let client = built.map_err(|error| error.to_string())?;
    match &config.entrance {
        Entrance::Password(password) => {
            let login = client.matrix_auth().login_username(&config.user, password.reveal());
            login.device_id(DEVICE).send().await.map_err(|error| judged(&wrong::call("login", &error)))?;
            let out = client.matrix_auth().logout().await;
            out.map_err(|error| judged(&wrong::http("logout", &error)))?;
            Ok(format!("lets {} in", config.user))
        }
        Entrance::Page(_) => match client.oauth().server_metadata().await {
            Ok(service) => Ok(format!("signs in on the pages of {}", service.issuer)),
            Err(OAuthDiscoveryError::NotSupported) => {
                Err("the homeserver signs nobody in on a page".to_owned())
            }
            Err(error) => Err(error.to_string()),
        },
        Entrance::Token(token) => {
            let user_id = config.user.as_str().try_into().map_err(|_| "the user is no id".to_owned())?;
            let meta = SessionMeta { user_id, device_id: DEVICE.into() };
            let tokens = SessionTokens { access_token: token.reveal().to_owned(), refresh_token: None };
            let restored = client.restore_session(MatrixSession { meta, tokens }).await;
            restored.map_err(|error| error.to_string())?;
            let me = client.whoami().await.map_err(|error| judged(&wrong::http("whoami", &error)))?;
            match (me.user_id == config.user, me.device_id) {
                (false, _) => Err(format!("the access token belongs to {}", me.user_id)),
                (true, None) => Err("the access token belongs to no device".to_owned()),
                (true, Some(device)) => {
                    Ok(format!("knows the access token as device {device} of {}", me.user_id))
                }
            }
        }
    }
}

fn judged(error: &CallError) -> String {
    match error {
        CallError::Refused { code, message, .. } => {
            format!("the homeserver refuses the account ({code} {message})")
        }
        other => other.to_string(),
    }
}
