//! A client on the bus: publishes requests and reads events on their subjects; what it missed while disconnected it
//! reads from the stream of events, and the end from that of outcomes.

use std::{io, net::SocketAddr, time::Duration};

use async_nats::{
    ConnectOptions, Event as Link, HeaderMap, Subscriber,
    jetstream::{self, context::PublishErrorKind},
};
use futures_util::StreamExt;
use schemas::{Error, ErrorCode, Event, Format, Outcome, Secret, Subjects};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    client::{Client, RECONNECT, Sending},
    reader::{Next, Reader},
};
use crate::workload::Bad;

/// How long a publisher waits for the ack.
const ACK_MAX: Duration = Duration::from_secs(2);
/// How often a reader that may have missed the end checks whether it is recorded.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One tenant's connection to the bus.
#[derive(Debug)]
pub(crate) struct Bus {
    client: async_nats::Client,
    stream: jetstream::Context,
    subjects: Subjects,
    /// How often the connection was established.
    connected: watch::Receiver<u64>,
}

impl Bus {
    /// Connects, and reconnects for ever.
    pub(crate) async fn connect(at: SocketAddr, user: &str, password: &Secret) -> io::Result<Self> {
        let (told, connected) = watch::channel(0);
        let options = ConnectOptions::with_user_and_password(user.to_owned(), password.expose().to_owned())
            .ping_interval(Duration::from_secs(1))
            .reconnect_delay_callback(|_| RECONNECT)
            .event_callback(move |event| {
                if matches!(event, Link::Connected) {
                    told.send_modify(|times| *times += 1);
                }
                std::future::ready(())
            });
        let client = options.connect(at.to_string()).await.map_err(io::Error::other)?;
        let mut stream = jetstream::new(client.clone());
        stream.set_timeout(ACK_MAX);
        Ok(Self { client, stream, subjects: Subjects::default(), connected })
    }

    /// Its streams, to be read after the run.
    pub(crate) fn streams(&self) -> jetstream::Context {
        self.stream.clone()
    }
}

/// What a reader listens to.
struct Ears {
    /// The events, while there is a connection.
    events: Subscriber,
    /// Signals a reconnect: events may have been missed.
    connected: watch::Receiver<u64>,
}

/// Publishes the request and reads until its end.
pub(super) async fn send(client: &Client, sending: &Sending, reader: &mut Reader<'_>) {
    let Some(bus) = client.ground.buses.get(&client.planned.key.tenant) else { return };
    let key = &client.planned.key;
    // Before the publish, so that no event is missed. From here on a lost connection counts too.
    let mut connected = bus.connected.clone();
    connected.mark_unchanged();
    let Ok(events) = bus.client.subscribe(bus.subjects.event(&key.tenant, &key.id)).await else { return };
    let ears = Ears { events, connected };
    reader.starts();
    while Instant::now() < sending.give_up {
        match publish(client, bus, sending).await {
            Ok(was_there) => {
                client.accepted(sending);
                return read(client, bus, sending, reader, ears, was_there).await;
            }
            Err(Some(error)) if client.refused(&error, sending) => break,
            Err(_) => sleep(RECONNECT).await,
        }
    }
    reader.leaves();
}

/// Requests the cancel.
pub(super) async fn cancel(client: &Client) {
    let key = &client.planned.key;
    let Some(bus) = client.ground.buses.get(&key.tenant) else { return };
    // If it is lost it has no effect: the checkers allow for both.
    let _ = bus.client.publish(bus.subjects.control(&key.tenant, &key.id), "{}".into()).await;
}

/// Publishes the request; returns whether it existed before. The error is the refusal, if there is one.
async fn publish(client: &Client, bus: &Bus, sending: &Sending) -> Result<bool, Option<Error>> {
    let plan = &client.planned;
    let mut headers = HeaderMap::new();
    // All tenants of a stream share one id space.
    headers.insert("Nats-Msg-Id", format!("{}.{}", plan.key.tenant, plan.key.id));
    if plan.bad != Some(Bad::Garbage) {
        headers.insert("Content-Type", Format::from(plan.format).content_type());
    }
    let subject = bus.subjects.request(&plan.key.tenant, plan.ask.action);
    let body = plan.bytes(sending.other, &client.ground.callbacks).into();
    let sent = bus.stream.publish_with_headers(subject, headers, body).await;
    let acked = match sent {
        Ok(ack) => ack.await,
        Err(error) => Err(error),
    };
    acked.map(|ack| ack.duplicate || sending.index > 0).map_err(|error| match error.kind() {
        // Only these are refusals of the server; other errors say nothing.
        PublishErrorKind::Other => Some(Error::new(ErrorCode::Overloaded, error.to_string())),
        PublishErrorKind::MaxPayloadExceeded => Some(Error::new(ErrorCode::TooLarge, error.to_string())),
        _ => {
            client.unclear();
            None
        }
    })
}

async fn read(
    client: &Client,
    bus: &Bus,
    sending: &Sending,
    reader: &mut Reader<'_>,
    mut ears: Ears,
    was_there: bool,
) {
    let late = Instant::now() + Duration::from_millis(client.planned.deadline_ms);
    // If the request existed before, its events may have passed, even its end.
    let mut look = was_there;
    if was_there && matches!(come_back(client, bus, reader).await, Next::Ended | Next::Gone) {
        return;
    }
    loop {
        let next = tokio::select! {
            // In this order: a live event may be later than what was missed while disconnected.
            biased;
            Ok(()) = ears.connected.changed() => {
                look = true;
                come_back(client, bus, reader).await
            }
            Some(message) = ears.events.next() => match decode(message.headers.as_ref(), &message.payload) {
                Some(event) if reader.is_news(&event) => hears(reader, look, &event).await,
                _ => Next::More,
            },
            () = sleep(LOOK_EVERY) => match look || Instant::now() > late {
                true => look_up(client, bus, reader).await,
                false => Next::More,
            },
        };
        match next {
            Next::More => {}
            Next::Ended | Next::Gone => return,
            Next::Cut(away) => {
                // Fails only if the client is closed, and then there is nothing more to read.
                let _ = ears.events.unsubscribe().await;
                sleep(away).await;
                let key = &client.planned.key;
                let subject = bus.subjects.event(&key.tenant, &key.id);
                let Ok(again) = bus.client.subscribe(subject).await else { return };
                (ears.events, look) = (again, true);
                if matches!(come_back(client, bus, reader).await, Next::Ended | Next::Gone) {
                    return;
                }
            }
        }
        if Instant::now() > sending.give_up {
            return reader.leaves();
        }
    }
}

/// Handles a live event; if the store could not fill a reader's gap, records that frames are missing.
async fn hears(reader: &mut Reader<'_>, was_away: bool, event: &Event) -> Next {
    if was_away && !reader.is_next(event) {
        reader.misses();
    }
    reader.sees(event).await
}

/// Reads the stored events after the last frame seen.
async fn come_back(client: &Client, bus: &Bus, reader: &mut Reader<'_>) -> Next {
    reader.leaves();
    reader.starts();
    let key = &client.planned.key;
    let subject = bus.subjects.event(&key.tenant, &key.id);
    let Ok(stream) = bus.stream.get_stream_no_info("DYNODE_EVT").await else { return Next::More };
    let mut sequence = 1;
    while let Ok(stored) = stream.direct_get_next_for_subject(subject.as_str(), Some(sequence)).await {
        sequence = stored.sequence + 1;
        let Some(event) = decode(Some(&stored.headers), &stored.payload) else { continue };
        if reader.is_news(&event) {
            match hears(reader, true, &event).await {
                Next::More => {}
                next => return next,
            }
        }
    }
    Next::More
}

/// Checks whether the end is recorded.
async fn look_up(client: &Client, bus: &Bus, reader: &mut Reader<'_>) -> Next {
    let key = &client.planned.key;
    let subject = bus.subjects.outcome(&key.tenant, &key.id);
    let Ok(stream) = bus.stream.get_stream_no_info("DYNODE_RES").await else { return Next::More };
    let Ok(stored) = stream.direct_get_last_for_subject(subject).await else { return Next::More };
    let format = format(Some(&stored.headers), &stored.payload);
    match format.decode::<Outcome>(&stored.payload) {
        Ok(outcome) => hears(reader, true, &outcome.terminal_event()).await,
        Err(_) => Next::More,
    }
}

fn decode(headers: Option<&HeaderMap>, payload: &[u8]) -> Option<Event> {
    format(headers, payload).decode(payload).ok()
}

pub(crate) fn format(headers: Option<&HeaderMap>, payload: &[u8]) -> Format {
    let kind = headers.and_then(|headers| headers.get("Content-Type")).map(|value| value.as_str());
    Format::detect(kind, payload)
}
