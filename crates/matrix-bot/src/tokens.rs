//! The tokens of the open session, which a homeserver may let live for minutes only: the next ones are written down
//! before anything waits for them, and before they are needed.
//!
//! The SDK asks for new tokens by itself when the old ones are refused, and tells before it goes on (Source: matrix-sdk
//! 0.18, `MatrixAuth::refresh_access_token`). The old refresh token is good until a new token is used (Source:
//! <https://spec.matrix.org/v1.16/client-server-api/#refreshing-access-tokens>), so whoever dies before the new ones
//! were written down goes on with the old ones.

use std::error::Error as StdError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use matrix_sdk::{Client, SessionTokens};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;
use wxgate_matrix::{AccountError, CallError, Keep, Secret};

use crate::session::Kept;
use crate::wrong;

type Failure = Box<dyn StdError + Send + Sync>;

/// The tokens of a session.
pub(crate) struct Tokens {
    keep: Keep,
    // Locked for the length of a copy.
    state: Mutex<State>,
}

struct State {
    /// As it was written down last.
    kept: Kept,
    /// When the tokens were given; `None` before this run got some.
    since: Option<Instant>,
}

impl Tokens {
    /// Follows the tokens of a client, which are `kept` and written down. `since` as of the state.
    pub(crate) fn of(
        client: &Client,
        kept: Kept,
        keep: &Keep,
        since: Option<Instant>,
    ) -> Result<Arc<Self>, AccountError> {
        let tokens = Arc::new(Self { keep: Arc::clone(keep), state: Mutex::new(State { kept, since }) });
        // The client has its callbacks for as long as it lives; the tokens do not hold it.
        let saving = Arc::clone(&tokens);
        let known =
            |client: Client| client.session_tokens().ok_or_else(|| Failure::from("there is no session"));
        let set =
            client.set_session_callbacks(Box::new(known), Box::new(move |client| saving.save_now(&client)));
        set.map_err(|error| AccountError::Human(format!("the session cannot be followed: {error}")))?;
        Ok(tokens)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token for plain questions.
    pub(crate) fn token(&self) -> Secret {
        Secret::new(&self.state().kept.token)
    }

    /// What has to be written down, if anything has.
    fn changed(&self, now: SessionTokens) -> Option<Kept> {
        let state = self.state();
        let kept = state.kept.with(now);
        (!kept.has_tokens_of(&state.kept)).then_some(kept)
    }

    fn saved(&self, kept: Kept) {
        *self.state() = State { kept, since: Some(Instant::now()) };
    }

    /// New tokens came; returns when they are on disk.
    fn save_now(&self, client: &Client) -> Result<(), Failure> {
        let Some(kept) = client.session_tokens().and_then(|tokens| self.changed(tokens)) else {
            return Ok(());
        };
        let runtime = Handle::try_current()?;
        if runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
            // Written down by the next turn of the sync.
            return Err("new tokens cannot be waited for here".into());
        }
        let work = (self.keep)(kept.bytes(), Secret::new(&kept.token));
        tokio::task::block_in_place(|| runtime.block_on(work))?;
        self.saved(kept);
        Ok(())
    }

    /// Writes down what could not be when it came, and asks for new tokens before the old ones are over.
    pub(crate) async fn see_to(&self, client: &Client) -> Result<(), CallError> {
        if self.is_due()
            && let Err(error) = client.refresh_access_token().await
        {
            // The old ones may be good for a while, and are asked with; then it is known what to do.
            let error = wrong::refresh("refresh", &error);
            if error.is_some_and(|error| matches!(error, CallError::Refused { .. })) {
                self.state().since = Some(Instant::now());
            }
            tracing::warn!("the homeserver gives the account no new tokens yet");
        }
        let Some(kept) = client.session_tokens().and_then(|tokens| self.changed(tokens)) else {
            return Ok(());
        };
        let saved = (self.keep)(kept.bytes(), Secret::new(&kept.token)).await;
        saved.map_err(|error| {
            tracing::warn!(%error, "the tokens of the account cannot be written down yet");
            CallError::Network { endpoint: "refresh" }
        })?;
        self.saved(kept);
        Ok(())
    }

    /// When three quarters of their time are over, or nobody knows how much is.
    fn is_due(&self) -> bool {
        self.time_left().is_some_and(|left| left.is_zero())
    }

    /// Until they should be renewed; `None` when they need not be.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let state = self.state();
        let life = state.kept.life().filter(|_| state.kept.can_be_renewed())?;
        let passed = state.since.map_or(life, |since| since.elapsed());
        Some((life / 4 * 3).saturating_sub(passed))
    }
}
