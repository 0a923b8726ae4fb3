//! Every fault of the grammar, as the client sees it and as the log tells it.

use std::error::Error as _;
use std::io;

use chaos::provider::CallOutcome;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::client::{Got, Sim, start};

/// A stream of eight tokens with that fault: ten chunks if nothing happened.
async fn stream(sim: &Sim, fault: &str) -> Got {
    sim.chat(&format!("sim:tokens=8,{fault}"), true).await
}

async fn whole(sim: &Sim, fault: &str) -> Got {
    sim.chat(&format!("sim:tokens=8,{fault}"), false).await
}

fn is_reset(error: &hyper::Error) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn a_status_refuses_whole_and_streamed_alike() {
    let table = [
        ("status=429,retry-after=2", 429, "rate_limit_error", Some("rate_limit_exceeded")),
        ("fault=500", 500, "server_error", None),
        ("503", 503, "service_unavailable_error", Some("server_is_overloaded")),
        ("400", 400, "invalid_request_error", None),
        ("401", 401, "authentication_error", Some("invalid_api_key")),
        ("quota", 429, "insufficient_quota", Some("insufficient_quota")),
    ];
    let sim = Sim::start().await;
    for (fault, status, kind, code) in table {
        for streamed in [false, true] {
            let got = sim.chat(&format!("sim:{fault}"), streamed).await;
            assert_eq!((got.status.as_u16(), got.error().0.as_deref()), (status, code), "{fault}");
            assert_eq!(got.json()["error"]["type"], kind, "{fault}");
            assert_eq!(got.headers.contains_key("retry-after"), fault.contains("retry-after"), "{fault}");
        }
    }
    assert_eq!(sim.chat("sim:429,retry-after=1500ms", false).await.header("retry-after"), "2");
    assert_eq!(sim.chat("sim:429,retry-after=1500ms", false).await.header("retry-after-ms"), "1500");
    assert!(sim.ended().await.iter().all(|call| call.outcome == CallOutcome::Refused));
}

#[tokio::test]
async fn html_is_what_a_lost_gateway_sends() {
    let sim = Sim::start().await;
    let got = whole(&sim, "html").await;
    assert_eq!((got.status.as_u16(), got.header("content-type")), (502, "text/html; charset=utf-8"));
    assert!(got.text().starts_with("<html>"));
}

#[tokio::test]
async fn a_cut_ends_the_connection_after_so_many_chunks() {
    let sim = Sim::start().await;
    for chunks in [0, 1, 4, 10] {
        let got = stream(&sim, &format!("cut-after={chunks}")).await;
        assert_eq!((got.status.as_u16(), got.events().len()), (200, chunks));
        assert!(got.broken.is_some_and(|error| !is_reset(&error)));
        let calls = sim.ended().await;
        let call = calls.last().unwrap();
        assert_eq!((call.outcome, call.chunks as usize), (CallOutcome::Broken, chunks));
        assert_eq!(call.fault.as_deref(), Some(format!("cut-after={chunks}").as_str()));
    }
    let got = whole(&sim, "cut-after=0").await;
    assert!(got.broken.is_some() && !got.body.is_empty());
}

#[tokio::test]
async fn a_reset_is_seen_as_a_reset() {
    let sim = Sim::start().await;
    let got = stream(&sim, "reset-after=3").await;
    assert_eq!(got.events().len(), 3);
    assert!(got.broken.as_ref().is_some_and(is_reset), "{:?}", got.broken);
    let got = whole(&sim, "reset-after=0").await;
    assert!(got.broken.as_ref().is_some_and(is_reset), "{:?}", got.broken);
}

#[tokio::test]
async fn a_stall_lasts_until_the_client_goes_away_and_is_logged_so() {
    let sim = Sim::start().await;
    for (fault, streamed, chunks) in [("stall", true, 0), ("stall-after=3", true, 3), ("stall", false, 0)] {
        let body = json!({
            "model": format!("sim:{fault}"), "stream": streamed,
            "messages": [{"role": "user", "content": "hello"}],
        });
        let mut response = start(sim.address, "/v1/chat/completions", &[], body.to_string()).await;
        assert_eq!(response.status(), 200);
        let mut events = 0;
        while events < chunks {
            let frame = response.frame().await.unwrap().unwrap().into_data().unwrap();
            events += frame.windows(2).filter(|pair| pair == b"\n\n").count();
        }
        assert_eq!(sim.seen().entries.last().unwrap().outcome, CallOutcome::InProgress);
        drop(response);
        let calls = sim.ended().await;
        let call = calls.last().unwrap();
        assert_eq!((call.outcome, call.chunks as usize), (CallOutcome::ClientGone, chunks));
    }
}

#[tokio::test]
async fn truncated_and_malformed_answers_end_well_and_are_no_json() {
    let sim = Sim::start().await;
    for fault in ["truncate", "malformed"] {
        let got = whole(&sim, fault).await;
        assert!(got.broken.is_none() && got.status == 200);
        assert!(serde_json::from_slice::<Value>(&got.body).is_err(), "{fault}");
    }
    let got = stream(&sim, "truncate").await;
    assert!(got.broken.is_none());
    assert_eq!(got.events().len(), 5);
    assert!(!got.text().ends_with("\n\n"));
    let got = stream(&sim, "malformed").await;
    let good = |data: &&str| serde_json::from_str::<Value>(data).is_ok();
    let events = got.events();
    assert!(good(&events[0]) && !good(&events[1]) && events[2..10].iter().all(good));
    assert_eq!(events.last(), Some(&"[DONE]"));
}

#[tokio::test]
async fn an_error_event_ends_a_stream_without_done() {
    let sim = Sim::start().await;
    let got = stream(&sim, "error-after=3").await;
    let events = got.events();
    assert_eq!(events.len(), 4);
    let error: Value = serde_json::from_str(events[3]).unwrap();
    assert_eq!(error["error"]["type"], "server_error");
    assert!(got.broken.is_none());
    assert_eq!(sim.ended().await[0].outcome, CallOutcome::Broken);
    assert_eq!(whole(&sim, "error-after=3").await.status, 500);
}

#[tokio::test]
async fn usage_and_done_can_be_left_out() {
    let sim = Sim::start().await;
    assert!(whole(&sim, "no-usage").await.json().get("usage").is_none());
    let body = json!({
        "model": "sim:no-usage", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "hello"}],
    });
    let got = sim.post("/v1/chat/completions", &[], &body).await;
    assert!(got.chunks().iter().all(|chunk| chunk.get("usage").is_none()));
    let got = stream(&sim, "no-done").await;
    assert_eq!(got.events().len(), 10);
    assert!(got.broken.is_none());
    assert_eq!(sim.ended().await.last().unwrap().outcome, CallOutcome::Answered);
}

#[tokio::test]
async fn a_drip_is_the_whole_answer_in_single_bytes() {
    let sim = Sim::start().await;
    let got = sim.chat("sim:tokens=1,gap=1ms,drip", false).await;
    assert_eq!(got.json()["choices"][0]["message"]["content"], "A");
    let body = json!({
        "model": "sim:tokens=1,drip,gap=1ms", "stream": true,
        "messages": [{"role": "user", "content": "hello"}],
    });
    let mut response = start(sim.address, "/v1/chat/completions", &[], body.to_string()).await;
    let first = response.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first.as_ref(), b"d");
}

#[tokio::test]
async fn embeddings_meet_the_same_faults() {
    let sim = Sim::start().await;
    let embed = async |fault: &str| {
        let body = json!({"model": format!("sim:{fault}"), "input": "a"});
        sim.post("/v1/embeddings", &[], &body).await
    };
    assert_eq!(embed("503").await.status, 503);
    assert!(embed("cut-after=0").await.broken.is_some());
    assert!(embed("no-usage").await.json().get("usage").is_none());
}
