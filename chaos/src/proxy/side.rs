//! The two directions of a link, and what exists once for each.

use serde::Serialize;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the client to the upstream.
    Up,
    /// From the upstream to the client.
    Down,
}

/// One of something for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sides<T> {
    /// From the client to the upstream.
    pub up: T,
    /// From the upstream to the client.
    pub down: T,
}

impl<T> Sides<T> {
    /// The one of `side`.
    pub const fn of(&self, side: Side) -> &T {
        match side {
            Side::Up => &self.up,
            Side::Down => &self.down,
        }
    }

    /// The one of `side`, to change it.
    pub const fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Up => &mut self.up,
            Side::Down => &mut self.down,
        }
    }
}
