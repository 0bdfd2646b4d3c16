//! A generator thread's books: which message is expected next on each connection, when it was
//! sent or due, what came, what went wrong. Not the sockets (`client`) nor when to send (`work`).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::args::Match;
use crate::generator::Shared;
use crate::generator::client::Client;
use crate::plan::{Plan, Traffic};
use crate::tally::{self, ErrorKind, Findings, Latencies, SLICES, Tally, bump, record};
use crate::wire::payload::{Payloads, Stamp};

/// How many sending times are remembered for each publisher; a message later than so many others
/// has an unknown latency.
pub const PUBLISHED_WINDOW: usize = 1 << 15;

/// Messages that one connection may have in flight or owe, in the open loop; what would be due
/// beyond that is counted as unsent.
const OWED_LIMIT: usize = 1 << 16;

/// Pings of one probe that are remembered; beyond that its server has not answered for minutes.
const PROBES_LIMIT: usize = 1_024;

/// An answer to a probe's last ping may still be under way; after so long it is missing.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// How often latencies are handed over to whoever looks at the run.
const HAND_OVER: Duration = Duration::from_millis(200);

/// The books of one thread.
#[derive(Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
    thread: usize,
    /// What is handed over at the end.
    pub findings: Findings,
    /// The measurement: from its start to its end, in nanoseconds since the start of the run.
    window: std::ops::Range<u64>,
    /// Whether nothing is answered, so that the server is expected to hang up.
    pub mute: bool,
    /// Messages awaited, over all connections: those in flight and, in the open loop, those owed.
    pub awaited: u64,
    times: Times,
    /// The probes' pings without an answer: when each was due.
    probes: HashMap<usize, VecDeque<u64>>,
    /// Whether a latency belongs to the measurement in which its message was due, and not to the
    /// one in which it came.
    by_due: bool,
    /// The next message of each publisher at each subscriber: `publishers` places for each slot.
    expected: Vec<u32>,
    fresh: Latencies,
    handed_over: Duration,
}

/// When the awaited messages were sent, or were due; nanoseconds since the start of the run.
#[derive(Debug)]
enum Times {
    /// Closed loop: `pipeline` places for each slot.
    Ring(Vec<u64>),
    /// Open loop: for each slot the messages in flight, then those owed.
    Queues(Vec<VecDeque<u64>>),
}

impl Ledger {
    /// Empty books for thread number `thread`.
    pub fn new(shared: Arc<Shared>, thread: usize) -> Ledger {
        let open_loop = shared.plan.is_open_loop();
        let by_due = open_loop || matches!(shared.plan.traffic, Traffic::FanOut { .. });
        Ledger {
            shared,
            thread,
            findings: Findings::default(),
            window: 0..0,
            mute: false,
            awaited: 0,
            times: if open_loop { Times::Queues(Vec::new()) } else { Times::Ring(Vec::new()) },
            probes: HashMap::new(),
            by_due,
            expected: Vec::new(),
            fresh: Latencies::default(),
            handed_over: Duration::ZERO,
        }
    }

    fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// The live counters.
    pub fn tally(&self) -> &Tally {
        &self.shared.tallies[self.thread]
    }

    /// Counts errors of a kind.
    pub fn fault(&mut self, kind: ErrorKind, times: u64) {
        self.findings.errors.add(kind, times);
        bump(&self.tally().errors, times);
    }

    /// Counts one error, in words.
    pub fn tell(&mut self, kind: ErrorKind, detail: &dyn fmt::Display) {
        self.findings.errors.tell(kind, detail);
        bump(&self.tally().errors, 1);
    }

    /// The measurement begins or goes on, or ends.
    pub fn measure(&mut self, on: bool, now: Duration) {
        let now = now.as_nanos() as u64;
        if on {
            if self.window.end != u64::MAX {
                self.window = now..u64::MAX;
            }
        } else {
            self.window.end = self.window.end.min(now);
        }
    }

    /// A connection has opened in `slot`; it was begun at its `spoke`.
    pub fn opened(&mut self, slot: usize, client: &Client, now: Duration) {
        bump(&self.tally().open, 1);
        bump(&self.tally().opened, 1);
        record(&mut self.findings.connects, (now - client.spoke).as_nanos() as u64);
        match (self.plan().traffic, &mut self.times) {
            (Traffic::Echo, Times::Ring(ring)) => {
                grow(ring, slot, self.shared.plan.pipeline as usize);
            }
            (Traffic::Echo, Times::Queues(queues)) => grow(queues, slot, 1),
            (Traffic::FanOut { publishers }, _) => {
                grow(&mut self.expected, slot, publishers as usize);
            }
            (Traffic::Heartbeats, _) => {}
        }
    }

    /// An open connection has gone from `slot`; `lost` where we did not ask it to. What it still
    /// awaited will not come: in the open loop each of these messages counts as late as it is now.
    pub fn gone(&mut self, slot: usize, client: &Client, lost: bool, now: Duration) {
        let open = &self.tally().open;
        open.store(open.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        if lost && matches!(self.times, Times::Queues(_)) {
            self.give_up(slot, client, now);
        }
        match &mut self.times {
            Times::Ring(_) if self.shared.plan.traffic == Traffic::Echo => {
                self.awaited -= client.in_flight();
            }
            Times::Ring(_) => {}
            Times::Queues(queues) => {
                self.awaited -= queues[slot].len() as u64;
                queues[slot].clear();
            }
        }
        self.probes.remove(&slot);
    }

    /// Open loop: a message of the connection in `slot` is due.
    pub fn intend(&mut self, slot: usize, due: Duration) {
        let Times::Queues(queues) = &mut self.times else { return };
        if queues[slot].len() < OWED_LIMIT {
            queues[slot].push_back(due.as_nanos() as u64);
            self.awaited += 1;
        } else {
            self.fault(ErrorKind::Unsent, 1);
        }
    }

    /// Open loop: takes the next message that `client` owes, which is now sent; its stamp.
    pub fn send_owed(&mut self, slot: usize, client: &mut Client) -> Option<Stamp> {
        let Times::Queues(queues) = &self.times else { return None };
        if queues[slot].len() as u64 <= client.in_flight() {
            return None;
        }
        Some(self.sent(client))
    }

    /// Open loop: whether anything is awaited on or owed by the connection in `slot`.
    pub fn is_settled(&self, slot: usize) -> bool {
        matches!(&self.times, Times::Queues(queues) if queues[slot].is_empty())
    }

    /// The next message of `client` is handed to the kernel, as of `at`; returns its stamp.
    pub fn send(&mut self, slot: usize, client: &mut Client, at: Duration) -> Stamp {
        client.spoke = at;
        let at = at.as_nanos() as u64;
        let place = self.place(slot, client.sent);
        match (self.shared.plan.traffic, &mut self.times) {
            (Traffic::FanOut { .. }, _) => {
                self.shared.publish(Stamp::new(client.id, client.sent), at);
            }
            (_, Times::Ring(ring)) => {
                ring[place] = at;
                self.awaited += 1;
            }
            (_, Times::Queues(queues)) => {
                queues[slot].push_back(at);
                self.awaited += 1;
            }
        }
        self.sent(client)
    }

    fn sent(&mut self, client: &mut Client) -> Stamp {
        let stamp = Stamp::new(client.id, client.sent);
        client.sent += 1;
        bump(&self.tally().sent, 1);
        stamp
    }

    /// The only message that may come next to connection `id`, which has `received` so many,
    /// where there is only one.
    pub fn next_for(&self, id: u32, received: u64) -> Option<Stamp> {
        (self.plan().traffic == Traffic::Echo).then(|| Stamp::new(id, received))
    }

    /// A whole message has come to `client`, named by its `arriving` stamp.
    ///
    /// Fails when it is not one that may come next; the connection is then of no more use.
    pub fn receive(
        &mut self,
        slot: usize,
        client: &mut Client,
        payloads: &Payloads,
        now: Duration,
    ) -> Result<(), (ErrorKind, String)> {
        let at = match self.plan().traffic {
            Traffic::Echo | Traffic::Heartbeats => Some(self.receive_echo(slot, client, payloads)?),
            Traffic::FanOut { publishers } => {
                if self.plan().matching == Match::Any {
                    // There is one publisher then, and its messages come in order.
                    client.arriving = Stamp::new(0, client.received);
                    if self.shared.published_at(client.arriving).is_none() {
                        // Nothing was published that this could be: a greeting, or the answer to a
                        // subscription.
                        return Ok(());
                    }
                } else {
                    self.expect_next(slot, client, publishers)?;
                }
                client.received += 1;
                self.shared.published_at(client.arriving)
            }
        };
        bump(&self.tally().received, 1);
        // So late that when it was due is forgotten.
        let Some(at) = at else { return Ok(()) };
        let now = now.as_nanos() as u64;
        let kept = self.latency(at, now);
        if kept && let Traffic::FanOut { .. } = self.plan().traffic {
            self.count_delivery(client.arriving, at, now);
        }
        Ok(())
    }

    /// Records a latency; tells whether it belongs to the measurement. In the closed loop that is
    /// what ends within it, in the open loop what was due within it, however late it came.
    fn latency(&mut self, from: u64, to: u64) -> bool {
        let latency = to.saturating_sub(from);
        record(&mut self.fresh.passing, latency);
        let kept = self.window.contains(if self.by_due { &from } else { &to });
        if kept {
            record(&mut self.fresh.kept, latency);
        }
        kept
    }

    fn receive_echo(
        &mut self,
        slot: usize,
        client: &mut Client,
        payloads: &Payloads,
    ) -> Result<u64, (ErrorKind, String)> {
        let any = self.plan().matching == Match::Any;
        let expected = payloads.legible(Stamp::new(client.id, client.received));
        if client.in_flight() == 0 || (!any && client.arriving != expected) {
            let detail = format!("connection {}: not the answer awaited", client.id);
            return Err((ErrorKind::OutOfOrder, detail));
        }
        let place = self.place(slot, client.received);
        client.received += 1;
        self.awaited -= 1;
        Ok(match &mut self.times {
            Times::Ring(ring) => ring[place],
            Times::Queues(queues) => queues[slot].pop_front().unwrap_or_default(),
        })
    }

    fn expect_next(
        &mut self,
        slot: usize,
        client: &Client,
        publishers: u32,
    ) -> Result<(), (ErrorKind, String)> {
        let (publisher, sequence) = (client.arriving.connection(), client.arriving.sequence());
        let out_of_order = |why: &str| {
            let detail = format!("connection {}: message {sequence}: {why}", client.id);
            Err((ErrorKind::OutOfOrder, detail))
        };
        if publisher >= publishers {
            return out_of_order("from nobody who publishes");
        }
        let expected = &mut self.expected[slot * publishers as usize + publisher as usize];
        let ahead = (sequence as u32).wrapping_sub(*expected);
        if ahead > u32::MAX / 2 {
            return out_of_order("it came before");
        }
        *expected = sequence as u32 + 1;
        self.fault(ErrorKind::Missing, u64::from(ahead));
        Ok(())
    }

    /// Deliveries that the subscriber in `slot` still waits for.
    pub fn undelivered(&self, slot: usize, client: &Client) -> u64 {
        let Traffic::FanOut { publishers } = self.plan().traffic else { return 0 };
        if self.plan().matching == Match::Any {
            return self.shared.published(0).saturating_sub(client.received);
        }
        let ahead = |publisher: u32| {
            let expected = self.expected[slot * publishers as usize + publisher as usize];
            (self.shared.published(publisher) as u32).saturating_sub(expected)
        };
        (0..publishers).map(|publisher| u64::from(ahead(publisher))).sum()
    }

    /// Another subscriber has a broadcast: was it the one in the middle, the 99th of a hundred, or
    /// the last?
    fn count_delivery(&mut self, stamp: Stamp, at: u64, now: u64) {
        let (reached, audience) = self.shared.delivered(stamp);
        let ranks = [audience.div_ceil(2), (audience * 99).div_ceil(100), audience];
        for (rank, histogram) in ranks.into_iter().zip(&mut self.findings.reach) {
            if reached == rank {
                record(histogram, now.saturating_sub(at));
            }
        }
    }

    /// A probe sends a ping, due at `due`; returns what it carries.
    pub fn probe(&mut self, slot: usize, due: Duration) -> [u8; 8] {
        let due = due.as_nanos() as u64;
        let pings = self.probes.entry(slot).or_default();
        if pings.len() < PROBES_LIMIT {
            pings.push_back(due);
        }
        due.to_be_bytes()
    }

    /// A pong has come. Where it answers a probe's ping, it answers those before it too (RFC 6455
    /// section 5.5.3).
    pub fn pong(&mut self, slot: usize, payload: &[u8], now: Duration) {
        let Ok(due) = <[u8; 8]>::try_from(payload).map(u64::from_be_bytes) else { return };
        let Some(pings) = self.probes.get_mut(&slot) else { return };
        let Some(at) = pings.iter().position(|ping| *ping == due) else { return };
        let answered: Vec<u64> = pings.drain(..=at).collect();
        for ping in answered {
            self.latency(ping, now.as_nanos() as u64);
        }
    }

    /// Probes are over: pings that have waited for their answers unduly count as late as they are.
    pub fn give_up_probes(&mut self, now: Duration) {
        let patience = PROBE_PATIENCE.as_nanos() as u64;
        let now = now.as_nanos() as u64;
        let pings: Vec<u64> = self.probes.drain().flat_map(|(_, pings)| pings).collect();
        for ping in pings.into_iter().filter(|ping| now.saturating_sub(*ping) > patience) {
            self.latency(ping, now);
            self.fault(ErrorKind::Unanswered, 1);
        }
    }

    /// The server has hung up on a connection that had fallen silent.
    pub fn reaped(&mut self, client: &Client, now: Duration) {
        let silence = now.saturating_sub(client.spoke).as_nanos() as u64;
        record(&mut self.findings.reaped, silence);
    }

    /// A ping has come to a connection that last `spoke` then; tells whether to answer it.
    pub fn ping(&mut self, spoke: &mut Duration, now: Duration) -> bool {
        if !self.mute {
            *spoke = now;
        }
        bump(&self.tally().pings, 1);
        self.findings.ping(now.as_secs() as usize);
        if self.window.contains(&(now.as_nanos() as u64)) {
            let interval = self.plan().ping_interval.as_nanos();
            let slice = now.as_nanos() % interval * SLICES as u128 / interval;
            self.findings.pings_by_slice[slice as usize] += 1;
        }
        !self.mute
    }

    /// Nothing that is still awaited will be waited for: it counts as late as it is now, and as
    /// unanswered or unsent. Tells whether there was anything.
    pub fn give_up(&mut self, slot: usize, client: &Client, now: Duration) -> bool {
        let now = now.as_nanos() as u64;
        let late: Vec<u64> = match &mut self.times {
            Times::Ring(_) => Vec::new(),
            Times::Queues(queues) => queues[slot].drain(..).collect(),
        };
        self.awaited -= late.len() as u64;
        for at in &late {
            self.latency(*at, now);
        }
        let in_flight = match &self.times {
            Times::Ring(_) => client.in_flight(),
            // What was given up before is not in the books any more.
            Times::Queues(_) => client.in_flight().min(late.len() as u64),
        };
        let owed = (late.len() as u64).saturating_sub(in_flight);
        self.fault(ErrorKind::Unsent, owed);
        self.fault(ErrorKind::Unanswered, in_flight);
        owed + in_flight > 0
    }

    /// Hands the latest latencies over where that is due, or `now_or_never`.
    pub fn hand_over(&mut self, now: Duration, now_or_never: bool) {
        if !now_or_never && now.saturating_sub(self.handed_over) < HAND_OVER {
            return;
        }
        self.handed_over = now;
        if self.fresh.passing.is_empty() {
            return;
        }
        let Ok(mut taken) = self.shared.latencies[self.thread].lock() else { return };
        tally::merge(&mut taken.passing, &self.fresh.passing);
        tally::merge(&mut taken.kept, &self.fresh.kept);
        drop(taken);
        self.fresh.passing.reset();
        self.fresh.kept.reset();
    }

    fn place(&self, slot: usize, sequence: u64) -> usize {
        let pipeline = u64::from(self.plan().pipeline);
        slot * pipeline as usize + (sequence % pipeline) as usize
    }
}

/// Makes room for `slot`, with `each` places for a slot, and clears them.
fn grow<T: Default + Clone>(table: &mut Vec<T>, slot: usize, each: usize) {
    let (from, to) = (slot * each, (slot + 1) * each);
    if table.len() < to {
        table.resize(to, T::default());
    }
    table[from..to].fill(T::default());
}
