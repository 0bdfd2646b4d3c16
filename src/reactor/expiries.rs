//! When the tokens of connections expire, by the wall clock, which their `exp` is written in.
//! Not the deadlines themselves: connections have those, on the reactor's clock.
//!
//! The two clocks part. The reactor's leaves out what stalls took, and does not see that the machine
//! slept; the wall clock can be set. A right does not last longer for any of that.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::clock::Now;
use super::core::Core;
use crate::conn::{CloseReason, Deadline, Tick, Ticks};
use crate::io::Token;

/// Clocks that part by more than this, in microseconds, are looked into. Shorter than any stall.
const PARTED: u64 = 250_000;

/// By slot; empty while no tokens are asked for.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    /// Since 1970 began.
    ends: BTreeMap<u32, Duration>,
    /// How far the wall clock was ahead of the reactor's when that was last looked at, microseconds.
    ahead: u64,
}

impl Expiries {
    /// Notes that the token of a slot's connection is good for so long from now on: until when that is
    /// on the reactor's clock.
    pub fn insert(&mut self, index: u32, stay: Duration, wall: Duration, now: &Now) -> Tick {
        if self.ends.is_empty() {
            self.ahead = ahead(wall, now);
        }
        let end = wall.saturating_add(stay);
        self.ends.insert(index, end);
        tick(end, wall, now)
    }

    /// That slot's connection goes.
    pub fn remove(&mut self, index: u32) {
        self.ends.remove(&index);
    }

    /// When a slot's token expires, if that is so.
    pub fn get(&self, index: u32, now: &Now) -> Option<Tick> {
        self.ends.get(&index).map(|end| tick(*end, wall_clock(), now))
    }

    /// The slots with the ticks that their tokens expire at, if the clocks have parted since this was
    /// last asked.
    fn moved(&mut self, now: &Now, wall: impl FnOnce() -> Duration) -> Vec<(u32, Tick)> {
        if self.ends.is_empty() {
            return Vec::new();
        }
        let wall = wall();
        let before = std::mem::replace(&mut self.ahead, ahead(wall, now));
        if before.abs_diff(self.ahead) <= PARTED {
            self.ahead = before;
            return Vec::new();
        }
        self.ends.iter().map(|(index, end)| (*index, tick(*end, wall, now))).collect()
    }
}

impl Core {
    /// Brings deadlines that tokens set up to date with the wall clock; they come nearer at most.
    pub fn check_expiries(&mut self) {
        for (index, tick) in self.expiries.moved(&self.now, wall_clock) {
            let Some(conn) = self.slots.at(index) else { continue };
            conn.expires_at(tick);
            let token = self.slots.token(index);
            self.arm(token);
        }
    }

    /// Closes a connection whose token has expired, where that is found before the wheel says so.
    pub fn expire_token(&mut self, token: Token) {
        if let Some(counter) = self.shard.deadlines_expired.get(Deadline::Lifetime.index()) {
            counter.increment();
        }
        self.close(token, CloseReason::TokenExpired, None);
    }
}

/// The time since 1970 began. A clock that is set to before that makes every token expired.
pub(super) fn wall_clock() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::MAX)
}

fn ahead(wall: Duration, now: &Now) -> u64 {
    u64::try_from(wall.as_micros()).unwrap_or(u64::MAX).saturating_sub(now.micros)
}

/// One that is good for longer than ticks can tell ends when they can: after 124 days.
fn tick(end: Duration, wall: Duration, now: &Now) -> Tick {
    now.tick.plus(Ticks::from_duration(end.saturating_sub(wall)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn at(micros: u64) -> Now {
        Now { tick: Tick::from_micros(micros), micros, real: micros }
    }

    #[test]
    fn what_a_stall_took_is_not_added_to_a_tokens_life() {
        let mut expiries = Expiries::default();
        let minute = Duration::from_secs(60);
        let end = expiries.insert(7, minute, DAY, &at(5_000_000));
        assert_eq!(end, Tick(6_500));
        // Clocks that go alike, give or take a little.
        let later = DAY + Duration::from_millis(10_200);
        assert_eq!(expiries.moved(&at(15_000_000), || later), []);
        // Half a minute was taken out of the reactor's.
        let later = DAY + Duration::from_secs(40);
        assert_eq!(expiries.moved(&at(15_000_000), || later), [(7, Tick(3_500))]);
        assert_eq!(expiries.moved(&at(15_010_000), || later), [], "it is said once");
        // The machine slept past the end, and then the clock was set back.
        assert_eq!(expiries.moved(&at(16_000_000), || DAY * 2), [(7, Tick(1_600))]);
        assert_eq!(expiries.moved(&at(16_000_000), || DAY), [(7, Tick(7_600))]);
        expiries.remove(7);
        assert_eq!(expiries.moved(&at(17_000_000), || DAY * 3), []);
    }

    #[test]
    fn without_tokens_no_clock_is_read() {
        assert_eq!(Expiries::default().moved(&at(1), || panic!("it is read")), []);
    }
}
