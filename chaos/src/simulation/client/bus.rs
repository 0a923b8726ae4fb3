//! A service: publishes to a subject, and listens to the events of its request on the bus.

use std::time::Duration;

use broker::{Broker, ErrorKind, Headers, Message, Publication, Subscription};
use bytes::Bytes;
use futures_util::StreamExt;
use schemas::{ErrorCode, Event, EventBody, Format, Outcome};
use tokio::time::{sleep, timeout};

use super::{
    ANSWER_TIMEOUT, Answer, Client, TRIES_MAX, pause,
    reader::{Next, Reader},
};
use crate::history::Door;

/// After this silence a service checks whether its request has ended: its subscription may lose messages.
const LOOK_AFTER: Duration = Duration::from_secs(5);

impl Client {
    pub(super) async fn by_bus(&self, other: bool, mut reader: Reader) {
        // Before the request is sent, so that no event is missed.
        let live = self.listen().await;
        let answer = self.publish(other).await;
        // A conflict on the bus gets no events: its message is parked.
        if answer == Answer::Accepted && !other {
            reader.begin();
            self.follow(live, &mut reader).await;
            reader.leave();
        }
    }

    async fn listen(&self) -> Option<Subscription> {
        let subject = self.world.topology.subjects.event(&self.planned.key.tenant, &self.planned.key.id);
        self.world.services.subscribe(&subject).await.ok()
    }

    async fn publish(&self, other: bool) -> Answer {
        let key = &self.planned.key;
        let format = Format::from(self.planned.format);
        let message = Message {
            subject: self.world.topology.subjects.request(&key.tenant, self.planned.ask.action),
            headers: Headers::of_format(format),
            payload: Bytes::from(self.bytes(other)),
        };
        // Another request under the same id needs another message id, or the broker itself would drop it.
        let id = format!("{}.{}{}", key.tenant, key.id, if other { ".other" } else { "" });
        let publication = Publication { message, id: Some(id) };
        for tries in 0..TRIES_MAX {
            self.say_sent(Door::Bus, other);
            let published = timeout(ANSWER_TIMEOUT, self.world.services.publish(publication.clone())).await;
            match published {
                Ok(Ok(_)) => {
                    self.say_accepted();
                    return Answer::Accepted;
                }
                Ok(Err(error)) if error.kind() == ErrorKind::Full => {
                    self.say_refused(ErrorCode::Overloaded, None);
                    return Answer::Refused;
                }
                Ok(Err(error)) => self.say_unclear(error.to_string()),
                Err(_) => self.say_unclear("no answer in time"),
            }
            sleep(pause(tries)).await;
        }
        Answer::Unclear
    }

    /// Reads live, and checks for the outcome if it hears nothing.
    async fn follow(&self, mut live: Option<Subscription>, reader: &mut Reader) {
        loop {
            let heard = match &mut live {
                Some(events) => timeout(LOOK_AFTER, events.next()).await,
                None => {
                    sleep(LOOK_AFTER).await;
                    live = self.listen().await;
                    Ok(None)
                }
            };
            let event = match heard {
                Ok(Some(message)) => message.format().decode::<Event>(&message.payload).ok(),
                Ok(None) => {
                    live = self.listen().await;
                    self.ended(reader).await
                }
                Err(_) => self.ended(reader).await,
            };
            let Some(event) = event else { continue };
            let position = Some((event.attempt, event.seq));
            if position <= reader.last {
                // A frame of an older attempt, or a repeated one: the contract says to drop it.
                continue;
            }
            reader.note_gap(&event);
            match reader.take(&event) {
                Next::Read => {}
                Next::Pause(pause) => sleep(pause).await,
                Next::Away(away) => {
                    reader.leave();
                    sleep(away).await;
                    reader.begin();
                }
                Next::Leave => return,
            }
        }
    }

    /// The end of the request, if its outcome is recorded.
    async fn ended(&self, reader: &mut Reader) -> Option<Event> {
        let (key, topology) = (&self.planned.key, &self.world.topology);
        let subject = topology.subjects.outcome(&key.tenant, &key.id);
        let stored = self.world.services.last(&topology.outcomes, &subject).await.ok()??;
        let mut outcome: Outcome = stored.message.format().decode(&stored.message.payload).ok()?;
        if let Some((attempt, seq)) = reader.last.filter(|last| *last >= outcome.ended) {
            // An older attempt than the reader has seen ended the request: its frames of the newer one are void.
            let reason = "an older attempt had ended the request".to_owned();
            let body = EventBody::Restarted { reason };
            reader.take(&Event { id: outcome.id.clone(), attempt, seq: seq + 1, body });
            outcome.ended = (attempt, seq + 2);
        }
        Some(outcome.terminal_event())
    }

    pub(super) async fn cancel_by_bus(&self) {
        let key = &self.planned.key;
        let subject = self.world.topology.subjects.control(&key.tenant, &key.id);
        let message = Message::new(subject, Format::Json, Bytes::from_static(b"{}"));
        let id = Some(format!("{}.{}", key.tenant, key.id));
        // A service that gets no answer does not ask again: a cancel is a wish.
        let _ = self.world.services.publish(Publication { message, id }).await;
    }
}
