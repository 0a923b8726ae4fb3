use std::ops::Range;

use proptest::{prelude::*, sample::select};

use super::*;
use crate::Status;

/// Powers of two add up without a rounding.
const CENT: f64 = 1.0 / 128.0;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn line(provider: &str, model: &str, tokens: u64, cents: Option<u32>) -> LedgerLine {
    let usage = Usage { input_tokens: tokens, output_tokens: tokens / 2, ..Usage::default() };
    let cost_usd = cents.map(|cents| f64::from(cents) * CENT);
    LedgerLine { provider: provider.into(), model: model.into(), usage, cost_usd }
}

fn entry(second: i64, session: Option<&str>, lines: Vec<LedgerLine>) -> LedgerEntry {
    LedgerEntry {
        v: 1,
        id: RequestId::new("r").unwrap(),
        tenant: Tenant::new("acme").unwrap(),
        session: session.map(|session| RequestId::new(session).unwrap()),
        key: None,
        action: Action::ChatCompletion,
        status: Status::Succeeded,
        at: at(second),
        lines,
    }
}

fn sum(entries: &[LedgerEntry], by: &[Dimension], time: Range<i64>) -> UsageReport {
    let mut sums = Sums::new(by.iter().copied(), at(time.start), Some(at(time.end)));
    entries.iter().for_each(|entry| sums.add(entry));
    sums.report()
}

#[test]
fn a_request_that_fell_over_counts_where_it_was() {
    let fell_over = entry(
        10,
        None,
        vec![line("a", "m", 4, None), line("a", "m", 4, Some(1)), line("b", "n", 8, Some(3))],
    );
    let report = sum(&[fell_over], &[Dimension::Provider], 0..100);
    let rows: Vec<_> = report
        .data
        .iter()
        .map(|UsageRow { key, sum }| {
            (key.provider.as_deref().unwrap(), sum.requests, sum.calls, sum.cost_usd)
        })
        .collect();
    assert_eq!(rows, [("a", 1, 2, CENT), ("b", 1, 1, 3.0 * CENT)]);
    assert_eq!(report.data[0].sum.unpriced_calls, 1);
    assert_eq!((report.total.requests, report.total.calls, report.total.cost_usd), (1, 3, 4.0 * CENT));
    assert_eq!(report.total.usage.input_tokens, 16);
}

#[test]
fn what_used_nothing_needs_no_price() {
    assert!(!line("a", "m", 0, None).is_unpriced());
    assert!(line("a", "m", 1, None).is_unpriced());
}

#[test]
fn hours_begin_on_the_hour_and_the_end_is_not_within() {
    let entries: Vec<_> =
        [3_599, 3_600, 7_199, 7_200].map(|second| entry(second, None, vec![line("a", "m", 1, None)])).into();
    let report = sum(&entries, &[Dimension::Hour], 0..7_200);
    let rows: Vec<_> =
        report.data.iter().map(|row| (row.key.hour.unwrap().as_second(), row.sum.requests)).collect();
    assert_eq!(rows, [(0, 1), (3_600, 2)]);
    assert_eq!(sum(&entries, &[], 3_600..7_200).total.requests, 2);
    assert!(sum(&entries, &[], 8_000..9_000).data.is_empty());
}

#[test]
fn a_wrong_dimension_is_told_which_there_are() {
    for dimension in Dimension::ALL {
        assert_eq!(dimension.as_str().parse::<Dimension>().unwrap(), dimension);
    }
    let error = "colour".parse::<Dimension>().unwrap_err();
    assert_eq!(error.param.as_deref(), Some("by"));
    assert!(error.message.contains("provider, model"), "{error}");
}

fn entries() -> impl Strategy<Value = Vec<LedgerEntry>> {
    let line = (select(vec!["a", "b"]), select(vec!["m", "n"]), 0..1_000_u64, prop::option::of(0..1_000_u32))
        .prop_map(|(provider, model, tokens, cents)| line(provider, model, tokens, cents));
    let session = select(vec![None, Some("s"), Some("t")]);
    let entry = (0..20_000_i64, session, prop::collection::vec(line, 1..4))
        .prop_map(|(second, session, lines)| entry(second, session, lines));
    prop::collection::vec(entry, 0..40)
}

proptest! {
    #[test]
    fn sums_are_the_same_whatever_they_are_told_apart_by(
        entries in entries(), by in prop::sample::subsequence(Dimension::ALL.to_vec(), 0..=10), end in 0..20_000_i64,
    ) {
        let report = sum(&entries, &by, 0..end);
        let together = report.data.iter().fold(UsageSum::default(), |together, row| UsageSum {
            requests: together.requests + row.sum.requests,
            calls: together.calls + row.sum.calls,
            unpriced_calls: together.unpriced_calls + row.sum.unpriced_calls,
            usage: together.usage.plus(&row.sum.usage),
            cost_usd: together.cost_usd + row.sum.cost_usd,
        });
        let apart = by.iter().any(|dimension| matches!(dimension, Dimension::Provider | Dimension::Model));
        prop_assert!(together.requests >= report.total.requests);
        prop_assert!(apart || together.requests == report.total.requests);
        prop_assert_eq!(UsageSum { requests: report.total.requests, ..together }, report.total);
        prop_assert_eq!(report.total, sum(&entries, &[], 0..end).total);
        prop_assert_eq!(report.total.requests, entries.iter().filter(|entry| entry.at < at(end)).count() as u64);
    }
}
