//! What readiness leads to: connects that complete, upgrades, frames that come, bytes that can go.
//! Not what a scene wants sent next; that is `work`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use super::client::{Client, Ended, Stage};
use super::ledger::Ledger;
use super::{Generator, append_control};
use crate::args::Match;
use crate::error::Failure;
use crate::tally::ErrorKind;
use crate::target::Scheme;
use crate::units::MOST_BYTES;
use crate::wire::decoder::Piece;
use crate::wire::frame::Opcode;
use crate::wire::handshake::{Progress, Upgrade};
use crate::wire::payload::{Payloads, Stamp, scramble};
use crate::wire::template::find_stamp;

/// How often in one turn a connection may fill the whole buffer.
const READS: usize = 16;

/// Why a connection is given up after what it sent.
struct Loss {
    kind: ErrorKind,
    detail: String,
}

impl From<(ErrorKind, String)> for Loss {
    fn from((kind, detail): (ErrorKind, String)) -> Loss {
        Loss { kind, detail }
    }
}

impl Generator {
    /// The socket in `slot` takes bytes, or its connect(2) is decided.
    pub(super) fn writable(&mut self, slot: usize) -> Result<(), Failure> {
        let Some(client) = self.fleet.get_mut(slot) else { return Ok(()) };
        if matches!(client.stage, Stage::Connecting) {
            return self.connected(slot);
        }
        if client.is_blocked() {
            if let Err(ended) = client.flush() {
                return self.end(slot, ended);
            }
            if !client.is_blocked() && client.is_open() {
                return self.proceed(slot, self.now());
            }
        }
        Ok(())
    }

    fn connected(&mut self, slot: usize) -> Result<(), Failure> {
        let stream = self.fleet[slot].stream();
        match stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return self.end(slot, Ended::Failed(error)),
        }
        if stream.peer_addr().is_err() {
            // Spurious readiness: connect(2) is still under way.
            return Ok(());
        }
        let Some(tls) = &self.shared.plan.target.tls else { return self.established(slot) };
        let session = tls.session().map_err(Ended::Tls);
        let begun = session.and_then(|session| self.fleet[slot].secure(session));
        begun.or_else(|ended| self.end(slot, ended))
    }

    /// The transport to the server stands, with its TLS where there is any: what runs over it may
    /// begin.
    fn established(&mut self, slot: usize) -> Result<(), Failure> {
        match self.shared.plan.target.scheme {
            Scheme::PlainTcp => {
                self.opened(slot)?;
                self.proceed(slot, self.now())
            }
            Scheme::WebSocket => {
                let (upgrade, request) = Upgrade::begin(&self.shared.plan.target);
                let client = &mut self.fleet[slot];
                client.stage = Stage::Upgrading(Box::new(upgrade));
                client.send(&request).or_else(|ended| self.end(slot, ended))
            }
        }
    }

    /// The socket in `slot` has bytes, or its end is near; `to_the_end` says that the peer has
    /// closed its side, so that a short read is no reason to stop.
    pub(super) fn readable(&mut self, slot: usize, to_the_end: bool) -> Result<(), Failure> {
        for _ in 0..READS {
            let Some(client) = self.fleet.get_mut(slot) else { return Ok(()) };
            if matches!(client.stage, Stage::Connecting) {
                return Ok(());
            }
            let received = match client.receive(&mut self.buffer) {
                Ok(received) => received,
                Err(ended) => return self.end(slot, ended),
            };
            let drained = received.is_none_or(|n| client.is_drained(n, self.buffer.len()));
            if client.is_secured() {
                self.established(slot)?;
            }
            let Some(length) = received else { return Ok(()) };
            if self.fleet.contains(slot) {
                self.digest(slot, length)?;
            }
            if drained && !to_the_end {
                return Ok(());
            }
        }
        self.unread.push((slot, to_the_end));
        Ok(())
    }

    /// Takes in the first `length` bytes of the buffer, which came for `slot`.
    fn digest(&mut self, slot: usize, length: usize) -> Result<(), Failure> {
        let now = self.now();
        let mut at = 0;
        if let Stage::Upgrading(upgrade) = &mut self.fleet[slot].stage {
            match upgrade.receive(&self.buffer[..length]) {
                Ok(Progress::More) => return Ok(()),
                Ok(Progress::Open { consumed }) => at = consumed,
                Err(refusal) => return self.refuse(slot, refusal),
            }
            self.opened(slot)?;
            if !self.fleet.contains(slot) {
                return Ok(());
            }
        }
        let client = &mut self.fleet[slot];
        if !client.is_open() {
            // Closing: what still comes is of no interest.
            return Ok(());
        }
        self.scratch.clear();
        let (ledger, payloads) = (&mut self.ledger, &*self.payloads);
        let matching = self.shared.plan.matching;
        let whole = payloads.is_templated() || matching != Match::Exact;
        let partial = whole.then_some(&mut self.partial);
        let mut arrival = Arrival { client, ledger, payloads, matching, partial, slot, now };
        let verdict = arrival.take(&mut self.buffer[..length], at, &mut self.scratch);
        if !self.scratch.is_empty() {
            self.send_scratch(slot)?;
        }
        match verdict {
            Ok(()) => self.proceed(slot, now),
            Err(_) if !self.fleet.contains(slot) => Ok(()),
            Err(Loss { kind, detail }) => self.lose(slot, kind, &detail),
        }
    }
}

/// Bytes that have come for one open connection, and what they touch.
struct Arrival<'a> {
    client: &'a mut Client,
    ledger: &'a mut Ledger,
    payloads: &'a Payloads,
    matching: Match,
    /// Where messages are put together that are checked as a whole; `None` where each part is
    /// checked as it comes.
    partial: Option<&'a mut HashMap<usize, Vec<u8>>>,
    slot: usize,
    now: Duration,
}

impl Arrival<'_> {
    /// Decodes `input` from `at` on; control frames to send in answer are appended to `answers`.
    fn take(&mut self, input: &mut [u8], at: usize, answers: &mut Vec<u8>) -> Result<(), Loss> {
        let mut at = at;
        loop {
            let piece = match self.client.decoder.next(input, &mut at) {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(()),
                Err(violation) => return Err(self.loss(ErrorKind::Protocol, &violation)),
            };
            match piece {
                Piece::Message { kind, offset, bytes, last } => {
                    let (id, received) = (self.client.id, self.client.received);
                    let awaited = self.ledger.next_for(id, received);
                    let arriving = &mut self.client.arriving;
                    let part = Part { kind, offset, bytes, last };
                    let verdict = match &mut self.partial {
                        None => part.check(self.payloads, arriving, awaited),
                        Some(partial) => {
                            let message = part.join(partial, self.slot);
                            message.and_then(|message| match message {
                                Some(message) => {
                                    let all = (self.payloads, self.matching, &*message);
                                    recognise(all, kind, arriving, awaited)
                                }
                                None => Ok(false),
                            })
                        }
                    };
                    match verdict {
                        Ok(true) => {
                            self.ledger.receive(self.slot, self.client, self.payloads, self.now)?;
                        }
                        Ok(false) => {}
                        Err(what) => return Err(self.loss(ErrorKind::Changed, &what)),
                    }
                }
                Piece::Control { opcode: Opcode::Ping, payload } => {
                    let key = (scramble(self.now.as_nanos() as u64) as u32).to_ne_bytes();
                    if self.ledger.ping(&mut self.client.spoke, self.now) {
                        append_control(answers, Opcode::Pong, key, payload);
                    }
                }
                Piece::Control { opcode: Opcode::Close, payload } => {
                    append_control(answers, Opcode::Close, [0; 4], payload);
                    let said = match *payload {
                        [high, low, ..] => format!("code {}", u16::from_be_bytes([high, low])),
                        _ => "no code".to_owned(),
                    };
                    return Err(self.loss(ErrorKind::ClosedByServer, &said));
                }
                Piece::Control { payload, .. } => self.ledger.pong(self.slot, payload, self.now),
            }
        }
    }

    fn loss(&self, kind: ErrorKind, detail: &dyn std::fmt::Display) -> Loss {
        Loss { kind, detail: format!("connection {}: {detail}", self.client.id) }
    }
}

/// Some bytes of a message, as the decoder gives them.
struct Part<'a> {
    kind: Opcode,
    offset: u64,
    bytes: &'a [u8],
    last: bool,
}

impl<'a> Part<'a> {
    /// Checks these bytes alone; tells whether the message is whole with them.
    fn check(
        &self,
        payloads: &Payloads,
        arriving: &mut Stamp,
        awaited: Option<Stamp>,
    ) -> Result<bool, String> {
        if self.kind != payloads.kind() {
            return Err(OTHER_KIND.to_owned());
        }
        let verdict = payloads.check(arriving, awaited, self.offset, self.bytes, self.last);
        verdict.map(|()| self.last).map_err(|changed| changed.to_string())
    }

    /// The whole message, where these bytes complete it; else they are kept in `partial`.
    fn join(
        &self,
        partial: &mut HashMap<usize, Vec<u8>>,
        slot: usize,
    ) -> Result<Option<Cow<'a, [u8]>>, String> {
        if self.offset == 0 && self.last {
            return Ok(Some(Cow::Borrowed(self.bytes)));
        }
        let kept = partial.entry(slot).or_default();
        kept.extend_from_slice(self.bytes);
        if kept.len() > MOST_BYTES {
            return Err(format!("a message of more than {MOST_BYTES} bytes"));
        }
        Ok(if self.last { partial.remove(&slot).map(Cow::Owned) } else { None })
    }
}

const OTHER_KIND: &str = "text became binary or back";

/// Tells whether `message` is one that counts, and puts its stamp into `arriving`. Fails where all
/// are to be what was sent, and this one is not.
fn recognise(
    (payloads, matching, message): (&Payloads, Match, &[u8]),
    kind: Opcode,
    arriving: &mut Stamp,
    awaited: Option<Stamp>,
) -> Result<bool, String> {
    match matching {
        Match::Any => *arriving = payloads.legible(awaited.unwrap_or_default()),
        Match::Stamp => match find_stamp(message) {
            Some(stamp) => *arriving = stamp,
            // The answer to a subscription, a greeting.
            None => return Ok(false),
        },
        Match::Exact => {
            let awaited = awaited.unwrap_or_default();
            let mut expected = Vec::with_capacity(message.len());
            payloads.append_whole(&mut expected, awaited);
            if kind != payloads.kind() {
                return Err(OTHER_KIND.to_owned());
            }
            if expected != message {
                return Err("a message is not what was sent".to_owned());
            }
            *arriving = payloads.legible(awaited);
        }
    }
    Ok(true)
}
