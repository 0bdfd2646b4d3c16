//! Whether and how messages are compressed.
//! Not the compressing, which `proto` does, nor what is agreed with one client.

use super::error::Refusal;
use super::fields::parse_bytes;
use super::keys::Key;
use super::quantity::{parse_size, show_size};
use super::settings::Choice;
use crate::proto::{LARGEST_WINDOW, SMALLEST_WINDOW};

/// The most that contexts together may be allowed to take.
const LARGEST_MEMORY: u64 = 1 << 40;

/// The largest of the sizes from which on a message is compressed.
const LARGEST_MIN_SIZE: usize = 1 << 30;

/// permessage-deflate (RFC 7692). Off by default; all of it needs a restart to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Whether it is agreed to, and with whose memory.
    pub mode: CompressionMode,
    /// Messages of fewer bytes are sent as they are. At most 2^30.
    pub min_size: usize,
    /// How hard is tried, 1 to 9.
    pub level: u8,
    /// The window of what is sent, in bits, 9 to 15.
    pub window: u8,
    /// Bytes that the contexts of all connections together may take, 1 to 2^40.
    pub memory: u64,
}

/// Who keeps what a message is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionMode {
    /// No client is offered compression.
    Off,
    /// Each message stands alone, compressed by one compressor for each reactor: no memory for each
    /// connection.
    Shared,
    /// Each connection has its own contexts, which remember the messages before.
    Dedicated,
}

impl Choice for CompressionMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("shared", Self::Shared), ("dedicated", Self::Dedicated)];
}

impl Compression {
    /// What the defaults are written over.
    pub(super) fn blank() -> Self {
        Compression { mode: CompressionMode::Off, min_size: 0, level: 0, window: 0, memory: 0 }
    }

    /// Puts the one value of a key into its field.
    pub(super) fn set(&mut self, key: Key, text: &str) -> Result<(), Refusal> {
        match key {
            Key::Compression => self.mode = Choice::parse(text)?,
            Key::CompressionMinSize => self.min_size = parse_bytes(text)?,
            Key::CompressionLevel => self.level = parse_small(text, "a level", 1, 9)?,
            Key::CompressionWindow => {
                self.window = parse_small(text, "a window", SMALLEST_WINDOW, LARGEST_WINDOW)?;
            }
            Key::CompressionMemory => self.memory = parse_size(text)?,
            _ => {}
        }
        Ok(())
    }

    /// What a key's field holds, as it is typed.
    pub(super) fn show(&self, key: Key) -> String {
        match key {
            Key::Compression => self.mode.word().to_string(),
            Key::CompressionMinSize => show_size(self.min_size as u64),
            Key::CompressionLevel => self.level.to_string(),
            Key::CompressionWindow => self.window.to_string(),
            Key::CompressionMemory => show_size(self.memory),
            _ => String::new(),
        }
    }

    /// Judges each value by itself.
    pub(super) fn bounds(&self) -> Vec<(Key, Refusal)> {
        let mut refused = Vec::new();
        for (key, what, value, least, most) in [
            (Key::CompressionLevel, "a level", self.level, 1, 9),
            (Key::CompressionWindow, "a window", self.window, SMALLEST_WINDOW, LARGEST_WINDOW),
        ] {
            if !(least..=most).contains(&value) {
                refused.push((key, no_number(&value.to_string(), what, least, most)));
            }
        }
        if self.min_size > LARGEST_MIN_SIZE {
            let wrong = format!("{} is too large", show_size(self.min_size as u64));
            let remedy = "write at most 1GiB, or --compression off";
            refused.push((Key::CompressionMinSize, Refusal::new(wrong, remedy)));
        }
        if !(1..=LARGEST_MEMORY).contains(&self.memory) {
            let wrong = format!("{} cannot be had", show_size(self.memory));
            let remedy = "write 1 to 1TiB, or --compression shared, which takes none";
            refused.push((Key::CompressionMemory, Refusal::new(wrong, remedy)));
        }
        refused
    }
}

fn parse_small(text: &str, what: &str, least: u8, most: u8) -> Result<u8, Refusal> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(no_number(text, what, least, most)),
    }
}

fn no_number(text: &str, what: &str, least: u8, most: u8) -> Refusal {
    let wrong = format!("{} is not {what}", super::error::quoted(text));
    Refusal::new(wrong, format!("write {least} to {most}"))
}
