//! Single flight: concurrent requests of one tenant in this engine that ask the same share one call, if their senders
//! want that. The first request makes the call; the others get its answer, and used nothing.

use std::sync::{Arc, Weak};

use adapters::Finished;
use dashmap::{DashMap, Entry};
use schemas::{Error, EventBody, Output, Step, Tenant, Usage, Work, fingerprint};
use tokio::sync::watch;

use super::Attempt;

/// The tenant, and what it asks of whom: equal for requests that can share a call.
type Key = (Tenant, String);

/// An answer, and who gave it.
#[derive(Debug)]
struct Landed {
    output: Output,
    model: String,
    by: Option<Step>,
}

type Landing = watch::Receiver<Option<Arc<Landed>>>;

/// The calls under way that others may share.
#[derive(Debug, Default)]
pub struct Flights(Arc<DashMap<Key, Landing>>);

/// The request that makes the call. If it is dropped before it has landed, the next takes its place.
struct Pilot {
    flights: Weak<DashMap<Key, Landing>>,
    key: Key,
    landing: watch::Sender<Option<Arc<Landed>>>,
}

enum Seat {
    Pilot(Pilot),
    Passenger(Landing),
}

impl Flights {
    fn board(&self, key: &Key) -> Seat {
        match self.0.entry(key.clone()) {
            Entry::Occupied(flight) => Seat::Passenger(flight.get().clone()),
            Entry::Vacant(place) => {
                let (sender, landing) = watch::channel(None);
                place.insert(landing);
                Seat::Pilot(Pilot { flights: Arc::downgrade(&self.0), key: key.clone(), landing: sender })
            }
        }
    }
}

impl Pilot {
    fn land(self, landed: Landed) {
        self.landing.send_replace(Some(Arc::new(landed)));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if let Some(flights) = self.flights.upgrade() {
            flights.remove(&self.key);
        }
    }
}

impl Attempt<'_> {
    /// Goes down the plan, or takes the answer of a request that asks the same. If that one fails or is given up, the
    /// others go on without it.
    pub(in crate::provider) async fn run(&mut self) -> Result<Box<Finished>, Error> {
        let Some(key) = key_of(self.work) else { return self.ask().await };
        loop {
            let mut landing = match self.shared.flights.board(&key) {
                Seat::Pilot(pilot) => {
                    let finished = Box::pin(self.ask()).await?;
                    let (output, model) = (finished.output.clone(), finished.model.clone());
                    pilot.land(Landed { output, model, by: self.served_by.clone() });
                    return Ok(finished);
                }
                Seat::Passenger(landing) => landing,
            };
            self.caller.expect_by_deadline();
            let landed = landing.wait_for(Option::is_some).await.ok().and_then(|landed| landed.clone());
            if let Some(landed) = landed {
                return Ok(self.share(&landed).await);
            }
        }
    }

    /// Takes the answer to another request as its own.
    async fn share(&mut self, landed: &Landed) -> Box<Finished> {
        self.served_by.clone_from(&landed.by);
        if let Some(Step { provider, model }) = landed.by.clone() {
            self.emitter.emit(EventBody::Running { provider, model }).await;
        }
        if let Output::Chat(answer) = &landed.output {
            self.show(answer).await;
            self.tell_unsaid().await;
        }
        let (output, model) = (landed.output.clone(), landed.model.clone());
        Box::new(Finished { output, model, usage: Usage::default() })
    }
}

/// What two requests must have in common to share a call; `None` if this one does not want to.
fn key_of(work: &Work) -> Option<Key> {
    let request = work.request.route.single_flight.then_some(&work.request)?;
    let asked = (fingerprint::of(request), request.action, &request.route, &work.plan);
    // A request that cannot be encoded is not shared.
    serde_json::to_string(&asked).ok().map(|asked| (work.tenant.clone(), asked))
}
