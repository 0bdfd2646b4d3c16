//! Time as deadlines see it: ticks of ten milliseconds in 32 bits.
//! Not for measuring: latencies are counted in microseconds elsewhere.

use std::time::Duration;

use crate::mutation::{self, Mutation};

/// One tick in microseconds: fine enough for a deadline, coarse enough to sleep between.
pub const TICK_MICROS: u64 = 10_000;

/// A span of time in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ticks(pub u32);

impl Ticks {
    /// `duration` rounded up, so that nothing expires early.
    pub fn from_duration(duration: Duration) -> Ticks {
        let ticks = duration.as_micros().div_ceil(u128::from(TICK_MICROS));
        Ticks(u32::try_from(ticks).unwrap_or(u32::MAX).min(Ticks::LONGEST.0))
    }

    /// This span and another.
    pub fn and(self, other: Ticks) -> Ticks {
        Ticks(self.0.saturating_add(other.0))
    }

    /// What is left of this span without `other`.
    pub fn less(self, other: Ticks) -> Ticks {
        Ticks(self.0.saturating_sub(other.0))
    }

    /// A quarter of the range of [`Tick`] (about 124 days): comparing stays unambiguous.
    pub const LONGEST: Ticks = Ticks(u32::MAX / 4);
}

/// A point in time; it wraps after 497 days, so only points within half of that compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Tick(pub u32);

impl Tick {
    /// The tick in which `micros` since the start falls.
    #[expect(clippy::cast_possible_truncation, reason = "ticks wrap")]
    pub fn from_micros(micros: u64) -> Tick {
        Tick((micros / TICK_MICROS) as u32)
    }

    /// Its low half, which names it among ticks that are near.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is asked for")]
    pub fn low(self) -> u16 {
        self.0 as u16
    }

    /// This point moved later.
    pub fn plus(self, span: Ticks) -> Tick {
        Tick(self.0.wrapping_add(span.0))
    }

    /// This point moved earlier.
    pub fn minus(self, span: Ticks) -> Tick {
        Tick(self.0.wrapping_sub(span.0))
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn since(self, earlier: Tick) -> Ticks {
        if self.is_before(earlier) { Ticks(0) } else { Ticks(self.0.wrapping_sub(earlier.0)) }
    }

    /// True if this comes before `other`.
    pub fn is_before(self, other: Tick) -> bool {
        if mutation::is(Mutation::IgnoreTickWrap) {
            return self.0 < other.0;
        }
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// True if this comes before `other` or is the same.
    pub fn has_come(self, now: Tick) -> bool {
        !now.is_before(self)
    }

    /// The earlier of two.
    pub fn earlier(self, other: Tick) -> Tick {
        if other.is_before(self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_compare_across_the_wrap() {
        let before = Tick(u32::MAX - 5);
        let after = before.plus(Ticks(10));
        assert_eq!(after, Tick(4));
        assert!(before.is_before(after) && !after.is_before(before));
        assert_eq!(after.since(before), Ticks(10));
        assert_eq!(before.since(after), Ticks(0));
        assert_eq!(after.earlier(before), before);
    }

    #[test]
    fn durations_round_up() {
        assert_eq!(Ticks::from_duration(Duration::from_millis(1)), Ticks(1));
        assert_eq!(Ticks::from_duration(Duration::from_secs(25)), Ticks(2_500));
        assert_eq!(Ticks::from_duration(Duration::MAX), Ticks::LONGEST);
    }
}
