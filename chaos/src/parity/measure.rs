//! Measures how long the handles take: the same small chat, one after the other, from its send to its end.

use std::{io, time::Duration};

use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::{
    ground::{Ground, Name},
    handle::{Asked, Handle, Plan, Said},
};
use crate::checker::percentile;

/// How often each handle is asked.
const TIMES: usize = 25;

/// What one handle took, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Which.
    pub handle: Handle,
    /// Half of the answers took at most this long.
    pub p50_ms: f64,
    /// All but a twentieth took at most this long.
    pub p95_ms: f64,
    /// How many answers were measured.
    pub requests: usize,
}

/// Measures all handles in turns, so that other work of the machine affects all alike.
pub(super) async fn all(ground: &Ground, handles: &[Handle]) -> io::Result<Vec<Latency>> {
    let payload =
        json!({"model": "sim-fast", "messages": [{"role": "user", "content": "hi"}], "stream": false});
    let said = Said::Request(json!({"action": "chat.completion", "payload": payload}));
    let mut took = vec![Vec::new(); handles.len()];
    for _ in 0..TIMES {
        for (handle, took) in handles.iter().zip(&mut took) {
            let asked = Asked {
                id: ground.id(*handle),
                said: said.clone(),
                plan: Plan::default(),
                who: ground.who(Name::Usual),
            };
            let began = Instant::now();
            handle.converse(ground, std::slice::from_ref(&asked)).await?;
            took.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
    Ok(handles.iter().zip(took).map(|(handle, took)| Latency::of(*handle, took)).collect())
}

impl Latency {
    fn of(handle: Handle, mut micros: Vec<u64>) -> Self {
        micros.sort_unstable();
        let at = |percent| Duration::from_micros(percentile(&micros, percent)).as_secs_f64() * 1_000.0;
        Self { handle, p50_ms: at(50), p95_ms: at(95), requests: micros.len() }
    }
}
