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
    /// The TLS handshake failed, or TLS did later.
    Tls,
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
    /// It was due and never sent, since the connection took no more.
    Unsent,
    /// It dropped and did not come back.
    NotBack,
    /// A peer that was to go wrong never came so far.
    ZombieUnopened,
    /// The server noticed a peer that goes wrong later than it claims.
    ZombieLate,
    /// The server did not notice a peer that goes wrong.
    ZombieUnnoticed,
}

impl ErrorKind {
    /// All kinds, in the order of their counters.
    pub const ALL: [ErrorKind; 16] = [
        ErrorKind::Connect,
        ErrorKind::ConnectTimeout,
        ErrorKind::Tls,
        ErrorKind::Refused,
        ErrorKind::ClosedByServer,
        ErrorKind::Reset,
        ErrorKind::Protocol,
        ErrorKind::Changed,
        ErrorKind::OutOfOrder,
        ErrorKind::Missing,
        ErrorKind::Unanswered,
        ErrorKind::Unsent,
        ErrorKind::NotBack,
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
            ErrorKind::Tls => "tls",
            ErrorKind::Refused => "refused",
            ErrorKind::ClosedByServer => "closed_by_server",
            ErrorKind::Reset => "reset",
            ErrorKind::Protocol => "protocol",
            ErrorKind::Changed => "changed",
            ErrorKind::OutOfOrder => "out_of_order",
            ErrorKind::Missing => "missing",
            ErrorKind::Unanswered => "unanswered",
            ErrorKind::Unsent => "unsent",
            ErrorKind::NotBack => "not_back",
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
    /// Pings that came.
    pub pings: AtomicU64,
    /// Errors so far.
    pub errors: AtomicU64,
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
    /// Pings that came.
    pub pings: u64,
    /// Errors.
    pub errors: u64,
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
            errors: sum(|tally| &tally.errors),
        }
    }
}

/// Latencies in nanoseconds that a thread has handed over and nobody has taken yet.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Of whatever came, for the live view and the plots over time.
    pub passing: Histogram<u64>,
    /// Of what belongs to the measurement.
    pub kept: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies { passing: histogram(), kept: histogram() }
    }
}

/// Three digits, as latency tables show; it grows with the longest latency seen.
pub fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are legal")
}

/// Records a time in nanoseconds.
pub fn record(histogram: &mut Histogram<u64>, nanoseconds: u64) {
    histogram.record(nanoseconds.max(1)).expect("the histogram resizes itself");
}

/// Adds what `from` holds to `to`.
pub fn merge(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    to.add(from).expect("the histogram resizes itself");
}

/// How finely the heartbeat interval is cut for its histogram.
pub const SLICES: usize = 50;

/// What a thread found, handed over when it ends. Times are in nanoseconds.
#[derive(Clone, Debug)]
pub struct Findings {
    /// From connect(2) to an open connection.
    pub connects: Histogram<u64>,
    /// How long silent connections were left alone after their last byte.
    pub reaped: Histogram<u64>,
    /// From a herd's drop to each connection's return.
    pub back: Histogram<u64>,
    /// From a broadcast's intended time until half, 99 %, and all of the subscribers had it.
    pub reach: [Histogram<u64>; 3],
    /// Attempts to connect, and those of them that failed, in a herd.
    pub attempts: u64,
    /// See `attempts`.
    pub failed_attempts: u64,
    /// Those of them that the server refused with an HTTP status.
    pub refused_attempts: u64,
    /// Pings that came, by second since the start of the run.
    pub pings_by_second: Vec<u64>,
    /// Pings that came during the measurement, by slice of the server's ping interval.
    pub pings_by_slice: Vec<u64>,
    /// What went wrong.
    pub errors: ErrorCounts,
    /// What was seen of peers that go wrong.
    pub zombies: Observed,
}

impl Default for Findings {
    fn default() -> Findings {
        Findings {
            connects: histogram(),
            reaped: histogram(),
            back: histogram(),
            reach: [histogram(), histogram(), histogram()],
            attempts: 0,
            failed_attempts: 0,
            refused_attempts: 0,
            pings_by_second: Vec::new(),
            pings_by_slice: vec![0; SLICES],
            errors: ErrorCounts::default(),
            zombies: Observed::default(),
        }
    }
}

impl Findings {
    /// Takes over what another thread found.
    pub fn merge(&mut self, other: &Findings) {
        merge(&mut self.connects, &other.connects);
        merge(&mut self.reaped, &other.reaped);
        merge(&mut self.back, &other.back);
        for (mine, theirs) in self.reach.iter_mut().zip(&other.reach) {
            merge(mine, theirs);
        }
        self.attempts += other.attempts;
        self.failed_attempts += other.failed_attempts;
        self.refused_attempts += other.refused_attempts;
        add_each(&mut self.pings_by_second, &other.pings_by_second);
        add_each(&mut self.pings_by_slice, &other.pings_by_slice);
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

/// Adds two lists place by place.
fn add_each(to: &mut Vec<u64>, from: &[u64]) {
    if to.len() < from.len() {
        to.resize(from.len(), 0);
    }
    for (mine, theirs) in to.iter_mut().zip(from) {
        *mine += theirs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_latencies_are_those_of_all_threads() {
        let (mut one, mut other) = (Findings::default(), Findings::default());
        for microseconds in 1..=500u64 {
            record(&mut one.connects, microseconds * 1_000);
            record(&mut other.connects, (microseconds + 500) * 1_000);
        }
        one.merge(&other);
        assert_eq!(one.connects.len(), 1_000);
        let median = one.connects.value_at_quantile(0.5);
        assert!((499_000..=501_000).contains(&median), "{median}");
        assert!(one.connects.max() >= 1_000_000);
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
