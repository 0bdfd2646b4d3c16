//! What the operator sees while a run goes on: a line that changes on a terminal, plain lines
//! elsewhere. Not the report at the end.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plan::Plan;
use crate::quantity::Quantity;
use crate::sampler::{Beat, Sample, rate};
use crate::script::{Act, Ends, Scene};
use crate::tally::Counts;

/// How often the line changes.
const FRAME: Duration = Duration::from_millis(200);

/// How often a plain line comes.
const PLAIN: Duration = Duration::from_secs(10);

/// The view of a run.
#[derive(Debug)]
pub struct Live {
    screen: Screen,
    /// Whether scenes repeat so often that only their results are worth a line.
    by_steps: bool,
    beat: Beat,
    /// What was shown last, for rates.
    before: (Instant, Counts),
}

#[derive(Debug)]
enum Screen {
    /// Nobody wants to see anything.
    Nothing,
    /// A terminal: a line that changes.
    Bar(ProgressBar),
    /// A file, a pipe, or NO_COLOR: a line now and then.
    Plain,
}

impl Live {
    /// The view that suits the plan and standard error.
    pub fn new(plan: &Plan) -> Live {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let screen = if plan.quiet {
            Screen::Nothing
        } else if plain || !std::io::stderr().is_terminal() {
            Screen::Plain
        } else {
            Screen::Bar(bar())
        };
        let beat = Beat::every(if let Screen::Bar(_) = screen { FRAME } else { PLAIN });
        Live {
            screen,
            by_steps: plan.quest.is_some(),
            beat,
            before: (Instant::now(), Counts::default()),
        }
    }

    /// A scene begins with so many connections open.
    pub fn begin(&mut self, scene: &Scene, open: u64, wanted: usize) {
        match &self.screen {
            Screen::Bar(bar) => bar.set_prefix(scene.label),
            Screen::Plain if !scene.at_most().is_zero() && !self.by_steps => {
                self.beat.has_struck();
                let open = count(open);
                match scene.ends {
                    Ends::After(time) => {
                        let time = humantime::format_duration(time);
                        eprintln!("{}: {time}, {open} connections open", scene.label);
                    }
                    Ends::WhenDone(_) => {
                        eprintln!("{}: {open} of {} open", scene.label, count(wanted as u64));
                    }
                }
            }
            _ => {}
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
        if matches!(self.screen, Screen::Nothing) || !self.beat.has_struck() {
            return;
        }
        let (now, at) = (now(), Instant::now());
        let messages = rate(self.before.1.received, now.received, at - self.before.0);
        self.before = (at, now);
        let line = line(scene, elapsed, &now, messages, sample);
        match &self.screen {
            Screen::Bar(bar) => {
                let part = match scene.ends {
                    // These are done when all are open, and the others by the clock at the latest.
                    Ends::WhenDone(_) if matches!(scene.act, Act::Open | Act::Herd) => {
                        now.open as f64 / wanted.max(1) as f64
                    }
                    Ends::After(time) | Ends::WhenDone(time) => {
                        elapsed.as_secs_f64() / time.as_secs_f64().max(0.001)
                    }
                };
                bar.set_position((1_000.0 * part.min(1.0)) as u64);
                bar.set_message(line);
            }
            _ => eprintln!("  {line}"),
        }
    }

    /// Something was found that is worth a line of its own.
    pub fn note(&self, line: &str) {
        match &self.screen {
            Screen::Nothing => {}
            Screen::Bar(bar) => bar.println(line),
            Screen::Plain => eprintln!("{line}"),
        }
    }

    /// The run is over.
    pub fn end(&mut self) {
        if let Screen::Bar(bar) = &self.screen {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(10);
    let bar = ProgressBar::with_draw_target(Some(1_000), target);
    let style = ProgressStyle::with_template("{prefix:>8.bold} {bar:10.cyan/dim} {wide_msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn count(number: u64) -> String {
    Quantity::Count.text(number as f64)
}

fn line(
    scene: &Scene,
    elapsed: Duration,
    now: &Counts,
    messages: f64,
    sample: Option<&Sample>,
) -> String {
    let mut line = format!("{}/s {} open", count(messages as u64), count(now.open));
    if let Some((p50, p99)) = sample.and_then(|sample| sample.p50.zip(sample.p99)) {
        let micros = |nanoseconds: u64| Quantity::Micros.text(nanoseconds as f64 / 1e3);
        line += &format!(" p50 {} p99 {}", micros(p50), micros(p99));
    }
    line += &format!(" {} errors", count(now.errors));
    let (Ends::After(time) | Ends::WhenDone(time)) = scene.ends;
    let left = time.saturating_sub(elapsed).as_secs();
    let most = if matches!(scene.ends, Ends::WhenDone(_)) { " at most" } else { "" };
    line += &format!(" {} left{most}", humantime::format_duration(Duration::from_secs(left)));
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
        let scenes =
            script::load(script::Act::Rate, 5.0, Duration::from_secs(2), Duration::from_secs(60));
        let line = line(&scenes[2], Duration::from_secs(15), &counts, 12_345.6, Some(&sample));
        assert_eq!(line, "12,345/s 50,000 open p50 120 us p99 4.2 ms 2 errors 45s left");
    }
}
