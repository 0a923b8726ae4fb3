//! The fault proxy between two real sockets. Nothing here asserts how soon: only order, counts, and lower bounds.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something does not hold, its helpers too"
)]

mod control;
mod delays;
mod endings;
mod holds;
mod passing;
mod rig;
