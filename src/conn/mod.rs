//! ONE connection, without I/O: bytes and time in, messages, bytes and verdicts out.
//! Not for sockets, the wheel or other connections: the reactor has those.
//!
//! The contract, as the reactor keeps it:
//!
//! - [`Conn::received`] for all bytes that arrive, then `Conn::decode` until it gives `None`.
//! - After anything that may have moved a deadline earlier: [`Conn::look_due`], and have the wheel
//!   look at it then. Deadlines that moved later need nothing: the look finds nothing due.
//! - When the wheel looks: [`Conn::expire`] until it gives `None`, doing what each verdict says.
//! - [`Conn::rest`] whenever something may have been completed: an idle connection keeps nothing
//!   on the heap.
//!
//! It never reads a clock and never panics, whatever the peer sends.

// A peer chooses what comes and when: what could panic on that does not compile.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
    )
)]

mod armed;
mod bucket;
mod budget;
pub mod deadline;
mod ending;
mod expiry;
mod frame;
mod heartbeat;
mod limits;
mod outbox;
mod pause;
pub mod reason;
mod record;
mod spread;
mod tick;
mod wire;

pub use self::armed::Armed;
pub use self::bucket::{Bucket, Pace};
pub use self::budget::Budget;
pub use self::deadline::Deadline;
pub use self::expiry::Verdict;
pub use self::frame::Frame;
use self::heartbeat::Behind;
pub use self::limits::Limits;
pub use self::outbox::{Class, Outbox};
pub use self::pause::Pause;
pub use self::reason::{CloseReason, RefusedReason};
pub use self::spread::Spread;
pub use self::tick::{TICK_MICROS, Tick, Ticks};

use crate::proto::{Deflation, Incoming, Input, Partial, Peer, Tools, Violation, decode};

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The HTTP request is awaited.
    Handshake,
    /// Upgraded; messages flow.
    Open,
    /// Our close frame is queued or sent; the peer's is awaited, its data discarded.
    Closing,
    /// All is said: once it is sent, our side is shut, input is discarded until the peer's FIN.
    Lingering,
}

/// No place in a list.
pub const NOWHERE: u32 = u32::MAX;

/// One connection's slot. An idle one owns nothing else: see the `size_of` test below.
pub struct Conn {
    active: Option<Box<Active>>,
    bytes_received: u64,
    bytes_sent: u64,
    bucket: Bucket,
    messages_received: u32,
    messages_sent: u32,
    opened: Tick,
    last_received: Tick,
    last_data: Tick,
    /// When the next ping is due; while one is awaited, when the kernel took it.
    heartbeat: Tick,
    /// Microseconds, low half, at which the kernel took the last ping.
    ping_micros: u32,
    retires: Tick,
    /// Place in its route's member list, kept by the reactor.
    pub member: u32,
    /// Key of the handler's state, kept by the handler's service.
    pub state: u32,
    /// Place in this turn's output, kept by the reactor.
    pub output: u32,
    /// Which entries the wheel holds for it, kept by the reactor.
    pub armed: Armed,
    peer: Peer,
    /// Which route it is on, once upgraded.
    pub route: u16,
    /// The code of the close frame that ends it, ours or the peer's; 0 for none.
    pub close_code: u16,
    flags: u16,
    deflation: Deflation,
    phase: Phase,
    reason: Option<CloseReason>,
}

/// The flags of a connection.
mod flag {
    /// A ping is queued and the kernel has not taken it.
    pub const PING_QUEUED: u16 = 1;
    /// A ping is with the kernel and no byte has come since.
    pub const PING_ASKED: u16 = 1 << 1;
    /// A ping's round trip is being measured.
    pub const PING_TIMED: u16 = 1 << 2;
    /// Data came since the last ping, so a ping that is due may wait a little.
    pub const TALKED: u16 = 1 << 3;
    /// It has a lifetime.
    pub const RETIRES: u16 = 1 << 4;
    /// The peer's FIN has come.
    pub const PEER_DONE: u16 = 1 << 5;
    /// It was accepted beyond the connection limit, to be told so.
    pub const SURPLUS: u16 = 1 << 6;
    /// Our side of the stream is shut.
    pub const SHUT: u16 = 1 << 7;
    /// Data was sent that may not have reached the peer's kernel.
    pub const SENT_DATA: u16 = 1 << 8;
    /// A token of the total rate waits for its next message.
    pub const TOKEN_ASIDE: u16 = 1 << 9;
    /// Bytes came while a ping was queued: they may have answered it.
    pub const HEARD_MEANWHILE: u16 = 1 << 10;
    /// When it retires its token expires.
    pub const EXPIRES: u16 = 1 << 11;
    /// The peer's end is kept behind what is held.
    pub const END_WAITS: u16 = 1 << 12;
}

/// What a connection has only while something is unfinished.
#[derive(Default)]
pub struct Active {
    partial: Option<Box<Partial>>,
    /// When the unfinished message or frame began.
    message_since: Tick,
    /// Received but not decoded, because reading is paused; or an unfinished request head.
    pub held: Vec<u8>,
    /// The front of a TLS record whose rest has not come; while a handshake is under way, all that
    /// rustls may still need.
    record: Vec<u8>,
    /// When it began to come.
    record_since: Tick,
    /// What is unsent.
    pub outbox: Outbox,
    /// Bytes charged to the inbox budget for this connection.
    pub inbox_charged: usize,
    /// Unsent bytes that the reactor's total has for it.
    pub unsent_counted: usize,
    /// What its outbox holds, as far as the reactor's ranks know.
    pub outbox_counted: usize,
    /// The last ping, if data stood before it that the peer's kernel had not taken.
    behind: Option<Behind>,
    /// Its place by size among the reactor's unsent backlogs and unfinished messages.
    pub ranks: [u8; 2],
    close_due: Option<Tick>,
    resume_at: Option<Tick>,
    paused: u8,
    paused_at: Tick,
}

/// What a connection has carried, for the log.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each is what its name says; bytes are those on the wire")]
pub struct Totals {
    pub messages_received: u32,
    pub messages_sent: u32,
    pub bytes_received: u64,
    pub bytes_sent: u64,
}

impl Conn {
    /// A little from each end of the slot, of no meaning: to read it brings the slot's memory near.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "any part of it will do")]
    pub fn outline(&self) -> u32 {
        self.bytes_sent as u32 ^ self.heartbeat.0 ^ u32::from(self.flags)
    }

    /// A connection that was just accepted; `surplus` if only to be refused.
    pub fn new(peer: Peer, now: Tick, surplus: bool) -> Self {
        Conn {
            active: None,
            bytes_received: 0,
            bytes_sent: 0,
            bucket: Bucket::default(),
            messages_received: 0,
            messages_sent: 0,
            opened: now,
            last_received: now,
            last_data: now,
            heartbeat: now,
            ping_micros: 0,
            retires: now,
            member: NOWHERE,
            state: NOWHERE,
            output: NOWHERE,
            armed: Armed::default(),
            peer,
            route: 0,
            close_code: 0,
            flags: if surplus { flag::SURPLUS } else { 0 },
            deflation: Deflation::default(),
            phase: Phase::Handshake,
            reason: None,
        }
    }

    /// The upgrade is answered: from here on messages flow and heartbeats are due.
    ///
    /// `spread` spreads the first ping over the interval, so that a burst of arrivals does
    /// not ping as one, and takes up to a tenth off the lifetime.
    pub fn upgraded(&mut self, route: u16, now: Tick, limits: &Limits, spread: &mut Spread) {
        self.phase = Phase::Open;
        self.route = route;
        self.last_data = now;
        self.spread_heartbeat(now, limits, spread);
        self.spread_lifetime(now, limits, spread);
    }

    /// Bytes came: the peer lives.
    pub fn received(&mut self, bytes: usize, now: Tick, limits: &Limits) {
        self.bytes_received = self.bytes_received.saturating_add(bytes as u64);
        let now = self.moving(now);
        self.last_received = now;
        if self.has(flag::PING_QUEUED) {
            // It may have left before what stands behind it in the queue, and this be its answer.
            self.flags |= flag::HEARD_MEANWHILE;
        }
        if self.has(flag::PING_ASKED) {
            self.flags &= !flag::PING_ASKED;
            if let Some(active) = &mut self.active {
                active.behind = None;
            }
            // The next one keeps its distance from the last, so that phases stay as they are.
            let interval = limits.ping.unwrap_or_default();
            let next = self.heartbeat.plus(interval);
            self.heartbeat = if next.is_before(now) { now.plus(interval) } else { next };
        }
    }

    /// Decodes the next event of `input`; `None` when all of it is consumed.
    ///
    /// # Errors
    /// [`Violation`]: fail the connection for that reason and decode nothing more.
    #[inline]
    pub(crate) fn decode<'a>(
        &mut self,
        input: &mut Input<'a>,
        tools: &mut Tools,
        now: Tick,
    ) -> Result<Option<Incoming<'a>>, Violation> {
        let mut nothing = None;
        let partial = match &mut self.active {
            Some(active) => &mut active.partial,
            None => &mut nothing,
        };
        let was_partial = partial.is_some();
        let found = decode(partial, input, tools, self.deflation.is_on());
        if partial.is_some() && !was_partial {
            let partial = partial.take();
            let active = self.active.get_or_insert_default();
            active.partial = partial;
            active.message_since = now;
        }
        if let Ok(Some(incoming)) = &found {
            self.count(incoming, now);
        }
        found
    }

    fn count(&mut self, incoming: &Incoming<'_>, now: Tick) {
        match incoming {
            Incoming::Message(_) | Incoming::Assembled(_) | Incoming::Deflated(..) => {
                self.messages_received = self.messages_received.wrapping_add(1);
                self.last_data = now;
                self.flags |= flag::TALKED;
            }
            Incoming::Ping | Incoming::Pong | Incoming::Close(_) => {}
        }
    }

    /// Bytes and whole messages that the kernel took.
    #[inline]
    pub fn sent(&mut self, bytes: usize, messages: u32) {
        self.bytes_sent = self.bytes_sent.saturating_add(bytes as u64);
        self.messages_sent = self.messages_sent.wrapping_add(messages);
    }

    /// What was counted as sent has not been taken after all.
    pub fn took_back(&mut self, bytes: usize, messages: u32) {
        self.bytes_sent = self.bytes_sent.saturating_sub(bytes as u64);
        self.messages_sent = self.messages_sent.wrapping_sub(messages);
    }

    /// A data message was queued for it.
    #[inline]
    pub fn data_queued(&mut self, now: Tick) {
        self.last_data = self.moving(now);
        self.flags |= flag::SENT_DATA;
    }

    /// Bytes that this connection holds of unfinished heads, frames and messages.
    pub fn inbox_bytes(&self) -> usize {
        self.active.as_ref().map_or(0, |active| {
            let partial = active.partial.as_ref().map_or(0, |partial| partial.held());
            let record = active.record.capacity();
            active.held.capacity().saturating_add(record).saturating_add(partial)
        })
    }

    /// Gives up what nothing needs any more.
    #[inline]
    pub fn rest(&mut self) {
        if let Some(active) = &self.active
            && active.is_idle()
        {
            self.active = None;
        }
    }

    /// What it has beyond its slot, made if need be.
    pub fn wake(&mut self) -> &mut Active {
        self.active.get_or_insert_default()
    }

    /// What it has beyond its slot, if anything.
    #[inline]
    pub fn active(&mut self) -> Option<&mut Active> {
        self.active.as_deref_mut()
    }

    /// True if it owns nothing beyond its slot.
    #[inline]
    pub fn is_resting(&self) -> bool {
        self.active.is_none()
    }

    /// True if a head, frame or message is incomplete.
    pub fn is_mid_message(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.partial.is_some())
    }

    /// Where it is in its life.
    #[inline]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Why it ends, once that is decided.
    pub fn reason(&self) -> Option<CloseReason> {
        self.reason
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// A proxy has said whose connection it is.
    pub fn set_peer(&mut self, peer: Peer) {
        self.peer = peer;
    }

    /// What was agreed on compression.
    #[inline]
    pub fn deflation(&self) -> Deflation {
        self.deflation
    }

    /// Compression was agreed on.
    pub fn set_deflation(&mut self, deflation: Deflation) {
        self.deflation = deflation;
    }

    /// When it was accepted.
    pub fn opened(&self) -> Tick {
        self.opened
    }

    /// When its last byte came.
    pub fn last_received(&self) -> Tick {
        self.last_received
    }

    /// The token bucket of its message rate.
    pub fn bucket(&mut self) -> &mut Bucket {
        &mut self.bucket
    }

    /// Accepted beyond the limit, only to be told so.
    pub fn is_surplus(&self) -> bool {
        self.has(flag::SURPLUS)
    }

    /// From now on it is there only to be refused. False if it was before.
    pub fn become_surplus(&mut self) -> bool {
        let first = !self.is_surplus();
        self.flags |= flag::SURPLUS;
        first
    }

    /// What it has carried.
    pub fn totals(&self) -> Totals {
        Totals {
            messages_received: self.messages_received,
            messages_sent: self.messages_sent,
            bytes_received: self.bytes_received,
            bytes_sent: self.bytes_sent,
        }
    }

    #[inline]
    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

impl Active {
    fn is_idle(&self) -> bool {
        self.partial.is_none()
            && self.held.is_empty()
            && self.record.is_empty()
            && self.outbox.is_empty()
            && !self.outbox.sending
            && self.close_due.is_none()
            && self.paused == 0
            && self.inbox_charged == 0
            && self.outbox_counted == 0
            && self.behind.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The promise of at most 192 bytes for an idle connection begins here.
    #[test]
    fn a_slot_stays_small() {
        assert!(size_of::<Conn>() <= 120, "{} bytes", size_of::<Conn>());
    }
}
