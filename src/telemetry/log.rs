//! Writes log lines to standard error: text for people, or one JSON object per line.

use std::io::{self, IsTerminal};

use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use super::{mark::Mark, spans};
use crate::config::{Config, LogFormat};

/// Installs the process-wide subscriber: log lines pass the configured filter, spans their own, so that a quiet log
/// does not cut a trace.
pub(super) fn init(
    config: &Config,
    worker: Option<u32>,
    provider: Option<&SdkTracerProvider>,
) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).context("log")?;
    let spans = provider.map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("dynode"));
        layer.with_filter(filter_fn(spans::wants))
    });
    tracing_subscriber::registry()
        .with(lines(config.log_format, worker).with_filter(filter))
        .with(spans)
        .try_init()
        .context("the log is set up already")
}

fn lines(format: LogFormat, worker: Option<u32>) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = fmt::layer().with_writer(Mark::of(worker, format));
    match format {
        LogFormat::Text => lines.with_ansi(wants_colour()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    }
}

/// Colour is for terminals, unless the person opts out (<https://no-color.org>).
fn wants_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
