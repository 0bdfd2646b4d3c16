//! A client that speaks permessage-deflate, by flate2's interface rather than the server's own code.
//! Not for negotiating: the test says what it offers, and whether contexts are kept.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::frame::{self, Frame};
use super::{RawClient, Server, request};

/// The bit of a compressed message's first frame.
pub const RSV1: u8 = 0x40;

/// What a flush ends with.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// What most clients offer.
pub const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// One upgraded connection.
pub struct DeflateClient {
    /// The connection itself.
    pub raw: RawClient,
    /// What was agreed on, as the server wrote it; empty for nothing.
    pub agreed: String,
    compress: Compress,
    decompress: Decompress,
}

impl DeflateClient {
    /// Connects to a path and offers this.
    pub fn open(server: &Server, path: &str, offer: &str) -> Self {
        Self::upgrade(RawClient::connect(server), path, offer)
    }

    /// Upgrades a connection.
    pub fn upgrade(mut raw: RawClient, path: &str, offer: &str) -> Self {
        let line = format!("Sec-WebSocket-Extensions: {offer}");
        raw.send(request(path, &[&line]).as_bytes());
        let response = raw.response();
        assert_eq!(response.status, 101, "{response:?}");
        let agreed = response.header("Sec-WebSocket-Extensions").unwrap_or_default().to_owned();
        let bits = |name: &str| {
            let (_, rest) = agreed.split_once(&format!("{name}_max_window_bits="))?;
            rest.split(';').next()?.trim().parse::<u8>().ok()
        };
        let (own, theirs) = (bits("client").unwrap_or(15), bits("server").unwrap_or(15));
        let compress = Compress::new_with_window_bits(Compression::new(6), false, own.max(9));
        let decompress = Decompress::new_with_window_bits(false, theirs);
        DeflateClient { raw, agreed, compress, decompress }
    }

    fn client_keeps(&self) -> bool {
        !self.agreed.contains("client_no_context_takeover")
    }

    fn server_keeps(&self) -> bool {
        !self.agreed.contains("server_no_context_takeover")
    }

    /// The payload of a message as this client would send it.
    pub fn small(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.client_keeps() {
            self.compress.reset();
        }
        compressed(&mut self.compress, payload)
    }

    /// Sends a message in one frame, compressed if that was agreed on; `opcode` as in an
    /// uncompressed whole frame.
    pub fn send(&mut self, opcode: u8, payload: &[u8]) {
        let frame = self.frame(opcode, payload);
        self.raw.send(&frame);
    }

    /// The frame that `send` sends, which is then to be sent.
    pub fn frame(&mut self, opcode: u8, payload: &[u8]) -> Vec<u8> {
        if self.agreed.is_empty() {
            frame::frame(opcode, payload)
        } else {
            frame::frame(opcode | RSV1, &self.small(payload))
        }
    }

    /// The next data frame: whether it came compressed, how long it was, and its message.
    pub fn receive(&mut self) -> (bool, usize, Vec<u8>) {
        let frame = self.raw.data();
        self.take(&frame)
    }

    /// A frame's message.
    pub fn take(&mut self, frame: &Frame) -> (bool, usize, Vec<u8>) {
        let is_small = frame.first & RSV1 != 0;
        assert!(matches!(frame.first & !RSV1, frame::TEXT | frame::BINARY), "{frame:?}");
        let message = if is_small { self.inflate(&frame.payload) } else { frame.payload.clone() };
        (is_small, frame.payload.len(), message)
    }

    fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.server_keeps() {
            self.decompress.reset(false);
        }
        let input = [payload, &TAIL].concat();
        let mut out = Vec::with_capacity(4096);
        let begun = self.decompress.total_in();
        loop {
            let at = (self.decompress.total_in() - begun) as usize;
            let status = self
                .decompress
                .decompress_vec(&input[at..], &mut out, FlushDecompress::Sync)
                .expect("the server's stream is whole");
            assert_ne!(status, Status::StreamEnd, "the server ends no stream");
            let read = (self.decompress.total_in() - begun) as usize;
            if read == input.len() && out.len() < out.capacity() {
                return out;
            }
            out.reserve(out.len().max(4096));
        }
    }
}

/// Compresses what may follow on what went before.
pub fn compressed(compress: &mut Compress, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + payload.len() / 8 + 100);
    compress.compress_vec(payload, &mut out, FlushCompress::Sync).expect("zlib takes anything");
    if out.is_empty() {
        // zlib makes nothing of nothing that follows nothing (RFC 7692 section 7.2.3.6).
        return vec![0];
    }
    assert!(out.ends_with(&TAIL), "all of it is out");
    out.truncate(out.len() - TAIL.len());
    out
}

/// A message that says nothing `n` times in a thousandth of the bytes.
pub fn bomb(n: usize) -> Vec<u8> {
    compressed(&mut Compress::new(Compression::best(), false), &vec![0; n])
}

/// Text of `length` bytes with something in it to be found again.
pub fn prose(length: usize) -> String {
    let words = "the quick brown fox jumps over the lazy dog and runs away from it again; ";
    words.chars().cycle().take(length).collect()
}

/// Text that nothing in it repeats and that still has only six bits in each byte.
pub fn letters(seed: u64, length: usize) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.alphanumeric()).collect()
}
