//! How far back a compressed message refers, by reading its symbols (RFC 1951 section 3.2).
//! Not for its content: no inflater says what window it would have needed.

/// What length symbols from 257 on mean is not asked, but how many extra bits follow each.
const LENGTH_EXTRA: [u32; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];

/// The order in which the lengths of the code for code lengths come.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The largest distance in a message's payload, which lacks the last four bytes of its flush.
pub fn farthest(payload: &[u8]) -> usize {
    let mut bits = Bits { bytes: payload, at: 0 };
    let mut farthest = 0;
    // The last block is the flush's, empty and stored: its header is all that is there of it.
    while bits.at + 3 <= payload.len() * 8 {
        let _is_last = bits.take(1);
        match bits.take(2) {
            0 if bits.at.div_ceil(8) >= payload.len() => break,
            0 => {
                bits.at = bits.at.next_multiple_of(8);
                let length = bits.take(16) as usize;
                bits.at += 16 + 8 * length;
            }
            1 => {
                let lengths: Vec<_> =
                    [(144, 8), (112, 9), (24, 7), (8, 8)].map(|(n, bits)| vec![bits; n]).concat();
                farthest =
                    farthest.max(block(&mut bits, &Code::new(&lengths), &Code::new(&[5; 30])));
            }
            2 => {
                let (lengths, distances) = codes(&mut bits);
                farthest = farthest.max(block(&mut bits, &lengths, &distances));
            }
            _ => panic!("there are three types of block"),
        }
    }
    farthest
}

/// The two codes that a dynamic block begins with.
fn codes(bits: &mut Bits) -> (Code, Code) {
    let literals = bits.take(5) as usize + 257;
    let distances = bits.take(5) as usize + 1;
    let count = bits.take(4) as usize + 4;
    let mut lengths = [0; 19];
    for place in &ORDER[..count] {
        lengths[*place] = bits.take(3);
    }
    let code = Code::new(&lengths);
    let mut all: Vec<u32> = Vec::new();
    while all.len() < literals + distances {
        let (length, times) = match code.next(bits) {
            16 => (all[all.len() - 1], 3 + bits.take(2)),
            17 => (0, 3 + bits.take(3)),
            18 => (0, 11 + bits.take(7)),
            length => (length as u32, 1),
        };
        all.resize(all.len() + times as usize, length);
    }
    (Code::new(&all[..literals]), Code::new(&all[literals..]))
}

/// The largest distance in a block.
fn block(bits: &mut Bits, literals: &Code, distances: &Code) -> usize {
    let mut farthest = 0;
    loop {
        let symbol = literals.next(bits);
        match symbol {
            0..256 => {}
            256 => return farthest,
            _ => {
                bits.take(LENGTH_EXTRA[symbol - 257]);
                let symbol = distances.next(bits);
                let extra = (symbol as u32 / 2).saturating_sub(1);
                // Each pair of symbols covers twice as far as the one before.
                let base = if symbol < 4 { symbol } else { (2 + symbol % 2) << extra };
                farthest = farthest.max(base + bits.take(extra) as usize + 1);
            }
        }
    }
}

/// Bits, the lowest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> u32 {
        (0..count).fold(0, |sum, place| {
            let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
            self.at += 1;
            sum | u32::from(bit) << place
        })
    }
}

/// A Huffman code: its symbols by the length of theirs, then by number.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[u32]) -> Self {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        for length in 1..16 {
            let these = (0..lengths.len()).filter(|symbol| lengths[*symbol] == length);
            let before = symbols.len();
            symbols.extend(these);
            counts[length as usize] = symbols.len() - before;
        }
        Code { counts, symbols }
    }

    fn next(&self, bits: &mut Bits) -> usize {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code = code << 1 | bits.take(1) as usize;
            if code < first + count {
                return self.symbols[index + code - first];
            }
            index += count;
            first = (first + count) << 1;
        }
        panic!("no symbol has such a code");
    }
}
