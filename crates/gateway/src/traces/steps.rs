//! Makes spans of the steps that messages take.

use std::fmt;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context as Around;

use super::{Numbers, began};

pub(super) struct Steps {
    tracer: SdkTracer,
    numbers: Numbers,
}

impl Steps {
    pub(super) fn new(tracer: SdkTracer, numbers: Numbers) -> Self {
        Self { tracer, numbers }
    }

    #[expect(clippy::disallowed_methods, reason = "a span lies where the event was made, to the microsecond")]
    fn take(&self, step: Step) {
        let now = SystemTime::now();
        let (name, kind) = match step.name.as_str() {
            "commit" => ("commit", SpanKind::Consumer),
            "deliver" => ("deliver", SpanKind::Producer),
            _ => ("show", SpanKind::Internal),
        };
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_start_time(began(Duration::from_micros(step.took_us), now))
            .with_attributes(step.tells);
        let mut span = match name {
            "commit" => {
                self.numbers.as_first(step.post, || self.tracer.build_with_context(builder, &Context::new()))
            }
            _ => {
                let first = Context::new().with_remote_span_context(self.numbers.first_span(step.post));
                self.tracer.build_with_context(builder, &first)
            }
        };
        if let Some(why) = step.failed {
            span.set_status(Status::error(why));
        }
        span.end_with_timestamp(now);
    }
}

impl<S: Subscriber> Layer<S> for Steps {
    fn on_event(&self, event: &Event<'_>, _: Around<'_, S>) {
        let mut step = Step::default();
        event.record(&mut step);
        self.take(step);
    }
}

/// What an event tells.
#[derive(Default)]
struct Step {
    name: String,
    post: i64,
    took_us: u64,
    /// A delivery that did not surely arrive.
    failed: Option<String>,
    tells: Vec<KeyValue>,
}

impl Step {
    fn tell(&mut self, field: &Field, value: impl Into<Value>) {
        self.tells.push(KeyValue::new(format!("wxgate.{}", field.name()), value));
    }
}

impl Visit for Step {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "post" {
            self.post = value;
        }
        self.tell(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "took_us" => self.took_us = value,
            _ => self.tell(field, i64::try_from(value).unwrap_or(i64::MAX)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match (field.name(), value) {
            ("step", _) => value.clone_into(&mut self.name),
            ("outcome", "refused" | "uncertain") => {
                self.failed = Some(value.to_owned());
                self.tell(field, value.to_owned());
            }
            _ => self.tell(field, value.to_owned()),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.tell(field, format!("{value:?}"));
    }
}
