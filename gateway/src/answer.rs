//! Waits for the answer to a request, and returns it to the client that waits at a door.

use axum::response::Response;
use schemas::{
    ChatDelta, ChatOutput, Error, ErrorCode, Output, RequestId, Usage,
    chat::{ToolCall, ToolCallDelta},
};
use tokio::time::Instant;

use crate::{door::Named, ending, feed::Feed, refusal, submit::Accepted};

/// Rewrites an error in the terms of an API, whose bodies may name fields differently.
pub(crate) type Words = fn(Error) -> Error;

/// Returns the answer of an accepted request, or its error in `words`, and closes its account.
pub(crate) fn tell(mut accepted: Accepted, answer: Result<Response, Error>, words: Words) -> Response {
    accepted.account.end(answer.as_ref().err());
    named(accepted.id, answer.unwrap_or_else(|error| refusal::response(&words(error))))
}

/// Tells the middleware the id of the request.
pub(crate) fn named(id: RequestId, mut response: Response) -> Response {
    response.extensions_mut().insert(Named(id));
    response
}

/// Waits for the whole answer of a chat.
pub(crate) async fn of_chat(feed: &mut Feed, give_up_at: Instant) -> Result<(ChatOutput, Usage), Error> {
    let done = ending::wait(feed, give_up_at).await?;
    Ok((chat_output(done.output)?, done.usage))
}

/// The output of a chat; any other output is an internal error.
pub(crate) fn chat_output(output: Output) -> Result<ChatOutput, Error> {
    match output {
        Output::Chat(output) => Ok(output),
        _ => Err(Error::new(ErrorCode::Internal, "the answer is not that of a chat")),
    }
}

/// The part of the answer `whole` that was not shown; `place` says where to get the whole.
///
/// # Errors
/// If what was shown is not the beginning of `whole`.
pub(crate) fn rest_of(
    choice: u32,
    shown: &ChatOutput,
    whole: &ChatOutput,
    place: &str,
) -> Result<ChatDelta, Error> {
    let rest = |shown: &str, whole: &str| {
        whole.strip_prefix(shown).map(str::to_owned).ok_or_else(|| {
            let why = "the answer was started again and differs from what was streamed";
            Error::new(ErrorCode::ProviderError, format!("{why}; {place}"))
        })
    };
    let mut tool_calls = Vec::new();
    for (index, call) in (0_u32..).zip(&whole.tool_calls) {
        match shown.tool_calls.get(index as usize) {
            Some(have) if have.arguments == call.arguments => {}
            Some(have) => {
                let arguments = rest(&have.arguments, &call.arguments)?;
                tool_calls.push(ToolCallDelta { index, id: None, name: None, arguments });
            }
            None => tool_calls.push(whole_call(index, call)),
        }
    }
    Ok(ChatDelta {
        choice,
        delta: rest(&shown.text, &whole.text)?,
        reasoning: rest(&shown.reasoning, &whole.reasoning)?,
        refusal: rest(&shown.refusal, &whole.refusal)?,
        tool_calls,
        ..ChatDelta::default()
    })
}

fn whole_call(index: u32, call: &ToolCall) -> ToolCallDelta {
    let (id, name) = (Some(call.id.clone()), Some(call.name.clone()));
    ToolCallDelta { index, id, name, arguments: call.arguments.clone() }
}
