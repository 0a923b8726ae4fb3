//! Shows a thing that is too secret or too long for a log as the start of its hash, which tells two apart and gives
//! neither away.

use schemas::Outcome;
use sha2::{Digest, Sha256};

/// How many bytes of the hash are shown: enough to tell keys apart, too few to be of use to anyone else.
const SHOWN_BYTES: usize = 8;

/// The fingerprint of a secret, in hexadecimal digits.
pub(crate) fn fingerprint(secret: &[u8]) -> String {
    Sha256::digest(secret).iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// The fingerprint of everything that an outcome says, whatever format it came in.
pub(crate) fn of_outcome(outcome: &Outcome) -> String {
    // Strings, numbers and lists always encode.
    fingerprint(&serde_json::to_vec(outcome).unwrap_or_default())
}
