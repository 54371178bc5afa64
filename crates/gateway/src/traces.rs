//! Traces of messages for an OpenTelemetry collector: one trace per message, one span per step of its journey.
//!
//! What a step is and what it tells stands at [`JOURNEY`]. The steps of a message lie in different tasks and may lie
//! in different runs of the program, so no context is carried along: the trace's number follows from the message's.
//! Where to send them to is said by the environment variables that OpenTelemetry defines; without an endpoint nothing
//! is traced. Source: opentelemetry.io, "OTLP Exporter Configuration", "SDK Environment Variables".

use std::path::Path;
use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use wxgate_contract::JOURNEY;

use crate::failure::Failure;
use crate::telemetry::Listener;

mod ids;
mod outlet;
mod steps;

use ids::Numbers;

/// How long what is on its way to the collector may hold the program's end up. Chosen: people wait for it.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Sends traces until it is ended.
pub(crate) struct Traces(Option<SdkTracerProvider>);

/// Begins, where the environment names a collector. The second is to be added to the log.
///
/// # Errors
/// `Configuration` when the environment says what cannot be done.
pub(crate) fn start(data_dir: &Path) -> Result<(Traces, Option<Listener>), Failure> {
    let is_off = said("OTEL_SDK_DISABLED").is_some_and(|said| said.eq_ignore_ascii_case("true"))
        || said("OTEL_TRACES_EXPORTER").is_some_and(|said| said == "none");
    let endpoint = said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| said("OTEL_EXPORTER_OTLP_ENDPOINT"));
    if is_off || endpoint.is_none() {
        return Ok((Traces(None), None));
    }
    let protocol = said("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| said("OTEL_EXPORTER_OTLP_PROTOCOL"));
    if let Some(other) = protocol.filter(|protocol| protocol != "http/protobuf") {
        let why =
            format!("OTEL_EXPORTER_OTLP_PROTOCOL: {other:?} is not spoken here, only \"http/protobuf\"");
        return Err(Failure::config(why));
    }
    // reqwest comes without one. An error means that somebody has said it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
        .build()
        .map_err(|error| Failure::config(format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}")))?;
    let numbers = Numbers::of(data_dir)?;
    let named = said("OTEL_SERVICE_NAME").unwrap_or_else(|| "wxgate".to_owned());
    let resource = Resource::builder().with_service_name(named).with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", numbers.instance()),
    ]);
    let provider = SdkTracerProvider::builder()
        .with_id_generator(numbers.clone())
        .with_resource(resource.build())
        .with_batch_exporter(outlet::Outlet::new(exporter))
        .build();
    let steps = steps::Steps::new(provider.tracer("wxgate"), numbers);
    let only = Targets::new().with_target(JOURNEY, LevelFilter::TRACE);
    Ok((Traces(Some(provider)), Some(Box::new(steps.with_filter(only)))))
}

fn said(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|said| !said.is_empty())
}

impl Traces {
    /// Says that it has begun; after the log has.
    pub(crate) fn announce(&self) {
        if self.0.is_some() {
            tracing::info!("messages are traced, as OTEL_EXPORTER_OTLP_ENDPOINT says");
        }
    }

    /// Sends what is left, for a short while.
    pub(crate) async fn end(self) {
        let Some(provider) = self.0 else { return };
        // It waits for its own thread. What goes wrong with it was told when it began to.
        let _ = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_WORDS)).await;
    }
}

/// When a step began that ends now.
fn began(took: Duration, now: SystemTime) -> SystemTime {
    now.checked_sub(took).unwrap_or(now)
}
