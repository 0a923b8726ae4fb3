//! W3C trace context in message headers: one trace follows a request through every stage.

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{Headers, message::TRACEPARENT};

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

tokio::task_local! {
    /// The incoming trace of the current work, verbatim, for when no spans are made.
    static PARENT: Option<String>;
}

/// A span, and the trace that it continues.
#[derive(Debug)]
pub struct Traced {
    span: Span,
    parent: Option<String>,
}

impl Traced {
    /// `span`, in the trace that `carrier` names, if there is one.
    pub fn of(span: Span, carrier: &dyn Extractor) -> Self {
        // An invalid trace is passed on to nobody, however it reads.
        let parent = carrier.get(TRACEPARENT).map(str::to_owned).filter(|_| continue_from(&span, carrier));
        Self { span, parent }
    }

    /// Does `work` in the span.
    pub fn run<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        PARENT.scope(self.parent, work.instrument(self.span))
    }
}

/// Writes the trace into `headers`: that of the current span or, if spans have none, the incoming one.
pub fn inject(headers: &mut Headers) {
    let context = Span::current().context();
    if context.span().span_context().is_valid() {
        return TraceContextPropagator::new().inject_context(&context, headers);
    }
    if let Ok(Some(parent)) = PARENT.try_with(Clone::clone) {
        headers.set(TRACEPARENT, parent);
    }
}

/// Makes `span` a child of the context in `carrier`; returns whether there is one.
fn continue_from(span: &Span, carrier: &dyn Extractor) -> bool {
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), carrier);
    let is_valid = parent.span().span_context().is_valid();
    if is_valid {
        // It fails only if the span is switched off, and then it has no parent to set.
        let _ = span.set_parent(parent);
    }
    is_valid
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn passed_on(came: &str) -> Option<String> {
        let came = Headers::new().with(TRACEPARENT, came);
        let mut headers = Headers::new();
        Traced::of(Span::none(), &came).run(async { inject(&mut headers) }).await;
        headers.get(TRACEPARENT).map(str::to_owned)
    }

    #[tokio::test]
    async fn a_trace_is_passed_on_as_it_came_and_nothing_else_is() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(passed_on(trace).await.as_deref(), Some(trace));
        for none in
            ["", "a secret", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", &"0".repeat(9_999)]
        {
            assert_eq!(passed_on(none).await, None, "{none}");
        }
    }
}
