//! Every exit code of the process.

/// The command itself failed: the request failed, for example.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong. Clap ends the process with this code itself.
pub(crate) const USAGE: u8 = 2;
/// The configuration is wrong (`EX_USAGE` of sysexits.h): mend it, do not restart.
pub(crate) const CONFIG: u8 = 64;
/// A command cannot reach the server, or the broker refuses us at the start (`EX_UNAVAILABLE`).
pub(crate) const UNAVAILABLE: u8 = 69;
/// The broker was lost for too long (`EX_SOFTWARE`): restart.
pub(crate) const BROKER_LOST: u8 = 70;
/// No work progressed for too long (`EX_OSERR`): restart.
pub(crate) const NO_PROGRESS: u8 = 71;
/// Stopped by Ctrl-C (128 and the number of SIGINT), as shells expect of a command.
pub(crate) const INTERRUPTED: u8 = 130;
