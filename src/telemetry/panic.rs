//! Logs each panic once, with location and thread but without its message, which may hold what a client sent.

use std::{io::Write, panic};

/// Replaces the standard hook, which prints the message and, if backtraces are on, spends half a second and much memory
/// on one while a worker waits to be replaced.
pub(super) fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        if tracing::dispatcher::has_been_set() {
            tracing::error!(location, thread, "a thread panicked");
        } else {
            // If standard error is gone as well, nothing more can be done.
            let _ = writeln!(std::io::stderr(), "dynode: thread {thread} panicked at {location}");
        }
    }));
}
