//! Which wheel entries a connection has outstanding, so that none is forgotten and few are made.
//! Not for what they mean: an entry only says "look at this connection now".
//!
//! The wheel can't cancel. A deadline that moves later needs no new entry: the old one fires and
//! the connection is put back. One that moves earlier needs a second entry, and the first stays
//! in the wheel. Remembering all of them lets a later deadline lean on one that is there already,
//! and bounds their number: each new entry is earlier than all others, hence belongs to a kind of
//! deadline with a shorter span than theirs, and there are no more kinds than room here.

use super::tick::{Tick, Ticks};
use crate::mutation::{self, Mutation};

/// An entry is never set further ahead than this (ten minutes), so 16 bits name its tick, and
/// what seems further ahead is an entry that is due and has not been handled yet.
pub const HORIZON: Ticks = Ticks(60_000);

const ROOM: usize = 7;

/// The low 16 bits of each outstanding entry's tick, the latest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Armed {
    ticks: [u16; ROOM],
    count: u8,
}

impl Armed {
    /// Wants a look at `deadline` at the latest. Some(tick) if an entry must be made for it.
    pub fn want(&mut self, now: Tick, deadline: Tick) -> Option<Tick> {
        let ahead = deadline.since(now).clamp(Ticks(1), HORIZON);
        if let Some(earliest) = self.earliest()
            && (distance(now, earliest) <= ahead.0 || mutation::is(Mutation::LeanOnLaterEntry))
        {
            return None;
        }
        let tick = now.plus(ahead);
        if usize::from(self.count) == ROOM {
            // Only limits that shrink again and again while it waits can lead here. The latest
            // entry is forgotten; when it fires, nobody will know it.
            self.ticks.copy_within(1.., 0);
            self.count = self.count.saturating_sub(1);
        }
        let slot = self.ticks.get_mut(usize::from(self.count))?;
        *slot = tick.low();
        self.count = self.count.saturating_add(1);
        Some(tick)
    }

    /// An entry fired at `tick`. False if this connection never made it.
    pub fn fired(&mut self, tick: Tick) -> bool {
        let count = usize::from(self.count);
        let Some(live) = self.ticks.get_mut(..count) else { return false };
        // The earliest stands last and fires first, so this finds it at once.
        let Some(at) = live.iter().rposition(|&low| low == tick.low()) else { return false };
        live.copy_within(at.saturating_add(1).., at);
        self.count = self.count.saturating_sub(1);
        true
    }

    /// Lets go of the earliest entry where it would fire before `deadline`, for nothing: its tick.
    ///
    /// Whoever asks sees to it that the entry is passed over when it comes up.
    pub fn give_up(&mut self, now: Tick, deadline: Tick) -> Option<Tick> {
        let ahead = distance(now, self.earliest()?);
        if ahead == 0 || ahead >= deadline.since(now).0 {
            return None;
        }
        self.count = self.count.saturating_sub(1);
        Some(now.plus(Ticks(ahead)))
    }

    /// How many entries are outstanding.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The low halves of their ticks, the latest first.
    #[cfg(feature = "simulation")]
    pub fn ticks(&self) -> &[u16] {
        self.ticks.get(..usize::from(self.count)).unwrap_or(&[])
    }

    fn earliest(&self) -> Option<u16> {
        self.ticks.get(usize::from(self.count).checked_sub(1)?).copied()
    }
}

/// How far ahead of `now` the tick with these low bits lies; zero if it is due.
fn distance(now: Tick, low: u16) -> u32 {
    let ahead = u32::from(low.wrapping_sub(now.low()));
    if ahead > HORIZON.0 { 0 } else { ahead }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_deadline_needs_no_entry_and_an_earlier_one_does() {
        let mut armed = Armed::default();
        let now = Tick(u32::MAX - 3);
        assert_eq!(armed.want(now, now.plus(Ticks(100))), Some(now.plus(Ticks(100))));
        assert_eq!(armed.want(now, now.plus(Ticks(200))), None);
        assert_eq!(armed.want(now, now.plus(Ticks(50))), Some(now.plus(Ticks(50))));
        assert_eq!(armed.count(), 2);
        let then = now.plus(Ticks(50));
        assert!(armed.fired(then));
        assert_eq!(armed.want(then, then.plus(Ticks(70))), None, "leans on the first entry");
        assert!(armed.fired(now.plus(Ticks(100))));
        assert!(!armed.fired(now.plus(Ticks(100))));
        assert_eq!(armed.count(), 0);
    }

    #[test]
    fn entries_never_exceed_their_room_and_the_earliest_is_never_missed() {
        let mut armed = Armed::default();
        let now = Tick(7);
        for n in (0..20).rev() {
            assert!(armed.want(now, now.plus(Ticks(10 + n))).is_some());
        }
        assert_eq!(armed.count(), ROOM);
        assert!(armed.fired(now.plus(Ticks(10))));
        assert!(!armed.fired(now.plus(Ticks(29))), "forgotten");
    }

    #[test]
    fn an_entry_that_would_come_too_early_can_be_let_go() {
        let now = Tick(u32::MAX - 5);
        let mut armed = Armed::default();
        armed.want(now, now.plus(Ticks(100)));
        assert_eq!(armed.give_up(now, now.plus(Ticks(100))), None, "it is the one wanted");
        assert_eq!(armed.give_up(now, now.plus(Ticks(250))), Some(now.plus(Ticks(100))));
        assert_eq!(armed.count(), 0);
        assert_eq!(armed.give_up(now, now.plus(Ticks(250))), None);
        let then = now.plus(Ticks(100));
        armed.want(now, then);
        assert_eq!(armed.give_up(then, then.plus(Ticks(9))), None, "it is due");
    }

    #[test]
    fn a_far_deadline_is_looked_at_on_the_way() {
        let mut armed = Armed::default();
        let day = Ticks(8_640_000);
        assert_eq!(armed.want(Tick(0), Tick(0).plus(day)), Some(Tick(HORIZON.0)));
    }
}
