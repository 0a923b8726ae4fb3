//! Errors tell users nothing of what is behind this server, and its log tells its operator.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

use crate::support::{Broker, Launch};

/// What a provider says of a fault of its own.
const WORDS: &str = "connection to db-7.internal:5432 refused";

#[tokio::test]
async fn the_faults_of_a_provider_are_told_to_the_log_alone() {
    let broken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let absent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = format!(
        "[providers.broken]\nkind = \"openai_compatible\"\nbase_url = \"http://{}/v1\"\nmodels.broken = {{}}\n\
         [providers.absent]\nkind = \"openai_compatible\"\nbase_url = \"http://{}/v1\"\nmodels.absent = {{}}\n\
         [engine]\nretries = 0\n",
        broken.local_addr().unwrap(),
        absent.local_addr().unwrap()
    );
    drop(absent);
    let mut upstream = JoinSet::new();
    upstream.spawn(async move {
        let body = json!({"error": {"message": WORDS, "type": "server_error"}}).to_string();
        let head = "HTTP/1.1 500 x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length:";
        loop {
            let (mut stream, _) = broken.accept().await.unwrap();
            // However much of it: what is asked does not matter.
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await;
        }
    });
    let dynode = Launch::on(&Broker::Memory).file(&file).start().await;
    for (model, logged) in [("broken", WORDS), ("absent", "refused")] {
        let request = json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]});
        let (status, body) = dynode.post("/v1/chat/completions", &request).await;
        let told = body.to_string();
        assert!(status >= 500, "{status} {told}");
        for inside in ["db-7", "127.0.0.1", "refused"] {
            assert!(!told.contains(inside), "{inside}: {told}");
        }
        assert!(dynode.log().contains(logged), "{logged}: {}", dynode.log());
    }
    let outcomes = dynode.get("/v1/dead").await.1.to_string();
    assert!(!outcomes.contains("db-7"), "{outcomes}");
}
