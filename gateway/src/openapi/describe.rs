//! Describes each operation, one file per group. A new door needs a function here and a row in the table of routes.

pub(crate) mod assets;
pub(crate) mod costs;
pub(crate) mod documentation;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod messages;
pub(crate) mod openai;
pub(crate) mod operations;
pub(crate) mod requests;
pub(crate) mod responses;
