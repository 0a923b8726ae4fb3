//! Spans: W3C trace context for every request, and their export by OTLP where an endpoint is set.

use std::time::Duration;

use anyhow::Context;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use reqwest::{Certificate, blocking::Client};
use tracing::{Level, Metadata};

/// The crates whose spans make a trace; those of libraries would be most of it and say least.
const TRACED: [&str; 5] = ["dynode", "gateway", "actors", "broker", "adapters"];
/// A collector that takes longer is not there.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes spans, and sends them to `endpoint`. Without one there are none: a trace that a request names is passed on as it
/// came.
pub(super) fn provider(endpoint: &str) -> anyhow::Result<Option<SdkTracerProvider>> {
    if endpoint.is_empty() {
        return Ok(None);
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client()?)
        .with_endpoint(endpoint)
        .build()
        .context("the exporter cannot be set up")?;
    let provider =
        SdkTracerProvider::builder().with_resource(Resource::builder().with_service_name("dynode").build());
    Ok(Some(provider.with_batch_exporter(exporter).build()))
}

/// Whether a span, or a log line within it, is part of a trace. Spans are made for traces alone: where the log does not ask
/// for `debug`, and nothing is exported, there are none.
pub(super) fn wants(metadata: &Metadata<'_>) -> bool {
    let name = metadata.target().split("::").next().unwrap_or_default();
    let least = if metadata.is_span() { Level::DEBUG } else { Level::INFO };
    *metadata.level() <= least && TRACED.contains(&name)
}

/// A client that blocks: the exporter has a thread without a reactor, where an asynchronous one would never send.
/// It brings its own root certificates, since a bare container has none and the client could not be made.
fn client() -> anyhow::Result<Client> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| Certificate::from_der(der));
    Client::builder()
        .tls_certs_merge(roots.collect::<Result<Vec<_>, _>>()?)
        .timeout(EXPORT_TIMEOUT)
        .build()
        .context("the HTTP client cannot be set up")
}
