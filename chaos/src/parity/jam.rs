//! Jams a pool: a slow answer takes its one slot, and as many of the tenant wait behind it as may. Shows what the
//! handles tell about that, and about its end.

use std::{io, time::Duration};

use futures_util::StreamExt;
use reqwest::StatusCode;
use schemas::{Format, RequestId};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    ground::{Ground, Name},
    handle::{Handle, Heard, Socket, signed},
    rig::{JAMMED_POOL, TENANT_QUEUE_MAX},
};

/// How often to look for a change that nobody announces.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a signal may take: some heartbeats.
const SIGNAL_MAX: Duration = Duration::from_secs(15);

/// The requests that jam it.
#[derive(Debug)]
pub(super) struct Jam {
    ids: Vec<RequestId>,
}

impl Jam {
    /// Jams it.
    pub(super) async fn make(ground: &Ground) -> io::Result<Self> {
        // Dynode knows how long a request takes only after one has ended.
        let quick = hand_in(ground, &json!({"tokens": 10, "tokens_per_second": 40})).await?;
        until(ground, &quick, StatusCode::OK, "").await?;
        let slow = json!({"tokens": 200, "tokens_per_second": 4});
        let mut ids = vec![hand_in(ground, &slow).await?];
        until(ground, &ids[0], StatusCode::ACCEPTED, "running").await?;
        for _ in 0..TENANT_QUEUE_MAX {
            ids.push(hand_in(ground, &slow).await?);
        }
        Ok(Self { ids })
    }

    /// Cancels everything that jams it, from the last to the first, so that no waiting request begins.
    pub(super) async fn clear(self, ground: &Ground) -> io::Result<()> {
        for id in self.ids.iter().rev() {
            let request = ground.http.delete(ground.url(&format!("/v1/requests/{id}")));
            signed(request, &ground.who(Name::Usual)).send().await.map_err(io::Error::other)?;
        }
        for id in &self.ids {
            until(ground, id, StatusCode::OK, "").await?;
        }
        Ok(())
    }
}

async fn hand_in(ground: &Ground, simulate: &Value) -> io::Result<RequestId> {
    let id = ground.id(Handle::Requests);
    let payload = json!({
        "model": JAMMED_POOL, "messages": [{"role": "user", "content": "wait"}], "stream": true, "simulate": simulate,
    });
    let request = json!({"id": id, "action": "chat.completion", "payload": payload, "deadline_ms": 120_000});
    let request = ground.http.post(ground.url("/v1/requests")).json(&request);
    let response = signed(request, &ground.who(Name::Usual)).send().await.map_err(io::Error::other)?;
    match response.status() {
        StatusCode::ACCEPTED => Ok(id),
        status => Err(io::Error::other(format!("the pool cannot be jammed: {status}"))),
    }
}

/// Waits until a request has this status and state.
async fn until(ground: &Ground, id: &RequestId, wanted: StatusCode, state: &str) -> io::Result<()> {
    loop {
        let request = ground.http.get(ground.url(&format!("/v1/requests/{id}")));
        let response = signed(request, &ground.who(Name::Usual)).send().await.map_err(io::Error::other)?;
        let status = response.status();
        let body: Value = response.json().await.map_err(io::Error::other)?;
        if status == wanted && (state.is_empty() || body["status"] == state) {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What a handle tells about a jam and its end.
pub(super) async fn signals(ground: &Ground, handle: Handle) -> io::Result<Value> {
    let mut ear = Ear::open(ground, handle).await?;
    let jam = Jam::make(ground).await?;
    let paused = timeout(SIGNAL_MAX, ear.hear(ground, "pause")).await;
    jam.clear(ground).await?;
    let resumed = timeout(SIGNAL_MAX, ear.hear(ground, "resume")).await;
    let told = |heard| match heard {
        Ok(heard) => heard,
        Err(_) => Ok(Value::Null),
    };
    let (pause, resume) = (told(paused)?, told(resumed)?);
    let end = if pause.is_null() || resume.is_null() { "a signal did not come" } else { "succeeded" };
    Ok(json!({"end": end, "pause": pause, "resume": resume}))
}

/// A listener for signals.
enum Ear {
    Socket(Box<Socket>),
    /// Nobody tells an HTTP client: it polls.
    Status,
    Bus(async_nats::Subscriber),
}

impl Ear {
    async fn open(ground: &Ground, handle: Handle) -> io::Result<Self> {
        Ok(match handle {
            Handle::Socket | Handle::SocketPacked => {
                let socket = Socket::open(ground, &ground.who(Name::Usual), handle.format()).await?;
                Self::Socket(Box::new(socket.map_err(|_| io::Error::other("the socket is refused"))?))
            }
            Handle::Bus | Handle::BusPacked => Self::Bus(ground.bus()?.signals(JAMMED_POOL).await?),
            _ => Self::Status,
        })
    }

    /// Waits for the next signal of the pool that says `state`; returns what it tells.
    async fn hear(&mut self, ground: &Ground, state: &str) -> io::Result<Value> {
        loop {
            let signal = match self {
                Self::Socket(socket) => match socket.hear().await {
                    Heard::Signal(signal) => signal,
                    Heard::Closed(_) => return Err(io::Error::other("the socket was closed")),
                    _ => continue,
                },
                Self::Bus(signals) => {
                    let message = signals.next().await.ok_or_else(|| io::Error::other("no signals"))?;
                    Format::Json.decode(&message.payload).map_err(io::Error::other)?
                }
                Self::Status => {
                    sleep(LOOK_EVERY).await;
                    status(ground).await?
                }
            };
            if signal["pool"] == JAMMED_POOL && signal["state"] == state {
                let waits = signal["estimated_wait_ms"].is_u64();
                return Ok(json!({"state": state, "estimated_wait": waits}));
            }
        }
    }
}

/// What `/v1/status` says about the pool, in the words of a signal.
async fn status(ground: &Ground) -> io::Result<Value> {
    let request = signed(ground.http.get(ground.url("/v1/status")), &ground.who(Name::Usual));
    let body: Value =
        request.send().await.map_err(io::Error::other)?.json().await.map_err(io::Error::other)?;
    let pools = body["pools"].as_array().into_iter().flatten();
    let Some(mut pool) = pools.into_iter().find(|pool| pool["pool"] == JAMMED_POOL).cloned() else {
        return Ok(Value::Null);
    };
    pool["state"] = if pool["state"] == "paused" { "pause" } else { "resume" }.into();
    Ok(pool)
}
