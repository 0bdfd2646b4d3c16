//! Messages that tell who sent them and as which of how many, so that a copy can be checked whole.
//! Not frames: `wire` puts them on the wire.

use crate::wire::{BINARY, TEXT};

/// Names one session of one client, or the world outside, as a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender {
    pub client: u32,
    pub session: u32,
}

/// Publishes from outside.
pub const OUTSIDE: Sender = Sender { client: u32::MAX, session: 0 };

/// A message by its coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    pub sender: Sender,
    pub number: u32,
    /// Bytes wanted; the coordinates may need more.
    pub length: usize,
}

impl Numbered {
    pub fn opcode(&self) -> u8 {
        if self.number.is_multiple_of(3) { BINARY } else { TEXT }
    }

    /// The whole payload; a text has characters of several bytes.
    pub fn payload(&self) -> Vec<u8> {
        let Sender { client, session } = self.sender;
        let mut bytes = format!("{client}.{session}.{}|", self.number).into_bytes();
        let salt = (self.number as usize).wrapping_mul(31) + client as usize;
        let is_text = self.opcode() == TEXT;
        while bytes.len() < self.length {
            let at = bytes.len() * 7 + salt;
            match at % 26 {
                3 if is_text && bytes.len() + 3 <= self.length => bytes.extend("€".as_bytes()),
                letter if is_text => bytes.push(b'a' + letter as u8),
                _ => bytes.push(at as u8),
            }
        }
        bytes
    }

    /// Reads the coordinates of a payload and compares the rest with what it must be.
    pub fn check(payload: &[u8]) -> Result<Numbered, String> {
        let length = payload.len();
        let parse = || {
            let end = payload.iter().position(|byte| *byte == b'|')?;
            let mut parts = std::str::from_utf8(payload.get(..end)?).ok()?.split('.');
            let mut part = || parts.next()?.parse().ok();
            let sender = Sender { client: part()?, session: part()? };
            Some(Numbered { sender, number: part()?, length })
        };
        match parse() {
            Some(found) if found.payload() == payload => Ok(found),
            Some(found) => Err(format!("{found:?} has come with other bytes")),
            None => Err(format!("a message of {length} bytes that nobody has sent")),
        }
    }
}
