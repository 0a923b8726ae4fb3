//! `dynode parity`: plays one table of cases through every handle and compares what each shows with what the WebSocket
//! shows. It sees Dynode only from outside; the table says what is right, and [`Allowed`] what may differ.

mod allowed;
mod case;
mod compare;
mod ground;
mod handle;
mod jam;
mod keys;
mod measure;
mod normal;
mod play;
mod report;
mod rig;
mod shown;

use std::{io, path::Path};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

pub use allowed::Allowed;
pub use case::Area;
pub use compare::Difference;
pub use handle::Handle;
pub use report::{Beside, Judged, Report, Verdict, json, markdown, terminal};
pub use rig::System;

use self::{
    case::{Case, Deed},
    ground::Ground,
    jam::Jam,
    play::play,
    rig::Rig,
};

/// Which cases to play.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Only those of one area.
    pub area: Option<Area>,
    /// Only those whose name contains this.
    pub name: Option<String>,
}

/// Plays the table on `system`, with its files in `dir`; calls `tell` when a case is over.
///
/// # Errors
/// When there is nothing to test: a part of the system did not start, or the deployment cannot be reached.
pub async fn run(
    system: &System,
    dir: &Path,
    choice: &Choice,
    mut tell: impl FnMut(&Judged),
) -> io::Result<Report> {
    let began = Instant::now();
    let rig = Rig::start(system, dir).await?;
    let ground = &rig.ground;
    let handles: Vec<_> =
        Handle::ALL.into_iter().filter(|handle| ground.bus.is_some() || !handle.is_bus()).collect();
    let cases = case::table().map_err(io::Error::other)?;
    let mut judged = Vec::new();
    for case in cases.iter().filter(|case| choice.takes(case)) {
        let one = match case.own && !ground.is_own {
            true => Judged::skipped(case, "it needs an engine whose settings are ours"),
            false => judge(ground, case, &handles).await?,
        };
        tell(&one);
        judged.push(one);
    }
    let latencies = measure::all(ground, &handles).await?;
    Ok(Report::of(system, handles, judged, latencies, began.elapsed()))
}

/// Plays one case through all handles, and compares.
async fn judge(ground: &Ground, case: &Case, handles: &[Handle]) -> io::Result<Judged> {
    let jam = match case.deed {
        Deed::Jammed => Some(Jam::make(ground).await?),
        _ => None,
    };
    let (reference, others) = (Handle::ALL[0], &handles[1..]);
    let shared = ground.id(reference);
    let first = play(ground, case, reference, &shared).await;
    let mut judged = Judged::begin(case, &first);
    for handle in others {
        match case.left_out(*handle) {
            Some(why) => judged.leaves_out(*handle, why),
            None => judged.compares(case, *handle, &first, &play(ground, case, *handle, &shared).await),
        }
    }
    if let Some(jam) = jam {
        jam.clear(ground).await?;
    }
    Ok(judged)
}

impl Choice {
    fn takes(&self, case: &Case) -> bool {
        self.area.is_none_or(|area| area == case.area)
            && self.name.as_ref().is_none_or(|name| case.name.contains(name.as_str()))
    }
}

/// The SHA-256 of a file, written as assets have it.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
