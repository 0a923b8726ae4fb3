//! The commands beside `up`: one file each.

use std::io::{self, Write};

pub(crate) mod chaos;
pub(crate) mod config;
pub(crate) mod dead;
pub(crate) mod provider;
pub(crate) mod schema;
pub(crate) mod send;
pub(crate) mod watch;

/// Tells a person what is wrong. Where standard error is gone there is nobody to tell.
pub(crate) fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "dynode: {what}");
}
