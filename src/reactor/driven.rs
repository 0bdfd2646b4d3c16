//! What one reactor's driver counts, where others can read it.
//! Not the counting: a driver does that by itself, and the reactor reports it once a turn.

use super::meters::{Counter, Gauge};
use crate::io::Counts;

/// One driver's counts. They stay at zero where the driver is one of readiness, which has no requests.
#[derive(Debug)]
pub struct Driven {
    /// Requests that are with the kernel.
    pub requests: Gauge,
    /// Receive buffers that are with the reactor.
    pub buffers_lent: Gauge,
    /// What has happened, in the order of [`Counts::EVENTS`].
    pub events: [Counter; Counts::EVENTS.len()],
}

impl Driven {
    pub(super) const fn new() -> Self {
        Driven {
            requests: Gauge::new(),
            buffers_lent: Gauge::new(),
            events: [const { Counter::new() }; Counts::EVENTS.len()],
        }
    }

    /// Takes over what the driver has counted so far.
    #[inline]
    pub(super) fn report(&self, counts: &Counts) {
        self.requests.set(counts.requests);
        self.buffers_lent.set(counts.buffers_lent);
        for (counter, sum) in self.events.iter().zip(counts.events()) {
            counter.reach(sum);
        }
    }
}
