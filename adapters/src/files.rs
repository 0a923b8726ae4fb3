//! Turns the bytes of a file in a reply into pieces as they arrive, up to a limit.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use reqwest::{Response, header::CONTENT_TYPE};
use schemas::ErrorCode;

use crate::{Error, FilePiece, Progress, Progressed, Remedy, endpoint::Endpoint, http};

/// The largest file to take from a provider: an hour of speech, or the largest image many times over.
pub(crate) const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A file that is complete, as one piece.
pub(crate) fn whole(file: u32, media_type: Option<String>, bytes: Bytes) -> Progress {
    Progress::File(FilePiece { file, media_type, bytes, is_last: true })
}

/// The body of `response` as a file.
pub(crate) fn pieces(endpoint: Arc<Endpoint>, file: u32, response: Response) -> Progressed {
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let reading = Reading {
        endpoint,
        file,
        media_type: media_type.map(str::to_owned),
        bytes: response.bytes_stream().map_err(reqwest::Error::without_url).boxed(),
        seen: 0,
        is_over: false,
    };
    stream::unfold(reading, async |mut reading| Some((reading.next().await?, reading))).boxed()
}

struct Reading {
    endpoint: Arc<Endpoint>,
    file: u32,
    /// Goes out with the first piece.
    media_type: Option<String>,
    bytes: BoxStream<'static, Result<Bytes, reqwest::Error>>,
    seen: usize,
    is_over: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Progress, Error>> {
        if self.is_over {
            return None;
        }
        let next = self.bytes.next().await;
        let item = match next {
            Some(Ok(bytes)) => {
                self.seen = self.seen.saturating_add(bytes.len());
                if self.seen <= FILE_BYTES_MAX { Ok((bytes, false)) } else { Err(self.too_large()) }
            }
            Some(Err(error)) => Err(http::unreadable(&self.endpoint.name, http::ReadError::Broken(error))),
            None if self.seen == 0 => Err(self.endpoint.nonsense("sent an empty file")),
            None => Ok((Bytes::new(), true)),
        };
        self.is_over = !matches!(item, Ok((_, false)));
        Some(item.map(|(bytes, is_last)| {
            let media_type = self.media_type.take();
            Progress::File(FilePiece { file: self.file, media_type, bytes, is_last })
        }))
    }

    fn too_large(&self) -> Error {
        let what = format!("sent a file over the limit of {FILE_BYTES_MAX} bytes");
        Error::new(&self.endpoint.name, ErrorCode::TooLarge, Remedy::FallBack, what)
    }
}
