//! Random streams of frames, good and bad, each made from its seed alone.
//! Not for judging them.

use fastrand::Rng;

/// A stream of a client's bytes, and how it is cut into pieces.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What it is made from.
    pub seed: u64,
    /// All bytes.
    pub bytes: Vec<u8>,
    /// The same in pieces, none empty.
    pub pieces: Vec<Vec<u8>>,
}

/// The stream of this seed, where messages of up to `limit` bytes are allowed: some are as long, some
/// longer. Pieces grow with the limit.
pub fn stream(seed: u64, limit: usize) -> Stream {
    let mut maker = Maker { random: Rng::with_seed(seed), limit, out: Vec::new() };
    for _ in 0..maker.random.usize(1..8) {
        maker.act();
    }
    let Maker { mut random, out: mut bytes, .. } = maker;
    if random.u8(..5) == 0 {
        bytes.truncate(random.usize(1..=bytes.len()));
    }
    let longest = [limit / 300, limit / 100, limit / 15, limit, usize::MAX][random.usize(..5)];
    let mut pieces = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(random.usize(1..=longest.min(rest.len())));
        pieces.push(piece.to_vec());
        rest = after;
    }
    Stream { seed, bytes, pieces }
}

struct Maker {
    random: Rng,
    limit: usize,
    out: Vec<u8>,
}

/// How a frame's length is written.
#[derive(Clone, Copy)]
enum Form {
    Shortest,
    Two,
    Eight,
}

impl Maker {
    /// One thing that a client may do, most of them legal.
    fn act(&mut self) {
        match self.random.u8(..32) {
            0..8 => self.message(),
            8..16 => self.fragments(),
            16..20 => self.control(9),
            20..23 => self.control(10),
            23..25 => self.close(),
            25 => self.bad_close(),
            26..28 => self.bad_text(),
            28 => self.out_of_place(),
            29 => self.bad_length(),
            30 => self.bad_header(),
            _ => self.garbage(),
        }
    }

    fn message(&mut self) {
        let (opcode, payload) = self.payload();
        self.frame(0x80 | opcode, &payload);
    }

    /// A message in up to five fragments, with controls between them.
    fn fragments(&mut self) {
        let (opcode, payload) = self.payload();
        let count = self.random.usize(1..=5);
        let mut rest = &payload[..];
        for n in 0..count {
            let is_last = n + 1 == count;
            let length = if is_last { rest.len() } else { self.random.usize(..=rest.len()) };
            let (piece, after) = rest.split_at(length);
            rest = after;
            let fin = if is_last { 0x80 } else { 0 };
            self.frame(fin | if n == 0 { opcode } else { 0 }, piece);
            if !is_last && self.random.u8(..4) == 0 {
                let control = if self.random.bool() { 9 } else { 10 };
                self.control(control);
            }
        }
    }

    fn control(&mut self, opcode: u8) {
        let length = [0, 1, 124, 125, self.random.usize(..=125)][self.random.usize(..5)];
        let payload = self.bytes(length);
        self.frame(0x80 | opcode, &payload);
    }

    fn close(&mut self) {
        let codes = [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4999];
        let code: u16 = codes[self.random.usize(..codes.len())];
        let reason = self.text(20);
        let body = if self.random.u8(..3) == 0 {
            Vec::new()
        } else {
            [&code.to_be_bytes()[..], &reason].concat()
        };
        self.frame(0x88, &body);
    }

    fn bad_close(&mut self) {
        let body = match self.random.u8(..3) {
            0 => self.bytes(1),
            1 => self.random.u16(..).to_be_bytes().to_vec(),
            _ => [&[0x03, 0xe8][..], &self.text(9), &[0xe2, 0x82]].concat(),
        };
        self.frame(0x88, &body);
    }

    /// Text of which one byte was changed, or that lacks its end; now and then still good.
    fn bad_text(&mut self) {
        let mut text = self.text(60);
        if self.random.bool() {
            text.pop();
        } else if !text.is_empty() {
            let at = self.random.usize(..text.len());
            text[at] = self.random.u8(0x70..);
        }
        let at = self.random.usize(..=text.len());
        if self.random.bool() {
            self.frame(0x81, &text);
        } else {
            self.frame(0x01, &text[..at]);
            self.frame(0x80, &text[at..]);
        }
    }

    /// A continuation of nothing, or a message within a message.
    fn out_of_place(&mut self) {
        let payload = self.text(10);
        if self.random.bool() {
            let fin = self.random.u8(..2) << 7;
            self.frame(fin, &payload);
        } else {
            self.frame(0x02, &payload);
            self.frame(0x81, &payload);
        }
    }

    /// A length in a form that is too long, beyond the limit, or beyond 63 bits.
    fn bad_length(&mut self) {
        let (length, form) = match self.random.u8(..6) {
            0 => (self.random.u64(..126), Form::Two),
            1 => (self.random.u64(..=0xffff), Form::Eight),
            2 => (1 << 63 | self.random.u64(..), Form::Eight),
            3 => (self.random.u64(..), Form::Eight),
            4 => (self.random.u64(0..30) + self.limit as u64 - 10, Form::Shortest),
            _ => (self.random.u64(..=0xffff), Form::Shortest),
        };
        let first = if self.random.u8(..4) == 0 { 0x89 } else { 0x82 };
        self.header(first, length, form, true);
        let few = self.random.usize(..10);
        let payload = self.bytes(few);
        self.out.extend(payload);
    }

    /// Any first byte, or no mask.
    fn bad_header(&mut self) {
        let payload = self.text(10);
        if self.random.bool() {
            self.header(0x81, payload.len() as u64, Form::Shortest, false);
            self.out.extend(payload);
        } else {
            let first = self.random.u8(..);
            self.frame(first, &payload);
        }
    }

    fn garbage(&mut self) {
        let length = self.random.usize(1..40);
        let bytes = self.bytes(length);
        self.out.extend(bytes);
    }

    /// Text or binary of a length at which something changes, or of any.
    fn payload(&mut self) -> (u8, Vec<u8>) {
        let edges = [0, 1, 125, 126, 127, self.limit - 1, self.limit, self.random.usize(..200)];
        let length = edges[self.random.usize(..edges.len())];
        if self.random.bool() { (1, self.text(length)) } else { (2, self.bytes(length)) }
    }

    /// At most `length` bytes of UTF-8, with characters of every size.
    fn text(&mut self, length: usize) -> Vec<u8> {
        let mut text = String::new();
        loop {
            let ranges = [0..0x80, 0x80..0x800, 0x800..0x1_0000, 0x1_0000..0x11_0000_u32];
            let range = ranges[self.random.usize(..4)].clone();
            let scalar = self.random.u32(range);
            let character = char::from_u32(scalar).unwrap_or('\u{d7ff}');
            if text.len() + character.len_utf8() > length {
                return text.into_bytes();
            }
            text.push(character);
        }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.random.u8(..)).take(length).collect()
    }

    fn frame(&mut self, first: u8, payload: &[u8]) {
        let mask = self.header(first, payload.len() as u64, Form::Shortest, true);
        self.out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    }

    /// Appends a header; the mask it carries, or would.
    fn header(&mut self, first: u8, length: u64, form: Form, is_masked: bool) -> [u8; 4] {
        let bit = u8::from(is_masked) << 7;
        self.out.push(first);
        match (form, length) {
            (Form::Shortest, 0..126) => self.out.push(bit | length as u8),
            (Form::Shortest, 126..=0xffff) | (Form::Two, _) => {
                self.out.push(bit | 126);
                self.out.extend((length as u16).to_be_bytes());
            }
            (Form::Shortest | Form::Eight, _) => {
                self.out.push(bit | 127);
                self.out.extend(length.to_be_bytes());
            }
        }
        let mask =
            if self.random.u8(..8) == 0 { [0; 4] } else { self.random.u32(..).to_be_bytes() };
        if is_masked {
            self.out.extend(mask);
        }
        mask
    }
}
