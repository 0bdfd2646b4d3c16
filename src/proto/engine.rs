//! tungstenite's protocol engine, fed from memory: one whole frame in, at most one message out.
//! Not for whole data frames that stand alone: those need no engine (see the decoder).
//!
//! An engine may serve many connections, one after another, as long as each feed leaves it clean:
//! exactly one frame goes in, what comes out is taken, and its input ends in `WouldBlock`.

use std::io::{self, Read, Write};

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::OpCode;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use super::Violation;

/// tungstenite zero-fills this much before each read, so it is small; pieces may still be larger.
pub(super) const READ_BUFFER: usize = 1024;

/// The longest header of an unmasked frame in bytes.
const HEAD: usize = 10;

/// A tungstenite context that sees only plain, unmasked, already checked frames.
pub(crate) struct Engine {
    context: WebSocketContext,
    dirty: bool,
}

impl Engine {
    /// `limit` is the largest message in bytes.
    pub(super) fn new(limit: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit.max(super::frame::CONTROL_LIMIT)))
            .accept_unmasked_frames(true);
        Engine { context: WebSocketContext::new(Role::Server, Some(config)), dirty: false }
    }

    /// The largest message it was made for, in bytes.
    pub(super) fn limit(&self) -> usize {
        self.context.get_config().max_message_size.unwrap_or_default()
    }

    /// True unless a close frame or an error has changed the context for good.
    pub(super) fn is_reusable(&self) -> bool {
        !self.dirty
    }

    /// Feeds one frame; what tungstenite answers by itself (pong, close) is appended to `reply`.
    ///
    /// # Errors
    /// [`Violation`] where the frame breaks the protocol, the message its size or its UTF-8.
    pub(super) fn feed(
        &mut self,
        opcode: OpCode,
        fin: bool,
        payload: &[u8],
        reply: &mut Vec<u8>,
    ) -> Result<Option<Message>, Violation> {
        let header = FrameHeader { is_final: fin, opcode, ..FrameHeader::default() };
        let mut head = [0; HEAD];
        let mut space = &mut head[..];
        if header.format(payload.len() as u64, &mut space).is_err() {
            return Err(Violation::Protocol("frame can't be encoded"));
        }
        let unused = space.len();
        let head = head.get(..HEAD.saturating_sub(unused)).unwrap_or_default();
        let mut feed = Feed { head, payload, reply };
        let message = match self.context.read(&mut feed) {
            Ok(message) => Some(message),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                self.dirty = true;
                return Err(violation(&error));
            }
        };
        if matches!(message, Some(Message::Close(_))) {
            self.dirty = true;
        }
        // Flushing hands out the pong or close reply; after a close it reports ConnectionClosed.
        if self.context.flush(&mut feed).is_err() {
            self.dirty = true;
        }
        Ok(message)
    }
}

fn violation(error: &Error) -> Violation {
    match error {
        Error::Utf8(_) => Violation::Utf8,
        Error::Capacity(_) => Violation::TooBig,
        _ => Violation::Protocol("invalid frame"),
    }
}

/// What tungstenite takes for a stream: the frame to read, a buffer to write to.
struct Feed<'a> {
    head: &'a [u8],
    payload: &'a [u8],
    reply: &'a mut Vec<u8>,
}

impl Read for Feed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let source = if self.head.is_empty() { &mut self.payload } else { &mut self.head };
        if source.is_empty() {
            // Ok(0) would mean the end of the stream and terminate the context.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        source.read(out)
    }
}

impl Write for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reply.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
