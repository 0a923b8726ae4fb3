//! A panic is logged once: where, and on which thread. Its message is withheld, since it may hold what a client sent.

use std::{io::Write, panic};

/// Replaces the standard hook, which prints the message and, asked for a backtrace, spends half a second and much
/// memory on it while a worker waits to be replaced.
pub(super) fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        if tracing::dispatcher::has_been_set() {
            tracing::error!(location, thread, "a thread panicked");
        } else {
            // There is nothing left to do where standard error is gone as well.
            let _ = writeln!(std::io::stderr(), "dynode: thread {thread} panicked at {location}");
        }
    }));
}
