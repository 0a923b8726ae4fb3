//! Scenarios with requests published on the bus, until their outcomes there.

use crate::bench::scenario::{Case, Kind, Scenario, Work};

const ONE: Work = Work::Publish { tenants: 1 };

pub(super) const PUBLISH: Scenario = Scenario {
    name: "publish",
    about: "a chat that is published on the bus, to its outcome there",
    kind: Kind::Calls(&[
        Case::closed(ONE, 1),
        Case::closed(ONE, 64),
        Case::closed(ONE, 512),
        Case::open(ONE, 200),
        Case::open(ONE, 1_000),
    ]),
};

pub(super) const QUICK: Scenario =
    Scenario { kind: Kind::Calls(&[Case::closed(ONE, 1), Case::closed(ONE, 64)]), ..PUBLISH };

pub(super) const TENANTS: Scenario = Scenario {
    name: "tenants",
    about: "the same, of ten tenants in turn",
    kind: Kind::Calls(&[
        Case::closed(Work::Publish { tenants: 10 }, 64),
        Case::open(Work::Publish { tenants: 10 }, 1_000),
    ]),
};
