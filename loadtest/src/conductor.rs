//! Starts the generator threads, calls one scene after another, and looks at the clocks and counters
//! at each boundary. Not what the threads do in a scene, nor how the outcome is shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::Failure;
use crate::generator::{Generator, Shared};
use crate::plan::Plan;
use crate::script::{Act, Ends, Scene};
use crate::server::Server;
use crate::sys;
use crate::tally::{Counts, Findings};

/// How often threads are asked whether they are done, and the operator whether to stop.
const LOOK: Duration = Duration::from_millis(2);

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
#[derive(Clone, Copy, Debug)]
pub struct Played {
    /// Which one.
    pub scene: Scene,
    /// At its start.
    pub from: Look,
    /// At its end.
    pub to: Look,
    /// The server's resident memory after it, in bytes.
    pub server_rss: Option<u64>,
    /// What the server's busiest thread used of a core, from 0 to 1; for measured scenes.
    pub busiest_server_thread: Option<f64>,
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

/// A run that is over.
#[derive(Debug)]
pub struct Outcome {
    /// What was to be done.
    pub shared: Arc<Shared>,
    /// What was done, scene by scene.
    pub played: Vec<Played>,
    /// What all threads found.
    pub findings: Findings,
    /// The server's resident memory before the first connection, in bytes.
    pub rss_before: Option<u64>,
    /// The server's threads, and the cores they may use, during the measurement.
    pub server_threads_and_cores: Option<(u64, u64)>,
    /// Whether the operator ended the run early.
    pub interrupted: bool,
}

impl Outcome {
    /// The plan that was followed.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
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
    let rss_before = server.and_then(|server| server.resident_bytes().ok());
    let mut conductor = Conductor {
        server,
        shared: Arc::new(Shared::new(plan)),
        threads: Vec::new(),
        played: Vec::new(),
        server_threads_and_cores: None,
        interrupted: false,
    };
    let started = conductor.start_threads();
    if started.is_ok() {
        conductor.play();
    }
    let findings = conductor.join();
    started?;
    Ok(Outcome {
        findings: findings?,
        shared: conductor.shared,
        played: conductor.played,
        rss_before,
        server_threads_and_cores: conductor.server_threads_and_cores,
        interrupted: conductor.interrupted,
    })
}

struct Conductor {
    server: Option<Server>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<Findings, Failure>>>,
    played: Vec<Played>,
    server_threads_and_cores: Option<(u64, u64)>,
    interrupted: bool,
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
        let mut from = self.look();
        for number in 0..self.shared.plan.script.len() {
            let scene = self.shared.plan.script[number];
            if self.interrupted && scene.act != Act::Close {
                continue;
            }
            self.announce(&scene);
            let threads_before = self.thread_times(&scene);
            self.shared.scene.store(number, Ordering::Release);
            self.wait_for_end(number, &scene);
            if self.a_thread_ended() {
                return;
            }
            let to = self.look();
            // Reading the memory of a large process takes a while; it belongs to neither scene.
            let server_rss = self.server.and_then(|server| server.resident_bytes().ok());
            let lasted = (to.at - from.at).as_secs_f64();
            let busiest = busiest(&threads_before, &self.thread_times(&scene));
            let busiest_server_thread = busiest.map(|time| time.as_secs_f64() / lasted);
            self.played.push(Played { scene, from, to, server_rss, busiest_server_thread });
            if scene.measured {
                let accounts = self.server.and_then(|server| server.threads_and_cores().ok());
                self.server_threads_and_cores = accounts;
            }
            from = self.look();
        }
    }

    fn wait_for_end(&mut self, number: usize, scene: &Scene) {
        let begun = Instant::now();
        let (Ends::After(at_most) | Ends::WhenDone(at_most)) = scene.ends;
        let until_done = matches!(scene.ends, Ends::WhenDone(_));
        let any_open = Counts::of(&self.shared.tallies).open > 0;
        loop {
            let left = at_most.saturating_sub(begun.elapsed());
            if left.is_zero() || self.a_thread_ended() {
                return;
            }
            if until_done && self.all_done(number) {
                return;
            }
            // With everybody gone there is nothing left to see.
            if any_open && Counts::of(&self.shared.tallies).open == 0 {
                return;
            }
            // A second interrupt is not caught: closing is always played to its end.
            if scene.act != Act::Close && sys::interrupted() {
                self.interrupted = true;
                return;
            }
            thread::sleep(left.min(if until_done { LOOK } else { 10 * LOOK }));
        }
    }

    fn all_done(&self, number: usize) -> bool {
        let done = |tally: &crate::tally::Tally| tally.scenes_done.load(Ordering::Acquire);
        self.shared.tallies.iter().all(|tally| done(tally) > number)
    }

    fn a_thread_ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    fn thread_times(&self, scene: &Scene) -> Option<BTreeMap<u32, Duration>> {
        let server = self.server.filter(|_| scene.measured)?;
        server.thread_times().ok()
    }

    fn look(&self) -> Look {
        Look {
            server_cpu: self.server.and_then(|server| server.cpu_time().ok()),
            counts: Counts::of(&self.shared.tallies),
            at: self.shared.epoch.elapsed(),
            own_cpu: sys::own_cpu_time().unwrap_or_default(),
        }
    }

    fn announce(&self, scene: &Scene) {
        let plan = &self.shared.plan;
        if plan.quiet {
            return;
        }
        let open = Counts::of(&self.shared.tallies).open;
        match scene.ends {
            Ends::After(time) if time.is_zero() => {}
            Ends::After(time) => {
                let time = humantime::format_duration(time);
                eprintln!("{}: {time}, {open} connections open", scene.label);
            }
            Ends::WhenDone(_) => eprintln!("{}: {open} of {} open", scene.label, plan.connections),
        }
    }

    /// Ends all threads and gathers what they found, or the first failure.
    fn join(&mut self) -> Result<Findings, Failure> {
        self.shared.scene.store(usize::MAX, Ordering::Release);
        let mut findings = Findings::default();
        let mut failure = None;
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(Ok(found)) => findings.merge(&found),
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(_) => failure = failure.or(Some(Failure::ThreadDied)),
            }
        }
        failure.map_or(Ok(findings), Err)
    }
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
