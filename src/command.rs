//! The commands other than `up`: one file each.

use std::io::{self, Write};

mod api;
pub(crate) mod bench;
pub(crate) mod callbacks;
pub(crate) mod chaos;
pub(crate) mod chat;
pub(crate) mod config;
pub(crate) mod cost;
pub(crate) mod dead;
pub(crate) mod estimate;
mod exchange;
pub(crate) mod key;
pub(crate) mod nats_auth;
pub(crate) mod openapi;
pub(crate) mod parity;
pub(crate) mod provider;
mod question;
pub(crate) mod schema;
pub(crate) mod send;
mod table;
pub(crate) mod top;
pub(crate) mod watch;

/// Tells a person what is wrong. Ignores a write error: without standard error there is nobody to tell.
pub(crate) fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "dynode: {what}");
}
