//! A plain reading of RFC 6455 section 5, byte by byte: what a server must make of a stream.
//! Not fast and not shared with the server: it is what the server is compared with.

use pulsewheel::doors::Event;

/// Which close code a fault earns (RFC 6455 section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 1002
    Protocol,
    /// 1007
    Utf8,
    /// 1009
    TooBig,
}

/// A frame's header, once it is whole.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: u8,
    fin: bool,
    mask: [u8; 4],
    length: u64,
}

/// The message that is open.
#[derive(Debug, Default)]
struct Message {
    is_text: bool,
    bytes: Vec<u8>,
    /// How far its text is known to be good.
    good: usize,
}

/// A reader of one stream.
#[derive(Debug)]
pub struct Reader {
    limit: usize,
    head: Vec<u8>,
    frame: Option<Frame>,
    /// The payload of a control frame.
    control: Vec<u8>,
    /// Payload bytes of the frame that have come.
    came: u64,
    message: Option<Message>,
}

impl Reader {
    /// Messages may have up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Reader { limit, head: Vec::new(), frame: None, control: Vec::new(), came: 0, message: None }
    }

    /// True between messages: nothing of a frame or of a message has come.
    pub fn is_clean(&self) -> bool {
        self.head.is_empty() && self.message.is_none()
    }

    /// Payload bytes of the open message that have come.
    pub fn arrived(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.bytes.len())
    }

    /// The next byte of the stream; the event that it completes.
    pub fn read(&mut self, byte: u8) -> Result<Option<Event>, Fault> {
        if let Some(frame) = self.frame {
            return self.payload(frame, byte);
        }
        self.head.push(byte);
        self.check_head()?;
        let Some(frame) = self.whole_head() else { return Ok(None) };
        self.frame = Some(frame);
        self.came = 0;
        if frame.opcode == 1 || frame.opcode == 2 {
            self.message = Some(Message { is_text: frame.opcode == 1, ..Message::default() });
        }
        if frame.length == 0 { self.end_frame(frame) } else { Ok(None) }
    }

    fn check_head(&mut self) -> Result<(), Fault> {
        let first = self.head[0];
        let (opcode, fin) = (first & 0x0f, first & 0x80 != 0);
        let is_control = opcode >= 8;
        if first & 0x70 != 0 || matches!(opcode, 3..=7 | 11..=15) || (is_control && !fin) {
            return Err(Fault::Protocol);
        }
        let is_open = self.message.is_some();
        if (opcode == 0 && !is_open) || (matches!(opcode, 1 | 2) && is_open) {
            return Err(Fault::Protocol);
        }
        let Some(second) = self.head.get(1) else { return Ok(()) };
        let short = second & 0x7f;
        if second & 0x80 == 0 || (is_control && short > 125) || (opcode == 8 && short == 1) {
            return Err(Fault::Protocol);
        }
        let (width, shortest) = match short {
            126 => (2, 126),
            127 => (8, 65_536),
            _ => (0, 0),
        };
        let room =
            if is_control { u64::MAX } else { self.limit.saturating_sub(self.arrived()) as u64 };
        if shortest > room {
            return Err(Fault::TooBig);
        }
        // What the length can still become.
        let number = |fill: u8| {
            let bytes =
                self.head.iter().skip(2).copied().chain(std::iter::repeat(fill)).take(width);
            bytes.fold(0_u64, |number, byte| number << 8 | u64::from(byte))
        };
        let (least, most) = if width == 0 {
            (u64::from(short), u64::from(short))
        } else {
            (number(0), number(0xff))
        };
        if most < shortest || least > i64::MAX as u64 {
            return Err(Fault::Protocol);
        }
        if least > room { Err(Fault::TooBig) } else { Ok(()) }
    }

    fn length(&self) -> Option<u64> {
        let number =
            |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        match self.head.get(1)? & 0x7f {
            126 => self.head.get(2..4).map(number),
            127 => self.head.get(2..10).map(number),
            short => Some(u64::from(short)),
        }
    }

    fn whole_head(&self) -> Option<Frame> {
        let length = self.length()?;
        let at = match self.head[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let mask = self.head.get(at..at + 4)?.try_into().ok()?;
        Some(Frame { opcode: self.head[0] & 0x0f, fin: self.head[0] & 0x80 != 0, mask, length })
    }

    fn payload(&mut self, frame: Frame, byte: u8) -> Result<Option<Event>, Fault> {
        let byte = byte ^ frame.mask[(self.came % 4) as usize];
        self.came += 1;
        match &mut self.message {
            Some(message) if frame.opcode < 8 => message.push(byte)?,
            _ => self.control.push(byte),
        }
        if self.came == frame.length { self.end_frame(frame) } else { Ok(None) }
    }

    fn end_frame(&mut self, frame: Frame) -> Result<Option<Event>, Fault> {
        self.frame = None;
        self.head.clear();
        if frame.opcode >= 8 {
            let payload = std::mem::take(&mut self.control);
            return control(frame.opcode, payload).map(Some);
        }
        if !frame.fin {
            return Ok(None);
        }
        let message = self.message.take().unwrap_or_default();
        if !message.is_text {
            return Ok(Some(Event::Binary(message.bytes)));
        }
        String::from_utf8(message.bytes)
            .map(|text| Some(Event::Text(text)))
            .map_err(|_| Fault::Utf8)
    }
}

impl Message {
    fn push(&mut self, byte: u8) -> Result<(), Fault> {
        self.bytes.push(byte);
        if self.is_text {
            match std::str::from_utf8(&self.bytes[self.good..]) {
                Ok(_) => self.good = self.bytes.len(),
                Err(error) if error.error_len().is_some() => return Err(Fault::Utf8),
                // A character whose end is still to come.
                Err(_) => {}
            }
        }
        Ok(())
    }
}

fn control(opcode: u8, payload: Vec<u8>) -> Result<Event, Fault> {
    let answer = |first: u8| [&[first, payload.len() as u8], payload.as_slice()].concat();
    match (opcode, payload.as_slice()) {
        (9, _) => Ok(Event::Ping(answer(0x8a))),
        (10, _) => Ok(Event::Pong),
        (_, []) => Ok(Event::Close(None, answer(0x88))),
        (_, [_]) => Err(Fault::Protocol),
        (_, [a, b, reason @ ..]) => {
            let code = u16::from_be_bytes([*a, *b]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(Fault::Protocol);
            }
            let reason = std::str::from_utf8(reason).map_err(|_| Fault::Utf8)?;
            Ok(Event::Close(Some((code, reason.to_owned())), answer(0x88)))
        }
    }
}
