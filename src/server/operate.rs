//! A server that runs: signals, reload, drain, the summary line, the end.
//! Not for starting; by now everything is bound.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGHUP;

mod held_back;

use self::held_back::hold_back;
use super::desk::Desk;
use super::publisher::Publisher;
use super::signals::SignalQueue;
use super::start;
use crate::admin::AdminServer;
use crate::config::{self, Config, ListenAddress};
use crate::gate::{Admission, Gate};
use crate::io::memory;
use crate::logging::LogHandle;
use crate::reactor::{Mail, Shared};

/// How often freed memory is given back to the system.
const TRIM_EVERY: Duration = Duration::from_secs(2);

/// How often the log says how things stand.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);

/// Something for the server to react to.
#[derive(Debug)]
pub(super) enum Notice {
    Signal(i32),
    ReactorEnded {
        id: usize,
        error: Option<String>,
    },
    /// Asked for by the program that runs the server.
    Drain,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All connections were closed or dropped in their time.
    Drained,
    /// A second signal ended it at once.
    Forced,
}

/// What made a running server fail.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A reactor can't go on; the others were drained.
    #[error("reactor {id} failed: {error}")]
    Reactor {
        /// Which one.
        id: usize,
        /// What it met.
        error: String,
    },
    /// Signals can't be listened to.
    #[error("cannot handle signals: {0}")]
    Signals(std::io::Error),
}

/// Reads the configuration anew for SIGHUP; the text of what is wrong with it otherwise.
type Reload = Box<dyn FnMut() -> Result<Config, String> + Send>;

/// A server that has been started. Dropping it does not stop it; drain it, or send a signal.
pub struct Running {
    config: Config,
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    publisher: Publisher,
    addresses: Vec<ListenAddress>,
    admin: Option<AdminServer>,
    threads: Vec<JoinHandle<()>>,
    notices: Sender<Notice>,
    inbox: Receiver<Notice>,
    reload: Option<(Reload, LogHandle)>,
    stage: Stage,
    failure: Option<RunError>,
    /// As the last summary told them.
    last_told: Totals,
    /// As they were when freed memory was last given back.
    last_trimmed: Totals,
}

/// How far a server is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Still serving, not ready for more; drains at that time.
    Leaving(Instant),
    Draining,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    received: u64,
    sent: u64,
    closed: u64,
    bytes: u64,
}

/// Drains a server from another thread.
#[derive(Clone, Debug)]
pub struct Drainer(Sender<Notice>);

impl Drainer {
    /// Begins the drain, as SIGTERM does. It has no effect on a server that drains already.
    pub fn drain(&self) {
        // A server that is gone has been drained.
        let _ = self.0.send(Notice::Drain);
    }
}

impl Running {
    #[allow(clippy::too_many_arguments, reason = "called once, by `start`")]
    pub(super) fn new(
        config: Config,
        shared: Arc<Shared>,
        desk: Arc<Desk>,
        publisher: Publisher,
        addresses: Vec<ListenAddress>,
        admin: Option<AdminServer>,
        threads: Vec<JoinHandle<()>>,
        (notices, inbox): (Sender<Notice>, Receiver<Notice>),
    ) -> Self {
        Running {
            config,
            shared,
            desk,
            publisher,
            addresses,
            admin,
            threads,
            notices,
            inbox,
            reload: None,
            stage: Stage::Serving,
            failure: None,
            last_told: Totals::default(),
            last_trimmed: Totals::default(),
        }
    }

    /// The addresses that are listened on, with the ports that 0 became.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// The address of the admin port, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(AdminServer::local_addr)
    }

    /// Publishes from application threads.
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// Drains the server from another thread.
    pub fn drainer(&self) -> Drainer {
        Drainer(self.notices.clone())
    }

    /// What SIGHUP does: read the configuration anew and take over what can change.
    #[must_use]
    pub fn reloading(
        mut self,
        reload: impl FnMut() -> Result<Config, String> + Send + 'static,
        log: LogHandle,
    ) -> Self {
        self.reload = Some((Box::new(reload), log));
        self
    }

    /// Serves until SIGTERM or SIGINT, then drains. A second one ends the server at once.
    ///
    /// # Errors
    /// [`RunError`]: a reactor failed, or signals can't be handled.
    pub fn run_until_signalled(self) -> Result<Ended, RunError> {
        self.run_until(SignalQueue::new()?)
    }

    /// The same with signals that have been caught since before it was started.
    ///
    /// # Errors
    /// [`RunError`]: a reactor failed.
    pub fn run_until(self, signals: SignalQueue) -> Result<Ended, RunError> {
        let telling = signals.tell(self.notices.clone());
        let ended = self.run();
        telling.end();
        ended
    }

    /// Serves until a [`Drainer`] drains it.
    ///
    /// # Errors
    /// [`RunError`]: a reactor failed.
    pub fn run(mut self) -> Result<Ended, RunError> {
        let mut reactors = self.threads.len();
        let mut summary_due = Instant::now() + SUMMARY_EVERY;
        let mut trim_due = Instant::now() + TRIM_EVERY;
        while reactors > 0 {
            let now = Instant::now();
            self.leave_if_due(now);
            if now >= trim_due {
                self.trim();
                trim_due = now + TRIM_EVERY;
            }
            if now >= summary_due {
                self.summarize(SUMMARY_EVERY);
                summary_due = now + SUMMARY_EVERY;
            }
            let until = match self.stage {
                Stage::Leaving(at) => at.min(trim_due),
                Stage::Serving | Stage::Draining => trim_due,
            };
            match self.inbox.recv_timeout(until.saturating_duration_since(now)) {
                Ok(Notice::ReactorEnded { id, error }) => {
                    reactors -= 1;
                    self.reactor_ended(id, error);
                }
                Ok(Notice::Signal(SIGHUP)) => self.reload(),
                Ok(Notice::Signal(_)) if self.stage != Stage::Serving => {
                    log::warn!("a second signal: ending at once");
                    self.shared.mailboxes.tell_all(|| Mail::Stop);
                    return Ok(Ended::Forced);
                }
                Ok(Notice::Signal(_) | Notice::Drain) => self.begin_leaving(),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        self.finish()
    }

    fn begin_leaving(&mut self) {
        if self.stage != Stage::Serving {
            return;
        }
        let config::Drain { delay, window } = self.config.drain;
        log::info!(
            "draining: new connections are served for {} s more, then all are closed over {} s",
            delay.as_secs_f64(),
            window.as_secs_f64(),
        );
        self.desk.is_draining.store(true, Ordering::Relaxed);
        self.stage = Stage::Leaving(Instant::now() + delay);
    }

    fn leave_if_due(&mut self, now: Instant) {
        if let Stage::Leaving(at) = self.stage
            && now >= at
        {
            let window = self.config.drain.window;
            self.shared.mailboxes.tell_all(|| Mail::Drain(window));
            self.stage = Stage::Draining;
        }
    }

    /// A reactor that ends outside of a drain takes the server with it: its share of the accept
    /// queue would hang.
    fn reactor_ended(&mut self, id: usize, error: Option<String>) {
        if let Some(error) = error {
            log::error!("reactor {id} failed: {error}");
            self.failure.get_or_insert(RunError::Reactor { id, error });
            self.begin_leaving();
        }
    }

    fn finish(mut self) -> Result<Ended, RunError> {
        for thread in self.threads.drain(..) {
            // Its panic, if any, came as a notice.
            let _ = thread.join();
        }
        if let Some(admin) = self.admin.take() {
            admin.stop();
        }
        for address in &self.addresses {
            if let ListenAddress::Unix(path) = address
                && !self.config.takeover
            {
                let _ = std::fs::remove_file(path);
            }
        }
        log::info!(
            "drained: {} connections closed cleanly, {} dropped",
            self.shared.drained.load(Ordering::Relaxed),
            self.shared.dropped.load(Ordering::Relaxed)
        );
        self.failure.map_or(Ok(Ended::Drained), Err)
    }

    fn reload(&mut self) {
        let Some((reload, log)) = &mut self.reload else {
            log::warn!("SIGHUP: this server has no configuration to read again");
            return;
        };
        let mut new = match reload() {
            Ok(new) => new,
            Err(problems) => {
                for problem in problems.lines() {
                    log::error!("reload: {problem}");
                }
                log::error!("reload: everything stays as it was");
                self.desk.upkeep.reload_refused();
                return;
            }
        };
        let waiting = hold_back(&self.config, &mut new);
        let mut changes = config::compare(&self.config, &new);
        changes.needs_restart.extend(waiting);
        let has_other_files = new.gate != self.config.gate || new.tls != self.config.tls;
        if let Err(problem) = log.set_filter(&new.log.filter) {
            log::error!("reload: log-level stays as it was: {problem}");
        }
        self.reload_gate(&new);
        self.reload_certificates(&new);
        if has_other_files {
            start::warn_of_files(&new);
        }
        let limits = Arc::new(new.limits);
        self.shared.outbox_budget.set_limit(limits.outbox_budget);
        self.shared.inbox_budget.set_limit(limits.inbox_budget);
        self.shared.message_limit.store(limits.max_message_size, Ordering::Relaxed);
        self.shared.total_rate.set(limits.message_rate_total);
        self.shared.mailboxes.tell_all(|| Mail::Reload(Arc::clone(&limits)));
        self.readmit(new.admission);
        for change in &changes.taken {
            log::info!("reload: {change}");
        }
        for change in &changes.needs_restart {
            log::warn!("reload: {change} needs a restart");
        }
        if changes.taken.is_empty() && changes.needs_restart.is_empty() {
            log::info!("reload: nothing has changed");
        }
        self.desk.upkeep.reload_taken();
        self.config.gate = new.gate;
        self.config.limits = new.limits;
        self.config.drain = new.drain;
        self.config.log.filter = new.log.filter;
    }

    /// Counts arrivals by new rules, but for what needs a restart.
    fn readmit(&mut self, new: config::Admission) {
        let old = &self.config.admission;
        let (max_addresses, proxy_protocol) = (old.max_addresses, old.proxy_protocol);
        self.config.admission = config::Admission { max_addresses, proxy_protocol, ..new };
        let rules = Arc::new(Admission::from(&self.config.admission));
        self.shared.mailboxes.tell_all(|| Mail::Admit(Arc::clone(&rules)));
    }

    /// Who connects from now on is judged anew; who is connected stays.
    fn reload_gate(&self, new: &Config) {
        if new.gate == self.config.gate {
            return;
        }
        match Gate::new(new.gate.clone()) {
            Ok(gate) => {
                let gate = Arc::new(gate);
                self.shared.mailboxes.tell_all(|| Mail::Gate(Arc::clone(&gate)));
            }
            // It was checked when it was read.
            Err(error) => log::error!("reload: origins and tokens stay as they were: {error}"),
        }
    }

    /// Who connects from now on is shown the new certificates. Turning TLS on or off would leave
    /// those who know the address before a port that they do not understand.
    fn reload_certificates(&mut self, new: &Config) {
        let Some(identity) = &self.shared.identity else { return };
        if new.tls.is_empty() || new.tls == self.config.tls {
            return;
        }
        match identity.replace(&new.tls) {
            Ok(()) => {
                start::log_certificates(&new.tls);
                self.config.tls = new.tls.clone();
            }
            Err(error) => log::error!("reload: certificates stay as they were: {error}"),
        }
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in &self.shared.shards {
            totals.received += shard.messages_received.get();
            totals.sent += shard.messages_sent.get();
            totals.closed += shard.closed.iter().map(|closed| closed.get()).sum::<u64>();
            totals.bytes += shard.bytes_received.get() + shard.bytes_sent.get();
        }
        totals
    }

    /// Gives freed memory back, if there was traffic that can have left some.
    fn trim(&mut self) {
        let totals = self.totals();
        if totals != self.last_trimmed {
            self.last_trimmed = totals;
            memory::trim();
        }
    }

    fn summarize(&mut self, period: Duration) {
        let totals = self.totals();
        let last = std::mem::replace(&mut self.last_told, totals);
        let active: u64 = self.shared.shards.iter().map(|s| s.connections_active.get()).sum();
        let rate = |now: u64, then: u64| (now - then) as f64 / period.as_secs_f64();
        log::info!(
            "connections: {active} open, {} closed; messages a second: {:.1} in, {:.1} out; \
             unsent bytes: {}",
            totals.closed - last.closed,
            rate(totals.received, last.received),
            rate(totals.sent, last.sent),
            self.shared.outbox_budget.used(),
        );
    }
}
