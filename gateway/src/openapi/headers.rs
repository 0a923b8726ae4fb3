//! Describes the headers that a client may send and those that an answer carries.

use schemars::{JsonSchema, SchemaGenerator};
use schemas::RequestId;

use super::content::SchemaOf;

/// One header. Its description is the same wherever it is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) schema: SchemaOf,
    pub(super) example: &'static str,
}

const fn header<T: JsonSchema>(
    name: &'static str,
    description: &'static str,
    example: &'static str,
) -> Header {
    Header { name, description, schema: SchemaGenerator::subschema_for::<T>, example }
}

pub(crate) const IDEMPOTENCY_KEY: Header = header::<RequestId>(
    "Idempotency-Key",
    "Name the request yourself, so that sending it again attaches to the first and never runs it twice. The same key with \
     another body is a conflict.",
    "order-4711",
);
pub(crate) const ANTHROPIC_VERSION: Header = header::<String>(
    "anthropic-version",
    "The version of the API that is spoken: `2023-06-01` or `2026-10-21`.",
    "2023-06-01",
);
pub(crate) const LAST_EVENT_ID: Header = header::<String>(
    "Last-Event-ID",
    "Resume after this event: the `id` of the last one that you have, `<attempt>-<seq>`.",
    "1-41",
);
pub(crate) const RANGE: Header = header::<String>(
    "Range",
    "Ask for one range of bytes. Several are answered by the whole.",
    "bytes=0-1023",
);
pub(crate) const IF_RANGE: Header = header::<String>(
    "If-Range",
    "Apply `Range` only if this is still the ETag; else the whole is sent.",
    "\"9f86d081\"",
);
pub(crate) const IF_NONE_MATCH: Header = header::<String>(
    "If-None-Match",
    "The ETags that you have: where one is current, the answer is 304.",
    "\"9f86d081\"",
);

pub(crate) const REQUEST_ID: Header =
    header::<RequestId>("x-request-id", "The id of the request. Tell it when you report a fault.", "req-123");
pub(crate) const LOCATION: Header =
    header::<String>("Location", "Where the outcome can be read.", "/v1/requests/req-123");
pub(crate) const CONTENT_RANGE: Header =
    header::<String>("Content-Range", "Which bytes of how many these are.", "bytes 0-1023/4096");
pub(crate) const ETAG: Header =
    header::<String>("ETag", "The SHA-256 of the content, quoted.", "\"9f86d081\"");

pub(super) const RETRY_AFTER: Header = header::<u64>("Retry-After", "When to return, in whole seconds.", "2");
pub(super) const RETRY_AFTER_MS: Header =
    header::<u64>("retry-after-ms", "The same in milliseconds.", "1250");
pub(super) const ESTIMATED_WAIT: Header = header::<u64>(
    "x-dynode-estimated-wait-ms",
    "How long the queue is expected to take, in milliseconds.",
    "4000",
);
pub(super) const SHOULD_RETRY: Header =
    header::<String>("x-should-retry", "`false`: do not send it again as it is.", "false");
