//! `queued`: what a door tells of a request that waits, for those who look for it and for those who count its attempts. It is
//! told only where nothing was told before, and while the broker remembers: so they know by it that they were told of all.

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

/// What is to be told.
pub(crate) struct Notice {
    format: Format,
    headers: Headers,
    forecast: Option<Forecast>,
    /// As it was before the request was stored.
    link: watch::Receiver<Link>,
}

impl Notice {
    /// That `request` is queued. The fingerprint is that of a request whose id its sender gave.
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

    /// Tells it, unless the request has begun meanwhile: that says it. Where the broker was out of reach it may have forgotten
    /// what was told before, and nothing is told.
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
