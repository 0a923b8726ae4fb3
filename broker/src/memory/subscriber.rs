//! Core subscriptions: one bounded queue each. A full queue never blocks a sender.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use futures_util::stream;
use tokio::{sync::Notify, time::Instant};

use super::{
    class::FaultClass,
    effects::{Arrival, Effects},
    handle::Handle,
    hold::Hold,
    log::{Cause, Event, Name, Reader},
};
use crate::subject::{Index, Pattern};
use crate::{Message, Subscription};

/// What a subscriber's full queue does with one more message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// It drops the message, as a NATS client does.
    #[default]
    DropNewest,
    /// It ends the subscription after the messages it holds, as a NATS server does with a reader that is far too slow.
    Close,
}

/// All subscriptions of one broker.
#[derive(Debug)]
pub(super) struct Subscribers {
    all: BTreeMap<u64, Subscriber>,
    index: Index<u64>,
    made: u64,
    queue_max: usize,
    overflow: Overflow,
    // A fault that limits matching subscriptions to this many messages.
    squeezed: Option<(Pattern, usize)>,
}

#[derive(Debug)]
struct Subscriber {
    reader: Reader,
    pattern: Pattern,
    ready: VecDeque<Message>,
    held: Hold<Message>,
    bell: Arc<Notify>,
    overflowed: bool,
}

/// What a reader finds in its queue.
#[derive(Debug)]
enum Next {
    Message(Message),
    /// Nothing before this time.
    Wait(Option<Instant>),
    End,
}

impl Subscribers {
    /// No subscriptions yet; each will hold at most `queue_max` messages.
    pub(super) fn new(queue_max: usize, overflow: Overflow) -> Self {
        Self { all: BTreeMap::new(), index: Index::default(), made: 0, queue_max, overflow, squeezed: None }
    }

    /// Adds a subscription to `pattern` (written `text`).
    pub(super) fn add(&mut self, text: &str, pattern: Pattern) -> (u64, Arc<Notify>) {
        self.made += 1;
        let bell = Arc::<Notify>::default();
        self.index.insert(&pattern, self.made);
        let subscriber = Subscriber {
            reader: Reader::Subscriber { pattern: text.into(), id: self.made },
            pattern,
            ready: VecDeque::new(),
            held: Hold::default(),
            bell: Arc::clone(&bell),
            overflowed: false,
        };
        self.all.insert(self.made, subscriber);
        (self.made, bell)
    }

    /// Limits subscriptions that may hear a message of this pattern to this many messages.
    pub(super) fn squeeze(&mut self, squeezed: Option<(Pattern, usize)>) {
        self.squeezed = squeezed;
    }

    /// Messages on their way to subscribers are lost.
    pub(super) fn crash(&mut self) {
        for subscriber in self.all.values_mut() {
            subscriber.held.clear();
        }
    }

    /// Gives `message` to all listeners, in the order in which they subscribed.
    pub(super) fn deliver(&mut self, message: &Message, now: Instant, effects: &mut Effects) {
        let mut ids = Vec::new();
        self.index.find(&message.subject, &mut ids);
        for id in ids {
            let Some(subscriber) = self.all.get_mut(&id) else { continue };
            let copies = match effects.arrival(message, None, &subscriber.reader, now) {
                Arrival::Never => 0,
                Arrival::Once => 1,
                Arrival::Twice => 2,
            };
            let squeezed =
                self.squeezed.as_ref().filter(|(pattern, _)| pattern.overlaps(&subscriber.pattern));
            let queue_max = squeezed.map_or(self.queue_max, |(_, queue_max)| self.queue_max.min(*queue_max));
            for _ in 0..copies {
                if !subscriber.push(message, queue_max, now, effects) {
                    if squeezed.is_some() {
                        effects.faults.struck(FaultClass::Overflow);
                    }
                    subscriber.overflowed = self.overflow == Overflow::Close;
                    effects.counters.overflowed += 1;
                    let reader = &subscriber.reader;
                    effects.log.record(now, || {
                        Event::Dropped(Name::of(message, None), reader.clone(), Cause::Overflow)
                    });
                }
            }
        }
    }

    /// Wakes all readers: something about the link has changed.
    pub(super) fn ring(&self) {
        for subscriber in self.all.values() {
            subscriber.bell.notify_waiters();
        }
    }

    fn remove(&mut self, id: u64) {
        if let Some(subscriber) = self.all.remove(&id) {
            self.index.remove(&subscriber.pattern, id);
        }
    }

    fn next(&mut self, id: u64, now: Instant, effects: &mut Effects) -> Next {
        let Some(subscriber) = self.all.get_mut(&id) else { return Next::End };
        while let Some(message) = subscriber.held.pop_due(now) {
            subscriber.ready.push_back(message);
        }
        match subscriber.ready.pop_front() {
            Some(message) => {
                effects.delivered(&message, None, &subscriber.reader, 1, now);
                Next::Message(message)
            }
            None if subscriber.overflowed && subscriber.held.len() == 0 => Next::End,
            None => Next::Wait(subscriber.held.next_due()),
        }
    }
}

impl Subscriber {
    /// Queues a message; returns whether there was room.
    fn push(&mut self, message: &Message, queue_max: usize, now: Instant, effects: &mut Effects) -> bool {
        if self.overflowed || self.ready.len() + self.held.len() >= queue_max {
            return false;
        }
        let due = effects.due(message, None, &self.reader, now);
        if due.is_some() || self.held.holds(&message.subject) {
            self.held.push(due.unwrap_or(now), &message.subject, message.clone());
        } else {
            self.ready.push_back(message.clone());
        }
        self.bell.notify_one();
        true
    }
}

/// The reading end of one subscription; dropping it unsubscribes.
struct Listener {
    handle: Handle,
    id: u64,
    bell: Arc<Notify>,
}

/// The messages of subscription `id`, until it overflows or its handle is closed.
pub(super) fn listen(handle: Handle, id: u64, bell: Arc<Notify>) -> Subscription {
    let listener = Listener { handle, id, bell };
    Box::pin(stream::unfold(listener, |listener| async {
        let message = listener.next().await?;
        Some((message, listener))
    }))
}

impl Listener {
    async fn next(&self) -> Option<Message> {
        tokio::task::coop::consume_budget().await;
        loop {
            let bell = self.bell.notified();
            tokio::pin!(bell);
            // Listen for the bell before looking, so that no ring is missed.
            bell.as_mut().enable();
            let due = match self.look() {
                Next::Message(message) => return Some(message),
                Next::End => return None,
                Next::Wait(due) => due,
            };
            match due {
                None => bell.await,
                Some(due) => tokio::select! {
                    biased;
                    () = bell => {}
                    () = tokio::time::sleep_until(due) => {}
                },
            }
        }
    }

    fn look(&self) -> Next {
        if self.handle.is_closed() {
            return Next::End;
        }
        let state = &mut *self.handle.world.state.lock();
        state.subscribers.next(self.id, Instant::now(), &mut state.effects)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.handle.world.state.lock().subscribers.remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Broker, memory::Memory};

    #[tokio::test(start_paused = true)]
    async fn a_dropped_subscription_leaves_nothing_behind() {
        let memory = Memory::default();
        let subscriptions =
            [memory.subscribe("evt.a.1").await.unwrap(), memory.subscribe("evt.*.>").await.unwrap()];
        drop(subscriptions);
        let state = memory.handle.world.state.lock();
        assert!(state.subscribers.all.is_empty() && state.subscribers.index.is_empty());
    }
}
