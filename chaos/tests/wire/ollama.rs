//! Ollama's own API: lines, the last of them, what is refused, and the faults in its words.

use chaos::provider::CallOutcome;
use serde_json::{Value, json};

use crate::client::{Got, Sim};

async fn ask(sim: &Sim, model: &str, members: Value) -> Got {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    sim.post("/api/chat", &[], &body).await
}

fn lines(got: &Got) -> Vec<Value> {
    got.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn it_streams_lines_unless_it_is_told_not_to() {
    let sim = Sim::start().await;
    let got = ask(&sim, "sim:tokens=2", json!({})).await;
    assert_eq!(got.header("content-type"), "application/x-ndjson");
    let lines = lines(&got);
    let text: String = lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
    assert_eq!((text.as_str(), lines.len()), ("A stream", 3));
    let done: Vec<_> = lines.iter().map(|line| line["done"].as_bool().unwrap()).collect();
    assert_eq!(done, [false, false, true]);
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["done_reason"], &last["eval_count"], &last["prompt_eval_count"]),
        (&json!("stop"), &json!(2), &json!(6))
    );
    let whole = ask(&sim, "sim:tokens=2", json!({"stream": false})).await;
    assert_eq!(
        (whole.json()["message"]["content"].as_str(), &whole.json()["done"]),
        (Some("A stream"), &json!(true))
    );
    assert_eq!(sim.ended().await.iter().map(|call| call.stream).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn a_tool_is_called_whole() {
    let sim = Sim::start().await;
    let schema = json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]);
    let lines = lines(&ask(&sim, "sim", json!({ "tools": tools })).await);
    let call = &lines[0]["message"]["tool_calls"][0];
    assert!(call["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(call["function"]["arguments"], json!({"city": "sim"}));
    assert_eq!((lines.len(), &lines[1]["done_reason"]), (2, &json!("stop")));
}

#[tokio::test]
async fn refusals_are_one_sentence() {
    let sim = Sim::start().await;
    let rows = [
        ("llama-0", json!({}), 404, "model 'llama-0' not found"),
        ("sim:503", json!({}), 503, "server busy"),
        ("sim", json!({"messages": [{"role": "bard", "content": "x"}]}), 400, "invalid role"),
        (
            "sim",
            json!({"messages": [{"role": "user", "content": "x", "images": ["*"]}]}),
            400,
            "illegal base64",
        ),
    ];
    for (model, members, status, words) in rows {
        let got = ask(&sim, model, members).await;
        assert_eq!(got.status, status, "{model}");
        assert!(got.json()["error"].as_str().unwrap().contains(words), "{}", got.text());
    }
}

#[tokio::test]
async fn faults_break_a_stream_in_ollamas_way() {
    let sim = Sim::start().await;
    let got = ask(&sim, "sim:tokens=8,error-after=3", json!({})).await;
    let lines = lines(&got);
    assert!(lines.len() == 4 && lines[3]["error"].is_string(), "{lines:#?}");
    assert_eq!(sim.ended().await[0].outcome, CallOutcome::Broken);
    assert!(ask(&sim, "sim:tokens=8,cut-after=3", json!({})).await.broken.is_some());
}

#[tokio::test]
async fn texts_become_vectors_in_their_order() {
    let sim = Sim::start().await;
    let embed = async |input: Value| {
        sim.post("/api/embed", &[], &json!({"model": "sim", "input": input, "dimensions": 4})).await
    };
    let both = embed(json!(["a", "b"])).await.json();
    assert_eq!(both["embeddings"][1], embed(json!("b")).await.json()["embeddings"][0]);
    assert_eq!(both["prompt_eval_count"], 2);
    assert_eq!(embed(json!(7)).await.status, 400);
}
