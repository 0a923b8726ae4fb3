//! Plays one case through one handle: what its sender does, and what it sees.

use std::{io, time::Duration};

use schemas::RequestId;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    case::{Case, Deed, numbered},
    ground::{Ground, Name},
    handle::{Asked, Handle, Plan, Said},
    jam, keys, normal,
    shown::Shown,
};

/// How long one case may take on one handle; longer is a failure.
const CASE_MAX: Duration = Duration::from_secs(30);
/// How often to look for a record, which comes with the end or a moment later.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What was seen, and how long it took.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) seen: Value,
    pub(super) took: Duration,
}

/// Plays `case` through `handle`. A failure on the way is part of what is seen.
pub(super) async fn play(ground: &Ground, case: &Case, handle: Handle, shared: &RequestId) -> Played {
    let began = Instant::now();
    let seen = match timeout(CASE_MAX, Box::pin(seen(ground, case, handle, shared))).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => json!({"end": "broken", "why": error.to_string()}),
        Err(_) => json!({"end": "none came", "why": format!("not in {CASE_MAX:?}")}),
    };
    Played { seen, took: began.elapsed() }
}

async fn seen(ground: &Ground, case: &Case, handle: Handle, shared: &RequestId) -> io::Result<Value> {
    let asked = asked(ground, case, handle);
    match case.deed {
        Deed::Ask | Deed::Cancel(_) | Deed::Leave(_) | Deed::Cut(_) | Deed::Slowly(_) | Deed::Jammed => {
            one(ground, handle, &asked).await
        }
        Deed::OneId => one(ground, handle, &Asked { id: shared.clone(), ..asked }).await,
        Deed::Again => {
            let first = one(ground, handle, &asked).await?;
            let again = one(ground, handle, &asked).await?;
            let end = first["end"].clone();
            Ok(json!({"first": first, "again": again, "end": end}))
        }
        Deed::Other => {
            one(ground, handle, &asked).await?;
            one(ground, handle, &other(&asked)).await
        }
        Deed::Hurried => hurried(ground, handle, &asked).await,
        Deed::Tenants => tenants(ground, handle, &asked).await,
        Deed::Crowd(count) => crowd(ground, handle, &asked, count).await,
        Deed::Health => {
            let health = handle.health(ground, &asked).await?;
            Ok(json!({"end": "succeeded", "output": health}))
        }
        Deed::Signals => jam::signals(ground, handle).await,
    }
}

fn asked(ground: &Ground, case: &Case, handle: Handle) -> Asked {
    let plan = match case.deed {
        Deed::Cancel(after) => Plan { cancel_after: Some(after), ..Plan::default() },
        Deed::Leave(after) => Plan { leave_after: Some(after), ..Plan::default() },
        Deed::Cut(after) => Plan { cut_after: Some(after), ..Plan::default() },
        Deed::Slowly(pause) => Plan { pause: Duration::from_millis(pause), ..Plan::default() },
        _ => Plan::default(),
    };
    Asked { id: ground.id(handle), said: case.said.clone(), plan, who: ground.who(case.who) }
}

/// Asks one request, then reads its record.
async fn one(ground: &Ground, handle: Handle, asked: &Asked) -> io::Result<Value> {
    let shown = handle.converse(ground, std::slice::from_ref(asked)).await?.pop();
    whole(ground, handle, asked, shown.unwrap_or_default()).await
}

/// What was shown, together with the record.
async fn whole(ground: &Ground, handle: Handle, asked: &Asked, mut shown: Shown) -> io::Result<Value> {
    let record = record(ground, handle, asked, &shown).await?;
    if handle.is_of_others() {
        // These APIs show a refusal and a failure alike: the record tells them apart.
        shown.failed_as(record["status"].as_str());
    }
    let mut seen = shown.into_value();
    seen["record"] = record;
    Ok(normal::nameless(seen, asked.id.as_str()))
}

/// The record. If the reader left before the end, or its API could not tell the end, waits for it.
async fn record(ground: &Ground, handle: Handle, asked: &Asked, shown: &Shown) -> io::Result<Value> {
    loop {
        let record = handle.record(ground, asked).await?;
        if !record.is_null() || !shown.has_a_record() {
            return Ok(record);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The same id with another payload.
fn other(asked: &Asked) -> Asked {
    let mut other = asked.clone();
    if let Said::Request(request) = &mut other.said {
        request["payload"]["user"] = "somebody else".into();
    }
    other
}

/// Two requests with a key that may ask once a minute: only the second counts.
async fn hurried(ground: &Ground, handle: Handle, asked: &Asked) -> io::Result<Value> {
    let (who, key) = keys::hurried(ground).await?;
    let (first, second) =
        (Asked { id: ground.id(handle), who: who.clone(), ..asked.clone() }, Asked { who, ..asked.clone() });
    one(ground, handle, &first).await?;
    Ok(normal::nameless(one(ground, handle, &second).await?, &key))
}

/// Two tenants under one id: each has its own answer and sees nothing of the other's.
async fn tenants(ground: &Ground, handle: Handle, asked: &Asked) -> io::Result<Value> {
    let of = |who: Name, number: usize| {
        let said = match &asked.said {
            Said::Request(request) => Said::Request(numbered(request.clone(), number)),
            text @ Said::Text(_) => text.clone(),
        };
        Asked { who: ground.who(who), said, ..asked.clone() }
    };
    let (ours, others) = (of(Name::Usual, 1), of(Name::Other, 2));
    let first = one(ground, handle, &ours).await?;
    let fence = handle.record(ground, &others).await?;
    let second = one(ground, handle, &others).await?;
    Ok(json!({"ours": first, "fence": fence, "others": second, "end": second["end"]}))
}

/// Asks `count` requests at once, each with its number in its text.
async fn crowd(ground: &Ground, handle: Handle, asked: &Asked, count: usize) -> io::Result<Value> {
    let one_of = |number: usize| {
        let said = match &asked.said {
            Said::Request(request) => Said::Request(numbered(request.clone(), number)),
            text @ Said::Text(_) => text.clone(),
        };
        Asked { id: ground.id(handle), said, ..asked.clone() }
    };
    let all: Vec<_> = (0..count).map(one_of).collect();
    let shown = handle.converse(ground, &all).await?;
    let mut seen = Vec::new();
    for (asked, shown) in all.iter().zip(shown) {
        seen.push(whole(ground, handle, asked, shown).await?);
    }
    let ends: Vec<_> = seen.iter().map(|one| one["end"].clone()).collect();
    let end = if ends.iter().all(|end| *end == ends[0]) { ends[0].clone() } else { "mixed".into() };
    Ok(json!({"all": seen, "end": end}))
}
