//! W3C trace context in message headers: one trace follows a request through every stage.

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::Headers;

impl Extractor for Headers {
    fn get(&self, key: &str) -> Option<&str> {
        Self::get(self, key)
    }

    fn keys(&self) -> Vec<&str> {
        self.iter().map(|(name, _)| name).collect()
    }
}

impl Injector for Headers {
    fn set(&mut self, key: &str, value: String) {
        // An empty `tracestate` says nothing.
        if !value.is_empty() {
            Self::set(self, key.to_owned(), value);
        }
    }
}

/// Writes the context of the current span into `headers`.
pub fn inject(headers: &mut Headers) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), headers);
}

/// Makes `span` a child of the context in `carrier`, if there is one.
pub fn continue_from(span: &Span, carrier: &dyn Extractor) {
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), carrier);
    if parent.span().span_context().is_valid() {
        // The only failure is a span that is switched off, which has no parent to set.
        let _ = span.set_parent(parent);
    }
}
