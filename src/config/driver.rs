//! Which driver the reactors have, and what it may take.
//! Not the choosing, which `io` does: it knows what the kernel has.

use super::error::Refusal;
use super::keys::Key;
use super::quantity::{parse_size, show_size};
use super::settings::Choice;
use crate::io::DriverChoice;

/// The least and the most bytes that a reactor's buffers may take. Less than one peer's share of a turn
/// would leave a single busy peer without; more than this nobody's turn can use.
const BUFFERS: std::ops::RangeInclusive<u64> = 1 << 16..=1 << 32;

/// How reactors speak with the kernel. It needs a restart to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverSettings {
    /// Which driver.
    pub choice: DriverChoice,
    /// Bytes that the kernel may receive into ahead of each reactor, 2^16 to 2^32; io_uring only.
    pub buffers: u64,
}

impl Choice for DriverChoice {
    const WORDS: &'static [(&'static str, Self)] =
        &[("epoll", Self::Epoll), ("io_uring", Self::IoUring), ("auto", Self::Auto)];
}

impl DriverSettings {
    /// What the defaults are written over.
    pub(super) fn blank() -> Self {
        DriverSettings { choice: DriverChoice::Epoll, buffers: 0 }
    }

    /// Puts the one value of a key into its field.
    pub(super) fn set(&mut self, key: Key, text: &str) -> Result<(), Refusal> {
        match key {
            Key::Driver => self.choice = Choice::parse(text)?,
            Key::IoUringBuffers => self.buffers = parse_size(text)?,
            _ => {}
        }
        Ok(())
    }

    /// What a key's field holds, as it is typed.
    pub(super) fn show(&self, key: Key) -> String {
        match key {
            Key::Driver => self.choice.word().to_string(),
            Key::IoUringBuffers => show_size(self.buffers),
            _ => String::new(),
        }
    }

    /// What no server could be run with.
    pub(super) fn bounds(&self) -> Option<(Key, Refusal)> {
        if BUFFERS.contains(&self.buffers) {
            return None;
        }
        let is_less = self.buffers < *BUFFERS.start();
        let what = if is_less { "too little" } else { "too much" };
        let wrong = format!("{} is {what}", show_size(self.buffers));
        Some((Key::IoUringBuffers, Refusal::new(wrong, "write 64KiB to 4GiB")))
    }
}
