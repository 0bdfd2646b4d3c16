//! Reading from a peer, paused and resumed, and the clocks that stand still meanwhile.
//! Not for why there is no room: outboxes, buckets and mailboxes say that.

use super::{Conn, Tick, flag};

/// Why nothing is read from a peer for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Pause {
    /// Its message rate is used up; the wheel resumes it.
    Rate = 1,
    /// It does not read what it asked for; a drained outbox resumes it.
    Outbox = 2,
    /// A mailbox that its messages go to is full; a drained mailbox resumes it.
    Mailbox = 4,
    /// What it sent compressed has had its share of this turn; the next turn resumes it.
    Turn = 8,
}

impl Conn {
    /// Stops the clocks that wait for this peer's bytes. True if reading must be turned off now.
    pub fn pause(&mut self, why: Pause, now: Tick) -> bool {
        let active = self.wake();
        let was_reading = active.paused == 0;
        if was_reading {
            active.paused_at = now;
        }
        active.paused |= why as u8;
        was_reading
    }

    /// The time of the clocks that wait for this peer's bytes: while they stand still, when they
    /// stopped. What happens meanwhile is noted at that time, since resuming moves it on.
    #[inline]
    pub(super) fn moving(&self, now: Tick) -> Tick {
        match &self.active {
            Some(active) if active.paused != 0 => active.paused_at,
            _ => now,
        }
    }

    /// Takes back one reason. True if reading goes on: decode what is held, then turn it on.
    pub fn resume(&mut self, why: Pause, now: Tick) -> bool {
        let Some(active) = &mut self.active else { return false };
        if active.paused & why as u8 == 0 {
            return false;
        }
        active.paused &= !(why as u8);
        if why == Pause::Rate {
            active.resume_at = None;
        }
        if active.paused != 0 {
            return false;
        }
        let stood_still = now.since(active.paused_at);
        active.message_since = active.message_since.plus(stood_still);
        active.record_since = active.record_since.plus(stood_still);
        self.last_received = self.last_received.plus(stood_still);
        self.last_data = self.last_data.plus(stood_still);
        if self.flags & flag::PING_QUEUED == 0 {
            self.heartbeat = self.heartbeat.plus(stood_still);
        }
        true
    }

    /// Takes back every reason, since the connection closes. True if reading must be turned on.
    pub fn stop_pausing(&mut self) -> bool {
        match &mut self.active {
            Some(active) if active.paused != 0 => {
                active.paused = 0;
                active.resume_at = None;
                true
            }
            _ => false,
        }
    }

    /// Sets when a pause for the rate ends.
    pub fn resume_at(&mut self, tick: Tick) {
        self.wake().resume_at = Some(tick);
    }

    /// True while nothing is read from the peer.
    #[inline]
    pub fn is_paused(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.paused != 0)
    }

    /// True while that is among the reasons for not reading.
    pub fn is_paused_for(&self, why: Pause) -> bool {
        self.active.as_ref().is_some_and(|active| active.paused & why as u8 != 0)
    }

    /// Notes that a token of the total rate waits for this peer's next message.
    pub fn put_token_aside(&mut self) {
        self.flags |= flag::TOKEN_ASIDE;
    }

    /// True if a token of the total rate waits for its next message.
    #[inline]
    pub fn has_token_aside(&self) -> bool {
        self.has(flag::TOKEN_ASIDE)
    }

    /// Takes that token. True if there was one.
    #[inline]
    pub fn take_token_aside(&mut self) -> bool {
        let had = self.has(flag::TOKEN_ASIDE);
        self.flags &= !flag::TOKEN_ASIDE;
        had
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::conn::{Deadline, Limits, Spread, Ticks};
    use crate::proto::Peer;

    const PONG: Ticks = Ticks(100);
    const IDLE: Ticks = Ticks(5_000);

    fn open() -> (Conn, Limits) {
        let limits = Limits::from(&config::Limits::default());
        let limits = Limits { pong: Some(PONG), idle: Some(IDLE), ..limits };
        let mut conn = Conn::new(Peer::UNIX, Tick(0), false);
        conn.upgraded(0, Tick(0), &limits, &mut Spread::new(1));
        (conn, limits)
    }

    #[test]
    fn a_ping_that_leaves_during_a_pause_is_awaited_for_its_timeout_after_it_and_no_longer() {
        let (mut conn, limits) = open();
        conn.ping_queued();
        conn.pause(Pause::Outbox, Tick(1_000));
        conn.control_is_out(Tick(1_900), 0, &limits);
        assert!(conn.resume(Pause::Outbox, Tick(2_000)));
        assert_eq!(conn.deadline(&limits), Some((Tick(2_000).plus(PONG), Deadline::Pong)));
    }

    #[test]
    fn what_comes_and_goes_during_a_pause_counts_as_of_its_end() {
        let (mut conn, limits) = open();
        let limits = Limits { ping: None, ..limits };
        conn.pause(Pause::Mailbox, Tick(1_000));
        conn.data_queued(Tick(3_900));
        conn.received(1, Tick(3_900), &limits);
        assert!(conn.resume(Pause::Mailbox, Tick(4_000)));
        assert_eq!(conn.last_received(), Tick(4_000));
        assert_eq!(conn.deadline(&limits), Some((Tick(4_000).plus(IDLE), Deadline::Idle)));
    }
}
