//! Makes spans: W3C trace context for every request, exported by OTLP if an endpoint is set.

use std::time::Duration;

use anyhow::Context;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use reqwest::{Certificate, blocking::Client};
use tracing::{Level, Metadata};

/// The crates whose spans make a trace; spans of libraries would be most of it and say least.
const TRACED: [&str; 5] = ["dynode", "gateway", "actors", "broker", "adapters"];
/// A collector that takes longer counts as absent.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Exports spans to `endpoint`. Without one there are no spans: a trace context in a request is passed on unchanged.
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

/// Whether a span, or a log line within it, is part of a trace. Spans exist only for traces: without export, and
/// unless the log filter asks for `debug`, there are none.
pub(super) fn wants(metadata: &Metadata<'_>) -> bool {
    let name = metadata.target().split("::").next().unwrap_or_default();
    let least = if metadata.is_span() { Level::DEBUG } else { Level::INFO };
    *metadata.level() <= least && TRACED.contains(&name)
}

/// A blocking client: the exporter's thread has no reactor, so an asynchronous client would never send. It brings its
/// own root certificates: in a bare container, which has none, no client could be made.
fn client() -> anyhow::Result<Client> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| Certificate::from_der(der));
    Client::builder()
        .tls_certs_merge(roots.collect::<Result<Vec<_>, _>>()?)
        .timeout(EXPORT_TIMEOUT)
        .build()
        .context("the HTTP client cannot be set up")
}
