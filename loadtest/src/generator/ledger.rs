//! A generator thread's books: which message is expected next on each connection, when it was
//! sent, what came, what went wrong. Not the sockets (`client`) nor when to send (`work`).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::generator::Shared;
use crate::generator::client::Client;
use crate::plan::Traffic;
use crate::tally::{ErrorKind, Findings, Tally, bump};
use crate::wire::payload::{Payloads, Stamp};

/// How many sending times are remembered for each publisher; a message later than so many others
/// has an unknown latency.
pub const PUBLISHED_WINDOW: usize = 1 << 15;

/// The books of one thread.
#[derive(Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
    thread: usize,
    /// What is handed over at the end.
    pub findings: Findings,
    /// Whether latencies count: the scene is a measured one.
    pub recording: bool,
    /// Whether nothing is answered, so that the server is expected to hang up.
    pub mute: bool,
    /// Echoes awaited, over all connections.
    pub in_flight: u64,
    /// When each message in flight was sent, in nanoseconds since the start of the run:
    /// `pipeline` places for each slot of the fleet.
    sent_at: Vec<u64>,
    /// The next message of each publisher at each subscriber: `publishers` places for each slot.
    expected: Vec<u32>,
}

impl Ledger {
    /// Empty books for thread number `thread`.
    pub fn new(shared: Arc<Shared>, thread: usize) -> Ledger {
        Ledger {
            shared,
            thread,
            findings: Findings::default(),
            recording: false,
            mute: false,
            in_flight: 0,
            sent_at: Vec::new(),
            expected: Vec::new(),
        }
    }

    /// The live counters.
    pub fn tally(&self) -> &Tally {
        &self.shared.tallies[self.thread]
    }

    /// A connection has opened in `slot`.
    pub fn opened(&mut self, slot: usize) {
        bump(&self.tally().open, 1);
        bump(&self.tally().opened, 1);
        match self.shared.plan.traffic {
            Traffic::Echo => grow(&mut self.sent_at, slot, self.shared.plan.pipeline as usize),
            Traffic::FanOut { publishers, .. } => {
                grow(&mut self.expected, slot, publishers as usize);
            }
        }
    }

    /// An open connection has gone.
    pub fn gone(&mut self, client: &Client) {
        let open = &self.tally().open;
        open.store(open.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        if self.shared.plan.traffic == Traffic::Echo {
            self.in_flight -= client.in_flight();
        }
    }

    /// The next message of `client` is handed to the kernel at `now`; returns its stamp.
    pub fn send(&mut self, slot: usize, client: &mut Client, now: Duration) -> Stamp {
        let stamp = Stamp::new(client.id, client.sent);
        client.spoke = now;
        let now = now.as_nanos() as u64;
        match self.shared.plan.traffic {
            Traffic::Echo => {
                let place = self.place(slot, client.sent);
                self.sent_at[place] = now;
                self.in_flight += 1;
            }
            Traffic::FanOut { .. } => {
                self.shared.published_at(stamp).store(now, Ordering::Relaxed);
            }
        }
        client.sent += 1;
        bump(&self.tally().sent, 1);
        stamp
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
        let sent_at = match self.shared.plan.traffic {
            Traffic::Echo => {
                let expected = payloads.legible(Stamp::new(client.id, client.received));
                if client.in_flight() == 0 || client.arriving != expected {
                    let detail = format!("connection {}: not the answer awaited", client.id);
                    return Err((ErrorKind::OutOfOrder, detail));
                }
                let place = self.place(slot, client.received);
                client.received += 1;
                self.in_flight -= 1;
                self.sent_at[place]
            }
            Traffic::FanOut { publishers, .. } => {
                self.expect_next(slot, client, publishers)?;
                client.received += 1;
                self.shared.published_at(client.arriving).load(Ordering::Relaxed)
            }
        };
        bump(&self.tally().received, 1);
        if self.recording {
            let latency = (now.as_nanos() as u64).saturating_sub(sent_at);
            self.findings.latency.record(latency.max(1)).expect("the histogram resizes itself");
        }
        Ok(())
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
        self.findings.errors.add(ErrorKind::Missing, u64::from(ahead));
        Ok(())
    }

    /// The server has hung up on a connection that had fallen silent.
    pub fn reaped(&mut self, client: &Client, now: Duration) {
        let silence = now.saturating_sub(client.spoke).as_nanos() as u64;
        self.findings.reaped.record(silence.max(1)).expect("the histogram resizes itself");
    }

    /// A ping has come to a connection that last `spoke` then; tells whether to answer it.
    pub fn ping(&mut self, spoke: &mut Duration, now: Duration) -> bool {
        if !self.mute {
            *spoke = now;
        }
        bump(&self.tally().pings, 1);
        self.findings.ping(now.as_secs() as usize);
        !self.mute
    }

    fn place(&self, slot: usize, sequence: u64) -> usize {
        let pipeline = u64::from(self.shared.plan.pipeline);
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
