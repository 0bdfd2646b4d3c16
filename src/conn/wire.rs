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
    /// When the oldest of them was sealed.
    pub since: Tick,
    /// Data messages that are with the kernel once all of it is.
    messages: u32,
    /// A ping, pong, close frame or HTTP answer is among it.
    pub has_control: bool,
}

impl Wire {
    pub fn new(now: Tick) -> Self {
        Wire { since: now, ..Wire::default() }
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
