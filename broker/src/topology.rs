//! The streams and consumers of the contract, as data.

use std::time::Duration;

use schemas::Subjects;

use crate::ObjectsSpec;

/// The most cancels that wait for their requests. A cancel goes when its request ends, so a flood of made-up ids can
/// fill this much: about 16 MB, at the broker and in the memory of each engine.
pub const CANCELS_MAX: usize = 65_536;
/// How long a cancel is kept: the longest deadline, after which no request needs it.
pub const CANCELS_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a repeated ledger entry is recognised: the longest deadline, after which nobody concludes its request.
const LEDGER_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a provider's wish for no calls is kept: longer than any provider asks for.
const CLOSINGS_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The most such wishes; only the last of each provider is read.
const CLOSINGS_MAX: u64 = 4_096;
/// The most bytes of them.
const CLOSINGS_BYTES_MAX: u64 = 1 << 20;
/// A cancel's subject says everything; its body must not fill the disk.
const CANCELS_BYTES_MAX: u64 = 32 << 20;

/// How long a webhook is kept for the waiting worker: the longest deadline.
const WEBHOOKS_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The most webhooks; each goes when it has been heard.
const WEBHOOKS_MAX: u64 = 65_536;
/// The most bytes of webhooks. When they are full, a further one is refused, and its provider may try again.
const WEBHOOKS_BYTES_MAX: u64 = 64 << 20;

/// How long a disabled callback target stays disabled if nobody enables it.
const TARGETS_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How much longer an asset is kept than promised.
const ASSET_GRACE: Duration = Duration::from_secs(60);

/// A stream: where the messages of some subjects are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its name.
    pub name: String,
    /// The subjects that it captures.
    pub subjects: Vec<String>,
    /// When a message leaves.
    pub retention: Retention,
    /// Where messages are kept.
    pub storage: Storage,
    /// The greatest age of a message.
    pub age_max: Option<Duration>,
    /// The most messages; one more is refused (`Full`) or, with `discard_old`, the oldest goes.
    pub messages_max: Option<u64>,
    /// The most bytes, likewise.
    pub bytes_max: Option<u64>,
    /// One message per subject: a second is refused (`Exists`).
    pub first_wins: bool,
    /// At a limit the oldest message goes. Only for streams that promise nothing.
    pub discard_old: bool,
    /// How long a repeated message id is recognised.
    pub duplicate_window: Duration,
    /// Where the broker announces, without the payload, that a message was stored.
    pub bells: Option<Bells>,
}

/// Each message stored on a subject under `from` rings on the same subject under `to`: both end in `>`.
///
/// A bell says that there is something new and where, see [`Message::rings_for`](crate::Message::rings_for), but not
/// what. A bell may get lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bells {
    /// The subjects of the stream: `dynode.>`.
    pub from: String,
    /// Where the bells ring: `dynode.bell.>`.
    pub to: String,
}

impl Bells {
    /// The subject on which a message stored on `subject` rings.
    pub fn subject(&self, subject: &str) -> Option<String> {
        let rest = subject.strip_prefix(self.from.strip_suffix('>')?)?;
        Some(format!("{}{rest}", self.to.strip_suffix('>')?))
    }
}

/// When a message leaves its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// When it is acknowledged.
    WorkQueue,
    /// When a limit is met.
    Limits,
}

/// Where messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// On disk.
    File,
    /// In the broker's memory.
    Memory,
}

/// A durable consumer of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// The stream.
    pub stream: String,
    /// Its name; consumers of one name share the messages.
    pub name: String,
    /// The subjects it takes. The filters of a work queue's consumers must not overlap.
    pub filter: String,
    /// How long a lease lasts.
    pub ack_wait: Duration,
    /// The most leases at once, over all that share the name.
    pub ack_pending_max: u32,
    /// The broker deletes a consumer from which nobody has pulled for this long. Its messages stay, and count as never
    /// delivered.
    pub idle_max: Option<Duration>,
}

/// A key-value bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSpec {
    /// Its name.
    pub name: String,
    /// How long a value is kept.
    pub age_max: Option<Duration>,
    /// Where values are kept.
    pub storage: Storage,
}

/// How large assets may be, how much they take together, and how long they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssetLimits {
    /// The most bytes of one asset.
    pub bytes_max: u64,
    /// The most bytes of all assets together.
    pub store_bytes_max: u64,
    /// How long an asset is kept.
    pub keep: Duration,
    /// How long a signed link to an asset is valid.
    pub link: Duration,
}

impl Default for AssetLimits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        const HOUR: Duration = Duration::from_secs(60 * 60);
        Self { bytes_max: 256 * MIB, store_bytes_max: 2048 * MIB, keep: 24 * HOUR, link: HOUR }
    }
}

/// How much the streams hold, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The most requests that wait for the classifier, and as many that wait for a worker.
    pub queued_max: u64,
    /// The most bytes of each file stream.
    pub stream_bytes_max: u64,
    /// How long events can be replayed.
    pub events_age: Duration,
    /// The most bytes of events.
    pub events_bytes_max: u64,
    /// How long outcomes are kept.
    pub outcomes_age: Duration,
    /// How long parked work is kept.
    pub dead_age: Duration,
    /// How long the usage of each request is kept.
    pub ledger_age: Duration,
    /// How long the broker itself recognises a repeated id.
    pub duplicate_window: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            queued_max: 200_000,
            stream_bytes_max: 2 * GIB,
            events_age: Duration::from_secs(10 * 60),
            events_bytes_max: GIB / 4,
            outcomes_age: DAY,
            dead_age: 30 * DAY,
            ledger_age: 400 * DAY,
            duplicate_window: Duration::from_secs(2 * 60),
        }
    }
}

/// The streams of one prefix.
#[derive(Debug, Clone)]
pub struct Topology {
    /// The subjects.
    pub subjects: Subjects,
    /// Requests, as they come in.
    pub requests: String,
    /// Classified requests.
    pub work: String,
    /// Events.
    pub events: String,
    /// Outcomes.
    pub outcomes: String,
    /// Outcomes to deliver.
    pub callbacks: String,
    /// Parked work.
    pub dead: String,
    /// What each request has used, if that is kept.
    pub ledger: Option<String>,
    /// Cancels whose requests have not ended.
    pub cancels: String,
    /// What providers have reported about long work, for the waiting workers.
    pub webhooks: String,
    /// A bucket: each engine's share of the providers' limits.
    pub leases: String,
    /// A bucket: what tenants have spent of their budgets.
    pub budgets: String,
    /// A bucket: how the targets of callbacks have answered lately.
    pub targets: String,
    /// Providers that want no calls for a while.
    pub closings: String,
    /// A store: what was asked for as a response, to show it and to continue from it.
    pub responses: ObjectsSpec,
    /// A bucket: the ratings of requests.
    pub feedback: BucketSpec,
}

impl Topology {
    /// The streams under `subjects`' prefix.
    pub fn new(subjects: Subjects) -> Self {
        let name = |kind: &str| format!("{}_{kind}", subjects.prefix().to_uppercase());
        Self {
            requests: name("REQ"),
            work: name("WORK"),
            events: name("EVT"),
            outcomes: name("RES"),
            callbacks: name("CB"),
            dead: name("DEAD"),
            ledger: Some(name("USE")),
            cancels: name("CTL"),
            webhooks: name("HOOK"),
            leases: name("LEASES"),
            budgets: name("BUDGETS"),
            targets: name("TARGETS"),
            closings: name("LIM"),
            responses: ObjectsSpec {
                name: name("RESPONSES"),
                age_max: None,
                bytes_max: None,
                storage: Storage::File,
            },
            feedback: BucketSpec { name: name("FEEDBACK"), age_max: None, storage: Storage::File },
            subjects,
        }
        .within(&Limits::default())
    }

    /// The same, but what belongs to an outcome is kept as long as `limits` keeps outcomes.
    #[must_use]
    pub fn within(self, limits: &Limits) -> Self {
        let (age_max, bytes_max) = (Some(limits.outcomes_age), Some(limits.stream_bytes_max));
        Self {
            responses: ObjectsSpec { age_max, bytes_max, ..self.responses },
            feedback: BucketSpec { age_max, ..self.feedback },
            ..self
        }
    }

    /// The same, but it keeps nothing of what requests have used.
    #[must_use]
    pub fn without_ledger(self) -> Self {
        Self { ledger: None, ..self }
    }

    /// Where assets are kept: a little longer than promised, so that none loses its first piece too early.
    pub fn assets(&self, limits: &AssetLimits) -> ObjectsSpec {
        ObjectsSpec {
            name: format!("{}_ASSETS", self.subjects.prefix().to_uppercase()),
            age_max: Some(limits.keep + ASSET_GRACE),
            bytes_max: Some(limits.store_bytes_max),
            storage: Storage::File,
        }
    }

    /// Where the installation keeps its own keys, shared by all its gateways.
    pub fn secrets(&self) -> BucketSpec {
        let name = format!("{}_SECRETS", self.subjects.prefix().to_uppercase());
        BucketSpec { name, age_max: None, storage: Storage::File }
    }

    /// Where the API keys' records are kept, without the keys themselves.
    pub fn keys(&self) -> BucketSpec {
        let name = format!("{}_KEYS", self.subjects.prefix().to_uppercase());
        BucketSpec { name, age_max: None, storage: Storage::File }
    }

    /// Where the answers of callback targets are noted.
    pub fn targets(&self) -> BucketSpec {
        BucketSpec { name: self.targets.clone(), age_max: Some(TARGETS_AGE), storage: Storage::File }
    }

    /// The names of the buckets that gateways read and write.
    pub fn buckets_of_gateways(&self) -> Vec<String> {
        let (secrets, keys) = (self.secrets().name, self.keys().name);
        vec![secrets, keys, self.targets.clone(), self.feedback.name.clone()]
    }

    /// The names of the buckets that workers read and write.
    pub fn buckets_of_workers(&self) -> Vec<String> {
        vec![self.secrets().name, self.targets.clone(), self.leases.clone(), self.budgets.clone()]
    }

    /// Where the queues ring.
    fn bells(&self) -> Bells {
        let prefix = self.subjects.prefix();
        Bells { from: format!("{prefix}.>"), to: format!("{prefix}.bell.>") }
    }

    /// All streams, with their promises.
    pub fn streams(&self, limits: &Limits) -> Vec<StreamSpec> {
        let stream = |name: &str, kind: &str, retention, storage| StreamSpec {
            name: name.to_owned(),
            subjects: vec![self.subjects.all(kind)],
            retention,
            storage,
            age_max: None,
            messages_max: None,
            bytes_max: Some(limits.stream_bytes_max),
            first_wins: false,
            discard_old: false,
            duplicate_window: limits.duplicate_window,
            bells: None,
        };
        let queue = |name: &str, kind| StreamSpec {
            messages_max: Some(limits.queued_max),
            bells: Some(self.bells()),
            ..stream(name, kind, Retention::WorkQueue, Storage::File)
        };
        let mut streams = vec![
            // A subject without an action is no request: its publisher learns that no stream takes it.
            StreamSpec { subjects: vec![self.subjects.queue("req.*.>")], ..queue(&self.requests, "req") },
            queue(&self.work, "work"),
            StreamSpec {
                age_max: Some(limits.events_age),
                bytes_max: Some(limits.events_bytes_max),
                discard_old: true,
                ..stream(&self.events, "evt", Retention::Limits, Storage::Memory)
            },
            StreamSpec {
                age_max: Some(limits.outcomes_age),
                first_wins: true,
                ..stream(&self.outcomes, "res", Retention::Limits, Storage::File)
            },
            queue(&self.callbacks, "cb"),
            StreamSpec {
                age_max: Some(limits.dead_age),
                ..stream(&self.dead, "dead", Retention::Limits, Storage::File)
            },
            // A repeated cancel takes no more room, and a full stream refuses rather than forget an older cancel.
            StreamSpec {
                age_max: Some(CANCELS_AGE),
                messages_max: Some(CANCELS_MAX as u64),
                bytes_max: Some(CANCELS_BYTES_MAX),
                first_wins: true,
                ..stream(&self.cancels, "ctl", Retention::Limits, Storage::File)
            },
            StreamSpec {
                age_max: Some(WEBHOOKS_AGE),
                messages_max: Some(WEBHOOKS_MAX),
                bytes_max: Some(WEBHOOKS_BYTES_MAX),
                ..stream(&self.webhooks, "hook", Retention::Limits, Storage::File)
            },
            StreamSpec {
                age_max: Some(CLOSINGS_AGE),
                messages_max: Some(CLOSINGS_MAX),
                bytes_max: Some(CLOSINGS_BYTES_MAX),
                discard_old: true,
                ..stream(&self.closings, "lim", Retention::Limits, Storage::File)
            },
        ];
        streams.extend(self.ledger.as_ref().map(|ledger| StreamSpec {
            age_max: Some(limits.ledger_age),
            duplicate_window: LEDGER_WINDOW,
            ..stream(ledger, "use", Retention::Limits, Storage::File)
        }));
        streams
    }
}
