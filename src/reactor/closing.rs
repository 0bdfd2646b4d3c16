//! The ends of connections: begun in good order or at once, and carried out at the end of a turn.
//! Not for deciding why; each caller brings the reason.

use std::panic::{AssertUnwindSafe, catch_unwind};

use http::StatusCode;

use super::Reactor;
use super::core::Core;
use crate::conn::{CloseReason, Conn, NOWHERE, Phase, RefusedReason, TICK_MICROS};
use crate::io::{Ending, Token};
use crate::mutation::{self, Mutation};
use crate::proto::{Answer, Incoming, Input, close_frame};

impl Core {
    /// Closes in good order: a close frame behind what is queued, then the peer's is awaited.
    /// `with` is a handler's own code and text.
    pub fn close(&mut self, token: Token, reason: CloseReason, with: Option<(u16, &str)>) {
        if self.say_close(token, reason, with)
            && let Some(conn) = self.slots.get(token)
        {
            let mut held = conn.begin_closing(reason);
            self.vacate_seat(token);
            self.read_again(token);
            if !held.is_empty() {
                // The peer's own close frame may be among it.
                self.await_close(token, &mut Input::new(&mut held));
            }
            self.end_at_last(token);
        }
    }

    /// Fails the connection (RFC 6455 section 7.1.7): a close frame, and nothing is read any more.
    pub fn fail(&mut self, token: Token, reason: CloseReason, text: &str) {
        if self.say_close(token, reason, reason.close_code().map(|code| (code, text))) {
            self.linger_for(token, reason);
        }
    }

    /// Queues the close frame of an open connection.
    fn say_close(&mut self, token: Token, reason: CloseReason, with: Option<(u16, &str)>) -> bool {
        let Some(conn) = self.slots.get(token) else { return false };
        if conn.phase() != Phase::Open {
            return false;
        }
        let (code, text) = with
            .or_else(|| reason.close_code().map(|code| (code, reason.text())))
            .unwrap_or((1000, ""));
        conn.close_code = code;
        let frame = close_frame(code, text);
        self.queue_fixed(token, |out| out.extend_from_slice(&frame));
        true
    }

    /// The peer's close frame came; the engine's answer to it is at hand.
    pub fn peer_closes(&mut self, token: Token, code: Option<u16>) {
        let Some(conn) = self.slots.get(token) else { return };
        conn.close_code = code.unwrap_or(0);
        let reply = std::mem::take(&mut self.tools.reply);
        self.queue_fixed(token, |out| out.extend_from_slice(&reply));
        self.tools.reply = reply;
        self.linger_for(token, CloseReason::PeerClosed);
    }

    /// All has been said: once it is sent our side is shut.
    pub fn linger_for(&mut self, token: Token, reason: CloseReason) {
        let Some(conn) = self.slots.get(token) else { return };
        conn.begin_lingering(reason);
        self.output.mark(token, &mut conn.output);
        self.vacate_seat(token);
        self.read_again(token);
        self.end_at_last(token);
    }

    /// A closing connection is read whatever paused it: what comes is discarded.
    fn read_again(&mut self, token: Token) {
        if let Some(conn) = self.slots.get(token)
            && conn.stop_pausing()
        {
            self.driver.receive(token, true);
        }
        self.account(token);
        self.arm(token);
    }

    /// Our close frame is sent or queued: what comes is discarded up to the peer's close frame.
    pub fn await_close(&mut self, token: Token, input: &mut Input<'_>) {
        loop {
            let Core { slots, tools, now, .. } = self;
            let Some(conn) = slots.get(token) else { return };
            match conn.decode(input, tools, now.tick) {
                Ok(Some(Incoming::Close(_))) | Err(_) => {
                    let reason = conn.reason().unwrap_or(CloseReason::PeerClosed);
                    self.linger_for(token, reason);
                    return;
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
            }
        }
        self.account(token);
        self.arm(token);
    }

    /// Nothing more will come from the peer.
    pub fn ended(&mut self, token: Token, ending: Ending) {
        let has_request = self.has_request(token) && !self.is_mute(token);
        let Some(conn) = self.slots.get(token) else { return };
        conn.peer_is_done();
        let reason = conn.reason();
        match (ending, conn.phase()) {
            (Ending::Failed(_), _) => {
                self.doom(token, reason.unwrap_or(CloseReason::PeerReset));
            }
            // It has not ended before what is held. TLS tells of the end early: of a plain stream it
            // stays in the socket for as long as nothing is read.
            (Ending::Finished, Phase::Open) if conn.is_paused() => conn.keep_end(),
            // What it asked for before it shut its side is still sent.
            (Ending::Finished, Phase::Open | Phase::Closing) => {
                self.linger_for(token, CloseReason::PeerGone);
            }
            (Ending::Finished, Phase::Lingering) => {
                self.output.mark(token, &mut conn.output);
            }
            // Who sent the half of a request may still read why it came to nothing.
            (Ending::Finished, Phase::Handshake) if has_request => {
                let answer =
                    Answer::new(StatusCode::BAD_REQUEST, "the request ended in its middle");
                self.refuse(token, RefusedReason::BadRequest, &answer, false);
            }
            (Ending::Finished, Phase::Handshake) => {
                self.doom(token, reason.unwrap_or(CloseReason::PeerGone));
            }
        }
    }

    /// What stood before the peer's end is done with, whatever came of it.
    pub fn end_at_last(&mut self, token: Token) {
        if self.slots.get(token).is_some_and(|conn| conn.take_end()) {
            self.ended(token, Ending::Finished);
        }
    }

    /// A handler panicked while it served this connection.
    pub fn panicked(&mut self, token: Token) {
        self.shard.handler_panics.increment();
        self.close(token, CloseReason::HandlerPanic, None);
    }

    /// Ends a connection in the middle of a turn: nothing is queued for it any more.
    pub fn doom_now(&mut self, token: Token, reason: CloseReason) {
        if let Some(conn) = self.slots.get(token) {
            conn.begin_lingering(reason);
        }
        self.doom(token, reason);
    }

    /// Says in the log how a connection went, one line each.
    fn log_closed(&self, conn: &Conn, reason: CloseReason) {
        if !log::log_enabled!(log::Level::Debug) {
            return;
        }
        let route = self.shared.routes.get(usize::from(conn.route));
        let path = route.filter(|_| conn.state != NOWHERE).map_or("-", |route| &route.path);
        let age = u64::from(self.now.tick.since(conn.opened()).0) * TICK_MICROS / 1000;
        let totals = conn.totals();
        log::debug!(
            "closed peer={} path={path} reason={reason} code={} age_ms={age} messages_in={} \
             messages_out={} bytes_in={} bytes_out={}",
            conn.peer(),
            conn.close_code,
            totals.messages_received,
            totals.messages_sent,
            totals.bytes_received,
            totals.bytes_sent,
        );
    }
}

impl Reactor {
    /// The sweep phase: doomed connections leave their slots.
    pub(super) fn sweep(&mut self) {
        for doomed in std::mem::take(&mut self.core.doomed) {
            let core = &mut self.core;
            let token = doomed.token;
            let Some(mut conn) = core.slots.remove(token) else {
                if mutation::is(Mutation::FreeTwice) {
                    core.shared.leave();
                }
                continue;
            };
            if doomed.reset {
                core.driver.reset(token);
            } else if !mutation::is(Mutation::FreeWithoutClosing) {
                core.driver.close(token);
            }
            #[cfg(feature = "simulation")]
            core.graves.push(super::audit::Grave {
                token,
                peer: conn.peer(),
                reason: doomed.reason,
            });
            core.unaccount(token.index, &mut conn);
            core.forget_contexts(token.index, &conn);
            core.depart(token, &conn);
            core.expiries.remove(token.index);
            // Whatever ended it: most that come to nothing were hung up on, or time out.
            if core.tls.came_to_nothing(token.index) {
                core.shard.tls_handshakes_failed.increment();
            }
            core.tls.forget(token.index);
            if conn.is_surplus() {
                core.surplus -= 1;
            } else {
                core.shared.leave();
            }
            core.log_closed(&conn, doomed.reason);
            if let Some(tally) = &mut core.drained {
                tally.count(doomed.reset);
            }
            if let Some(counter) = core.shard.closed.get(doomed.reason.index()) {
                counter.increment();
            }
            if conn.state != NOWHERE {
                self.part(&conn, doomed.reason);
            }
        }
        self.core.settle_tally();
    }

    /// An upgraded connection leaves its route and its handler.
    fn part(&mut self, conn: &Conn, reason: CloseReason) {
        let core = &mut self.core;
        core.shard.connections_active.sub(1);
        if let Some(tick) = conn.next_ping(&core.limits) {
            core.spread.forget(tick, core.now.tick);
        }
        core.shard.close_code(Some(conn.close_code).filter(|code| *code != 0));
        if !mutation::is(Mutation::ForgetLeaving) {
            core.leave(conn.route, conn.member);
        }
        let Some(service) = self.services.get_mut(usize::from(conn.route)) else { return };
        let (peer, state) = (conn.peer(), conn.state);
        let outcome = catch_unwind(AssertUnwindSafe(|| service.close(peer, state, reason)));
        if outcome.is_err() {
            self.core.shard.handler_panics.increment();
        }
    }
}
