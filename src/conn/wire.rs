//! Sealed bytes that the kernel has not taken: they have their place in the stream and keep it.
//! Not for plaintext, which waits in the outbox and may still be dropped.

use super::budget::Budget;
use super::tick::Tick;

/// The front of a TLS connection's queue. A record that is sealed can't be taken back: its number
/// is part of what every later one is sealed with.
#[derive(Default)]
pub(super) struct Wire {
    bytes: Vec<u8>,
    /// Bytes of them that the kernel has.
    sent: usize,
    /// When the oldest of them was queued.
    pub since: Tick,
    /// Data messages that are with the kernel once all of it is.
    messages: u32,
    /// A ping, pong, close frame or HTTP answer is among it.
    pub has_control: bool,
}

impl Wire {
    pub fn new(since: Tick) -> Self {
        Wire { since, ..Wire::default() }
    }

    /// What is to be sent.
    pub fn unsent(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// Bytes that the kernel has and that are kept all the same.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Appends records.
    pub fn push(&mut self, bytes: &[u8], messages: u32, has_control: bool, budget: &Budget) {
        self.bytes.reserve_exact(bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.messages = self.messages.saturating_add(messages);
        self.has_control |= has_control;
        budget.charge(bytes.len());
    }

    /// The kernel took `n` bytes, or all of it and more: how many more, and how many messages.
    pub fn taken(&mut self, n: usize) -> Option<(usize, u32)> {
        match n.checked_sub(self.unsent().len()) {
            Some(more) => Some((more, self.messages)),
            None => {
                self.sent = self.sent.saturating_add(n);
                None
            }
        }
    }

    pub fn release(&self, budget: &Budget) {
        budget.release(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::conn::{Budget, Frame, Outbox, Tick};

    fn own(bytes: &'static [u8]) -> Frame {
        Frame::own(Bytes::from_static(bytes))
    }

    /// An outbox of which `sealed` bytes were sealed, into as many.
    fn sealed(budget: &Budget, sealed: usize) -> Outbox {
        let mut outbox = Outbox::default();
        outbox.push(own(b"first"), true, Tick(1), budget);
        outbox.push(own(b"second"), true, Tick(2), budget);
        let messages = outbox.sealed(sealed, budget);
        outbox.push_wire(&vec![b'*'; sealed], messages, false, Tick(1), budget);
        outbox
    }

    #[test]
    fn what_is_sealed_is_never_dropped_and_what_is_partly_sealed_neither() {
        for (cut, left) in [(5, 5), (7, 11)] {
            let budget = Budget::new(1 << 20);
            let mut outbox = sealed(&budget, cut);
            assert_eq!(outbox.bytes(), 11);
            outbox.drop_overdue(Tick(9), &budget);
            assert_eq!((outbox.wire().len(), outbox.bytes()), (cut, left));
            assert_eq!(outbox.oldest(), Some(Tick(1)));
            assert!(outbox.held() as u64 >= budget.used());
            outbox.keep_only_wire(&budget);
            assert_eq!((outbox.bytes(), budget.used()), (cut, cut as u64));
            outbox.clear(&budget);
            assert_eq!((outbox.bytes(), budget.used()), (0, 0));
        }
    }

    #[test]
    fn messages_and_control_frames_are_out_when_the_kernel_has_all_of_their_record() {
        let budget = Budget::new(1 << 20);
        let mut outbox = sealed(&budget, 7);
        outbox.push_wire(b"ping", 0, true, Tick(3), &budget);
        for _ in 0..10 {
            assert_eq!(outbox.taken(1, &budget), 0);
            assert!(!outbox.control_is_out());
            assert!(outbox.held() as u64 >= budget.used());
        }
        assert_eq!(outbox.taken(1, &budget), 1);
        assert!(outbox.control_is_out() && outbox.wire().is_empty());
        assert_eq!(outbox.sealed(4, &budget), 1);
        assert!(outbox.is_empty() && budget.used() == 0);
    }

    /// Else a peer that reads slowly and steadily would look as if it did not read.
    #[test]
    fn nothing_is_sealed_behind_what_is_older() {
        let budget = Budget::new(1 << 20);
        let mut outbox = Outbox::default();
        assert_eq!(outbox.room_to_seal(Tick(5), 100), 100);
        outbox.push_wire(b"tickets", 0, true, Tick(5), &budget);
        assert!(outbox.room_to_seal(Tick(5), 100) > 0 && outbox.room_to_seal(Tick(6), 100) == 0);
        outbox.taken(1, &budget);
        assert!(outbox.room_to_seal(Tick(5), 100) == 0);
        outbox.taken(6, &budget);
        assert!(outbox.room_to_seal(Tick(6), 100) == 100 && outbox.oldest().is_none());
    }

    #[test]
    fn no_more_is_sealed_than_may_be_whatever_a_short_write_has_left() {
        let budget = Budget::new(1 << 20);
        let mut outbox = Outbox::default();
        outbox.push_wire(&[0; 70], 0, false, Tick(5), &budget);
        assert_eq!(outbox.room_to_seal(Tick(5), 100), 30);
        outbox.push_wire(&[0; 40], 0, false, Tick(5), &budget);
        assert_eq!(outbox.room_to_seal(Tick(5), 100), 0);
    }
}
