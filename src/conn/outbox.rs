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

struct Queued {
    frame: Frame,
    since: Tick,
    /// Data may be dropped by a slow-consumer policy; close frames and HTTP answers may not.
    is_data: bool,
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
    /// Unsent bytes in both lanes.
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
        self.bytes + self.front_sent + self.queue.len() * BOOKKEEPING
    }

    /// True if nothing is unsent.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// When the oldest unsent byte was queued.
    pub fn oldest(&self) -> Option<Tick> {
        let data = self.queue.front().map(|queued| queued.since);
        let control = (!self.control.is_empty()).then_some(self.control_since);
        match (data, control) {
            (Some(a), Some(b)) => Some(a.earlier(b)),
            (a, b) => a.or(b),
        }
    }

    /// Queues a frame behind all others.
    pub fn push(&mut self, frame: Frame, is_data: bool, now: Tick, budget: &Budget) {
        self.bytes += frame.len();
        frame.charge(budget);
        budget.charge(BOOKKEEPING);
        self.queue.push_back(Queued { frame, since: now, is_data });
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
        debug_assert!(sent == 0 || self.queue.is_empty());
        self.push(frame, is_data, now, budget);
        if sent > 0 {
            self.front_sent = sent;
            self.bytes = self.bytes.saturating_sub(sent);
        }
    }

    /// True if no control frame is unsent.
    pub fn control_is_out(&self) -> bool {
        self.control.is_empty() && self.queue.iter().all(|queued| queued.is_data)
    }

    /// Puts a ping or pong into the control lane; the oldest pongs make room for a new one.
    pub fn push_control(&mut self, frame: &[u8], now: Tick) {
        if frame.first() == Some(&PONG) {
            self.make_room(frame.len());
        }
        if self.control.is_empty() {
            self.control_since = now;
        }
        self.control.extend_from_slice(frame);
        self.bytes += frame.len();
    }

    /// Drops pongs, the oldest first, until `wanted` more bytes fit into the lane; never one that
    /// is partly written. The lane's age stays: what was dropped was as unread as the rest is.
    fn make_room(&mut self, wanted: usize) {
        let mut at = 0;
        while self.control.len() + wanted > CONTROL_LANE {
            // A control frame's length is its second byte.
            let Some(&[first, length]) = self.control.get(at..at + 2) else { return };
            let end = at + 2 + usize::from(length);
            if first == PONG && at >= self.control_sent {
                self.control.drain(at..end);
                self.bytes -= end - at;
            } else {
                at = end;
            }
        }
    }

    /// The next bytes to write, in order, as far as `parts` has room.
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
        if self.front_sent > 0 {
            n = self.take_front(n, budget, &mut messages);
        }
        if self.front_sent == 0 {
            n = self.take_control(n);
        }
        while n > 0 && !self.queue.is_empty() {
            n = self.take_front(n, budget, &mut messages);
        }
        messages
    }

    /// Takes up to `n` bytes of the first frame; what is left of `n`.
    fn take_front(&mut self, n: usize, budget: &Budget, messages: &mut u32) -> usize {
        let Some(front) = self.queue.front() else { return n };
        let unsent = front.frame.len() - self.front_sent;
        if n < unsent {
            self.front_sent += n;
            return 0;
        }
        self.front_sent = 0;
        if let Some(front) = self.queue.pop_front() {
            *messages += u32::from(front.is_data);
            front.release(budget);
        }
        n - unsent
    }

    fn take_control(&mut self, n: usize) -> usize {
        let unsent = self.control.len() - self.control_sent;
        if n < unsent {
            self.control_sent += n;
            return 0;
        }
        self.control.clear();
        self.control_sent = 0;
        n - unsent
    }

    /// Drops the oldest data frames until `wanted` more bytes fit into `limit`, never one that is
    /// partly written. How many were dropped.
    pub fn drop_oldest(&mut self, wanted: usize, limit: usize, budget: &Budget) -> u64 {
        self.drop_data(|outbox, _| outbox.bytes + wanted > limit, budget)
    }

    /// Drops the data frames queued at `tick` or before, never one that is partly written.
    pub fn drop_overdue(&mut self, tick: Tick, budget: &Budget) -> u64 {
        self.drop_data(|_, queued| queued.since.has_come(tick), budget)
    }

    fn drop_data(&mut self, doomed: impl Fn(&Outbox, &Queued) -> bool, budget: &Budget) -> u64 {
        let mut dropped = 0;
        let is_partly_written = self.front_sent > 0 && !mutation::is(Mutation::DropPartlyWritten);
        let mut at = usize::from(is_partly_written);
        while let Some(queued) = self.queue.get(at) {
            if !doomed(self, queued) {
                break;
            }
            if !queued.is_data {
                at += 1;
                continue;
            }
            if let Some(gone) = self.queue.remove(at) {
                self.bytes -= gone.frame.len();
                gone.release(budget);
                dropped += 1;
            }
        }
        dropped
    }

    /// Forgets everything: the connection is gone.
    pub fn clear(&mut self, budget: &Budget) {
        for queued in self.queue.drain(..) {
            queued.release(budget);
        }
        *self = Outbox { sending: self.sending, ..Outbox::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn own(bytes: &'static [u8]) -> Frame {
        Frame::own(Bytes::from_static(bytes))
    }

    fn unsent(outbox: &Outbox) -> Vec<u8> {
        let mut parts = Vec::new();
        outbox.parts(&mut parts, 64);
        parts.iter().flat_map(|part| part.iter().copied()).collect()
    }

    #[test]
    fn control_frames_enter_at_a_frame_boundary_and_bytes_leave_in_order() {
        let budget = Budget::new(1 << 20);
        let whole = b"firstPINGsecondthird";
        for cut in 0..=whole.len() {
            let mut outbox = Outbox::default();
            outbox.push_rest(own(b"XXfirst"), 2, true, Tick(1), &budget);
            outbox.push(own(b"second"), true, Tick(2), &budget);
            outbox.push(own(b"third"), true, Tick(3), &budget);
            outbox.push_control(b"PING", Tick(4));
            assert_eq!(outbox.bytes(), whole.len());
            assert_eq!(unsent(&outbox), whole);
            outbox.taken(cut, &budget);
            assert_eq!(unsent(&outbox), &whole[cut..]);
            assert_eq!(outbox.bytes(), whole.len() - cut);
            assert_eq!(outbox.control_is_out(), cut >= 9);
            outbox.clear(&budget);
            assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn dropping_spares_what_is_partly_written_and_what_is_not_data() {
        let budget = Budget::new(1 << 20);
        let mut outbox = Outbox::default();
        outbox.push_rest(own(b"partly"), 1, true, Tick(1), &budget);
        outbox.push(own(b"old"), true, Tick(2), &budget);
        outbox.push(own(b"close"), false, Tick(2), &budget);
        outbox.push(own(b"new"), true, Tick(9), &budget);
        assert_eq!(outbox.drop_overdue(Tick(2), &budget), 1);
        assert_eq!(unsent(&outbox), b"artlyclosenew");
        assert_eq!(outbox.drop_oldest(5, 15, &budget), 1);
        assert_eq!(unsent(&outbox), b"artlyclose");
        assert_eq!(outbox.oldest(), Some(Tick(1)));
    }

    /// The longest pong there is, and how it can be told from others.
    fn pong(number: u8) -> Vec<u8> {
        let mut frame = vec![number; 127];
        frame[..2].copy_from_slice(&[PONG, 125]);
        frame
    }

    #[test]
    fn the_control_lane_is_bounded_and_keeps_the_most_recent() {
        let budget = Budget::new(1 << 20);
        let mut outbox = Outbox::default();
        outbox.push_control(&pong(0), Tick(0));
        outbox.taken(1, &budget);
        let ping = [0x89, 0];
        for number in 1..=100 {
            outbox.push_control(&pong(number), Tick(0));
            if number == 50 {
                outbox.push_control(&ping, Tick(0));
            }
        }
        let expected = [&pong(0)[1..], &ping, &pong(99), &pong(100)].concat();
        assert_eq!(unsent(&outbox), expected, "what is partly written and the ping stay");
        assert_eq!(outbox.bytes(), expected.len());
        outbox.taken(expected.len(), &budget);
        assert!(outbox.is_empty() && outbox.control_is_out());
        for number in 0..4 {
            outbox.push_control(&pong(number), Tick(0));
        }
        outbox.push_control(&ping, Tick(0));
        assert!(unsent(&outbox).ends_with(&ping), "a ping finds room in a full lane");
    }

    #[test]
    fn a_shared_frame_is_charged_once() {
        let budget = Budget::new(1 << 20);
        let frame = Frame::shared(Bytes::from_static(b"0123456789"));
        let mut outboxes: Vec<Outbox> = (0..5).map(|_| Outbox::default()).collect();
        for outbox in &mut outboxes {
            outbox.push(frame.clone(), true, Tick(0), &budget);
        }
        let place = BOOKKEEPING as u64;
        assert_eq!(budget.used(), 10 + 5 * place);
        for outbox in outboxes.iter_mut().take(4) {
            outbox.taken(10, &budget);
        }
        assert_eq!(budget.used(), 10 + place);
        outboxes[4].clear(&budget);
        assert_eq!(budget.used(), 0);
    }

    /// Else the budget could be overspent with nobody above its share of it, whom to shed.
    #[test]
    fn what_is_held_is_never_less_than_what_is_charged() {
        let budget = Budget::new(1 << 20);
        let mut outbox = Outbox::default();
        outbox.push(own(b"0123456789"), true, Tick(0), &budget);
        outbox.push(own(b""), true, Tick(0), &budget);
        outbox.push(own(b"01234"), true, Tick(0), &budget);
        for _ in 0..15 {
            assert_eq!(outbox.held() as u64, budget.used());
            outbox.taken(1, &budget);
        }
        assert_eq!((outbox.held(), budget.used()), (0, 0));
    }
}
