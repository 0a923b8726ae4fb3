//! Hands this process's messages to its own subscribers, at once. The server is told not to echo them, which spares it
//! a message each and us the round trip.

use std::{collections::HashMap, sync::Arc};

use futures_util::{Stream, stream};
use parking_lot::RwLock;
use tokio::sync::mpsc;

use super::dial::SUBSCRIPTION_MESSAGES;
use crate::{
    Message,
    subject::{Index, Pattern},
};

/// The subscriptions of one connection.
#[derive(Debug, Default)]
pub(super) struct Near(RwLock<Listeners>);

#[derive(Debug, Default)]
struct Listeners {
    index: Index<u64>,
    all: HashMap<u64, Listener>,
    made: u64,
}

#[derive(Debug)]
struct Listener {
    pattern: Pattern,
    messages: mpsc::Sender<Message>,
}

/// The place of one listener; dropping it removes the listener.
struct Place {
    near: Arc<Near>,
    number: u64,
}

impl Near {
    /// The messages sent from now on, on subjects of `pattern`. Ends when the connection is closed.
    pub(super) fn listen(self: &Arc<Self>, pattern: Pattern) -> impl Stream<Item = Message> + Send + use<> {
        // As many as a subscription holds of what comes from the server.
        let (messages, mut receiver) = mpsc::channel(SUBSCRIPTION_MESSAGES);
        let listeners = &mut *self.0.write();
        listeners.made += 1;
        let place = Place { near: Arc::clone(self), number: listeners.made };
        listeners.index.insert(&pattern, place.number);
        listeners.all.insert(place.number, Listener { pattern, messages });
        stream::poll_fn(move |context| {
            // The listener stays on the list for as long as it is read.
            let _ = &place;
            receiver.poll_recv(context)
        })
    }

    /// Whether anybody in this process listens to `subject`.
    pub(super) fn is_heard(&self, subject: &str) -> bool {
        !self.0.read().on(subject).is_empty()
    }

    /// Gives `message` to all listeners. One whose queue is full does not get it, as with messages from the server.
    pub(super) fn tell(&self, message: Message) {
        let listeners = self.0.read();
        let numbers = listeners.on(&message.subject);
        let found: Vec<_> = numbers.iter().filter_map(|number| listeners.all.get(number)).collect();
        let Some((last, others)) = found.split_last() else { return };
        // It fails only if the queue is full, or nobody reads any more.
        for listener in others {
            let _ = listener.messages.try_send(message.clone());
        }
        let _ = last.messages.try_send(message);
    }

    /// Ends all listeners.
    pub(super) fn close(&self) {
        *self.0.write() = Listeners::default();
    }
}

impl Listeners {
    fn on(&self, subject: &str) -> Vec<u64> {
        let mut found = Vec::new();
        self.index.find(subject, &mut found);
        found
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let listeners = &mut *self.near.0.write();
        if let Some(listener) = listeners.all.remove(&self.number) {
            listeners.index.remove(&listener.pattern, self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use schemas::Format;

    use super::*;

    fn message(subject: &str) -> Message {
        Message::new(subject, Format::Json, bytes::Bytes::new())
    }

    #[test]
    fn who_listens_hears_what_is_told() {
        let near = Arc::new(Near::default());
        let mut all = near.listen(Pattern::parse("d.evt.>").unwrap());
        let one = near.listen(Pattern::parse("d.evt.a.*").unwrap());
        assert!(near.is_heard("d.evt.a.1") && !near.is_heard("d.res.a.1"));
        near.tell(message("d.evt.a.1"));
        drop(one);
        assert_eq!(near.0.read().on("d.evt.a.1").len(), 1, "who is gone is off the list");
        near.tell(message("d.evt.b.2"));
        near.tell(message("d.res.b.2"));
        let mut heard = || all.next().now_or_never();
        assert_eq!(heard().flatten().unwrap().subject, "d.evt.a.1");
        assert_eq!(heard().flatten().unwrap().subject, "d.evt.b.2");
        assert_eq!(heard(), None, "nothing more was told");
        near.close();
        assert_eq!(heard(), Some(None), "and nothing will be");
    }

    #[test]
    fn who_leaves_takes_all_along() {
        let near = Arc::new(Near::default());
        drop(near.listen(Pattern::parse("d.evt.>").unwrap()));
        let listeners = near.0.read();
        assert!(listeners.all.is_empty() && listeners.index.is_empty());
    }

    #[test]
    fn who_is_behind_holds_nobody_up() {
        let near = Arc::new(Near::default());
        let slow = near.listen(Pattern::parse("d.>").unwrap());
        for _ in 0..=SUBSCRIPTION_MESSAGES {
            near.tell(message("d.evt.a.1"));
        }
        assert_eq!(slow.count().now_or_never(), None);
    }
}
