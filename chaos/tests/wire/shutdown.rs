//! The end of a server: calls that can end do, one that cannot holds nothing up.

use chaos::provider::{CallOutcome, Config, Provider};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::client::start;

#[tokio::test]
async fn a_short_call_is_finished_and_a_stalled_one_is_closed() {
    let provider = Provider::bind(Config::default()).await.unwrap();
    let (address, calls) = (provider.local_addr(), provider.calls());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(provider.serve(async { drop(stopped.await) }));
    let body =
        |model: &str| json!({"model": model, "stream": true, "messages": [{"role": "user"}]}).to_string();
    let short = start(address, "/v1/chat/completions", &[], body("sim-100ms")).await;
    let stalled = start(address, "/v1/chat/completions", &[], body("sim:stall")).await;
    stop.send(()).unwrap();
    assert!(short.into_body().collect().await.unwrap().to_bytes().ends_with(b"[DONE]\n\n"));
    serving.await.unwrap().unwrap();
    assert!(stalled.into_body().collect().await.is_err());
    assert!(TcpStream::connect(address).await.is_err(), "the port is free again");
    let outcomes: Vec<_> = calls.snapshot().entries.iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes, [CallOutcome::Answered, CallOutcome::ClientGone]);
}
