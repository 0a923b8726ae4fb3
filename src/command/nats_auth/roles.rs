//! Which subjects each part of the engine may publish and subscribe to in its account. All else is denied.

use std::collections::BTreeSet;

use broker::{AssetLimits, Limits, ObjectsSpec, Topology, jetstream::inbox_of};

/// The users of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A process that does everything: `dynode up` without worker processes.
    Engine,
    /// The process that clients connect to, if workers do the work.
    Gateway,
    /// A worker process.
    Worker,
    /// A person who operates it, with the `nats` command.
    Operator,
}

/// What is allowed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Permissions {
    pub(super) publish: BTreeSet<String>,
    pub(super) subscribe: BTreeSet<String>,
}

/// What a gateway publishes: requests and their work, `queued` events, cancels, the attendance of readers,
/// webhooks, and replayed work and callbacks.
const OF_GATEWAYS: [&str; 7] = ["req", "work", "evt", "ctl", "att", "hook", "cb"];
/// What it subscribes to.
const FOR_GATEWAYS: [&str; 4] = ["evt", "sig", "hb", "att"];
/// What a worker publishes: next steps, events, outcomes, letters, usage, limits, its own state.
const OF_WORKERS: [&str; 9] = ["work", "evt", "res", "cb", "dead", "use", "lim", "hb", "sig"];
/// What it subscribes to.
const FOR_WORKERS: [&str; 5] = ["bell", "ctl", "hook", "hb", "lim"];

impl Role {
    pub(super) const ALL: [Self; 4] = [Self::Engine, Self::Gateway, Self::Worker, Self::Operator];

    /// The name of its seed file.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Gateway => "gateway",
            Self::Worker => "worker",
            Self::Operator => "operator",
        }
    }

    /// Who uses it.
    pub(super) const fn purpose(self) -> &'static str {
        match self {
            Self::Engine => "`dynode up` that does the work itself: nats_credentials",
            Self::Gateway => "`dynode up --workers N`: nats_credentials",
            Self::Worker => "its worker processes: nats_worker_credentials",
            Self::Operator => "people, by the `nats` command: --nkey FILE --inbox-prefix _INBOX_…, as below",
        }
    }

    /// The permissions of the user with this key.
    pub(super) fn permissions(self, topology: &Topology, public_key: &str) -> Permissions {
        let mut permissions = match self {
            Self::Engine => {
                let Permissions { mut publish, mut subscribe } = gateway(topology);
                let worker = worker(topology);
                publish.extend(worker.publish);
                subscribe.extend(worker.subscribe);
                Permissions { publish, subscribe }
            }
            Self::Gateway => gateway(topology),
            Self::Worker => worker(topology),
            Self::Operator => operator(topology),
        };
        permissions.publish.insert("$JS.API.INFO".to_owned());
        // Only this user's own inbox: a user that could subscribe to `_INBOX.>` would receive everybody's replies.
        permissions.subscribe.insert(format!("{}.>", inbox_of(public_key)));
        permissions
    }
}

/// Creates the streams, accepts requests, reads outcomes, and replays parked work.
fn gateway(topology: &Topology) -> Permissions {
    let mut publish = subjects(topology, &OF_GATEWAYS);
    for stream in streams(topology).into_iter().chain(buckets(&topology.buckets_of_gateways())) {
        publish.extend(["INFO", "CREATE", "UPDATE"].map(|verb| format!("$JS.API.STREAM.{verb}.{stream}")));
        publish.insert(format!("$JS.API.DIRECT.GET.{stream}"));
    }
    // The gateway stores responses, and deletes them on request.
    let responses = topology.responses.as_stream().name;
    let verbs = ["STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.PURGE", "DIRECT.GET"];
    publish.extend(verbs.map(|verb| format!("$JS.API.{verb}.{responses}")));
    publish.insert(format!("$O.{}.>", topology.responses.name));
    publish.insert(format!("$JS.API.STREAM.MSG.DELETE.{}", topology.dead));
    publish.extend(topology.buckets_of_gateways().iter().map(|bucket| format!("$KV.{bucket}.>")));
    Permissions { publish, subscribe: subjects(topology, &FOR_GATEWAYS) }
}

/// Takes work from the queues, publishes events, and keeps the ledger.
fn worker(topology: &Topology) -> Permissions {
    let mut publish = subjects(topology, &OF_WORKERS);
    let kept = buckets(&topology.buckets_of_workers());
    for stream in streams(topology).iter().chain(&kept) {
        publish.insert(format!("$JS.API.STREAM.INFO.{stream}"));
        publish.insert(format!("$JS.API.DIRECT.GET.{stream}"));
    }
    for stream in [&topology.requests, &topology.work, &topology.callbacks] {
        let verbs = ["CREATE", "INFO", "DELETE", "MSG.NEXT"];
        publish.extend(verbs.map(|verb| format!("$JS.API.CONSUMER.{verb}.{stream}.>")));
        publish.extend(["GET", "DELETE"].map(|verb| format!("$JS.API.STREAM.MSG.{verb}.{stream}")));
        publish.insert(format!("$JS.ACK.{stream}.>"));
    }
    // Purging what has ended makes room.
    let ended = [&topology.cancels, &topology.webhooks, &topology.outcomes];
    let purged = ended.into_iter().chain(&topology.ledger);
    publish.extend(purged.map(|stream| format!("$JS.API.STREAM.PURGE.{stream}")));
    // The first user of these creates them.
    let files = assets(topology).as_stream().name;
    for stream in kept.iter().chain([&files]) {
        publish.extend(["CREATE", "UPDATE"].map(|verb| format!("$JS.API.STREAM.{verb}.{stream}")));
    }
    publish.insert(format!("$JS.API.STREAM.PURGE.{files}"));
    publish.insert(format!("$O.{}.>", assets(topology).name));
    publish.extend(topology.buckets_of_workers().iter().map(|bucket| format!("$KV.{bucket}.>")));
    Permissions { publish, subscribe: subjects(topology, &FOR_WORKERS) }
}

/// Inspects and mends everything but the buckets, which hold the keys of the installation.
fn operator(topology: &Topology) -> Permissions {
    let everything = format!("{}.>", topology.subjects.prefix());
    let mut publish = BTreeSet::from([everything.clone()]);
    publish.extend(["NAMES", "LIST"].map(|verb| format!("$JS.API.STREAM.{verb}")));
    for stream in streams(topology) {
        publish.extend([
            format!("$JS.API.STREAM.*.{stream}"),
            format!("$JS.API.STREAM.MSG.*.{stream}"),
            format!("$JS.API.CONSUMER.*.{stream}"),
            format!("$JS.API.CONSUMER.*.{stream}.>"),
            format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.>"),
            format!("$JS.API.DIRECT.GET.{stream}"),
            format!("$JS.API.DIRECT.GET.{stream}.>"),
            format!("$JS.ACK.{stream}.>"),
        ]);
    }
    Permissions { publish, subscribe: BTreeSet::from([everything]) }
}

fn subjects(topology: &Topology, kinds: &[&str]) -> BTreeSet<String> {
    kinds.iter().map(|kind| topology.subjects.all(kind)).collect()
}

/// The streams of the contract, and the stream of files.
fn streams(topology: &Topology) -> Vec<String> {
    let streams = topology.streams(&Limits::default()).into_iter().map(|stream| stream.name);
    streams.chain([assets(topology).as_stream().name]).collect()
}

fn assets(topology: &Topology) -> ObjectsSpec {
    topology.assets(&AssetLimits::default())
}

/// The streams behind buckets.
fn buckets(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("KV_{name}")).collect()
}
