//! Images and speech of an OpenAI-compatible server: their bytes, and where the key goes to fetch them.

use adapters::{FilePiece, Finished, Remedy};
use schemas::MediaOutput;

use super::{
    server::{Act, Seen, Server, end, reply},
    *,
};

const KEY: &str = "sk-canary-0123456789";

fn adapter(base_url: &str) -> Arc<dyn Adapter> {
    provider(json!({"kind": "openai_compatible", "base_url": base_url, "api_key": KEY, "models": {"m": {}}}))
}

fn call(action: Action, payload: Value) -> Call {
    Call { action, payload, ..chat(json!({})) }
}

fn image(fields: Value) -> Call {
    let mut payload = json!({"model": "alias", "prompt": "a cat"});
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    call(Action::ImageGenerate, payload)
}

fn speech() -> Call {
    call(
        Action::AudioSynthesize,
        json!({"model": "alias", "input": "Grüße", "voice": "nova", "stream_format": "sse"}),
    )
}

/// The files of an answer, each with what it is said to be.
fn files(items: &[Result<Progress, Error>]) -> Vec<(Option<String>, Vec<u8>)> {
    let mut files: Vec<(Option<String>, Vec<u8>)> = Vec::new();
    let mut open = false;
    for item in items {
        let Ok(Progress::File(FilePiece { file, media_type, bytes, is_last })) = item else { continue };
        if !open {
            assert_eq!(*file as usize, files.len(), "one file after the other");
            files.push((media_type.clone(), Vec::new()));
        }
        files.last_mut().unwrap().1.extend_from_slice(bytes);
        open = !is_last;
    }
    assert!(!open, "the last piece says that it is the last: {items:?}");
    files
}

fn end_of(items: &[Result<Progress, Error>]) -> (&Finished, &MediaOutput) {
    match items.last() {
        Some(Ok(Progress::Finished(finished))) => match &finished.output {
            Output::Media(output) => (&**finished, output),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn images_inside_the_reply_are_files_in_their_order() {
    let body = json!({"created": 7, "output_format": "webp", "size": "1024x1024", "data": [
        {"b64_json": "YQ==", "revised_prompt": "one cat"}, {"b64_json": "YmI="}],
        "usage": {"input_tokens": 3, "output_tokens": 100, "total_tokens": 103}});
    let mut server = Server::start(vec![reply(200, "", &body.to_string())]).await;
    let fields =
        json!({"n": 2, "stream": true, "partial_images": 1, "response_format": "url", "quality": "low"});
    let items = all(&*adapter(&server.base_url), image(fields)).await;
    let Seen::Request { head, body, .. } = server.seen().await else { panic!() };
    assert!(head.starts_with("POST /v1/images/generations HTTP/1.1\r\n"), "{head}");
    assert_eq!(
        body,
        json!({"model": "m", "prompt": "a cat", "n": 2, "response_format": "b64_json", "quality": "low"})
    );
    let webp = Some("image/webp".to_owned());
    assert_eq!(files(&items), [(webp.clone(), b"a".to_vec()), (webp, b"bb".to_vec())]);
    let (finished, output) = end_of(&items);
    assert_eq!((finished.usage.images, finished.usage.output_tokens), (2, 100));
    let details = json!({"created": 7, "output_format": "webp", "size": "1024x1024",
        "images": [{"revised_prompt": "one cat"}, {}]});
    assert_eq!((&output.assets, &output.details), (&vec![], &details));
}

#[tokio::test]
async fn an_image_at_a_url_is_fetched_and_the_key_stays_with_the_provider() {
    let mut elsewhere = Server::start(vec![reply(200, "content-type: image/png\r\n", "png")]).await;
    let url = format!("{}/made.png?signature=s", elsewhere.base_url);
    let server = Server::start(vec![reply(200, "", &json!({"data": [{"url": url}]}).to_string())]).await;
    let items = all(&*adapter(&server.base_url), image(json!({}))).await;
    assert_eq!(files(&items), [(Some("image/png".into()), b"png".to_vec())]);
    let Seen::Request { head, .. } = elsewhere.seen().await else { panic!() };
    assert!(head.starts_with("GET /v1/made.png?signature=s HTTP/1.1\r\n"), "{head}");
    assert!(!head.contains("canary") && !head.contains("idempotency-key"), "{head}");
}

#[tokio::test]
async fn a_reply_cannot_send_us_inside_nor_on() {
    let moved = Server::start(vec![reply(302, "location: http://127.0.0.1:9/\r\n", "")]).await;
    let urls = [
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/a.png",
        "http://localhost:9/a.png",
        "file:///etc/passwd",
        "https://",
        &format!("{}/a.png", moved.base_url),
    ];
    for url in urls {
        let server = Server::start(vec![reply(200, "", &json!({"data": [{"url": url}]}).to_string())]).await;
        let items = all(&*adapter(&server.base_url), image(json!({}))).await;
        assert_eq!(failure(&items).code, schemas::ErrorCode::ProviderError, "{url}: {items:?}");
    }
}

#[tokio::test]
async fn what_is_no_image_is_an_error() {
    let rows = [
        (json!({"data": []}), Remedy::Retry),
        (json!({"data": [{}]}), Remedy::Retry),
        (json!({"data": [{"b64_json": "*"}]}), Remedy::Retry),
        (json!({"data": 7}), Remedy::Retry),
        (json!({"error": {"code": "moderation_blocked", "message": "no"}}), Remedy::Fatal),
    ];
    for (body, remedy) in rows {
        let server = Server::start(vec![reply(200, "", &body.to_string())]).await;
        let items = all(&*adapter(&server.base_url), image(json!({}))).await;
        assert_eq!(failure(&items).remedy, remedy, "{body}: {items:?}");
    }
}

fn sound_head() -> Act {
    Act::Send(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n".to_vec())
}

fn sound(bytes: &str) -> Act {
    Act::Send(format!("{:x}\r\n{bytes}\r\n", bytes.len()).into())
}

#[tokio::test]
async fn speech_comes_in_pieces_as_it_is_made() {
    let mut server = Server::start(vec![sound_head(), sound("one"), Act::Yield, sound("two"), end()]).await;
    let items = all(&*adapter(&server.base_url), speech()).await;
    let Seen::Request { head, body, .. } = server.seen().await else { panic!() };
    assert!(head.starts_with("POST /v1/audio/speech HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, json!({"model": "m", "input": "Grüße", "voice": "nova"}));
    assert_eq!(files(&items), [(Some("audio/mpeg".into()), b"onetwo".to_vec())]);
    let (finished, output) = end_of(&items);
    assert_eq!((finished.usage.characters, &output.details), (5, &json!({"voice": "nova"})));
}

#[tokio::test]
async fn speech_that_breaks_off_is_no_file() {
    let json = "content-type: application/json\r\n";
    let scenes = [
        vec![sound_head(), sound("one"), Act::Close],
        vec![sound_head(), end()],
        vec![reply(200, json, r#"{"error":{"message":"boom"}}"#)],
        vec![reply(200, json, "{}")],
    ];
    for acts in scenes {
        let server = Server::start(acts.clone()).await;
        let items = all(&*adapter(&server.base_url), speech()).await;
        assert_eq!(failure(&items).remedy, Remedy::Retry, "{acts:?}: {items:?}");
    }
}
