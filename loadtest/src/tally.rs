//! What is counted: live counters that the conductor may read at any instant, and what each thread
//! hands over at its end. Not how it is shown; that is `report`.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hdrhistogram::Histogram;

use crate::generator::zombies::Observed;

/// What can go wrong with one connection or message. The run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// connect(2) failed.
    Connect,
    /// No open connection within the connect timeout.
    ConnectTimeout,
    /// The server did not upgrade.
    Refused,
    /// The server closed, with a close frame or a plain FIN, while it was not asked to.
    ClosedByServer,
    /// The server reset the connection.
    Reset,
    /// What came was not WebSocket.
    Protocol,
    /// A message came back changed.
    Changed,
    /// A message came that was not the next one.
    OutOfOrder,
    /// A publisher's messages are missing at a subscriber.
    Missing,
    /// No answer until the end of the scene that asked for one.
    Unanswered,
    /// A peer that was to go wrong never came so far.
    ZombieUnopened,
    /// The server noticed a peer that goes wrong later than it claims.
    ZombieLate,
    /// The server did not notice a peer that goes wrong.
    ZombieUnnoticed,
}

impl ErrorKind {
    /// All kinds, in the order of their counters.
    pub const ALL: [ErrorKind; 13] = [
        ErrorKind::Connect,
        ErrorKind::ConnectTimeout,
        ErrorKind::Refused,
        ErrorKind::ClosedByServer,
        ErrorKind::Reset,
        ErrorKind::Protocol,
        ErrorKind::Changed,
        ErrorKind::OutOfOrder,
        ErrorKind::Missing,
        ErrorKind::Unanswered,
        ErrorKind::ZombieUnopened,
        ErrorKind::ZombieLate,
        ErrorKind::ZombieUnnoticed,
    ];

    /// Those that are not about connections that behave.
    pub const ZOMBIES: [ErrorKind; 3] =
        [ErrorKind::ZombieUnopened, ErrorKind::ZombieLate, ErrorKind::ZombieUnnoticed];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Connect => "connect",
            ErrorKind::ConnectTimeout => "connect_timeout",
            ErrorKind::Refused => "refused",
            ErrorKind::ClosedByServer => "closed_by_server",
            ErrorKind::Reset => "reset",
            ErrorKind::Protocol => "protocol",
            ErrorKind::Changed => "changed",
            ErrorKind::OutOfOrder => "out_of_order",
            ErrorKind::Missing => "missing",
            ErrorKind::Unanswered => "unanswered",
            ErrorKind::ZombieUnopened => "zombie_unopened",
            ErrorKind::ZombieLate => "zombie_late",
            ErrorKind::ZombieUnnoticed => "zombie_unnoticed",
        }
    }
}

/// Errors by kind, with the first few told in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorCounts {
    counts: [u64; ErrorKind::ALL.len()],
    examples: Vec<String>,
}

const EXAMPLES: usize = 3;

impl ErrorCounts {
    /// Counts `times` errors of a kind.
    pub fn add(&mut self, kind: ErrorKind, times: u64) {
        self.counts[kind as usize] += times;
    }

    /// Counts one, and keeps its text where few are kept yet.
    pub fn tell(&mut self, kind: ErrorKind, detail: &dyn fmt::Display) {
        self.add(kind, 1);
        if self.examples.len() < EXAMPLES {
            self.examples.push(format!("{}: {detail}", kind.name()));
        }
    }

    /// How many of a kind.
    pub fn count(&self, kind: ErrorKind) -> u64 {
        self.counts[kind as usize]
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The first few, in words.
    pub fn examples(&self) -> &[String] {
        &self.examples
    }

    fn merge(&mut self, other: &ErrorCounts) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.iter().take(room).cloned());
    }
}

/// One thread's live counters. Only that thread writes them, so that a load and a store are enough;
/// each thread's stand in cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Tally {
    /// Connections open now.
    pub open: AtomicU64,
    /// Connections that have opened so far.
    pub opened: AtomicU64,
    /// Messages that came: echoes, or deliveries of a broadcast.
    pub received: AtomicU64,
    /// Messages that were sent.
    pub sent: AtomicU64,
    /// Pings answered.
    pub pings: AtomicU64,
    /// Scenes of the script that this thread has done its part of.
    pub scenes_done: AtomicUsize,
}

/// Adds to a counter that only the calling thread writes.
pub fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// All threads' counters at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections open.
    pub open: u64,
    /// Connections that have opened.
    pub opened: u64,
    /// Messages that came.
    pub received: u64,
    /// Messages sent.
    pub sent: u64,
    /// Pings answered.
    pub pings: u64,
}

impl Counts {
    /// Sums up what the threads have counted.
    pub fn of(tallies: &[Tally]) -> Counts {
        let sum = |field: fn(&Tally) -> &AtomicU64| {
            tallies.iter().map(|tally| field(tally).load(Ordering::Relaxed)).sum()
        };
        Counts {
            open: sum(|tally| &tally.open),
            opened: sum(|tally| &tally.opened),
            received: sum(|tally| &tally.received),
            sent: sum(|tally| &tally.sent),
            pings: sum(|tally| &tally.pings),
        }
    }
}

/// What a thread found, handed over when it ends.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Latencies in the measured scene, in nanoseconds.
    pub latency: Histogram<u64>,
    /// How long silent connections were left alone after their last byte, in nanoseconds.
    pub reaped: Histogram<u64>,
    /// Pings that came, by second since the start of the run.
    pub pings_by_second: Vec<u64>,
    /// What went wrong.
    pub errors: ErrorCounts,
    /// What was seen of peers that go wrong.
    pub zombies: Observed,
}

impl Default for Findings {
    fn default() -> Findings {
        // Three digits, as latency tables show; it grows with the longest latency seen.
        let latency = Histogram::new(3).expect("three digits are legal");
        let reaped = latency.clone();
        Findings {
            latency,
            reaped,
            pings_by_second: Vec::new(),
            errors: ErrorCounts::default(),
            zombies: Observed::default(),
        }
    }
}

impl Findings {
    /// Takes over what another thread found.
    pub fn merge(&mut self, other: &Findings) {
        self.latency.add(&other.latency).expect("the histogram resizes itself");
        self.reaped.add(&other.reaped).expect("the histogram resizes itself");
        if self.pings_by_second.len() < other.pings_by_second.len() {
            self.pings_by_second.resize(other.pings_by_second.len(), 0);
        }
        for (mine, theirs) in self.pings_by_second.iter_mut().zip(&other.pings_by_second) {
            *mine += theirs;
        }
        self.errors.merge(&other.errors);
        self.zombies.merge(&other.zombies);
    }

    /// Counts a ping in the second it came.
    pub fn ping(&mut self, second: usize) {
        if self.pings_by_second.len() <= second {
            self.pings_by_second.resize(second + 1, 0);
        }
        self.pings_by_second[second] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_latencies_are_those_of_all_threads() {
        let (mut one, mut other) = (Findings::default(), Findings::default());
        for microseconds in 1..=500u64 {
            one.latency.record(microseconds * 1_000).expect("recorded");
            other.latency.record((microseconds + 500) * 1_000).expect("recorded");
        }
        one.merge(&other);
        assert_eq!(one.latency.len(), 1_000);
        let median = one.latency.value_at_quantile(0.5);
        assert!((499_000..=501_000).contains(&median), "{median}");
        assert!(one.latency.max() >= 1_000_000);
    }

    #[test]
    fn merged_errors_and_pings_add_up() {
        let (mut one, mut other) = (Findings::default(), Findings::default());
        one.errors.tell(ErrorKind::Reset, &"a");
        other.errors.tell(ErrorKind::Reset, &"b");
        other.errors.add(ErrorKind::Missing, 5);
        one.ping(1);
        other.ping(3);
        one.merge(&other);
        assert_eq!(one.errors.count(ErrorKind::Reset), 2);
        assert_eq!(one.errors.total(), 7);
        assert_eq!(one.errors.examples(), ["reset: a", "reset: b"]);
        assert_eq!(one.pings_by_second, [0, 1, 0, 1]);
    }

    #[test]
    fn the_kinds_are_listed_in_the_order_of_their_counters() {
        for (index, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }
}
