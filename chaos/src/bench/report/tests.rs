use std::collections::BTreeMap;

use super::*;
use crate::bench::{
    Environment, FORMAT, Outcome, Point, Skipped, Tested,
    compare::compare,
    figure::{Figure, Figures, Metric, Side},
};

fn figures(metrics: &[(Metric, &[f64])], curve: &[(f64, f64)]) -> Figures {
    let metrics = metrics.iter().map(|(metric, rounds)| (*metric, Figure::of(rounds.to_vec()).unwrap()));
    Figures { metrics: metrics.collect(), curve: curve.to_vec(), failures: BTreeMap::new() }
}

fn outcome() -> Outcome {
    let sides = BTreeMap::from([
        (
            Side::Direct,
            figures(
                &[(Metric::Rate, &[60_000.0, 61_000.0, 59_000.0]), (Metric::P50Ms, &[0.9])],
                &[(0.0, 0.2), (0.5, 0.9), (0.9, 2.0), (0.99, 4.0), (1.0, 7.0)],
            ),
        ),
        (
            Side::Engine,
            figures(
                &[
                    (Metric::Rate, &[9_000.0, 9_400.0, 8_600.0]),
                    (Metric::P50Ms, &[6.7]),
                    (Metric::CpuMs, &[0.16]),
                    (Metric::EngineMib, &[41.0]),
                ],
                &[(0.0, 1.0), (0.5, 6.7), (0.9, 9.0), (0.99, 12.0), (1.0, 30.0)],
            ),
        ),
        (
            Side::Floor,
            figures(&[(Metric::Rate, &[12_000.0]), (Metric::P50Ms, &[4.3]), (Metric::CpuMs, &[0.13])], &[]),
        ),
    ]);
    let mut environment = Environment::default();
    environment.know("cores", "2");
    environment.weakened.push(("broker = memory".into(), "a restart forgets everything".into()));
    environment.warnings.push("the machine was busy at the beginning: load 3.2".into());
    Outcome {
        format: FORMAT,
        began: "2026-11-28 12:00:00 UTC".into(),
        took_ms: 61_000,
        command: "dynode bench chat --floor".into(),
        environment,
        scenarios: vec![Tested {
            name: "chat".into(),
            about: "a chat <over> HTTP".into(),
            points: vec![Point {
                load: "64 at once".into(),
                sides,
                notes: vec!["engine: 1 failed: status 429".into()],
            }],
        }],
        skipped: vec![Skipped { name: "publish".into(), why: "a broker in memory has no bus".into() }],
    }
}

#[test]
fn the_figures_on_a_terminal() {
    insta::assert_snapshot!("terminal", terminal(&outcome()));
}

#[test]
fn the_figures_as_a_page() {
    let page = html(&outcome());
    // The style is that of all pages.
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    insta::assert_snapshot!("html", format!("{head}<style>…</style>{body}"));
    for outside in ["<script", "http://", "https://", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn a_comparison_on_a_terminal() {
    let before = outcome();
    let mut after = outcome();
    let engine = after.scenarios[0].points[0].sides.get_mut(&Side::Engine).unwrap();
    engine.metrics.insert(Metric::Rate, Figure::of(vec![7_000.0, 7_100.0]).unwrap());
    engine.metrics.insert(Metric::CpuMs, Figure::of(vec![0.12]).unwrap());
    after.environment.facts.clear();
    insta::assert_snapshot!("comparison", comparison(&compare(&before, &after, 0.1)));
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let text = serde_json::to_string_pretty(&outcome()).unwrap();
    assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome());
    insta::assert_snapshot!("json", text);
}
