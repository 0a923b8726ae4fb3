//! Replicate: predictions with polling, webhooks, streams and cancels, below `/replicate/v1`. A wait (`Prefer: wait`)
//! is over at once, as if its time had passed. Language models show their tokens at `urls.stream`, which needs no key.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::hook::{self, Hook};
use super::twist::{self, Job};
use super::visit::{Answer, Refusal, Reply, Vendor, Visit, look, work};
use crate::provider::calls::{Call, CallOutcome, OpenCall};
use crate::provider::sim::Sim;

static VENDOR: Vendor = Vendor {
    name: "replicate",
    key_header: "authorization",
    key_prefix: "Bearer ",
    error: |status, title, detail| json!({"title": title, "detail": detail, "status": status}),
    words,
    tells_retry_after: true,
};

pub(super) fn routes() -> Router<Arc<Sim>> {
    let create = |State(sim): State<Arc<Sim>>, request: Request| work(sim, &VENDOR, request, create);
    let state = |State(sim): State<Arc<Sim>>, request: Request| look(sim, &VENDOR, request, state);
    let cancel = |State(sim): State<Arc<Sim>>, request: Request| look(sim, &VENDOR, request, cancel);
    let version = |State(sim): State<Arc<Sim>>, request: Request| look(sim, &VENDOR, request, version);
    let secret = |State(sim): State<Arc<Sim>>, request: Request| look(sim, &VENDOR, request, secret);
    Router::new()
        .route("/replicate/v1/predictions", post(create))
        .route("/replicate/v1/models/{owner}/{name}/predictions", post(create))
        .route("/replicate/v1/models/{owner}/{name}/versions/{version}", get(version))
        .route("/replicate/streams/{id}", get(stream))
        .route("/replicate/v1/predictions/{id}", get(state))
        .route("/replicate/v1/predictions/{id}/cancel", post(cancel))
        .route("/replicate/v1/webhooks/default/secret", get(secret))
}

fn words(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => ("Unauthenticated", "You did not pass a valid authentication token"),
        402 => ("Payment Required", "You have insufficient credit to run this model."),
        404 => ("Not Found", "The requested resource could not be found."),
        429 => ("Too Many Requests", "Request was throttled. Expected available in 1 second."),
        500.. => ("Internal Server Error", "Something went wrong."),
        _ => ("Bad Request", "The request was refused."),
    }
}

fn create(visit: &Visit<'_>) -> Answer {
    if !visit.payload.get("input").is_some_and(Value::is_object) {
        return Err(Refusal::new(422, "Input validation failed", "- input is required"));
    }
    if visit.payload.pointer("/input/prompt").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(Refusal::new(422, "Input validation failed", "- input: prompt is required"));
    }
    let model = match visit.segment(2) {
        "models" => format!("{}/{}", visit.segment(3), visit.segment(4)),
        _ => visit.text("version").ok_or_else(|| Refusal::new(422, "", "- version is required"))?.to_owned(),
    };
    if model == "no/such" {
        return Err(Refusal::new(404, "Not Found", "The requested resource could not be found."));
    }
    let job = Job { twist: visit.twist.clone(), payload: visit.payload.clone(), model, ..Job::default() };
    if let Some(url) = visit.text("webhook") {
        let body = prediction(visit, &visit.id, &job, &job.end());
        hook::promise(visit, Hook { url: url.to_owned(), body, signs: true });
    }
    let mut jobs = visit.sim.jobs.lock();
    let slot = jobs.of(&visit.id);
    *slot = job;
    let (state, job) = (slot.state(), slot.clone());
    drop(jobs);
    Ok(Reply::json(StatusCode::CREATED, &prediction(visit, &visit.id, &job, &state)))
}

fn state(visit: &Visit<'_>) -> Answer {
    let id = visit.segment(3);
    let (state, job) = {
        let mut jobs = visit.sim.jobs.lock();
        let job = jobs.of(id);
        (job.ask(), job.clone())
    };
    if job.payload.is_null() {
        return Err(Refusal::new(404, "Not Found", "The requested resource could not be found."));
    }
    if state == twist::State::Unavailable {
        return Err(Refusal::new(503, "Service Unavailable", "Try again."));
    }
    Ok(Reply::json(StatusCode::OK, &prediction(visit, id, &job, &state)))
}

/// The tokens of a language model as events, and how it ended; then the job is done. Whoever knows the URL may see it.
async fn stream(State(sim): State<Arc<Sim>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let mut call = OpenCall::new(sim.calls.clone(), Call::arrived("/replicate/streams", &headers), None);
    let job = {
        let mut jobs = sim.jobs.lock();
        let job = jobs.of(&id);
        job.ended = true;
        job.clone()
    };
    if job.payload.is_null() || job.twist.stream == "gone" {
        call.end(CallOutcome::Refused, 404);
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut events: Vec<_> = tokens(&job).into_iter().map(|token| ("output", token)).collect();
    if job.twist.failed {
        events.truncate(1);
        events.push(("error", json!({"detail": "CUDA out of memory"}).to_string()));
    }
    let reason = if job.twist.failed { json!({"reason": "error"}) } else { json!({}) };
    events.push(("done", reason.to_string()));
    if job.twist.stream == "torn" {
        events.truncate(2);
    }
    let second = Timestamp::now().as_second();
    let event = |(number, (name, data)): (usize, (&str, String))| {
        let lines: String = data.split('\n').map(|line| format!("data: {line}\n")).collect();
        format!("event: {name}\nid: {second}:{number}\n{lines}\n")
    };
    let body: String = events.into_iter().enumerate().map(event).collect();
    call.end(CallOutcome::Answered, 200);
    ([(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")], body).into_response()
}

fn cancel(visit: &Visit<'_>) -> Answer {
    let id = visit.segment(3);
    let job = {
        let mut jobs = visit.sim.jobs.lock();
        let job = jobs.of(id);
        job.cancelled = true;
        job.clone()
    };
    Ok(Reply::json(StatusCode::OK, &prediction(visit, id, &job, &twist::State::Cancelled)))
}

fn secret(_: &Visit<'_>) -> Answer {
    Ok(Reply::json(StatusCode::OK, &json!({"key": hook::SECRET})))
}

fn version(visit: &Visit<'_>) -> Answer {
    let body = json!({"id": visit.segment(6), "created_at": Timestamp::now().to_string(), "cog_version": "0.9.4",
        "openapi_schema": {"components": {"schemas": {"Output": {"type": "array", "items": {"type": "string"}}}}}});
    Ok(Reply::json(StatusCode::OK, &body))
}

fn prediction(visit: &Visit<'_>, id: &str, job: &Job, state: &twist::State) -> Value {
    let status = match state {
        twist::State::Waiting | twist::State::Unavailable => "starting",
        twist::State::Working => "processing",
        twist::State::Done => "succeeded",
        twist::State::Failed => "failed",
        twist::State::Cancelled => "canceled",
        twist::State::Strange(word) => word,
    };
    let is_done = *state == twist::State::Done;
    let error = match (state, job.twist.withheld) {
        (twist::State::Failed, true) => {
            json!("NSFW content detected. Try running it again, or try a different prompt.")
        }
        (twist::State::Failed, false) => json!("CUDA out of memory"),
        _ => Value::Null,
    };
    let url = |suffix: &str| format!("{}/replicate/v1/predictions/{id}{suffix}", visit.base());
    let now = Timestamp::now().to_string();
    let mut urls = json!({"get": url(""), "cancel": url("/cancel")});
    if is_language(job) && job.twist.stream != "none" {
        let host = visit.host(&job.twist);
        urls["stream"] = format!("http://{host}/replicate/streams/{id}").into();
    }
    json!({
        "id": id, "model": job.model, "version": "hidden", "status": status, "input": job.payload["input"],
        "output": if is_done { output(visit, job) } else { Value::Null },
        "error": error, "logs": "", "data_removed": false, "source": "api", "created_at": now, "started_at": now,
        "completed_at": if is_done { json!(now) } else { Value::Null },
        "metrics": if is_done {
            json!({"predict_time": 1.25, "total_time": 1.5, "input_token_count": 7, "output_token_count": 3})
        } else { json!({}) },
        "urls": urls,
    })
}

fn is_language(job: &Job) -> bool {
    job.model.starts_with("meta/")
}

fn tokens(job: &Job) -> Vec<String> {
    let prompt = job.payload.pointer("/input/prompt").and_then(Value::as_str).unwrap_or_default();
    vec!["You".to_owned(), " said: ".to_owned(), prompt.to_owned()]
}

/// A language model's tokens, or any other model's files.
fn output(visit: &Visit<'_>, job: &Job) -> Value {
    if is_language(job) {
        return json!(tokens(job));
    }
    let count = job.payload.pointer("/input/num_outputs").and_then(Value::as_u64).unwrap_or(1).min(4);
    (0..count).map(|index| visit.file(&job.twist, &format!("out-{index}.png"))).collect()
}
