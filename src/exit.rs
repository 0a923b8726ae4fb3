//! How the process ends: every exit code in one place.

/// The command failed for a reason of its own: the request failed, say.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong. Clap ends the process with this code itself.
pub(crate) const USAGE: u8 = 2;
/// The configuration is wrong (`EX_USAGE` of sysexits.h): mend it, do not restart.
pub(crate) const CONFIG: u8 = 64;
/// The server cannot be reached at a command, or the broker refuses us at a start (`EX_UNAVAILABLE`).
pub(crate) const UNAVAILABLE: u8 = 69;
/// The broker was lost for too long (`EX_SOFTWARE`): restart.
pub(crate) const BROKER_LOST: u8 = 70;
/// No work moved for too long (`EX_OSERR`): restart.
pub(crate) const NO_PROGRESS: u8 = 71;
/// Stopped by Ctrl-C (128 and the number of SIGINT), as shells expect of a command.
pub(crate) const INTERRUPTED: u8 = 130;
