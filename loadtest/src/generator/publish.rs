//! The open loop of a broadcast: which publisher is to send when.
//! Not what subscribers make of it; that is `ledger`.

use std::time::Duration;

use slab::Slab;

use super::client::Client;
use super::work::Work;
use super::{Generator, Shared, append_message};
use crate::error::Failure;
use crate::plan::Traffic;

/// Messages that one turn sends at most.
const BUDGET: usize = 64;

/// This thread's part of the timetable. Message number `m` of the whole run is due `m / rate`
/// seconds after the start, and is publisher `m % publishers`'s.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Slot and number of this thread's publishers, by number.
    own: Vec<(usize, u32)>,
    publishers: u32,
    rate: f64,
    start: Duration,
    round: u64,
    next: usize,
}

impl Schedule {
    /// A timetable that starts at `start`, for the publishers in `fleet`.
    pub(super) fn new(fleet: &Slab<Client>, shared: &Shared, start: Duration) -> Schedule {
        let (publishers, rate) = match shared.plan.traffic {
            Traffic::FanOut { publishers, rate } => (publishers, rate),
            Traffic::Echo => (0, 1.0),
        };
        let publishes = |client: &Client| client.is_open() && client.id < publishers;
        let own = fleet.iter().filter(|(_, client)| publishes(client));
        let mut own: Vec<(usize, u32)> = own.map(|(slot, client)| (slot, client.id)).collect();
        own.sort_by_key(|(_, id)| *id);
        Schedule { own, publishers, rate, start, round: 0, next: 0 }
    }

    /// Who is next, and when.
    fn due(&self) -> Option<(usize, Duration)> {
        let (slot, id) = *self.own.get(self.next)?;
        let message = self.round * u64::from(self.publishers) + u64::from(id);
        Some((slot, self.start + Duration::from_secs_f64(message as f64 / self.rate)))
    }

    fn advance(&mut self) {
        self.next += 1;
        if self.next >= self.own.len() {
            self.next = 0;
            self.round += 1;
        }
    }

    /// The connection in `slot` is gone; its messages are not sent.
    pub(super) fn forget(&mut self, slot: usize) {
        if let Some(index) = self.own.iter().position(|(own, _)| *own == slot) {
            self.own.remove(index);
            if index < self.next {
                self.next -= 1;
            }
            if self.next >= self.own.len() {
                self.next = 0;
                self.round += 1;
            }
        }
    }
}

impl Generator {
    /// Sends what is due, and sets the alarm for what comes next.
    pub(super) fn publish_due(&mut self) -> Result<(), Failure> {
        for _ in 0..BUDGET {
            let Work::Publishing(schedule) = &mut self.work else { return Ok(()) };
            let Some((slot, due)) = schedule.due() else { return Ok(()) };
            let now = self.shared.epoch.elapsed();
            // A publisher whose socket is full is asked again later; its messages keep their times.
            if due > now || self.fleet[slot].is_blocked() {
                let wait = due.saturating_sub(now).max(Duration::from_micros(20));
                return self.alarm.set(wait).map_err(Failure::system("cannot set a timer"));
            }
            schedule.advance();
            self.scratch.clear();
            let stamp = self.ledger.send(slot, &mut self.fleet[slot], due);
            append_message(&mut self.scratch, &self.payloads, stamp, self.shared.plan.seed);
            self.send_scratch(slot)?;
        }
        self.alarm.set(Duration::ZERO).map_err(Failure::system("cannot set a timer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(own: &[u32], publishers: u32, rate: f64) -> Schedule {
        let own = own.iter().map(|id| (*id as usize + 100, *id)).collect();
        Schedule { own, publishers, rate, start: Duration::from_secs(1), round: 0, next: 0 }
    }

    #[test]
    fn the_threads_together_keep_the_rate() {
        let mut times = Vec::new();
        for own in [&[0u32, 2][..], &[1][..]] {
            let mut schedule = schedule(own, 3, 10.0);
            while let Some((_, due)) = schedule.due().filter(|(_, due)| due.as_secs() < 4) {
                times.push(due);
                schedule.advance();
            }
        }
        times.sort();
        assert_eq!(times.len(), 30);
        for pair in times.windows(2) {
            let gap = (pair[1] - pair[0]).as_secs_f64();
            assert!((gap - 0.1).abs() < 1e-6, "{gap}");
        }
    }

    #[test]
    fn a_lost_publisher_leaves_the_others_on_time() {
        let mut schedule = schedule(&[0, 1, 2], 3, 3.0);
        schedule.advance();
        schedule.forget(101);
        assert_eq!(schedule.due().map(|(slot, _)| slot), Some(102));
        schedule.advance();
        assert_eq!(schedule.due(), Some((100, Duration::from_secs(2))));
        schedule.forget(100);
        schedule.forget(102);
        assert_eq!(schedule.due(), None);
    }
}
