//! How a credential appears in a log: as the start of its hash, which tells two apart and gives neither away.

use sha2::{Digest, Sha256};

/// Bytes of the hash that are shown: enough to tell keys apart, too few to be of use to anyone else.
const SHOWN_BYTES: usize = 8;

/// The fingerprint of a secret, in hexadecimal digits.
pub(crate) fn fingerprint(secret: &[u8]) -> String {
    Sha256::digest(secret).iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
