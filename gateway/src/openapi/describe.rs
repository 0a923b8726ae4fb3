//! What is said of each operation, a file a group. A new door gets a function here and a line in the table of routes.

pub(crate) mod assets;
pub(crate) mod costs;
pub(crate) mod documentation;
pub(crate) mod health;
pub(crate) mod openai;
pub(crate) mod operations;
pub(crate) mod requests;
