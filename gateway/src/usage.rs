//! `/v1/usage`: what the requests of the tenant have used and cost, summed from the ledger on each call.

use axum::{Extension, Json, extract::State};
use broker::Stored;
use futures_util::StreamExt;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use schemars::JsonSchema;
use schemas::{Dimension, Error, ErrorCode, LedgerEntry, UsageReport, usage::Sums};
use serde::Deserialize;
use tracing::warn;

use crate::{
    app::{App, Shared},
    caller::Caller,
    door::{Entry, Query},
    refusal::{self, Refusal},
};

/// The default of `since`.
const SINCE: &str = "24h";
/// The maximum number of rows in an answer: some 4 MB.
const ROWS_MAX: usize = 10_000;
/// An entry carries the time of the machine that wrote it, but is found by the broker's: they may differ by this much.
const CLOCKS_APART: SignedDuration = SignedDuration::from_hours(1);

/// What to sum.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Filter {
    /// What to group by, a comma-separated list of `hour` (UTC), `organisation`, `instance`, `project`, `tenant`,
    /// `key`, `session`, `action`, `provider` and `model`; none gives one row.
    by: Option<String>,
    /// The start: a time such as `2026-11-28T00:00:00Z`, or a span before now such as `90m` or `7d`; `24h` by default.
    since: Option<String>,
    /// The end, likewise; now by default.
    until: Option<String>,
}

/// `GET /v1/usage`.
pub(crate) async fn get(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Query(Filter { by, since, until }): Query<Filter>,
) -> Result<Json<UsageReport>, Refusal> {
    let now = app.broker().now();
    let by = by.as_deref().map(dimensions).transpose()?.unwrap_or_default();
    let since = moment("since", since.as_deref().unwrap_or(SINCE), now)?;
    let until = until.map(|until| moment("until", &until, now)).transpose()?;
    if until.is_some_and(|until| until <= since) {
        return Err(Error::invalid("until", "is not after `since`").into());
    }
    let sums = read(
        &app,
        &entry.caller,
        Sums::new(by, since, until).of_parents(app.parts.access.tenants.parents()),
        since,
    )
    .await?;
    Ok(Json(sums.report()))
}

/// Adds the ledger entries of the tenant to `sums`, or those of all tenants if the caller may see them.
async fn read(app: &Shared, caller: &Caller, mut sums: Sums, since: Timestamp) -> Result<Sums, Error> {
    let topology = &app.parts.topology;
    let Some(ledger) = &topology.ledger else {
        let why = "this server keeps no ledger (ledger.keep_days is 0)";
        return Err(Error::new(ErrorCode::NotFound, why));
    };
    let of_all = || topology.subjects.all("use");
    let pattern = caller.sees().map_or_else(of_all, |tenant| topology.subjects.ledger(tenant));
    let since = since.checked_sub(CLOCKS_APART).unwrap_or(since).max(Timestamp::UNIX_EPOCH);
    let of_broker = |error: broker::Error| refusal::of_broker(&error);
    let Some(first) = app.broker().first_since(ledger, &pattern, since).await.map_err(of_broker)? else {
        return Ok(sums);
    };
    let mut entries = app.broker().replay(ledger, &pattern, first).await.map_err(of_broker)?;
    while let Some(stored) = entries.next().await {
        let Some(entry) = entry(&stored.map_err(of_broker)?) else { continue };
        sums.add(&entry);
        if sums.len() > ROWS_MAX {
            let why = format!("gives more than {ROWS_MAX} rows; group by less, or ask for a shorter time");
            return Err(Error::invalid("by", why));
        }
    }
    Ok(sums)
}

/// Reads one entry. Anybody on the bus may publish there: an invalid entry is logged and left out.
fn entry(stored: &Stored) -> Option<LedgerEntry> {
    let Stored { message, sequence, .. } = stored;
    let read = message.format().decode(&message.payload);
    read.inspect_err(|error| warn!(%error, sequence, "an entry of the ledger cannot be read")).ok()
}

/// Parses a comma-separated list.
fn dimensions(text: &str) -> Result<Vec<Dimension>, Error> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::parse).collect()
}

/// Parses a time, or a span before `now`.
fn moment(param: &'static str, text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let ago = |span: Span| {
        let ago = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        now.checked_sub(ago.abs()).ok()
    };
    let moment = text.parse::<Timestamp>().ok().or_else(|| ago(text.parse().ok()?));
    moment.ok_or_else(|| {
        let shown = text.escape_debug();
        let why =
            format!("`{shown}` is neither a time such as 2026-11-28T00:00:00Z nor a span such as 24h or 7d");
        Error::invalid(param, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_so_long_ago() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let second = |text| moment("since", text, now).map(Timestamp::as_second);
        assert_eq!(second("1970-01-02T00:00:00Z"), Ok(86_400));
        assert_eq!(second("1970-01-02T02:00:00+02:00"), Ok(86_400));
        assert_eq!((second("1h"), second("90m"), second("2d")), (Ok(996_400), Ok(994_600), Ok(827_200)));
        for wrong in ["", "yesterday", "2026-11-28", "3", "99999999y", "1mo"] {
            let error = second(wrong).unwrap_err();
            assert_eq!(error.param.as_deref(), Some("since"), "{wrong}: {error}");
        }
    }

    #[test]
    fn dimensions_are_a_list() {
        assert_eq!(dimensions("model, hour"), Ok(vec![Dimension::Model, Dimension::Hour]));
        assert_eq!(dimensions(""), Ok(Vec::new()));
        assert!(dimensions("model,colour").is_err());
    }
}
