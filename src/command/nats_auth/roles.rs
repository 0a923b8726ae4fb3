//! What each part of the engine may publish and hear, within the engine's own account. Everything else is denied.

use std::collections::BTreeSet;

use broker::{AssetLimits, Limits, Topology, jetstream::inbox_of};

/// Who uses the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A process that does all: `dynode up` without worker processes.
    Engine,
    /// The process that clients connect to, where others do the work.
    Gateway,
    /// A process that does the work.
    Worker,
    /// A person who looks after it, with the `nats` command.
    Operator,
}

/// What is allowed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Permissions {
    pub(super) publish: BTreeSet<String>,
    pub(super) subscribe: BTreeSet<String>,
}

/// What a gateway publishes: work, what ends it, signs of its readers; and again what was parked.
const OF_GATEWAYS: [&str; 6] = ["req", "ctl", "att", "hook", "work", "cb"];
/// What it hears.
const FOR_GATEWAYS: [&str; 4] = ["evt", "sig", "hb", "att"];
/// What a worker publishes: the next step, what happens, how it ended, how it is.
const OF_WORKERS: [&str; 9] = ["work", "evt", "res", "cb", "dead", "use", "lim", "hb", "sig"];
/// What it hears.
const FOR_WORKERS: [&str; 5] = ["bell", "ctl", "hook", "hb", "lim"];

impl Role {
    pub(super) const ALL: [Self; 4] = [Self::Engine, Self::Gateway, Self::Worker, Self::Operator];

    /// As its file is called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Gateway => "gateway",
            Self::Worker => "worker",
            Self::Operator => "operator",
        }
    }

    /// For whom it is.
    pub(super) const fn purpose(self) -> &'static str {
        match self {
            Self::Engine => "`dynode up` that does the work itself: nats_credentials",
            Self::Gateway => "`dynode up --workers N`: nats_credentials",
            Self::Worker => "its worker processes: nats_worker_credentials",
            Self::Operator => "people, by the `nats` command: --nkey FILE --inbox-prefix _INBOX_…, as below",
        }
    }

    /// What it may do as the user with this key.
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
        // Answers come to this user alone: whoever could hear `_INBOX.>` would hear all of them.
        permissions.subscribe.insert(format!("{}.>", inbox_of(public_key)));
        permissions
    }
}

/// It makes the streams, accepts, reads what became of requests, and runs what was parked again.
fn gateway(topology: &Topology) -> Permissions {
    let mut publish = subjects(topology, &OF_GATEWAYS);
    for stream in all_streams(topology) {
        publish.extend(["INFO", "CREATE", "UPDATE"].map(|verb| format!("$JS.API.STREAM.{verb}.{stream}")));
        publish.insert(format!("$JS.API.DIRECT.GET.{stream}"));
    }
    publish.insert(format!("$JS.API.STREAM.MSG.DELETE.{}", topology.dead));
    publish.extend(topology.buckets().iter().map(|bucket| format!("$KV.{bucket}.>")));
    Permissions { publish, subscribe: subjects(topology, &FOR_GATEWAYS) }
}

/// It takes work from the queues, tells what happens, and keeps the books.
fn worker(topology: &Topology) -> Permissions {
    let mut publish = subjects(topology, &OF_WORKERS);
    for stream in all_streams(topology) {
        publish.insert(format!("$JS.API.STREAM.INFO.{stream}"));
        publish.insert(format!("$JS.API.DIRECT.GET.{stream}"));
    }
    for stream in [&topology.requests, &topology.work, &topology.callbacks] {
        let verbs = ["CREATE", "INFO", "DELETE", "MSG.NEXT"];
        publish.extend(verbs.map(|verb| format!("$JS.API.CONSUMER.{verb}.{stream}.>")));
        publish.insert(format!("$JS.API.STREAM.MSG.GET.{stream}"));
        publish.insert(format!("$JS.ACK.{stream}.>"));
    }
    // What has ended makes room.
    let purged = [&topology.cancels, &topology.webhooks, &topology.outcomes];
    publish.extend(
        purged.into_iter().chain(&topology.ledger).map(|stream| format!("$JS.API.STREAM.PURGE.{stream}")),
    );
    let assets = topology.assets(&AssetLimits::default());
    for stream in kept(topology) {
        publish.extend(["CREATE", "UPDATE", "PURGE"].map(|verb| format!("$JS.API.STREAM.{verb}.{stream}")));
    }
    publish.insert(format!("$O.{}.>", assets.name));
    publish.extend(topology.buckets().iter().map(|bucket| format!("$KV.{bucket}.>")));
    Permissions { publish, subscribe: subjects(topology, &FOR_WORKERS) }
}

/// Looks at everything but the keys of the installation, and may mend it.
fn operator(topology: &Topology) -> Permissions {
    let everything = format!("{}.>", topology.subjects.prefix());
    let mut publish = BTreeSet::from([everything.clone()]);
    publish.extend(["NAMES", "LIST"].map(|verb| format!("$JS.API.STREAM.{verb}")));
    let secrets = format!("KV_{}", topology.secrets().name);
    for stream in all_streams(topology).into_iter().filter(|stream| *stream != secrets) {
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

/// Every stream of the engine: those of its contract, of its files, and of its buckets.
fn all_streams(topology: &Topology) -> Vec<String> {
    let mut streams: Vec<_> =
        topology.streams(&Limits::default()).into_iter().map(|stream| stream.name).collect();
    streams.extend(kept(topology));
    streams
}

/// Those that are made by whoever is the first to need them.
fn kept(topology: &Topology) -> Vec<String> {
    let buckets = topology.buckets().into_iter().map(|bucket| format!("KV_{bucket}"));
    buckets.chain([topology.assets(&AssetLimits::default()).as_stream().name]).collect()
}
