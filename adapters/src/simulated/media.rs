//! Plays pictures and speech piece by piece, at their pace, with the failure or stall that the call asks for. A piece
//! counts as a token.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, stream};
use schemas::{ImageRequest, MediaOutput, Output, SpeechRequest, Usage, codec};
use serde_json::json;
use tokio::time::sleep;

use super::{
    directives::Directives,
    image::{self, SIDE, SIDE_MAX},
    play::Pace,
    seed::Seed,
    speech::Speech,
};
use crate::{Call, Error, FilePiece, Finished, Progress};

/// The size of a piece of a picture, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// What was made: the pieces of all files, and the end.
pub(super) type Made = (Box<dyn Iterator<Item = FilePiece> + Send>, Finished);

/// The pictures that a payload asks for.
pub(super) fn images(call: &Call, seed: Seed) -> Result<Made, schemas::Error> {
    let request: ImageRequest = codec::view(&call.payload, "payload")?;
    request.check()?;
    let count = request.n.unwrap_or(1);
    let (width, height) = size(request.size.as_deref());
    let seed = seed.with_text(&request.prompt);
    let pieces = (0..count).flat_map(move |file| {
        let picture = Bytes::from(image::png(width, height, seed.with(u64::from(file))));
        let last = picture.len().div_ceil(PIECE_BYTES) - 1;
        (0..=last).map(move |number| FilePiece {
            file,
            media_type: (number == 0).then(|| "image/png".to_owned()),
            bytes: picture.slice(number * PIECE_BYTES..picture.len().min((number + 1) * PIECE_BYTES)),
            is_last: number == last,
        })
    });
    let usage = Usage { images: count.into(), ..Usage::default() };
    let details = json!({ "width": width, "height": height });
    Ok((Box::new(pieces), finished(call, usage, details)))
}

/// The speech that a payload asks for, always as WAV.
pub(super) fn speech(call: &Call, seed: Seed) -> Result<Made, schemas::Error> {
    let request: SpeechRequest = codec::view(&call.payload, "payload")?;
    request.check()?;
    let speech = Speech::new(&request.input, seed.with_text(request.voice.as_deref().unwrap_or_default()));
    let (characters, media_ms) = (request.input.chars().count() as u64, speech.milliseconds());
    let usage = Usage { characters, media_ms, ..Usage::default() };
    let piece = |bytes: Vec<u8>, media_type: Option<&str>, is_last| FilePiece {
        file: 0,
        media_type: media_type.map(str::to_owned),
        bytes: bytes.into(),
        is_last,
    };
    let head = std::iter::once(piece(speech.head(), Some("audio/wav"), false));
    let samples = speech.samples().map(move |samples| piece(samples, None, false));
    let end = std::iter::once(piece(Vec::new(), None, true));
    let details = json!({ "duration_ms": media_ms });
    Ok((Box::new(head.chain(samples).chain(end)), finished(call, usage, details)))
}

/// Started, every piece, and the end.
pub(super) fn played(
    provider: &str,
    (pieces, finished): Made,
    directives: &Directives,
) -> impl Stream<Item = Result<Progress, Error>> + Send + use<> {
    let Pace { first_token, per_token } = directives.into();
    let (stall, after) = (directives.stall_after_tokens, directives.after_tokens.unwrap_or_default());
    let mut failure = directives.failure(provider);
    let items = pieces.map(Progress::File).chain([Progress::Finished(Box::new(finished))]);
    let numbered = stream::iter((0_u32..).zip(items)).then(move |(number, item)| {
        let is_end = matches!(item, Progress::Finished(_));
        // A failure that is set beyond the last piece happens at the end.
        let failed = failure.take_if(|_| number >= after || is_end);
        async move {
            let delay = if number == 0 { first_token } else { per_token };
            if !delay.is_zero() {
                sleep(delay).await;
            }
            if stall.is_some_and(|stall| number >= stall || is_end) {
                future::pending::<()>().await;
            }
            failed.map_or(Ok(item), Err)
        }
    });
    stream::iter([Ok(Progress::Started)]).chain(numbered)
}

fn finished(call: &Call, usage: Usage, details: serde_json::Value) -> Finished {
    let output = Output::Media(MediaOutput { assets: Vec::new(), details });
    Finished { output, usage, model: call.model.clone() }
}

/// Width and height, within the limits of what is painted.
fn size(text: Option<&str>) -> (u32, u32) {
    let side = |side: &str| side.parse().ok().map(|pixels: u32| pixels.clamp(1, SIDE_MAX));
    let sides = text.and_then(|text| text.split_once('x'));
    sides.and_then(|(width, height)| side(width).zip(side(height))).unwrap_or((SIDE, SIDE))
}
