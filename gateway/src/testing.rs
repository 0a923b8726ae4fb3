//! What unit tests share: a gateway without doors, on a broker in memory.

use std::sync::Arc;

use broker::{AssetLimits, Broker, Limits, Publication, Seams, Topology, memory::Memory};
use jiff::Timestamp;
use schemas::{ChatDelta, Event, EventBody, Format, RequestId, Subjects};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    Config, Parts, Standing,
    app::{App, Shared},
    hub::{self, Ears, Hub},
    linger,
    record::Key,
};

/// A gateway without doors. Its tasks end when this is dropped.
pub(crate) struct Rig {
    pub(crate) app: App,
    pub(crate) broker: Memory,
    _tasks: JoinSet<()>,
}

/// A broker with all streams.
pub(crate) async fn broker() -> Memory {
    let broker = Memory::default();
    broker.ensure(&Topology::new(Subjects::default()).streams(&Limits::default())).await.unwrap();
    broker
}

impl Rig {
    pub(crate) async fn on(broker: &Memory, config: Config) -> Self {
        let parts = Parts {
            broker: Arc::new(broker.clone()),
            topology: Topology::new(Subjects::default()),
            assets: AssetLimits::default(),
            seams: Seams::simulated(7, Timestamp::UNIX_EPOCH),
            catalogue: crate::Catalogue::default(),
            access: crate::Access::default(),
            signers: crate::Signers::default(),
            estimate: Arc::new(|_, _| Err(schemas::Error::invalid("model", "nothing is served"))),
            check_cost: Arc::new(|_, _| Box::pin(async { Ok(()) })),
            file: Arc::new(|_, _, _, _| None),
            metrics: Arc::new(|| Box::pin(async { String::new() })),
            standing: Arc::new(Standing::default),
            version: String::new(),
        };
        let ears = Ears::open(broker, &parts.topology.subjects).await.unwrap();
        let app = Arc::new(
            Shared::open(config, parts, Arc::new(Hub::new()), crate::keys::Reach::Here).await.unwrap(),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(hub::run(app.clone(), ears));
        tasks.spawn(linger::run(app.clone()));
        Self { app, broker: broker.clone(), _tasks: tasks }
    }

    pub(crate) fn key(&self, id: &str) -> Key {
        Key::new(&self.app, &self.app.anyone(), RequestId::new(id).unwrap())
    }

    /// An event of the first attempt, as a worker sends it.
    pub(crate) async fn tell(&self, key: &Key, seq: u64, body: EventBody) {
        let event = Event { id: key.id.clone(), attempt: 1, seq, body };
        let message = broker::Message::new(&key.events, Format::Json, Format::Json.encode(&event).unwrap());
        self.broker.send(message).await.unwrap();
    }

    pub(crate) async fn piece(&self, key: &Key, seq: u64) {
        self.tell(key, seq, EventBody::ChatDelta(ChatDelta::text(format!("{seq} ")))).await;
    }

    /// The outcome of a cancelled request, whose terminal event stood at `ended`.
    pub(crate) async fn record(&self, key: &Key, ended: (u32, u64)) {
        let outcome = json!({
            "v": 1, "id": key.id, "tenant": key.tenant, "action": "chat.completion", "status": "cancelled",
            "ended": ended,
        });
        let payload = Format::Json.encode(&outcome).unwrap();
        let message = broker::Message::new(&key.outcome, Format::Json, payload);
        self.broker.publish(Publication { message, id: None }).await.unwrap();
    }
}
