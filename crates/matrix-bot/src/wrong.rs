//! The SDK's errors as the adapter's: what may pass, what somebody must mend, how long to keep quiet.

use std::time::Duration;

use matrix_sdk::authentication::oauth::OAuthError;
use matrix_sdk::authentication::oauth::error::{
    BasicErrorResponseType, OAuthDiscoveryError, RequestTokenError,
};
use matrix_sdk::encryption::{MegolmError, OlmError};
use matrix_sdk::ruma::api::error::{ErrorBody, ErrorKind, RetryAfter};
use matrix_sdk::{Error, HttpError, RefreshTokenError};
use wxgate_matrix::CallError;

/// When the homeserver says "slow down" and not for how long.
const DEFAULT_RETRY: Duration = Duration::from_secs(5);
/// Longest pause that a homeserver may ask for. Chosen: a wrong number must not stop everything for good.
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// What went wrong in something beyond a plain question.
pub(crate) fn call(endpoint: &'static str, error: &Error) -> CallError {
    match error {
        Error::Http(error) => http(endpoint, error),
        // The bot was sent away from there, or never was there.
        Error::WrongRoomState(_) => refused(endpoint, "M_FORBIDDEN", "the account is not in the room"),
        // Our own store, or words of a homeserver that make no sense.
        other => {
            tracing::warn!(endpoint, error = %other, "the SDK could not do something");
            CallError::Failed { endpoint, status: 0, by_homeserver: false }
        }
    }
}

/// What went wrong when something was to be said in one room. Only the homeserver's own answers, and none, are news
/// about the homeserver.
pub(crate) fn send(error: &Error) -> CallError {
    let is_of_store = match error {
        Error::Http(_) | Error::WrongRoomState(_) => {
            return match call("send", error) {
                // An answer in odd words, perhaps about this room alone: where it is a proxy's, whoever asks what
                // happened gets it as well.
                CallError::Failed { endpoint, status: 0, .. } => {
                    CallError::Failed { endpoint, status: 0, by_homeserver: true }
                }
                error => error,
            };
        }
        // How the room says that it is encrypted, or what is known of whom it is to be encrypted for.
        Error::OlmError(error) => matches!(error.as_ref(), OlmError::Store(_)),
        Error::MegolmError(error) => matches!(error.as_ref(), MegolmError::Store(_)),
        _ => true,
    };
    tracing::warn!(error = %error, "the SDK could not encrypt something");
    let why = error.to_string();
    match is_of_store {
        true => CallError::NotSealed { why },
        false => CallError::NotToSeal { why },
    }
}

/// What went wrong in a question.
pub(crate) fn http(endpoint: &'static str, error: &HttpError) -> CallError {
    let Some(told) = error.as_client_api_error() else {
        return match error {
            HttpError::RefreshToken(RefreshTokenError::MatrixAuth(error)) => match http(endpoint, error) {
                // The token was refused, and so was what would have given another one. Synapse calls that
                // M_FORBIDDEN where the session's time is over (1.163).
                CallError::Refused { message, .. } => {
                    CallError::Refused { endpoint, status: 401, code: "M_UNKNOWN_TOKEN".to_owned(), message }
                }
                error => error,
            },
            HttpError::RefreshToken(RefreshTokenError::OAuth(error)) => oauth(endpoint, error),
            HttpError::Reqwest(error) if error.is_timeout() => CallError::TimedOut { endpoint },
            HttpError::Reqwest(_) => CallError::Network { endpoint },
            HttpError::Cached(error) => http(endpoint, error),
            _ => CallError::Failed { endpoint, status: 0, by_homeserver: false },
        };
    };
    let status = told.status_code.as_u16();
    let (kind, message) = match &told.body {
        ErrorBody::Standard(body) => (&body.kind, body.message.as_str()),
        // What is no Matrix answer comes from something between us and the homeserver.
        _ => return CallError::Failed { endpoint, status, by_homeserver: false },
    };
    if let ErrorKind::LimitExceeded(limit) = kind {
        let asked = match limit.retry_after {
            Some(RetryAfter::Delay(after)) => after,
            _ => DEFAULT_RETRY,
        };
        return CallError::Limited { endpoint, after: asked.min(LONGEST_RETRY) };
    }
    if status >= 500 {
        return CallError::Failed { endpoint, status, by_homeserver: true };
    }
    let (code, message) = (kind.errcode().to_string(), message.to_owned());
    CallError::Refused { endpoint, status, code, message }
}

/// What went wrong when a sign-in service was asked for new tokens. Source: RFC 6749, 5.2.
fn oauth(endpoint: &'static str, error: &OAuthError) -> CallError {
    match error {
        OAuthError::RefreshToken(RequestTokenError::ServerResponse(told)) => match told.error() {
            BasicErrorResponseType::InvalidGrant
            | BasicErrorResponseType::InvalidClient
            | BasicErrorResponseType::UnauthorizedClient => CallError::Refused {
                endpoint,
                status: 401,
                code: "M_UNKNOWN_TOKEN".to_owned(),
                message: told.to_string(),
            },
            _ => CallError::Failed { endpoint, status: 0, by_homeserver: false },
        },
        OAuthError::Discovery(OAuthDiscoveryError::Http(error)) => http(endpoint, error),
        _ => CallError::Network { endpoint },
    }
}

/// What went wrong when new tokens were asked for; `None` when nobody was asked.
pub(crate) fn refresh(endpoint: &'static str, error: &RefreshTokenError) -> Option<CallError> {
    match error {
        RefreshTokenError::MatrixAuth(error) => Some(http(endpoint, error)),
        RefreshTokenError::OAuth(error) => Some(oauth(endpoint, error)),
        RefreshTokenError::RefreshTokenRequired => None,
    }
}

/// True where a token is over and its session is not. Source: client-server API, "Soft logout".
pub(crate) fn is_soft(error: &HttpError) -> bool {
    matches!(error.client_api_error_kind(), Some(ErrorKind::UnknownToken(told)) if told.soft_logout)
}

pub(crate) fn refused(endpoint: &'static str, code: &str, message: &str) -> CallError {
    CallError::Refused { endpoint, status: 403, code: code.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::encryption::{CryptoStoreError, EventError};

    use super::*;

    /// A moderator of a room that was handed over may give it any algorithm.
    #[test]
    fn a_room_that_cannot_be_encrypted_is_no_homeserver_that_is_away() {
        let unknown = OlmError::EventError(EventError::UnsupportedAlgorithm);
        let error = send(&Error::OlmError(Box::new(unknown)));
        assert!(matches!(error, CallError::NotToSeal { .. }), "{error:?}");
        // Our own store may be there again, and what was said must not be lost meanwhile.
        let store = OlmError::Store(CryptoStoreError::AccountUnset);
        for error in [Error::OlmError(Box::new(store)), Error::NoOlmMachine, Error::Timeout] {
            let error = send(&error);
            assert!(matches!(error, CallError::NotSealed { .. }), "{error:?}");
        }
    }
}
