//! The program from outside: the real binary, real servers, real clients.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets an error has failed")]

#[macro_use]
mod support;

mod answers;
mod assets;
mod bad_days;
mod bad_input;
mod budgets;
mod bus;
mod callback;
mod command_line;
mod configuration;
mod cost;
mod crash;
mod hostile_http;
mod late_broker;
mod mutations;
mod openai_sdk;
mod openapi;
mod provider_sdks;
mod readme;
mod reload;
mod requests;
mod spin;
mod start;
mod tidy;
mod translated;
mod trouble;
mod upstream;
mod vendor_sdks;
mod waterfalls;
mod webhook;
mod websocket;
mod workers;
