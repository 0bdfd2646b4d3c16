//! What the reactors of one server share: mailboxes, budgets, counts, the table of routes.
//! Not for anything that changes with each message: those things belong to one reactor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::mailbox::Mailboxes;
use super::shard::Shard;
use crate::config;
use crate::conn::{Budget, TICK_MICROS};
use crate::gate::{Admission, Census, Gate};
use crate::proto::tls::Identity;

/// A path and what may be selected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// The request's path must be equal to this.
    pub path: String,
    /// Subprotocols on offer, the most wanted first.
    pub subprotocols: Vec<String>,
}

/// Shared by all reactors of a server.
#[derive(Debug)]
pub struct Shared {
    /// The routes, by number.
    pub routes: Vec<RouteInfo>,
    /// One mailbox for each reactor.
    pub mailboxes: Mailboxes,
    /// One shard of the metrics for each reactor.
    pub shards: Vec<Arc<Shard>>,
    /// Unsent bytes.
    pub outbox_budget: Budget,
    /// Bytes of unfinished heads, frames and messages.
    pub inbox_budget: Budget,
    /// Messages a second for the whole process.
    pub total_rate: TotalRate,
    /// The limits at start.
    pub limits: config::Limits,
    /// What is shown to who connects over TCP; `None` where that is not over TLS.
    pub identity: Option<Identity>,
    /// Who may come in, at start.
    pub gate: Arc<Gate>,
    /// By which rules arrivals are counted, at start.
    pub admission: Arc<Admission>,
    /// How they are counted.
    pub census: Census,
    /// Whether and how messages are compressed.
    pub compression: config::Compression,
    /// Bytes that the contexts of connections take, or may come to.
    pub context_memory: Budget,
    /// The largest message that may be published, in bytes.
    pub message_limit: AtomicUsize,
    /// Connections that may be open at once.
    pub max_connections: usize,
    connections: AtomicUsize,
    /// Reactors that have drained or failed.
    done: AtomicUsize,
    /// Connections that a drain closed in good order.
    pub drained: AtomicU64,
    /// Connections that a drain had to drop.
    pub dropped: AtomicU64,
}

impl Shared {
    /// What `reactors` reactors share; `mailboxes` and `shards` have one for each.
    pub fn new(
        routes: Vec<RouteInfo>,
        mailboxes: Mailboxes,
        shards: Vec<Arc<Shard>>,
        limits: config::Limits,
        max_connections: usize,
    ) -> Self {
        let total_rate = TotalRate::default();
        total_rate.set(limits.message_rate_total);
        let rules = config::Admission::default();
        Shared {
            routes,
            mailboxes,
            shards,
            outbox_budget: Budget::new(limits.outbox_budget),
            inbox_budget: Budget::new(limits.inbox_budget),
            total_rate,
            message_limit: AtomicUsize::new(limits.max_message_size),
            limits,
            identity: None,
            gate: Arc::default(),
            admission: Arc::new(Admission::from(&rules)),
            census: Census::new(rules.max_addresses),
            compression: config::Compression::default(),
            context_memory: Budget::new(0),
            max_connections,
            connections: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            drained: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Lets in only whom this gate admits.
    #[must_use]
    pub fn guarded(mut self, gate: Arc<Gate>) -> Self {
        self.gate = gate;
        self
    }

    /// Speaks TLS with this identity, if there is one.
    #[must_use]
    pub fn identified(mut self, identity: Option<Identity>) -> Self {
        self.identity = identity;
        self
    }

    /// Counts arrivals by these rules.
    #[must_use]
    pub fn counting(mut self, rules: &config::Admission) -> Self {
        self.admission = Arc::new(Admission::from(rules));
        self.census = Census::new(rules.max_addresses);
        self
    }

    /// Compresses messages in this way.
    #[must_use]
    pub fn compressing(mut self, compression: config::Compression) -> Self {
        self.compression = compression;
        self.context_memory = Budget::new(compression.memory);
        self
    }

    /// Counts a new connection. False if there are too many; it is counted all the same.
    pub(super) fn enter(&self) -> bool {
        self.connections.fetch_add(1, Ordering::Relaxed) < self.max_connections
    }

    /// Uncounts one.
    pub(super) fn leave(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// A reactor has nothing left to do; each says so once.
    pub(super) fn reactor_is_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
        if self.is_done() {
            self.mailboxes.wake_all();
        }
    }

    /// True once that holds for all.
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed) >= self.mailboxes.reactors()
    }

    /// Connections that are counted as open.
    #[cfg(feature = "simulation")]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// True while as many connections are open as may be.
    pub fn is_full(&self) -> bool {
        self.connections.load(Ordering::Relaxed) >= self.max_connections
    }
}

/// A token bucket that all reactors take from: the cell rate algorithm on one atomic number. Its
/// time is the process's: reactors' own clocks part when one of them stalls.
#[derive(Debug, Default)]
pub struct TotalRate {
    /// Nanoseconds between two messages; zero for no limit.
    increment: AtomicU64,
    /// How far ahead a burst may run, in nanoseconds.
    tolerance: AtomicU64,
    full_at: AtomicU64,
}

impl TotalRate {
    /// Sets or lifts the limit.
    pub fn set(&self, rate: Option<config::Rate>) {
        let increment = rate.map_or(0.0, |rate| 1e9 / rate.per_second);
        let burst = rate.map_or(0.0, |rate| f64::from(rate.burst.saturating_sub(1)));
        // As in `conn::Pace`: what a tick brings must fit in.
        let tolerance = (increment * burst).max((TICK_MICROS * 1000) as f64 - increment);
        self.tolerance.store(tolerance as u64, Ordering::Relaxed);
        self.increment.store(increment as u64, Ordering::Relaxed);
        // Places in a queue at the old rate mean nothing at the new one.
        self.full_at.store(0, Ordering::Relaxed);
    }

    /// True if there is a limit.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.increment.load(Ordering::Relaxed) != 0
    }

    /// Microseconds until a message may pass; `None` if one may now.
    #[inline]
    pub fn wait(&self, now_micros: u64) -> Option<u64> {
        if !self.is_on() {
            return None;
        }
        let wait = self.wait_until(self.full_at.load(Ordering::Relaxed), now_micros);
        (wait > 0).then_some(wait)
    }

    fn wait_until(&self, full_at: u64, now_micros: u64) -> u64 {
        let ahead = full_at.saturating_sub(now_micros * 1000);
        ahead.saturating_sub(self.tolerance.load(Ordering::Relaxed)).div_ceil(1000)
    }

    /// Takes a token, even one that is not there yet; microseconds until it is.
    #[inline]
    pub fn take(&self, now_micros: u64) -> u64 {
        let increment = self.increment.load(Ordering::Relaxed);
        if increment == 0 {
            return 0;
        }
        let now = now_micros * 1000;
        let before = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            Some(full_at.max(now).saturating_add(increment))
        });
        self.wait_until(before.unwrap_or(now), now_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_rate_holds_whoever_takes() {
        let rate = TotalRate::default();
        rate.take(0);
        assert_eq!(rate.wait(0), None, "no limit, no wait");
        rate.set(Some(config::Rate { per_second: 1000.0, burst: 10 }));
        let mut passed = 0;
        for micros in (1_000_000..2_000_000).step_by(100) {
            if rate.wait(micros).is_none() {
                rate.take(micros);
                passed += 1;
            }
        }
        assert!((1005..=1015).contains(&passed), "{passed}");
    }
}
