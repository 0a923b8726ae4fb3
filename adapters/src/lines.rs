//! Reads one JSON text per line (NDJSON), however the bytes are chunked.
//!
//! `tokio-util` cuts the lines, with a limit on their length.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, future, stream::BoxStream};
use tokio_util::{
    codec::{FramedRead, LinesCodec, LinesCodecError},
    io::StreamReader,
};

use crate::sse::{self, EVENT_BYTES_MAX, Frame};

/// The lines in `bytes` that are not empty. Ends after its first error.
pub(crate) fn read<S, E>(bytes: S) -> BoxStream<'static, Result<Frame, sse::Error>>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let reader = StreamReader::new(Box::pin(bytes.map_err(io::Error::other)));
    FramedRead::new(reader, LinesCodec::new_with_max_length(EVENT_BYTES_MAX))
        .filter_map(|line| future::ready(frame(line)))
        .boxed()
}

fn frame(line: Result<String, LinesCodecError>) -> Option<Result<Frame, sse::Error>> {
    match line {
        Ok(line) if line.trim().is_empty() => None,
        Ok(line) => Some(Ok(Frame::Data(line))),
        Err(LinesCodecError::MaxLineLengthExceeded) => Some(Err(sse::Error::TooLong)),
        Err(LinesCodecError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            Some(Err(sse::Error::Encoding))
        }
        Err(LinesCodecError::Io(error)) => Some(Err(sse::Error::Broken(Box::new(error)))),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt, stream};
    use proptest::prelude::*;

    use super::*;

    fn lines(chunks: Vec<Bytes>) -> Vec<Result<Frame, String>> {
        let bytes = stream::iter(chunks.into_iter().map(Ok::<_, Infallible>));
        let lines = read(bytes).map(|line| line.map_err(|error| error.to_string()));
        lines.collect::<Vec<_>>().now_or_never().expect("nothing to wait for")
    }

    fn whole(bytes: &[u8]) -> Vec<Result<Frame, String>> {
        lines(vec![Bytes::copy_from_slice(bytes)])
    }

    fn data(text: &str) -> Result<Frame, String> {
        Ok(Frame::Data(text.into()))
    }

    #[test]
    fn lines_end_with_or_without_a_carriage_return_and_the_last_may_not_end() {
        assert_eq!(
            whole(b"{\"a\":1}\r\n\n{\"b\":2}\n  \n{\"c\":3}"),
            [data("{\"a\":1}"), data("{\"b\":2}"), data("{\"c\":3}")]
        );
    }

    #[test]
    fn a_line_that_never_ends_is_given_up() {
        let lines = whole(&vec![b'x'; EVENT_BYTES_MAX + 2]);
        assert!(lines[0].as_ref().unwrap_err().contains("over the limit"), "{:?}", lines[0]);
    }

    #[test]
    fn what_is_no_text_is_told() {
        assert!(whole(b"\xff\xfe\n")[0].as_ref().unwrap_err().contains("UTF-8"));
    }

    proptest! {
        #[test]
        fn any_chunking_equals_the_whole(text in "[a-z\\r\\n{}:é]{0,60}", at in proptest::collection::vec(0..80_usize, 0..6)) {
            let bytes = Bytes::from(text);
            let mut cuts: Vec<_> = at.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks = cuts.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect();
            prop_assert_eq!(lines(chunks), whole(&bytes));
        }
    }
}
