//! Traces of messages in a build without the feature `otel`: none, and whoever asks for them is told.

use std::path::Path;

use crate::failure::Failure;
use crate::telemetry::Listener;

/// Nothing.
pub(crate) struct Traces;

/// Begins nothing.
///
/// # Errors
/// None.
pub(crate) fn start(_: &Path) -> Result<(Traces, Option<Listener>), Failure> {
    Ok((Traces, None))
}

impl Traces {
    /// The variables are often set for every program of a machine, so this is no error.
    pub(crate) fn announce(&self) {
        let asked = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        if let Some(name) =
            asked.into_iter().find(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()))
        {
            tracing::warn!(
                "{name} is set, but this build has no traces: it was built without the feature \"otel\""
            );
        }
    }

    /// Nothing is left to send.
    pub(crate) async fn end(self) {}
}
