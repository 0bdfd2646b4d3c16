//! One behaviour: what a client sends, the exact bytes it is sent back, and how the stream ends.
//! Not for sockets: the same case is played in many cuts, see `wire`.

use crate::harness::frame::{self, BINARY, CLOSE, PING, PONG, TEXT};
use crate::wire::{Plan, Round};

/// A behaviour, by its name or its number in Autobahn's suite.
#[derive(Clone, Debug)]
pub struct Case {
    /// A number such as `1.1.8` in the tables of `autobahn`, a few words elsewhere.
    pub name: String,
    /// The section of RFC 6455 that asks for it.
    pub section: &'static str,
    steps: Vec<Step>,
    end: End,
    /// Writes of the case's own cut are at most so long.
    chop: Option<usize>,
}

/// What happens in a case, in its order.
#[derive(Clone, Debug)]
enum Step {
    /// The client sends these bytes.
    Send(Vec<u8>),
    /// The server's next bytes are these.
    Reply(Vec<u8>),
    /// The client goes on when all replies so far have come.
    Await,
}

/// How a case ends: a close frame, then the server shuts its side before the client does.
#[derive(Clone, Debug)]
enum End {
    /// The client's own close frame is answered with exactly this payload.
    Closed(Vec<u8>),
    /// The connection is failed with this code and a short reason.
    Failed(u16),
}

/// How the bytes of a case are cut into writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// As the case says: each frame by itself, and chopped where it says so.
    Own,
    /// All in one write, as far as the client need not wait for answers.
    Whole,
    /// Each byte by itself.
    Bytes,
    /// In two: so many bytes, and the rest.
    At(usize),
}

impl Case {
    /// A case that sends nothing yet. The client's last word is a close frame with 1000, unless
    /// `fails` or `ends` says otherwise.
    pub fn new(name: impl Into<String>, section: &'static str) -> Self {
        let end = End::Closed(Vec::new());
        Case { name: name.into(), section, steps: Vec::new(), end, chop: None }
    }

    /// The client sends bytes.
    pub fn send(mut self, bytes: Vec<u8>) -> Self {
        self.steps.push(Step::Send(bytes));
        self
    }

    /// The client sends a whole frame.
    pub fn frame(self, first: u8, payload: &[u8]) -> Self {
        self.send(frame::frame(first, payload))
    }

    /// The server's next bytes are a frame.
    pub fn reply(mut self, first: u8, payload: &[u8]) -> Self {
        self.steps.push(Step::Reply(server_frame(first, payload)));
        self
    }

    /// A whole text message, and its echo.
    pub fn text(self, text: &str) -> Self {
        self.frame(TEXT, text.as_bytes()).reply(TEXT, text.as_bytes())
    }

    /// A whole binary message, and its echo.
    pub fn binary(self, payload: &[u8]) -> Self {
        self.frame(BINARY, payload).reply(BINARY, payload)
    }

    /// A ping, and its pong.
    pub fn ping(self, payload: &[u8]) -> Self {
        self.frame(PING, payload).reply(PONG, payload)
    }

    /// A message in these fragments, and its echo behind the last of them.
    pub fn fragments(mut self, opcode: u8, pieces: &[&[u8]]) -> Self {
        for (n, piece) in pieces.iter().enumerate() {
            let opcode = if n == 0 { opcode & 0x0f } else { 0 };
            let fin = if n + 1 == pieces.len() { 0x80 } else { 0 };
            self = self.frame(fin | opcode, piece);
        }
        self.reply(0x80 | opcode, &pieces.concat())
    }

    /// The client waits for all replies so far.
    pub fn wait(mut self) -> Self {
        self.steps.push(Step::Await);
        self
    }

    /// In its own cut the case is written in pieces of at most so many bytes.
    pub fn chopped(mut self, size: usize) -> Self {
        self.chop = Some(size);
        self
    }

    /// The client closes with 1000, and the answer says the same.
    pub fn closes(self) -> Self {
        self.closes_with(&[0x03, 0xe8])
    }

    /// The client closes with a payload of its own, and the answer repeats it (section 5.5.1).
    pub fn closes_with(self, payload: &[u8]) -> Self {
        self.frame(CLOSE, payload).closed(payload)
    }

    /// The answer to a close frame that was sent has this payload, whatever was sent behind it.
    pub fn closed(mut self, payload: &[u8]) -> Self {
        self.end = End::Closed(payload.to_vec());
        self
    }

    /// The server fails the connection (section 7.1.7).
    pub fn fails(mut self, code: u16) -> Self {
        self.end = End::Failed(code);
        self
    }

    /// Bytes that the client sends in all.
    pub fn length(&self) -> usize {
        self.sends().map(<[u8]>::len).sum()
    }

    fn sends(&self) -> impl Iterator<Item = &[u8]> {
        self.steps.iter().filter_map(|step| match step {
            Step::Send(bytes) => Some(&bytes[..]),
            Step::Reply(_) | Step::Await => None,
        })
    }

    /// What a client does that plays this case.
    pub fn plan(&self, cut: Cut) -> Plan {
        let (end, mut expected) = (self.end.clone(), Vec::new());
        for step in &self.steps {
            if let Step::Reply(bytes) = step {
                expected.extend_from_slice(bytes);
            }
        }
        Plan {
            name: format!("{} (section {}), {cut:?}", self.name, self.section),
            is_upgraded: true,
            rounds: self.rounds(cut),
            finishes: false,
            judge: Box::new(move |received| end.judge(received, &expected)),
        }
    }

    fn rounds(&self, cut: Cut) -> Vec<Round> {
        let (mut rounds, mut replied, mut after, mut passed) = (Vec::new(), 0, 0, 0);
        let mut is_joined = false;
        for step in &self.steps {
            match step {
                Step::Reply(bytes) => replied += bytes.len(),
                Step::Await => {
                    after = replied;
                    is_joined = false;
                }
                Step::Send(bytes) => {
                    for piece in pieces(bytes, cut, self.chop, passed) {
                        let is_new = match cut {
                            Cut::Own | Cut::Bytes => true,
                            Cut::Whole => !is_joined,
                            Cut::At(at) => !is_joined || at == passed,
                        };
                        passed += piece.len();
                        match rounds.last_mut() {
                            Some(Round { write, .. }) if !is_new => write.extend_from_slice(piece),
                            _ => rounds.push(Round { after, write: piece.to_vec() }),
                        }
                        is_joined = true;
                    }
                }
            }
        }
        rounds
    }
}

/// The pieces of one send, before which `passed` bytes were sent.
fn pieces(bytes: &[u8], cut: Cut, chop: Option<usize>, passed: usize) -> Vec<&[u8]> {
    match cut {
        Cut::Own => bytes.chunks(chop.unwrap_or(usize::MAX)).collect(),
        Cut::Whole => vec![bytes],
        Cut::Bytes => bytes.chunks(1).collect(),
        Cut::At(at) if at > passed && at < passed + bytes.len() => {
            let (a, b) = bytes.split_at(at - passed);
            vec![a, b]
        }
        Cut::At(_) => vec![bytes],
    }
}

impl End {
    /// Whether all that came is `expected` and then the right close frame.
    fn judge(&self, received: &[u8], expected: &[u8]) -> Result<(), String> {
        let Some(last) = received.strip_prefix(expected) else {
            return Err(format!("{} is not {}", shown(received), shown(expected)));
        };
        match self {
            End::Closed(payload) if last == server_frame(CLOSE, payload) => Ok(()),
            End::Closed(payload) => {
                Err(format!("{} does not close with {}", shown(last), shown(payload)))
            }
            End::Failed(code) => judge_failure(last, *code),
        }
    }
}

/// Whether these bytes are one close frame with this code and a short reason in UTF-8.
pub fn judge_failure(last: &[u8], code: u16) -> Result<(), String> {
    let wrong = || Err(format!("{} does not fail with {code}", shown(last)));
    let [CLOSE, length, payload @ ..] = last else { return wrong() };
    let [a, b, reason @ ..] = payload else { return wrong() };
    let is_short = (1..=60).contains(&reason.len()) && usize::from(*length) == payload.len();
    if u16::from_be_bytes([*a, *b]) != code || !is_short || std::str::from_utf8(reason).is_err() {
        return wrong();
    }
    Ok(())
}

/// A frame as a server sends it.
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(short as u8),
        middle @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
    out
}

/// The first bytes in hexadecimal, and how many there are.
pub fn shown(bytes: &[u8]) -> String {
    let front: String = bytes.iter().take(40).map(|byte| format!("{byte:02x}")).collect();
    format!("[{front}; {} bytes]", bytes.len())
}
