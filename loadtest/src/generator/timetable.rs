//! The open loop's timetable: which connection is to send when, whatever the server does.
//! Not the sending, nor what becomes of the answers; that is `open_loop` and `ledger`.

use std::time::Duration;

use super::Generator;
use super::client::Client;

/// This thread's part of a timetable. Message number `m` of the whole scene is due `m / rate`
/// seconds after its start, and is sent by connection `m % connections`.
#[derive(Debug)]
pub(super) struct Timetable {
    /// Slot and number of this thread's connections, by number.
    own: Vec<(usize, u32)>,
    connections: u32,
    rate: f64,
    start: Duration,
    round: u64,
    next: usize,
}

impl Timetable {
    /// A timetable from `start` on, for the open connections of this thread whose numbers are
    /// below `connections`: all threads together send `rate` messages a second.
    pub(super) fn new(
        generator: &Generator,
        connections: u32,
        rate: f64,
        start: Duration,
    ) -> Timetable {
        let takes_part = |client: &Client| client.is_open() && client.id < connections;
        let own = generator.fleet.iter().filter(|(_, client)| takes_part(client));
        let mut own: Vec<(usize, u32)> = own.map(|(slot, client)| (slot, client.id)).collect();
        own.sort_by_key(|(_, id)| *id);
        Timetable { own, connections, rate, start, round: 0, next: 0 }
    }

    /// Whose turn is next, by slot and number, and when. The connection may be gone by then.
    pub(super) fn due(&self) -> Option<(usize, u32, Duration)> {
        let (slot, id) = *self.own.get(self.next)?;
        let message = self.round * u64::from(self.connections) + u64::from(id);
        let after = Duration::try_from_secs_f64(message as f64 / self.rate);
        Some((slot, id, self.start.saturating_add(after.unwrap_or(Duration::MAX))))
    }

    /// The turn that [`Timetable::due`] named was taken.
    pub(super) fn advance(&mut self) {
        self.next += 1;
        if self.next >= self.own.len() {
            self.next = 0;
            self.round += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threads_together_keep_the_rate() {
        let mut times = Vec::new();
        for own in [&[0u32, 2][..], &[1][..]] {
            let own = own.iter().map(|id| (*id as usize + 100, *id)).collect();
            let start = Duration::from_secs(1);
            let mut table = Timetable { own, connections: 3, rate: 10.0, start, round: 0, next: 0 };
            while let Some((_, _, due)) = table.due().filter(|(_, _, due)| due.as_secs() < 4) {
                times.push(due);
                table.advance();
            }
        }
        times.sort();
        assert_eq!(times.len(), 30);
        for pair in times.windows(2) {
            let gap = (pair[1] - pair[0]).as_secs_f64();
            assert!((gap - 0.1).abs() < 1e-6, "{gap}");
        }
    }
}
