use futures_util::FutureExt;
use serde_json::{Value, json};

use super::*;

fn simulated(seed: u64, model: Value) -> Simulated {
    let table = json!({"kind": "simulated", "seed": seed, "models": {"m": model}});
    Simulated::new("sim", &serde_json::from_value(table).unwrap()).unwrap()
}

/// A call of `m` under the key `key`, with `simulate`.
fn call(key: &str, simulate: Value) -> Call {
    let mut payload =
        json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "one two three"}]});
    if !simulate.is_null() {
        payload["simulate"] = simulate;
    }
    Call {
        action: Action::ChatCompletion,
        model: "m".into(),
        payload,
        deadline: Instant::now() + Duration::from_secs(60),
        idempotency_key: key.into(),
        key: 0,
        traceparent: None,
        webhook: None,
    }
}

async fn all(adapter: &Simulated, call: Call) -> Vec<Result<Progress, Error>> {
    match adapter.call(call).await {
        Ok(progress) => progress.collect().await,
        Err(error) => vec![Err(error)],
    }
}

fn finished(items: &[Result<Progress, Error>]) -> Finished {
    match items.last() {
        Some(Ok(Progress::Finished(finished))) => (**finished).clone(),
        other => panic!("{other:?}"),
    }
}

/// The codes that `calls` calls of one key end with.
async fn fates(adapter: &Simulated, key: &str, simulate: Value, calls: usize) -> Vec<Option<ErrorCode>> {
    let mut fates = Vec::new();
    for _ in 0..calls {
        let items = all(adapter, call(key, simulate.clone())).await;
        fates.push(items.last().and_then(|item| item.as_ref().err().map(|error| error.code)));
    }
    fates
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_and_key_give_the_same_answer() {
    let model = json!({"output_tokens": 30});
    let texts = [(1, "a"), (1, "a"), (2, "a"), (1, "b")].map(|(seed, key)| {
        let adapter = simulated(seed, model.clone());
        async move { finished(&all(&adapter, call(key, Value::Null)).await).output }
    });
    let [first, again, other_seed, other_key] = future::join_all(texts).await.try_into().unwrap();
    assert_eq!(first, again);
    assert_ne!(first, other_seed);
    assert_ne!(first, other_key);
}

#[tokio::test(start_paused = true)]
async fn a_seed_of_the_request_takes_the_place_of_its_key() {
    let adapter = simulated(1, json!({"output_tokens": 30}));
    let said = async |key: &str, seed: u64| {
        finished(&all(&adapter, call(key, json!({ "seed": seed }))).await).output
    };
    assert_eq!(said("a", 7).await, said("b", 7).await);
    assert_ne!(said("a", 7).await, said("a", 8).await);
}

#[tokio::test(start_paused = true)]
async fn without_a_pace_it_never_waits() {
    let adapter = simulated(1, json!({"output_tokens": 20}));
    let call =
        adapter.call(call("a", Value::Null)).now_or_never().expect("the call itself does not wait").unwrap();
    let items: Vec<_> = call.collect().now_or_never().expect("nor does the stream");
    assert_eq!(items.len(), 1 + 20 + 1 + 1, "started, tokens, reason, finished");
    let usage = finished(&items).usage;
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.estimated), (3, 20, false));
}

#[tokio::test(start_paused = true)]
async fn tokens_keep_the_pace_of_the_model_or_of_the_request() {
    let adapter = simulated(1, json!({"first_token_ms": 500, "tokens_per_second": 10.0}));
    let began = Instant::now();
    let mut progress = adapter.call(call("a", Value::Null)).await.unwrap();
    let mut at = Vec::new();
    while let Some(item) = progress.next().await {
        if let Progress::Delta(_) = item.unwrap() {
            at.push(began.elapsed().as_millis());
        }
    }
    // "You said: one two three" and the reason to finish.
    assert_eq!(at, [500, 600, 700, 800, 900, 1000]);
    let began = Instant::now();
    let wishes = json!({"first_token_ms": 0, "tokens_per_second": 1.0, "tokens": 3});
    assert_eq!(all(&adapter, call("a", wishes)).await.len(), 6);
    assert_eq!(began.elapsed().as_millis(), 3000);
}

#[tokio::test(start_paused = true)]
async fn failures_come_as_they_were_asked_for() {
    let adapter = simulated(1, json!({}));
    for (word, code, remedy) in [
        ("rate_limited", ErrorCode::RateLimited, Remedy::Throttle),
        ("provider_error", ErrorCode::ProviderError, Remedy::Retry),
        ("provider_unavailable", ErrorCode::ProviderUnavailable, Remedy::Retry),
        ("invalid_request", ErrorCode::InvalidRequest, Remedy::Fatal),
    ] {
        let wishes = json!({"fail": word, "retry_after_ms": 250});
        let error = adapter.call(call("a", wishes)).await.err().unwrap();
        assert_eq!((error.code, error.remedy), (code, remedy));
        assert_eq!(error.retry_after, Some(Duration::from_millis(250)));
    }
    let items = all(&adapter, call("a", json!({"fail": "provider_error", "after_tokens": 2}))).await;
    assert_eq!(items.len(), 1 + 2 + 1, "{items:?}");
    assert!(items[3].is_err());
    let late = all(&adapter, call("a", json!({"fail": "provider_error", "after_tokens": 99}))).await;
    assert!(late.last().unwrap().is_err(), "a failure after the last token still comes");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_over_after_its_times_by_request() {
    let adapter = simulated(1, json!({}));
    let wishes = json!({"fail": "provider_unavailable", "times": 2});
    let failed = Some(ErrorCode::ProviderUnavailable);
    assert_eq!(fates(&adapter, "a", wishes.clone(), 3).await, [failed, failed, None]);
    assert_eq!(fates(&adapter, "b", wishes, 1).await, [failed]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_rate_is_met_and_repeats_itself() {
    let adapter = simulated(7, json!({"failure_rate": 0.3}));
    let mut failed = 0;
    for request in 0..1000 {
        failed += usize::from(fates(&adapter, &request.to_string(), Value::Null, 1).await[0].is_some());
    }
    assert!((250..350).contains(&failed), "{failed} of 1000");
    let (one, two) = (simulated(7, json!({"failure_rate": 0.5})), simulated(7, json!({"failure_rate": 0.5})));
    let fates_of_one = fates(&one, "a", Value::Null, 20).await;
    assert_eq!(fates_of_one, fates(&two, "a", Value::Null, 20).await);
    assert!(fates_of_one.contains(&None), "a retry may succeed");
}

#[tokio::test(start_paused = true)]
async fn a_stall_lasts_until_the_deadline() {
    let adapter = simulated(1, json!({}));
    let began = Instant::now();
    let items = all(&adapter, call("a", json!({"stall_after_tokens": 1}))).await;
    assert_eq!(items.len(), 1 + 1 + 1);
    assert_eq!(items[2].as_ref().unwrap_err().code, ErrorCode::DeadlineExceeded);
    assert_eq!(began.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn wishes_that_make_no_sense_are_named() {
    let adapter = simulated(1, json!({}));
    for (wishes, path) in [
        (json!({"fail": "softly"}), "payload.simulate.fail"),
        (json!({"failed": true}), "payload.simulate.failed"),
        (json!({"tokens": 4_000_000_000_u32}), "payload.simulate.tokens"),
        (json!({"tokens_per_second": 1e-300}), "payload.simulate.tokens_per_second"),
        (json!({"first_token_ms": u64::MAX}), "payload.simulate.first_token_ms"),
        (json!(7), "payload.simulate"),
    ] {
        let error = adapter.call(call("a", wishes.clone())).await.err().unwrap();
        assert_eq!((error.code, error.remedy), (ErrorCode::InvalidRequest, Remedy::Fatal));
        assert!(error.message.starts_with(path), "{wishes}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn embeddings_have_the_wanted_length_and_pace() {
    let adapter = simulated(1, json!({"action": "embedding.query", "dimensions": 8, "first_token_ms": 40}));
    let began = Instant::now();
    let ask = |payload: Value| Call { action: Action::EmbeddingQuery, payload, ..call("a", Value::Null) };
    let items = all(&adapter, ask(json!({"model": "m", "input": ["a b", "c"]}))).await;
    assert_eq!(began.elapsed().as_millis(), 40);
    let Output::Embeddings(output) = finished(&items).output else { panic!("{items:?}") };
    assert_eq!(output.embeddings.iter().map(|vector| vector.0.len()).collect::<Vec<_>>(), [8, 8]);
    assert_eq!(finished(&items).usage.input_tokens, 3);
    for (payload, path) in [
        (json!({"model": "m", "input": "a", "dimensions": 0}), "payload.dimensions"),
        (json!({"model": "m", "input": "a", "dimensions": 1_000_000}), "payload.dimensions"),
        (json!({"model": "m", "input": {}}), "payload.input"),
    ] {
        let error = adapter.call(ask(payload)).await.err().unwrap();
        assert!(error.message.starts_with(path), "{error}");
    }
    let failed =
        all(&adapter, ask(json!({"model": "m", "input": "a", "simulate": {"fail": "rate_limited"}}))).await;
    assert!(failed[0].is_err());
}

fn ask(action: Action, payload: Value) -> Call {
    Call { action, payload, ..call("a", Value::Null) }
}

/// The files that came, whole, and the end.
fn files(items: &[Result<Progress, Error>]) -> (Vec<Vec<u8>>, Finished) {
    let mut files = vec![Vec::new()];
    for item in items {
        if let Ok(Progress::File(piece)) = item {
            assert_eq!(piece.file as usize, files.len() - 1, "in order");
            files.last_mut().unwrap().extend_from_slice(&piece.bytes);
            if piece.is_last {
                files.push(Vec::new());
            }
        }
    }
    assert!(files.pop().unwrap().is_empty(), "every file ends");
    (files, finished(items))
}

#[tokio::test(start_paused = true)]
async fn images_follow_from_seed_key_and_prompt() {
    let adapter = simulated(1, json!({"action": "image.generate"}));
    let paint = async |prompt: &str| {
        let payload = json!({"prompt": prompt, "n": 2, "size": "64x32"});
        files(&all(&adapter, ask(Action::ImageGenerate, payload)).await)
    };
    let (pictures, end) = paint("a cat").await;
    assert_eq!((pictures.len(), end.usage.images), (2, 2));
    assert!(pictures.iter().all(|picture| picture.starts_with(b"\x89PNG")));
    assert_ne!(pictures[0], pictures[1]);
    assert_eq!(paint("a cat").await.0, pictures);
    assert_ne!(paint("a dog").await.0, pictures);
    let Output::Media(output) = end.output else { panic!("{end:?}") };
    assert_eq!((output.assets.len(), &output.details["width"]), (0, &json!(64)));
}

#[tokio::test(start_paused = true)]
async fn speech_is_a_sound_of_its_length_and_can_break_off() {
    let adapter = simulated(1, json!({"action": "audio.synthesize"}));
    let (sounds, end) =
        files(&all(&adapter, ask(Action::AudioSynthesize, json!({"input": "Hi there"}))).await);
    assert!(sounds[0].starts_with(b"RIFF"));
    assert_eq!((end.usage.characters, end.usage.media_ms), (8, 480));
    let broken = json!({"input": "Hi", "simulate": {"fail": "provider_error", "after_tokens": 2}});
    let items = all(&adapter, ask(Action::AudioSynthesize, broken)).await;
    assert_eq!((items.len(), items[3].is_err()), (4, true), "{items:?}");
}

#[tokio::test(start_paused = true)]
async fn a_model_of_another_action_is_not_found() {
    let adapter = simulated(1, json!({"action": "embedding.query"}));
    let error = adapter.call(call("a", Value::Null)).await.err().unwrap();
    assert_eq!((error.code, error.remedy), (ErrorCode::NotFound, Remedy::FallBack));
}

#[tokio::test(start_paused = true)]
async fn no_request_can_ask_a_model_to_spin() {
    let adapter = simulated(1, json!({}));
    let items = all(&adapter, call("k", json!({"spin_after_tokens": 0}))).await;
    let error = items[0].as_ref().unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidRequest, "{error}");
}

#[test]
fn a_model_that_spins_keeps_its_thread() {
    let adapter = simulated(1, json!({"spin_after_tokens": 1}));
    let (heard, ears) = std::sync::mpsc::channel();
    // Lost to the call, as it is meant to be; it ends with the process.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut progress = adapter.call(call("k", Value::Null)).await.unwrap();
            while let Some(item) = progress.next().await {
                heard.send(item.unwrap()).unwrap();
            }
        });
    });
    let patience = Duration::from_secs(60);
    assert_eq!(ears.recv_timeout(patience).unwrap(), Progress::Started);
    assert!(matches!(ears.recv_timeout(patience).unwrap(), Progress::Delta(_)));
    // An end, of any kind, would close the channel.
    let silence = ears.recv_timeout(Duration::from_millis(200)).unwrap_err();
    assert_eq!(silence, std::sync::mpsc::RecvTimeoutError::Timeout);
}
