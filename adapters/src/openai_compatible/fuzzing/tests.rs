//! Replies that no server should send: read or refused, never with the key in an error.

use futures_util::FutureExt;
use proptest::{collection::vec, prelude::*, sample::select};
use reqwest::header::{HeaderName, HeaderValue};
use schemas::Output;

use super::*;
use crate::Remedy;

/// A longer wish to wait is cut to an hour.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Pieces of replies, whole and broken, with the key where a server may repeat it.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "null",
        "-1",
        "1e999",
        "0",
        "7",
        "128",
        "4294967296",
        "\\u0000",
        "\\ud800",
        "\"choices\":",
        "\"delta\":",
        "\"message\":",
        "\"content\":",
        "\"index\":",
        "\"tool_calls\":",
        "\"function\":",
        "\"finish_reason\":",
        "\"stop\"",
        "\"network_error\"",
        "\"usage\":",
        "\"prompt_tokens\":",
        "\"error\":",
        "\"code\":",
        "\"data\":",
        "\"embedding\":",
        "\"AAAAPw==\"",
        "\"AAA\"",
        "[0.5]",
        "data: ",
        "\n\n",
        "data: [DONE]\n\n",
        "\"sk-canary-0123456789\"",
        "sk-canary-0123456789",
        "<html>",
        "ä",
    ];
    let wellformed = vec![
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{}}}]},"finish_reason":"x"}]}"#,
        r#"{"data":[{"index":1,"embedding":[1]},{"index":0,"embedding":"AAAAPw=="}],"usage":{"prompt_tokens":1}}"#,
        r#"{"error":{"message":"no sk-canary-0123456789","type":"x","code":"1302"}}"#,
    ];
    prop_oneof![
        vec(select(pieces), 0..24).prop_map(|pieces| pieces.concat().into_bytes()),
        (select(wellformed), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, at, byte)| {
            let mut body = text.as_bytes().to_vec();
            *at.get_mut(&mut body) = byte;
            body
        }),
        vec(any::<u8>(), 0..100),
    ]
}

/// No error tells the key, in whichever form it is shown.
fn check(error: &Error) {
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(KEY), "{shown}");
}

/// One end, and nothing after it.
fn check_all(items: &[Result<Progress, Error>]) {
    let ends = items.iter().filter(|item| !matches!(item, Ok(Progress::Delta(_)))).count();
    assert_eq!(ends, 1, "{items:?}");
    assert!(!matches!(items.last(), Some(Ok(Progress::Delta(_)))), "{items:?}");
    items.iter().filter_map(|item| item.as_ref().err()).for_each(check);
}

proptest! {
    #[test]
    fn any_reply_in_one_piece_has_one_end(body in reply()) {
        check_all(&Replies::new().unwrap().whole(&body));
    }

    #[test]
    fn any_stream_has_one_end_however_it_comes(body in reply(), cuts in vec(0_usize..200, 0..8)) {
        let replies = Replies::new().unwrap();
        let body = Bytes::from([b"data: ", &body[..], b"\n\n"].concat());
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < body.len()).chain([0, body.len()]).collect();
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| body.slice(pair[0]..pair[1])).collect();
        let told = |items: Vec<Result<Progress, Error>>| {
            items.into_iter().map(|item| item.map_err(|error| error.to_string())).collect::<Vec<_>>()
        };
        let pieces = replies.streamed(chunks).now_or_never().unwrap();
        check_all(&pieces);
        let whole = replies.streamed(vec![body]).now_or_never().unwrap();
        prop_assert_eq!(told(pieces), told(whole));
    }

    #[test]
    fn embeddings_are_as_many_as_were_asked_for(body in reply()) {
        match Replies::new().unwrap().embeddings(&body) {
            Ok(Finished { output: Output::Embeddings(output), .. }) => {
                prop_assert_eq!(output.embeddings.len(), INPUTS);
                prop_assert!(output.embeddings.iter().all(|vector| !vector.0.is_empty()));
            }
            Ok(other) => prop_assert!(false, "{other:?}"),
            Err(error) => check(&error),
        }
    }

    #[test]
    fn any_refusal_is_classified_and_asks_for_no_endless_wait(
        status in 0_u16..1_000,
        body in reply(),
        name in select(vec!["retry-after", "retry-after-ms", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"]),
        wish in "[0-9.eE+-]{0,12}|([0-9.]{1,5}(h|m|s|ms|us|µs|ns)){0,4}|(Mon|Tue), [0-9]{2} Nov [0-9]{4} 12:00:00 GMT|\\PC{0,20}",
        date in "Fri, 20 Nov [0-9]{4} 12:00:00 GMT|\\PC{0,8}",
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in [(name, wish), ("date", date)] {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let error = Replies::new().unwrap().refusal(status, &headers, &body);
        check(&error);
        prop_assert!(error.retry_after.is_none_or(|wait| wait <= WAIT_MAX), "{error:?}");
        if matches!(error.remedy, Remedy::Fatal | Remedy::FallBack) {
            prop_assert_eq!(error.retry_after, None);
        }
    }
}
