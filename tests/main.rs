//! The program from outside: the real binary, real servers, real clients.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets an error has failed")]

#[macro_use]
mod support;

mod answers;
mod api;
mod assets;
mod bad_days;
mod bad_input;
mod bench;
mod browser;
mod budgets;
mod bus;
mod callback;
mod chat;
mod command_line;
mod configuration;
mod cost;
mod crash;
mod hostile_http;
mod isolation;
mod keys;
mod late_broker;
mod leaks;
mod messages;
mod mutations;
mod openai_sdk;
mod openapi;
mod parity;
mod provider_sdks;
mod readme;
mod reload;
mod requests;
mod spin;
mod start;
mod tidy;
mod tls;
mod translated;
mod trouble;
mod upstream;
mod vendor_sdks;
mod waterfalls;
mod webhook;
mod websocket;
mod workers;
