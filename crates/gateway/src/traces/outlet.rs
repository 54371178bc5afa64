//! The way to the collector, and one line in the log when it is closed and when it is open again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_otlp::SpanExporter as Otlp;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// What cannot be sent is dropped: traces are no messages.
#[derive(Debug)]
pub(super) struct Outlet {
    otlp: Otlp,
    is_closed: AtomicBool,
}

impl Outlet {
    pub(super) fn new(otlp: Otlp) -> Self {
        Self { otlp, is_closed: AtomicBool::new(false) }
    }
}

impl SpanExporter for Outlet {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.otlp.export(batch).await;
        let was_closed = self.is_closed.swap(sent.is_err(), Ordering::Relaxed);
        match &sent {
            Err(error) if !was_closed => {
                tracing::warn!(%error, spans, "traces do not reach the collector and are dropped until they do");
            }
            Ok(()) if was_closed => tracing::info!("traces reach the collector again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}
