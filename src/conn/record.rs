//! The front of a TLS record whose rest has not come, between two receives.
//! Not for opening it; and held only while it is not whole, under the deadline of messages.

use super::{Conn, Tick};

impl Conn {
    /// Takes out the front of the record that is not whole.
    pub fn take_record(&mut self) -> Vec<u8> {
        self.active.as_mut().map(|active| std::mem::take(&mut active.record)).unwrap_or_default()
    }

    /// Keeps the front of a record until more comes; it began `now`, or else when what was taken out
    /// did.
    pub fn keep_record(&mut self, record: Vec<u8>, has_begun_now: bool, now: Tick) {
        if record.is_empty() && self.is_resting() {
            return;
        }
        let now = self.moving(now);
        let active = self.wake();
        active.record = record;
        if has_begun_now {
            active.record_since = now;
        }
    }
}
