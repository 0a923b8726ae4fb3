//! `POST /v1/audio/speech`: a tone for each token of the behaviour, sent as it is made. WAV and raw samples can be
//! heard; the other formats have only the first bytes that identify them, and silence.

use bytes::Bytes;
use serde_json::Value;

use super::errors::ApiError;
use super::exchange::{Answer, Ask};
use super::fields::{estimate_tokens, present};
use super::frames::Frames;

/// The most characters of one text, as in the API.
const MAX_CHARS: usize = 4_096;

/// Samples a second, as in the API's own raw samples.
const RATE: u32 = 24_000;

/// Samples of one token: a fiftieth of a second.
const SAMPLES: u32 = RATE / 50;

/// A frame of silence: MPEG 1, layer III, 128 kbit/s, 44.1 kHz.
const MP3_HEAD: [u8; 4] = [0xFF, 0xFB, 0x90, 0x64];
const MP3_BYTES: usize = 417;

/// The length that the head of a WAV tells while the WAV is still being made.
const UNKNOWN_LENGTH: u32 = u32::MAX;

/// Answers a call with the sound.
pub(super) fn compose(ask: &Ask) -> Result<Answer, ApiError> {
    let text = |name: &str| match present(&ask.body, name) {
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(other) => Err(ApiError::wrong_type(name, "a string", other)),
        None => Ok(None),
    };
    let input = text("input")?.ok_or_else(|| ApiError::missing("input"))?;
    if input.is_empty() || input.chars().count() > MAX_CHARS {
        return Err(ApiError::wrong_value("input", "it must have from 1 to 4096 characters."));
    }
    text("voice")?.ok_or_else(|| ApiError::missing("voice"))?;
    if text("stream_format")?.is_some_and(|format| format != "audio") {
        return Err(ApiError::wrong_value("stream_format", "the simulator only knows 'audio'."));
    }
    let format = text("response_format")?.unwrap_or("mp3");
    let (media_type, head, piece): (_, Bytes, Bytes) = match format {
        "mp3" => ("audio/mpeg", Bytes::new(), mp3_frame()),
        "wav" => ("audio/wav", wav_head().into(), tone()),
        "pcm" => ("audio/pcm", Bytes::new(), tone()),
        "opus" => ("audio/opus", Bytes::from_static(b"OggS\0\x02"), silence()),
        "aac" => {
            ("audio/aac", Bytes::new(), Bytes::from_static(&[0xFF, 0xF1, 0x50, 0x80, 0x01, 0x1F, 0xFC, 0x00]))
        }
        "flac" => ("audio/flac", Bytes::from_static(b"fLaC"), silence()),
        _ => {
            let problem = "supported are 'mp3', 'opus', 'aac', 'flac', 'wav' and 'pcm'.";
            return Err(ApiError::wrong_value("response_format", problem));
        }
    };
    let mut frames = Frames::of_file(media_type);
    for index in 0..ask.behaviour.tokens {
        let bytes = if index == 0 { [&head[..], &piece[..]].concat().into() } else { piece.clone() };
        frames.push(bytes, index > 0);
    }
    Ok(Answer::Stream { script: Box::new(frames), billed: estimate_tokens(input) })
}

fn silence() -> Bytes {
    Bytes::from(vec![0; 64])
}

fn mp3_frame() -> Bytes {
    let mut frame = MP3_HEAD.to_vec();
    frame.resize(MP3_BYTES, 0);
    frame.into()
}

/// Sixteen bits, one channel; a triangle of 500 Hz.
fn tone() -> Bytes {
    const PERIOD: u32 = RATE / 500;
    let sample = |at: u32| {
        let (at, half) = (i32::try_from(at % PERIOD).unwrap_or(0), i32::try_from(PERIOD / 2).unwrap_or(1));
        i16::try_from(((at - half).abs() - half / 2) * 400).unwrap_or(0).to_le_bytes()
    };
    (0..SAMPLES).flat_map(sample).collect()
}

fn wav_head() -> Vec<u8> {
    let mut head = Vec::with_capacity(44);
    head.extend(b"RIFF");
    head.extend(UNKNOWN_LENGTH.to_le_bytes());
    head.extend(b"WAVEfmt ");
    head.extend(16_u32.to_le_bytes());
    // Plain samples, one channel.
    head.extend([1, 0, 1, 0]);
    head.extend(RATE.to_le_bytes());
    head.extend((RATE * 2).to_le_bytes());
    // Bytes and bits a sample.
    head.extend([2, 0, 16, 0]);
    head.extend(b"data");
    head.extend(UNKNOWN_LENGTH.to_le_bytes());
    head
}
