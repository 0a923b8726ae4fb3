//! ElevenLabs.

use adapters::{
    KeyFault::{Rejected, Spent},
    Remedy::{DisableKey, FallBack, Fatal, Retry, Throttle},
};
use schemas::ErrorCode::{InvalidRequest, ProviderError, ProviderUnavailable, RateLimited, TooLarge};

use super::*;

const SPEECH: Action = Action::AudioSynthesize;
const MODEL: &str = "eleven_flash_v2_5";

async fn vendor() -> Vendor {
    Vendor::start("elevenlabs", "/elevenlabs").await
}

#[tokio::test]
async fn speech_comes_in_pieces_as_it_is_made() {
    let vendor = vendor().await;
    let payload =
        json!({"input": "Hello there, world.", "voice": "a/b", "speed": 1.1, "response_format": "mp3"});
    let brought = vendor.call(SPEECH, MODEL, payload, "gap=5ms", "").await;
    let files = brought.files();
    assert_eq!((files.len(), files[0].0.as_str()), (1, "audio/mpeg"));
    let pieces = brought.pieces.iter().filter(|piece| matches!(piece, Progress::File(_))).count();
    assert!(pieces > 1, "it came in one piece");
    let usage = brought.finished().usage;
    assert_eq!((usage.characters, usage.estimated), (19, false), "as `character-cost` says");
    assert_eq!(
        vendor.paths(),
        ["/elevenlabs/v1/text-to-speech/a%2Fb/stream"],
        "a voice stays in its segment"
    );
    assert_eq!(brought.details()["voice"], "a/b");
}

#[tokio::test]
async fn formats_are_openais_or_its_own() {
    let vendor = vendor().await;
    let of = async |payload: Value| vendor.call(SPEECH, MODEL, payload, "", "").await;
    assert_eq!(of(json!({"input": "x", "response_format": "pcm"})).await.files()[0].0, "audio/pcm");
    assert_eq!(of(json!({"input": "x", "output_format": "wav_16000"})).await.files()[0].0, "audio/wav");
    let flac = of(json!({"input": "x", "response_format": "flac"})).await;
    flac.failed(InvalidRequest, FallBack, "the formats here are mp3, opus, wav and pcm");
}

#[tokio::test]
async fn its_errors_are_understood() {
    let vendor = vendor().await;
    let rows = [
        ("status=400", "", InvalidRequest, Fatal, "refused the request"),
        ("status=401", "", ProviderError, DisableKey(Rejected), "rejected our key"),
        (
            "",
            "withheld",
            ProviderError,
            DisableKey(Spent),
            "its quota is spent: This request exceeds your quota",
        ),
        ("status=403", "", ProviderError, FallBack, "does not let our key do this"),
        ("status=429", "", RateLimited, Throttle, "Too many concurrent requests"),
        ("status=503", "", ProviderUnavailable, Retry, "Something went wrong"),
        ("cut-after=1", "", ProviderUnavailable, Retry, "broke the connection off"),
        ("reset-after=1", "", ProviderUnavailable, Retry, "broke the connection off"),
    ];
    for (sim, media, code, remedy, words) in rows {
        let payload = json!({"input": "Hello there, world."});
        vendor.call(SPEECH, MODEL, payload, sim, media).await.failed(code, remedy, words);
    }
    let nobody = json!({"input": "x", "voice": "nobody"});
    vendor.call(SPEECH, MODEL, nobody, "", "").await.failed(InvalidRequest, FallBack, "has no such voice");
    let long = json!({"input": "x".repeat(10_001)});
    let brought = vendor.call(SPEECH, "eleven_multilingual_v2", long, "", "").await;
    brought.failed(TooLarge, FallBack, "too long");
}
