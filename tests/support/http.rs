//! HTTP as a test speaks it: JSON in, status and JSON out, and events one by one.

use futures_util::{StreamExt, stream::BoxStream};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};

use super::{Dynode, within};

/// A client that follows nothing and asks no proxy.
pub(crate) fn client() -> Client {
    adapters::http::client_builder().build().unwrap()
}

/// What `request` is answered with.
async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = within("an answer", request.send()).await.unwrap();
    let status = response.status().as_u16();
    let body = within("a body", response.bytes()).await.unwrap();
    let json = serde_json::from_slice(&body);
    (status, json.unwrap_or_else(|_| panic!("{status}, no JSON: {}", String::from_utf8_lossy(&body))))
}

impl Dynode {
    /// `GET path`.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(client().get(self.url() + path)).await
    }

    /// `POST path` with `body` as JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(client().post(self.url() + path).json(body)).await
    }

    /// `DELETE path`.
    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        answer(client().delete(self.url() + path)).await
    }

    /// The events of one request, after the one with the id `last`.
    pub(crate) async fn events(&self, id: &str, last: Option<&str>) -> Events {
        let request = client().get(format!("{}/v1/requests/{id}/events", self.url()));
        Events::of(match last {
            Some(last) => request.header("Last-Event-ID", last),
            None => request,
        })
        .await
    }

    /// The outcome of a request, once it has ended.
    pub(crate) async fn outcome(&self, id: &str) -> Value {
        self.events(id, None).await.rest().await;
        let (status, outcome) = self.get(&format!("/v1/requests/{id}")).await;
        assert_eq!(status, 200, "{outcome:#}");
        outcome
    }
}

/// A stream of server-sent events.
pub(crate) struct Events(BoxStream<'static, Result<Sse, sse_stream::Error>>);

impl Events {
    /// Those that `request` is answered with.
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = within("a stream", request.send()).await.unwrap();
        let status = response.status();
        assert!(status.is_success(), "{status}: {}", response.text().await.unwrap());
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self(read(response))
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Sse> {
        within("an event", self.0.next()).await.map(Result::unwrap)
    }

    /// All that come until the end of the stream.
    pub(crate) async fn rest(mut self) -> Vec<Sse> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn read(response: Response) -> BoxStream<'static, Result<Sse, sse_stream::Error>> {
    let events = SseByteStream::new(response.bytes_stream());
    // Signs of life are comments.
    events.filter(|event| std::future::ready(!matches!(event, Ok(event) if event.data.is_none()))).boxed()
}
