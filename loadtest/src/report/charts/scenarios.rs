//! The plots that only some scenarios have: the steps of a search, a herd's way back.
//! Not those that every run may have; they are the parent's.

use super::text;
use crate::quantity::Quantity;
use crate::report::plot::{Axis, Line, Plot, Shape};
use crate::report::scale::Scale;
use crate::report::series::Quantile;
use crate::report::{HerdReport, Report, SearchReport, StepReport};

/// Loads further apart than this are drawn on a log scale.
const FAR_APART: f64 = 8.0;

/// Latencies further apart than this are.
const FAR_APART_LATENCIES: f64 = 20.0;

/// What each load that was tried did to the latency.
pub(super) fn search(report: &Report) -> Option<Plot> {
    let search = report.search.as_ref()?;
    let (load, label, quantity) = match search.over {
        "connections" => ("connections", "connections", Quantity::Count),
        _ => ("rate", "messages asked for", Quantity::PerSecond),
    };
    let p99 = |step: &StepReport| step.latency_us.as_ref().map(|latency| latency.p99);
    let limit = latency_limit(search);
    let points = |kept: bool| {
        let steps = search.steps.iter().filter(move |step| step.kept == kept);
        let mut points: Vec<_> = steps.map(|step| (step.load, p99(step))).collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        points
    };
    let lines: Vec<Line> = [("kept", true), ("not kept", false)]
        .map(|(name, kept)| (name, if kept { Shape::Dots } else { Shape::Crosses }, points(kept)))
        .into_iter()
        .filter(|(.., points)| points.iter().any(|(_, y)| y.is_some()))
        .map(|(name, shape, points)| Line { name, shape, points })
        .collect();
    if lines.is_empty() {
        return None;
    }
    let loads = search.steps.iter().map(|step| step.load);
    let latencies = search.steps.iter().filter_map(p99);
    // Room above the level for its name.
    let latencies = latencies.chain(limit.map(|limit| 1.3 * limit));
    Some(Plot {
        id: "search",
        title: "What the search tried",
        summary: found(search),
        x: Axis { label, quantity, scale: Scale::spread(loads, FAR_APART, quantity) },
        y: Axis {
            label: if load == "rate" { "p99 at that rate" } else { "p99 with so many" },
            quantity: Quantity::Micros,
            scale: Scale::spread(latencies, FAR_APART_LATENCIES, Quantity::Micros),
        },
        lines,
        levels: limit
            .map(|limit| (limit, format!("p99 {}", text(Quantity::Micros, limit))))
            .into_iter()
            .collect(),
        notes: Vec::new(),
        scenes: Vec::new(),
    })
}

/// What was found, in a sentence.
pub(in crate::report) fn found(search: &SearchReport) -> String {
    let load = |load: f64| match search.over {
        "connections" => format!("{} connections", text(Quantity::Count, load.round())),
        _ => text(Quantity::PerSecond, load.round()),
    };
    let keep = search.keep.join(", ");
    match (search.best, search.too_much) {
        (Some(best), Some(bound)) => {
            format!("{keep} holds up to {}, and not at {}", load(best), load(bound))
        }
        (Some(best), None) => format!("{keep} holds up to {} at least", load(best)),
        (None, _) => format!("{keep} holds at no load that was tried"),
    }
}

/// The bound on the 99th percentile, where the search had one.
fn latency_limit(search: &SearchReport) -> Option<f64> {
    let verdicts = &search.steps.first()?.verdicts;
    verdicts.iter().find(|verdict| verdict.metric == "p99").map(|verdict| verdict.limit)
}

/// How many of a herd were back after what time.
pub(super) fn herd(report: &Report, back: &[Quantile]) -> Option<Plot> {
    let herd = report.herd.as_ref()?;
    let last = back.last().filter(|_| herd.back > 0)?;
    let share = herd.back as f64 / herd.dropped.max(1) as f64;
    let mut points = vec![(0.0, Some(0.0))];
    points.extend(back.iter().map(|p| (p.latency_us / 1e6, Some(p.quantile * share))));
    Some(Plot {
        id: "herd",
        title: "The herd's way back",
        summary: summary(herd),
        x: Axis {
            label: "time since all dropped",
            quantity: Quantity::Seconds,
            scale: Scale::amounts(last.latency_us / 1e6, Quantity::Seconds),
        },
        y: Axis {
            label: "of them are back",
            quantity: Quantity::Share,
            scale: Scale::Linear { from: 0.0, to: 1.0 },
        },
        lines: vec![Line { name: "back", shape: Shape::Area, points }],
        levels: Vec::new(),
        notes: Vec::new(),
        scenes: Vec::new(),
    })
}

fn summary(herd: &HerdReport) -> String {
    let seconds = |value: f64| text(Quantity::Seconds, value);
    format!(
        "half after {}, 99 of a hundred after {}, the last after {}",
        seconds(herd.p50_seconds),
        seconds(herd.p99_seconds),
        seconds(herd.max_seconds)
    )
}
