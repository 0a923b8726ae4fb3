//! The provider files inside the program, and how a configuration names one.

use std::path::Path;

/// The largest provider file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The names of the shipped files.
pub(super) const NAMES: [&str; 6] =
    ["elevenlabs", "ideogram", "pexels", "replicate", "shotstack", "stability"];

/// Their text, in the same order.
const TEXTS: [&str; 6] = [
    include_str!("../../../config/providers/elevenlabs.toml"),
    include_str!("../../../config/providers/ideogram.toml"),
    include_str!("../../../config/providers/pexels.toml"),
    include_str!("../../../config/providers/replicate.toml"),
    include_str!("../../../config/providers/shotstack.toml"),
    include_str!("../../../config/providers/stability.toml"),
];

/// The file that `name` names, and its text: a shipped one by its bare name, any other by its path.
pub(super) fn read(name: &str) -> Result<(String, String), String> {
    if let Some(index) = NAMES.iter().position(|shipped| *shipped == name) {
        return Ok((format!("config/providers/{name}.toml"), TEXTS[index].to_owned()));
    }
    let path = Path::new(name);
    if !name.contains(['/', '.', '\\']) && !path.exists() {
        let shipped = NAMES.join(", ");
        return Err(format!("`{name}` is not shipped ({shipped}); name another file by its path"));
    }
    let unreadable = |why: &dyn std::fmt::Display| format!("`{name}` cannot be read: {why}");
    let length = path.metadata().map_err(|error| unreadable(&error))?.len();
    if length > FILE_BYTES_MAX {
        return Err(unreadable(&format!("it is over the limit of {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    Ok((name.to_owned(), text))
}
