//! The part of a request that the answer depends on, checked as Google checks it.

use serde_json::{Map, Value};

use crate::provider::errors::ApiError;
use crate::provider::fields::{estimate_tokens, flag, list, number, present};
use crate::provider::tool::Tool;

/// The fields that a request may hold; any other is refused.
const FIELDS: [&str; 10] = [
    "model",
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "safetySettings",
    "generationConfig",
    "cachedContent",
    "serviceTier",
    "store",
];

/// Tokens that each content costs besides its text.
const CONTENT_OVERHEAD_TOKENS: u32 = 4;

const MAX_CANDIDATES: u32 = 8;

/// The largest `logprobs`.
const MAX_RIVALS: u32 = 20;

/// A valid request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) prompt_tokens: u32,
    pub(super) texts: Vec<&'a str>,
    pub(super) candidates: u32,
    pub(super) tokens_max: Option<u32>,
    pub(super) thinks: bool,
    /// How many rivals of each token to tell; none if the answer does not tell how likely tokens are.
    pub(super) logprobs: Option<u32>,
    pub(super) tool: Option<Tool<'a>>,
    pub(super) schema: Option<&'a Value>,
}

/// The request with every name as documented: Google takes names with underscores too, and its own SDK sends some.
/// Names inside a schema or the arguments of a tool are the caller's own.
pub(super) fn canonical(body: &Value) -> Value {
    const OPAQUE: [&str; 6] =
        ["args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema"];
    match body {
        Value::Object(fields) => {
            let named = |(name, value): (&String, &Value)| {
                let name = camel(name);
                let value = if OPAQUE.contains(&name.as_str()) { value.clone() } else { canonical(value) };
                (name, value)
            };
            Value::Object(fields.iter().map(named).collect())
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        other => other.clone(),
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name + letters.as_str()
    })
}

/// Reads the request by its canonical names. A request to count may wrap it in a field of its own.
pub(super) fn read(body: &Value) -> Result<Request<'_>, ApiError> {
    let body = body.get("generateContentRequest").unwrap_or(body);
    if let Some(unknown) =
        body.as_object().into_iter().flatten().find(|(name, _)| !FIELDS.contains(&name.as_str()))
    {
        let problem =
            format!("Invalid JSON payload received. Unknown name \"{}\": Cannot find field.", unknown.0);
        return Err(ApiError::wrong_value(unknown.0, &problem));
    }
    let contents = list(body, "contents")?;
    if contents.is_empty() {
        return Err(ApiError::wrong_value(
            "contents",
            "GenerateContentRequest.contents: contents is not specified",
        ));
    }
    let mut texts = Vec::new();
    for content in contents {
        texts.extend(texts_of(content)?);
    }
    calls_are_answered(contents)?;
    let instructions = body.get("systemInstruction").map_or(Ok(Vec::new()), texts_of)?;
    let overhead = CONTENT_OVERHEAD_TOKENS.saturating_mul(u32::try_from(contents.len()).unwrap_or(u32::MAX));
    let prompt_tokens = texts
        .iter()
        .chain(&instructions)
        .fold(overhead, |sum, text| sum.saturating_add(estimate_tokens(text)));
    let config = present(body, "generationConfig").unwrap_or(&Value::Null);
    let thinking = present(config, "thinkingConfig").unwrap_or(&Value::Null);
    let json = config.get("responseMimeType").is_some_and(|kind| kind == "application/json");
    let schema = present(config, "responseJsonSchema").or_else(|| present(config, "responseSchema"));
    Ok(Request {
        prompt_tokens,
        texts,
        candidates: number(config, "candidateCount", 1, MAX_CANDIDATES)?.unwrap_or(1),
        tokens_max: number(config, "maxOutputTokens", 1, u32::MAX)?,
        thinks: flag(thinking, "includeThoughts")?,
        logprobs: logprobs(config)?,
        tool: tool(body, contents)?,
        schema: schema.or(json.then_some(&Value::Null)),
    })
}

fn logprobs(config: &Value) -> Result<Option<u32>, ApiError> {
    let rivals = number(config, "logprobs", 0, MAX_RIVALS)?;
    let tells = flag(config, "responseLogprobs")?;
    if rivals.is_some() && !tells {
        return Err(ApiError::wrong_value("logprobs", "Logprobs is set but response_logprobs is not."));
    }
    Ok(tells.then(|| rivals.unwrap_or(0)))
}

fn parts(content: &Value) -> Result<&[Value], ApiError> {
    let parts = list(content, "parts")?;
    if parts.is_empty() {
        Err(ApiError::wrong_value("parts", "must include at least one parts field"))
    } else {
        Ok(parts)
    }
}

fn texts_of(content: &Value) -> Result<Vec<&str>, ApiError> {
    match content.get("role").and_then(Value::as_str) {
        None | Some("user" | "model") => {}
        Some(_) => return Err(ApiError::wrong_value("role", "Please use a valid role: user, model.")),
    }
    let texts = parts(content)?.iter().filter_map(|part| part.get("text")?.as_str());
    Ok(texts.collect())
}

/// As many results must follow right after the calls, and calls must carry the signature of their thoughts.
fn calls_are_answered(contents: &[Value]) -> Result<(), ApiError> {
    let count = |content: &Value, kind: &str| {
        let parts = content.get("parts").and_then(Value::as_array).into_iter().flatten();
        parts.filter(|part| part.get(kind).is_some()).count()
    };
    for (index, content) in contents.iter().enumerate() {
        let calls = count(content, "functionCall");
        let answers = contents.get(index + 1).map_or(0, |next| count(next, "functionResponse"));
        if calls != answers {
            let problem = "Please ensure that the number of function response parts is equal to the number of \
                           function call parts of the function call turn.";
            return Err(ApiError::wrong_value("contents", problem));
        }
        let is_signed = |content: &Value| count(content, "thoughtSignature") > 0;
        if calls > 0 && !is_signed(content) {
            let problem = "Function call is missing a thought_signature in functionCall parts. This is required \
                           for tools to work correctly.";
            return Err(ApiError::wrong_value("contents", problem));
        }
    }
    Ok(())
}

/// The tool to call: none if none is declared, if tools are forbidden, or if the last content has results.
fn tool<'a>(body: &'a Value, contents: &[Value]) -> Result<Option<Tool<'a>>, ApiError> {
    let config = body.pointer("/toolConfig/functionCallingConfig").unwrap_or(&Value::Null);
    let is_answered = contents.last().is_some_and(|last| {
        let mut parts = last.get("parts").and_then(Value::as_array).into_iter().flatten();
        parts.any(|part| part.get("functionResponse").is_some())
    });
    if present(body, "tools").is_none()
        || is_answered
        || config.get("mode").is_some_and(|mode| mode == "NONE")
    {
        return Ok(None);
    }
    let allowed =
        config.get("allowedFunctionNames").and_then(Value::as_array).filter(|names| !names.is_empty());
    let declared =
        list(body, "tools")?.iter().filter_map(|tool| tool.get("functionDeclarations")?.as_array());
    for function in declared.flatten() {
        let name =
            function.get("name").ok_or_else(|| ApiError::missing("tools.functionDeclarations.name"))?;
        let text = name.as_str().ok_or_else(|| ApiError::wrong_type("name", "a string", name))?;
        if allowed.is_none_or(|allowed| allowed.contains(name)) {
            let parameters = function.get("parametersJsonSchema").or_else(|| function.get("parameters"));
            return Ok(Some(Tool { name: text, parameters }));
        }
    }
    Ok(None)
}

/// A schema with its types in lower case: of Google's two forms, their own has them in capitals.
pub(super) fn plain(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let plain = |(name, value): (&String, &Value)| match (name.as_str(), value) {
                ("type", Value::String(kind)) => (name.clone(), kind.to_lowercase().into()),
                _ => (name.clone(), plain(value)),
            };
            Value::Object(fields.iter().map(plain).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}
