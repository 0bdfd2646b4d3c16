//! Bytes from a peer become messages for its handler, as long as nothing says to wait.
//! Not for the first bytes, which are HTTP: see `handshake`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Reactor;
use super::core::Core;
use super::guests::Introduction;
use super::outlet::Reach;
use super::shard::PauseCause;
use crate::config::RatePolicy;
use crate::conn::{CloseReason, Pause, Phase, TICK_MICROS, Ticks};
use crate::handler::Connection;
use crate::io::{Chunk, Token};
use crate::proto::{Incoming, Input, Message, Violation};

impl Reactor {
    /// Bytes came from a connection.
    pub(super) fn received(&mut self, token: Token, mut chunk: Chunk) {
        let core = &mut self.core;
        let length = chunk.len();
        if let Some(conn) = core.slots.get(token) {
            conn.received(length, core.now.tick, &core.limits);
            let is_new = conn.phase() == Phase::Handshake;
            core.shard.bytes_received.add(length as u64);
            if is_new && core.guests.get(token.index).introduction == Introduction::Header {
                self.introduce(token, chunk.bytes());
            } else {
                self.take_bytes(token, chunk.bytes());
            }
        }
        self.core.driver.recycle(chunk);
    }

    /// Does with bytes what the connection's phase asks for.
    pub(super) fn digest(&mut self, token: Token, bytes: &mut [u8]) {
        let Some(conn) = self.core.slots.get(token) else { return };
        match conn.phase() {
            Phase::Handshake => self.shake_hands(token, bytes),
            Phase::Open if conn.is_paused() => {
                self.core.hold(token, bytes);
                self.core.account(token);
            }
            Phase::Open => self.messages(token, bytes),
            Phase::Closing => self.core.await_close(token, &mut Input::new(bytes)),
            Phase::Lingering => {}
        }
    }

    fn messages(&mut self, token: Token, bytes: &mut [u8]) {
        let mut input = Input::new(bytes);
        self.core.compression.work.begin_share();
        loop {
            let core = &mut self.core;
            if !input.rest().is_empty()
                && let Some(pause) = core.must_pause(token)
            {
                core.hold(token, input.rest());
                core.pause(token, pause);
                break;
            }
            let Core { slots, tools, now, .. } = core;
            let Some(conn) = slots.get(token) else { return };
            if conn.has_expired(now.tick) {
                core.expire_token(token);
                break;
            }
            match conn.decode(&mut input, tools, now.tick) {
                Ok(None) => break,
                Ok(Some(incoming)) => self.take_in(token, incoming),
                Err(violation) => {
                    core.fail(token, reason_for(violation), &violation.to_string());
                    break;
                }
            }
            if !self.core.is_open(token) {
                break;
            }
        }
        let core = &mut self.core;
        if core.slots.get(token).is_some_and(|conn| conn.phase() == Phase::Closing) {
            // The peer's own close frame may stand behind what made us close.
            core.await_close(token, &mut input);
        }
        if core.slots.get(token).is_some_and(|conn| !conn.is_resting()) {
            core.account(token);
            core.arm(token);
        }
    }

    fn take_in(&mut self, token: Token, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Message(message) => self.deliver(token, message),
            Incoming::Assembled(tungstenite::Message::Text(text)) => {
                self.deliver(token, Message::Text(text.as_str()));
            }
            Incoming::Assembled(message) => {
                self.deliver(token, Message::Binary(&message.into_data()));
            }
            Incoming::Deflated(kind, payload) => self.inflate(token, kind, &payload),
            Incoming::Ping => {
                let reply = std::mem::take(&mut self.core.tools.reply);
                self.core.queue_control(token, &reply);
                self.core.tools.reply = reply;
            }
            Incoming::Pong => {
                let core = &mut self.core;
                core.shard.pongs_received.increment();
                let micros = core.now.micros;
                if let Some(rtt) = core.slots.get(token).and_then(|conn| conn.round_trip(micros)) {
                    core.shard.heartbeat_rtt.observe_micros(rtt);
                    core.disarm_early(token);
                }
            }
            Incoming::Close(close) => {
                let code = close.map(|close| u16::from(close.code));
                self.core.peer_closes(token, code);
            }
        }
    }

    /// Gives one message to its handler. If that panics, only this connection pays for it.
    pub(super) fn deliver(&mut self, token: Token, message: Message<'_>) {
        let core = &mut self.core;
        core.shard.messages_received.increment();
        if !core.spend_token(token) {
            core.close(token, CloseReason::RateLimited, None);
            return;
        }
        let Some(conn) = core.slots.get(token) else { return };
        let (route, state, peer) = (conn.route, conn.state, conn.peer());
        let Some(service) = self.services.get_mut(usize::from(route)) else { return };
        let mut reach = Reach::new(core, token, route, peer);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            service.message(&mut Connection::new(&mut reach), state, message);
        }));
        let closing = reach.closing.take();
        if outcome.is_err() {
            core.panicked(token);
        } else if let Some((code, text)) = closing {
            core.close(token, CloseReason::HandlerClosed, Some((code, &text)));
        }
    }

    /// One reason for not reading from a peer is gone: if it was the last, decode what is held,
    /// then read on.
    pub(super) fn resume(&mut self, token: Token, why: Pause) {
        let core = &mut self.core;
        let Some(conn) = core.slots.get(token) else { return };
        if !conn.resume(why, core.now.tick) {
            return;
        }
        let mut held = std::mem::take(&mut conn.wake().held);
        if !held.is_empty() {
            self.digest(token, &mut held);
        }
        let core = &mut self.core;
        if core.slots.get(token).is_some_and(|conn| !conn.is_paused()) {
            core.driver.receive(token, true);
            core.end_at_last(token);
        }
        core.account(token);
        core.arm(token);
    }
}

impl Core {
    fn is_open(&mut self, token: Token) -> bool {
        self.slots.get(token).is_some_and(|conn| conn.phase() == Phase::Open)
    }

    /// Whether the next message must wait, and for what.
    #[inline]
    fn must_pause(&mut self, token: Token) -> Option<Pause> {
        if self.relieve_one(token) {
            return Some(Pause::Outbox);
        }
        let conn = self.slots.get(token)?;
        if self.shared.mailboxes.any_is_full() {
            let route = conn.route;
            if self.must_wait_for_mail(route) {
                return Some(Pause::Mailbox);
            }
        }
        let work = &self.compression.work;
        if work.share_is_spent() || (work.has_inflated_enough() && self.may_deflate(token)) {
            return Some(Pause::Turn);
        }
        self.rate_wait(token).map(|_| Pause::Rate)
    }

    fn may_deflate(&mut self, token: Token) -> bool {
        self.slots.get(token).is_some_and(|conn| conn.deflation().is_on())
    }

    /// Microseconds until a message of this peer conforms to its rate and the total one.
    #[inline]
    fn rate_wait(&mut self, token: Token) -> Option<u64> {
        let total = self.shared.total_rate.wait(self.now.real);
        let own = match (&self.limits.rate, self.limits.rate_policy) {
            (Some(pace), RatePolicy::Pause) => {
                self.slots.get(token)?.bucket().wait(pace, self.now.micros)
            }
            _ => None,
        };
        match total {
            Some(_) if !self.slots.get(token)?.has_token_aside() => total.max(own),
            _ => own,
        }
    }

    /// As `rate_wait`, for one who will wait: it takes its place in the queue for the total rate.
    /// Without one, whoever asks first in each tick would get every token.
    fn queue_for_rate(&mut self, token: Token) -> u64 {
        let wait = self.rate_wait(token).unwrap_or(0);
        let real = self.now.real;
        match self.slots.get(token) {
            Some(conn) if self.shared.total_rate.wait(real).is_some() => {
                let is_queued = conn.has_token_aside();
                conn.put_token_aside();
                if is_queued { wait } else { wait.max(self.shared.total_rate.take(real)) }
            }
            _ => wait,
        }
    }

    /// Takes a token for a message. False if there is none and the policy is to close.
    #[inline]
    fn spend_token(&mut self, token: Token) -> bool {
        let micros = self.now.micros;
        if self.shared.total_rate.is_on()
            && !self.slots.get(token).is_some_and(|conn| conn.take_token_aside())
        {
            self.shared.total_rate.take(self.now.real);
        }
        let Some(pace) = &self.limits.rate else { return true };
        let Some(conn) = self.slots.get(token) else { return true };
        let conforms = conn.bucket().wait(pace, micros).is_none();
        conn.bucket().take(pace, micros);
        conforms || self.limits.rate_policy == RatePolicy::Pause
    }

    /// Stops reading from a peer.
    fn pause(&mut self, token: Token, why: Pause) {
        let cause = match why {
            Pause::Rate => Some(PauseCause::Rate),
            Pause::Outbox => Some(PauseCause::Outbox),
            Pause::Mailbox => Some(PauseCause::Mailbox),
            Pause::Turn => None,
        };
        if let Some(cause) = cause
            && let Some(counter) = self.shard.reads_paused.get(cause.index())
        {
            counter.increment();
        }
        let wait = if why == Pause::Rate { self.queue_for_rate(token) } else { 0 };
        let now = self.now;
        let Some(conn) = self.slots.get(token) else { return };
        if conn.pause(why, now.tick) {
            self.driver.receive(token, false);
        }
        match why {
            Pause::Rate => {
                let ticks = wait.div_ceil(TICK_MICROS).clamp(1, 1 << 30);
                conn.resume_at(now.tick.plus(Ticks(ticks as u32)));
            }
            Pause::Mailbox => self.waiting.push(token),
            Pause::Turn => self.breathless.push_back(token),
            // `after_sending` resumes it.
            Pause::Outbox => {}
        }
    }

    /// Keeps received bytes for later, because reading is paused.
    pub fn hold(&mut self, token: Token, bytes: &[u8]) {
        if let Some(conn) = self.slots.get(token)
            && !bytes.is_empty()
        {
            let held = &mut conn.wake().held;
            held.reserve_exact(bytes.len());
            held.extend_from_slice(bytes);
        }
    }
}

pub(super) fn reason_for(violation: Violation) -> CloseReason {
    match violation {
        Violation::Protocol(_) => CloseReason::ProtocolError,
        Violation::Utf8 => CloseReason::InvalidUtf8,
        Violation::Deflate => CloseReason::InvalidDeflate,
        Violation::TooBig => CloseReason::MessageTooBig,
    }
}
