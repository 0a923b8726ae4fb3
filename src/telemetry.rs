//! Sets up logs, spans and metrics of the process: once, before the runtime starts; flushes them once, after it has
//! ended. Never shows a secret or the message of a panic.

use std::{collections::HashMap, fmt, sync::Arc};

use anyhow::Context;
use opentelemetry::global;
use opentelemetry_sdk::{
    metrics::SdkMeterProvider, propagation::TraceContextPropagator, trace::SdkTracerProvider,
};
use prometheus::{Registry, TextEncoder};

use crate::config::Config;

mod log;
mod mark;
mod merge;
mod panic;
mod process;
mod spans;

pub(crate) use merge::merge;

/// Renders all metrics of this process as Prometheus text.
pub(crate) type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// The telemetry of this process.
pub(crate) struct Telemetry {
    spans: Option<SdkTracerProvider>,
    meters: SdkMeterProvider,
    registry: Registry,
}

impl Telemetry {
    /// Sets up logs, spans and metrics for the whole process; log lines and samples of a worker process carry its slot.
    ///
    /// Call it outside the runtime: the exporter's blocking HTTP client must be neither created nor dropped within one.
    pub(crate) fn init(config: &Config, worker: Option<u32>) -> anyhow::Result<Self> {
        let label = worker.map(|slot| HashMap::from([("worker".to_owned(), slot.to_string())]));
        let registry = Registry::new_custom(None, label).context("the metrics cannot be set up")?;
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .context("the metrics cannot be set up")?;
        let meters = SdkMeterProvider::builder().with_reader(reader).build();
        global::set_meter_provider(meters.clone());
        global::set_text_map_propagator(TraceContextPropagator::new());
        process::observe(&global::meter("dynode"));
        let spans = spans::provider(&config.telemetry.otlp_endpoint).context("telemetry.otlp_endpoint")?;
        log::init(config, worker, spans.as_ref())?;
        panic::log_panics();
        Ok(Self { spans, meters, registry })
    }

    /// A function that renders all metrics as Prometheus text.
    pub(crate) fn render_metrics(&self) -> RenderMetrics {
        let registry = self.registry.clone();
        Arc::new(move || {
            let mut text = String::new();
            if let Err(error) = TextEncoder::new().encode_utf8(&registry.gather(), &mut text) {
                tracing::error!(%error, "the metrics cannot be written as text");
            }
            text
        })
    }

    /// Sends what is still buffered. Call it outside the runtime.
    pub(crate) fn shutdown(self) {
        if let Some(Err(error)) = self.spans.map(|spans| spans.shutdown()) {
            tracing::warn!(%error, "the last spans were not exported");
        }
        if let Err(error) = self.meters.shutdown() {
            tracing::warn!(%error, "the metrics did not shut down");
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}
