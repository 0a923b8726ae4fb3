//! Describes one operation: plain data from which the document is written.

use axum::http::StatusCode;
use schemars::{JsonSchema, SchemaGenerator};
use schemas::ErrorCode;
use serde_json::Value;

use super::{
    content::{Content, JSON, MESSAGE_PACK, SchemaOf},
    headers::Header,
};

/// A group of operations, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    OpenAi,
    Anthropic,
    Requests,
    Assets,
    Costs,
    Keys,
    Operations,
    Health,
    Documentation,
}

impl Tag {
    /// The name, and what the group is for.
    pub(super) const ALL: [(Self, &'static str, &'static str); 9] = [
        (
            Self::OpenAi,
            "OpenAI",
            "The OpenAI API: point an OpenAI SDK at this server and change nothing else.",
        ),
        (
            Self::Anthropic,
            "Anthropic",
            "The Messages API: point an Anthropic SDK at this server and change nothing else.",
        ),
        (
            Self::Requests,
            "Requests",
            "Hand work in, read how it ended, follow its events, cancel it. What was accepted ends in exactly one outcome.",
        ),
        (Self::Assets, "Assets", "Read the files that requests have made."),
        (Self::Costs, "Costs", "Know what a request would cost and what requests have cost."),
        (Self::Keys, "Keys", "Make, list, replace and revoke API keys."),
        (Self::Operations, "Operations", "Watch the pools, and deal with what was parked."),
        (Self::Health, "Health", "Probe the server."),
        (Self::Documentation, "Documentation", "Read how to use this server."),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(tag, ..)| *tag == self).map_or("", |(_, name, _)| name)
    }
}

/// Describes a method on a path: what it does, takes and answers. Built in the order in which it is read.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(super) tag: Tag,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) paths: Vec<PathParameter>,
    pub(super) queries: Vec<SchemaOf>,
    pub(super) headers: Vec<Header>,
    pub(super) body: Vec<Content>,
    pub(super) answers: Vec<Answer>,
    pub(super) refusals: Vec<StatusCode>,
    pub(super) is_open: bool,
}

/// A parameter in the path.
#[derive(Debug)]
pub(super) struct PathParameter {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) schema: SchemaOf,
    pub(super) example: &'static str,
}

/// One status that is not a refusal.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) content: Vec<Content>,
    pub(super) headers: Vec<Header>,
}

impl Operation {
    /// `id` in snake case is unique; `summary` begins with a verb; `description` says when to use it and what to know.
    pub(crate) const fn new(
        tag: Tag,
        id: &'static str,
        summary: &'static str,
        description: &'static str,
    ) -> Self {
        Self {
            tag,
            id,
            summary,
            description,
            paths: Vec::new(),
            queries: Vec::new(),
            headers: Vec::new(),
            body: Vec::new(),
            answers: Vec::new(),
            refusals: Vec::new(),
            is_open: false,
        }
    }

    /// Needs no key.
    pub(crate) const fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// A parameter in the path.
    pub(crate) fn path<T: JsonSchema>(
        mut self,
        name: &'static str,
        description: &'static str,
        example: &'static str,
    ) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        self.paths.push(PathParameter { name, description, schema, example });
        self
    }

    /// Makes the fields of `T` parameters of the query.
    pub(crate) fn query<T: JsonSchema>(mut self) -> Self {
        self.queries.push(T::json_schema);
        self
    }

    /// A header that the client may send.
    pub(crate) fn header(mut self, header: Header) -> Self {
        self.headers.push(header);
        self
    }

    /// A body in JSON.
    pub(crate) fn takes<T: JsonSchema>(mut self, example: Value) -> Self {
        self.body.push(Content::of::<T>(JSON, Some(example)));
        self
    }

    /// A body in JSON or MessagePack.
    pub(crate) fn takes_either<T: JsonSchema>(self, example: Value) -> Self {
        let mut this = self.takes::<T>(example);
        this.body.push(Content::of::<T>(MESSAGE_PACK, None));
        this
    }

    /// An answer without a body; the calls that follow describe it further.
    pub(crate) fn answers(mut self, status: u16, description: &'static str) -> Self {
        self.answers.push(Answer { status, description, content: Vec::new(), headers: Vec::new() });
        self
    }

    /// That answer is JSON.
    pub(crate) fn json<T: JsonSchema>(self, example: Value) -> Self {
        self.content(Content::of::<T>(JSON, Some(example)))
    }

    /// That answer is MessagePack if the client accepts it.
    pub(crate) fn message_pack<T: JsonSchema>(self) -> Self {
        self.content(Content::of::<T>(MESSAGE_PACK, None))
    }

    /// That answer is server-sent events, the data of each a `T`.
    pub(crate) fn events<T: JsonSchema>(self, example: &str) -> Self {
        self.content(Content::events::<T>(example))
    }

    /// That answer is bytes or text.
    pub(crate) fn raw(self, media_type: &'static str) -> Self {
        self.content(Content::raw(media_type))
    }

    fn content(mut self, content: Content) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.content.push(content);
        }
        self
    }

    /// That answer carries this header.
    pub(crate) fn with(mut self, header: Header) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push(header);
        }
        self
    }

    /// Adds the errors that may end it besides those of every operation.
    pub(crate) fn refuses(mut self, codes: &[ErrorCode]) -> Self {
        let status = |code: &ErrorCode| StatusCode::from_u16(code.row().http_status).ok();
        self.refusals.extend(codes.iter().filter_map(status));
        self
    }

    /// Every status with which it may refuse, each once, in order.
    pub(super) fn all_refusals(&self) -> Vec<StatusCode> {
        use StatusCode as S;
        let mut all = vec![S::INTERNAL_SERVER_ERROR, S::SERVICE_UNAVAILABLE];
        if !self.is_open {
            all.extend([S::BAD_REQUEST, S::UNAUTHORIZED, S::FORBIDDEN, S::TOO_MANY_REQUESTS]);
        }
        if !self.body.is_empty() {
            all.extend([S::BAD_REQUEST, S::PAYLOAD_TOO_LARGE, S::UNSUPPORTED_MEDIA_TYPE]);
        }
        all.extend(&self.refusals);
        all.retain(|status| self.answers.iter().all(|answer| answer.status != status.as_u16()));
        all.sort_unstable();
        all.dedup();
        all
    }
}
