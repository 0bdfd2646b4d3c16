//! One event loop per core: the turn, the slab, the wheel, the mailbox.
//! Not for sockets (see `io`), nor for what one connection does with its bytes (see `conn`).
//!
//! There is one turn, over any driver. Nothing reacts in the middle of something else: work is
//! gathered, then done in its phase, and each phase has a budget.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod accept;
mod admission;
mod arena;
pub mod arrivals;
#[cfg(feature = "simulation")]
pub mod audit;
mod clock;
mod closing;
mod compression;
mod core;
mod deadlines;
pub mod deflations;
mod drain;
pub mod driven;
mod expiries;
mod fanout;
mod flush;
mod gather;
mod guests;
mod handshake;
mod mailbox;
mod meters;
mod outlet;
mod output;
mod pressure;
mod queue;
mod ranks;
mod receive;
mod seal;
mod seats;
pub mod shard;
mod shared;
mod slots;
mod tls;
mod wheel;
mod work;

use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::accept::SURPLUS;
pub use self::mailbox::{Fanout, Mail, Mailboxes};
pub use self::shared::{RouteInfo, Shared};
pub use self::wheel::Wheel;

use self::clock::{Clock, micros_until};
use self::core::Core;
use self::drain::Drain;
use self::shard::Phase as BudgetedPhase;
use crate::conn::Tick;
use crate::handler::Service;
use crate::io::{Accepting, Done, Driver};

/// How long accepting rests after descriptors ran out, in ticks (100 ms).
const ACCEPT_REST: u32 = 10;

/// Things received, of 64 KiB at most each, between two looks at the process-wide budgets: a turn
/// receives from a thousand peers, and could by itself take in more than any budget has.
const RELIEVED_AFTER: u32 = 32;

/// A thread's share of the server: its connections, and the services that its routes lead to.
pub struct Reactor {
    core: Core,
    /// One for each route, in the order of `Shared::routes`.
    services: Vec<Box<dyn Service>>,
    clock: Clock,
    drain: Option<Drain>,
    accept_again: Option<Tick>,
    is_stopped: bool,
    /// It has drained, and turns on only for the others.
    is_done: bool,
    /// The wait that the simulator has been told of ahead.
    #[cfg(feature = "simulation")]
    announced: Option<Option<u64>>,
}

/// What a reactor needs to know to begin.
pub struct Setup {
    /// Which one it is, from zero.
    pub id: usize,
    /// Sockets.
    pub driver: Box<dyn Driver>,
    /// One for each route of `shared`.
    pub(crate) services: Vec<Box<dyn Service>>,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Connections that its descriptor table has room for.
    pub capacity: usize,
    /// Seed of its jitter.
    pub seed: u64,
}

/// One that fails is done too: the others must not wait for it.
impl Drop for Reactor {
    fn drop(&mut self) {
        self.be_done();
    }
}

impl Reactor {
    /// A reactor that has not begun to turn.
    pub fn new(setup: Setup) -> Self {
        let Setup { id, mut driver, services, shared, capacity, seed } = setup;
        let real = driver.now();
        let clock = Clock::new(real);
        let core = Core::new(id, driver, shared, capacity, seed);
        // Its first turn comes with its first guest.
        core.shard.descriptors_used.set(core.driver.descriptors());
        Reactor {
            core,
            services,
            clock,
            drain: None,
            accept_again: None,
            is_stopped: false,
            is_done: false,
            #[cfg(feature = "simulation")]
            announced: None,
        }
    }

    /// Turns until it is drained or stopped.
    ///
    /// # Errors
    /// The driver has become unusable.
    pub fn run(mut self) -> io::Result<()> {
        while self.turn()? {}
        Ok(())
    }

    /// One turn. False once there will be no other.
    ///
    /// # Errors
    /// The driver has become unusable.
    pub fn turn(&mut self) -> io::Result<bool> {
        let timeout = self.timeout();
        self.core.driver.wait(timeout.map(Duration::from_micros))?;
        self.core.settle_gathered();
        self.read_clock(timeout);
        self.core.compression.work.begin_turn();
        self.resume_waiting();
        self.resume_handshakes();
        self.receive();
        self.read_mail();
        self.expire();
        self.drain();
        self.core.flush_turn();
        self.core.relieve();
        self.core.complete_fanouts();
        self.sweep();
        self.report();
        Ok(!self.is_over())
    }

    /// All reactors end together: one that ended as soon as it was drained would look stuck to
    /// `/healthz`, leave fan-outs unfinished, and let its mailbox fill and hold publishers up.
    fn is_over(&mut self) -> bool {
        // A flood of attempts, or a lack of descriptors, may keep the accept queue from ever being
        // empty; once all waits are over it is left to the kernel.
        let is_deaf = self.core.driver.accepting() == Accepting::Over;
        let is_drained = self.core.slots.len() == 0
            && self.drain.as_ref().is_some_and(|drain| is_deaf || drain.has_waited_out());
        if is_drained {
            self.be_done();
        }
        self.is_stopped || (self.is_done && self.core.shared.is_done())
    }

    fn be_done(&mut self) {
        if !std::mem::replace(&mut self.is_done, true) {
            self.core.shared.reactor_is_done();
        }
    }

    /// Microseconds until something is due.
    fn timeout(&mut self) -> Option<u64> {
        #[cfg(feature = "simulation")]
        if let Some(announced) = self.announced.take() {
            return announced;
        }
        let core = &mut self.core;
        if core.has_work() {
            return Some(0);
        }
        let mut ticks = core.wheel.next(core.now.tick).map(|ticks| ticks.0);
        let mut due_in = |n: u32| ticks = Some(ticks.map_or(n, |ticks| ticks.min(n)));
        if core.driver.accepting() == Accepting::Starved {
            due_in(ACCEPT_REST);
        }
        if self.drain.is_some() {
            due_in(1);
        }
        // The turn has taken its time since the clock was read.
        let spent = core.driver.now().saturating_sub(core.now.real);
        ticks.map(|ticks| micros_until(&core.now, ticks).saturating_sub(spent))
    }

    /// The time is read once; everything in this turn uses it.
    fn read_clock(&mut self, waited: Option<u64>) {
        let core = &mut self.core;
        let real = core.driver.now();
        core.shard.turn_begins(real);
        let (now, stalled) = self.clock.turn(real, waited);
        core.now = now;
        core.wheel.advance(now.tick);
        core.check_expiries();
        if let Some(micros) = stalled {
            core.shard.stalls.increment();
            log::warn!(
                "reactor {} was kept from running; its deadlines were moved by {} ms",
                core.id,
                micros / 1000
            );
        }
    }

    /// What the driver has done: connections accepted, bytes received, sends completed.
    fn receive(&mut self) {
        let mut handled = 0;
        while let Some(done) = self.core.driver.next() {
            self.handle(done);
            if self.core.output.is_full() {
                self.core.flush();
            }
            handled += 1;
            if handled % RELIEVED_AFTER == 0 && self.core.is_overspent() {
                // What the kernel takes is not shed.
                self.core.flush();
                self.core.shed();
            }
        }
        let (accepts, reads) = self.core.driver.left_over();
        self.core.carry_over_if(accepts, BudgetedPhase::Accept);
        let has_held = !self.core.breathless.is_empty();
        self.core.carry_over_if(reads || has_held, BudgetedPhase::Receive);
        self.check_accepting();
    }

    fn handle(&mut self, done: Done) {
        match done {
            Done::Accepted(peer) => self.core.admit(peer),
            Done::Received(token, chunk) => self.received(token, chunk),
            Done::Sent(token, bytes) => self.core.send_completed(token, bytes),
            Done::Ended(token, ending) => self.core.ended(token, ending),
        }
    }

    /// Keeps the gauges current; the counters count by themselves.
    fn report(&mut self) {
        let core = &mut self.core;
        let shard = &core.shard;
        shard.slots_used.set(core.slots.len() as u64);
        shard.outbox_bytes.set(core.unsent);
        shard.inbox_bytes.set(core.inboxes.bytes());
        shard.wheel_entries.set(core.wheel.entries());
        shard.mailbox_bytes.set(core.shared.mailboxes.bytes(core.id) as u64);
        shard.descriptors_used.set(core.driver.descriptors());
        shard.driven.report(&core.driver.counts());
        let took = core.driver.now().saturating_sub(core.now.real);
        shard.turn_duration.observe_micros(took);
        shard.turn_ends();
    }
}
