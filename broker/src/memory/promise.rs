//! Checks whether an existing stream holds what is asked of it, and whether a stream's specification makes sense.

use crate::subject::Pattern;
use crate::{Storage, StreamSpec};

/// The patterns of `spec`, or why it makes no sense.
pub(super) fn patterns(spec: &StreamSpec) -> Result<Vec<Pattern>, String> {
    let is_name = !spec.name.is_empty()
        && spec.name.chars().all(|c| !c.is_whitespace() && !c.is_control() && !".*>/\\".contains(c));
    if !is_name {
        return Err("its name is empty, or has white space or one of `.*>/\\`".to_owned());
    }
    if spec.first_wins && spec.discard_old {
        return Err("discard_old would take away what first_wins promises to keep".to_owned());
    }
    if spec.subjects.is_empty() {
        return Err("it takes no subjects".to_owned());
    }
    let parse = |text: &String| Pattern::parse(text).ok_or_else(|| format!("`{text}` is not a pattern"));
    spec.subjects.iter().map(parse).collect()
}

/// What the stream `have` becomes if `want` is asked of it: its limits follow, its promises stay. An error says which
/// promise is weaker than asked, and the mend.
pub(super) fn merged(have: &StreamSpec, want: &StreamSpec) -> Result<StreamSpec, String> {
    let weaker = if have.retention != want.retention {
        "retention"
    } else if have.discard_old && !want.discard_old {
        "discard_old"
    } else if have.first_wins != want.first_wins {
        "first_wins"
    } else if have.duplicate_window < want.duplicate_window {
        "duplicate_window"
    } else if have.storage == Storage::Memory && want.storage == Storage::File {
        "storage"
    } else {
        return Ok(StreamSpec {
            storage: have.storage,
            duplicate_window: have.duplicate_window,
            ..want.clone()
        });
    };
    Err(format!("it exists with another {weaker} than is asked: ask for that, or take another name"))
}
