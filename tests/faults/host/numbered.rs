//! Broadcast messages that tell their number, and what a subscriber made of them.
//! Not for echoes; those are compared with what was sent.

use crate::harness::{Frame, RawClient, frame};

/// A message of `length` bytes that tells its number.
pub fn message(number: u32, length: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(length, 0x5a);
    frame::binary(&payload)
}

/// The number of a message that came whole.
pub fn number(frame: &Frame) -> u32 {
    assert_eq!(frame.first, frame::BINARY, "close code {:?}", frame.close_code());
    assert!(frame.payload[4..].iter().all(|byte| *byte == 0x5a), "the payload is whole");
    u32::from_be_bytes(frame.payload[..4].try_into().expect("four bytes are there"))
}

/// The next number that comes for a peer.
pub fn next(peer: &mut RawClient) -> u32 {
    number(&peer.data())
}
