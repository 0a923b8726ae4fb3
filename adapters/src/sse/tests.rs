use std::{convert::Infallible, io};

use proptest::prelude::*;

use super::*;

/// The events of `chunks`, an error as its text.
fn events(chunks: Vec<Bytes>) -> Vec<Result<Frame, String>> {
    let bytes = stream::iter(chunks.into_iter().map(Ok::<_, Infallible>));
    let events = read(bytes).map(|event| event.map_err(|error| error.to_string()));
    future::FutureExt::now_or_never(events.collect()).expect("nothing to wait for")
}

fn whole(text: &str) -> Vec<Result<Frame, String>> {
    events(vec![Bytes::copy_from_slice(text.as_bytes())])
}

fn data(text: &str) -> Result<Frame, String> {
    Ok(Frame::Data(text.into()))
}

#[test]
fn every_line_end_is_understood() {
    for end in ["\n", "\r", "\r\n"] {
        let text = format!("data: a{end}{end}data: b{end}data: c{end}{end}data: [DONE]{end}{end}");
        assert_eq!(whole(&text), [data("a"), data("b\nc"), Ok(Frame::Done)], "{end:?}");
    }
}

#[test]
fn what_carries_no_data_is_passed_over() {
    let text =
        "\u{feff}data: a\n\n: ping\n\nevent: ping\n\ndata:\n\nid: 7\nretry: 5\n\nfoo: bar\n\ndata:b\n\n";
    assert_eq!(whole(text), [data("a"), data("b")]);
}

#[test]
fn an_event_that_was_cut_off_is_not_delivered() {
    assert_eq!(whole("data: a\n\ndata: {\"b\":1}\n"), [data("a")]);
}

#[test]
fn an_event_over_the_limit_ends_the_stream_after_those_before_it() {
    let text = format!("data: a\n\ndata: {}\n\ndata: b\n\n", "x".repeat(EVENT_BYTES_MAX));
    let too_long = Err(Error::TooLong.to_string());
    assert_eq!(whole(&text), [data("a"), too_long.clone()]);
    let bytes = Bytes::from(text);
    let chunks: Vec<_> = bytes.chunks(4093).map(Bytes::copy_from_slice).collect();
    assert_eq!(events(chunks), [data("a"), too_long]);
}

#[test]
fn a_long_stream_of_small_events_is_not_over_the_limit() {
    let text = ": ping\r\n\r\ndata: x\r\n\r\n".repeat(EVENT_BYTES_MAX / 16);
    assert_eq!(whole(&text).len(), EVENT_BYTES_MAX / 16);
}

#[test]
fn bytes_that_are_no_text_are_an_error() {
    let chunks = vec![Bytes::from_static(b"data: \xff\n\ndata: a\n\n")];
    assert_eq!(events(chunks), [Err(Error::Encoding.to_string())]);
}

#[test]
fn a_broken_connection_is_told_from_an_end() {
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    let bytes = stream::iter([Ok(Bytes::from_static(b"data: a\n\n")), Err(reset)]);
    let events: Vec<_> = future::FutureExt::now_or_never(read(bytes).collect()).unwrap();
    assert!(matches!(&events[..], [Ok(Frame::Data(_)), Err(Error::Broken(_))]), "{events:?}");
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_events(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "\u{feff}", "data: ä€😀", "data:", "data: {\"a\":1}", "data: [DONE]", ": c", "event: e", "\n", "\r", "\r\n",
                "\n\n", "\r\n\r\n", "x",
            ]),
            0..40,
        ),
        cuts in prop::collection::vec(0usize..200, 0..20),
    ) {
        let bytes = Bytes::from(parts.concat());
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < bytes.len()).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect();
        prop_assert_eq!(events(chunks), events(vec![bytes]));
    }

    #[test]
    fn so_does_any_chunking_of_bytes_that_are_no_text(
        parts in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec![&b"data: "[..], b"\n", b"\r", b"\n\n", b"\xef\xbb\xbf", b"\xef", b"\xbb", b"\xc3"])
                    .prop_map(<[u8]>::to_vec),
                prop::collection::vec(any::<u8>(), 0..6),
            ],
            0..30,
        ),
        cuts in prop::collection::vec(0usize..120, 0..12),
    ) {
        let bytes = Bytes::from(parts.concat());
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < bytes.len()).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect();
        prop_assert_eq!(events(chunks), events(vec![bytes]));
    }
}
