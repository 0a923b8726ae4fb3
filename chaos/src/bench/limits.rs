//! How many files this process, and those that it starts, may have open: a connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides the connections.
const OTHERS: u64 = 256;

/// Raises the limit as far as this user may, and says how many connections there may be.
pub(super) fn connections_max() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Where it fails the limit stays as it is, which is what is told.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    // None is no limit.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(OTHERS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn some_connections_may_be_open() {
        assert!(super::connections_max() > 64);
    }
}
