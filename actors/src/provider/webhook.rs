//! Listens for webhooks that report the end of long work: each call has a place of its own and hears what comes there,
//! including what came before it listened.
//!
//! A gateway stores each webhook in a stream, and subscribers of its subject hear it at once. A live message may be
//! lost, so the listener also reads the stream now and then.

use std::{sync::Arc, time::Duration};

use broker::{Subscription, secrets};
use futures_util::{StreamExt, future, stream, stream::BoxStream};
use schemas::webhook::{Place, TokenKey};
use serde_json::Value;
use tokio::time::sleep;
use tracing::debug;

use crate::outbox::Outbox;

/// How often to read the stream while nothing is heard.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Where the gateway takes webhooks, below its public address.
const PATH: &str = "v1/webhooks";

/// Where the gateway can be reached from outside, and the key of the tokens.
#[derive(Debug)]
pub struct Webhooks {
    base: String,
    key: TokenKey,
    outbox: Outbox,
}

impl Webhooks {
    /// Under the public address `base` of the gateways.
    pub async fn open(base: &str, outbox: Outbox) -> Result<Self, broker::Error> {
        let key =
            secrets::key(&*outbox.broker(), outbox.topology(), outbox.seams(), secrets::WEBHOOKS).await?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), key: TokenKey::new(&key), outbox })
    }

    /// The place of one call.
    pub(super) fn of(&self, place: &Place) -> Arc<dyn adapters::Webhook> {
        let url = format!("{}/{PATH}/{}", self.base, self.key.token(place));
        let subject = self.outbox.topology().subjects.webhook(place);
        Arc::new(Waiting { url, subject, outbox: self.outbox.clone() })
    }
}

/// The place of one call.
#[derive(Debug)]
struct Waiting {
    url: String,
    subject: String,
    outbox: Outbox,
}

impl adapters::Webhook for Waiting {
    fn url(&self) -> &str {
        &self.url
    }

    fn told(&self) -> BoxStream<'static, Value> {
        let listening = Listening {
            outbox: self.outbox.clone(),
            subject: self.subject.clone(),
            from: 0,
            live: None,
            has_heard: false,
        };
        stream::unfold(listening, async |mut listening| Some((listening.next().await, listening))).boxed()
    }
}

/// Listens at one place. What it hears live may come again, from the stream.
struct Listening {
    outbox: Outbox,
    subject: String,
    /// The stream has been read up to here.
    from: u64,
    live: Option<Subscription>,
    has_heard: bool,
}

impl Listening {
    async fn next(&mut self) -> Value {
        loop {
            if self.live.is_none() {
                self.live = self.outbox.broker().subscribe(&self.subject).await.ok();
            }
            if let Some(value) = self.look().await {
                return value;
            }
            let live = async {
                match &mut self.live {
                    Some(live) => live.next().await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                biased;
                message = live => match message {
                    Some(message) => {
                        self.has_heard = true;
                        if let Ok(value) = serde_json::from_slice(&message.payload) {
                            return value;
                        }
                    }
                    None => {
                        self.live = None;
                        sleep(LOOK_EVERY).await;
                    }
                },
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// The next stored message.
    async fn look(&mut self) -> Option<Value> {
        loop {
            let stream = &self.outbox.topology().webhooks;
            match self.outbox.broker().next(stream, &self.subject, self.from).await {
                Ok(Some(stored)) => {
                    (self.from, self.has_heard) = (stored.sequence + 1, true);
                    // The gateway stores nothing but JSON; anything else is skipped.
                    if let Ok(value) = serde_json::from_slice(&stored.message.payload) {
                        return Some(value);
                    }
                }
                Ok(None) => return None,
                Err(error) => {
                    debug!(%error, "it is not seen whether a webhook has come");
                    return None;
                }
            }
        }
    }
}

impl Drop for Listening {
    /// Purges what has come: nobody else has any use for it. If nobody removes it, it ages out.
    fn drop(&mut self) {
        if !self.has_heard {
            return;
        }
        let (outbox, subject) = (self.outbox.clone(), std::mem::take(&mut self.subject));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let stream = &outbox.topology().webhooks;
                if let Err(error) = outbox.broker().purge(stream, &subject).await {
                    debug!(%error, "a webhook that was heard stays until it ages out");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use broker::{Broker, Limits, Message, Publication, Seams, Topology, memory::Memory};
    use schemas::{Format, Subjects};
    use serde_json::json;

    use super::*;

    fn place(attempt: u32) -> Place {
        let token = |text: &str| text.parse().unwrap();
        Place { tenant: token("t"), id: "r".parse().unwrap(), attempt, call: 0, provider: token("p") }
    }

    async fn webhooks(broker: &Memory) -> Webhooks {
        let topology = Arc::new(Topology::new(Subjects::default()));
        broker.ensure(&topology.streams(&Limits::default())).await.unwrap();
        let outbox = Outbox::new(Arc::new(broker.clone()), topology, Seams::system());
        Webhooks::open("https://d.test/", outbox).await.unwrap()
    }

    async fn store(broker: &Memory, attempt: u32, body: &Value) {
        let subject = Subjects::default().webhook(&place(attempt));
        let message = Message::new(subject, Format::Json, body.to_string().into());
        broker.publish(Publication { message, id: None }).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_anybody_listened_is_told_and_then_removed() {
        let broker = Memory::default();
        let webhooks = webhooks(&broker).await;
        store(&broker, 1, &json!({"of": "an attempt before"})).await;
        store(&broker, 2, &json!({"n": 1})).await;
        let waiting = webhooks.of(&place(2));
        assert!(waiting.url().starts_with("https://d.test/v1/webhooks/"), "{}", waiting.url());
        let mut told = waiting.told();
        assert_eq!(told.next().await, Some(json!({"n": 1})));
        drop(told);
        tokio::task::yield_now().await;
        sleep(Duration::from_millis(1)).await;
        let left = broker.subjects(&webhooks.outbox.topology().webhooks, "dynode.hook.>").await.unwrap();
        assert_eq!(left, [(Subjects::default().webhook(&place(1)), 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_is_told_at_once_and_found_where_it_was_not_heard() {
        let broker = Memory::default();
        let webhooks = webhooks(&broker).await;
        let mut told = webhooks.of(&place(1)).told();
        let heard = tokio::spawn(async move { (told.next().await, told) });
        tokio::task::yield_now().await;
        store(&broker, 1, &json!({"n": 1})).await;
        let (first, mut told) = heard.await.unwrap();
        assert_eq!(first, Some(json!({"n": 1})));

        broker.disconnect();
        let later = tokio::spawn(async move {
            loop {
                match told.next().await {
                    Some(value) if value["n"] == 2 => return,
                    Some(_) => {}
                    None => panic!("it does not end"),
                }
            }
        });
        tokio::task::yield_now().await;
        broker.reconnect();
        store(&broker, 1, &json!({"n": 2})).await;
        tokio::time::timeout(LOOK_EVERY * 3, later).await.unwrap().unwrap();
    }
}
