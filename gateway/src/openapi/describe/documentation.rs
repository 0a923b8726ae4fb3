//! Describes the routes of the documentation.

use serde_json::{Value, json};

use crate::openapi::{
    Operation,
    content::{HTML, TEXT},
    operation::Tag,
};

pub(crate) fn get_openapi() -> Operation {
    Operation::new(
        Tag::Documentation,
        "get_openapi",
        "Read this document",
        "Get the OpenAPI 3.1 document of this server, to make a client or tools of it.",
    )
    .open()
    .answers(200, "The document.")
    .json::<Value>(json!({ "openapi": "3.1.1" }))
}

pub(crate) fn browse_docs() -> Operation {
    Operation::new(
        Tag::Documentation,
        "browse_docs",
        "Browse the documentation",
        "Open this in a browser to read the operations, their schemas and examples. It loads nothing from elsewhere.",
    )
    .open()
    .answers(200, "The page.")
    .raw(HTML)
}

pub(crate) fn open_chat() -> Operation {
    Operation::new(
        Tag::Documentation,
        "open_chat",
        "Open the chat page",
        "Open this in a browser to talk to the models over the WebSocket. It loads nothing from elsewhere.",
    )
    .open()
    .answers(200, "The page.")
    .raw(HTML)
}

pub(crate) fn read_contract() -> Operation {
    Operation::new(
        Tag::Documentation,
        "read_contract",
        "Read the contract",
        "Get the contract, which holds across all versions, as Markdown: the subjects of the bus, every message of \
         the WebSocket, the errors.",
    )
    .open()
    .answers(200, "Markdown.")
    .raw(TEXT)
}
