//! `queued`: the event of a waiting request, for clients that look it up and for those that count attempts. A door
//! publishes it only as the first event, and only if the broker kept its memory: its readers have missed nothing.

use broker::{Headers, Link, Message};
use schemas::{Event, EventBody, Format, Request};
use tokio::sync::watch;
use tracing::debug;

use crate::{
    app::Shared,
    pools::Forecast,
    record::{FINGERPRINT, Key},
    sessions::SESSION,
    submit::QUEUED,
};

/// A `queued` event to publish.
pub(crate) struct Notice {
    format: Format,
    headers: Headers,
    forecast: Option<Forecast>,
    /// The link to the broker from before the request was stored.
    link: watch::Receiver<Link>,
}

impl Notice {
    /// Says that `request` is queued. `fingerprint` is set only if the sender chose the id.
    pub(crate) fn of(
        request: &Request,
        format: Format,
        fingerprint: Option<&str>,
        forecast: Option<Forecast>,
        link: watch::Receiver<Link>,
    ) -> Self {
        let mut headers = Headers::of_format(format);
        if let Some(fingerprint) = fingerprint {
            headers.set(FINGERPRINT, fingerprint);
        }
        if let Some(session) = &request.session {
            headers.set(SESSION, session.as_str());
        }
        Self { format, headers, forecast, link }
    }

    /// Publishes the event, unless the request has begun, which says as much. Publishes nothing if the broker was out
    /// of reach meanwhile: it may have forgotten earlier events.
    pub(crate) async fn tell(self, app: &Shared, key: &Key) {
        let Self { format, headers, forecast, link } = self;
        let has_stood = link.has_changed().is_ok_and(|changed| !changed);
        if !has_stood || !app.hub.waits(&key.events) {
            return;
        }
        let (attempt, seq) = QUEUED;
        let estimated_wait_ms = forecast.map(|forecast| forecast.wait_ms);
        let body = EventBody::Queued { position: None, estimated_wait_ms };
        // Names and numbers always encode.
        let Ok(payload) = format.encode(&Event { id: key.id.clone(), attempt, seq, body }) else { return };
        let message = Message { subject: key.events.clone(), headers, payload }.only_as_first();
        if let Err(error) = app.broker().send(message).await {
            debug!(%error, id = %key.id, "event not sent");
        }
    }
}
