//! TLS between the driver, which knows ciphertext alone, and everything else, which knows none.
//! Not for records or handshakes, which `proto::tls` does, nor for writing: see `seal`.
//!
//! Sessions stand in a table of their own beside the slots: without TLS it is empty.

use http::StatusCode;

use super::Reactor;
use super::core::Core;
use super::queue::{HandshakeQueue, is_late};
use super::shard::Phase as BudgetedPhase;
use crate::conn::{CloseReason, Phase, RefusedReason};
use crate::io::{Ending, Token};
use crate::proto::tls::{End, Failure, Session};
use crate::proto::{Answer, Peer};

/// Microseconds that handshakes may take of one turn, looked at before each of their records. It is
/// a time and no number of them, since the certificate's key and what the client asks for make some cost fifty
/// times others: P-256 with a share of P-256 a tenth of a millisecond, RSA of 4096 bits four and a half.
const HANDSHAKE_MICROS: u64 = 5_000;

/// Bytes that may be held of one whose handshake waits for its turn: a receive buffer's worth, and
/// what may be found by a last look.
const POSTPONED_LIMIT: usize = 128 * 1024;

/// The sessions of one reactor, by slot.
#[derive(Default)]
pub(super) struct Sessions {
    sessions: Vec<Option<Session>>,
    /// Sealed bytes on their way to the kernel.
    pub scratch: Vec<u8>,
    /// Microseconds that handshakes may still take of this turn.
    micros_left: u64,
    /// Those whose handshake goes on in the next turn.
    waiting: HandshakeQueue,
}

impl Sessions {
    /// That slot's, where it speaks TLS.
    #[inline]
    pub fn at(&mut self, index: u32) -> Option<&mut Session> {
        self.sessions.get_mut(index as usize)?.as_mut()
    }

    /// Whether something can be sealed for that slot.
    #[inline]
    pub fn is_open(&mut self, index: u32) -> bool {
        self.at(index).is_some_and(|session| session.is_open())
    }

    /// Whether that slot speaks TLS.
    #[inline]
    pub fn has(&self, index: u32) -> bool {
        self.sessions.get(index as usize).is_some_and(Option::is_some)
    }

    /// Seals the first of these pieces, `limit` bytes of them at most, into the scratch buffer, which
    /// then holds nothing else. How many bytes that were.
    pub fn seal<'a>(
        &mut self,
        index: u32,
        pieces: impl Iterator<Item = &'a [u8]>,
        limit: usize,
    ) -> Result<usize, Failure> {
        self.scratch.clear();
        let session = self.sessions.get_mut(index as usize).and_then(Option::as_mut);
        let session = session.ok_or(Failure::Internal("no session to seal with"))?;
        let mut left = limit;
        let pieces = pieces.map_while(|piece| {
            let piece = piece.get(..left).unwrap_or(piece);
            left -= piece.len();
            (!piece.is_empty()).then_some(piece)
        });
        session.seal(pieces, &mut self.scratch)?;
        Ok(limit - left)
    }

    /// Has the scratch buffer hold a session's last word.
    pub fn finish(&mut self, index: u32) {
        self.scratch.clear();
        if let Some(session) = self.sessions.get_mut(index as usize).and_then(Option::as_mut) {
            session.finish(&mut self.scratch);
        }
    }

    /// Has the scratch buffer hold the alert of a session that has failed.
    pub fn fail(&mut self, index: u32, failure: &Failure) {
        self.scratch.clear();
        if let Some(session) = self.sessions.get_mut(index as usize).and_then(Option::as_mut) {
            session.fail(failure, &mut self.scratch);
        }
    }

    /// Whether some handshake waits for the next turn.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn seat(&mut self, index: u32) {
        let index = index as usize;
        if self.sessions.len() <= index {
            self.sessions.resize_with(index + 1, || None);
        }
        if let Some(place) = self.sessions.get_mut(index) {
            *place = Some(Session::default());
        }
    }

    /// Whether that slot's handshake was begun and not done.
    pub fn came_to_nothing(&mut self, index: u32) -> bool {
        self.at(index).is_some_and(|session| session.came_to_nothing())
    }

    /// That slot's connection goes, or turns out to speak no TLS.
    pub fn forget(&mut self, index: u32) {
        if let Some(place) = self.sessions.get_mut(index as usize) {
            *place = None;
        }
    }
}

impl Reactor {
    /// Handshakes that the last turn had no room for go on.
    pub(super) fn resume_handshakes(&mut self) {
        self.core.tls.micros_left = HANDSHAKE_MICROS;
        while self.core.tls.micros_left > 0
            && let Some(token) = self.core.next_handshake()
        {
            if let Some(conn) = self.core.slots.get(token) {
                if !conn.is_paused() {
                    self.core.driver.receive(token, true);
                }
                self.unseal(token, &mut []);
            }
        }
        let has_more = self.core.tls.has_waiting();
        self.core.carry_over_if(has_more, BudgetedPhase::TlsHandshakes);
    }

    /// Bytes of a connection of which it is known whose it is, sealed or not.
    #[inline]
    pub(super) fn take_bytes(&mut self, token: Token, bytes: &mut [u8]) {
        if self.core.tls.has(token.index) {
            self.unseal(token, bytes);
        } else {
            self.digest(token, bytes);
        }
    }

    fn unseal(&mut self, token: Token, bytes: &mut [u8]) {
        let core = &mut self.core;
        let Core { slots, tls, shared, driver, now, .. } = core;
        let Some(conn) = slots.get(token) else { return };
        let left = tls.micros_left;
        let (Some(identity), Some(session)) = (&shared.identity, tls.at(token.index)) else {
            return;
        };
        // What comes after the end, ours or the peer's, is not even opened.
        if conn.phase() == Phase::Lingering || conn.is_peer_done() {
            return;
        }
        let is_shaking = session.is_shaking();
        let begun = if is_shaking { driver.now() } else { 0 };
        let mut record = conn.take_record();
        let mut out = session.unseal(
            &mut record,
            bytes,
            || identity.current(),
            || driver.now().saturating_sub(begun) < left,
        );
        conn.keep_record(record, out.has_begun, now.tick);
        if is_shaking {
            tls.micros_left = left.saturating_sub(driver.now().saturating_sub(begun));
        }
        core.queue_wire(token, &out.wire);
        if out.is_postponed {
            core.postpone(token);
        }
        if let Some(handshake) = out.handshake
            && let Some(counter) = core.shard.tls_handshakes.get(handshake.index())
        {
            counter.increment();
        }
        if !out.first.is_empty() {
            self.digest(token, &mut out.first);
        }
        if let Some(plain) = bytes.get_mut(out.plain)
            && !plain.is_empty()
        {
            self.digest(token, plain);
        }
        let core = &mut self.core;
        if let Some(end) = out.end {
            core.stream_ended(token, end);
        } else if core.tls.at(token.index).is_some_and(|session| session.is_nearly_exhausted()) {
            // Whoever is sent much is heard of now and then: its pongs, if nothing else.
            core.close(token, CloseReason::LifetimeReached, None);
        }
        if core.slots.get(token).is_some_and(|conn| !conn.is_resting()) {
            core.account(token);
            core.arm(token);
        }
    }
}

impl Core {
    /// Has a new connection speak TLS, if it should. Unix sockets don't: who reaches them is on this
    /// machine, a proxy for the most part.
    pub fn begin_tls(&mut self, token: Token, peer: Peer) {
        if self.speaks_tls(peer) {
            self.tls.seat(token.index);
        }
    }

    /// Whether those who come from there speak TLS.
    pub fn speaks_tls(&self, peer: Peer) -> bool {
        self.shared.identity.is_some() && peer != Peer::UNIX
    }

    /// True while nothing can be said to a connection for want of keys.
    pub fn is_mute(&mut self, token: Token) -> bool {
        self.tls.at(token.index).is_some_and(|session| !session.is_open())
    }

    /// Whether the answer to a connection's request has begun to leave, so that what stands before
    /// it in the stream is settled.
    pub fn has_answered(&mut self, token: Token) -> bool {
        match self.tls.at(token.index) {
            Some(session) => session.has_spoken(),
            None => self.slots.get(token).is_some_and(|conn| conn.totals().bytes_sent > 0),
        }
    }

    /// Whether any part of a request has come.
    pub fn has_request(&mut self, token: Token) -> bool {
        let is_sealed = self.tls.has(token.index);
        let Some(conn) = self.slots.get(token) else { return false };
        match conn.active() {
            Some(active) if is_sealed => !active.held.is_empty(),
            _ => !is_sealed && conn.totals().bytes_received > 0,
        }
    }

    fn next_handshake(&mut self) -> Option<Token> {
        let Core { tls, slots, limits, now, .. } = self;
        tls.waiting.pop(|token| {
            slots
                .get(token)
                .is_none_or(|conn| is_late(now.tick.since(conn.opened()), limits.handshake))
        })
    }

    /// This turn has no room for another handshake: what came waits for the next, and what comes
    /// meanwhile in the kernel.
    fn postpone(&mut self, token: Token) {
        let is_fresh = self.tls.at(token.index).is_some_and(|session| session.is_fresh());
        let Some(conn) = self.slots.get(token) else { return };
        // Nothing of a handshake but records is held.
        if conn.inbox_bytes() > POSTPONED_LIMIT {
            let end = End::Failed(Failure::HandshakeTooLong);
            self.stream_ended(token, end);
            return;
        }
        self.driver.receive(token, false);
        self.tls.waiting.push(token, is_fresh);
    }

    /// Nothing more will come of what a peer seals.
    fn stream_ended(&mut self, token: Token, end: End) {
        match end {
            End::Closed => self.ended(token, Ending::Finished),
            End::PlainHttp => {
                self.tls.forget(token.index);
                let advice = "this port speaks TLS; use https:// or wss://";
                let answer = Answer::new(StatusCode::BAD_REQUEST, advice);
                self.refuse(token, RefusedReason::PlainHttp, &answer, false);
            }
            End::Failed(failure) => self.tls_failed(token, &failure),
        }
    }

    /// TLS has failed, and the peer has been told: what was to be sent besides can't be any more.
    pub fn tls_failed(&mut self, token: Token, failure: &Failure) {
        let Some(conn) = self.slots.get(token) else { return };
        log::debug!("TLS with {} failed: {failure}", conn.peer());
        self.output.take(conn.output as usize);
        self.linger_for(token, CloseReason::TlsError);
    }
}
