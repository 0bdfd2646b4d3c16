//! Who compresses and inflates for whom: one compressor and one inflater for a whole reactor, or a
//! connection's own. Not for the streams themselves, nor for what is agreed: see `proto::deflate`.
//!
//! With takeover, messages must be compressed in the order in which they leave, and none of them be
//! lost after that. So what finds an empty outbox is compressed when it is queued, since it leaves
//! with this turn, and what stands behind a backlog only when its place in it comes: until then a
//! slow-consumer policy may drop it.

use std::sync::Arc;

use bytes::Bytes;

use super::Reactor;
use super::core::Core;
use super::deflations::Deflations;
use super::mailbox::Fanout;
use super::outlet::Asked;
use super::output::Output;
use super::receive::reason_for;
use super::work::Work;
use crate::config::{self, CompressionMode};
use crate::conn::{Conn, Frame};
use crate::io::Token;
use crate::proto::deflate::{Agreed, Compressor, Inflater, Terms, WINDOWS, negotiate};
use crate::proto::{
    Deflation, Headers, Kind, LARGEST_WINDOW, Message, SMALLEST_WINDOW, Violation,
    encode_deflated_into, frame_length, message_in,
};

/// Bytes of a backlog that are compressed ahead of leaving, and can't be dropped from then on. As
/// much as the kernel is given to hold unsent.
const AHEAD: usize = 32 * 1024;

/// Room for output that is kept from message to message, in bytes.
const ROOM_KEPT: usize = 64 * 1024;

/// One reactor's means.
pub(super) struct Compression {
    settings: config::Compression,
    pub work: Work,
    inflater: Option<Inflater>,
    /// One for each window that a client has asked for, made when first needed.
    compressors: [Option<Compressor>; WINDOWS],
    /// The contexts of connections, by slot. Empty while there are none.
    contexts: Vec<Option<Box<Context>>>,
    /// Where a compressed message is written.
    small: Vec<u8>,
    /// Where an inflated one is.
    large: Vec<u8>,
}

/// One connection's own states, each made when first needed.
#[derive(Default)]
struct Context {
    compressor: Option<Compressor>,
    inflater: Option<Inflater>,
}

/// A broadcast in the forms in which it leaves: as it is, under its number in the turn's output, and
/// compressed for each window.
pub(super) struct Forms {
    fanout: Arc<Fanout>,
    plain: (u32, Frame),
    small: [Form; WINDOWS],
}

/// What a message becomes that is to be sent with takeover.
enum Own {
    /// The outbox would not have it.
    Refused,
    /// It leaves, or waits, as it is.
    Plain,
    /// It leaves with this turn, in so many bytes.
    Small(usize),
}

/// One of them.
enum Form {
    /// Nobody has asked for it.
    Unknown,
    /// It would not be smaller.
    Plain,
    /// Under this number in the turn's output.
    Small(u32, Frame),
}

impl Compression {
    pub fn new(settings: &config::Compression) -> Self {
        Compression {
            settings: *settings,
            work: Work::new(),
            inflater: None,
            compressors: [const { None }; WINDOWS],
            contexts: Vec::new(),
            small: Vec::new(),
            large: Vec::new(),
        }
    }

    /// True if any connection may compress.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.settings.mode != CompressionMode::Off
    }

    /// Compresses for one connection, as long as there is work to be spent.
    fn compress_one(
        &mut self,
        index: u32,
        deflation: Deflation,
        payload: &[u8],
        counts: &Deflations,
    ) -> Option<usize> {
        if self.work.has_compressed_enough() {
            counts.left_plain.increment();
            return None;
        }
        self.compress(index, deflation, payload, counts)
    }

    /// Compresses for a connection, or for all that agreed on the same, into `small`: how many bytes
    /// that are, or `None` if it would not be smaller.
    fn compress(
        &mut self,
        index: u32,
        deflation: Deflation,
        payload: &[u8],
        counts: &Deflations,
    ) -> Option<usize> {
        self.work.compress(payload.len());
        let (window, level) = (deflation.window(), self.settings.level);
        let make = || Compressor::new(window, level);
        let compressor = if deflation.sends_with_takeover() {
            let context = self.contexts.get_mut(index as usize)?.get_or_insert_default();
            context.compressor.get_or_insert_with(make)
        } else {
            let place = self.compressors.get_mut(place_of(window))?;
            let compressor = place.get_or_insert_with(make);
            compressor.forget();
            compressor
        };
        match compressor.compress(payload, &mut self.small) {
            Some(length) => {
                counts.compressed.increment();
                counts.compressed_from.add(payload.len() as u64);
                counts.compressed_to.add(length as u64);
                Some(length)
            }
            None => {
                counts.incompressible.increment();
                trim(&mut self.small);
                None
            }
        }
    }

    fn inflate(
        &mut self,
        index: u32,
        deflation: Deflation,
        kind: Kind,
        payload: &[u8],
        limit: usize,
    ) -> Result<usize, Violation> {
        let own = self.contexts.get_mut(index as usize).and_then(Option::as_mut);
        let inflater = match own {
            Some(context) if deflation.receives_with_takeover() => {
                context.inflater.get_or_insert_with(Inflater::new)
            }
            _ => {
                let inflater = self.inflater.get_or_insert_with(Inflater::new);
                inflater.forget();
                inflater
            }
        };
        let outcome = inflater.inflate(kind, payload, limit, &mut self.large);
        // What fails has been work too.
        self.work.inflate(payload.len().max(*outcome.as_ref().unwrap_or(&self.large.len())));
        outcome
    }

    /// Makes the place where a connection's states will be.
    fn seat(&mut self, index: u32) {
        let index = index as usize;
        if self.contexts.len() <= index {
            self.contexts.resize_with(index + 1, || None);
        }
        if let Some(place) = self.contexts.get_mut(index) {
            *place = Some(Box::default());
        }
    }
}

/// Where what belongs to a window stands.
fn place_of(window: u8) -> usize {
    usize::from(window.clamp(SMALLEST_WINDOW, LARGEST_WINDOW) - SMALLEST_WINDOW)
}

/// A large message must not cost its size for good.
fn trim(room: &mut Vec<u8>) {
    if room.capacity() > ROOM_KEPT {
        *room = Vec::new();
    }
}

impl Forms {
    /// The output has forgotten all that it had, and is to know those that there are.
    fn renumber(&mut self, output: &mut Output) {
        let (number, frame) = &mut self.plain;
        *number = output.share(frame.clone());
        for form in &mut self.small {
            if let Form::Small(number, frame) = form {
                *number = output.share(frame.clone());
            }
        }
    }
}

impl Core {
    /// Takes one of the client's offers, if compression is on and it makes one that can be taken.
    pub fn agree_on_compression(&mut self, token: Token, headers: Headers<'_>) -> Option<Agreed> {
        let config::Compression { mode, window, .. } = self.compression.settings;
        if mode == CompressionMode::Off {
            return None;
        }
        let offers = || headers.all("Sec-WebSocket-Extensions");
        let terms = Terms { window, takeover: mode == CompressionMode::Dedicated };
        let mut agreed = negotiate(offers(), terms)?;
        let counts = &self.shard.deflations;
        let memory = &self.shared.context_memory;
        if agreed.deflation.has_context() && !memory.charge_if_it_fits(agreed.deflation.memory()) {
            agreed = negotiate(offers(), Terms { takeover: false, ..terms })?;
            counts.fallbacks.increment();
        }
        counts.agreed.increment();
        if agreed.deflation.has_context() {
            counts.contexts.add(1);
            counts.context_bytes.add(agreed.deflation.memory() as u64);
            self.compression.seat(token.index);
        }
        self.slots.get(token)?.set_deflation(agreed.deflation);
        Some(agreed)
    }

    /// A connection goes, and with it what it has of contexts.
    pub fn forget_contexts(&mut self, index: u32, conn: &Conn) {
        let deflation = conn.deflation();
        if !deflation.has_context() {
            return;
        }
        if let Some(place) = self.compression.contexts.get_mut(index as usize) {
            *place = None;
        }
        self.shared.context_memory.release(deflation.memory());
        let counts = &self.shard.deflations;
        counts.contexts.sub(1);
        counts.context_bytes.sub(deflation.memory() as u64);
    }

    /// Queues a message compressed. False if it is to be queued as it is.
    pub fn queue_compressed(&mut self, token: Token, kind: Kind, payload: &[u8]) -> bool {
        if payload.len() < self.compression.settings.min_size {
            return false;
        }
        let Some(conn) = self.slots.get(token) else { return false };
        let deflation = conn.deflation();
        if !deflation.is_on() {
            return false;
        }
        if deflation.sends_with_takeover() {
            return match self.own_form(token, deflation, payload, Asked::ByPeer) {
                Own::Refused => true,
                Own::Plain => false,
                Own::Small(length) => {
                    self.queue_small(token, kind, length, false);
                    true
                }
            };
        }
        // Asked before, so that nothing is compressed only to be refused.
        let plain = frame_length(payload.len());
        let Some(has_backlog) = self.admit_data(token, plain, Asked::ByPeer) else { return true };
        let counts = &self.shard.deflations;
        let Some(length) = self.compression.compress_one(token.index, deflation, payload, counts)
        else {
            return false;
        };
        self.queue_small(token, kind, length, has_backlog);
        true
    }

    /// Compresses with takeover what leaves with this turn. Nothing may keep it from leaving once
    /// the compressor has seen it, so whether it is admitted is asked before.
    fn own_form(
        &mut self,
        token: Token,
        deflation: Deflation,
        payload: &[u8],
        asked: Asked,
    ) -> Own {
        match self.admit_data(token, frame_length(payload.len()), asked) {
            None => return Own::Refused,
            Some(true) => return Own::Plain,
            Some(false) => {}
        }
        let counts = &self.shard.deflations;
        let length = self.compression.compress_one(token.index, deflation, payload, counts);
        length.map_or(Own::Plain, Own::Small)
    }

    /// Queues what has just been compressed.
    fn queue_small(&mut self, token: Token, kind: Kind, length: usize, has_backlog: bool) {
        let mut small = std::mem::take(&mut self.compression.small);
        let payload = small.get(..length).unwrap_or_default();
        self.enqueue(token, has_backlog, frame_length(length), |out| {
            encode_deflated_into(out, kind, payload);
        });
        trim(&mut small);
        self.compression.small = small;
    }

    /// The forms of a broadcast that this turn's output has under `number`, if anybody may want it
    /// compressed.
    pub fn forms(&self, fanout: &Arc<Fanout>, number: u32) -> Option<Forms> {
        if !self.compression.is_on() {
            return None;
        }
        let (_, payload) = message_in(fanout.frame.bytes())?;
        if payload.len() < self.compression.settings.min_size {
            return None;
        }
        let small = [const { Form::Unknown }; WINDOWS];
        let plain = (number, fanout.frame.clone());
        Some(Forms { fanout: Arc::clone(fanout), plain, small })
    }

    /// Queues a broadcast for all of these connections in the forms in which they want it; for how
    /// many.
    pub fn queue_forms(&mut self, members: &[u32], forms: &mut Forms) -> u64 {
        let mut queued = 0;
        for &index in members {
            queued += u64::from(self.queue_form(index, forms));
            // Each receiver with a context of its own has a copy of its own.
            if self.output.is_full() {
                self.flush();
                forms.renumber(&mut self.output);
            }
        }
        queued
    }

    /// Queues a broadcast for a connection in the form that it has agreed on. False if it found no
    /// room or the connection is closing.
    fn queue_form(&mut self, index: u32, forms: &mut Forms) -> bool {
        let (number, plain) = &forms.plain;
        let token = self.slots.token(index);
        let Some(conn) = self.slots.get(token) else { return false };
        let deflation = conn.deflation();
        let Some((kind, payload)) = message_in(plain.bytes()).filter(|_| deflation.is_on()) else {
            return self.queue_shared(index, *number, plain);
        };
        if deflation.sends_with_takeover() {
            return match self.own_form(token, deflation, payload, Asked::ByOthers) {
                Own::Refused => false,
                Own::Plain => self.queue_shared(index, *number, plain),
                Own::Small(length) => {
                    self.queue_small(token, kind, length, false);
                    true
                }
            };
        }
        let Some(form) = forms.small.get_mut(place_of(deflation.window())) else { return false };
        if matches!(form, Form::Unknown) {
            *form = self.form(index, deflation, kind, payload, &forms.fanout);
        }
        match form {
            Form::Small(number, frame) => self.queue_shared(index, *number, frame),
            Form::Plain | Form::Unknown => self.queue_shared(index, *number, plain),
        }
    }

    /// A broadcast compressed, which is done once for all that agreed on the same, whichever reactor
    /// they are on.
    fn form(
        &mut self,
        index: u32,
        deflation: Deflation,
        kind: Kind,
        payload: &[u8],
        fanout: &Fanout,
    ) -> Form {
        let Core { compression, shard, output, .. } = self;
        let small = fanout.small(place_of(deflation.window()), || {
            let length = compression.compress(index, deflation, payload, &shard.deflations)?;
            let small = compression.small.get(..length)?;
            let mut bytes = Vec::with_capacity(frame_length(length));
            encode_deflated_into(&mut bytes, kind, small);
            trim(&mut compression.small);
            Some(Frame::shared(bytes.into()))
        });
        small.map_or(Form::Plain, |frame| Form::Small(output.share(frame.clone()), frame))
    }

    /// Before a backlog is written: compresses what leaves next, where that refers to what left
    /// before. How many parts may be written.
    pub fn settle_backlog(&mut self, token: Token) -> usize {
        let Core { compression, slots, shared, shard, .. } = self;
        let Some(conn) = slots.get(token) else { return usize::MAX };
        let deflation = conn.deflation();
        if !deflation.sends_with_takeover() {
            return usize::MAX;
        }
        let Some(active) = conn.active() else { return usize::MAX };
        if active.outbox.sending {
            return usize::MAX;
        }
        active.outbox.settle(AHEAD, &shared.outbox_budget, |frame| {
            let (kind, payload) = message_in(frame)?;
            if payload.len() < compression.settings.min_size {
                return None;
            }
            let counts = &shard.deflations;
            let length = compression.compress_one(token.index, deflation, payload, counts)?;
            let small = compression.small.get(..length)?;
            let mut bytes = Vec::with_capacity(frame_length(length));
            encode_deflated_into(&mut bytes, kind, small);
            trim(&mut compression.small);
            Some(Frame::own(Bytes::from(bytes)))
        })
    }
}

impl Reactor {
    /// A whole compressed message came.
    pub(super) fn inflate(&mut self, token: Token, kind: Kind, payload: &[u8]) {
        let core = &mut self.core;
        let Some(conn) = core.slots.get(token) else { return };
        let deflation = conn.deflation();
        let limit = core.tools.message_limit;
        let outcome = core.compression.inflate(token.index, deflation, kind, payload, limit);
        let mut large = std::mem::take(&mut core.compression.large);
        let message = outcome.and_then(|length| {
            let bytes = large.get(..length).unwrap_or_default();
            Ok(match kind {
                Kind::Binary => Message::Binary(bytes),
                Kind::Text => {
                    Message::Text(std::str::from_utf8(bytes).map_err(|_| Violation::Utf8)?)
                }
            })
        });
        match message {
            Ok(message) => {
                let counts = &core.shard.deflations;
                counts.inflated.increment();
                counts.inflated_from.add(payload.len() as u64);
                counts.inflated_to.add(message.len() as u64);
                self.deliver(token, message);
            }
            Err(violation) => core.fail(token, reason_for(violation), &violation.to_string()),
        }
        trim(&mut large);
        self.core.compression.large = large;
    }
}
