//! The provider of a benchmark: sends prepared bytes at the pace in the model's name, and computes nothing. It has one
//! thread, since it shares the machine with the system under test. `dynode chaos provider` has manners and faults.

mod body;
mod prepared;

use std::{cell::RefCell, collections::HashMap, convert::Infallible, io, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    task::LocalSet,
    time::{Instant, sleep_until},
};

use self::{body::Body, prepared::Prepared};

/// How many models are cached; further ones are answered all the same.
const MODELS_MAX: usize = 64;

/// The prepared answers, by model name.
type Shelf = Rc<RefCell<HashMap<Bytes, Rc<Prepared>>>>;

/// Serves on `listener` for ever, on the calling thread.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    let shelf = Shelf::default();
    LocalSet::new()
        .run_until(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                let shelf = Rc::clone(&shelf);
                stream.set_nodelay(true)?;
                // It ends with its connection, for whatever reason.
                tokio::task::spawn_local(async move {
                    let service = service_fn(move |request| answer(Rc::clone(&shelf), request));
                    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    let _ = serving.await;
                });
            }
        })
        .await
}

async fn answer(shelf: Shelf, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let arrived = Instant::now();
    let Ok(asked) = request.into_body().collect().await.map(|body| body.to_bytes()) else {
        return Ok(refused(StatusCode::BAD_REQUEST));
    };
    let Some(prepared) = take(&shelf, &asked) else { return Ok(refused(StatusCode::NOT_FOUND)) };
    let response = match &*prepared {
        Prepared::Whole { delay, body } => {
            wait(arrived + *delay, *delay).await;
            of("application/json", Body::whole(body.clone()))
        }
        Prepared::Stream { first, .. } => {
            wait(arrived + *first, *first).await;
            let with_usage = asked_for_usage(&asked);
            of("text/event-stream", Body::stream(Rc::clone(&prepared), with_usage))
        }
    };
    Ok(response)
}

/// A zero sleep would still cost a turn of the runtime.
async fn wait(until: Instant, delay: Duration) {
    if !delay.is_zero() {
        sleep_until(until).await;
    }
}

/// The prepared answer of the requested model.
fn take(shelf: &Shelf, asked: &Bytes) -> Option<Rc<Prepared>> {
    let model = model(asked)?;
    if let Some(prepared) = shelf.borrow().get(model) {
        return Some(Rc::clone(prepared));
    }
    let prepared = Rc::new(Prepared::of(std::str::from_utf8(model).ok()?)?);
    let mut shelf = shelf.borrow_mut();
    if shelf.len() < MODELS_MAX {
        shelf.insert(Bytes::copy_from_slice(model), Rc::clone(&prepared));
    }
    Some(prepared)
}

/// The model in the body of a request; does not parse the rest.
fn model(asked: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = br#""model":""#;
    let rest = asked.get(memchr::memmem::find(asked, KEY)? + KEY.len()..)?;
    rest.get(..memchr::memchr(b'"', rest)?)
}

fn asked_for_usage(asked: &[u8]) -> bool {
    memchr::memmem::find(asked, br#""include_usage":true"#).is_some()
}

fn of(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn refused(status: StatusCode) -> Response<Body> {
    let mut response =
        of("application/json", Body::whole(Bytes::from_static(b"{\"error\":{\"message\":\"\"}}")));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_without_reading_the_rest() {
        assert_eq!(model(br#"{"messages":[],"model":"chat-60","n":1}"#), Some(&b"chat-60"[..]));
        assert_eq!(model(br#"{"messages":[]}"#), None);
        assert_eq!(model(br#"{"model":"chat"#), None);
    }
}
