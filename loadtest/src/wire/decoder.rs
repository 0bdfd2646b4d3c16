//! A streaming frame decoder: bytes as they come, pieces of messages and control frames out.
//! Not a check of what the messages say; that is `payload`.

use super::frame::{self, Header, MAX_HEADER, MaskKey, Opcode, Violation};

/// Something that came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The next bytes of the message that is open.
    Message {
        /// Text or binary, as the message's first frame said.
        kind: Opcode,
        /// How many bytes of the message came before these.
        offset: u64,
        /// The bytes, unmasked.
        bytes: &'a [u8],
        /// Whether the message ends with them.
        last: bool,
    },
    /// A whole control frame.
    Control {
        /// Close, ping or pong.
        opcode: Opcode,
        /// Its payload, unmasked; at most 125 bytes.
        payload: &'a [u8],
    },
}

/// Decodes one connection's incoming stream.
///
/// Between reads it holds at most an unfinished header, or an unfinished control frame on the heap;
/// message bytes are handed on where they lie.
#[derive(Debug)]
pub struct Decoder {
    expect_masked: bool,
    stash: [u8; MAX_HEADER],
    stashed: u8,
    frame: Option<OpenFrame>,
    message: Option<OpenMessage>,
    // Boxed once more, since a connection in a fleet of a million seldom has one.
    #[allow(clippy::box_collection, reason = "8 bytes in each connection instead of 24")]
    control: Option<Box<Vec<u8>>>,
}

#[derive(Debug)]
struct OpenFrame {
    opcode: Opcode,
    fin: bool,
    left: u64,
    key: Option<MaskKey>,
}

#[derive(Debug)]
struct OpenMessage {
    kind: Opcode,
    offset: u64,
}

impl Decoder {
    /// A decoder for a peer whose frames are masked or are not; anything else is a violation.
    pub fn new(expect_masked: bool) -> Decoder {
        Decoder {
            expect_masked,
            stash: [0; MAX_HEADER],
            stashed: 0,
            frame: None,
            message: None,
            control: None,
        }
    }

    /// Takes the next piece from `input` at `*at`, which moves past what was taken.
    ///
    /// Call it until it returns `Ok(None)`: then all of `input` is consumed. After an error the
    /// stream is beyond repair.
    pub fn next<'a>(
        &'a mut self,
        input: &'a mut [u8],
        at: &mut usize,
    ) -> Result<Option<Piece<'a>>, Violation> {
        loop {
            if self.frame.is_none() {
                let Some(header) = self.header(input, at)? else { return Ok(None) };
                self.open(header)?;
            }
            let frame = self.frame.as_mut().expect("just opened");
            let available = input.len() - *at;
            let take = usize::try_from(frame.left).map_or(available, |left| left.min(available));
            if take == 0 && frame.left > 0 {
                return Ok(None);
            }
            let start = *at;
            *at += take;
            frame.left -= take as u64;
            if let Some(key) = frame.key {
                frame::mask(&mut input[start..*at], key);
                frame.key = Some(frame::rotate(key, take));
            }
            let (opcode, fin, ended) = (frame.opcode, frame.fin, frame.left == 0);
            if ended {
                self.frame = None;
            }
            if opcode.is_control() {
                let stash = self.control.get_or_insert_default();
                stash.extend_from_slice(&input[start..*at]);
                if !ended {
                    continue;
                }
                let payload = &self.control.as_deref().expect("just filled")[..];
                return Ok(Some(Piece::Control { opcode, payload }));
            }
            let message = self.message.as_mut().expect("a data frame opened it");
            let (kind, offset) = (message.kind, message.offset);
            message.offset += take as u64;
            let last = ended && fin;
            if last {
                self.message = None;
            }
            return Ok(Some(Piece::Message { kind, offset, bytes: &input[start..*at], last }));
        }
    }

    fn header(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Header>, Violation> {
        if self.stashed == 0
            && let Some(header) = frame::read_header(&input[*at..])?
        {
            *at += header.size;
            return Ok(Some(header));
        }
        let before = usize::from(self.stashed);
        let take = (MAX_HEADER - before).min(input.len() - *at);
        self.stash[before..before + take].copy_from_slice(&input[*at..*at + take]);
        match frame::read_header(&self.stash[..before + take])? {
            Some(header) => {
                self.stashed = 0;
                *at += header.size - before;
                Ok(Some(header))
            }
            None => {
                self.stashed = (before + take) as u8;
                *at += take;
                Ok(None)
            }
        }
    }

    fn open(&mut self, header: Header) -> Result<(), Violation> {
        if header.key.is_some() != self.expect_masked {
            return Err(Violation::Masking);
        }
        match (header.opcode, &self.message) {
            (Opcode::Continuation, Some(_)) => {}
            (Opcode::Text | Opcode::Binary, None) => {
                self.message = Some(OpenMessage { kind: header.opcode, offset: 0 });
            }
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => self.control = None,
            _ => return Err(Violation::Fragment),
        }
        self.frame = Some(OpenFrame {
            opcode: header.opcode,
            fin: header.fin,
            left: header.length,
            key: header.key,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came out of a stream: each message whole, and each control frame, in order.
    #[derive(Debug, PartialEq, Eq)]
    enum Whole {
        Message(Opcode, Vec<u8>),
        Control(Opcode, Vec<u8>),
    }

    fn decode_in_steps(stream: &[u8], step: usize, masked: bool) -> Result<Vec<Whole>, Violation> {
        let mut decoder = Decoder::new(masked);
        let (mut out, mut message) = (Vec::new(), Vec::new());
        for chunk in stream.chunks(step) {
            let mut chunk = chunk.to_vec();
            let mut at = 0;
            while let Some(piece) = decoder.next(&mut chunk, &mut at)? {
                match piece {
                    Piece::Message { kind, offset, bytes, last } => {
                        assert_eq!(offset, message.len() as u64);
                        message.extend_from_slice(bytes);
                        if last {
                            out.push(Whole::Message(kind, std::mem::take(&mut message)));
                        }
                    }
                    Piece::Control { opcode, payload } => {
                        out.push(Whole::Control(opcode, payload.to_vec()));
                    }
                }
            }
            assert_eq!(at, chunk.len());
        }
        Ok(out)
    }

    fn masked_stream() -> (Vec<u8>, Vec<Whole>) {
        let mut stream = Vec::new();
        let mut put = |fin, opcode, key, body: &[u8]| {
            frame::append_frame(&mut stream, fin, opcode, key, body.len(), |out| {
                out.extend_from_slice(body);
            });
        };
        let long: Vec<u8> = (0..70_000).map(|i| (i % 251) as u8).collect();
        put(true, Opcode::Text, [1, 2, 3, 4], b"hello");
        put(true, Opcode::Text, [1, 2, 3, 4], b"");
        put(false, Opcode::Binary, [5, 6, 7, 8], b"frag");
        put(true, Opcode::Ping, [9, 9, 1, 1], b"are you there");
        put(false, Opcode::Continuation, [5, 6, 7, 9], b"");
        put(true, Opcode::Continuation, [0, 6, 7, 9], b"ments");
        put(true, Opcode::Binary, [4, 3, 2, 1], &long);
        put(true, Opcode::Close, [4, 3, 2, 1], &[3, 232]);
        let expected = vec![
            Whole::Message(Opcode::Text, b"hello".to_vec()),
            Whole::Message(Opcode::Text, Vec::new()),
            Whole::Control(Opcode::Ping, b"are you there".to_vec()),
            Whole::Message(Opcode::Binary, b"fragments".to_vec()),
            Whole::Message(Opcode::Binary, long),
            Whole::Control(Opcode::Close, vec![3, 232]),
        ];
        (stream, expected)
    }

    #[test]
    fn a_stream_cut_at_any_step_decodes_alike() {
        let (stream, expected) = masked_stream();
        for step in [1, 2, 3, 5, 13, 14, 15, 100, 4096, stream.len()] {
            assert_eq!(decode_in_steps(&stream, step, true).as_ref(), Ok(&expected), "{step}");
        }
    }

    #[test]
    fn masking_must_be_what_this_side_expects() {
        let (stream, _) = masked_stream();
        assert_eq!(decode_in_steps(&stream, 64, false), Err(Violation::Masking));
        assert_eq!(decode_in_steps(&[0x81, 0], 64, true), Err(Violation::Masking));
    }

    #[test]
    fn fragments_out_of_order_are_refused() {
        assert_eq!(decode_in_steps(&[0x80, 0], 9, false), Err(Violation::Fragment));
        assert_eq!(decode_in_steps(&[0x01, 0, 0x81, 0], 9, false), Err(Violation::Fragment));
    }
}
