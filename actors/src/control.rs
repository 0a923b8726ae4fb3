//! Cancels: who asks for an end, and the running work that hears it.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use dashmap::DashMap;
use futures_util::StreamExt;
use parking_lot::Mutex;
use schemas::{RequestId, Subjects, Tenant};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::backoff::Backoff;
use broker::Broker;

/// How many cancels of requests that do not run here are remembered, for when they come.
const REMEMBERED_MAX: usize = 10_000;
const SUBSCRIBE_BACKOFF: Backoff =
    Backoff::new(std::time::Duration::from_millis(100), std::time::Duration::from_secs(5));

type Key = (Tenant, RequestId);

/// The requests that run here and the cancels that came for others.
#[derive(Debug, Default)]
pub struct Control {
    running: DashMap<Key, CancellationToken>,
    early: Mutex<Early>,
}

/// The last cancels, oldest first, and the same as a set.
#[derive(Debug, Default)]
struct Early {
    order: VecDeque<Key>,
    known: HashSet<Key>,
}

impl Early {
    fn remember(&mut self, key: Key) {
        if self.known.insert(key.clone()) {
            self.order.push_back(key);
        }
        while self.order.len() > REMEMBERED_MAX {
            self.order.pop_front().map(|oldest| self.known.remove(&oldest));
        }
    }
}

/// A running request; dropping it ends its registration.
#[derive(Debug)]
pub struct Registration {
    control: Arc<Control>,
    key: Key,
    token: CancellationToken,
}

impl Registration {
    /// Resolves when somebody cancels the request.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.control.running.remove(&self.key);
    }
}

impl Control {
    /// Registers a request as running; it is cancelled at once if a cancel has come before it.
    pub fn register(self: &Arc<Self>, tenant: &Tenant, id: &RequestId) -> Registration {
        let key = (tenant.clone(), id.clone());
        let token = CancellationToken::new();
        self.running.insert(key.clone(), token.clone());
        if self.early.lock().known.contains(&key) {
            token.cancel();
        }
        Registration { control: Arc::clone(self), key, token }
    }

    /// Cancels a request, now or when it comes.
    pub fn cancel(&self, key: Key) {
        self.early.lock().remember(key.clone());
        if let Some(token) = self.running.get(&key) {
            token.cancel();
        }
    }

    /// Listens for cancels until it is aborted. Without it nothing can be cancelled, so it subscribes again whenever
    /// the subscription ends.
    pub fn listen(self: &Arc<Self>, broker: Arc<dyn Broker>, subjects: Subjects) -> JoinHandle<()> {
        let control = Arc::clone(self);
        tokio::spawn(async move {
            let mut failures = 0;
            loop {
                match broker.subscribe(&subjects.all("ctl")).await {
                    Ok(mut cancels) => {
                        failures = 0;
                        while let Some(message) = cancels.next().await {
                            if let Some(key) = subjects.parse_request_key("ctl", &message.subject) {
                                control.cancel(key);
                            }
                        }
                    }
                    Err(error) => warn!(%error, "cancels are not heard"),
                }
                failures += 1;
                sleep(SUBSCRIBE_BACKOFF.delay(failures, 1.0)).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cancel_reaches_running_work_and_work_that_comes_later() {
        let control = Arc::new(Control::default());
        let key = |id: &str| (Tenant::new("t").unwrap(), RequestId::new(id).unwrap());
        let running = control.register(&key("a").0, &key("a").1);
        control.cancel(key("a"));
        running.cancelled().await;
        control.cancel(key("b"));
        control.register(&key("b").0, &key("b").1).cancelled().await;
        drop(running);
        assert!(control.running.is_empty());
    }
}
