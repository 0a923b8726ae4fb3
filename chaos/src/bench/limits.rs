//! The limit on open files of this process and those that it starts: each connection is one file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files other than connections.
const OTHERS: u64 = 256;

/// Raises the limit as far as this user may, and returns how many connections are possible.
pub(super) fn connections_max() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // On failure the limit stays as it is, and is reported as such.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    // `None` means no limit.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(OTHERS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn some_connections_may_be_open() {
        assert!(super::connections_max() > 64);
    }
}
