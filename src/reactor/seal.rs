//! Sending under TLS: plaintext is sealed just before the write, and what the kernel does not take
//! of it goes first the next time.
//! Not for what is in the clear: see `flush`.

use std::io::IoSlice;

use super::core::Core;
use super::output::Touched;
use crate::conn::CloseReason;
use crate::io::{Sending, Token};
use crate::proto::tls::Failure;

/// Plaintext that is sealed for one write, in bytes: four records. Sealed bytes that the kernel does
/// not take are held as they are, so this is also what a peer that does not read makes of them.
const BURST: usize = 64 * 1024;

/// Parts of an outbox that are sealed together.
const PARTS: usize = 64;

impl Core {
    /// Writes a chain that nothing unsent stands before.
    pub fn write_sealed(&mut self, chain: &Touched) {
        let token = chain.token;
        let mut done = 0;
        while done < chain.bytes && !self.is_mute(token) {
            let Core { driver, slots, output, tls, shard, gathered, .. } = self;
            let pieces = output.unsent(chain, done).map(|(piece, gone)| piece.after(gone));
            match tls.seal(token.index, pieces, BURST) {
                Ok(bytes) => done += bytes,
                Err(failure) => {
                    self.cannot_seal(token, &failure);
                    return self.send_backlog(token);
                }
            }
            let (sent, is_pending) = match driver.send(token, &[IoSlice::new(&tls.scratch)]) {
                Sending::Taken(sent) => (sent, false),
                Sending::Pending | Sending::Gathered => (0, true),
                Sending::Failed(_) => return self.doom(token, CloseReason::PeerReset),
            };
            gathered.count(shard, sent, 0);
            let Some(conn) = slots.get(token) else { return };
            conn.sent(sent, 0);
            if sent < tls.scratch.len() {
                self.keep_sealed(chain, done, sent, is_pending);
                return self.send_backlog(token);
            }
        }
        if done == chain.bytes
            && let Some(conn) = self.slots.get(token)
        {
            conn.sent(0, chain.messages);
            self.gathered.count(&self.shard, 0, chain.messages);
            if conn.is_plain() {
                return;
            }
        }
        self.after_sending(token);
    }

    /// Keeps what the kernel has not taken of a chain whose first `done` bytes were sealed: all of
    /// the scratch buffer but its first `sent` bytes, and what is not sealed.
    fn keep_sealed(&mut self, chain: &Touched, done: usize, sent: usize, is_pending: bool) {
        let kept = self.keep_rest(chain, done, true);
        let Core { slots, tls, shared, now, .. } = self;
        let Some(conn) = slots.get(chain.token) else { return };
        let messages = chain.messages.saturating_sub(kept);
        let wire = tls.scratch.get(sent..).unwrap_or_default();
        let outbox = &mut conn.wake().outbox;
        outbox.push_wire(wire, messages, true, now.tick, &shared.outbox_budget);
        outbox.sending = is_pending;
    }

    /// Sends what is unsent until the kernel takes no more.
    pub fn send_sealed_backlog(&mut self, token: Token) {
        loop {
            let is_mute = self.is_mute(token);
            let room = self.settle_backlog(token).min(PARTS);
            let Core { driver, slots, tls, shared, shard, now, gathered, .. } = self;
            let Some(conn) = slots.get(token) else { return };
            let Some(active) = conn.active() else { break };
            let (outbox, budget) = (&mut active.outbox, &shared.outbox_budget);
            if is_mute {
                outbox.keep_only_wire(budget);
            }
            if outbox.sending || outbox.is_empty() {
                break;
            }
            tls.scratch.clear();
            let (mut messages, mut has_control) = (0, false);
            let sealed = outbox.wire().len();
            let since = outbox.oldest().unwrap_or(now.tick);
            let burst = outbox.room_to_seal(now.tick, BURST);
            if sealed < outbox.bytes() && burst > 0 {
                has_control = !outbox.control_is_out();
                let mut parts = Vec::new();
                outbox.parts(&mut parts, room);
                match tls.seal(token.index, parts.iter().map(|part| &**part), burst) {
                    Ok(bytes) => messages = outbox.sealed(bytes, budget),
                    Err(failure) => {
                        self.cannot_seal(token, &failure);
                        continue;
                    }
                }
            }
            let parts = [IoSlice::new(outbox.wire()), IoSlice::new(&tls.scratch)];
            let outcome = match &parts {
                [wire, new] if wire.is_empty() => driver.send(token, std::slice::from_ref(new)),
                [wire, new] if new.is_empty() => driver.send(token, std::slice::from_ref(wire)),
                both => driver.send(token, both),
            };
            let (sent, is_pending) = match outcome {
                Sending::Taken(sent) => (sent, false),
                Sending::Pending | Sending::Gathered => (0, true),
                Sending::Failed(_) => {
                    self.doom(token, CloseReason::PeerReset);
                    break;
                }
            };
            let of_wire = sent.min(sealed);
            let mut whole = outbox.taken(of_wire, budget);
            let left = tls.scratch.get(sent - of_wire..).unwrap_or_default();
            if left.is_empty() {
                whole += messages;
            } else {
                outbox.push_wire(left, messages, has_control, since, budget);
            }
            outbox.sending = is_pending;
            conn.sent(sent, whole);
            gathered.count(shard, sent, whole);
            if sent == 0 {
                break;
            }
        }
        self.after_sending(token);
    }

    /// Queues bytes that are sealed already, or are a handshake's, ahead of all that is not.
    pub fn queue_wire(&mut self, token: Token, wire: &[u8]) {
        let Core { slots, output, shared, now, .. } = self;
        let Some(conn) = slots.get(token) else { return };
        if !wire.is_empty() {
            let outbox = &mut conn.wake().outbox;
            outbox.push_wire(wire, 0, true, now.tick, &shared.outbox_budget);
            output.mark(token, &mut conn.output);
        }
    }

    /// Says that nothing more will come (RFC 8446 section 6.1), and goes on once that is sent: what
    /// follows is the end of the stream.
    pub fn say_goodbye(&mut self, token: Token) {
        let Core { slots, tls, shared, now, .. } = self;
        let Some(conn) = slots.get(token) else { return };
        tls.finish(token.index);
        let outbox = &mut conn.wake().outbox;
        outbox.push_wire(&tls.scratch, 0, false, now.tick, &shared.outbox_budget);
        self.send_sealed_backlog(token);
    }

    /// A key is used up. The peer is told, and nothing more.
    fn cannot_seal(&mut self, token: Token, failure: &Failure) {
        let Core { slots, tls, shared, now, .. } = self;
        let Some(conn) = slots.get(token) else { return };
        log::debug!("TLS with {} failed: {failure}", conn.peer());
        tls.fail(token.index, failure);
        let outbox = &mut conn.wake().outbox;
        outbox.push_wire(&tls.scratch, 0, false, now.tick, &shared.outbox_budget);
        conn.begin_lingering(CloseReason::TlsError);
    }
}
