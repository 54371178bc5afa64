//! Numbers of traces and spans.

use std::cell::Cell;
use std::path::Path;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use ring::digest::{Context, SHA256};

use crate::failure::Failure;
use crate::wiring;

/// The trace's and its first span's number follow from the message, so that every step knows them, also after a
/// restart and without being told; other spans have random ones.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    /// Tells instances apart: several may send to one collector, and each counts its messages from 1.
    instance: [u8; 8],
    random: RandomIdGenerator,
}

thread_local! {
    /// Message whose first span is being made by this thread: the generator is asked without a word of what for.
    static FIRST: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

impl Numbers {
    /// The instance's number is made once and kept in its directory: under the unit a program does not learn the name
    /// of its machine, and a container has another with each update.
    pub(super) fn of(data_dir: &Path) -> Result<Self, Failure> {
        let kept = wiring::kept_number(data_dir, "traces.id")?;
        let mut instance = [0; 8];
        instance.iter_mut().zip(kept).for_each(|(to, from)| *to = from);
        Ok(Self { instance, random: RandomIdGenerator::default() })
    }

    /// Sixteen hex digits.
    pub(super) fn instance(&self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.instance))
    }

    fn of_post(&self, post: i64) -> (TraceId, SpanId) {
        let mut context = Context::new(&SHA256);
        context.update(&self.instance);
        context.update(&post.to_be_bytes());
        let digest = context.finish();
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        let bytes = &mut digest.as_ref().iter();
        trace.iter_mut().zip(&mut *bytes).for_each(|(to, from)| *to = *from);
        span.iter_mut().zip(&mut *bytes).for_each(|(to, from)| *to = *from);
        (TraceId::from_bytes(trace), SpanId::from_bytes(span))
    }

    /// The first span of a message's trace, as later ones name it.
    pub(super) fn first_span(&self, post: i64) -> SpanContext {
        let (trace, span) = self.of_post(post);
        SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE)
    }

    /// While `make` runs, what it makes is the first span of that trace.
    pub(super) fn as_first<T>(&self, post: i64, make: impl FnOnce() -> T) -> T {
        FIRST.set(Some(self.of_post(post)));
        let made = make();
        FIRST.set(None);
        made
    }
}

impl IdGenerator for Numbers {
    fn new_trace_id(&self) -> TraceId {
        FIRST.get().map_or_else(|| self.random.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        FIRST.get().map_or_else(|| self.random.new_span_id(), |(_, span)| span)
    }
}
