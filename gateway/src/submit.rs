//! The one path of acceptance: every door submits its requests here, and the broker has each request that passes.

use std::time::Duration;

use broker::{ErrorKind, Headers, Link, Message, Publication, Receipt};
use schemas::{Action, Error, ErrorCode, Format, Request, RequestId, fingerprint};
use tokio::time::Instant;
use tracing::Instrument;

use crate::{
    account::{Account, Door},
    app::{App, Shared},
    caller::{Caller, CallerRef},
    door::Entry,
    feed::Feed,
    frame::Position,
    linger::Reader,
    notice::Notice,
    pools::Admission,
    quota::Taken,
    record::{self, Key, Line, Record},
    refusal,
    room::Share,
};

/// The header that lets the classifier skip the search for an earlier request: the gateway made the id.
const FRESH: &str = "Dynode-Fresh";
/// The header that tells the classifier that a door reports a refusal to the sender, so that nothing is parked.
const AT_DOOR: &str = "Dynode-Door";
/// A publish with an unknown result is retried once under the same id: a refused request must not run.
const PUBLISH_TRIES: u32 = 2;

/// The position of `queued` among the events of a request.
pub(crate) const QUEUED: Position = (0, 0);

/// How a request comes in.
pub(crate) struct Visit<'a> {
    pub(crate) door: Door,
    pub(crate) entry: &'a Entry,
    /// The format of its events.
    pub(crate) format: Format,
    /// Its share of the room.
    pub(crate) share: Share,
    /// Its client waits at the door for the answer, and does not need the answer after leaving.
    pub(crate) is_chat: bool,
    /// Its client learns its id before the answer is there.
    pub(crate) tells_id: bool,
}

/// A request that the broker has stored.
pub(crate) struct Accepted {
    pub(crate) id: RequestId,
    /// Who sent it.
    pub(crate) caller: CallerRef,
    /// Its events, from the first.
    pub(crate) feed: Feed,
    pub(crate) account: Account,
    /// The broker did not have it before.
    pub(crate) fresh: bool,
    /// How long it is expected to wait, if that is known.
    pub(crate) estimated_wait_ms: Option<u64>,
}

/// Accepts `request`, or says why not, and fills in its tenant and sender. A repeat attaches to the first.
pub(crate) async fn submit(app: &App, visit: Visit<'_>, request: &mut Request) -> Result<Accepted, Error> {
    take_over(app, visit, request).await.map_err(|error| app.spread(error))
}

async fn take_over(app: &App, visit: Visit<'_>, request: &mut Request) -> Result<Accepted, Error> {
    app.check_open()?;
    check_tenant(&visit.entry.caller, request)?;
    request.check()?;
    visit.entry.caller.check_scope(request)?;
    let slot = app.slots.clone().try_acquire_owned().map_err(|_| {
        app.crowded("this server has as many requests in flight as it takes (gateway.requests_inflight_max)")
    })?;
    let given = request.id.is_some();
    let id = request.id.get_or_insert_with(|| visit.entry.fresh.clone()).clone();
    let caller = visit.entry.caller.clone();
    request.tenant = Some(caller.tenant.clone());
    request.sent_by = caller.sent_by();
    let fingerprint = fingerprint::of(request);
    let key = Key::new(app, &caller, id.clone());
    let known = given && is_known(app, &key, request.action, &fingerprint).await?;
    // A known request asks for nothing more, and was paid for.
    if !known {
        (app.parts.check_cost)(&caller.tenant, request).await?;
    }
    let taken = if known { Taken::default() } else { app.quotas.take(app, &caller, request)? };
    let admission = if known { None } else { Some(admit(app, &caller, request)?) };
    // Before the publish, so that no event is missed.
    let mut feed = Feed::open(app, key.clone(), None);
    feed.is_for(fingerprint.clone());
    let forecast = admission.as_ref().and_then(|admission| admission.forecast);
    let post = Post { app, visit: &visit, key: &key, request, given };
    let stored = match admission {
        Some(admission) => post.store(&fingerprint, admission).await?,
        None => Stored::Before,
    };
    let fresh = matches!(stored, Stored::Now(_));
    match stored {
        Stored::Now(notice) => {
            // The door itself announces `queued`: its position is taken.
            feed.seen(QUEUED);
            feed.expect(forecast);
            match notice {
                Some(notice) if post.is_unknown() => feed.tell_if_silent(notice),
                Some(notice) => notice.tell(app, &key).await,
                None => {}
            }
        }
        Stored::Before => feed.attach(),
    }
    let reader = reader(app, &key, visit.is_chat && request.callback.is_none(), fresh);
    let Taken { places, charge } = taken;
    feed.charge(charge);
    let hold = (slot, visit.share, places);
    let account = Account::open(app, visit.door, request.action, &key, reader, hold);
    let estimated_wait_ms = forecast.map(|forecast| forecast.wait_ms);
    Ok(Accepted { id, caller, feed, account, fresh, estimated_wait_ms })
}

/// The client that reads the request; `None` for a service, whose request runs whoever reads it.
fn reader(app: &Shared, key: &Key, is_chat: bool, fresh: bool) -> Option<Reader> {
    match (is_chat, fresh) {
        (true, true) => app.lingers.lead(key),
        (true, false) => app.lingers.join(key),
        (false, _) => {
            app.lingers.keep(key);
            None
        }
    }
}

/// Refuses at once a request that would not be worked on in time, before anything of it is published.
fn admit(app: &Shared, caller: &Caller, request: &Request) -> Result<Admission, Error> {
    app.pools.admit(&caller.tenant, request, deadline_ms(app, request))
}

fn deadline_ms(app: &Shared, request: &Request) -> u64 {
    request.deadline_ms.unwrap_or(app.config.default_deadline_ms)
}

/// Refuses work of another tenant.
pub(crate) fn check_tenant(caller: &Caller, request: &Request) -> Result<(), Error> {
    match &request.tenant {
        Some(tenant) if *tenant != caller.tenant => {
            let why = format!("tenant: you may send work only for `{}`; leave the field out", caller.tenant);
            Err(Error { param: Some("tenant".into()), ..Error::new(ErrorCode::Forbidden, why) })
        }
        _ => Ok(()),
    }
}

/// Whether the broker already has this very request; `conflict` if the id belongs to another. Two actions may have the
/// same payload: an outcome says which action it was.
async fn is_known(app: &Shared, key: &Key, action: Action, fingerprint: &str) -> Result<bool, Error> {
    let record = record::find(app, key).await?;
    if let Record::Ended(outcome) = &record
        && action != Action::Auto
        && outcome.action != action
    {
        return Err(record::conflict(&key.id));
    }
    let (known, holder) = match record {
        Record::Unknown if app.may_have_forgotten() => {
            let waiting = record::waiting_fingerprint(app, key).await?;
            (waiting.is_some(), waiting.filter(|holder| !holder.is_empty()))
        }
        Record::Unknown => (false, None),
        record => (true, record::fingerprint(app, key, &record).await),
    };
    match holder {
        Some(holder) if holder != fingerprint => Err(record::conflict(&key.id)),
        _ => Ok(known),
    }
}

/// Checks that the broker's message at `sequence` of a line is this very request. If another gateway stored it and no
/// event tells of it yet, nothing else identifies it.
async fn is_repeat(
    app: &Shared,
    key: &Key,
    action: Action,
    fingerprint: &str,
    (line, sequence): (Line, u64),
) -> Result<(), Error> {
    if is_known(app, key, action, fingerprint).await? {
        return Ok(());
    }
    match record::stored_fingerprint(app, key, line, sequence).await? {
        Some(holder) if !holder.is_empty() && holder != fingerprint => Err(record::conflict(&key.id)),
        Some(_) => Ok(()),
        // It has moved on meanwhile, and its events identify it.
        None => is_known(app, key, action, fingerprint).await.map(drop),
    }
}

/// One request on its way to the broker.
struct Post<'a> {
    app: &'a Shared,
    visit: &'a Visit<'a>,
    key: &'a Key,
    request: &'a Request,
    /// The sender chose the id.
    given: bool,
}

/// Whether the broker had a request before; if not, the notice to publish for one that waits for a worker.
enum Stored {
    Now(Option<Notice>),
    Before,
}

impl Post<'_> {
    /// Whether only its reader can know of the request before it begins.
    fn is_unknown(&self) -> bool {
        !self.given && !self.visit.tells_id && self.request.session.is_none()
    }

    /// Publishes the request.
    async fn store(&self, fingerprint: &str, admission: Admission) -> Result<Stored, Error> {
        let (app, key) = (self.app, self.key);
        let mut link = app.broker().link();
        if matches!(*link.borrow_and_update(), Link::Down(_)) {
            // Before anything is sent: a request refused as unreachable does not run.
            return Err(refusal::unreachable());
        }
        let (line, publication) = self.publication(fingerprint, admission.ahead)?;
        let forecast = admission.forecast;
        let claimed = match app.recent.claim(&key.events, fingerprint) {
            Err(holder) if holder != fingerprint => return Err(record::conflict(&key.id)),
            claim => claim.is_ok(),
        };
        if claimed {
            // Before the publish: the request may begin before the ack arrives.
            let deadline = Instant::now() + Duration::from_millis(deadline_ms(app, self.request));
            app.hub.wait_for(&key.events, admission.ticket, deadline);
        }
        let published = publish(app, publication).await.map_err(|error| refusal::of_publish(&error));
        let fresh = matches!(&published, Ok(receipt) if !receipt.duplicate);
        if claimed && !fresh {
            app.hub.wait_no_more(&key.events);
        }
        match published {
            // Only now is it known whether a repeat is a different request under the same id.
            Ok(receipt) if !fresh => {
                let (action, place) = (self.request.action, (line, receipt.sequence));
                match is_repeat(app, key, action, fingerprint, place).await {
                    Err(error) if error.code == ErrorCode::Overloaded => Err(refusal::unclear()),
                    repeat => repeat.map(|()| Stored::Before),
                }
            }
            Ok(_) => {
                app.recent.store(&key.events);
                let given = self.given.then_some(fingerprint);
                let notice = || Notice::of(self.request, self.visit.format, given, forecast, link);
                Ok(Stored::Now((line == Line::Work).then(notice)))
            }
            Err(error) => {
                if claimed {
                    app.recent.release(&key.events);
                }
                Err(error)
            }
        }
    }

    /// The message to store, and its line: the work that the request is, or the request itself if only the classifier
    /// can say what becomes of it. `ahead` requests of the same tenant wait for the same pool.
    fn publication(&self, fingerprint: &str, ahead: u64) -> Result<(Line, Publication), Error> {
        let Self { app, key, request, visit, .. } = self;
        // No other request can have an id that was made here.
        let told_apart = if self.given { fingerprint } else { "" };
        if let Some(work) = (app.parts.file)(request, visit.format, told_apart, ahead) {
            return Ok((Line::Work, work));
        }
        let mut headers = Headers::of_format(visit.format).with(AT_DOOR, visit.door);
        broker::trace::inject(&mut headers);
        if !self.given {
            headers.set(FRESH, "1");
        }
        let subject = app.parts.topology.subjects.request(&key.tenant, request.action);
        let message = Message { subject, headers, payload: visit.format.encode(*request)? };
        let id = Some(format!("{}.{}", key.tenant, key.id));
        Ok((Line::Requests, Publication { message, id }))
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
