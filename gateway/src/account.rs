//! Accounts for one accepted request at one door: holds its slot, and counts and logs its end exactly once. Never logs
//! a payload.

use schemas::{Action, Error, RequestId, Tenant, event::EventKind};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{debug, info};

use crate::{app::App, frame::Frame, linger::Reader, quota::Place, record::Key, room::Share};

/// The name of a door in metrics and logs.
pub(crate) type Door = &'static str;

/// The status of a request whose client left before the end.
const LEFT: &str = "left";

pub(crate) struct Account {
    app: App,
    door: Door,
    action: Action,
    id: RequestId,
    tenant: Tenant,
    began: Instant,
    ended: bool,
    /// The client, if the gateway cancels the request after the client has left.
    reader: Option<Reader>,
    _hold: Hold,
    _work: TaskTrackerToken,
}

/// What a request occupies while a door waits for it: a slot, room for its bytes, and its places in quotas.
pub(crate) type Hold = (OwnedSemaphorePermit, Share, Vec<Place>);

impl Account {
    pub(crate) fn open(
        app: &App,
        door: Door,
        action: Action,
        key: &Key,
        reader: Option<Reader>,
        hold: Hold,
    ) -> Self {
        app.meters.accepted(door, action.as_str());
        let (began, work) = (Instant::now(), app.work.token());
        let (app, id, tenant) = (app.clone(), key.id.clone(), key.tenant.clone());
        Self { app, door, action, id, tenant, began, ended: false, reader, _hold: hold, _work: work }
    }

    /// The request ended with `error`, or succeeded.
    pub(crate) fn end(&mut self, error: Option<&Error>) {
        self.close(error.map_or("succeeded", |error| error.code.as_str()));
    }

    /// The request ended with this terminal frame; other frames change nothing.
    pub(crate) fn end_with(&mut self, frame: &Frame) {
        match frame.head.event {
            EventKind::Complete | EventKind::ChatComplete => self.close("succeeded"),
            EventKind::Cancelled => self.close("cancelled"),
            EventKind::Fail => self.close("failed"),
            _ => {}
        }
    }

    /// The door is done, but the request runs on.
    pub(crate) fn release(mut self) {
        self.close("released");
    }

    fn close(&mut self, status: &'static str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // If the client left, the reader is only dropped, which reports that.
        if let (Some(reader), true) = (self.reader.take(), status != LEFT) {
            reader.end();
        }
        let elapsed = self.began.elapsed();
        self.app.meters.ended(self.door, self.action.as_str(), status, elapsed.as_secs_f64());
        let (id, tenant, door) = (&self.id, &self.tenant, self.door);
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        match status {
            "succeeded" | "released" => debug!(%id, %tenant, door, status, ms, "request answered"),
            _ => info!(%id, %tenant, door, status, ms, "request answered"),
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.close(LEFT);
    }
}
