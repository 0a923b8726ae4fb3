//! Payload and output of `embedding.query`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Error;

/// The most inputs in one request, as in the OpenAI API.
pub const INPUTS_MAX: usize = 2048;

/// The OpenAI embeddings body, as far as the engine reads it; other fields reach the provider as they came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmbeddingRequest {
    /// The model.
    #[schemars(length(min = 1))]
    pub model: String,
    /// One text or many, or their tokens.
    // Without `deserialize_with`, the error for a missing input would be that for a wrong type.
    #[serde(deserialize_with = "EmbeddingInput::deserialize")]
    pub input: EmbeddingInput,
    /// How many numbers a vector has, if the model allows a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// `float` or `base64`: the form at the OpenAI door; internally it is always floats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding_format: Option<EncodingFormat>,
}

/// One text or many, or their tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum EmbeddingInput {
    /// One text.
    Text(String),
    /// Many texts.
    Texts(Vec<String>),
    /// One text as tokens.
    Tokens(Vec<u32>),
    /// Many texts as tokens.
    TokenLists(Vec<Vec<u32>>),
}

impl EmbeddingInput {
    /// How many vectors will come back.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(_) | Self::Tokens(_) => 1,
            Self::Texts(texts) => texts.len(),
            Self::TokenLists(lists) => lists.len(),
        }
    }

    /// Whether there is nothing to embed.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Tokens(tokens) => tokens.is_empty(),
            Self::Texts(texts) => texts.is_empty() || texts.iter().any(String::is_empty),
            Self::TokenLists(lists) => lists.is_empty() || lists.iter().any(Vec::is_empty),
        }
    }
}

impl<'de> Deserialize<'de> for EmbeddingInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Text(String),
            Texts(Vec<String>),
            Tokens(Vec<u32>),
            TokenLists(Vec<Vec<u32>>),
        }
        match Any::deserialize(deserializer) {
            Ok(Any::Text(text)) => Ok(Self::Text(text)),
            Ok(Any::Texts(texts)) => Ok(Self::Texts(texts)),
            Ok(Any::Tokens(tokens)) => Ok(Self::Tokens(tokens)),
            Ok(Any::TokenLists(lists)) => Ok(Self::TokenLists(lists)),
            Err(_) => {
                Err(de::Error::custom("expected a string, an array of strings, or arrays of token numbers"))
            }
        }
    }
}

/// The form of vectors at the OpenAI door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// An array of numbers.
    #[default]
    Float,
    /// Base64 of little-endian 32-bit floats.
    Base64,
}

impl EmbeddingRequest {
    /// Checks what the types do not express.
    pub fn check(&self) -> Result<(), Error> {
        if self.model.is_empty() {
            return Err(Error::invalid("payload.model", "must not be empty"));
        }
        if self.input.is_empty() {
            return Err(Error::invalid("payload.input", "must not be empty, nor hold an empty text"));
        }
        if self.input.len() > INPUTS_MAX {
            let why = format!("{} inputs are over the limit of {INPUTS_MAX}", self.input.len());
            return Err(Error::invalid("payload.input", why));
        }
        Ok(())
    }
}

/// The vectors, in the order of the inputs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct EmbeddingOutput {
    /// One vector per input.
    pub embeddings: Vec<Vector>,
}

/// A vector of 32-bit floats: an array of numbers in JSON, little-endian bytes (`bin`) in MessagePack.
#[derive(Debug, Clone, PartialEq, Default, JsonSchema)]
#[schemars(transparent)]
pub struct Vector(pub Vec<f32>);

impl Vector {
    /// The little-endian bytes.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// Reads little-endian bytes; `None` if they are not a whole number of floats.
    pub fn from_le_bytes(bytes: &[u8]) -> Option<Self> {
        let (floats, rest) = bytes.as_chunks::<4>();
        rest.is_empty().then(|| Self(floats.iter().map(|float| f32::from_le_bytes(*float)).collect()))
    }
}

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_seq(&self.0);
        }
        serializer.serialize_bytes(&self.to_le_bytes())
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VectorVisitor)
    }
}

struct VectorVisitor;

impl<'de> de::Visitor<'de> for VectorVisitor {
    type Value = Vector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers, or the bytes of little-endian 32-bit floats")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vector, E> {
        Vector::from_le_bytes(bytes).ok_or_else(|| E::invalid_length(bytes.len(), &self))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut numbers: A) -> Result<Vector, A::Error> {
        let mut vector = Vec::with_capacity(numbers.size_hint().unwrap_or(0).min(1 << 14));
        while let Some(number) = numbers.next_element()? {
            vector.push(number);
        }
        Ok(Vector(vector))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, Output};

    #[test]
    fn vectors_are_bytes_in_messagepack_and_numbers_in_json() {
        let output = Output::Embeddings(EmbeddingOutput { embeddings: vec![Vector(vec![0.5, -1.25, 3.0])] });
        let packed = Format::MessagePack.encode(&output).unwrap();
        assert!(packed.windows(2).any(|pair| pair == [0xc4, 12]), "a bin of 12 bytes in {packed:x?}");
        assert_eq!(Format::MessagePack.decode::<Output>(&packed).unwrap(), output);
        let text = Format::Json.encode(&output).unwrap();
        assert_eq!(text, r#"{"embeddings":[[0.5,-1.25,3.0]]}"#);
        assert_eq!(Format::Json.decode::<Output>(&text).unwrap(), output);
    }

    #[test]
    fn inputs_of_every_form_are_read_and_others_refused() {
        let read = |json| serde_json::from_value::<EmbeddingInput>(json);
        assert_eq!(read(serde_json::json!("a")).unwrap().len(), 1);
        assert_eq!(read(serde_json::json!(["a", "b"])).unwrap().len(), 2);
        assert_eq!(read(serde_json::json!([1, 2, 3])).unwrap().len(), 1);
        assert_eq!(read(serde_json::json!([[1], [2]])).unwrap().len(), 2);
        let error = read(serde_json::json!({"text": "a"})).unwrap_err().to_string();
        assert!(error.contains("expected a string"), "{error}");
    }
}
