//! What a connection has been told to send and the kernel has not taken yet.
//! Not for the usual case: what the kernel takes within the turn never comes here.
//!
//! Data frames stand in order, each with the tick at which it was queued, so that the age of the
//! oldest unsent byte is known. Control frames have a lane of their own that enters at the next
//! frame boundary, so that data pressure never makes a healthy peer look dead.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::budget::Budget;
use super::frame::Frame;
use super::tick::Tick;
use super::wire::Wire;
use crate::mutation::{self, Mutation};

/// Pongs waiting for a frame boundary take at most this many bytes; older ones than that need not
/// be sent (RFC 6455 section 5.5.3 asks only for the most recent). A ping always finds room: there
/// is one at a time, and its answer is awaited.
const CONTROL_LANE: usize = 4 * 127;

/// The first byte of a pong.
const PONG: u8 = 0x8a;

/// What a queued frame takes besides its bytes: its place in a queue that may be half empty, and
/// the least that an allocation takes. A frame of two bytes is mostly that.
const BOOKKEEPING: usize = 2 * size_of::<Queued>();

/// What may become of a frame while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A message; a slow-consumer policy may drop it.
    Data,
    /// A message that is to leave as it is; it may be dropped too.
    Settled,
    /// A message that those behind it refer to (RFC 7692 section 7.2.1): dropping it would spoil
    /// them all.
    Bound,
    /// A close frame or an HTTP answer, which may not be dropped either.
    Fixed,
}

impl Class {
    fn is_data(self) -> bool {
        self != Class::Fixed
    }

    fn may_be_dropped(self) -> bool {
        matches!(self, Class::Data | Class::Settled)
    }
}

struct Queued {
    frame: Frame,
    since: Tick,
    class: Class,
}

impl Queued {
    fn release(self, budget: &Budget) {
        self.frame.release(budget);
        budget.release(BOOKKEEPING);
    }
}

/// The unsent frames of one connection. Its bounds are enforced by who pushes.
#[derive(Default)]
pub struct Outbox {
    queue: VecDeque<Queued>,
    /// Bytes of the first queued frame that the kernel has.
    front_sent: usize,
    control: Vec<u8>,
    control_sent: usize,
    control_since: Tick,
    /// What is sealed already, ahead of both lanes; only under TLS.
    wire: Option<Box<Wire>>,
    /// Unsent bytes in all lanes.
    bytes: usize,
    /// A send is under way in the driver; nothing may be handed over until it completes.
    pub sending: bool,
}

impl Outbox {
    /// Unsent bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory that the queue holds, never less than what the budget is charged for it: a frame that
    /// is partly written is held whole.
    pub fn held(&self) -> usize {
        let places = self.queue.len().saturating_mul(BOOKKEEPING);
        let sealed = self.wire.as_ref().map_or(0, |wire| wire.sent());
        self.bytes.saturating_add(self.front_sent).saturating_add(sealed).saturating_add(places)
    }

    /// True if nothing is unsent.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// When the oldest unsent byte was queued.
    pub fn oldest(&self) -> Option<Tick> {
        let data = self.queue.front().map(|queued| queued.since);
        let control = (!self.control.is_empty()).then_some(self.control_since);
        let sealed = self.wire.as_ref().map(|wire| wire.since);
        [data, control, sealed].into_iter().flatten().reduce(Tick::earlier)
    }

    /// Queues a frame behind all others: data, or one that may not be dropped.
    pub fn push(&mut self, frame: Frame, is_data: bool, now: Tick, budget: &Budget) {
        let class = if is_data { Class::Data } else { Class::Fixed };
        self.push_as(class, frame, 0, now, budget);
    }

    /// Queues a frame of any class, of which the first `sent` bytes are gone already: only the first
    /// may be.
    pub fn push_as(&mut self, class: Class, frame: Frame, sent: usize, now: Tick, budget: &Budget) {
        debug_assert!(sent == 0 || self.queue.is_empty());
        self.bytes = self.bytes.saturating_add(frame.len());
        frame.charge(budget);
        budget.charge(BOOKKEEPING);
        self.queue.push_back(Queued { frame, since: now, class });
        if sent > 0 {
            self.front_sent = sent;
            self.gone(sent);
        }
    }

    /// Queues a frame of which the first `sent` bytes are gone already: only the first may be.
    pub fn push_rest(
        &mut self,
        frame: Frame,
        sent: usize,
        is_data: bool,
        now: Tick,
        budget: &Budget,
    ) {
        let class = if is_data { Class::Data } else { Class::Fixed };
        self.push_as(class, frame, sent, now, budget);
    }

    /// True if no control frame is unsent.
    pub fn control_is_out(&self) -> bool {
        self.wire.as_ref().is_none_or(|wire| !wire.has_control)
            && self.control.is_empty()
            && self.queue.iter().all(|queued| queued.class.is_data())
    }

    /// Puts sealed bytes behind those there are, ahead of all that is not sealed; what they carry was
    /// queued at `since`, and `messages` of it count as sent once they are.
    pub fn push_wire(
        &mut self,
        bytes: &[u8],
        messages: u32,
        has_control: bool,
        since: Tick,
        budget: &Budget,
    ) {
        self.bytes = self.bytes.saturating_add(bytes.len());
        let wire = self.wire.get_or_insert_with(|| Box::new(Wire::new(since)));
        wire.since = wire.since.earlier(since);
        wire.push(bytes, messages, has_control, budget);
    }

    /// Bytes that may be sealed now where `most` may stand sealed; none behind what was queued before
    /// this tick, since they would look as old.
    pub fn room_to_seal(&self, now: Tick, most: usize) -> usize {
        let is_new = |wire: &Wire| wire.since == now && wire.sent() == 0;
        match &self.wire {
            Some(wire) if !is_new(wire) => 0,
            _ => most.saturating_sub(self.wire().len()),
        }
    }

    /// Sealed bytes that are to be sent next.
    pub fn wire(&self) -> &[u8] {
        self.wire.as_ref().map_or(&[], |wire| wire.unsent())
    }

    /// Removes the first `n` bytes of those that are not sealed, which are now. How many data frames
    /// that completed.
    pub fn sealed(&mut self, n: usize, budget: &Budget) -> u32 {
        self.bytes = self.bytes.saturating_sub(n);
        let mut messages = 0;
        self.take_plain(n, budget, &mut messages);
        messages
    }

    /// Forgets what is not sealed: there is no key any more.
    pub fn keep_only_wire(&mut self, budget: &Budget) {
        let wire = self.wire.take();
        self.clear(budget);
        self.bytes = wire.as_ref().map_or(0, |wire| wire.unsent().len());
        self.wire = wire;
    }

    /// Puts a ping or pong into the control lane; the oldest pongs make room for a new one.
    pub fn push_control(&mut self, frame: &[u8], now: Tick) {
        self.forget_sent();
        if frame.first() == Some(&PONG) {
            self.make_room(frame.len());
        }
        if self.control.is_empty() {
            self.control_since = now;
        }
        self.control.extend_from_slice(frame);
        self.bytes = self.bytes.saturating_add(frame.len());
    }

    /// Gives up control frames that have left whole: a lane that never runs quite empty must not
    /// grow by all that passes through it, nor what has left take the room of what waits.
    fn forget_sent(&mut self) {
        let mut at = 0;
        while let Some((_, end)) = self.control_frame(at)
            && end <= self.control_sent
        {
            at = end;
        }
        self.control.drain(..at);
        self.control_sent = self.control_sent.saturating_sub(at);
    }

    /// The first byte of the control frame that begins `at`, and where it ends.
    fn control_frame(&self, at: usize) -> Option<(u8, usize)> {
        // Its second byte is the length of its payload.
        let &[first, length, ..] = self.control.get(at..)? else { return None };
        let end = at.saturating_add(2).saturating_add(usize::from(length));
        Some((first, end.min(self.control.len())))
    }

    /// Drops pongs, the oldest first, until `wanted` more bytes fit into the lane; never one that
    /// is partly written. The lane's age stays: what was dropped was as unread as the rest is.
    fn make_room(&mut self, wanted: usize) {
        let mut at = 0;
        while self.control.len().saturating_add(wanted) > CONTROL_LANE {
            let Some((first, end)) = self.control_frame(at) else { return };
            if first == PONG && at >= self.control_sent {
                let dropped = self.control.drain(at..end).len();
                self.gone(dropped);
            } else {
                at = end;
            }
        }
    }

    /// Settles in what form the next frames leave, about `ahead` bytes of them: `compress` is shown
    /// each message once, in the order in which they leave, and gives what goes in its place, if
    /// anything. From then on such a one is [`Class::Bound`]. How many parts to write that makes:
    /// what stands behind them must wait.
    pub fn settle(
        &mut self,
        ahead: usize,
        budget: &Budget,
        mut compress: impl FnMut(&[u8]) -> Option<Frame>,
    ) -> usize {
        let mut bytes: usize = 0;
        let mut count: usize = 0;
        let mut is_begun = self.front_sent > 0;
        for queued in &mut self.queue {
            if bytes >= ahead {
                break;
            }
            if queued.class == Class::Data {
                queued.class = Class::Settled;
                // One that has begun to leave goes on as it began.
                if !is_begun && let Some(small) = compress(queued.frame.bytes()) {
                    self.bytes =
                        self.bytes.saturating_sub(queued.frame.len()).saturating_add(small.len());
                    small.charge(budget);
                    std::mem::replace(&mut queued.frame, small).release(budget);
                    queued.class = Class::Bound;
                }
            }
            is_begun = false;
            bytes = bytes.saturating_add(queued.frame.len());
            count = count.saturating_add(1);
        }
        count.saturating_add(usize::from(self.control_sent < self.control.len()))
    }

    /// The next bytes to write that are not sealed, in order, as far as `parts` has room.
    pub fn parts<'a>(&'a self, parts: &mut Vec<IoSlice<'a>>, room: usize) {
        let mut frames = self.queue.iter();
        if self.front_sent > 0
            && let Some(front) = frames.next()
        {
            parts
                .push(IoSlice::new(front.frame.bytes().get(self.front_sent..).unwrap_or_default()));
        }
        let control = self.control.get(self.control_sent..).unwrap_or_default();
        if !control.is_empty() {
            parts.push(IoSlice::new(control));
        }
        let room = room.saturating_sub(parts.len());
        parts.extend(frames.take(room).map(|queued| IoSlice::new(queued.frame.bytes())));
    }

    /// Removes the first `n` bytes, which the kernel took. How many data frames left whole.
    pub fn taken(&mut self, mut n: usize, budget: &Budget) -> u32 {
        let mut messages = 0;
        self.bytes = self.bytes.saturating_sub(n);
        if let Some(wire) = &mut self.wire {
            let Some((more, whole)) = wire.taken(n) else { return 0 };
            wire.release(budget);
            self.wire = None;
            messages = whole;
            n = more;
        }
        self.take_plain(n, budget, &mut messages);
        messages
    }

    fn take_plain(&mut self, mut n: usize, budget: &Budget, messages: &mut u32) {
        if self.front_sent > 0 {
            n = self.take_front(n, budget, messages);
        }
        if self.front_sent == 0 {
            n = self.take_control(n);
        }
        while n > 0 && !self.queue.is_empty() {
            n = self.take_front(n, budget, messages);
        }
    }

    /// Takes up to `n` bytes of the first frame; what is left of `n`.
    fn take_front(&mut self, n: usize, budget: &Budget, messages: &mut u32) -> usize {
        let Some(front) = self.queue.front() else { return n };
        let unsent = front.frame.len().saturating_sub(self.front_sent);
        let Some(more) = n.checked_sub(unsent) else {
            self.front_sent = self.front_sent.saturating_add(n);
            return 0;
        };
        self.front_sent = 0;
        if let Some(front) = self.queue.pop_front() {
            *messages = messages.saturating_add(u32::from(front.class.is_data()));
            front.release(budget);
        }
        more
    }

    /// Counts bytes that left; more than there were would be a fault in the counting, not a peer's.
    fn gone(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes, "{bytes} of {} unsent bytes left", self.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn take_control(&mut self, n: usize) -> usize {
        let unsent = self.control.len().saturating_sub(self.control_sent);
        let Some(more) = n.checked_sub(unsent) else {
            self.control_sent = self.control_sent.saturating_add(n);
            return 0;
        };
        self.control.clear();
        self.control_sent = 0;
        more
    }

    /// Drops the oldest data frames until `wanted` more bytes fit into `limit`, never one that is
    /// partly written. How many were dropped.
    pub fn drop_oldest(&mut self, wanted: usize, limit: usize, budget: &Budget) -> u64 {
        self.drop_data(|outbox, _| outbox.bytes.saturating_add(wanted) > limit, budget)
    }

    /// Drops the data frames queued at `tick` or before, never one that is partly written.
    pub fn drop_overdue(&mut self, tick: Tick, budget: &Budget) -> u64 {
        self.drop_data(|_, queued| queued.since.has_come(tick), budget)
    }

    fn drop_data(&mut self, doomed: impl Fn(&Outbox, &Queued) -> bool, budget: &Budget) -> u64 {
        let mut dropped: u64 = 0;
        let is_partly_written = self.front_sent > 0 && !mutation::is(Mutation::DropPartlyWritten);
        let mut at = usize::from(is_partly_written);
        while let Some(queued) = self.queue.get(at) {
            if !doomed(self, queued) {
                break;
            }
            if !queued.class.may_be_dropped() {
                at = at.saturating_add(1);
                continue;
            }
            if let Some(gone) = self.queue.remove(at) {
                self.gone(gone.frame.len());
                gone.release(budget);
                dropped = dropped.saturating_add(1);
            }
        }
        dropped
    }

    /// Forgets everything: the connection is gone.
    pub fn clear(&mut self, budget: &Budget) {
        if let Some(wire) = &self.wire {
            wire.release(budget);
        }
        for queued in self.queue.drain(..) {
            queued.release(budget);
        }
        *self = Outbox { sending: self.sending, ..Outbox::default() };
    }
}

#[cfg(test)]
mod tests;
