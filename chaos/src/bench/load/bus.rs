//! A caller on the bus: publishes a request, waits for the broker's ack, and receives its outcome by a core
//! subscription. The engine and the bare pipeline differ only in the subjects.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use futures_util::StreamExt;
use memchr::memmem::Finder;
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{Caller, Failure, tally::Notes};

/// How long to wait for the ack, and then for the outcome.
const ACK_MAX: Duration = Duration::from_secs(10);
const OUTCOME_MAX: Duration = Duration::from_secs(120);
/// Part of a JSON outcome that succeeded.
const SUCCEEDED: &[u8] = br#""status":"succeeded""#;
/// How many messages the subscription may buffer: more than are ever in flight.
const HEARD_MAX: usize = 1 << 18;

/// Where requests go and where their outcomes come from.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// The subject of the requests of each tenant, and the tenant.
    pub(crate) requests: Vec<(String, String)>,
    /// The subject of all outcomes; the last token ends in `-` and the number of the request.
    pub(crate) outcomes: String,
    /// The body of a request.
    pub(crate) body: Bytes,
    /// Whether outcomes state success or failure.
    pub(crate) is_judged: bool,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<bool>>>>;

/// The connection that all callers share.
#[derive(Debug)]
pub(crate) struct Bus {
    stream: jetstream::Context,
    route: Route,
    /// Distinguishes the ids of this connection from all others.
    run: String,
    next: AtomicU64,
    waiting: Waiting,
    // If it dies, outcomes are missing.
    _ear: AbortOnDropHandle<()>,
}

impl Bus {
    /// Connects and subscribes.
    pub(crate) async fn connect(url: &str, route: Route) -> io::Result<Arc<Self>> {
        let options = async_nats::ConnectOptions::new().subscription_capacity(HEARD_MAX);
        let client = options.connect(url).await.map_err(io::Error::other)?;
        let mut outcomes = client.subscribe(route.outcomes.clone()).await.map_err(io::Error::other)?;
        // Ensures that the server knows the subscription before the first publish.
        client.flush().await.map_err(io::Error::other)?;
        let waiting = Waiting::default();
        let heard = Arc::clone(&waiting);
        let is_judged = route.is_judged;
        let ear = tokio::spawn(async move {
            let succeeded = Finder::new(SUCCEEDED);
            while let Some(message) = outcomes.next().await {
                let Some(number) = number(&message.subject) else { continue };
                if let Some(waits) = heard.lock().remove(&number) {
                    // A caller may have given up.
                    let _ = waits.send(!is_judged || succeeded.find(&message.payload).is_some());
                }
            }
        });
        let stream = jetstream::context::ContextBuilder::new()
            .timeout(ACK_MAX)
            .ack_timeout(ACK_MAX)
            .backpressure_on_inflight(true)
            .build(client);
        let run = format!("{:08x}", rand::random::<u32>());
        let ear = AbortOnDropHandle::new(ear);
        Ok(Arc::new(Self { stream, route, run, next: AtomicU64::new(0), waiting, _ear: ear }))
    }

    /// How many tenants it publishes for in turn.
    pub(crate) fn tenants(&self) -> usize {
        self.route.requests.len()
    }

    /// Publishes one more request and waits for the ack; the receiver gets the result.
    pub(crate) async fn publish(&self) -> Result<oneshot::Receiver<bool>, Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = usize::try_from(number).unwrap_or_default() % self.route.requests.len().max(1);
        let Some((subject, tenant)) = self.route.requests.get(turn) else {
            return Err("no subject to publish to".to_owned());
        };
        let (tell, told) = oneshot::channel();
        self.waiting.lock().insert(number, tell);
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{tenant}.b{}-{number}", self.run));
        headers.insert("Content-Type", "application/json");
        let sent = self.stream.publish_with_headers(subject.clone(), headers, self.route.body.clone()).await;
        let acked = match sent {
            Ok(ack) => ack.await,
            Err(error) => Err(error),
        };
        if let Err(error) = acked {
            self.waiting.lock().remove(&number);
            return Err(format!("not published: {:?}", error.kind()));
        }
        Ok(told)
    }
}

/// The number at the end of a subject.
fn number(subject: &str) -> Option<u64> {
    subject.rsplit('-').next()?.parse().ok()
}

/// One request at a time on a shared connection.
#[derive(Debug, Clone)]
pub(crate) struct BusCaller(pub(crate) Arc<Bus>);

impl Caller for BusCaller {
    async fn call(&mut self, _: &mut Notes) -> Result<(), Failure> {
        let told = self.0.publish().await?;
        match timeout(OUTCOME_MAX, told).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("outcome: failed".to_owned()),
            Ok(Err(_)) => Err("connection lost".to_owned()),
            Err(_) => Err("no outcome in time".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_belongs_to_the_number_at_its_end() {
        assert_eq!(number("dynode.res.bench-7.b0a1b2c3d-42"), Some(42));
        assert_eq!(number("dynode.res.bench.other"), None);
    }
}
