//! Letting connections in, and turning away those there is no room for.
//! Not for what they ask for: the handshake comes next.

use super::core::Core;
use super::guests::Refusal;
use super::{ACCEPT_REST, Reactor};
use crate::conn::{CloseReason, Conn, RefusedReason, Tick, Ticks};
use crate::io::Accepting;
use crate::mutation::{self, Mutation};
use crate::proto::{Answer, Peer};

/// Connections beyond the limit that may be in the slab at once, to be answered in good order;
/// the descriptor reserve has room for them. Any further ones get the answer on accept.
pub(crate) const SURPLUS: usize = 16;

/// A shortage of descriptors that goes on is told once; one after a minute without is a new one.
const SILENCE_AFTER_WARNING: Ticks = Ticks(6_000);

/// Seconds after which a refused client should come back; jitter keeps a herd from returning as
/// one.
const RETRY_AFTER: std::ops::RangeInclusive<u32> = 1..=5;

impl Core {
    /// Takes in the connection that the driver has just accepted.
    pub fn admit(&mut self, peer: Peer) {
        self.shard.accepted.increment();
        let has_room = self.slots.len() - self.surplus < self.capacity;
        let is_within = self.shared.enter();
        let is_free = has_room && is_within;
        let verdict = if is_free { self.welcome(peer) } else { Err(Refusal::FULL) };
        let is_surplus = verdict.is_err();
        if let Err(refusal) = verdict {
            self.shared.leave();
            // Who speaks TLS could be told only after a handshake, and what it costs is what the limits
            // are for.
            if self.surplus >= SURPLUS || self.speaks_tls(peer) {
                self.refuse_at_once(peer, refusal);
                return;
            }
            self.surplus += 1;
        }
        let guest = verdict.unwrap_or_else(|refusal| self.surplus_guest(peer, refusal));
        let token = self.slots.insert(Conn::new(peer, self.now.tick, is_surplus));
        self.guests.seat(token.index, guest);
        self.begin_tls(token, peer);
        if let Err(error) = self.driver.adopt(token) {
            log::error!("a connection from {peer} can't be watched: {error}");
            self.doom(token, CloseReason::Refused);
            return;
        }
        self.arm(token);
    }

    fn refuse_at_once(&mut self, peer: Peer, refusal: Refusal) {
        // Counted by the time the peer knows.
        self.count_refused(refusal.reason);
        let mut bytes = Vec::new();
        if !self.speaks_tls(peer) {
            self.answer_to(refusal).write(&mut bytes, false);
        }
        self.driver.refuse(&bytes);
    }

    pub fn count_refused(&mut self, reason: RefusedReason) {
        if let Some(counter) = self.shard.refused.get(reason.index()) {
            counter.increment();
        }
    }

    /// 503: as many connections as may be.
    pub fn full(&mut self) -> Answer {
        self.unavailable("all connections are taken; try again later")
    }

    /// 503: what opening this would publish can't be taken now.
    pub fn congested(&mut self) -> Answer {
        self.unavailable("too many messages are on their way; try again later")
    }

    /// 503: the server goes away.
    pub fn draining(&mut self) -> Answer {
        self.unavailable("the server is going away; try again")
    }

    /// 503, for whatever reason.
    pub fn unavailable(&mut self, advice: &str) -> Answer {
        let after = self.spread.random.u32(RETRY_AFTER);
        Answer::new(http::StatusCode::SERVICE_UNAVAILABLE, advice)
            .header(&format!("Retry-After: {after}"))
    }
}

impl Reactor {
    /// Pauses when descriptors have run out, says so once, and tries again by and by.
    pub(super) fn check_accepting(&mut self) {
        let core = &mut self.core;
        match core.driver.accepting() {
            Accepting::Starved if self.accept_again.is_none() => {
                let is_news = core
                    .starved
                    .is_none_or(|said| core.now.tick.since(said) > SILENCE_AFTER_WARNING);
                core.starved = Some(core.now.tick);
                if is_news {
                    log::warn!(
                        "reactor {}: no descriptors left with {} connections; accepting pauses \
                         until some close. Raise RLIMIT_NOFILE or lower --max-connections",
                        core.id,
                        core.slots.len()
                    );
                }
                core.shard.accept_pauses.increment();
                core.shard.accept_paused.set(1);
                self.accept_again = Some(core.now.tick.plus(Ticks(ACCEPT_REST)));
            }
            Accepting::Starved => {
                if self.accept_again.is_some_and(|tick: Tick| tick.has_come(core.now.tick)) {
                    self.accept_again = None;
                    if !mutation::is(Mutation::StayStarved) {
                        core.driver.resume_accepting();
                    }
                }
            }
            Accepting::On => {
                core.shard.accept_paused.set(0);
            }
            Accepting::Over => core.shard.accept_paused.set(0),
        }
    }
}
