//! What this process says to itself: handed over here, at once. The server is told to send none of it back, which spares it a
//! message for each and us the way there and back.

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

/// One of them; dropping it takes it off the list.
struct Place {
    near: Arc<Near>,
    number: u64,
}

impl Near {
    /// What is told from now on, on subjects of `pattern`. Ends when the connection is closed.
    pub(super) fn listen(self: &Arc<Self>, pattern: Pattern) -> impl Stream<Item = Message> + Send + use<> {
        // As many as wait for a reader of what comes from the server.
        let (messages, mut receiver) = mpsc::channel(SUBSCRIPTION_MESSAGES);
        let listeners = &mut *self.0.write();
        listeners.made += 1;
        let place = Place { near: Arc::clone(self), number: listeners.made };
        listeners.index.insert(&pattern, place.number);
        listeners.all.insert(place.number, Listener { pattern, messages });
        stream::poll_fn(move |context| {
            // It stays on the list for as long as it is read.
            let _ = &place;
            receiver.poll_recv(context)
        })
    }

    /// Whether anybody listens to `subject`.
    pub(super) fn is_heard(&self, subject: &str) -> bool {
        !self.0.read().on(subject).is_empty()
    }

    /// Gives `message` to whoever listens. Who is behind by a full queue does not get it, as from the server.
    pub(super) fn tell(&self, message: Message) {
        let listeners = self.0.read();
        let numbers = listeners.on(&message.subject);
        let found: Vec<_> = numbers.iter().filter_map(|number| listeners.all.get(number)).collect();
        let Some((last, others)) = found.split_last() else { return };
        // The only errors are that it is full, or that nobody reads any more.
        for listener in others {
            let _ = listener.messages.try_send(message.clone());
        }
        let _ = last.messages.try_send(message);
    }

    /// Ends all that listen.
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
