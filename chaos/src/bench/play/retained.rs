//! Measures whether a request costs the same with up to a million outcomes kept beside it.

use std::io;

use async_nats::jetstream;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use schemas::{RequestId, Tenant};

use super::calls;
use crate::{
    bench::{
        Point,
        scenario::Case,
        stage::{Stage, Subject},
    },
    run::Board,
};

/// Their tenant, which sends no requests.
const TENANT: &str = "kept";
/// The size of a kept outcome: that of a short chat.
const BYTES: usize = 600;
/// How many publishes wait for their acks at once.
const PUBLISHING_MAX: usize = 1_000;

/// Measures with each number of outcomes, from the lowest to the highest.
pub(super) async fn play(
    stage: &Stage<'_>,
    subject: &Subject,
    counts: &[u32],
    case: Case,
    board: &mut Board,
) -> io::Result<Vec<Point>> {
    let (mut points, mut kept) = (Vec::new(), 0);
    for count in counts {
        board.says(&format!("{count} outcomes are put there"));
        fill(subject, kept, *count).await?;
        kept = *count;
        let point = calls::point(stage, subject, case, board).await?;
        points.push(Point { load: format!("{}, {count} kept", point.load), ..point });
    }
    Ok(points)
}

/// Stores the outcomes with these numbers; only their count and size are real, since nobody reads them.
async fn fill(subject: &Subject, from: u32, to: u32) -> io::Result<()> {
    let Subject::Own(engine, _) = subject else { return Err(io::Error::other("there is no bus")) };
    let url = engine.bus.as_deref().ok_or_else(|| io::Error::other("there is no bus"))?;
    let client = async_nats::connect(url).await.map_err(io::Error::other)?;
    let builder = jetstream::context::ContextBuilder::new().backpressure_on_inflight(true);
    let (bus, tenant) = (builder.build(client), Tenant::new(TENANT).map_err(io::Error::other)?);
    let body = Bytes::from(vec![b' '; BYTES]);
    let publish = |number: u32| {
        let (bus, body) = (bus.clone(), body.clone());
        let id = RequestId::new(format!("k{number}"));
        let outcome = id.map(|id| engine.subjects.outcome(&tenant, &id)).map_err(io::Error::other);
        async move {
            let sent = bus.publish(outcome?, body).await.map_err(io::Error::other)?;
            sent.await.map(drop).map_err(io::Error::other)
        }
    };
    stream::iter(from..to).map(publish).buffer_unordered(PUBLISHING_MAX).try_collect().await
}
