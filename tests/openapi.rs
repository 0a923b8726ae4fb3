//! The OpenAPI document and the page that shows it: valid to others, true of the server, safe to open.

use std::fs;

use reqwest::Method;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Broker, Dynode, Launch, client, module, program, run};

async fn get(dynode: &Dynode, path: &str) -> (reqwest::header::HeaderMap, String) {
    let answer = client().get(dynode.url() + path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    (answer.headers().clone(), answer.text().await.unwrap())
}

#[tokio::test]
async fn the_document_is_valid_openapi_and_printed_without_a_server() {
    let dir = tempdir().unwrap();
    let mut command = program(dir.path());
    command.arg("openapi");
    let printed = run(command, "").await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    let path = dir.path().join("openapi.json");
    fs::write(&path, &printed.out).unwrap();
    module("openapi_spec_validator", &["--schema", "3.1", path.to_str().unwrap()]).await;

    let dynode = Dynode::start(&Broker::Memory).await;
    let (headers, served) = get(&dynode, "/openapi.json").await;
    assert_eq!(headers["content-type"], "application/json");
    let [printed, served] = [printed.out, served].map(|text| serde_json::from_str::<Value>(&text).unwrap());
    assert_eq!(printed, served);
}

/// Requests that are made of the document, valid and not: within a bound, and from a seed, as `schemathesis.toml` says.
#[tokio::test]
async fn the_server_does_what_the_document_says() {
    // A reader that comes back to what nobody knows of is kept waiting for so long.
    let launch = Launch::on(&Broker::Memory).variable("DYNODE_GATEWAY__RESUME_WAIT_MS", "500");
    let dynode = launch.start().await;
    let url = dynode.url() + "/openapi.json";
    let wish = serde_json::json!({ "name": "fuzzing" });
    let made = client().post(dynode.url() + "/v1/keys").json(&wish).send().await.unwrap();
    let made: Value = serde_json::from_str(&made.text().await.unwrap()).unwrap();
    let bearer = format!("Authorization: Bearer {}", made["key"].as_str().unwrap());
    module("schemathesis.cli", &["run", "--header", &bearer, &url]).await;
    assert!(!dynode.log().contains("panic"), "{}", dynode.log());
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_may_do_nothing_else() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let (headers, page) = get(&dynode, "/docs").await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(!page.contains("http://") && !page.contains("https://"), "the page names another place");
    assert!(page.len() < 64 << 10, "{} bytes", page.len());
    let (headers, contract) = get(&dynode, "/docs/contract").await;
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert!(contract.contains("## WebSocket"), "{contract}");
}

/// What is described answers: no operation of the document is one that the router does not know.
#[tokio::test]
async fn every_operation_of_the_document_is_there() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let document: Value = serde_json::from_str(&get(&dynode, "/openapi.json").await.1).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let path = path.replace(['{', '}'], "");
            // Without a body, so that nothing is begun; the stream without an end is heard of by its head.
            let answer = client().request(method.clone(), dynode.url() + &path).send().await.unwrap();
            let status = answer.status().as_u16();
            assert!(status != 405 && status < 500, "{method} {path}: {status}");
            let unknown = status == 404 && answer.text().await.unwrap().contains("no route");
            assert!(!unknown, "{method} {path}");
        }
    }
}
