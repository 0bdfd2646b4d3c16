//! The timing wheel: which slot is to be looked at when. An entry costs eight bytes and O(1).
//! Not for deadlines themselves: an entry names a slot, and its tenant knows whether it set it. The
//! few that name a shard of the table of addresses instead are told apart by their highest bit.
//!
//! `hierarchical_hash_wheel_timer` does the work. Around it stands what it lacks: a bitmap of
//! coming ticks, so that an idle reactor sleeps through the empty ones, and a queue of what has
//! fired, so that a mass expiry is dealt with in portions.

use std::collections::VecDeque;
use std::time::Duration;

use hierarchical_hash_wheel_timer::wheels::quad_wheel::QuadWheelWithOverflow;

use crate::conn::{Tick, Ticks};
use crate::mutation::{self, Mutation};

/// Entries lie less than this many ticks ahead (see `conn::Armed`), so a bit for each names it.
const SPAN: usize = 1 << 16;
const WORDS: usize = SPAN / 64;

/// A wheel and what has fired in it.
pub struct Wheel {
    wheel: QuadWheelWithOverflow<u32>,
    /// The tick up to which the wheel has turned.
    at: Tick,
    /// Which of the next `SPAN` ticks have entries.
    coming: Box<[u64; WORDS]>,
    fired: VecDeque<(Tick, Vec<u32>)>,
    entries: u64,
    /// For each slot the low bits of the tick of an entry that is passed over when it fires; 0 for
    /// none. A slot need not be looked at then, and with very many connections to look is to wait
    /// for memory.
    void: Vec<u16>,
    /// The ticks of each slot's entries, for the simulator: the crate's wheel can't be looked into.
    #[cfg(feature = "simulation")]
    ledger: Vec<Vec<Tick>>,
}

impl Wheel {
    /// An empty wheel standing at `now`.
    pub fn new(now: Tick) -> Self {
        let mut wheel = QuadWheelWithOverflow::default();
        // The crate's clock starts at zero; ours need not, and the cascade must agree with it.
        wheel.skip(now.0);
        Wheel {
            wheel,
            at: now,
            coming: vec![0; WORDS].try_into().unwrap_or_else(|_| Box::new([0; WORDS])),
            fired: VecDeque::new(),
            entries: 0,
            void: Vec::new(),
            #[cfg(feature = "simulation")]
            ledger: Vec::new(),
        }
    }

    /// Has a slot come up at `tick`, or at the next tick if that has passed.
    pub fn insert(&mut self, slot: u32, tick: Tick) {
        let ahead = tick.since(self.at).0.clamp(1, SPAN as u32 - 1);
        let tick = self.at.plus(Ticks(ahead));
        // One crate tick is one of its milliseconds.
        let delay = Duration::from_millis(u64::from(ahead));
        if self.wheel.insert_with_delay(slot, delay).is_ok() {
            self.entries += 1;
            #[cfg(feature = "simulation")]
            self.note(slot, tick);
            let (word, bit) = place(tick);
            if let Some(word) = self.coming.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// Whether an entry of this slot can be passed over: only one at a time can.
    pub fn can_pass_over(&self, slot: u32) -> bool {
        self.void.get(slot as usize).is_none_or(|tick| *tick == 0)
    }

    /// The slot's entry at `tick` is to be passed over. Where it has another at the same tick, one
    /// of the two still comes up; where another of its entries is passed over already, both do.
    pub fn pass_over(&mut self, slot: u32, tick: Tick) {
        let at = slot as usize;
        if !self.can_pass_over(slot) {
            return;
        }
        if self.void.len() <= at {
            self.void.resize(at + 1, 0);
        }
        if let Some(void) = self.void.get_mut(at) {
            // Low bits of 0 say nothing, and that entry comes up like any other.
            *void = tick.0 as u16;
        }
    }

    /// The next slots that `pop` will name, as far as they fired together; at most so many.
    pub fn ahead(&self, most: usize) -> &[u32] {
        let Some((_, slots)) = self.fired.front() else { return &[] };
        slots.get(slots.len().saturating_sub(most)..).unwrap_or(&[])
    }

    /// Turns the wheel up to `now`; what fires is kept for `pop`.
    pub fn advance(&mut self, now: Tick) {
        if self.entries == 0 && self.at.is_before(now) {
            // A server may have had no connection for weeks.
            self.wheel.skip(now.since(self.at).0);
            self.at = now;
        }
        while self.at.is_before(now) {
            self.at = self.at.plus(Ticks(1));
            let fired = self.wheel.tick();
            let (word, bit) = place(self.at);
            if let Some(word) = self.coming.get_mut(word) {
                *word &= !bit;
            }
            if !fired.is_empty() {
                self.fired.push_back((self.at, fired));
            }
        }
    }

    /// The next entry that has fired, with the tick it was set for.
    pub fn pop(&mut self) -> Option<(Tick, u32)> {
        loop {
            let (tick, slots) = self.fired.front_mut()?;
            if let Some(slot) = slots.pop() {
                self.entries -= 1;
                #[cfg(feature = "simulation")]
                strike(&mut self.ledger, slot, *tick);
                let void = self.void.get_mut(slot as usize);
                if let Some(void) = void.filter(|void| **void != 0 && **void == tick.0 as u16) {
                    *void = 0;
                    continue;
                }
                return Some((*tick, slot));
            }
            self.fired.pop_front();
        }
    }

    /// How long after `now` the next entry comes up; `None` if there is none.
    pub fn next(&self, now: Tick) -> Option<Ticks> {
        if !self.fired.is_empty() {
            return Some(Ticks(0));
        }
        let ahead = self.next_ahead()?;
        let ahead = if mutation::is(Mutation::Oversleep) { ahead + 25 } else { ahead };
        Some(self.at.plus(Ticks(ahead)).since(now))
    }

    /// Entries in the wheel, fired ones included.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    #[cfg(feature = "simulation")]
    fn note(&mut self, slot: u32, tick: Tick) {
        if slot & super::admission::SHARD_ENTRY != 0 {
            return;
        }
        let at = slot as usize;
        if self.ledger.len() <= at {
            self.ledger.resize(at + 1, Vec::new());
        }
        self.ledger.get_mut(at).into_iter().for_each(|ticks| ticks.push(tick));
    }

    /// The ticks of a slot's entries, without one that is to be passed over.
    #[cfg(feature = "simulation")]
    pub fn entries_of(&self, slot: u32) -> Vec<Tick> {
        let mut ticks = self.ledger.get(slot as usize).cloned().unwrap_or_default();
        let void = self.void.get(slot as usize).copied().unwrap_or(0);
        let passed_over = ticks.iter().position(|tick| void != 0 && tick.0 as u16 == void);
        passed_over.map(|at| ticks.swap_remove(at));
        ticks
    }

    /// Ticks from `at` to the next one with a bit: the rest of its word, then word by word.
    fn next_ahead(&self) -> Option<u32> {
        let start = self.at.plus(Ticks(1)).0 as usize % SPAN;
        let (first, shift) = (start / 64, start % 64);
        let rest = self.coming.get(first)? >> shift;
        if rest != 0 {
            return Some(1 + rest.trailing_zeros());
        }
        let mut ahead = 1 + (64 - shift) as u32;
        for n in 1..=WORDS {
            let word = self.coming.get((first + n) % WORDS)?;
            if *word != 0 {
                return Some(ahead + word.trailing_zeros());
            }
            ahead += 64;
        }
        None
    }
}

#[cfg(feature = "simulation")]
fn strike(ledger: &mut [Vec<Tick>], slot: u32, tick: Tick) {
    let Some(ticks) = ledger.get_mut(slot as usize) else { return };
    ticks.iter().position(|at| *at == tick).map(|at| ticks.swap_remove(at));
}

fn place(tick: Tick) -> (usize, u64) {
    let at = tick.0 as usize % SPAN;
    (at / 64, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(wheel: &mut Wheel, now: Tick) -> Vec<(Tick, u32)> {
        wheel.advance(now);
        std::iter::from_fn(|| wheel.pop()).collect()
    }

    /// Near the wrap of 32 bits too, and whatever the cascade's state at the start.
    #[test]
    fn every_entry_fires_at_its_tick_and_sleep_ends_there() {
        let mut random = fastrand::Rng::with_seed(7);
        for start in [0, 1, 255, 256, 65_535, u32::MAX - 300, u32::MAX - 70_000, 1 << 31] {
            let mut now = Tick(start);
            let mut wheel = Wheel::new(now);
            let mut expected: Vec<(u32, u32)> = (0..500)
                .map(|index| {
                    let ahead = random.u32(1..60_000);
                    wheel.insert(index, now.plus(Ticks(ahead)));
                    (ahead, index)
                })
                .collect();
            expected.sort_unstable();
            let mut seen = Vec::new();
            while let Some(sleep) = wheel.next(now) {
                assert!(sleep.0 > 0);
                now = now.plus(sleep);
                let batch = fired(&mut wheel, now);
                assert!(!batch.is_empty(), "woken for nothing");
                seen.extend(batch.iter().map(|(tick, n)| (tick.since(Tick(start)).0, *n)));
            }
            seen.sort_unstable();
            assert_eq!(seen, expected);
            assert_eq!(wheel.entries(), 0);
        }
    }

    #[test]
    fn an_empty_wheel_passes_over_months_and_then_fires_at_the_tick() {
        let mut random = fastrand::Rng::with_seed(9);
        let mut now = Tick(0);
        let mut wheel = Wheel::new(now);
        for _ in 0..1_000 {
            now = now.plus(Ticks(random.u32(0..1 << 30)));
            assert_eq!(fired(&mut wheel, now), []);
            let ahead = Ticks(random.u32(1..60_000));
            wheel.insert(3, now.plus(ahead));
            assert_eq!(wheel.next(now), Some(ahead));
            assert_eq!(fired(&mut wheel, now.plus(Ticks(ahead.0 - 1))), []);
            now = now.plus(ahead);
            assert_eq!(fired(&mut wheel, now), [(now, 3)]);
        }
    }

    #[test]
    fn what_is_overdue_fires_at_the_next_tick() {
        let mut wheel = Wheel::new(Tick(100));
        wheel.insert(1, Tick(50));
        assert_eq!(wheel.next(Tick(100)), Some(Ticks(1)));
        assert_eq!(fired(&mut wheel, Tick(101)), [(Tick(101), 1)]);
    }

    #[test]
    fn an_entry_that_is_passed_over_comes_up_for_nobody_and_the_next_one_does() {
        let mut wheel = Wheel::new(Tick(0));
        for (slot, tick) in [(1, 10), (2, 10), (1, 20), (3, 10)] {
            wheel.insert(slot, Tick(tick));
        }
        wheel.pass_over(1, Tick(10));
        assert!(!wheel.can_pass_over(1));
        wheel.pass_over(1, Tick(20));
        wheel.pass_over(2, Tick(1 << 16));
        assert_eq!(fired(&mut wheel, Tick(10)), [(Tick(10), 3), (Tick(10), 2)]);
        assert_eq!(fired(&mut wheel, Tick(20)), [(Tick(20), 1)]);
        assert_eq!(wheel.entries(), 0);
        assert!(wheel.can_pass_over(1));
    }

    #[test]
    fn of_two_entries_at_one_tick_one_still_comes_up() {
        let mut wheel = Wheel::new(Tick(0));
        wheel.insert(1, Tick(10));
        wheel.insert(1, Tick(10));
        wheel.pass_over(1, Tick(10));
        assert_eq!(fired(&mut wheel, Tick(10)), [(Tick(10), 1)]);
    }

    #[test]
    fn a_long_sleep_fires_everything_in_order() {
        let mut wheel = Wheel::new(Tick(0));
        for index in 0..1000 {
            wheel.insert(index, Tick(1 + index * 50));
        }
        let ticks: Vec<_> = fired(&mut wheel, Tick(100_000)).iter().map(|(t, _)| t.0).collect();
        assert_eq!(ticks.len(), 1000);
        assert!(ticks.is_sorted());
    }
}
