//! The metric instruments of the gateway, created once. Labels are closed sets: never an id, free text, or a model name
//! that a client made up.

use std::time::Duration;

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, UpDownCounter},
};

/// Seconds, from a cached answer to a long one.
const DURATION_BOUNDS_S: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];

#[derive(Debug, Clone)]
pub(crate) struct Meters {
    accepted: Counter<u64>,
    refused: Counter<u64>,
    ended: Counter<u64>,
    duration: Histogram<f64>,
    inflight: UpDownCounter<i64>,
    connections: UpDownCounter<i64>,
    turned_away: Counter<u64>,
    floods: Counter<u64>,
    sockets: UpDownCounter<i64>,
    members: UpDownCounter<i64>,
    request_bytes: UpDownCounter<i64>,
    deserted: Counter<u64>,
    rated: Counter<u64>,
    recoveries: Counter<u64>,
    gaps: Counter<u64>,
    joined: Counter<u64>,
    estimate_error: Histogram<f64>,
}

impl Meters {
    pub(crate) fn new() -> Self {
        let meter = global::meter("dynode");
        let counter =
            |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        let level = |name: &'static str, what: &'static str| {
            meter.i64_up_down_counter(name).with_description(what).build()
        };
        Self {
            accepted: counter("dynode_gateway_accepted", "requests whose publish the broker acknowledged"),
            refused: counter("dynode_gateway_refused", "requests that were refused at the door"),
            ended: counter("dynode_gateway_ended", "requests that a door has answered to the end"),
            duration: meter
                .f64_histogram("dynode_gateway_duration_seconds")
                .with_description("from the first byte read to the end of the answer")
                .with_boundaries(DURATION_BOUNDS_S.to_vec())
                .build(),
            inflight: level("dynode_gateway_inflight", "requests that doors wait for"),
            connections: level("dynode_gateway_connections", "open connections"),
            turned_away: counter(
                "dynode_gateway_connections_turned_away",
                "connections of addresses that had as many as they may, by whether they were told",
            ),
            floods: counter(
                "dynode_gateway_floods",
                "connections that were cut since their clients sent pings and their like without end",
            ),
            sockets: level("dynode_gateway_sockets", "open WebSockets"),
            members: level("dynode_gateway_members", "sessions that WebSockets have joined"),
            request_bytes: level("dynode_gateway_request_bytes", "bytes of requests that doors hold"),
            deserted: counter(
                "dynode_gateway_deserted",
                "chats that were cancelled since their clients had gone and did not come back",
            ),
            rated: counter("dynode_feedback", "requests that were rated, by their first rating"),
            recoveries: counter("dynode_gateway_feed_recoveries", "reads of the event stream to fill a gap"),
            joined: counter(
                "dynode_gateway_feed_joined",
                "frames that stand for several, for a reader behind",
            ),
            gaps: counter("dynode_gateway_feed_gaps", "gaps that the event stream could not fill"),
            estimate_error: meter
                .f64_histogram("dynode_gateway_estimate_error_seconds")
                .with_description(
                    "how far the estimated wait was off, by whether it was too long or too short",
                )
                .with_boundaries(DURATION_BOUNDS_S.to_vec())
                .build(),
        }
    }

    pub(crate) fn accepted(&self, door: &'static str, action: &'static str) {
        self.accepted.add(1, &[KeyValue::new("door", door), KeyValue::new("action", action)]);
        self.inflight.add(1, &[KeyValue::new("door", door)]);
    }

    pub(crate) fn refused(&self, door: &'static str, code: &'static str) {
        self.refused.add(1, &[KeyValue::new("door", door), KeyValue::new("code", code)]);
    }

    pub(crate) fn ended(&self, door: &'static str, action: &'static str, status: &'static str, seconds: f64) {
        let labels =
            [KeyValue::new("door", door), KeyValue::new("action", action), KeyValue::new("status", status)];
        self.ended.add(1, &labels);
        self.duration.record(seconds, &labels[..1]);
        self.inflight.add(-1, &labels[..1]);
    }

    pub(crate) fn connection(&self, change: i64) {
        self.connections.add(change, &[]);
    }

    pub(crate) fn turned_away(&self, is_told: bool) {
        self.turned_away.add(1, &[KeyValue::new("told", is_told)]);
    }

    pub(crate) fn flood(&self, protocol: &'static str) {
        self.floods.add(1, &[KeyValue::new("protocol", protocol)]);
    }

    pub(crate) fn socket(&self, change: i64) {
        self.sockets.add(change, &[]);
    }

    pub(crate) fn member(&self, change: i64) {
        self.members.add(change, &[]);
    }

    pub(crate) fn request_bytes(&self, change: isize) {
        self.request_bytes.add(i64::try_from(change).unwrap_or_default(), &[]);
    }

    pub(crate) fn deserted(&self) {
        self.deserted.add(1, &[]);
    }

    /// `model` must be one that is served.
    pub(crate) fn rated(&self, model: &str, rating: &'static str) {
        self.rated.add(1, &[KeyValue::new("model", model.to_owned()), KeyValue::new("rating", rating)]);
    }

    pub(crate) fn joined(&self) {
        self.joined.add(1, &[]);
    }

    pub(crate) fn recovery(&self) {
        self.recoveries.add(1, &[]);
    }

    pub(crate) fn gap(&self) {
        self.gaps.add(1, &[]);
    }

    /// Records by how much the estimated wait was off, and in which direction.
    pub(crate) fn estimate(&self, (real, estimated): (Duration, Duration)) {
        let direction = if estimated > real { "too_long" } else { "too_short" };
        let off = real.abs_diff(estimated).as_secs_f64();
        self.estimate_error.record(off, &[KeyValue::new("direction", direction)]);
    }
}
