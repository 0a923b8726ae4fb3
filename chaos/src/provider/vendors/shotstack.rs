//! Shotstack: `POST /shotstack/edit/{v1|stage}/render`, then `GET …/render/{id}` until it is done, or a callback.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::hook::{self, Hook};
use super::twist::{self, Job};
use super::visit::{Answer, Refusal, Reply, Vendor, Visit, look, work};
use crate::provider::sim::Sim;

static VENDOR: Vendor = Vendor {
    name: "shotstack",
    key_header: "x-api-key",
    key_prefix: "",
    error,
    words,
    tells_retry_after: false,
};

pub(super) fn routes() -> Router<Arc<Sim>> {
    let render = |State(sim): State<Arc<Sim>>, request: Request| work(sim, &VENDOR, request, render);
    let state = |State(sim): State<Arc<Sim>>, request: Request| look(sim, &VENDOR, request, state);
    Router::new()
        .route("/shotstack/edit/{stage}/render", post(render))
        .route("/shotstack/edit/{stage}/render/{id}", get(state))
}

/// The gateway in front words its errors differently from the service behind it.
fn error(status: u16, _: &str, message: &str) -> Value {
    match status {
        401 | 403 | 429 | 500.. => json!({ "message": message }),
        _ => json!({"success": false, "message": "Bad Request", "response": {"error": message}}),
    }
}

fn words(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => ("", "Unauthorized"),
        403 => ("", "Forbidden"),
        429 => ("", "Too Many Requests"),
        500.. => ("", "Internal Server Error"),
        _ => ("", "The request was refused."),
    }
}

fn render(visit: &Visit<'_>) -> Answer {
    let invalid = |message: &str| Refusal::new(400, "", message);
    let tracks = visit.payload.pointer("/timeline/tracks").and_then(Value::as_array);
    if tracks.is_none_or(Vec::is_empty) {
        return Err(invalid("\"timeline.tracks\" is required"));
    }
    if visit.payload.pointer("/output/format").and_then(Value::as_str).is_none() {
        return Err(invalid("\"output.format\" is required"));
    }
    let job = Job { twist: visit.twist.clone(), payload: visit.payload.clone(), ..Job::default() };
    if let Some(url) = visit.text("callback") {
        let (status, error) = match job.end() {
            twist::State::Done => ("done", Value::Null),
            _ => ("failed", "Asset could not be downloaded".into()),
        };
        let file = visit.file(&job.twist, &format!("{}.mp4", visit.id));
        let body = json!({"type": "edit", "action": "render", "id": visit.id, "owner": "sim", "status": status,
            "url": file, "error": error, "completed": Timestamp::now().to_string()});
        hook::promise(visit, Hook { url: url.to_owned(), body, signs: false });
    }
    *visit.sim.jobs.lock().of(&visit.id) = job;
    let queued = json!({"message": "Render Successfully Queued", "id": visit.id});
    Ok(Reply::json(StatusCode::CREATED, &json!({"success": true, "message": "Created", "response": queued})))
}

fn state(visit: &Visit<'_>) -> Answer {
    let id = visit.segment(4);
    let (state, twist) = {
        let mut jobs = visit.sim.jobs.lock();
        let job = jobs.of(id);
        if job.payload.is_null() {
            return Err(Refusal::new(404, "", "Not Found"));
        }
        (job.ask(), job.twist.clone())
    };
    let status = match &state {
        twist::State::Unavailable => return Err(Refusal::new(503, "", "Service Unavailable")),
        twist::State::Waiting => "queued",
        twist::State::Working => "rendering",
        twist::State::Done => "done",
        twist::State::Failed | twist::State::Cancelled => "failed",
        twist::State::Strange(word) => word,
    };
    let now = Timestamp::now().to_string();
    let mut response = json!({"id": id, "owner": "sim", "plan": "sandbox", "status": status, "created": now, "updated": now});
    if state == twist::State::Done {
        response["url"] = visit.file(&twist, &format!("{id}.mp4")).into();
        response["duration"] = json!(2.5);
        response["renderTime"] = json!(1_234.5);
    }
    if state == twist::State::Failed {
        response["error"] = "Asset could not be downloaded".into();
    }
    Ok(Reply::json(StatusCode::OK, &json!({"success": true, "message": "OK", "response": response})))
}
