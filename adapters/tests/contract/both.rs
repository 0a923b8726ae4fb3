//! The promises of the trait. Each check is written once and met by every kind of provider.

use std::io::Write;

use adapters::Remedy;
use schemas::{ErrorCode, chat::FinishReason};
use tempfile::NamedTempFile;

use super::{
    anthropic, gemini, ollama, responses,
    server::{Act, Server, done, end, event, reply, stream_head},
    *,
};

/// What the provider is to do.
#[derive(Clone, Copy)]
pub(super) enum Scene {
    Streams,
    Answers,
    CallsATool,
    Refuses,
    BreaksAfterTwo,
    StallsAfterTwo,
    Embeds,
}

/// A provider in that scene, and the call to make of it.
struct Stage {
    adapter: Arc<dyn Adapter>,
    call: Call,
    /// These live as long as the stage.
    _server: Option<Server>,
    _file: Option<NamedTempFile>,
}

/// OpenAI's API, described by a file: what it can be asked for without tools.
const FILE: &str = r#"
[models]
m = { call = "chat" }
[calls.chat]
action = "chat.completion"
[calls.chat.request]
path = "chat/completions"
json = { messages = "{{ payload.messages }}", stream = "{{ payload.stream | default(false) }}" }
[calls.chat.reply]
text = "{{ reply.choices[0].message.content }}"
finish_reason = "{{ reply.choices[0].finish_reason }}"
usage = { input_tokens = "{{ reply.usage.prompt_tokens }}", output_tokens = "{{ reply.usage.completion_tokens }}" }
[calls.chat.stream]
framing = "events"
text = "{{ reply.choices[0].delta.content }}"
finish_reason = "{{ reply.choices[0].finish_reason }}"
[calls.vectors]
action = "embedding.query"
[calls.vectors.request]
path = "embeddings"
json = { input = "{{ payload.input }}" }
[calls.vectors.reply]
vectors = "{{ reply.data | map(attribute='embedding') | list }}"
usage.input_tokens = "{{ reply.usage.prompt_tokens }}"
"#;

/// A provider by a file in that scene; none where a file cannot say it.
async fn by_file(scene: Scene) -> Option<Stage> {
    let acts = match scene {
        Scene::CallsATool => return None,
        Scene::Embeds => {
            let data = json!([{"embedding": [1, 0, 0, 0]}, {"embedding": [0.5, 0.5, 0.5, 0.5]}]);
            vec![reply(200, "", &json!({"data": data, "usage": {"prompt_tokens": 2}}).to_string())]
        }
        scene => acts(scene),
    };
    let call = if matches!(scene, Scene::Embeds) { "vectors" } else { "chat" };
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(
        FILE.replace("m = { call = \"chat\" }", &format!("m = {{ call = \"{call}\" }}")).as_bytes(),
    )
    .unwrap();
    let stage = over_http("dynamic", scene, acts, json!({"file": file.path()})).await;
    Some(Stage { _file: Some(file), ..stage })
}

fn simulated(scene: Scene) -> Stage {
    let fields = match scene {
        Scene::Streams => json!({"stream": true}),
        Scene::Answers => json!({}),
        Scene::CallsATool => json!({"stream": true, "tool_choice": "required", "tools": [tool()]}),
        Scene::Refuses => json!({"simulate": {"fail": "rate_limited", "retry_after_ms": 1500}}),
        Scene::BreaksAfterTwo => {
            json!({"stream": true, "simulate": {"fail": "provider_error", "after_tokens": 2}})
        }
        Scene::StallsAfterTwo => json!({"stream": true, "simulate": {"stall_after_tokens": 2}}),
        Scene::Embeds => json!({}),
    };
    let action = if matches!(scene, Scene::Embeds) { Action::EmbeddingQuery } else { Action::ChatCompletion };
    let adapter = provider(json!({"kind": "simulated", "models": {"m": {"action": action}}}));
    Stage { adapter, call: call(scene, fields), _server: None, _file: None }
}

async fn over_http(kind: &str, scene: Scene, acts: Vec<Act>, more: Value) -> Stage {
    let fields = match scene {
        Scene::Answers | Scene::Refuses | Scene::Embeds => json!({}),
        _ => json!({"stream": true}),
    };
    let server = Server::start(acts).await;
    let mut table = json!({"kind": kind, "base_url": server.base_url, "models": {"m": {}}});
    table.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Stage { adapter: provider(table), call: call(scene, fields), _server: Some(server), _file: None }
}

fn call(scene: Scene, fields: Value) -> Call {
    let mut call = chat(fields);
    match scene {
        // Long enough for two tokens on a busy machine, short enough to wait for.
        Scene::StallsAfterTwo => call.deadline = Instant::now() + Duration::from_millis(500),
        Scene::Embeds => {
            call.action = Action::EmbeddingQuery;
            call.payload = json!({"model": "alias", "input": ["one", "two words"], "dimensions": 4});
        }
        _ => {}
    }
    call
}

fn tool() -> Value {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!({"type": "function", "function": {"name": "weather", "parameters": parameters}})
}

/// The same scene as bytes on the wire.
fn acts(scene: Scene) -> Vec<Act> {
    let piece = |delta: Value, reason: Value| {
        event(&json!({"model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}))
    };
    let text = |text: &str| piece(json!({"content": text}), Value::Null);
    let call = |call: Value| piece(json!({"tool_calls": [call]}), Value::Null);
    let usage = || json!({"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6});
    let last = || event(&json!({"choices": [], "usage": usage()}));
    match scene {
        Scene::Streams => {
            let stop = piece(json!({}), json!("stop"));
            vec![
                stream_head(),
                text("You said:"),
                text(" hello"),
                text(" there"),
                stop,
                last(),
                done(),
                end(),
            ]
        }
        Scene::Answers => {
            let message = json!({"role": "assistant", "content": "You said: hello there"});
            let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
            vec![reply(200, "", &json!({"model": "m-1", "choices": choices, "usage": usage()}).to_string())]
        }
        Scene::CallsATool => vec![
            stream_head(),
            call(json!({"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": ""}})),
            call(json!({"index": 0, "function": {"arguments": "{\"city\":"}})),
            call(json!({"index": 0, "function": {"arguments": "\"city\"}"}})),
            piece(json!({}), json!("tool_calls")),
            last(),
            done(),
            end(),
        ],
        Scene::Refuses => {
            let body = r#"{"error":{"message":"slower","code":"rate_limit_exceeded"}}"#;
            vec![reply(429, "retry-after-ms: 1500\r\n", body)]
        }
        Scene::BreaksAfterTwo => vec![stream_head(), text("You"), text(" said:"), Act::Close],
        Scene::StallsAfterTwo => vec![stream_head(), text("You"), text(" said:"), Act::Hang],
        Scene::Embeds => {
            let data = json!([{"index": 0, "embedding": [1, 0, 0, 0]}, {"index": 1, "embedding": "AAAAPwAAgL8AAAA/AACAvw=="}]);
            vec![reply(200, "", &json!({"data": data, "model": "m-1", "usage": usage()}).to_string())]
        }
    }
}

/// Runs `check` on every kind of provider in that scene, where it knows the scene.
async fn on_all(scene: Scene, check: impl AsyncFn(&str, Stage)) {
    check("simulated", simulated(scene)).await;
    let none = || json!({});
    check("openai_compatible", over_http("openai_compatible", scene, acts(scene), none()).await).await;
    check("gemini", over_http("gemini", scene, gemini::acts(scene), none()).await).await;
    check("ollama", over_http("ollama", scene, ollama::acts(scene), none()).await).await;
    if let Some(acts) = anthropic::acts(scene) {
        check("anthropic", over_http("anthropic", scene, acts, none()).await).await;
    }
    if let Some(acts) = responses::acts(scene) {
        let models = json!({"models": {"m": {"api": "responses"}}});
        check("responses", over_http("openai_compatible", scene, acts, models).await).await;
    }
    if let Some(stage) = by_file(scene).await {
        check("dynamic", stage).await;
    }
}

#[tokio::test]
async fn a_stream_is_the_start_then_deltas_then_their_sum() {
    on_all(Scene::Streams, async |kind, stage| {
        let items = all(&*stage.adapter, stage.call).await;
        assert!(matches!(items[0], Ok(Progress::Started)), "{kind}: {items:?}");
        let deltas = deltas(&items);
        assert_eq!(deltas.len() + 2, items.len(), "{kind}: one start and one end");
        assert!(deltas.len() > 1 && deltas.iter().all(|delta| !delta.is_empty()), "{kind}: {deltas:?}");
        let mut sum = ChatOutput::default();
        deltas.iter().for_each(|delta| sum.absorb(delta));
        assert_eq!(sum, output(&items), "{kind}");
        assert_eq!(
            (sum.text.as_str(), sum.finish_reason),
            ("You said: hello there", Some(FinishReason::Stop))
        );
    })
    .await;
}

#[tokio::test]
async fn without_a_wish_for_a_stream_the_answer_comes_whole() {
    on_all(Scene::Answers, async |kind, stage| {
        let items = all(&*stage.adapter, stage.call).await;
        assert!(matches!(items[..], [Ok(Progress::Started), Ok(Progress::Finished(_))]), "{kind}: {items:?}");
        assert_eq!(output(&items).text, "You said: hello there", "{kind}");
        let Some(Ok(Progress::Finished(finished))) = items.last() else { unreachable!() };
        assert!(
            !finished.usage.estimated && finished.usage.total_tokens() == 6,
            "{kind}: {:?}",
            finished.usage
        );
    })
    .await;
}

#[tokio::test]
async fn a_tool_call_names_itself_once_and_its_pieces_make_json() {
    on_all(Scene::CallsATool, async |kind, stage| {
        let items = all(&*stage.adapter, stage.call).await;
        let pieces: Vec<_> = deltas(&items).into_iter().flat_map(|delta| &delta.tool_calls).collect();
        assert_eq!(pieces.iter().filter(|piece| piece.id.is_some()).count(), 1, "{kind}");
        assert_eq!(pieces.iter().filter(|piece| piece.name.is_some()).count(), 1, "{kind}");
        let output = output(&items);
        assert_eq!(output.finish_reason, Some(FinishReason::ToolCalls), "{kind}");
        let arguments: Value = serde_json::from_str(&output.tool_calls[0].arguments).unwrap();
        assert_eq!(
            (output.tool_calls[0].name.as_str(), arguments),
            ("weather", json!({"city": "city"})),
            "{kind}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_when() {
    on_all(Scene::Refuses, async |kind, stage| {
        let error = stage.adapter.call(stage.call).await.err().expect("refused before it began");
        assert_eq!((error.code, error.remedy), (ErrorCode::RateLimited, Remedy::Throttle), "{kind}");
        assert_eq!(error.retry_after, Some(Duration::from_millis(1500)), "{kind}");
        assert_eq!(error.upstream_status, Some(429), "{kind}");
        let public = error.to_public();
        assert!(public.retryable && public.message.starts_with("p: "), "{kind}: {public:?}");
    })
    .await;
}

#[tokio::test]
async fn what_breaks_in_the_middle_is_one_error_after_what_came() {
    on_all(Scene::BreaksAfterTwo, async |kind, stage| {
        let items = all(&*stage.adapter, stage.call).await;
        assert_eq!((deltas(&items).len(), items.len()), (2, 4), "{kind}: {items:?}");
        assert_eq!(failure(&items).remedy, Remedy::Retry, "{kind}");
    })
    .await;
}

#[tokio::test]
async fn a_stalled_call_ends_by_its_deadline() {
    on_all(Scene::StallsAfterTwo, async |kind, stage| {
        let deadline = stage.call.deadline;
        let items = all(&*stage.adapter, stage.call).await;
        let error = failure(&items);
        assert_eq!((error.code, error.remedy), (ErrorCode::DeadlineExceeded, Remedy::Fatal), "{kind}");
        assert!(Instant::now() >= deadline, "{kind}");
        assert!(items.len() <= 4, "{kind}: {items:?}");
    })
    .await;
}

#[tokio::test]
async fn a_call_whose_deadline_has_passed_is_refused() {
    on_all(Scene::Streams, async |kind, stage| {
        let call = Call { deadline: Instant::now(), ..stage.call };
        let items = all(&*stage.adapter, call).await;
        assert_eq!((items.len(), failure(&items).code), (1, ErrorCode::DeadlineExceeded), "{kind}");
    })
    .await;
}

#[tokio::test]
async fn embeddings_come_in_the_order_of_the_inputs() {
    on_all(Scene::Embeds, async |kind, stage| {
        let items = all(&*stage.adapter, stage.call).await;
        let [Ok(Progress::Started), Ok(Progress::Finished(finished))] = &items[..] else {
            panic!("{kind}: {items:?}")
        };
        let Output::Embeddings(output) = &finished.output else { panic!("{kind}: {finished:?}") };
        assert_eq!(
            output.embeddings.iter().map(|vector| vector.0.len()).collect::<Vec<_>>(),
            [4, 4],
            "{kind}"
        );
        assert!(finished.usage.input_tokens > 0 && !finished.usage.estimated, "{kind}");
    })
    .await;
}

#[tokio::test]
async fn an_action_that_it_does_not_do_is_refused() {
    on_all(Scene::Streams, async |kind, stage| {
        let call = Call { action: Action::VideoRender, ..stage.call };
        let items = all(&*stage.adapter, call).await;
        assert_eq!((items.len(), failure(&items).remedy), (1, Remedy::FallBack), "{kind}");
    })
    .await;
}
