//! Simulated vendors of images, speech, videos, stock media and hosted models, each below a path of its own name with
//! the paths, fields, headers, states and errors of the real one: `http://ADDRESS/ideogram/v1/ideogram-v3/generate`.
//!
//! The `x-sim` header of a call says how to answer it, in the grammar of [`super::behaviour`]; its `x-sim-media` header
//! names faults that only media can have, in the grammar of [`twist`]. Faults of `x-sim` hit calls that ask for work,
//! never calls that ask for its state or its files.

mod elevenlabs;
mod files;
mod hook;
mod ideogram;
mod pexels;
mod play;
mod replicate;
mod samples;
mod shotstack;
mod stability;
mod twist;
mod visit;

use std::sync::Arc;

use axum::Router;

use super::sim::Sim;

pub use hook::SECRET as WEBHOOK_SECRET;
pub(super) use twist::Job;

/// The routes of all vendors.
pub(super) fn routes() -> Router<Arc<Sim>> {
    Router::new()
        .merge(elevenlabs::routes())
        .merge(files::routes())
        .merge(ideogram::routes())
        .merge(pexels::routes())
        .merge(replicate::routes())
        .merge(shotstack::routes())
        .merge(stability::routes())
}
