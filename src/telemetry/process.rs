//! Metrics of the process itself, read on each scrape. Absent without `/proc`.

use std::fs;

use opentelemetry::metrics::Meter;
use tokio::time::Instant;

/// Registers memory, open files and uptime.
pub(super) fn observe(meter: &Meter) {
    let start = Instant::now();
    meter
        .u64_observable_gauge("process_resident_memory_bytes")
        .with_description("Memory in RAM")
        .with_callback(|gauge| resident_bytes().into_iter().for_each(|bytes| gauge.observe(bytes, &[])))
        .build();
    meter
        .u64_observable_gauge("process_open_fds")
        .with_description("Open files and sockets")
        .with_callback(|gauge| open_files().into_iter().for_each(|files| gauge.observe(files, &[])))
        .build();
    meter
        .f64_observable_gauge("process_uptime_seconds")
        .with_description("Time since the start")
        .with_callback(move |gauge| gauge.observe(start.elapsed().as_secs_f64(), &[]))
        .build();
}

/// Parses the line `VmRSS:     5120 kB`.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes * 1024)
}

/// Does not count the descriptor that this call opens.
fn open_files() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(entries.saturating_sub(1)).ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_files() {
        assert!(resident_bytes().unwrap() > 1 << 20);
        assert!(open_files().unwrap() >= 1);
    }
}
