//! What the operator sees while a run goes on: a line that changes on a terminal, plain lines
//! elsewhere. Not the report at the end.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plan::Plan;
use crate::sampler::{Beat, Sample, rate};
use crate::script::{Ends, Scene};
use crate::tally::Counts;
use crate::units::{Grouped, Micros};

/// How often the line changes.
const FRAME: Duration = Duration::from_millis(200);

/// How often a plain line comes.
const PLAIN: Duration = Duration::from_secs(10);

/// The view of a run.
#[derive(Debug)]
pub enum Live {
    /// Nobody wants to see anything.
    Quiet,
    /// A terminal.
    Bar {
        /// The line.
        bar: ProgressBar,
        /// When it changes.
        beat: Beat,
        /// What it showed last, for rates.
        before: (Instant, Counts),
    },
    /// A file, a pipe, or NO_COLOR.
    Plain {
        /// When the next line comes.
        beat: Beat,
    },
}

impl Live {
    /// The view that suits the plan and standard error.
    pub fn new(plan: &Plan) -> Live {
        if plan.quiet {
            return Live::Quiet;
        }
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if plain || !std::io::stderr().is_terminal() {
            return Live::Plain { beat: Beat::every(PLAIN) };
        }
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let bar = ProgressBar::with_draw_target(Some(1_000), target);
        let style = ProgressStyle::with_template("{prefix:>10.bold} {bar:24.cyan/dim} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let before = (Instant::now(), Counts::default());
        Live::Bar { bar, beat: Beat::every(FRAME), before }
    }

    /// A scene begins with so many connections open.
    pub fn begin(&mut self, scene: &Scene, open: u64, wanted: usize) {
        let lasts = scene.at_most();
        match self {
            Live::Quiet => {}
            Live::Bar { bar, .. } => bar.set_prefix(scene.label),
            Live::Plain { .. } if lasts.is_zero() => {}
            Live::Plain { beat } => {
                beat.has_struck();
                let open = Grouped(open);
                match scene.ends {
                    Ends::After(time) => {
                        let time = humantime::format_duration(time);
                        eprintln!("{}: {time}, {open} connections open", scene.label);
                    }
                    Ends::WhenDone(_) => {
                        eprintln!("{}: {open} of {} open", scene.label, Grouped(wanted as u64));
                    }
                }
            }
        }
    }

    /// The scene has gone on for `elapsed`; things stand as `now` and the latest sample say.
    pub fn go_on(
        &mut self,
        scene: &Scene,
        wanted: usize,
        elapsed: Duration,
        now: impl FnOnce() -> Counts,
        sample: Option<&Sample>,
    ) {
        match self {
            Live::Bar { bar, beat, before } if beat.has_struck() => {
                let (now, at) = (now(), Instant::now());
                let messages = rate(before.1.received, now.received, at - before.0);
                *before = (at, now);
                let part = match scene.ends {
                    Ends::After(time) => elapsed.as_secs_f64() / time.as_secs_f64().max(0.001),
                    Ends::WhenDone(_) => now.open as f64 / wanted.max(1) as f64,
                };
                bar.set_position((1_000.0 * part.min(1.0)) as u64);
                bar.set_message(line(scene, elapsed, &now, messages, sample));
            }
            Live::Plain { beat } if beat.has_struck() => {
                let now = now();
                let messages = sample.map_or(0.0, |sample| {
                    rate(0, sample.counts.received, sample.at)
                });
                eprintln!("  {}", line(scene, elapsed, &now, messages, sample));
            }
            _ => {}
        }
    }

    /// The run is over.
    pub fn end(&mut self) {
        if let Live::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

fn line(
    scene: &Scene,
    elapsed: Duration,
    now: &Counts,
    messages: f64,
    sample: Option<&Sample>,
) -> String {
    let mut line = format!("{}/s  {} open", Grouped(messages as u64), Grouped(now.open));
    if let Some((p50, p99)) = sample.and_then(|sample| sample.p50.zip(sample.p99)) {
        let micros = |nanoseconds: u64| Micros(nanoseconds as f64 / 1e3);
        line += &format!("  p50 {}  p99 {}", micros(p50), micros(p99));
    }
    line += &format!("  {} errors", Grouped(now.errors));
    if let Ends::After(time) = scene.ends {
        let left = time.saturating_sub(elapsed).as_secs();
        line += &format!("  {} left", humantime::format_duration(Duration::from_secs(left)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    #[test]
    fn the_line_says_rate_connections_latency_errors_and_time_left() {
        let counts = Counts { open: 50_000, errors: 2, ..Counts::default() };
        let sample = Sample {
            at: Duration::from_secs(3),
            counts,
            p50: Some(120_000),
            p99: Some(4_200_000),
            server_cpu: None,
            server_rss: None,
            kernel: None,
        };
        let scenes = script::load(
            script::Act::Rate,
            5.0,
            Duration::from_secs(2),
            Duration::from_secs(60),
        );
        let line = line(&scenes[2], Duration::from_secs(15), &counts, 12_345.6, Some(&sample));
        assert_eq!(
            line,
            "12,345/s  50,000 open  p50 120 us  p99 4.20 ms  2 errors  45s left"
        );
    }
}
