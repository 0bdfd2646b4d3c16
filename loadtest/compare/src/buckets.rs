//! Deadlines in a bare array, one bucket for each tick ahead: the cheapest way to have many of them.
//! Not a timing wheel: nothing farther ahead than the array is long, and nothing is ever cancelled.

/// Milliseconds of a tick.
pub const TICK_MILLIS: u32 = 10;

/// Slots by the tick at which each is due.
#[derive(Debug)]
pub struct TickBuckets {
    buckets: Vec<Vec<u32>>,
    /// The last tick that was looked at.
    now: u32,
}

impl TickBuckets {
    /// Room for deadlines up to `span` ticks ahead; the clock stands at tick 0.
    pub fn new(span: u32) -> TickBuckets {
        // One bucket more than ticks ahead, so that the farthest does not meet the one being emptied.
        TickBuckets { buckets: vec![Vec::new(); span as usize + 1], now: 0 }
    }

    /// Has `slot` come up at `tick`, or as near to it as the array reaches; tells the tick it got.
    pub fn insert(&mut self, slot: u32, tick: u32) -> u32 {
        let tick = tick.clamp(self.now + 1, self.now + self.buckets.len() as u32 - 1);
        let place = self.place(tick);
        self.buckets[place].push(slot);
        tick
    }

    /// Moves towards `now`, as far as the first tick with slots; swaps those into `due`, which must
    /// be empty, and tells which tick it is. `None` when `now` is reached.
    pub fn pop_due(&mut self, now: u32, due: &mut Vec<u32>) -> Option<u32> {
        while self.now < now {
            self.now += 1;
            let place = self.place(self.now);
            if !self.buckets[place].is_empty() {
                std::mem::swap(&mut self.buckets[place], due);
                return Some(self.now);
            }
        }
        None
    }

    /// The next tick with slots.
    pub fn next_due(&self) -> Option<u32> {
        let ahead = self.now + 1..self.now + self.buckets.len() as u32;
        ahead.into_iter().find(|tick| !self.buckets[self.place(*tick)].is_empty())
    }

    fn place(&self, tick: u32) -> usize {
        tick as usize % self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_up_at_their_ticks_in_order() {
        let mut buckets = TickBuckets::new(100);
        for (slot, tick) in [(1, 100), (2, 7), (3, 7), (4, 1)] {
            assert_eq!(buckets.insert(slot, tick), tick);
        }
        let mut due = Vec::new();
        let mut seen = Vec::new();
        assert_eq!(buckets.next_due(), Some(1));
        while let Some(tick) = buckets.pop_due(99, &mut due) {
            seen.push((tick, std::mem::take(&mut due)));
        }
        assert_eq!(seen, [(1, vec![4]), (7, vec![2, 3])]);
        assert_eq!(buckets.next_due(), Some(100));
        assert_eq!(buckets.pop_due(100, &mut due), Some(100));
        assert_eq!((due, buckets.next_due()), (vec![1], None));
    }

    #[test]
    fn the_array_goes_round_and_keeps_what_is_farthest_ahead_apart() {
        let mut buckets = TickBuckets::new(4);
        let mut due = Vec::new();
        for tick in 1..50 {
            assert_eq!(buckets.insert(tick, tick + 3), tick + 3);
            let popped = buckets.pop_due(tick, &mut due);
            assert_eq!(popped.is_some(), tick > 3);
            assert!(due.drain(..).all(|slot| slot + 3 == tick));
        }
    }

    #[test]
    fn what_is_late_or_too_far_comes_up_as_near_as_can_be() {
        let mut buckets = TickBuckets::new(10);
        assert_eq!(buckets.pop_due(5, &mut Vec::new()), None);
        assert_eq!(buckets.insert(1, 2), 6);
        assert_eq!(buckets.insert(2, 1000), 15);
    }
}
