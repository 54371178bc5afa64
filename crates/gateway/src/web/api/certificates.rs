//! The client certificates that open a person's door (SASL EXTERNAL on IRC).

use axum::extract::{Path, State};
use serde_json::json;
use wxgate_store::Opens;

use super::caller::Caller;
use super::users::known;
use super::{Answer, Shared, ok};

pub(super) async fn list(State(parts): Shared, caller: Caller, Path(name): Path<String>) -> Answer {
    caller.is(&name)?;
    let name = known(&parts, name).await?;
    ok(&json!(parts.bridge.store().certificates(&name).await?))
}

pub(super) async fn add(
    State(parts): Shared,
    caller: Caller,
    Path((name, fingerprint)): Path<(String, String)>,
) -> Answer {
    caller.is(&name)?;
    let name = known(&parts, name).await?;
    // It logs in as the password does.
    caller.opens(Opens::LOGIN)?;
    parts.bridge.store().add_certificate(&name, &plain(&fingerprint)).await?;
    caller.record(&parts, "certificate-added", &name).await;
    tracing::info!(user = %name, "a certificate opens a door from now on");
    ok(&json!({}))
}

pub(super) async fn remove(
    State(parts): Shared,
    caller: Caller,
    Path((name, fingerprint)): Path<(String, String)>,
) -> Answer {
    caller.is(&name)?;
    let name = known(&parts, name).await?;
    parts.bridge.store().remove_certificate(&name, &plain(&fingerprint)).await?;
    parts.bridge.shut(&name);
    caller.record(&parts, "certificate-removed", &name).await;
    tracing::info!(user = %name, "a certificate opens nothing any more");
    ok(&json!({}))
}

/// As it is kept, from any of the forms that programs print.
fn plain(fingerprint: &str) -> String {
    fingerprint.replace(':', "").to_ascii_lowercase()
}
