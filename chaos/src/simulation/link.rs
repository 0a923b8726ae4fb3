//! The connection of one node to the broker: it can be cut, mended and closed without the others noticing.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use broker::{
    Broker, Bucket, BucketSpec, Consumer, ConsumerSpec, Description, Error, ErrorKind, Lease, Link, Message,
    Publication, Receipt, Replay, Settle, Settlement, Stored, StreamSpec, Subscription, memory::Memory,
};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    memory: Memory,
    line: Arc<Line>,
}

/// Whether bytes pass.
struct Line {
    link: watch::Sender<Link>,
    /// Cancelled when the line is cut; replaced when it is mended.
    cut: Mutex<CancellationToken>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("link", &*self.link.borrow()).finish_non_exhaustive()
    }
}

impl Line {
    fn check(&self, doing: &str) -> Result<(), Error> {
        match *self.link.borrow() {
            Link::Up => Ok(()),
            Link::Down(_) => Err(Error::new(ErrorKind::Disconnected, doing)),
        }
    }

    /// What `operation` returns, unless the line is cut first.
    async fn pass<T>(
        &self,
        doing: &str,
        operation: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.check(doing)?;
        let cut = self.cut.lock().clone();
        tokio::select! {
            biased;
            done = operation => done,
            () = cut.cancelled() => Err(Error::new(ErrorKind::Disconnected, doing)),
        }
    }
}

impl Wire {
    /// A connection of its own to `memory`.
    pub(super) fn to(memory: &Memory) -> Arc<Self> {
        let (link, _) = watch::channel(Link::Up);
        let line = Line { link, cut: Mutex::default() };
        Arc::new(Self { memory: memory.clone(), line: Arc::new(line) })
    }

    /// Nothing passes any more.
    pub(super) fn cut(&self) {
        if *self.line.link.borrow() == Link::Up {
            self.line.link.send_replace(Link::Down(Instant::now()));
            self.line.cut.lock().cancel();
        }
    }

    /// Ends [`Self::cut`].
    pub(super) fn mend(&self) {
        if *self.line.link.borrow() != Link::Up {
            *self.line.cut.lock() = CancellationToken::new();
            self.line.link.send_replace(Link::Up);
        }
    }
}

#[async_trait]
impl Broker for Wire {
    fn describe(&self) -> Description {
        self.memory.describe()
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.line.link.subscribe()
    }

    fn now(&self) -> jiff::Timestamp {
        self.memory.now()
    }

    async fn ensure(&self, streams: &[StreamSpec]) -> Result<(), Error> {
        self.line.pass("ensure", self.memory.ensure(streams)).await
    }

    async fn publish(&self, publication: Publication) -> Result<Receipt, Error> {
        self.line.pass("publish", self.memory.publish(publication)).await
    }

    async fn send(&self, message: Message) -> Result<(), Error> {
        self.line.pass("send", self.memory.send(message)).await
    }

    async fn subscribe(&self, pattern: &str) -> Result<Subscription, Error> {
        let live = self.line.pass("subscribe", self.memory.subscribe(pattern)).await?;
        let line = Arc::clone(&self.line);
        // Nobody behind a cut line hears what is sent meanwhile.
        let heard = live.filter(move |_| std::future::ready(*line.link.borrow() == Link::Up));
        Ok(heard.boxed())
    }

    async fn consume(&self, consumer: &ConsumerSpec) -> Result<Box<dyn Consumer>, Error> {
        let inner = self.line.pass("consume", self.memory.consume(consumer)).await?;
        Ok(Box::new(Pull { inner, line: Arc::clone(&self.line) }))
    }

    async fn last(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Error> {
        self.line.pass("last", self.memory.last(stream, subject)).await
    }

    async fn next(&self, stream: &str, subject: &str, from: u64) -> Result<Option<Stored>, Error> {
        self.line.pass("next", self.memory.next(stream, subject, from)).await
    }

    async fn first_since(
        &self,
        stream: &str,
        pattern: &str,
        since: jiff::Timestamp,
    ) -> Result<Option<u64>, Error> {
        self.line.pass("first_since", self.memory.first_since(stream, pattern, since)).await
    }

    async fn replay(&self, stream: &str, pattern: &str, from: u64) -> Result<Replay, Error> {
        let replay = self.line.pass("replay", self.memory.replay(stream, pattern, from)).await?;
        let line = Arc::clone(&self.line);
        Ok(replay.map(move |stored| line.check("replay").and(stored)).boxed())
    }

    async fn remove(&self, stream: &str, sequence: u64) -> Result<(), Error> {
        self.line.pass("remove", self.memory.remove(stream, sequence)).await
    }

    async fn trim(&self, stream: &str, count: u64) -> Result<(), Error> {
        self.line.pass("trim", self.memory.trim(stream, count)).await
    }

    async fn purge(&self, stream: &str, subject: &str) -> Result<(), Error> {
        self.line.pass("purge", self.memory.purge(stream, subject)).await
    }

    async fn subjects(&self, stream: &str, pattern: &str) -> Result<Vec<(String, u64)>, Error> {
        self.line.pass("subjects", self.memory.subjects(stream, pattern)).await
    }

    async fn bucket(&self, bucket: &BucketSpec) -> Result<Box<dyn Bucket>, Error> {
        self.line.pass("bucket", self.memory.bucket(bucket)).await
    }

    async fn close(&self) {
        self.memory.close().await;
    }
}

struct Pull {
    inner: Box<dyn Consumer>,
    line: Arc<Line>,
}

#[async_trait]
impl Consumer for Pull {
    async fn pull(&mut self, max: usize, patience: Duration) -> Result<Vec<Lease>, Error> {
        let leases = self.line.pass("pull", self.inner.pull(max, patience)).await?;
        Ok(leases.into_iter().map(|lease| held_over(lease, &self.line)).collect())
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }
}

/// The same lease, settled over `line`.
fn held_over(lease: Lease, line: &Arc<Line>) -> Lease {
    let settle = Arc::new(Settled { inner: lease.settler(), line: Arc::clone(line) });
    let (stored_at, pending) = (lease.stored_at, lease.pending);
    let mut held = Lease::new(lease.message, lease.sequence, lease.deliveries, settle);
    (held.stored_at, held.pending) = (stored_at, pending);
    held
}

struct Settled {
    inner: Arc<dyn Settle>,
    line: Arc<Line>,
}

#[async_trait]
impl Settle for Settled {
    async fn settle(&self, settlement: Settlement) -> Result<(), Error> {
        self.line.pass("settle", self.inner.settle(settlement)).await
    }
}
