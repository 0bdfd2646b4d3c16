//! The heartbeat of one connection: when a ping is due, when it counts, what answers it.
//! Not for carrying out the verdict; `expiry` pronounces it and the reactor acts.

use super::{Conn, Limits, Spread, Tick, Ticks, flag};
use crate::proto::Acknowledged;

/// Unacknowledged bytes up to here may be the ping itself and a SYN counted as a byte.
const CONTROL_SLACK: u64 = 4;

impl Conn {
    /// Has the next ping fall anywhere within an interval but for its first quarter, so that peers
    /// that came together do not ping as one (at a third above the mean) and none at once.
    pub fn spread_heartbeat(&mut self, now: Tick, limits: &Limits, spread: &mut Spread) {
        if let Some(interval) = limits.ping
            && !self.has(flag::PING_ASKED)
        {
            self.heartbeat = spread.draw(now, (quiet(interval), interval), now, interval);
        }
    }

    /// When its next ping is planned, as far as can be told.
    pub fn next_ping(&self, limits: &Limits) -> Option<Tick> {
        let interval = limits.ping?;
        let asked = self.flags & (flag::PING_ASKED | flag::PING_QUEUED) != 0;
        Some(if asked { self.heartbeat.plus(interval) } else { self.heartbeat })
    }

    /// A peer that spoke within the last quarter of the interval need not be asked. The new time is
    /// random within what is left of the interval, so that peers that all spoke at once do not ping
    /// as one; and it is never later than an interval after the last
    /// byte, so that death is noticed in time.
    pub(super) fn may_ping_later(
        &mut self,
        now: Tick,
        limits: &Limits,
        spread: &mut Spread,
    ) -> bool {
        let Some(interval) = limits.ping else { return false };
        let talks = self.has(flag::TALKED) || self.is_mid_message();
        if !talks || now.since(self.last_received) >= quiet(interval) {
            return false;
        }
        self.flags &= !flag::TALKED;
        let bounds = (quiet(interval), interval);
        self.heartbeat = spread.draw(self.last_received, bounds, now, interval);
        true
    }

    /// A pong came: the round trip in microseconds of the ping it answers, if one is being timed.
    pub fn round_trip(&mut self, now_micros: u64) -> Option<u64> {
        if !self.has(flag::PING_TIMED) {
            return None;
        }
        self.flags &= !flag::PING_TIMED;
        Some(u64::from(low(now_micros).wrapping_sub(self.ping_micros)))
    }

    /// A ping was queued; it counts once the kernel has it.
    pub fn ping_queued(&mut self) {
        self.flags |= flag::PING_QUEUED;
        self.flags &= !(flag::TALKED | flag::HEARD_MEANWHILE);
    }

    /// The kernel took all control frames: if a ping was among them, its answer is awaited from now
    /// on, and true returned. Where the peer has spoken since it was queued it may have answered
    /// already, and is asked again an interval after that.
    pub fn control_is_out(&mut self, now: Tick, now_micros: u64, limits: &Limits) -> bool {
        if !self.has(flag::PING_QUEUED) {
            return false;
        }
        self.flags &= !flag::PING_QUEUED;
        if self.has(flag::HEARD_MEANWHILE) {
            self.flags &= !(flag::HEARD_MEANWHILE | flag::PING_ASKED);
            self.heartbeat = self.last_received.plus(limits.ping.unwrap_or_default());
            return false;
        }
        self.flags |= flag::PING_ASKED | flag::PING_TIMED;
        self.heartbeat = self.moving(now);
        self.ping_micros = low(now_micros);
        true
    }

    /// True while a ping waits for the kernel.
    #[inline]
    pub fn has_ping_queued(&self) -> bool {
        self.has(flag::PING_QUEUED)
    }

    /// True if data was sent that may not have reached the peer's kernel.
    pub fn has_sent_data(&self) -> bool {
        self.has(flag::SENT_DATA)
    }

    /// A ping has left, with `overhead` bytes around it on the wire: notes whether data stands before
    /// it that the peer's kernel has not taken.
    pub fn ping_left_behind(&mut self, acknowledged: Acknowledged, overhead: u64) {
        let position = self.bytes_sent;
        let slack = CONTROL_SLACK.saturating_add(overhead);
        if position.saturating_sub(acknowledged.bytes) > slack {
            self.wake().behind = Some(Behind { position, acknowledged: acknowledged.bytes });
        } else {
            self.flags &= !flag::SENT_DATA;
        }
    }

    /// True if data stood before the last ping.
    pub fn ping_is_behind(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.behind.is_some())
    }

    /// The pong is overdue. True if the ping stood behind data and the peer has been slow rather
    /// than silent: the ping is still on its way and what stands before it moves, or it reached
    /// the peer's kernel less than a pong timeout ago. Then the clock starts anew.
    pub fn is_only_slow(&mut self, acknowledged: Acknowledged, now: Tick, limits: &Limits) -> bool {
        let (Some(pong), Some(active)) = (limits.pong, &mut self.active) else { return false };
        let Some(behind) = &mut active.behind else { return false };
        let before = std::mem::replace(&mut behind.acknowledged, acknowledged.bytes);
        if before >= behind.position {
            // It had arrived when the clock was last started.
            return false;
        }
        let silent_for = if acknowledged.bytes >= behind.position {
            Ticks::from_duration(acknowledged.last)
        } else if acknowledged.bytes > before {
            Ticks(0)
        } else {
            pong
        };
        if silent_for >= pong {
            return false;
        }
        self.heartbeat = now.minus(silent_for);
        true
    }
}

/// Whoever spoke less than this long ago need not be asked whether it lives.
fn quiet(interval: Ticks) -> Ticks {
    Ticks((interval.0 / 4).max(1))
}

/// A ping that left while data stood before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    /// Bytes of the stream up to the ping's end.
    position: u64,
    /// How many of them were acknowledged when the clock was last started.
    acknowledged: u64,
}

/// The low half of a time in microseconds: it wraps, and is only subtracted from another.
#[expect(clippy::cast_possible_truncation, reason = "the low half is asked for")]
fn low(micros: u64) -> u32 {
    micros as u32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;
    use crate::conn::Deadline;
    use crate::proto::Peer;

    const PONG: u32 = 1_001;

    fn asked(sent: usize, acknowledged: u64) -> (Conn, Limits) {
        let limits = Limits::from(&config::Limits::default());
        assert_eq!(limits.pong, Some(Ticks(PONG)));
        let mut conn = Conn::new(Peer::UNIX, Tick(0), false);
        conn.data_queued(Tick(0));
        conn.ping_queued();
        conn.sent(sent, 0);
        assert!(conn.control_is_out(Tick(100), 1_000_000, &limits));
        conn.ping_left_behind(at(acknowledged, 0), 0);
        (conn, limits)
    }

    fn at(bytes: u64, seconds_ago: u64) -> Acknowledged {
        Acknowledged { bytes, last: Duration::from_secs(seconds_ago) }
    }

    #[test]
    fn an_idle_peer_is_never_only_slow() {
        let (mut conn, limits) = asked(1_000, 998);
        assert!(!conn.has_sent_data());
        assert!(!conn.is_only_slow(at(1_000, 0), Tick(1_100), &limits));
    }

    /// Else its answer, which came before the rest of the queue had left, would be awaited for ever.
    #[test]
    fn a_ping_that_was_answered_while_others_waited_for_the_kernel_is_not_awaited() {
        let limits = Limits::from(&config::Limits::default());
        let mut conn = Conn::new(Peer::UNIX, Tick(0), false);
        conn.upgraded(0, Tick(0), &limits, &mut Spread::new(1));
        conn.ping_queued();
        conn.received(6, Tick(100), &limits);
        assert!(!conn.control_is_out(Tick(120), 0, &limits));
        let next = Tick(100).plus(limits.ping.unwrap());
        assert_eq!(conn.deadline(&limits), Some((next, Deadline::Ping)));
    }

    #[test]
    fn data_that_moves_before_the_ping_starts_the_clock_anew() {
        let (mut conn, limits) = asked(100_000, 10_000);
        assert!(conn.is_only_slow(at(20_000, 0), Tick(1_100), &limits));
        assert!(conn.is_only_slow(at(30_000, 9), Tick(2_100), &limits));
        assert!(!conn.is_only_slow(at(30_000, 19), Tick(3_100), &limits), "it stands still");
    }

    #[test]
    fn a_ping_that_has_arrived_gets_its_pong_timeout_and_no_more() {
        let (mut conn, limits) = asked(100_000, 10_000);
        assert!(conn.is_only_slow(at(100_000, 4), Tick(1_100), &limits));
        assert_eq!(conn.heartbeat, Tick(700));
        // Data that was sent after the ping may go on moving; it is the ping that counts.
        assert!(!conn.is_only_slow(at(500_000, 0), Tick(1_700), &limits));
        let (mut conn, limits) = asked(100_000, 10_000);
        assert!(!conn.is_only_slow(at(100_000, 11), Tick(1_100), &limits));
    }
}
