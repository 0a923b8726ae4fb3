//! The bus: publishes a request to its subject, hears its events on theirs, and reads its outcome from the stream of
//! outcomes.

use std::{io, time::Duration};

use async_nats::{
    HeaderMap, Message, Subscriber,
    jetstream::{self, context::PublishErrorKind},
};
use futures_util::{StreamExt, future::try_join_all};
use schemas::{
    Action, Error, ErrorCode, Event, EventBody, Format, Outcome, Output, Request, Subjects, fingerprint,
};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    time::{sleep, timeout},
};

use super::{Asked, Said};
use crate::{
    parity::{ground::Ground, normal, sha256, shown::Shown},
    run::load::bus_format,
};

/// How long a publisher waits for the ack.
const ACK_MAX: Duration = Duration::from_secs(5);
/// After this long without an event a reader checks whether the end is recorded: each event is sent only once.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// A connection to the broker.
#[derive(Debug)]
pub(in crate::parity) struct Bus {
    client: async_nats::Client,
    stream: jetstream::Context,
    subjects: Subjects,
}

impl Bus {
    /// Connects to `url`, which may hold a user and a password.
    pub(in crate::parity) async fn connect(url: &str) -> io::Result<Self> {
        let at = url::Url::parse(url).map_err(io::Error::other)?;
        let options = match (at.username(), at.password()) {
            ("", _) => async_nats::ConnectOptions::new(),
            (user, password) => async_nats::ConnectOptions::with_user_and_password(
                user.to_owned(),
                password.unwrap_or_default().to_owned(),
            ),
        };
        let client = options.connect(url).await.map_err(io::Error::other)?;
        let mut stream = jetstream::new(client.clone());
        stream.set_timeout(ACK_MAX);
        Ok(Self { client, stream, subjects: Subjects::default() })
    }

    /// The signals of a pool.
    pub(in crate::parity) async fn signals(&self, pool: &str) -> io::Result<Subscriber> {
        self.client.subscribe(self.subjects.signal(pool)).await.map_err(io::Error::other)
    }
}

/// See [`super::Handle::converse`].
pub(super) async fn converse(ground: &Ground, format: Format, asked: &[Asked]) -> io::Result<Vec<Shown>> {
    let bus = ground.bus()?;
    try_join_all(asked.iter().map(|one| ask(bus, format, one))).await
}

async fn ask(bus: &Bus, format: Format, asked: &Asked) -> io::Result<Shown> {
    let mut shown = Shown::default();
    let subject = bus.subjects.event(&asked.who.tenant, &asked.id);
    // Before the publish, so that no event is missed.
    let mut events = bus.client.subscribe(subject.clone()).await.map_err(io::Error::other)?;
    let was_there = match publish(bus, format, asked).await? {
        Ok(was_there) => was_there,
        Err(refusal) => {
            shown.fails("refused", normal::error(&refusal));
            return Ok(shown);
        }
    };
    let mut plan = asked.plan;
    if was_there {
        if let Some(other) = holder(bus, asked).await? {
            shown.fails("refused", normal::error(&other));
            return Ok(shown);
        }
        come_back(bus, &subject, &mut shown).await?;
    }
    while !shown.has_ended() {
        match timeout(SILENCE_MAX, events.next()).await {
            Ok(Some(message)) => {
                let Some(event) = event(bus_format(message.headers.as_ref(), &message.payload), &message)
                else {
                    shown.fault("an event that cannot be read".to_owned());
                    continue;
                };
                check_format(&mut shown, format, &message);
                shown.hears(&event);
            }
            Ok(None) => return Err(io::Error::other("the subscription ended")),
            Err(_) => {
                come_back(bus, &subject, &mut shown).await?;
                look_up(bus, asked, &mut shown).await?;
            }
        }
        sleep(plan.pause).await;
        if plan.cancels(&shown) {
            let subject = bus.subjects.control(&asked.who.tenant, &asked.id);
            bus.client.publish(subject, "{}".into()).await.map_err(io::Error::other)?;
        }
        if plan.cuts(&shown) && !shown.has_ended() {
            events.unsubscribe().await.map_err(io::Error::other)?;
            events = bus.client.subscribe(subject.clone()).await.map_err(io::Error::other)?;
            come_back(bus, &subject, &mut shown).await?;
        }
    }
    Ok(shown)
}

/// Whether the request was there before, as far as the broker tells; or the broker's refusal.
async fn publish(bus: &Bus, format: Format, asked: &Asked) -> io::Result<Result<bool, Error>> {
    let action = match &asked.said {
        Said::Request(request) => serde_json::from_value(request["action"].clone()).unwrap_or_default(),
        Said::Text(_) => Action::ChatCompletion,
    };
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", format!("{}.{}", asked.who.tenant, asked.id));
    headers.insert("Content-Type", format.content_type());
    let subject = bus.subjects.request(&asked.who.tenant, action);
    let sent = bus.stream.publish_with_headers(subject, headers, asked.bytes(format).into()).await;
    let acked = match sent {
        Ok(ack) => ack.await,
        Err(error) => Err(error),
    };
    match acked {
        Ok(ack) => Ok(Ok(ack.duplicate)),
        Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
            Ok(Err(Error::new(ErrorCode::TooLarge, error.to_string())))
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The broker takes anything under a used id for a repeat: the outcome's fingerprint tells whose the id is.
async fn holder(bus: &Bus, asked: &Asked) -> io::Result<Option<Error>> {
    let Said::Request(request) = &asked.said else { return Ok(None) };
    let own = fingerprint::of(&Request::new(Action::Auto, request["payload"].clone()));
    let differs = outcome(bus, asked).await?.is_some_and(|outcome| outcome.fingerprint != own);
    let conflict = || {
        let why = format!("the id `{}` belongs to a different request; use another id", asked.id);
        Error { param: Some("id".into()), ..Error::new(ErrorCode::Conflict, why) }
    };
    Ok(differs.then(conflict))
}

/// Reads the events stored after the last one seen. A request that a door began at once has no `queued` among them.
async fn come_back(bus: &Bus, subject: &str, shown: &mut Shown) -> io::Result<()> {
    let stream = bus.stream.get_stream_no_info("DYNODE_EVT").await.map_err(io::Error::other)?;
    let mut sequence = 1;
    while let Ok(stored) = stream.direct_get_next_for_subject(subject, Some(sequence)).await {
        sequence = stored.sequence + 1;
        let format = bus_format(Some(&stored.headers), &stored.payload);
        if let Ok(event) = format.decode::<Event>(&stored.payload) {
            if shown.last().is_none() && (event.attempt, event.seq) == (1, 0) {
                let body = EventBody::Queued { position: None, estimated_wait_ms: None };
                shown.hears(&Event { id: event.id.clone(), attempt: 0, seq: 0, body });
            }
            shown.hears(&event);
        }
    }
    Ok(())
}

/// Checks whether the end is recorded.
async fn look_up(bus: &Bus, asked: &Asked, shown: &mut Shown) -> io::Result<()> {
    if let Some(outcome) = outcome(bus, asked).await? {
        shown.hears(&outcome.terminal_event());
    }
    Ok(())
}

async fn outcome(bus: &Bus, asked: &Asked) -> io::Result<Option<Outcome>> {
    let subject = bus.subjects.outcome(&asked.who.tenant, &asked.id);
    let stream = bus.stream.get_stream_no_info("DYNODE_RES").await.map_err(io::Error::other)?;
    let Ok(stored) = stream.direct_get_last_for_subject(subject).await else { return Ok(None) };
    let format = bus_format(Some(&stored.headers), &stored.payload);
    format.decode(&stored.payload).map(Some).map_err(io::Error::other)
}

/// See [`super::Handle::record`].
pub(super) async fn record(ground: &Ground, asked: &Asked) -> io::Result<Value> {
    let bus = ground.bus()?;
    let Some(outcome) = outcome(bus, asked).await? else { return Ok(Value::Null) };
    let mut record = normal::record(&outcome);
    if let Some(Output::Media(media)) = &outcome.output {
        let store = bus.stream.get_object_store("DYNODE_ASSETS").await.map_err(io::Error::other)?;
        for (place, asset) in media.assets.iter().enumerate() {
            let mut object = store.get(&asset.id).await.map_err(io::Error::other)?;
            let mut bytes = Vec::new();
            object.read_to_end(&mut bytes).await?;
            record["output"]["files"][place]["read"] = json!(sha256(&bytes));
        }
    }
    Ok(record)
}

/// Events come in the format of the request.
fn check_format(shown: &mut Shown, format: Format, message: &Message) {
    let told = bus_format(message.headers.as_ref(), &message.payload);
    if told != format {
        shown.fault(format!("an event in {}, asked in {}", told.content_type(), format.content_type()));
    }
}

fn event(format: Format, message: &Message) -> Option<Event> {
    format.decode(&message.payload).ok()
}
