//! What a run tells people: pure text from its figures. Nothing here measures.

mod curve;
mod html;
mod rows;
mod terminal;

pub use html::html;
pub use terminal::{comparison, terminal};

#[cfg(test)]
mod tests;
