//! A message as handlers see it: borrowed, text or binary.
//! Not for frames: by the time there is a message, framing is over.

/// Text or binary, as the frame's opcode said (RFC 6455 section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text, opcode 1.
    Text,
    /// Any bytes, opcode 2.
    Binary,
}

/// One complete message, borrowed from the reactor's buffer: copy what you keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message, known to be UTF-8.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The payload's bytes, whichever kind it is.
    pub fn as_bytes(&self) -> &'a [u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// Text or binary.
    pub fn kind(&self) -> Kind {
        match self {
            Message::Text(_) => Kind::Text,
            Message::Binary(_) => Kind::Binary,
        }
    }

    /// The payload's length in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// True for a message without payload.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}
