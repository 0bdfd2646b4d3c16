//! The wheel beside a map ordered by time, and what connections ask of it: to be looked at no later
//! than their deadlines, with few entries.
//! Not for deadlines' meaning: a slot here has one, and it moves as the script says.

use std::collections::{BTreeMap, HashMap};

use pulsewheel::conn::{Armed, Tick, Ticks};
use pulsewheel::reactor::Wheel;

use super::script::Script;

/// Where ticks begin: at zero, in the middle of a cascade, and close before wraps.
const STARTS: [u32; 6] = [0, 255, 65_500, (1 << 24) - 20, (1 << 31) - 200, u32::MAX - 300];

/// The furthest that the wheel takes an entry, in ticks.
const FURTHEST: u32 = (1 << 16) - 1;

/// How many entries a slot may have outstanding.
const MOST_ARMED: usize = 7;

/// Slots that only put entries in, and slots that are connections.
const PLAIN: u32 = 4;
const CONNECTIONS: usize = 4;

/// A wheel, and the entries that ought to be in it.
struct Watch {
    wheel: Wheel,
    now: Tick,
    /// How far ahead operations go, in ticks.
    furthest: u32,
    /// Ticks since the start: they do not wrap.
    elapsed: u64,
    entries: BTreeMap<u64, Vec<u32>>,
    /// Which entry of a slot is to be passed over, by the low bits of its tick.
    void: HashMap<u32, u16>,
    armed: [Armed; CONNECTIONS],
    deadlines: [Option<u64>; CONNECTIONS],
    /// Entries that come up and that their connections do not know any more.
    unknown: [u32; CONNECTIONS],
}

/// Unless it is to go far, nothing is further ahead than this, in ticks: each one that passes costs
/// time, and most of the wheel's cascades are near.
const NEAR: u32 = 700;

/// The script: where ticks begin and how far it goes, then operations of three bytes each.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let first = script.byte();
    let now = Tick(STARTS[usize::from(first) % STARTS.len()]);
    let furthest = if first < 16 { FURTHEST } else { NEAR };
    let mut watch = Watch {
        wheel: Wheel::new(now),
        now,
        furthest,
        elapsed: 0,
        entries: BTreeMap::new(),
        void: HashMap::new(),
        armed: [Armed::default(); CONNECTIONS],
        deadlines: [None; CONNECTIONS],
        unknown: [0; CONNECTIONS],
    };
    let mut operations = 0;
    while !script.is_over() && operations < 300 {
        operations += 1;
        watch.operate(&mut script);
        watch.check();
    }
    watch.advance(furthest);
    watch.advance(furthest + 1);
    assert_eq!((watch.wheel.entries(), watch.entries.len()), (0, 0), "forgotten");
    assert_eq!(watch.deadlines, [None; CONNECTIONS], "never looked at");
}

impl Watch {
    fn operate(&mut self, script: &mut Script<'_>) {
        let operation = script.byte();
        let slot = u32::from(operation >> 4) % PLAIN;
        let ahead = u32::from(script.word()) % (self.furthest + 1);
        match operation % 8 {
            0 | 1 => self.insert(slot, ahead),
            2 => self.insert(slot, ahead % 300),
            3 => self.pass_over(slot, ahead),
            4 => self.advance(ahead % 300),
            5 => self.advance(if operation & 0x80 == 0 { ahead } else { ahead % 4_000 }),
            6 => self.set_deadline(slot as usize, 1 + ahead % 4_000),
            _ => self.answer(slot as usize, 1 + ahead),
        }
    }

    fn insert(&mut self, slot: u32, ahead: u32) {
        self.wheel.insert(slot, self.now.plus(Ticks(ahead)));
        let at = self.elapsed + u64::from(ahead.clamp(1, FURTHEST));
        self.entries.entry(at).or_default().push(slot);
    }

    /// Passes over one of the entries that a slot has, if it has any.
    fn pass_over(&mut self, slot: u32, which: u32) {
        let of_slot = self.entries.iter().filter(|(_, slots)| slots.contains(&slot));
        let ticks: Vec<u64> = of_slot.map(|(at, _)| *at).collect();
        let Some(at) = ticks.get(which as usize % ticks.len().max(1)) else { return };
        let tick = self.now.plus(Ticks((at - self.elapsed) as u32));
        assert_eq!(self.wheel.can_pass_over(slot), !self.void.contains_key(&slot));
        self.wheel.pass_over(slot, tick);
        self.void_at(slot, tick);
    }

    fn void_at(&mut self, slot: u32, tick: Tick) {
        // Low bits of 0 name nothing.
        if tick.0 as u16 != 0 {
            self.void.entry(slot).or_insert(tick.0 as u16);
        }
    }

    /// Time passes, and what has come up is taken out: exactly what ought to have.
    fn advance(&mut self, by: u32) {
        let before = (self.now, self.elapsed);
        self.now = self.now.plus(Ticks(by));
        self.elapsed += u64::from(by);
        self.wheel.advance(self.now);
        let later = self.entries.split_off(&(self.elapsed + 1));
        for (at, mut slots) in std::mem::replace(&mut self.entries, later) {
            let tick = before.0.plus(Ticks((at - before.1) as u32));
            self.void_some(tick, &mut slots);
            slots.sort_unstable();
            let mut fired = Vec::new();
            for _ in 0..slots.len() {
                let (fired_at, slot) = self.wheel.pop().expect("an entry that has come up");
                assert_eq!(fired_at, tick, "out of order");
                fired.push(slot);
            }
            let mut sorted = fired.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, slots, "at {tick:?}");
            for slot in fired.into_iter().filter(|slot| *slot >= PLAIN) {
                self.look(slot, tick);
            }
        }
        assert_eq!(self.wheel.pop(), None, "an entry of nobody");
    }

    /// Takes out one entry of each slot that is to be passed over at this tick.
    fn void_some(&mut self, tick: Tick, slots: &mut Vec<u32>) {
        self.void.retain(|slot, low| {
            let at = slots.iter().position(|other| other == slot);
            let Some(at) = at.filter(|_| *low == tick.0 as u16) else { return true };
            slots.swap_remove(at);
            false
        });
    }

    /// A connection's entry came up.
    fn look(&mut self, slot: u32, tick: Tick) {
        let n = (slot - PLAIN) as usize;
        if !self.armed[n].fired(tick) {
            assert!(self.unknown[n] > 0, "an entry that it never made");
            self.unknown[n] -= 1;
            return;
        }
        if self.deadlines[n].is_some_and(|due| due <= self.elapsed) {
            self.deadlines[n] = None;
        } else if self.deadlines[n].is_some() {
            self.arm(n);
        }
    }

    /// A connection's deadline moves, earlier or later.
    fn set_deadline(&mut self, n: usize, ahead: u32) {
        self.deadlines[n] = Some(self.elapsed + u64::from(ahead));
        self.arm(n);
    }

    /// As the reactor does when a ping is answered: the early entry need not come up any more.
    fn answer(&mut self, n: usize, ahead: u32) {
        self.deadlines[n] = Some(self.elapsed + u64::from(ahead));
        let deadline = self.now.plus(Ticks(ahead));
        let slot = PLAIN + n as u32;
        if self.wheel.can_pass_over(slot)
            && let Some(early) = self.armed[n].give_up(self.now, deadline)
        {
            self.wheel.pass_over(slot, early);
            self.unknown[n] += u32::from(early.0 as u16 == 0);
            self.void_at(slot, early);
        }
        self.arm(n);
    }

    fn arm(&mut self, n: usize) {
        let Some(due) = self.deadlines[n] else { return };
        let ahead = (due - self.elapsed) as u32;
        let is_full = self.armed[n].count() == MOST_ARMED;
        if let Some(tick) = self.armed[n].want(self.now, self.now.plus(Ticks(ahead))) {
            let ahead = tick.since(self.now).0;
            assert!(ahead > 0, "an entry in the past");
            self.unknown[n] += u32::from(is_full);
            self.insert(PLAIN + n as u32, ahead);
        }
        assert!(self.armed[n].count() <= MOST_ARMED);
    }

    fn check(&mut self) {
        let entries: usize = self.entries.values().map(Vec::len).sum();
        assert_eq!(self.wheel.entries(), entries as u64);
        let next = self.entries.keys().next().map(|at| Ticks((at - self.elapsed) as u32));
        assert_eq!(self.wheel.next(self.now), next, "how long to sleep");
        for due in self.deadlines.into_iter().flatten() {
            assert!(due > self.elapsed, "a deadline has passed");
        }
    }
}
