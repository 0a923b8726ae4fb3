//! The one path of acceptance: every door comes through here, and what passes is on the broker.

use broker::{ErrorKind, Headers, Message, Publication, Receipt, message};
use schemas::{Error, ErrorCode, Format, Request, RequestId, fingerprint};
use tracing::Instrument;

use crate::{
    account::{Account, Door},
    app::{App, Shared, overloaded},
    door::Entry,
    feed::Feed,
    frame::Position,
    pools::Forecast,
    record::{self, Key, Record},
    refusal,
};

/// The header that spares the classifier the search for an earlier request: the id was made here.
const FRESH: &str = "Dynode-Fresh";
/// The header by which the classifier knows that a door tells the sender of a refusal, so that nothing is parked.
const AT_DOOR: &str = "Dynode-Door";
/// A publish of an unknown result is repeated once under the same id: what was refused must not run.
const PUBLISH_TRIES: u32 = 2;

/// Where `queued` stands among the events of a request.
pub(crate) const QUEUED: Position = (0, 0);

/// A request that is on the broker.
pub(crate) struct Accepted {
    pub(crate) id: RequestId,
    /// Its events, from the first.
    pub(crate) feed: Feed,
    pub(crate) account: Account,
    /// It was not there before.
    pub(crate) fresh: bool,
    /// How long it is expected to wait, where that is known.
    pub(crate) estimated_wait_ms: Option<u64>,
}

/// Takes `request` over, or says why not. The same request again attaches to the first.
pub(crate) async fn submit(
    app: &App,
    door: Door,
    entry: &Entry,
    mut request: Request,
    format: Format,
) -> Result<Accepted, Error> {
    app.check_open()?;
    check_tenant(app, &request)?;
    request.check()?;
    let slot = app.slots.clone().try_acquire_owned().map_err(|_| {
        overloaded("this server has as many requests in flight as it takes (gateway.requests_inflight_max)")
    })?;
    let given = request.id.is_some();
    let id = request.id.get_or_insert_with(|| entry.fresh.clone()).clone();
    request.tenant = Some(app.tenant().clone());
    let fingerprint = fingerprint::of(&request);
    let key = Key::new(app, id.clone());
    let known = given && is_known(app, &key, &fingerprint).await?;
    let forecast = if known { None } else { admit(app, &request)? };
    // Before the publish, so that no event goes by unheard.
    let mut feed = Feed::open(app, key.clone(), None);
    let post = Post { app, door, entry, key: &key, request: &request, format, given };
    let fresh = !known && post.store(&fingerprint).await?;
    match fresh {
        true => {
            // The door itself says `queued`; its place is taken.
            feed.seen(QUEUED);
            feed.expect(forecast);
        }
        false => feed.attach(),
    }
    let account = Account::open(app, door, request.action, id.clone(), slot);
    let estimated_wait_ms = forecast.map(|forecast| forecast.wait_ms);
    Ok(Accepted { id, feed, account, fresh, estimated_wait_ms })
}

/// Says at once what would not be worked on in time. Nothing of a request that is refused here has been published.
fn admit(app: &Shared, request: &Request) -> Result<Option<Forecast>, Error> {
    app.pools.admit(request, request.deadline_ms.unwrap_or(app.config.default_deadline_ms))
}

fn check_tenant(app: &Shared, request: &Request) -> Result<(), Error> {
    match &request.tenant {
        Some(tenant) if tenant != app.tenant() => {
            let why =
                format!("tenant: this door accepts work of `{}` only; leave the field out", app.tenant());
            Err(Error { param: Some("tenant".into()), ..Error::new(ErrorCode::Forbidden, why) })
        }
        _ => Ok(()),
    }
}

/// Whether this very request is there already; `conflict` where the id belongs to another.
async fn is_known(app: &Shared, key: &Key, fingerprint: &str) -> Result<bool, Error> {
    let record = record::find(app, key).await?;
    if matches!(record, Record::Unknown) {
        return Ok(false);
    }
    match record::fingerprint(app, key, &record).await {
        Some(holder) if holder != fingerprint => Err(conflict(key)),
        _ => Ok(true),
    }
}

/// One request on its way to the broker.
struct Post<'a> {
    app: &'a Shared,
    door: Door,
    entry: &'a Entry,
    key: &'a Key,
    request: &'a Request,
    format: Format,
    /// The id is its sender's.
    given: bool,
}

impl Post<'_> {
    /// Publishes the request; `false` where it was there before.
    async fn store(&self, fingerprint: &str) -> Result<bool, Error> {
        let (app, key) = (self.app, self.key);
        let claimed = match app.recent.claim(&key.events, fingerprint) {
            Err(holder) if holder != fingerprint => return Err(conflict(key)),
            claim => claim.is_ok(),
        };
        let published = match self.publication() {
            Ok(publication) => publish(app, publication).await.map_err(|error| refusal::of_broker(&error)),
            Err(error) => Err(error),
        };
        match published {
            // Whether a repeat is another request under the same id is known only now.
            Ok(receipt) if receipt.duplicate => is_known(app, key, fingerprint).await.map(|_| false),
            Ok(_) => Ok(true),
            Err(error) => {
                if claimed {
                    app.recent.release(&key.events);
                }
                Err(error)
            }
        }
    }

    fn publication(&self) -> Result<Publication, Error> {
        let Self { app, key, request, format, .. } = self;
        let mut headers = Headers::of_format(*format).with(AT_DOOR, self.door);
        broker::trace::inject(&mut headers);
        if let (None, Some(parent)) = (headers.get(message::TRACEPARENT), &self.entry.traceparent) {
            headers.set(message::TRACEPARENT, parent);
        }
        if !self.given {
            headers.set(FRESH, "1");
        }
        let subject = app.parts.topology.subjects.request(&key.tenant, request.action);
        let message = Message { subject, headers, payload: format.encode(*request)? };
        Ok(Publication { message, id: Some(format!("{}.{}", key.tenant, key.id)) })
    }
}

async fn publish(app: &Shared, publication: Publication) -> Result<Receipt, broker::Error> {
    let span = tracing::debug_span!("publish", subject = publication.message.subject);
    async {
        for _ in 1..PUBLISH_TRIES {
            match app.broker().publish(publication.clone()).await {
                Err(error) if error.kind() == ErrorKind::Timeout => {}
                result => return result,
            }
        }
        app.broker().publish(publication).await
    }
    .instrument(span)
    .await
}

fn conflict(key: &Key) -> Error {
    let why = format!("the id `{}` belongs to a different request; use another id", key.id);
    Error { param: Some("id".into()), ..Error::new(ErrorCode::Conflict, why) }
}
