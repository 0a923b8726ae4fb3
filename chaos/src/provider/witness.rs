//! What the provider testifies in the history of a run: each call once when it comes and once when its side is over.

use super::calls::CallOutcome;
use crate::history::{Fact, Key, key_of, markers};
use crate::scribe::Scribe;

/// The provider's name in the history.
const NAME: &str = "provider";

/// One call, as the history has it.
#[derive(Debug)]
pub(super) struct Witness {
    scribe: Scribe,
    call: u64,
}

impl Witness {
    /// Writes down that a call came, with this body.
    pub(super) fn called(
        scribe: Scribe,
        call: u64,
        body: &[u8],
        idempotency_key: Option<String>,
        model: Option<String>,
    ) -> Self {
        let (request, model) = (request_in(body), model.unwrap_or_default());
        scribe.write(NAME, Fact::Called { call, request, idempotency_key, model });
        Self { scribe, call }
    }

    /// Writes down that nothing more comes, though the call is not over.
    pub(super) fn silent(&self) {
        self.scribe.write(NAME, Fact::Silent { call: self.call });
    }

    /// Writes down that the provider's side is over.
    pub(super) fn answered(
        &self,
        outcome: CallOutcome,
        status: Option<u16>,
        retry_after_ms: Option<u64>,
        tokens: u64,
    ) {
        let whole = outcome == CallOutcome::Answered;
        let fact = Fact::Answered {
            call: self.call,
            status,
            whole,
            caller_gone: outcome == CallOutcome::ClientGone,
            retry_after_ms,
            tokens: if whole { tokens } else { 0 },
        };
        self.scribe.write(NAME, fact);
    }
}

/// The request whose marker is in the body.
fn request_in(body: &[u8]) -> Option<Key> {
    let text = String::from_utf8_lossy(body);
    markers(&text).find_map(key_of)
}
