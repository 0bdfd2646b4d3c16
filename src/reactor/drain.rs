//! Draining: no new connections, and those there are closed evenly over a window.
//! Not for signals or for when to begin: the server says that.

use std::time::Duration;

use super::Reactor;
use super::core::Core;
use crate::conn::{CloseReason, Phase, Tick, Ticks};
use crate::mutation::{self, Mutation};

/// Connections asked to go in one turn.
const BATCH: u64 = 1024;

/// How connections ended while a drain was on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub closed: u64,
    pub dropped: u64,
}

impl Tally {
    pub fn count(&mut self, was_reset: bool) {
        if was_reset {
            self.dropped += 1;
        } else {
            self.closed += 1;
        }
    }
}

/// A drain under way.
#[derive(Debug)]
pub(super) struct Drain {
    begun: Tick,
    window: Ticks,
    /// Connections there were at the beginning.
    total: u64,
    /// Slots that have been passed.
    next: u32,
    /// Connections that have been asked to go.
    asked: u64,
    has_waited_out: bool,
}

impl Drain {
    pub fn begin(core: &mut Core, window: Duration) -> Self {
        core.driver.stop_listening();
        core.drained = Some(Tally::default());
        Drain {
            begun: core.now.tick,
            window: Ticks::from_duration(window),
            total: core.slots.len() as u64,
            next: 0,
            asked: 0,
            has_waited_out: false,
        }
    }

    /// True once the window and the close timeout have passed: nobody is waited for any more.
    pub fn has_waited_out(&self) -> bool {
        self.has_waited_out
    }

    /// How many should have been asked to go by now.
    fn due(&self, now: Tick) -> u64 {
        let passed = now.since(self.begun).0;
        if passed >= self.window.0 {
            return u64::MAX;
        }
        self.total * u64::from(passed) / u64::from(self.window.0.max(1))
    }

    fn is_over(&self, now: Tick) -> bool {
        now.since(self.begun) >= self.window
    }
}

impl Reactor {
    /// Asks as many connections to go as are due; past the window, whoever is left.
    pub(super) fn drain(&mut self) {
        let Some(drain) = &mut self.drain else { return };
        let core = &mut self.core;
        let due = drain.due(core.now.tick).min(drain.asked + BATCH);
        while drain.asked < due && drain.next < core.slots.end() {
            let index = drain.next;
            drain.next += 1;
            let is_open = core.slots.at(index).is_some_and(|conn| conn.phase() == Phase::Open);
            if is_open && !mutation::is(Mutation::DrainWithoutClosing) {
                core.close(core.slots.token(index), CloseReason::Draining, None);
                drain.asked += 1;
            }
            if core.output.is_full() {
                core.flush();
            }
        }
        if drain.is_over(core.now.tick) {
            if drain.next >= core.slots.end() {
                // Whoever slipped into a slot that was passed already.
                drain.next = 0;
            }
            core.is_past_drain = true;
            let last = drain.window.0 + core.limits.close.0;
            if core.now.tick.since(drain.begun).0 > last {
                drain.has_waited_out = true;
                self.drop_stragglers();
            }
        }
    }

    /// The wait is over: whoever is left is dropped, a batch in each turn.
    fn drop_stragglers(&mut self) {
        let mut left = BATCH;
        for index in 0..self.core.slots.end() {
            if self.core.slots.at(index).is_none() {
                continue;
            }
            let reads = match mutation::is(Mutation::DropUnheard) {
                true => 0,
                false => self.hear_out(self.core.slots.token(index)),
            };
            let core = &mut self.core;
            let Some(conn) = core.slots.at(index) else { continue };
            // Both sides have said goodbye where only the peer's FIN is missing.
            let reason = conn.reason().filter(|_| conn.phase() == Phase::Lingering);
            let token = core.slots.token(index);
            core.doom_overdue(token, reason.unwrap_or(CloseReason::DrainDropped));
            left = left.saturating_sub(1 + reads);
            if left == 0 {
                return;
            }
        }
    }
}

impl Core {
    /// Hands this reactor's counts to the server.
    pub fn settle_tally(&mut self) {
        if let Some(tally) = &mut self.drained {
            let counted = std::mem::take(tally);
            let order = std::sync::atomic::Ordering::Relaxed;
            self.shared.drained.fetch_add(counted.closed, order);
            self.shared.dropped.fetch_add(counted.dropped, order);
        }
    }
}
