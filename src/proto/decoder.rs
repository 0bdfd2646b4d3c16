//! The transcoder: a peer's bytes in, checked and unmasked in place; messages and controls out.
//! Not for deadlines or budgets: it says how much it holds, the connection decides what follows.
//!
//! A whole final data frame outside any message (nearly all traffic) is a message once checked
//! and unmasked, and is borrowed from the input. Everything else goes through tungstenite: control
//! frames through the reactor's shared engine, a message that arrives in fragments or pieces
//! through an engine of its own, piece by piece, so that only bytes that came are held.
//!
//! A compressed message (RFC 7692) is only put together here and handed on as it came: who has the
//! states inflates it. So until it is whole it costs no more than its bytes.

use std::borrow::Cow;

use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::deflate::room_for;
use super::engine::{Engine, READ_BUFFER};
use super::frame::{self, Allowed, CONTROL_LIMIT, CloseFrame, FrameKind, HEADER_LIMIT, Header};
use super::{Kind, Message, Violation};

/// The unread part of one received chunk.
pub(crate) struct Input<'a> {
    bytes: &'a mut [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Input { bytes }
    }

    /// What has not been decoded yet.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes
    }

    /// Takes up to `n` bytes off the front.
    fn take(&mut self, n: usize) -> &'a mut [u8] {
        let bytes = std::mem::take(&mut self.bytes);
        let n = n.min(bytes.len());
        let (front, rest) = bytes.split_at_mut(n);
        self.bytes = rest;
        front
    }
}

/// What a reactor lends to whichever connection is decoding.
pub(crate) struct Tools {
    shared: Option<Box<Engine>>,
    /// Bytes tungstenite wants sent in answer: one pong or one close frame.
    pub reply: Vec<u8>,
    /// Largest message in bytes.
    pub message_limit: usize,
}

impl Tools {
    pub(crate) fn new(message_limit: usize) -> Self {
        Tools { shared: None, reply: Vec::new(), message_limit }
    }

    fn borrow(&mut self) -> Box<Engine> {
        self.shared.take().unwrap_or_else(|| Box::new(Engine::new(self.message_limit)))
    }

    /// Takes a clean engine back; one is enough, since it is seldom away.
    fn give_back(&mut self, engine: Box<Engine>) {
        if engine.is_reusable() && engine.limit() == self.message_limit {
            self.shared = Some(engine);
        }
    }

    /// Changes the limit; engines made for the old one are dropped when they come back.
    pub(crate) fn set_message_limit(&mut self, limit: usize) {
        self.message_limit = limit;
        self.shared = None;
    }
}

/// What one step of decoding found.
pub(crate) enum Incoming<'a> {
    /// A message borrowed from the input.
    Message(Message<'a>),
    /// A message that came in pieces.
    Assembled(tungstenite::Message),
    /// A compressed message, whole, still to be inflated.
    Deflated(Kind, Cow<'a, [u8]>),
    /// A ping; the pong is in [`Tools::reply`].
    Ping,
    Pong,
    /// A close frame; the answer is in [`Tools::reply`].
    Close(Option<CloseFrame>),
}

/// What is incomplete: a header, a frame, a message. Exists only while something is.
#[derive(Default)]
pub(crate) struct Partial {
    head: [u8; HEADER_LIMIT],
    head_length: usize,
    frame: Option<Unfinished>,
    control: Vec<u8>,
    message: Option<Open>,
}

/// A frame whose payload is still arriving.
struct Unfinished {
    header: Header,
    received: u64,
}

/// A message whose last frame is still to come.
struct Open {
    so_far: SoFar,
    bytes: usize,
    /// The largest piece: tungstenite's read buffer has grown to that.
    largest: usize,
    /// The opcode of the next piece: the first carries the message's own, the rest continue.
    next: Data,
}

/// What has come of an open message.
enum SoFar {
    /// It is with tungstenite.
    Plain(Box<Engine>),
    /// Nothing looks into it before it is whole.
    Deflated(Kind, Vec<u8>),
}

impl Partial {
    /// Bytes held for an unfinished message; what the inbox budget is charged with.
    pub(crate) fn held(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |open| match &open.so_far {
            SoFar::Plain(_) => {
                open.bytes.saturating_add(open.largest).saturating_add(size_of::<Engine>())
            }
            SoFar::Deflated(_, bytes) => bytes.capacity(),
        });
        message.saturating_add(self.control.len()).saturating_add(size_of::<Partial>())
    }

    /// Payload bytes of the unfinished message that came; control frames inside it don't count.
    pub(crate) fn arrived(&self) -> usize {
        self.message.as_ref().map_or(0, |open| open.bytes)
    }

    /// A frame with no payload is complete although nothing more stands in the input.
    fn is_ready(&self) -> bool {
        self.frame.as_ref().is_some_and(|frame| frame.received == frame.header.payload)
    }

    fn is_empty(&self) -> bool {
        self.head_length == 0 && self.frame.is_none() && self.message.is_none()
    }
}

/// Decodes the next event from `input`; `None` when all of it is consumed. `deflates` says whether
/// messages may be compressed.
///
/// # Errors
/// [`Violation`]: the connection must be failed, and nothing decoded from it any more.
pub(crate) fn decode<'a>(
    partial: &mut Option<Box<Partial>>,
    input: &mut Input<'a>,
    tools: &mut Tools,
    deflates: bool,
) -> Result<Option<Incoming<'a>>, Violation> {
    while !input.bytes.is_empty() || partial.as_ref().is_some_and(|held| held.is_ready()) {
        let found = match partial {
            None => whole(partial, input, tools, deflates)?,
            Some(held) => {
                let found = pieces(held, input, tools, deflates)?;
                if held.is_empty() {
                    *partial = None;
                }
                found
            }
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The usual case: nothing is incomplete and a whole frame stands at the front.
#[inline]
fn whole<'a>(
    partial: &mut Option<Box<Partial>>,
    input: &mut Input<'a>,
    tools: &mut Tools,
    deflates: bool,
) -> Result<Option<Incoming<'a>>, Violation> {
    let allowed = Allowed { is_open: false, deflates, room: tools.message_limit };
    let Some(header) = frame::parse(input.bytes, allowed)? else {
        keep_head(partial.get_or_insert_default(), input);
        return Ok(None);
    };
    let payload = usize::try_from(header.payload).unwrap_or(usize::MAX);
    let is_here = input.bytes.len().saturating_sub(header.length) >= payload;
    match header.kind {
        FrameKind::Data(kind) if header.fin && is_here => {
            input.take(header.length);
            let payload = input.take(payload);
            frame::unmask(payload, header.mask, 0);
            if header.is_deflated {
                return Ok(Some(Incoming::Deflated(kind, Cow::Borrowed(payload))));
            }
            let message = match kind {
                Kind::Text => {
                    Message::Text(std::str::from_utf8(payload).map_err(|_| Violation::Utf8)?)
                }
                Kind::Binary => Message::Binary(payload),
            };
            Ok(Some(Incoming::Message(message)))
        }
        FrameKind::Control if is_here => {
            let opcode = opcode(input.bytes, Data::Continue);
            input.take(header.length);
            let payload = input.take(payload);
            frame::unmask(payload, header.mask, 0);
            control(opcode, payload, tools)
        }
        _ => {
            begin(partial.get_or_insert_default(), header, input, tools);
            Ok(None)
        }
    }
}

/// Something is incomplete: complete the header, then the frame, then the message.
fn pieces<'a>(
    partial: &mut Partial,
    input: &mut Input<'a>,
    tools: &mut Tools,
    deflates: bool,
) -> Result<Option<Incoming<'a>>, Violation> {
    if partial.frame.is_none() && !begin_next(partial, input, tools, deflates)? {
        return Ok(None);
    }
    let Some(unfinished) = &mut partial.frame else { return Ok(None) };
    let header = unfinished.header;
    let remaining = header.payload.saturating_sub(unfinished.received);
    let piece = input.take(usize::try_from(remaining).unwrap_or(usize::MAX));
    frame::unmask(piece, header.mask, (unfinished.received & 3) as usize);
    unfinished.received = unfinished.received.saturating_add(piece.len() as u64);
    let is_last = unfinished.received == header.payload;
    if header.kind == FrameKind::Control {
        partial.control.extend_from_slice(piece);
        if !is_last {
            return Ok(None);
        }
        partial.frame = None;
        let opcode = opcode(&partial.head, Data::Continue);
        partial.head_length = 0;
        let payload = std::mem::take(&mut partial.control);
        return control(opcode, &payload, tools);
    }
    if is_last {
        partial.frame = None;
        partial.head_length = 0;
    }
    let fin = is_last && header.fin;
    let Some(open) = &mut partial.message else { return Ok(None) };
    open.bytes = open.bytes.saturating_add(piece.len());
    let found = match &mut open.so_far {
        SoFar::Plain(engine) => {
            open.largest = open.largest.max(piece.len());
            let opcode = OpCode::Data(std::mem::replace(&mut open.next, Data::Continue));
            engine.feed(opcode, fin, piece, &mut tools.reply)?.map(Incoming::Assembled)
        }
        SoFar::Deflated(kind, bytes) => {
            bytes.extend_from_slice(piece);
            fin.then(|| Incoming::Deflated(*kind, Cow::Owned(std::mem::take(bytes))))
        }
    };
    if found.is_some()
        && let Some(Open { so_far: SoFar::Plain(engine), .. }) = partial.message.take()
    {
        tools.give_back(engine);
    }
    Ok(found)
}

/// Reads the next header, which may itself arrive in pieces. True once it is there.
fn begin_next(
    partial: &mut Partial,
    input: &mut Input<'_>,
    tools: &mut Tools,
    deflates: bool,
) -> Result<bool, Violation> {
    let before = partial.head_length;
    let mut joined = partial.head;
    let length = before.saturating_add(input.bytes.len()).min(HEADER_LIMIT);
    for (to, from) in joined.iter_mut().skip(before).zip(input.bytes.iter()) {
        *to = *from;
    }
    let limit = tools.message_limit;
    let room = partial.message.as_ref().map_or(limit, |open| match open.so_far {
        SoFar::Plain(_) => limit.saturating_sub(open.bytes),
        SoFar::Deflated(..) => room_for(limit).saturating_sub(open.bytes),
    });
    let allowed = Allowed { is_open: partial.message.is_some(), deflates, room };
    let Some(header) = frame::parse(joined.get(..length).unwrap_or_default(), allowed)? else {
        keep_head(partial, input);
        return Ok(false);
    };
    input.take(header.length.saturating_sub(before));
    partial.head = joined;
    start(partial, header, tools);
    Ok(true)
}

/// Takes a header that stands whole in the input, with nothing held before it.
fn begin(partial: &mut Partial, header: Header, input: &mut Input<'_>, tools: &mut Tools) {
    let head = input.take(header.length);
    for (to, from) in partial.head.iter_mut().zip(head.iter()) {
        *to = *from;
    }
    start(partial, header, tools);
}

fn start(partial: &mut Partial, header: Header, tools: &mut Tools) {
    partial.head_length = header.length;
    if let FrameKind::Data(kind) = header.kind {
        let next = match kind {
            Kind::Text => Data::Text,
            Kind::Binary => Data::Binary,
        };
        let so_far = if header.is_deflated {
            SoFar::Deflated(kind, Vec::new())
        } else {
            SoFar::Plain(tools.borrow())
        };
        partial.message = Some(Open { so_far, bytes: 0, largest: READ_BUFFER, next });
    }
    partial.frame = Some(Unfinished { header, received: 0 });
}

/// An incomplete header: at most 13 bytes, all of the input that is left.
fn keep_head(partial: &mut Partial, input: &mut Input<'_>) {
    let space = HEADER_LIMIT.saturating_sub(partial.head_length);
    let bytes = input.take(space);
    for (to, from) in partial.head.iter_mut().skip(partial.head_length).zip(&*bytes) {
        *to = *from;
    }
    partial.head_length = partial.head_length.saturating_add(bytes.len());
}

fn opcode(head: &[u8], otherwise: Data) -> OpCode {
    match head.first().map(|first| first & 0x0f) {
        Some(0x8) => OpCode::Control(Control::Close),
        Some(0x9) => OpCode::Control(Control::Ping),
        Some(0xa) => OpCode::Control(Control::Pong),
        _ => OpCode::Data(otherwise),
    }
}

/// A whole control frame, unmasked: through the shared engine, which answers pings and closes.
fn control<'a>(
    opcode: OpCode,
    payload: &[u8],
    tools: &mut Tools,
) -> Result<Option<Incoming<'a>>, Violation> {
    debug_assert!(payload.len() <= CONTROL_LIMIT);
    if let (OpCode::Control(Control::Close), [a, b, reason @ ..]) = (opcode, payload) {
        let code = CloseCode::from(u16::from_be_bytes([*a, *b]));
        if !frame::may_be_sent(code) {
            return Err(Violation::Protocol("invalid close code"));
        }
        if !code.is_allowed() {
            // The engine would refuse it.
            let reason = std::str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
            tools.reply = frame::close_frame(code.into(), reason).to_vec();
            return Ok(Some(Incoming::Close(Some(CloseFrame { code, reason: reason.into() }))));
        }
    }
    let mut engine = tools.borrow();
    tools.reply.clear();
    let message = engine.feed(opcode, true, payload, &mut tools.reply);
    tools.give_back(engine);
    Ok(match message? {
        Some(tungstenite::Message::Ping(_)) => Some(Incoming::Ping),
        Some(tungstenite::Message::Pong(_)) => Some(Incoming::Pong),
        Some(tungstenite::Message::Close(close)) => Some(Incoming::Close(close)),
        _ => None,
    })
}
