//! The deadlines of one connection: which is the earliest, and what follows when one passes.
//! Not for waiting: the wheel looks, this answers.

use super::{CloseReason, Conn, Deadline, Limits, Phase, Spread, TICK_MICROS, Tick, Ticks, flag};
use crate::mutation::{self, Mutation};

/// What the reactor must do about a deadline that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send a ping.
    Ping,
    /// The pong is overdue: read once more, and if nothing came, reset.
    Silent,
    /// Close in good order, for this reason. Where it judges silence, read once more before.
    Close(CloseReason),
    /// The peer does not read: act by the slow-consumer policy.
    Slow,
    /// Drop the socket.
    Drop(CloseReason),
    /// Answer 408 and close.
    RequestTimeout,
    /// Tokens are back: read on.
    Resume,
}

impl Conn {
    /// The earliest deadline, if any. While reading is paused, those that wait for the peer's
    /// bytes stand still.
    pub fn deadline(&self, limits: &Limits) -> Option<(Tick, Deadline)> {
        let mut earliest = Earliest(None);
        match self.phase {
            Phase::Handshake => {
                let restarts = mutation::is(Mutation::RestartHandshake);
                let begun = if restarts { self.last_received } else { self.opened };
                earliest.consider(begun.plus(limits.handshake), Deadline::Handshake);
            }
            Phase::Open => self.open_deadlines(limits, &mut earliest),
            Phase::Closing if mutation::is(Mutation::PingWhileClosing) => {
                self.open_deadlines(limits, &mut earliest);
            }
            Phase::Closing | Phase::Lingering => {}
        }
        if let Some(active) = &self.active {
            if let Some(oldest) = active.outbox.oldest()
                && !mutation::is(Mutation::ForgetWriteDeadline)
            {
                earliest.consider(oldest.plus(limits.write), Deadline::Write);
            }
            if let Some(due) = active.close_due
                && !mutation::is(Mutation::ForgetCloseDeadline)
            {
                earliest.consider(due, Deadline::Close);
            }
        }
        earliest.0
    }

    /// When the wheel must look at it. For a message that is no later than if it began now: with an
    /// entry at its own deadline, which the bytes that have come have put off, each message that
    /// begins with a little less would need another entry, an earlier one.
    pub fn look_due(&self, now: Tick, limits: &Limits) -> Option<Tick> {
        let (tick, deadline) = self.deadline(limits)?;
        Some(match deadline {
            Deadline::Message => tick.earlier(now.plus(limits.message)),
            _ => tick,
        })
    }

    fn open_deadlines(&self, limits: &Limits, earliest: &mut Earliest) {
        if self.has(flag::RETIRES) {
            earliest.consider(self.retires, Deadline::Lifetime);
        }
        if self.is_paused() {
            if let Some(tick) = self.active.as_ref().and_then(|active| active.resume_at) {
                earliest.consider(tick, Deadline::Resume);
            }
            if !mutation::is(Mutation::RunClocksWhilePaused) {
                return;
            }
        }
        // A ping that the kernel has not taken is neither answered nor followed by another.
        if !self.has(flag::PING_QUEUED) {
            self.heartbeat_deadline(limits, earliest);
        }
        if let Some(idle) = limits.idle {
            earliest.consider(self.last_data.plus(idle), Deadline::Idle);
        }
        if let Some(active) = &self.active
            && let Some(partial) = &active.partial
            && !mutation::is(Mutation::ForgetMessageDeadline)
        {
            let allowed = limits.message.and(ticks_earned(partial.arrived()));
            earliest.consider(active.message_since.plus(allowed), Deadline::Message);
        }
        if let Some(active) = &self.active
            && !active.record.is_empty()
        {
            let allowed = limits.message.and(ticks_earned(active.record.len()));
            earliest.consider(active.record_since.plus(allowed), Deadline::Message);
        }
    }

    fn heartbeat_deadline(&self, limits: &Limits, earliest: &mut Earliest) {
        if self.has(flag::PING_ASKED) {
            if let Some(pong) = limits.pong
                && !(self.ping_is_behind() && mutation::is(Mutation::ForgetPongBehindBacklog))
            {
                earliest.consider(self.heartbeat.plus(pong), Deadline::Pong);
            } else if let Some(interval) = limits.ping {
                earliest.consider(self.heartbeat.plus(interval), Deadline::Ping);
            }
        } else if limits.ping.is_some() {
            earliest.consider(self.heartbeat, Deadline::Ping);
        }
    }

    /// Sets when the connection retires: up to a tenth before its lifetime is over, or, where that
    /// has passed by a limit that is new, within the next tenth; so that those who came together do
    /// not leave together.
    pub fn spread_lifetime(&mut self, now: Tick, limits: &Limits, spread: &mut Spread) {
        self.flags &= !(flag::RETIRES | flag::EXPIRES);
        if let Some(lifetime) = limits.lifetime {
            let jitter = Ticks(spread.random.u32(0..=lifetime.0 / 10));
            let due = self.opened.plus(lifetime.less(jitter));
            self.retires = if due.has_come(now) { now.plus(jitter) } else { due };
            self.flags |= flag::RETIRES;
        }
    }

    /// Has the connection retire at `expiry` at the latest, because its token is good until then.
    /// Where its lifetime is spread anew, this must be said again.
    pub fn expires_at(&mut self, expiry: Tick) {
        if !self.has(flag::RETIRES) || expiry.is_before(self.retires) {
            self.retires = expiry;
            self.flags |= flag::RETIRES | flag::EXPIRES;
        }
    }

    /// True once the token that the connection was opened with has expired. Asked before each message:
    /// a stall brings the end nearer than the wheel knew.
    #[inline]
    pub fn has_expired(&self, now: Tick) -> bool {
        self.has(flag::EXPIRES) && self.retires.has_come(now)
    }

    /// What to do about the earliest deadline if it has passed; call again until `None`.
    pub fn expire(
        &mut self,
        now: Tick,
        limits: &Limits,
        spread: &mut Spread,
    ) -> Option<(Deadline, Verdict)> {
        loop {
            let (tick, deadline) = self.deadline(limits)?;
            if !tick.has_come(now) {
                return None;
            }
            let verdict = match deadline {
                Deadline::Ping if self.may_ping_later(now, limits, spread) => continue,
                Deadline::Ping => {
                    spread.pinged(now, limits.ping.unwrap_or_default());
                    Verdict::Ping
                }
                Deadline::Handshake => Verdict::RequestTimeout,
                Deadline::Pong => Verdict::Silent,
                Deadline::Idle => Verdict::Close(CloseReason::IdleTimeout),
                Deadline::Message => Verdict::Close(CloseReason::MessageTimeout),
                Deadline::Lifetime if self.has(flag::EXPIRES) => {
                    Verdict::Close(CloseReason::TokenExpired)
                }
                Deadline::Lifetime => Verdict::Close(CloseReason::LifetimeReached),
                Deadline::Write => Verdict::Slow,
                Deadline::Close => Verdict::Drop(self.unanswered()),
                Deadline::Resume => Verdict::Resume,
            };
            return Some((deadline, verdict));
        }
    }

    /// Why a connection ends whose close handshake did not finish in time.
    fn unanswered(&self) -> CloseReason {
        match (self.phase, self.reason) {
            (Phase::Closing, Some(CloseReason::Draining)) => CloseReason::DrainDropped,
            (Phase::Lingering, Some(reason)) => reason,
            _ => CloseReason::CloseTimeout,
        }
    }
}

/// Each 4 KiB of a message that arrived give it a second more; so a message of any size may come
/// at 4 KiB/s in pieces of any size, and one that drips may not.
fn ticks_earned(bytes: usize) -> Ticks {
    let ticks = (bytes as u64).saturating_mul(1_000_000 / TICK_MICROS) / 4096;
    Ticks(u32::try_from(ticks).unwrap_or(u32::MAX)).min(Ticks::LONGEST)
}

struct Earliest(Option<(Tick, Deadline)>);

impl Earliest {
    #[inline]
    fn consider(&mut self, tick: Tick, deadline: Deadline) {
        match self.0 {
            Some((best, _)) if !tick.is_before(best) => {}
            _ => self.0 = Some((tick, deadline)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;
    use crate::proto::{Input, Peer, Tools};

    /// Else it would be asked again and again within one look, and its outbox fill with pings.
    #[test]
    fn a_peer_that_reads_nothing_is_asked_once_although_no_pong_is_awaited() {
        let limits = Limits { pong: None, ..Limits::from(&config::Limits::default()) };
        let interval = limits.ping.unwrap();
        let mut spread = Spread::new(1);
        let mut conn = Conn::new(Peer::UNIX, Tick(0), false);
        conn.upgraded(0, Tick(0), &limits, &mut spread);
        let mut now = Tick(0).plus(interval);
        let asked = Some((Deadline::Ping, Verdict::Ping));
        assert_eq!(conn.expire(now, &limits, &mut spread), asked);
        conn.ping_queued();
        conn.control_is_out(now, 0, &limits);
        now = now.plus(interval);
        assert_eq!(conn.expire(now, &limits, &mut spread), asked);
        conn.ping_queued();
        for _ in 0..10 {
            now = now.plus(interval);
            assert_eq!(conn.expire(now, &limits, &mut spread), None);
        }
        conn.control_is_out(now, 0, &limits);
        assert_eq!(conn.expire(now.plus(interval), &limits, &mut spread), asked);
    }

    /// Whichever comes first ends the connection, and says why.
    #[test]
    fn a_token_and_a_lifetime_end_a_connection_at_the_earlier_of_the_two() {
        let day = Some(Duration::from_secs(24 * 60 * 60));
        let limits =
            config::Limits { ping_interval: None, max_lifetime: day, ..Default::default() };
        let limits = Limits::from(&limits);
        let ended = |from: Tick, stay: Duration, limits: &Limits| {
            let mut spread = Spread::new(1);
            let mut conn = Conn::new(Peer::UNIX, from, false);
            conn.upgraded(0, from, limits, &mut spread);
            conn.expires_at(from.plus(Ticks::from_duration(stay)));
            let (due, deadline) = conn.deadline(limits).unwrap();
            assert_eq!(deadline, Deadline::Lifetime);
            assert_eq!(conn.look_due(from, limits), Some(due));
            assert_eq!(conn.expire(due.minus(Ticks(1)), limits, &mut spread), None);
            let (_, verdict) = conn.expire(due, limits, &mut spread).unwrap();
            (due.since(from), verdict)
        };
        let without = Limits { lifetime: None, ..limits.clone() };
        let expired = Verdict::Close(CloseReason::TokenExpired);
        // Ticks wrap between the opening and the end.
        for from in [Tick(0), Tick(u32::MAX - 10), Tick(u32::MAX / 2)] {
            let hour = Duration::from_secs(60 * 60);
            assert_eq!(ended(from, hour, &limits), (Ticks(360_000), expired));
            assert_eq!(ended(from, hour, &without), (Ticks(360_000), expired));
            let (due, verdict) = ended(from, 30 * hour, &limits);
            assert_eq!(verdict, Verdict::Close(CloseReason::LifetimeReached));
            assert!(due <= Ticks(24 * 360_000));
            // One that is good for ever ends when ticks can't tell any further.
            assert_eq!(ended(from, Duration::MAX, &without), (Ticks::LONGEST, expired));
            assert_eq!(ended(from, Duration::ZERO, &without), (Ticks(0), expired));
        }
    }

    /// What has come of a message puts its deadline off, so each of these is due earlier than the
    /// one before. The wheel has no more entries for them all the same.
    #[test]
    fn messages_that_begin_with_less_and_less_need_no_further_wheel_entries() {
        const LENGTH: usize = 60_000;
        // Else a ping would be due before any of them.
        let limits = config::Limits { ping_interval: None, ..config::Limits::default() };
        let limits = Limits::from(&limits);
        let mut tools = Tools::new(limits.message_size);
        let mut conn = Conn::new(Peer::UNIX, Tick(0), false);
        conn.upgraded(0, Tick(0), &limits, &mut Spread::new(1));
        let [high, low] = (LENGTH as u16).to_be_bytes();
        let mut frame = vec![0x82, 0xfe, high, low, 0, 0, 0, 0];
        frame.resize(frame.len() + LENGTH, 0);
        let mut entries = 0;
        for n in 0..40 {
            let now = Tick(n);
            let mut frame = frame.clone();
            let (first, rest) = frame.split_at_mut(50_000 - 1_000 * n as usize);
            assert!(conn.decode(&mut Input::new(first), &mut tools, now).unwrap().is_none());
            let due = conn.look_due(now, &limits).unwrap();
            entries += u32::from(conn.armed.want(now, due).is_some());
            assert!(conn.decode(&mut Input::new(rest), &mut tools, now).unwrap().is_some());
        }
        assert!(entries <= 2, "{entries} entries");
    }
}
