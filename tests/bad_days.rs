//! Bad days of providers, and requests that no provider can do, end to end: each ends soon, once, and with an error that says
//! what is wrong. (What is wrong with a request whatever it asks for is in `bad_input`; webhooks are in `webhook`.)

use serde_json::{Value, json};

use crate::support::Chain;

/// Chats by a provider's model, whose name says what happens; a file by a vendor, whose name says what comes in its place.
fn configuration(address: &str) -> String {
    let painter = |twist: &str| {
        format!(
            "[providers.{twist}]\nkind = \"dynamic\"\nfile = \"ideogram\"\nbase_url = \"http://{address}/ideogram\"\n\
             api_key_env = \"UPSTREAM_KEY\"\nheaders = {{ \"x-sim-media\" = \"{twist}\" }}\n\
             models.{twist}-image = {{ upstream = \"ideogram-v3\" }}\n"
        )
    };
    let painters: String = ["withheld", "huge", "moved", "page", "empty", "expired"].map(painter).concat();
    format!(
        r#"
        engine.retries = 0
        assets.bytes_max = 1_000_000
        [providers.upstream]
        kind = "openai_compatible"
        base_url = "http://{address}/v1"
        api_key_env = "UPSTREAM_KEY"
        [providers.upstream.models]
        blind = {{ upstream = "sim", vision = false }}
        handless = {{ upstream = "sim", tools = false }}
        small = {{ upstream = "sim", context_tokens = 50 }}
        cut = {{ upstream = "sim:tokens=12,cut-after=4" }}
        truncated = {{ upstream = "sim:tokens=12,truncate" }}
        malformed = {{ upstream = "sim:tokens=12,malformed" }}
        erring = {{ upstream = "sim:tokens=12,error-after=4" }}
        page = {{ upstream = "sim:html" }}
        spent = {{ upstream = "sim:quota" }}
        silent = {{ upstream = "sim:tokens=12,no-usage" }}
        [providers.claude]
        kind = "anthropic"
        base_url = "http://{address}/v1"
        api_key_env = "UPSTREAM_KEY"
        models.claude = {{ upstream = "sim" }}
        [providers.endless]
        kind = "dynamic"
        file = "shotstack"
        base_url = "http://{address}/shotstack/edit/v1"
        api_key_env = "UPSTREAM_KEY"
        headers = {{ "x-sim-media" = "polls=100000" }}
        {painters}"#
    )
}

fn chat(model: &str, more: &Value) -> Value {
    let mut payload =
        json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "hello"}]});
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"action": "chat.completion", "payload": payload})
}

fn image(model: &str) -> Value {
    json!({"action": "image.generate", "payload": {"model": model, "prompt": "a cube"}})
}

fn saying(content: &Value) -> Value {
    json!({"messages": [{"role": "user", "content": content}]})
}

/// What is asked, and the code and the words of the error.
fn rows() -> Vec<(Value, &'static str, &'static str)> {
    let seen = |kind: &str| {
        let url = format!("data:image/{kind};base64,iVBORw0KGgo=");
        saying(&json!([{"type": "image_url", "image_url": {"url": url}}]))
    };
    let large = format!("data:image/png;base64,{}", "A".repeat(6 * 1024 * 1024));
    let large = saying(&json!([{"type": "image_url", "image_url": {"url": large}}]));
    let tool = json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]});
    let clip = json!({"asset": {"type": "html", "html": "<p>x</p>"}, "start": 0, "length": 2});
    let endless = json!({"action": "video.render", "deadline_ms": 3_000,
        "payload": {"model": "shotstack", "timeline": {"tracks": [{"clips": [clip]}]}}});
    vec![
        (chat("blind", &seen("png")), "invalid_request", "images"),
        (chat("handless", &tool), "invalid_request", "tools"),
        (chat("small", &saying(&json!("word ".repeat(100)))), "invalid_request", "50"),
        (chat("claude", &seen("tiff")), "invalid_request", "`image/tiff`"),
        (chat("claude", &large), "invalid_request", "image exceeds 5 MB maximum"),
        (chat("cut", &json!({})), "provider_unavailable", ""),
        (chat("malformed", &json!({})), "provider_error", ""),
        (chat("erring", &json!({})), "provider_unavailable", ""),
        (chat("truncated", &json!({"stream": false})), "provider_error", ""),
        (chat("truncated", &json!({})), "provider_error", "in the middle"),
        (chat("page", &json!({})), "provider_unavailable", ""),
        (chat("spent", &json!({})), "provider_error", "quota"),
        (image("withheld-image"), "invalid_request", "withheld"),
        (image("huge-image"), "provider_error", "over the limit"),
        (image("moved-image"), "provider_error", "redirect"),
        (image("page-image"), "provider_error", "`text/html` where a file was expected"),
        (image("empty-image"), "provider_error", "empty"),
        (image("expired-image"), "provider_error", ""),
        (endless, "deadline_exceeded", "deadline"),
    ]
}

#[tokio::test]
async fn each_bad_day_ends_with_an_error_that_says_what_is_wrong() {
    let chain = Chain::start(configuration).await;
    let mut wrong = Vec::new();
    for (index, (mut request, code, words)) in rows().into_iter().enumerate() {
        let id = format!("r{index}");
        request["id"] = json!(id);
        let (status, accepted) = chain.dynode.post("/v1/requests", &request).await;
        assert_eq!(status, 202, "{request}: {accepted:#}");
        let outcome = chain.dynode.outcome(&id).await;
        let error = &outcome["error"];
        let message = error["message"].as_str().unwrap_or_default();
        if error["code"] != code || message.is_empty() || !message.contains(words) {
            wrong.push(format!(
                "{}\n  expected {code}: …{words}…\n  got {error}",
                request["payload"]["model"]
            ));
        }
        assert!(!outcome.to_string().contains("k-upstream"), "{outcome:#}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!chain.dynode.log().contains("panicked"), "{}", chain.dynode.log());
}

#[tokio::test]
async fn an_answer_without_its_usage_is_an_answer_and_the_usage_is_an_estimate() {
    let chain = Chain::start(configuration).await;
    let mut request = chat("silent", &json!({}));
    request["id"] = json!("r");
    chain.dynode.post("/v1/requests", &request).await;
    let outcome = chain.dynode.outcome("r").await;
    assert_eq!(outcome["status"], "succeeded", "{outcome:#}");
    assert_eq!(outcome["usage"]["estimated"], true, "{outcome:#}");
    assert!(outcome["usage"]["output_tokens"].as_u64().unwrap() > 0);
}
