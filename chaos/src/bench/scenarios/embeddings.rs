//! Scenarios with embeddings.

use crate::bench::scenario::{Case, Kind, Scenario, Work};

const ONE: Work = Work::Embeddings { batch: 1 };
const MANY: Work = Work::Embeddings { batch: 64 };

pub(super) const EMBEDDINGS: Scenario = Scenario {
    name: "embeddings",
    about: "vectors of 1,536 numbers, as base64",
    kind: Kind::Calls(&[
        Case::closed(ONE, 1),
        Case::closed(ONE, 64),
        Case::closed(MANY, 1),
        Case::closed(MANY, 64),
    ]),
};
