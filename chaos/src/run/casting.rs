//! Decides who sends what in each phase of a scenario: the workloads, drawn from the seed before the run starts. Pure.

use std::time::Duration;

use schemas::{Action, Priority, RequestId, Tenant};

use super::{
    System,
    rig::settings,
    scenario::{Fault, Load, Scenario, Step},
};
use crate::{
    history::{Door, Key},
    workload::{Ask, Planned, Profile, Reading, TenantShare, Wire, Workload, mix},
};

/// The tenants: that of the gateways, one on the bus only, and a flooder.
pub(super) const TENANTS: [&str; 3] = [DEFAULT, ACME, FLOODER];
/// The tenant of clients that use a gateway.
pub(super) const DEFAULT: &str = "default";
const ACME: &str = "acme";
const FLOODER: &str = "flooder";

/// The longest time from a request to its cancel or repeat: for a later one, the run would only wait.
const AFTER_MS_MAX: u64 = 5_000;
/// The longest time that a reader stays away after a cut.
const AWAY_MS_MAX: u64 = 1_500;
/// The longest pause of a slow reader between two frames.
const PAUSE_MS_MAX: u64 = 200;
/// The longest answer to the flooder, in tokens: the flood is for the queue.
const FLOOD_TOKENS_MAX: u32 = 5;

/// Draws the workloads of one scenario.
#[derive(Debug)]
pub(super) struct Casting {
    seed: u64,
    usual: Profile,
    /// Whether we may use the bus and its tenants.
    on_bus: bool,
    /// The prefix of every id: a given deployment remembers the ids of earlier runs.
    run: String,
}

impl Casting {
    pub(super) fn of(system: &System, seed: u64) -> Self {
        let (usual, on_bus, run) = match system {
            System::Own(_) => (own(), true, String::new()),
            System::Given(deployment) => {
                (given(&deployment.model), false, format!("{:08x}-", rand::random::<u32>()))
            }
        };
        Self { seed, usual, on_bus, run }
    }

    /// The load of a phase without faults.
    pub(super) fn usual(&self, prefix: &str, span: Duration) -> Workload {
        // Each phase has its own seed: repeating the same requests would say less.
        let seed = prefix.bytes().fold(self.seed, |seed, byte| mix(seed, byte.into()));
        self.named(prefix, Workload::draw(seed, &Load::USUAL.profile(span, &self.usual)))
    }

    /// The load during the faults: with the floods, and the requests that make their worker spin.
    pub(super) fn under_fault(&self, scenario: &Scenario, span: Duration) -> Workload {
        let mut workload =
            self.named("f", Workload::draw(self.seed, &scenario.load.profile(span, &self.usual)));
        for (index, step) in scenario.steps.iter().enumerate() {
            match step.fault {
                Fault::Flood(per_second) => workload.requests.extend(self.flood(step, per_second)),
                Fault::Spin => workload.requests.push(spinner(step, index)),
                _ => {}
            }
        }
        workload.requests.sort_by_key(|planned| planned.at_ms);
        workload
    }

    fn flood(&self, step: &Step, per_second: u64) -> Vec<Planned> {
        let (name, door) = if self.on_bus { (FLOODER, Door::Bus) } else { (DEFAULT, Door::Http) };
        let profile = Profile {
            requests: per_second * step.lasts_ms / 1_000,
            span_ms: step.lasts_ms,
            tenants: vec![TenantShare { tenant: tenant(name), weight: 1, doors: vec![door] }],
            tokens_max: FLOOD_TOKENS_MAX,
            callbacks: 0.0,
            cancels: 0.0,
            repeats: 0.0,
            bad: 0.0,
            ..self.usual.clone()
        };
        let mut flood = self.named("x", Workload::draw(self.seed, &profile)).requests;
        flood.iter_mut().for_each(|planned| planned.at_ms += step.at_ms);
        flood
    }

    /// The same workload with ids that no other phase uses, and no wait longer than the run.
    fn named(&self, prefix: &str, mut workload: Workload) -> Workload {
        for planned in &mut workload.requests {
            planned.key.id = id(&format!("{}{prefix}-{}", self.run, planned.key.id));
            planned.cancel_after_ms = planned.cancel_after_ms.map(|after| after.min(AFTER_MS_MAX));
            planned.repeats.iter_mut().for_each(|repeat| repeat.after_ms = repeat.after_ms.min(AFTER_MS_MAX));
            match &mut planned.reading {
                Reading::Resume { away_ms, .. } => *away_ms = (*away_ms).min(AWAY_MS_MAX),
                Reading::Slow { pause_ms } => *pause_ms = (*pause_ms).min(PAUSE_MS_MAX),
                Reading::Follow | Reading::Vanish { .. } => {}
            }
        }
        workload
    }
}

/// The usual load on our own engine.
fn own() -> Profile {
    let doors = vec![Door::Bus, Door::Http, Door::Socket];
    Profile {
        burst: 0.1,
        tenants: vec![
            TenantShare { tenant: tenant(DEFAULT), weight: 3, doors },
            TenantShare { tenant: tenant(ACME), weight: 1, doors: vec![Door::Bus] },
        ],
        chat_models: vec!["chaos-chat".into()],
        embedding_models: vec!["chaos-embed".into()],
        deadlines_ms: vec![settings::DEADLINE_MS],
        conflicts: 0.0,
        huge_bytes: 2 * settings::BODY_BYTES_MAX,
        ..Profile::default()
    }
}

/// The usual load on a given deployment: what its doors accept, without callbacks, which it may not send to us.
fn given(model: &str) -> Profile {
    let doors = vec![Door::Http, Door::Socket];
    Profile {
        tenants: vec![TenantShare { tenant: tenant(DEFAULT), weight: 1, doors }],
        chat_models: vec![model.to_owned()],
        embeddings: 0.0,
        callbacks: 0.0,
        bad: 0.0,
        ..own()
    }
}

fn spinner(step: &Step, index: usize) -> Planned {
    Planned {
        at_ms: step.at_ms,
        key: Key { tenant: tenant(ACME), id: id(&format!("spin{index}")) },
        door: Door::Bus,
        ask: Ask {
            action: Action::ChatCompletion,
            embeds: false,
            model: settings::SPINNING_MODEL.into(),
            words: 20,
            tokens: 20,
            stream: true,
        },
        format: Wire::Json,
        deadline_ms: settings::DEADLINE_MS,
        priority: Priority::Standard,
        callback: false,
        bad: None,
        reading: Reading::Follow,
        cancel_after_ms: None,
        repeats: Vec::new(),
    }
}

pub(super) fn tenant(name: &str) -> Tenant {
    Tenant::new(name).unwrap_or_else(|_| unreachable!("letters are a token"))
}

fn id(text: &str) -> RequestId {
    RequestId::new(text).unwrap_or_else(|_| unreachable!("letters, digits and - are a token"))
}
