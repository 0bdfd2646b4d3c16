//! The heartbeat of one connection: when a ping is due, when it counts, what answers it.
//! Not for carrying out the verdict; `expiry` pronounces it and the reactor acts.

use super::{Conn, Limits, Tick, Ticks, flag};

/// Unacknowledged bytes up to here may be the ping itself and a SYN counted as a byte.
const CONTROL_SLACK: u64 = 4;

impl Conn {
    /// Has the next ping fall anywhere within an interval, so that peers do not ping as one.
    pub fn spread_heartbeat(&mut self, now: Tick, limits: &Limits, random: &mut fastrand::Rng) {
        if let Some(interval) = limits.ping
            && !self.has(flag::PING_ASKED)
        {
            self.heartbeat = now.plus(Ticks(random.u32(1..=interval.0.max(1))));
        }
    }

    /// A peer that spoke within the last quarter of the interval need not be asked. The new time is
    /// random within what is left of the interval, so that peers that all spoke at once do not ping
    /// as one (at a third above the mean); and it is never later than an interval after the last
    /// byte, so that death is noticed in time.
    pub(super) fn may_ping_later(
        &mut self,
        now: Tick,
        limits: &Limits,
        random: &mut fastrand::Rng,
    ) -> bool {
        let Some(interval) = limits.ping else { return false };
        let quiet = Ticks(interval.0 / 4);
        if !self.has(flag::TALKED) || now.since(self.last_received) >= quiet {
            return false;
        }
        self.flags &= !flag::TALKED;
        let spread = Ticks(random.u32(quiet.0..=interval.0).max(1));
        self.heartbeat = self.last_received.plus(spread);
        true
    }

    /// A pong came: the round trip in microseconds of the ping it answers, if one is being timed.
    pub fn round_trip(&mut self, now_micros: u64) -> Option<u64> {
        if !self.has(flag::PING_TIMED) {
            return None;
        }
        self.flags &= !flag::PING_TIMED;
        Some(u64::from((now_micros as u32).wrapping_sub(self.ping_micros)))
    }

    /// A ping was queued; it counts once the kernel has it.
    pub fn ping_queued(&mut self) {
        self.flags |= flag::PING_QUEUED;
        self.flags &= !flag::TALKED;
    }

    /// The kernel took all control frames: if a ping was among them, its answer is now awaited.
    pub fn control_is_out(&mut self, now: Tick, now_micros: u64) {
        if self.has(flag::PING_QUEUED) {
            self.flags &= !flag::PING_QUEUED;
            self.flags |= flag::PING_ASKED | flag::PING_TIMED;
            self.heartbeat = now;
            self.ping_micros = now_micros as u32;
        }
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

    /// A ping has left, and the peer's kernel has acknowledged so many bytes in all: notes whether
    /// data stands before the ping.
    pub fn ping_left_behind(&mut self, acknowledged: u64) {
        if self.unacknowledged(acknowledged) > CONTROL_SLACK {
            self.wake().acknowledged = Some(acknowledged);
        } else {
            self.flags &= !flag::SENT_DATA;
        }
    }

    /// The pong is overdue. True if data stood before the ping, still does, and has moved since:
    /// the peer is slow, not dead, and its time starts anew.
    pub fn is_only_slow(&mut self, acknowledged: u64, now: Tick) -> bool {
        let unacknowledged = self.unacknowledged(acknowledged);
        let Some(active) = &mut self.active else { return false };
        let Some(before) = active.acknowledged.replace(acknowledged) else { return false };
        let moves = acknowledged > before && unacknowledged > CONTROL_SLACK;
        if moves {
            self.heartbeat = now;
        }
        moves
    }

    fn unacknowledged(&self, acknowledged: u64) -> u64 {
        self.bytes_sent.saturating_sub(acknowledged)
    }
}
