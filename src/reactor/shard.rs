//! The write side of the metrics: what one reactor counts while it works.
//! Not where they are summed or rendered: `admin::metrics` reads the shards of all reactors.
//!
//! Every value has a single writer, the reactor that owns the shard. Readers on other threads see
//! each value whole and soon, but not all values of one instant. A shard is aligned to 128 bytes
//! (two cache lines, since the prefetcher fetches them in pairs) and holds everything inline, so
//! reactors never write to a line that another one writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::arrivals::Arrivals;
use super::deflations::Deflations;
use super::driven::Driven;
use crate::conn::deadline::Deadline;
use crate::conn::reason::{CloseReason, RefusedReason};
use crate::proto::tls::Handshake;

pub use super::meters::{Counter, Gauge, Histogram, HistogramSnapshot};

/// Round trips reach from loopback to a phone in a tunnel that still makes the pong timeout.
const ROUND_TRIP_BOUNDS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// A fan-out lasts from one small write to a backlog that the write timeout would end.
const FANOUT_BOUNDS: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Up to a tick late is normal; a second and more is a stall.
const TICK_LAG_BOUNDS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000, 30_000_000,
];

/// A turn with one echo takes some ten microseconds; one over a second turns `/healthz` red.
const TURN_BOUNDS: &[u64] = &[
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
    500_000, 1_000_000, 5_000_000,
];

/// Why reading from a peer was paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PauseCause {
    /// It sent faster than its message rate, or all peers together did.
    Rate,
    /// It does not read what it asked for.
    Outbox,
    /// A mailbox its messages go to is full.
    Mailbox,
}

impl PauseCause {
    /// How many causes there are.
    pub const COUNT: usize = Self::ALL.len();
    /// Every cause, in the order of [`index`](Self::index).
    pub const ALL: [Self; 3] = [Self::Rate, Self::Outbox, Self::Mailbox];

    /// The place of this cause in an array of [`COUNT`](Self::COUNT) elements.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Outbox => "outbox",
            Self::Mailbox => "mailbox",
        }
    }
}

/// A phase of the turn whose work is budgeted; what exceeds the budget is carried to the next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Taking new connections.
    Accept,
    /// Reading from peers and serving what they sent.
    Receive,
    /// Taking messages from other reactors.
    Mailbox,
    /// Acting on expired deadlines.
    Deadlines,
    /// Shaking hands under TLS.
    TlsHandshakes,
}

impl Phase {
    /// How many budgeted phases there are.
    pub const COUNT: usize = Self::ALL.len();
    /// Every budgeted phase, in the order of [`index`](Self::index).
    pub const ALL: [Self; 5] =
        [Self::Accept, Self::Receive, Self::Mailbox, Self::Deadlines, Self::TlsHandshakes];

    /// The place of this phase in an array of [`COUNT`](Self::COUNT) elements.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Receive => "receive",
            Self::Mailbox => "mailbox",
            Self::Deadlines => "deadlines",
            Self::TlsHandshakes => "tls_handshakes",
        }
    }
}

/// How often connections ended under each close code, in a bounded number of labels.
#[derive(Debug)]
pub struct CloseCodes([Counter; Self::COUNT]);

impl CloseCodes {
    /// How many labels there are.
    pub const COUNT: usize = Self::LABELS.len();

    /// The labels, in the order of [`counts`](Self::counts): the codes of RFC 6455 each for itself,
    /// those of applications (3000 to 4999) together, all unassigned ones together, and no code.
    pub const LABELS: [&'static str; 19] = [
        "1000",
        "1001",
        "1002",
        "1003",
        "1004",
        "1005",
        "1006",
        "1007",
        "1008",
        "1009",
        "1010",
        "1011",
        "1012",
        "1013",
        "1014",
        "1015",
        "application",
        "other",
        "none",
    ];

    const fn new() -> Self {
        Self([const { Counter::new() }; Self::COUNT])
    }

    /// The place of a code among the labels.
    const fn place(code: Option<u16>) -> usize {
        match code {
            Some(code @ 1000..=1015) => code as usize - 1000,
            Some(3000..=4999) => 16,
            Some(_) => 17,
            None => 18,
        }
    }

    /// The counts, one for each label.
    #[must_use]
    pub fn counts(&self) -> [u64; Self::COUNT] {
        self.0.each_ref().map(Counter::get)
    }
}

/// What one reactor counts. Only the reactor that owns the shard may write to it.
///
/// Bytes are bytes on the wire, durations microseconds; levels are now, counters since the start.
#[derive(Debug)]
#[repr(align(128))]
pub struct Shard {
    // Written in every turn or for every message, hence first and side by side.
    /// Turns finished; written by [`turn_ends`](Self::turn_ends).
    pub turns: Counter,
    turn_started_micros: AtomicU64,
    /// Data messages received, whole ones.
    pub messages_received: Counter,
    /// Data messages handed to the kernel whole.
    pub messages_sent: Counter,
    /// Bytes received from peers, heads and frame headers included.
    pub bytes_received: Counter,
    /// Bytes the kernel took for peers, heads and frame headers included.
    pub bytes_sent: Counter,
    /// Bytes in outboxes, not yet taken by the kernel; a shared frame counts once for each receiver.
    pub outbox_bytes: Gauge,
    /// Bytes of unfinished heads, frames and messages, and of what paused connections hold.
    pub inbox_bytes: Gauge,
    /// Entries on the wheel, stale ones included.
    pub wheel_entries: Gauge,
    /// Connections that were upgraded and are open.
    pub connections_active: Gauge,
    /// Slots of the slab in use, in whatever state.
    pub slots_used: Gauge,
    /// What the driver counts.
    pub driven: Driven,

    /// Connections taken from the listeners, refused ones included.
    pub accepted: Counter,
    /// Attempts answered with an HTTP error, by [`RefusedReason::index`].
    pub refused: [Counter; RefusedReason::COUNT],
    /// Addresses, users and proxied connections.
    pub arrivals: Arrivals,
    /// TLS handshakes that ended well, by [`Handshake::index`].
    pub tls_handshakes: [Counter; Handshake::COUNT],
    /// TLS handshakes that were begun and not done, whatever ended them.
    pub tls_handshakes_failed: Counter,
    /// Messages compressed and inflated, and what that takes.
    pub deflations: Deflations,
    /// Connections ended, by [`CloseReason::index`].
    pub closed: [Counter; CloseReason::COUNT],
    /// Connections ended, by close code; written through [`close_code`](Self::close_code).
    pub close_codes: CloseCodes,

    /// Pings handed to the kernel.
    pub pings_sent: Counter,
    /// Pongs received, asked for or not.
    pub pongs_received: Counter,
    /// From a ping handed to the kernel to the pong that answers it.
    pub heartbeat_rtt: Histogram,

    /// Frames dropped from outboxes because the policy is to drop the oldest.
    pub frames_dropped_oldest: Counter,
    /// Frames not taken into outboxes because the policy is to drop the newest.
    pub frames_dropped_newest: Counter,
    /// Connections closed because the process-wide outbox budget was spent.
    pub outbox_sheds: Counter,
    /// Connections closed because the process-wide inbox budget was spent.
    pub inbox_sheds: Counter,
    /// From the receipt of a message to the last write of its fan-out on this reactor.
    pub fanout_latency: Histogram,

    /// Deadlines that passed and were acted upon, by [`Deadline::index`].
    pub deadlines_expired: [Counter; Deadline::COUNT],
    /// How late the wheel was advanced, measured from the moment its next tick was due.
    pub tick_lag: Histogram,
    /// Duration of each turn, without the wait.
    pub turn_duration: Histogram,
    /// Pauses of the whole process after which deadlines were re-based before judging anyone.
    pub stalls: Counter,
    /// Turns in which a phase spent its budget and carried work over, by [`Phase::index`].
    pub phase_carried_over: [Counter; Phase::COUNT],

    /// Times the listeners were paused for want of descriptors or memory.
    pub accept_pauses: Counter,
    /// Whether they are paused now: 0 or 1.
    pub accept_paused: Gauge,
    /// Times reading from a peer was paused, by [`PauseCause::index`].
    pub reads_paused: [Counter; PauseCause::COUNT],
    /// Panics in handlers, caught.
    pub handler_panics: Counter,

    /// Bytes waiting in this reactor's mailbox.
    pub mailbox_bytes: Gauge,
    /// Messages taken from this reactor's mailbox.
    pub mailbox_messages: Counter,
    /// Times this reactor found another's mailbox full.
    pub mailbox_full: Counter,

    /// Descriptors in use in this reactor's table. Where all reactors share one table, one of them
    /// reports it and the others leave zero, since the exposition sums.
    pub descriptors_used: Gauge,
    /// Descriptors this reactor's table may hold; as above where the table is shared.
    pub descriptors_allowed: Gauge,
}

impl Shard {
    /// A shard with everything at zero, to be shared between its reactor and the readers.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            turns: Counter::new(),
            turn_started_micros: AtomicU64::new(0),
            messages_received: Counter::new(),
            messages_sent: Counter::new(),
            bytes_received: Counter::new(),
            bytes_sent: Counter::new(),
            outbox_bytes: Gauge::new(),
            inbox_bytes: Gauge::new(),
            wheel_entries: Gauge::new(),
            connections_active: Gauge::new(),
            slots_used: Gauge::new(),
            driven: Driven::new(),
            accepted: Counter::new(),
            refused: [const { Counter::new() }; RefusedReason::COUNT],
            arrivals: Arrivals::new(),
            tls_handshakes: [const { Counter::new() }; Handshake::COUNT],
            tls_handshakes_failed: Counter::new(),
            deflations: Deflations::new(),
            closed: [const { Counter::new() }; CloseReason::COUNT],
            close_codes: CloseCodes::new(),
            pings_sent: Counter::new(),
            pongs_received: Counter::new(),
            heartbeat_rtt: const { Histogram::new(ROUND_TRIP_BOUNDS) },
            frames_dropped_oldest: Counter::new(),
            frames_dropped_newest: Counter::new(),
            outbox_sheds: Counter::new(),
            inbox_sheds: Counter::new(),
            fanout_latency: const { Histogram::new(FANOUT_BOUNDS) },
            deadlines_expired: [const { Counter::new() }; Deadline::COUNT],
            tick_lag: const { Histogram::new(TICK_LAG_BOUNDS) },
            turn_duration: const { Histogram::new(TURN_BOUNDS) },
            stalls: Counter::new(),
            phase_carried_over: [const { Counter::new() }; Phase::COUNT],
            accept_pauses: Counter::new(),
            accept_paused: Gauge::new(),
            reads_paused: [const { Counter::new() }; PauseCause::COUNT],
            handler_panics: Counter::new(),
            mailbox_bytes: Gauge::new(),
            mailbox_messages: Counter::new(),
            mailbox_full: Counter::new(),
            descriptors_used: Gauge::new(),
            descriptors_allowed: Gauge::new(),
        })
    }

    /// Counts the code of the close frame that ended a connection, sent or received; `None` where
    /// it ended without one.
    #[inline]
    pub fn close_code(&self, code: Option<u16>) {
        if let Some(count) = self.close_codes.0.get(CloseCodes::place(code)) {
            count.increment();
        }
    }

    /// The reactor came back from the driver and begins a turn; microseconds of any clock that
    /// does not stand at zero.
    #[inline]
    pub fn turn_begins(&self, now_micros: u64) {
        self.turn_started_micros.store(now_micros.max(1), Relaxed);
    }

    /// The turn is over and the reactor goes back to the driver.
    #[inline]
    pub fn turn_ends(&self) {
        self.turns.increment();
        self.turn_started_micros.store(0, Relaxed);
    }

    /// How many turns this reactor has finished.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// When the present turn began, in the microseconds given to [`turn_begins`](Self::turn_begins);
    /// `None` while the reactor sleeps in the driver.
    #[must_use]
    pub fn turn_started_micros(&self) -> Option<u64> {
        Some(self.turn_started_micros.load(Relaxed)).filter(|started| *started != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::{CloseCodes, Shard};

    #[test]
    fn every_close_code_has_a_label_and_there_is_no_end_of_labels_for_a_peer_to_make() {
        let shard = Shard::new();
        for code in 0..=u16::MAX {
            shard.close_code(Some(code));
        }
        shard.close_code(None);
        let counts = shard.close_codes.counts();
        assert_eq!(counts.iter().sum::<u64>(), 65_537);
        for (label, count) in CloseCodes::LABELS.iter().zip(counts) {
            let expected = match *label {
                "application" => 2_000,
                "other" => 65_536 - 16 - 2_000,
                _ => 1,
            };
            assert_eq!(count, expected, "{label}");
        }
    }

    #[test]
    fn a_turn_is_seen_to_begin_and_to_end() {
        let shard = Shard::new();
        assert_eq!((shard.turns(), shard.turn_started_micros()), (0, None));
        shard.turn_begins(17);
        assert_eq!((shard.turns(), shard.turn_started_micros()), (0, Some(17)));
        shard.turn_ends();
        assert_eq!((shard.turns(), shard.turn_started_micros()), (1, None));
    }

    #[test]
    fn two_shards_never_share_a_pair_of_cache_lines() {
        assert_eq!(align_of::<Shard>(), 128);
        assert_eq!(size_of::<Shard>() % 128, 0);
    }
}
