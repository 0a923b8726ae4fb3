//! `POST embeddings`: makes the body, and reads the vectors in the order of the inputs.

use schemas::embedding::Vector;
use serde_json::Value;

use super::{
    outgoing,
    wire::{EmbeddingReply, UsageReply},
};
use crate::{Call, Error, Finished, embeddings::Ask, endpoint::Endpoint, failure};

/// The body. Asks for base64, whatever the client wants to see: a third of the bytes, and no digits to parse.
pub(super) fn body(call: &Call) -> Value {
    let mut body = outgoing(call.payload.clone(), &call.model);
    body.insert("encoding_format".into(), "base64".into());
    Value::Object(body)
}

/// Reads a reply.
pub(super) fn read(endpoint: &Endpoint, ask: Ask, body: &[u8]) -> Result<Finished, Error> {
    let reply: EmbeddingReply = serde_json::from_slice(body).map_err(|error| {
        failure::of_reply(endpoint, body, &format!("sent what is not a list of embeddings: {error}"))
    })?;
    let mut embeddings = vec![Vector::default(); ask.inputs];
    for (position, item) in reply.data.into_iter().enumerate() {
        // An index beyond the inputs leaves another place empty, or is one vector too many.
        match embeddings.get_mut(item.index.unwrap_or(position)) {
            Some(place) if place.0.is_empty() => *place = item.embedding,
            _ => return Err(endpoint.nonsense("sent an embedding that was not asked for")),
        }
    }
    ask.finish(endpoint, embeddings, reply.usage.as_ref().and_then(UsageReply::of_vectors), reply.model)
}

#[cfg(test)]
mod tests;
