//! The handles on Dynode: their names, and what each of them is given to ask. One file each; none of them knows what
//! another has shown.

mod bus;
mod messages;
mod openai;
mod requests;
mod responses;
mod socket;

use std::{io, time::Duration};

use schemas::{Format, RequestId, Secret, Tenant};
use serde::Serialize;
use serde_json::Value;

pub(super) use bus::Bus;
pub(super) use requests::signed;
pub(super) use socket::{Heard, Socket};

use super::{ground::Ground, shown::Shown};

/// A way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Handle {
    /// The WebSocket, in text frames: the reference for all others.
    Socket,
    /// The WebSocket, in binary frames.
    SocketPacked,
    /// HTTP in OpenAI's form.
    OpenAi,
    /// HTTP in the form of OpenAI's Responses API.
    Responses,
    /// HTTP in the form of Anthropic's Messages API.
    Messages,
    /// HTTP in Dynode's own form.
    Requests,
    /// The same with MessagePack bodies.
    RequestsPacked,
    /// Subjects of the broker, in JSON.
    Bus,
    /// The same in MessagePack.
    BusPacked,
}

/// One request on its way through a handle.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Its id.
    pub(super) id: RequestId,
    /// What it says.
    pub(super) said: Said,
    /// What its sender does while it is answered.
    pub(super) plan: Plan,
    /// As whom.
    pub(super) who: Who,
}

/// What a request says.
#[derive(Debug, Clone)]
pub(super) enum Said {
    /// A request: action, payload and options, without an id.
    Request(Value),
    /// A text that is no request.
    Text(String),
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Who {
    /// The tenant, which the bus names in its subjects.
    pub(super) tenant: Tenant,
    /// The key, by which the doors know the tenant.
    pub(super) key: Option<Secret>,
}

/// What a sender does during the answer. Counts are pieces of the answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plan {
    /// It cancels after this many.
    pub(super) cancel_after: Option<u32>,
    /// It goes away after this many, without a word.
    pub(super) leave_after: Option<u32>,
    /// Its connection is cut after this many, and it comes back.
    pub(super) cut_after: Option<u32>,
    /// It pauses after each event.
    pub(super) pause: Duration,
}

impl Handle {
    /// All of them; the first is the reference.
    pub const ALL: [Self; 9] = [
        Self::Socket,
        Self::SocketPacked,
        Self::OpenAi,
        Self::Responses,
        Self::Messages,
        Self::Requests,
        Self::RequestsPacked,
        Self::Bus,
        Self::BusPacked,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Socket => "WebSocket",
            Self::SocketPacked => "WebSocket (MessagePack)",
            Self::OpenAi => "HTTP, OpenAI API",
            Self::Responses => "HTTP, Responses API",
            Self::Messages => "HTTP, Messages API",
            Self::Requests => "HTTP, requests API",
            Self::RequestsPacked => "HTTP, requests API (MessagePack)",
            Self::Bus => "bus",
            Self::BusPacked => "bus (MessagePack)",
        }
    }

    /// Its word in ids.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Socket => "ws",
            Self::SocketPacked => "wsm",
            Self::OpenAi => "oai",
            Self::Responses => "resp",
            Self::Messages => "msg",
            Self::Requests => "req",
            Self::RequestsPacked => "reqm",
            Self::Bus => "bus",
            Self::BusPacked => "busm",
        }
    }

    /// Whether it needs a connection to the broker.
    pub(super) const fn is_bus(self) -> bool {
        matches!(self, Self::Bus | Self::BusPacked)
    }

    /// Whether it speaks another vendor's API, which tells the answer and little of the way to it.
    pub(super) const fn is_of_others(self) -> bool {
        matches!(self, Self::OpenAi | Self::Responses | Self::Messages)
    }

    /// The format that it writes.
    pub(super) const fn format(self) -> Format {
        match self {
            Self::SocketPacked | Self::RequestsPacked | Self::BusPacked => Format::MessagePack,
            Self::Socket | Self::Requests | Self::Bus => Format::Json,
            Self::OpenAi | Self::Responses | Self::Messages => Format::Json,
        }
    }

    /// Why it has no form for `said`, if it has none.
    pub(super) fn lacks(self, said: &Said) -> Option<String> {
        match (self, said) {
            (Self::OpenAi, Said::Request(request)) => openai::lacks(request),
            (Self::Responses, Said::Request(request)) => responses::lacks(request),
            (Self::Messages, Said::Request(request)) => messages::lacks(request),
            (Self::SocketPacked | Self::RequestsPacked | Self::BusPacked, Said::Text(_)) => {
                Some("the text is no MessagePack".to_owned())
            }
            _ => None,
        }
    }

    /// Asks all of `asked` at once, on one connection if the handle has connections, and reads to their ends.
    ///
    /// # Errors
    /// When there is no connection.
    pub(super) async fn converse(self, ground: &Ground, asked: &[Asked]) -> io::Result<Vec<Shown>> {
        match self {
            Self::Socket | Self::SocketPacked => socket::converse(ground, self.format(), asked).await,
            Self::OpenAi => openai::converse(ground, asked).await,
            Self::Responses => responses::converse(ground, asked).await,
            Self::Messages => messages::converse(ground, asked).await,
            Self::Requests | Self::RequestsPacked => requests::converse(ground, self.format(), asked).await,
            Self::Bus | Self::BusPacked => bus::converse(ground, self.format(), asked).await,
        }
    }

    /// The record of a request once it has ended; null if there is none.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(super) async fn record(self, ground: &Ground, asked: &Asked) -> io::Result<Value> {
        match self {
            Self::Bus | Self::BusPacked => bus::record(ground, asked).await,
            _ => requests::record(ground, self.format(), asked).await,
        }
    }

    /// The server's health, as this handle tells it.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn health(self, ground: &Ground, asked: &Asked) -> io::Result<Value> {
        match self {
            Self::Socket | Self::SocketPacked | Self::Bus | Self::BusPacked => {
                let shown = self.converse(ground, std::slice::from_ref(asked)).await?;
                Ok(shown.into_iter().next().map(Shown::into_value).unwrap_or_default()["output"].clone())
            }
            _ => requests::health(ground, asked).await,
        }
    }
}

impl Asked {
    /// The whole request with its id, as bytes of `format`.
    fn bytes(&self, format: Format) -> Vec<u8> {
        match &self.said {
            Said::Text(text) => text.as_bytes().to_vec(),
            Said::Request(request) => {
                let mut request = request.clone();
                if let Value::Object(fields) = &mut request {
                    fields.entry("id").or_insert_with(|| self.id.as_str().into());
                }
                format.encode(&request).unwrap_or_default().to_vec()
            }
        }
    }
}

impl Plan {
    /// Whether to cut the connection now.
    fn cuts(&mut self, shown: &Shown) -> bool {
        self.cut_after.take_if(|after| shown.deltas() >= *after).is_some()
    }

    /// Whether the sender goes away now; if it does, `shown` ends with that.
    fn leaves(&mut self, shown: &mut Shown) -> bool {
        let leaves = self.leave_after.take_if(|after| shown.deltas() >= *after).is_some();
        if leaves {
            shown.ends(serde_json::json!({"end": "left"}));
        }
        leaves
    }

    /// Whether to cancel now.
    fn cancels(&mut self, shown: &Shown) -> bool {
        self.cancel_after.take_if(|after| shown.deltas() >= *after).is_some()
    }
}
