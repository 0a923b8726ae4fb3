//! Embeddings: the four forms of input, both encodings, dimensions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::Sim;

async fn embed(sim: &Sim, mut body: Value) -> Value {
    body["model"] = json!("sim");
    let got = sim.post("/v1/embeddings", &[], &body).await;
    assert_eq!(got.status, 200, "{}", got.text());
    got.json()
}

#[tokio::test]
async fn a_list_has_one_vector_for_each_input_in_order() {
    let sim = Sim::start().await;
    let got = embed(&sim, json!({"input": ["one", "two!!", "one"], "dimensions": 4})).await;
    assert_eq!((&got["object"], &got["model"]), (&json!("list"), &json!("sim")));
    assert_eq!(got["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    let data = got["data"].as_array().unwrap();
    for (index, item) in data.iter().enumerate() {
        assert_eq!((&item["object"], &item["index"]), (&json!("embedding"), &json!(index)));
        assert_eq!(item["embedding"].as_array().unwrap().len(), 4);
    }
    assert_eq!(data[0]["embedding"], data[2]["embedding"]);
    assert_ne!(data[0]["embedding"], data[1]["embedding"]);
}

#[tokio::test]
async fn base64_is_the_same_vector_in_little_endian_floats() {
    let sim = Sim::start().await;
    let floats = embed(&sim, json!({"input": "one", "encoding_format": "float"})).await;
    let packed = embed(&sim, json!({"input": "one", "encoding_format": "base64"})).await;
    let bytes = STANDARD.decode(packed["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let unpacked: Vec<f32> =
        bytes.chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect();
    let plain: Vec<f32> = serde_json::from_value(floats["data"][0]["embedding"].clone()).unwrap();
    assert_eq!(plain.len(), 1_536);
    assert_eq!(plain, unpacked);
}

#[tokio::test]
async fn tokens_are_taken_in_place_of_text() {
    let sim = Sim::start().await;
    let one = embed(&sim, json!({"input": [1, 2, 3], "dimensions": 2})).await;
    assert_eq!((one["data"].as_array().unwrap().len(), &one["usage"]["total_tokens"]), (1, &json!(3)));
    let two = embed(&sim, json!({"input": [[1, 2, 3], [4]], "dimensions": 2})).await;
    assert_eq!((two["data"].as_array().unwrap().len(), &two["usage"]["total_tokens"]), (2, &json!(4)));
    assert_eq!(one["data"][0]["embedding"], two["data"][0]["embedding"]);
}
