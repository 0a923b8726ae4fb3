//! Formats the figures of a run for people, as pure text. Nothing here measures.

mod curve;
mod html;
mod rows;
mod terminal;

pub use html::html;
pub use terminal::{comparison, terminal};

#[cfg(test)]
mod tests;
