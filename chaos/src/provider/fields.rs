//! Reads the members of a request's body, with the OpenAI API's complaints about them.
//! An absent member and a null one mean the same.

use serde_json::Value;

use super::errors::ApiError;

/// The member, unless it is absent or null.
pub(super) fn present<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    body.get(name).filter(|value| !value.is_null())
}

/// A member that is false if it is left out.
pub(super) fn flag(body: &Value, name: &str) -> Result<bool, ApiError> {
    let Some(value) = present(body, name) else { return Ok(false) };
    value.as_bool().ok_or_else(|| ApiError::wrong_type(name, "a boolean", value))
}

/// A whole number that may be left out.
pub(super) fn number(body: &Value, name: &str, min: u32, max: u32) -> Result<Option<u32>, ApiError> {
    let Some(value) = present(body, name) else { return Ok(None) };
    if !value.is_i64() && !value.is_u64() {
        return Err(ApiError::wrong_type(name, "an integer", value));
    }
    match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
        Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
        _ => {
            Err(ApiError::wrong_value(name, &format!("the value must be from {min} to {max}, not {value}.")))
        }
    }
}

/// A list that must be there.
pub(super) fn list<'a>(body: &'a Value, name: &str) -> Result<&'a [Value], ApiError> {
    let value = present(body, name).ok_or_else(|| ApiError::missing(name))?;
    value
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| ApiError::wrong_type(name, "an array of objects", value))
}

/// Estimates the tokens of a text by the rule of thumb of four bytes to a token. Usage has to be plausible and the
/// same each time; nobody is billed by it.
pub(super) fn estimate_tokens(text: &str) -> u32 {
    u32::try_from(text.len().div_ceil(4)).unwrap_or(u32::MAX)
}
