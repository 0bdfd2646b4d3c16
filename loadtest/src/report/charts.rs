//! Which plots a report has, and what each says. A plot without data is left out.
//! Not how they are drawn; that is `plot`.

mod scenarios;

use super::Report;
use super::plot::{Axis, Line, Note, Plot, Shape, Stretch, typographic};
use super::scale::Scale;
use super::series::{Heartbeat, MemorySample, Quantile, Series};
use super::slices::{Slice, slices};
use crate::quantity::Quantity;

pub(super) use scenarios::found;

/// Latencies further apart than this are drawn on a log scale.
const FAR_APART: f64 = 20.0;
/// Sent and received are one line unless they differ by more than this share.
const SAME: f64 = 0.02;
/// The axis of plots over the time of the run, on which its scenes are marked.
const RUN_TIME: &str = "time since the start";

/// All plots that have something to show, in the order in which a reader wants them.
pub fn charts(report: &Report, series: &Series) -> Vec<Plot> {
    let slices = slices(&series.seconds);
    let [rss, kernel] = memory(&series.memory);
    let all = [
        scenarios::search(report),
        scenarios::herd(report, &series.back),
        latencies(report, series),
        latency_over_time(&slices),
        throughput(report, &slices),
        open_connections(&slices),
        rss,
        kernel,
        heartbeat(report, series.heartbeat.as_ref()),
        connects(&series.connects),
        opened(&slices),
        server_cpu(&slices),
        server_memory(&slices),
    ];
    let scenes: Vec<Stretch> = report.scenes.iter().map(Stretch::of).collect();
    let mut plots: Vec<Plot> = all.into_iter().flatten().collect();
    for plot in plots.iter_mut().filter(|plot| plot.x.label == RUN_TIME) {
        plot.scenes.clone_from(&scenes);
    }
    plots
}

fn text(quantity: Quantity, value: f64) -> String {
    typographic(&quantity.text(value))
}

/// A distribution by quantile, the classic curve of an HDR histogram.
fn distribution(id: &'static str, title: &'static str, points: &[Quantile]) -> Option<Plot> {
    let usable = |point: &&Quantile| point.latency_us.is_finite() && point.quantile >= 0.0;
    let points: Vec<Quantile> = points.iter().filter(usable).copied().collect();
    let finest = points.iter().map(|point| point.quantile).filter(|q| *q < 1.0).reduce(f64::max)?;
    let last = (-(1.0 - finest).log10() + 1e-6).floor().clamp(2.0, 6.0) as u32;
    let scale = Scale::Nines { last };
    let values = points.iter().map(|point| point.latency_us);
    let at = |quantile: f64| {
        let reached = points.iter().find(|point| point.quantile >= quantile - 1e-9)?;
        Some(Note { x: quantile, y: reached.latency_us, text: String::new() })
    };
    let nines = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999].into_iter();
    let marked: Vec<f64> = nines.filter(|q| *q <= finest + 1e-9).chain([1.0]).collect();
    let note = |note: Note| Note { text: text(Quantity::Micros, note.y), ..note };
    let said = |(q, name): (f64, &str)| {
        let found = at(q).filter(|_| marked.contains(&q))?;
        Some(format!("{name} {}", text(Quantity::Micros, found.y)))
    };
    let summary = [(0.5, "median"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "slowest")];
    Some(Plot {
        id,
        title,
        summary: summary.into_iter().filter_map(said).collect::<Vec<_>>().join(", "),
        x: Axis { label: "percentile", quantity: Quantity::Share, scale },
        y: Axis {
            label: "latency",
            quantity: Quantity::Micros,
            scale: Scale::spread(values, FAR_APART, Quantity::Micros),
        },
        lines: vec![Line {
            name: "latency",
            shape: Shape::Area,
            points: points.iter().map(|p| (p.quantile, Some(p.latency_us))).collect(),
        }],
        levels: Vec::new(),
        notes: marked.iter().filter_map(|q| at(*q)).map(note).collect(),
        scenes: Vec::new(),
    })
}

fn latencies(report: &Report, series: &Series) -> Option<Plot> {
    let title = "Latency by percentile";
    if series.percentiles.len() > 1 {
        return distribution("percentiles", title, &series.percentiles);
    }
    // The table's figures are all there is.
    let latency = report.latency_us.as_ref()?;
    let points = [
        (0.5, latency.p50),
        (0.9, latency.p90),
        (0.99, latency.p99),
        (0.999, latency.p999),
        (0.9999, latency.p9999),
        (1.0, latency.max),
    ];
    let points = points.map(|(quantile, latency_us)| Quantile { quantile, latency_us });
    distribution("percentiles", title, &points)
}

fn connects(points: &[Quantile]) -> Option<Plot> {
    let mut plot = distribution("connects", "Connection set-up time by percentile", points)?;
    plot.y.label = "set-up time";
    plot.lines[0].name = "set-up time";
    Some(plot)
}

/// What is drawn of slices: names, shapes, and where the values are.
type Drawn = Vec<(&'static str, Shape, fn(&Slice) -> Option<f64>)>;

/// A plot over the time of the run.
fn over_time(
    id: &'static str,
    title: &'static str,
    slices: &[Slice],
    (label, quantity): (&'static str, Quantity),
    lines: Drawn,
) -> Option<Plot> {
    let end = slices.last()?.to;
    let lines: Vec<Line> = lines
        .into_iter()
        .map(|(name, shape, value)| Line {
            name,
            shape,
            points: slices.iter().map(|slice| (slice.middle(), value(slice))).collect(),
        })
        .filter(|line| line.points.iter().any(|(_, y)| y.is_some_and(|y| y != 0.0)))
        .collect();
    let values = lines.iter().flat_map(|line| line.points.iter().filter_map(|(_, y)| *y));
    let scale = match quantity {
        Quantity::Micros => Scale::spread(values.clone(), FAR_APART, quantity),
        _ => Scale::amounts(values.clone().fold(0.0, f64::max), quantity),
    };
    let time = Scale::Linear { from: 0.0, to: end };
    (!lines.is_empty()).then(|| Plot {
        id,
        title,
        summary: String::new(),
        x: Axis { label: RUN_TIME, quantity: Quantity::Seconds, scale: time },
        y: Axis { label, quantity, scale },
        lines,
        levels: Vec::new(),
        notes: Vec::new(),
        scenes: Vec::new(),
    })
}

fn most(slices: &[Slice], value: impl Fn(&Slice) -> Option<f64>) -> f64 {
    slices.iter().filter_map(value).fold(0.0, f64::max)
}

fn latency_over_time(slices: &[Slice]) -> Option<Plot> {
    let mut plot = over_time(
        "latency",
        "Latency over time",
        slices,
        ("latency", Quantity::Micros),
        vec![
            ("p50", Shape::Line, |slice| slice.p50_us),
            ("p99", Shape::Line, |slice| slice.p99_us),
        ],
    )?;
    let worst = text(Quantity::Micros, most(slices, |slice| slice.p99_us));
    plot.summary = format!("by the second; the worst second's p99 was {worst}");
    Some(plot)
}

fn throughput(report: &Report, slices: &[Slice]) -> Option<Plot> {
    let total = |rate: fn(&Slice) -> f64| {
        slices.iter().map(|slice| rate(slice) * (slice.to - slice.from)).sum::<f64>()
    };
    let (sent, received) = (total(|slice| slice.sent_rate), total(|slice| slice.received_rate));
    let mut lines: Drawn = vec![("received", Shape::Area, |slice| Some(slice.received_rate))];
    if (sent - received).abs() > SAME * sent.max(received) {
        lines.push(("sent", Shape::Line, |slice| Some(slice.sent_rate)));
    }
    let title = "Throughput over time";
    let mut plot =
        over_time("throughput", title, slices, ("messages", Quantity::PerSecond), lines)?;
    let rate = report.deliveries_per_second.unwrap_or(report.messages_per_second);
    let mean = text(Quantity::PerSecond, rate.round());
    plot.summary = format!("{mean} on average in the measurement");
    let errors: u64 = slices.iter().map(|slice| slice.errors).sum();
    if errors > 0 {
        let count = text(Quantity::Count, errors as f64);
        plot.summary += &format!("; {count} errors, marked at the bottom");
        plot.lines.push(Line {
            name: "errors",
            shape: Shape::Marks,
            points: slices
                .iter()
                .filter(|slice| slice.errors > 0)
                .map(|slice| (slice.middle(), Some(slice.errors as f64)))
                .collect(),
        });
    }
    Some(plot)
}

fn open_connections(slices: &[Slice]) -> Option<Plot> {
    let value = ("connections", Quantity::Count);
    let lines: Drawn = vec![("open", Shape::Area, |slice| Some(slice.open as f64))];
    let mut plot = over_time("open", "Open connections over time", slices, value, lines)?;
    // How things stood at the end of a slice belongs there.
    for (point, slice) in plot.lines[0].points.iter_mut().zip(slices) {
        point.0 = slice.to;
    }
    plot.lines[0].points.insert(0, (0.0, Some(0.0)));
    let peak = text(Quantity::Count, most(slices, |slice| Some(slice.open as f64)));
    plot.summary = format!("{peak} at most");
    Some(plot)
}

fn opened(slices: &[Slice]) -> Option<Plot> {
    let value = ("connections", Quantity::PerSecond);
    let lines: Drawn = vec![("opened", Shape::Area, |slice| Some(slice.opened_rate))];
    let mut plot = over_time("opened", "Connections opened over time", slices, value, lines)?;
    let peak = text(Quantity::PerSecond, most(slices, |slice| Some(slice.opened_rate)).round());
    plot.summary = format!("{peak} at most");
    Some(plot)
}

fn server_cpu(slices: &[Slice]) -> Option<Plot> {
    let value = ("of its cores", Quantity::Share);
    let lines: Drawn = vec![("server CPU", Shape::Area, |slice| slice.cpu_share)];
    let mut plot = over_time("cpu", "Server CPU over time", slices, value, lines)?;
    let peak = text(Quantity::Share, most(slices, |slice| slice.cpu_share));
    plot.summary = format!("{peak} of the cores it may use, at most");
    Some(plot)
}

fn server_memory(slices: &[Slice]) -> Option<Plot> {
    let value = ("resident", Quantity::Bytes);
    let lines: Drawn =
        vec![("server RSS", Shape::Area, |slice| slice.rss_bytes.map(|bytes| bytes as f64))];
    let mut plot = over_time("rss", "Server memory over time", slices, value, lines)?;
    for (point, slice) in plot.lines[0].points.iter_mut().zip(slices) {
        point.0 = slice.to;
    }
    let peak = most(slices, |slice| slice.rss_bytes.map(|bytes| bytes as f64));
    plot.summary = format!("{} at most", text(Quantity::Bytes, peak));
    Some(plot)
}

/// The server's own memory and the kernel's over the connections. They differ by an order of
/// magnitude, so that on one axis the smaller would lie flat: each has a plot of its own.
fn memory(samples: &[MemorySample]) -> [Option<Plot>; 2] {
    let rss = |sample: &MemorySample| sample.rss_bytes;
    let kernel = |sample: &MemorySample| sample.kernel_bytes;
    [
        over_connections("memory", "Server memory over connections", "resident", samples, rss),
        over_connections(
            "kernel",
            "Kernel socket memory over connections",
            "kernel memory",
            samples,
            kernel,
        ),
    ]
}

fn over_connections(
    id: &'static str,
    title: &'static str,
    label: &'static str,
    samples: &[MemorySample],
    value: fn(&MemorySample) -> Option<u64>,
) -> Option<Plot> {
    let mut points: Vec<(f64, f64)> = samples
        .iter()
        .filter_map(|sample| Some((sample.open as f64, value(sample)? as f64)))
        .collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (first, last) = (*points.first()?, *points.last()?);
    if last.0 <= first.0 {
        return None;
    }
    let each = (last.1 - first.1) / (last.0 - first.0);
    let most = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let total = text(Quantity::Bytes, last.1);
    let count = text(Quantity::Count, last.0);
    let each = text(Quantity::Bytes, each.round());
    Some(Plot {
        id,
        title,
        summary: format!("{each} for each connection added; {total} at {count}"),
        x: Axis {
            label: "open connections",
            quantity: Quantity::Count,
            scale: Scale::Linear { from: 0.0, to: last.0 },
        },
        y: Axis { label, quantity: Quantity::Bytes, scale: Scale::amounts(most, Quantity::Bytes) },
        lines: vec![Line {
            name: label,
            shape: Shape::Dots,
            points: points.iter().map(|(x, y)| (*x, Some(*y))).collect(),
        }],
        levels: Vec::new(),
        notes: Vec::new(),
        scenes: Vec::new(),
    })
}

/// Pings by phase where the interval is known, else by the second of the measurement.
fn heartbeat(report: &Report, heartbeat: Option<&Heartbeat>) -> Option<Plot> {
    let (title, label, length, counts) = match heartbeat {
        Some(beat) if beat.interval_seconds > 0.0 => {
            let title = "Pings by phase of the heartbeat";
            (title, "time in the heartbeat interval", beat.interval_seconds, &beat.slices)
        }
        _ => {
            let counts = &report.pings.by_second;
            let title = "Pings in each second";
            (title, "time in the measurement", counts.len() as f64, counts)
        }
    };
    let (total, most) = (counts.iter().sum::<u64>(), counts.iter().copied().max()?);
    if total == 0 || counts.len() < 2 {
        return None;
    }
    let mean = total as f64 / counts.len() as f64;
    let width = length / counts.len() as f64;
    let place = |(index, count): (usize, &u64)| ((index as f64 + 0.5) * width, Some(*count as f64));
    let (all, each) = (text(Quantity::Count, total as f64), text(Quantity::Seconds, width));
    let ratio = crate::quantity::number(most as f64 / mean, 3);
    Some(Plot {
        id: "heartbeat",
        title,
        summary: format!("{all} pings in slices of {each}; the fullest holds {ratio} of the mean"),
        x: Axis {
            label,
            quantity: Quantity::Seconds,
            scale: Scale::Linear { from: 0.0, to: length },
        },
        y: Axis {
            label: "pings",
            quantity: Quantity::Count,
            scale: Scale::amounts(1.1 * most as f64, Quantity::Count),
        },
        lines: vec![Line {
            name: "pings",
            shape: Shape::Bars,
            points: counts.iter().enumerate().map(place).collect(),
        }],
        levels: vec![(mean, format!("mean {}", text(Quantity::Count, mean)))],
        notes: Vec::new(),
        scenes: Vec::new(),
    })
}
