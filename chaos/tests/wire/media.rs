//! Images and speech: their bytes, where they are fetched, and their faults.

use serde_json::json;

use crate::client::Sim;

const IMAGES: &str = "/v1/images/generations";
const SPEECH: &str = "/v1/audio/speech";

#[tokio::test]
async fn images_are_inside_the_reply_or_at_a_url() {
    let sim = Sim::start().await;
    let got = sim.post(IMAGES, &[], &json!({"model": "sim", "prompt": "a cat", "n": 2})).await.json();
    let data = got["data"].as_array().unwrap();
    assert!(
        data.len() == 2
            && data.iter().all(|image| image["b64_json"].as_str().unwrap().starts_with("iVBORw0KGgo"))
    );
    assert_eq!(got["usage"]["output_tokens"], 544);
    let body = json!({"model": "sim", "prompt": "a cat", "response_format": "url"});
    let got = sim.post(IMAGES, &[], &body).await.json();
    let url = got["data"][0]["url"].as_str().unwrap();
    let path = url.strip_prefix(&format!("http://{}", sim.address)).unwrap();
    let image = sim.get(path).await;
    assert_eq!((image.status.as_u16(), image.header("content-type")), (200, "image/png"));
    assert!(image.body.starts_with(b"\x89PNG"));
    assert_eq!(sim.get("/_sim/images/none.png").await.status, 404);
}

#[tokio::test]
async fn speech_is_the_bytes_of_its_format_and_nothing_else() {
    let sim = Sim::start().await;
    let rows = [
        ("mp3", "audio/mpeg", &b"\xff\xfb"[..]),
        ("wav", "audio/wav", b"RIFF"),
        ("pcm", "audio/pcm", b""),
        ("opus", "audio/opus", b"OggS"),
        ("aac", "audio/aac", b"\xff\xf1"),
        ("flac", "audio/flac", b"fLaC"),
    ];
    for (format, media_type, head) in rows {
        let body =
            json!({"model": "sim:tokens=3", "input": "hi", "voice": "nova", "response_format": format});
        let got = sim.post(SPEECH, &[], &body).await;
        assert_eq!((got.status.as_u16(), got.header("content-type")), (200, media_type));
        assert!(got.body.starts_with(head) && !got.body.ends_with(b"[DONE]\n\n"), "{format}");
        assert!(got.broken.is_none());
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_and_what_breaks_breaks_off() {
    let sim = Sim::start().await;
    let rows = [
        (IMAGES, json!({}), "prompt"),
        (IMAGES, json!({"prompt": "a", "n": 11}), "n"),
        (IMAGES, json!({"prompt": "a", "response_format": "tiff"}), "response_format"),
        (SPEECH, json!({"voice": "nova"}), "input"),
        (SPEECH, json!({"input": "a"}), "voice"),
        (SPEECH, json!({"input": "a", "voice": "nova", "response_format": "midi"}), "response_format"),
    ];
    for (path, mut body, param) in rows {
        body["model"] = json!("sim");
        let got = sim.post(path, &[], &body).await;
        assert_eq!((got.status.as_u16(), got.error().1.as_deref()), (400, Some(param)), "{body}");
    }
    for fault in ["cut-after=2", "error-after=2"] {
        let body = json!({"model": format!("sim:tokens=8,{fault}"), "input": "hi", "voice": "nova"});
        let got = sim.post(SPEECH, &[], &body).await;
        assert!(got.broken.is_some() && got.body.len() == 2 * 417, "{fault}");
    }
}
