//! The one path of acceptance: every door comes through here, and what passes is on the broker.

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

/// The header that spares the classifier the search for an earlier request: the id was made here.
const FRESH: &str = "Dynode-Fresh";
/// The header by which the classifier knows that a door tells the sender of a refusal, so that nothing is parked.
const AT_DOOR: &str = "Dynode-Door";
/// A publish of an unknown result is repeated once under the same id: what was refused must not run.
const PUBLISH_TRIES: u32 = 2;

/// Where `queued` stands among the events of a request.
pub(crate) const QUEUED: Position = (0, 0);

/// How a request comes in.
pub(crate) struct Visit<'a> {
    pub(crate) door: Door,
    pub(crate) entry: &'a Entry,
    /// In which its events are to come.
    pub(crate) format: Format,
    /// The room that it takes.
    pub(crate) share: Share,
    /// Its client waits at the door for the answer, and has no use for it once it is gone.
    pub(crate) is_chat: bool,
    /// Its client is told its id before the answer is there.
    pub(crate) tells_id: bool,
}

/// A request that is on the broker.
pub(crate) struct Accepted {
    pub(crate) id: RequestId,
    /// Who sent it.
    pub(crate) caller: CallerRef,
    /// Its events, from the first.
    pub(crate) feed: Feed,
    pub(crate) account: Account,
    /// It was not there before.
    pub(crate) fresh: bool,
    /// How long it is expected to wait, where that is known.
    pub(crate) estimated_wait_ms: Option<u64>,
}

/// Takes `request` over, or says why not, and fills in whose it is. The same request again attaches to the first.
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
    // What is there already asks for nothing more, and was paid for.
    if !known {
        (app.parts.check_cost)(&caller.tenant, request).await?;
    }
    let taken = if known { Taken::default() } else { app.quotas.take(app, &caller, request)? };
    let admission = if known { None } else { Some(admit(app, &caller, request)?) };
    // Before the publish, so that no event goes by unheard.
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
            // The door itself says `queued`; its place is taken.
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

/// Who the request is for: a client that reads it, or a service, for which it runs whoever reads.
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

/// Says at once what would not be worked on in time. Nothing of a request that is refused here has been published.
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
            let why =
                format!("tenant: this door accepts work of `{}` only; leave the field out", caller.tenant);
            Err(Error { param: Some("tenant".into()), ..Error::new(ErrorCode::Forbidden, why) })
        }
        _ => Ok(()),
    }
}

/// Whether this very request is there already; `conflict` where the id belongs to another. The same payload can be asked of
/// two actions: an outcome says of which it was.
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

/// Whether what the broker has at `sequence` of a line is this very request. Until something is told of it nothing else says
/// whose it is, where another gateway has stored it.
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
        // It has gone on meanwhile, and has told its events.
        None => is_known(app, key, action, fingerprint).await.map(drop),
    }
}

/// One request on its way to the broker.
struct Post<'a> {
    app: &'a Shared,
    visit: &'a Visit<'a>,
    key: &'a Key,
    request: &'a Request,
    /// The id is its sender's.
    given: bool,
}

/// Whether a request was there before; what is told of one that was not, where it waits in line.
enum Stored {
    Now(Option<Notice>),
    Before,
}

impl Post<'_> {
    /// Nobody but its reader can know of it before it has begun.
    fn is_unknown(&self) -> bool {
        !self.given && !self.visit.tells_id && self.request.session.is_none()
    }

    /// Publishes the request.
    async fn store(&self, fingerprint: &str, admission: Admission) -> Result<Stored, Error> {
        let (app, key) = (self.app, self.key);
        let mut link = app.broker().link();
        if matches!(*link.borrow_and_update(), Link::Down(_)) {
            // Said before anything is sent: what is refused as unreachable does not run.
            return Err(refusal::unreachable());
        }
        let (line, publication) = self.publication(fingerprint, admission.ahead)?;
        let forecast = admission.forecast;
        let claimed = match app.recent.claim(&key.events, fingerprint) {
            Err(holder) if holder != fingerprint => return Err(record::conflict(&key.id)),
            claim => claim.is_ok(),
        };
        if claimed {
            // Before the publish: its beginning may be heard before the ack.
            let deadline = Instant::now() + Duration::from_millis(deadline_ms(app, self.request));
            app.hub.wait_for(&key.events, admission.ticket, deadline);
        }
        let published = publish(app, publication).await.map_err(|error| refusal::of_publish(&error));
        let fresh = matches!(&published, Ok(receipt) if !receipt.duplicate);
        if claimed && !fresh {
            app.hub.wait_no_more(&key.events);
        }
        match published {
            // Whether a repeat is another request under the same id is known only now.
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

    /// What is stored, and in which line: the work that the request is, or the request itself where only the classifier can
    /// say what becomes of it. `ahead` of the same tenant wait for the same pool.
    fn publication(&self, fingerprint: &str, ahead: u64) -> Result<(Line, Publication), Error> {
        let Self { app, key, request, visit, .. } = self;
        // Nobody can have asked for another under an id that was made here.
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
