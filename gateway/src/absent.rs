//! Endpoints that the SDKs know and this server lacks, with the advice that a 404 gives for each.

/// A path covers everything below it; the longer ones come first.
const ABSENT: [(&str, &str); 14] = [
    ("/v1/responses/compact", "nothing is compacted here: send what matters of the conversation as `input`"),
    ("/v1/responses", "the Responses API has no WebSocket here: use POST, or Dynode's own WebSocket at /ws"),
    (
        "/v1/conversations",
        "no conversations are kept here: name the response to go on from in `previous_response_id`",
    ),
    ("/v1/messages/batches", BATCHES),
    ("/v1/batches", BATCHES),
    ("/v1/files", "no files are kept here: send what is in them with the request"),
    ("/v1/uploads", "no files are kept here: send what is in them with the request"),
    ("/v1/completions", "only chats are completed here: POST /v1/chat/completions"),
    ("/v1/complete", "only messages are answered here: POST /v1/messages"),
    ("/v1/chat/completions", "chats are not listed here: their outcomes are at /v1/requests/{id}"),
    ("/v1/images", "images can be generated here, but not edited: use POST /v1/images/generations"),
    ("/v1/audio", "speech can be synthesized here, but not transcribed: use POST /v1/audio/speech"),
    ("/v1/moderations", "this server offers no moderation"),
    ("/v1/realtime", "this server has no Realtime API: chats are streamed at /v1/chat/completions and /ws"),
];

const BATCHES: &str =
    "this server has no batch API: send each request to POST /v1/requests with `priority` `batch`";

/// What to do instead, if `path` is one of these.
pub(crate) fn instead_of(path: &str) -> Option<&'static str> {
    let is_there =
        |absent: &str| path.strip_prefix(absent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    ABSENT.iter().find(|(absent, _)| is_there(absent)).map(|(_, instead)| *instead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_by_its_own_words_and_so_are_those_below_it() {
        assert!(instead_of("/v1/responses/compact").unwrap().contains("compacted"));
        assert!(instead_of("/v1/batches/b-1/cancel").unwrap().contains("/v1/requests"));
        assert_eq!(instead_of("/v1/batched"), None);
        assert_eq!(instead_of("/v2"), None);
    }
}
