//! Starts the generator threads, calls one scene after another, and looks at the clocks and counters
//! at each boundary. Not what the threads do in a scene, nor how the outcome is shown.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::args::Over;
use crate::error::Failure;
use crate::generator::{Generator, Shared};
use crate::live::Live;
use crate::plan::Plan;
use crate::quantity::Quantity;
use crate::report::Report;
use crate::sampler::{Sample, Sampler};
use crate::script::{self, Act, Ends, Scene};
use crate::search::Search;
use crate::server::{self, Server};
use crate::sys;
use crate::tally::{self, Counts, Findings};
use crate::threshold::Verdict;

/// How often threads are asked whether they are done, and the operator whether to stop.
const LOOK: Duration = Duration::from_millis(2);

/// How long the last answers are waited for after an interrupt.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A thread's stack in bytes: there may be many threads, and none goes deep.
const STACK: usize = 512 * 1024;

/// The clocks and counters at one instant.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Since the start of the run.
    pub at: Duration,
    /// What all threads have counted.
    pub counts: Counts,
    /// CPU time of the generator so far.
    pub own_cpu: Duration,
    /// CPU time of the server so far, where it is known.
    pub server_cpu: Option<Duration>,
}

/// A scene that was played.
#[derive(Clone, Debug)]
pub struct Played {
    /// Which one.
    pub scene: Scene,
    /// At its start.
    pub from: Look,
    /// At its end.
    pub to: Look,
    /// The server's resident memory after it, in bytes.
    pub server_rss: Option<u64>,
    /// What the kernel held for sockets after it, in bytes.
    pub kernel: Option<u64>,
    /// What the server's busiest thread used of a core, from 0 to 1; for measured scenes.
    pub busiest_server_thread: Option<f64>,
    /// The same of the generator's own.
    pub busiest_own_thread: Option<f64>,
    /// The latencies that belong to it, in nanoseconds; empty for scenes that are not measured.
    pub latency: Histogram<u64>,
}

impl Played {
    /// How long it took.
    pub fn lasted(&self) -> Duration {
        self.to.at - self.from.at
    }

    /// The server's CPU time in it.
    pub fn server_cpu(&self) -> Option<Duration> {
        Some(self.to.server_cpu?.saturating_sub(self.from.server_cpu?))
    }

    /// The generator's CPU time in it.
    pub fn own_cpu(&self) -> Duration {
        self.to.own_cpu.saturating_sub(self.from.own_cpu)
    }
}

/// A step of a search.
#[derive(Clone, Debug)]
pub struct Step {
    /// The load that was tried.
    pub load: f64,
    /// Where among the played scenes it was measured.
    pub played: usize,
    /// How it stands to what must hold.
    pub verdicts: Vec<Verdict>,
    /// Whether all of it does.
    pub kept: bool,
    /// What went wrong in it.
    pub errors: u64,
}

/// A run that is over, or as far as it has come.
#[derive(Debug)]
pub struct Outcome {
    /// What was to be done.
    pub shared: Arc<Shared>,
    /// What was done, scene by scene.
    pub played: Vec<Played>,
    /// Which of the played scenes the report is about.
    pub measured: Option<usize>,
    /// What all threads found.
    pub findings: Findings,
    /// How things stood, second by second.
    pub samples: Vec<Sample>,
    /// The steps of a search.
    pub steps: Vec<Step>,
    /// The search, where there was one.
    pub search: Option<Search>,
    /// The server's resident memory before the first connection, in bytes.
    pub rss_before: Option<u64>,
    /// What the kernel held for sockets then, in bytes.
    pub kernel_before: Option<u64>,
    /// The server's threads, and the cores they may use, during the measurement.
    pub server_threads_and_cores: Option<(u64, u64)>,
    /// Whether the operator ended the run early.
    pub interrupted: bool,
}

impl Outcome {
    fn new(shared: Arc<Shared>, server: Option<Server>) -> Outcome {
        let quest = shared.plan.quest.as_ref();
        let search = quest.map(|q| Search::new(q.start, q.most, q.precision, q.tries));
        Outcome {
            shared,
            played: Vec::new(),
            measured: None,
            findings: Findings::default(),
            samples: Vec::new(),
            steps: Vec::new(),
            search,
            rss_before: server.and_then(|server| server.resident_bytes().ok()),
            kernel_before: server.and_then(|_| server::kernel_socket_bytes().ok()),
            server_threads_and_cores: None,
            interrupted: false,
        }
    }

    /// The plan that was followed.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// The scene that the report is about.
    pub fn measured(&self) -> Option<&Played> {
        self.played.get(self.measured?)
    }

    /// Errors since the judgement before the one that is on: what went wrong at a load that was too
    /// much says nothing about the next one.
    fn errors_since_judged(&self) -> u64 {
        let errors = |played: &Played| played.to.counts.errors;
        let mut latest_first = self.played.iter().rev();
        let now = latest_first.next().map_or(0, errors);
        let before = latest_first.find(|played| played.scene.act == Act::Judge).map_or(0, errors);
        now - before
    }
}

/// Runs a plan from its first scene to its last.
///
/// Fails with what a thread failed with; all threads have ended then.
pub fn run(plan: Plan) -> Result<Outcome, Failure> {
    let server = plan.server_pid.map(Server::new).transpose()?;
    if !plan.pin.is_empty() {
        sys::pin_to(&plan.pin).map_err(Failure::system("cannot pin to the cores of --pin"))?;
    }
    sys::catch_interrupts().map_err(Failure::system("cannot catch signals"))?;
    let live = Live::new(&plan);
    let shared = Arc::new(Shared::new(plan));
    let mut conductor = Conductor {
        server,
        own: Server::new(std::process::id() as i32).ok(),
        threads: Vec::new(),
        outcome: Outcome::new(Arc::clone(&shared), server),
        shared,
        sampler: Sampler::new(server),
        live,
    };
    let started = conductor.start_threads();
    if started.is_ok() {
        conductor.play();
    }
    conductor.live.end();
    let findings = conductor.join();
    started?;
    conductor.outcome.findings = findings?;
    conductor.outcome.samples = conductor.sampler.samples().to_vec();
    Ok(conductor.outcome)
}

struct Conductor {
    server: Option<Server>,
    /// This process, whose threads are watched likewise.
    own: Option<Server>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<Findings, Failure>>>,
    outcome: Outcome,
    sampler: Sampler,
    live: Live,
}

impl Conductor {
    fn start_threads(&mut self) -> Result<(), Failure> {
        for thread in 0..self.shared.plan.threads {
            let shared = Arc::clone(&self.shared);
            let handle = thread::Builder::new()
                .name(format!("generator-{thread}"))
                .stack_size(STACK)
                .spawn(move || Generator::new(shared, thread)?.run())
                .map_err(Failure::system("cannot start a thread"))?;
            self.threads.push(handle);
        }
        Ok(())
    }

    fn play(&mut self) {
        let mut ahead: VecDeque<Scene> = self.shared.plan.script.iter().copied().collect();
        let mut number = 0;
        while let Some(scene) = ahead.pop_front() {
            let winds_up = matches!(scene.act, Act::Settle | Act::Judge | Act::Close);
            if self.outcome.interrupted && !winds_up {
                continue;
            }
            number += 1;
            if !self.play_one(number, scene) {
                return;
            }
            if scene.act == Act::Judge {
                for next in self.judge().into_iter().rev() {
                    ahead.push_front(next);
                }
            }
        }
    }

    /// Plays one scene; false when a thread has ended, and the run with it.
    fn play_one(&mut self, number: usize, scene: Scene) -> bool {
        let wanted = scene.connections.unwrap_or(self.shared.plan.connections);
        let open = Counts::of(&self.shared.tallies).open;
        self.live.begin(&scene, open, wanted);
        let threads_before = [self.server, self.own].map(|process| thread_times(process, &scene));
        let from = self.look();
        self.shared.call(number, scene);
        self.wait_for_end(number, &scene, wanted);
        if self.a_thread_ended() {
            return false;
        }
        let to = self.look();
        // Reading the memory of a large process takes a while; it belongs to no scene.
        let server_rss = self.server.and_then(|server| server.resident_bytes().ok());
        let kernel = self.server.and_then(|_| server::kernel_socket_bytes().ok());
        let lasted = (to.at - from.at).as_secs_f64();
        let threads_after = [self.server, self.own].map(|process| thread_times(process, &scene));
        let share = |process: usize| {
            let busiest = busiest(&threads_before[process], &threads_after[process]);
            busiest.map(|time| time.as_secs_f64() / lasted)
        };
        let (busiest_server_thread, busiest_own_thread) = (share(0), share(1));
        // Of two measured scenes in a row the second tells the latencies of both.
        let before = self.outcome.played.last().filter(|last| last.scene.measured);
        let before = before.filter(|_| scene.measured);
        let latency = before.map_or_else(tally::histogram, |last| last.latency.clone());
        let (played, outcome) = (self.outcome.played.len(), &mut self.outcome);
        outcome.played.push(Played {
            scene,
            from,
            to,
            server_rss,
            kernel,
            busiest_server_thread,
            busiest_own_thread,
            latency,
        });
        if scene.measured {
            outcome.measured = Some(played);
            let accounts = self.server.and_then(|server| server.threads_and_cores().ok());
            outcome.server_threads_and_cores = accounts;
        }
        self.assign_latencies();
        true
    }

    /// Gives what was measured since the last look to the measured scene it belongs to: what was
    /// due in one may come after its end.
    fn assign_latencies(&mut self) {
        let taken = self.sampler.take_measured(&self.shared);
        let outcome = &mut self.outcome;
        if let Some(played) = outcome.measured.and_then(|index| outcome.played.get_mut(index)) {
            tally::merge(&mut played.latency, &taken);
        }
    }

    /// Judges the step of a search that was just measured, and returns the scenes of the next one.
    fn judge(&mut self) -> Vec<Scene> {
        let Some(quest) = &self.shared.plan.quest else { return Vec::new() };
        let outcome = &mut self.outcome;
        let load = outcome.search.as_ref().and_then(Search::next);
        if let (Some(load), Some(played)) = (load, outcome.measured)
            && !outcome.interrupted
        {
            let mut report = Report::of(outcome);
            let errors = outcome.errors_since_judged();
            report.errors.total = errors;
            let verdicts = report.judge(&quest.keep);
            let mut found: Vec<String> = verdicts.iter().map(ToString::to_string).collect();
            let wanted = match quest.over {
                Over::Rate => self.shared.plan.connections,
                Over::Connections => load as usize,
            };
            let flaw = flaw(outcome, wanted as u64, quest.duration);
            found.extend(flaw.map(str::to_owned));
            let kept = flaw.is_none() && verdicts.iter().all(|verdict| !verdict.failed);
            let what = if kept { "kept" } else { "not kept" };
            let load_text = Quantity::Count.text(load.round());
            self.live.note(&format!("{load_text}: {what} ({})", found.join("; ")));
            outcome.steps.push(Step { load, played, verdicts, kept, errors });
            if let Some(search) = &mut outcome.search {
                search.judge(kept);
            }
        }
        let next = outcome.search.as_ref().and_then(Search::next);
        let Some(next) = next.filter(|_| !outcome.interrupted) else {
            // The report is about the best step, not the last one.
            let best = outcome.steps.iter().filter(|step| step.kept);
            let best = best.max_by(|one, other| one.load.total_cmp(&other.load));
            outcome.measured = best.map(|step| step.played).or(outcome.measured);
            return Vec::new();
        };
        let (rate, connections) = match quest.over {
            Over::Rate => (next, self.shared.plan.connections),
            Over::Connections => (quest.rate, next as usize),
        };
        script::search_step(rate, connections, quest.warmup, quest.duration)
    }

    fn wait_for_end(&mut self, number: usize, scene: &Scene, wanted: usize) {
        let begun = Instant::now();
        let (Ends::After(at_most) | Ends::WhenDone(at_most)) = scene.ends;
        let until_done = matches!(scene.ends, Ends::WhenDone(_));
        let any_open = Counts::of(&self.shared.tallies).open > 0;
        // In these, connections are not there for a while, and come (back).
        let comes_and_goes = matches!(scene.act, Act::Churn | Act::Herd | Act::Mixed);
        loop {
            // Whoever ends a run early waits for last answers, but not for long.
            let hurried = scene.act == Act::Settle && self.outcome.interrupted;
            let at_most = if hurried { at_most.min(LAST_ANSWERS) } else { at_most };
            let left = at_most.saturating_sub(begun.elapsed());
            if left.is_zero() || self.a_thread_ended() {
                return;
            }
            if until_done && self.all_done(number) {
                return;
            }
            // With everybody gone there is nothing left to see.
            if any_open && !comes_and_goes && Counts::of(&self.shared.tallies).open == 0 {
                return;
            }
            // A second interrupt is not caught: winding up is always played to its end.
            if sys::interrupted() {
                self.outcome.interrupted = true;
                if !matches!(scene.act, Act::Settle | Act::Close) {
                    return;
                }
            }
            self.sampler.look(&self.shared);
            let counts = || Counts::of(&self.shared.tallies);
            let latest = self.sampler.latest();
            self.live.go_on(scene, wanted, begun.elapsed(), counts, latest);
            thread::sleep(left.min(if until_done { LOOK } else { 10 * LOOK }));
        }
    }

    fn all_done(&self, number: usize) -> bool {
        let done = |tally: &crate::tally::Tally| tally.scenes_done.load(Ordering::Acquire);
        self.shared.tallies.iter().all(|tally| done(tally) >= number)
    }

    fn a_thread_ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    fn look(&self) -> Look {
        Look {
            server_cpu: self.server.and_then(|server| server.cpu_time().ok()),
            counts: Counts::of(&self.shared.tallies),
            at: self.shared.epoch.elapsed(),
            own_cpu: sys::own_cpu_time().unwrap_or_default(),
        }
    }

    /// Ends all threads and gathers what they found, or the first failure.
    fn join(&mut self) -> Result<Findings, Failure> {
        self.shared.dismiss();
        let mut findings = Findings::default();
        let mut failure = None;
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(Ok(found)) => findings.merge(&found),
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(_) => failure = failure.or(Some(Failure::ThreadDied)),
            }
        }
        self.assign_latencies();
        failure.map_or(Ok(findings), Err)
    }
}

/// The part of the intended messages that must have been sent for a step to count: a generator that
/// fell behind proves nothing about the server. Less than a percentile that people ask for may be
/// missing; the scene's two ends are no sharper than that.
const PACE: f64 = 0.995;

/// Why the step that was just measured says nothing for the load that it was meant to have, if so.
fn flaw(outcome: &Outcome, connections: u64, lasts: Duration) -> Option<&'static str> {
    let played = outcome.measured()?;
    let open = played.from.counts.open.min(played.to.counts.open);
    if open < connections || played.lasted() < lasts {
        Some("not all connections were open all the time")
    } else if !keeps_pace(outcome) {
        Some("not all messages that were due were sent")
    } else {
        None
    }
}

/// Whether the step that was just measured was played at the load it was meant to have.
pub fn keeps_pace(outcome: &Outcome) -> bool {
    let Some(played) = outcome.measured() else { return false };
    let sent = played.to.counts.sent - played.from.counts.sent;
    sent as f64 >= PACE * played.scene.rate * played.lasted().as_secs_f64()
}

/// The CPU times of a process's threads, where the scene is one of those that are measured.
fn thread_times(process: Option<Server>, scene: &Scene) -> Option<BTreeMap<u32, Duration>> {
    process.filter(|_| scene.measured)?.thread_times().ok()
}

/// The most CPU time that one thread used between two readings.
fn busiest(
    before: &Option<BTreeMap<u32, Duration>>,
    after: &Option<BTreeMap<u32, Duration>>,
) -> Option<Duration> {
    let before = before.as_ref()?;
    let spent = |(id, time): (&u32, &Duration)| {
        time.saturating_sub(before.get(id).copied().unwrap_or_default())
    };
    after.as_ref()?.iter().map(spent).max()
}
