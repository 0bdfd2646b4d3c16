//! Two outboxes that share frames and a budget, beside a plain list of what they ought to hold.
//! Not for when they are flushed or who is shed: the reactor decides that.

use std::io::IoSlice;

use bytes::Bytes;
use pulsewheel::conn::{Budget, Frame, Outbox, Tick, Ticks};

use super::script::Script;

/// Pongs take at most this many bytes of the control lane (four of the longest).
const CONTROL_LANE: usize = 4 * 127;

/// A frame that ought to be queued.
#[derive(Clone, Debug)]
struct Entry {
    bytes: Vec<u8>,
    since: Tick,
    is_data: bool,
}

/// What an outbox ought to hold.
#[derive(Debug, Default)]
struct Plain {
    queue: Vec<Entry>,
    /// Bytes of the first entry that are gone.
    front_sent: usize,
    control: Vec<Vec<u8>>,
    control_sent: usize,
    control_since: Tick,
    /// All that the kernel took.
    wire: Vec<u8>,
    messages: u32,
}

impl Plain {
    fn unsent(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut frames = self.queue.iter();
        if self.front_sent > 0
            && let Some(front) = frames.next()
        {
            bytes.extend_from_slice(&front.bytes[self.front_sent..]);
        }
        bytes.extend_from_slice(&self.control.concat()[self.control_sent..]);
        frames.for_each(|entry| bytes.extend_from_slice(&entry.bytes));
        bytes
    }

    fn oldest(&self) -> Option<Tick> {
        let control = (!self.control.is_empty()).then_some(self.control_since);
        let data = self.queue.first().map(|entry| entry.since);
        match (data, control) {
            (Some(data), Some(control)) => {
                Some(if data.is_before(control) { data } else { control })
            }
            (data, control) => data.or(control),
        }
    }

    /// What the kernel takes is kept.
    fn take(&mut self, mut count: usize) {
        while count > 0 {
            if self.front_sent == 0 && !self.control.is_empty() {
                let lane = self.control.concat();
                let end = lane.len().min(self.control_sent + count);
                count -= end - self.control_sent;
                self.wire.extend_from_slice(&lane[self.control_sent..end]);
                self.control_sent = end;
                if end == lane.len() {
                    self.control.clear();
                    self.control_sent = 0;
                }
                continue;
            }
            let front = &self.queue[0];
            let end = front.bytes.len().min(self.front_sent + count);
            count -= end - self.front_sent;
            self.wire.extend_from_slice(&front.bytes[self.front_sent..end]);
            self.front_sent = end;
            if end == front.bytes.len() {
                self.messages += u32::from(front.is_data);
                self.queue.remove(0);
                self.front_sent = 0;
            }
        }
    }

    fn push_control(&mut self, frame: Vec<u8>, now: Tick) {
        while self.control.first().is_some_and(|first| first.len() <= self.control_sent) {
            self.control_sent -= self.control.remove(0).len();
        }
        if self.control.is_empty() {
            self.control_since = now;
        }
        if frame[0] == 0x8a {
            let mut at = 0;
            let mut start = 0;
            while self.control.concat().len() + frame.len() > CONTROL_LANE
                && at < self.control.len()
            {
                let candidate = &self.control[at];
                if candidate[0] == 0x8a && start >= self.control_sent {
                    self.control.remove(at);
                } else {
                    start += candidate.len();
                    at += 1;
                }
            }
        }
        self.control.push(frame);
    }

    fn drop_data(&mut self, is_doomed: impl Fn(&Plain, &Entry) -> bool) -> u64 {
        let mut at = usize::from(self.front_sent > 0);
        let mut dropped = 0;
        while at < self.queue.len() && is_doomed(self, &self.queue[at]) {
            if self.queue[at].is_data {
                self.queue.remove(at);
                dropped += 1;
            } else {
                at += 1;
            }
        }
        dropped
    }
}

/// An outbox and what it ought to hold.
#[derive(Default)]
struct Pair {
    outbox: Outbox,
    plain: Plain,
}

impl Pair {
    fn push(&mut self, frame: &Frame, sent: usize, is_data: bool, now: Tick, budget: &Budget) {
        let bytes = frame.bytes().to_vec();
        self.outbox.push_rest(frame.clone(), sent, is_data, now, budget);
        if sent > 0 {
            self.plain.front_sent = sent;
            self.plain.wire.extend_from_slice(&bytes[..sent]);
        }
        self.plain.queue.push(Entry { bytes, since: now, is_data });
    }

    fn push_control(&mut self, frame: &[u8], now: Tick) {
        self.outbox.push_control(frame, now);
        self.plain.push_control(frame.to_vec(), now);
    }

    fn take(&mut self, most: usize, budget: &Budget) {
        let count = most.min(self.outbox.bytes());
        let before = self.plain.messages;
        self.plain.take(count);
        assert_eq!(self.outbox.taken(count, budget), self.plain.messages - before, "messages sent");
    }

    fn drop_oldest(&mut self, wanted: usize, limit: usize, budget: &Budget) {
        let fits = |plain: &Plain| plain.unsent().len() + wanted <= limit;
        let dropped = self.plain.drop_data(|plain, _| !fits(plain));
        assert_eq!(self.outbox.drop_oldest(wanted, limit, budget), dropped);
        let droppable = self.plain.queue.iter().skip(usize::from(self.plain.front_sent > 0));
        assert!(
            fits(&self.plain) || !droppable.clone().any(|entry| entry.is_data),
            "room was left"
        );
    }

    fn check(&self) {
        let unsent = self.plain.unsent();
        assert_eq!(self.outbox.bytes(), unsent.len());
        assert_eq!(self.outbox.is_empty(), unsent.is_empty());
        assert_eq!(self.outbox.oldest(), self.plain.oldest());
        let has_control =
            !self.plain.control.is_empty() || self.plain.queue.iter().any(|entry| !entry.is_data);
        assert_eq!(self.outbox.control_is_out(), !has_control);
        assert!(self.outbox.held() >= unsent.len());
        assert!(self.plain.control.concat().len() <= CONTROL_LANE + 2, "pongs pile up");
        for room in [1, 3, usize::MAX] {
            let mut parts = Vec::new();
            self.outbox.parts(&mut parts, room);
            let bytes = parts.concat_bytes();
            assert!(unsent.starts_with(&bytes), "out of order");
            assert!(!bytes.is_empty() || unsent.is_empty(), "nothing to write");
            if room == usize::MAX {
                assert_eq!(bytes, unsent);
            } else {
                // A control frame never waits for room: it takes the second place if need be.
                assert!(parts.len() <= room.max(2), "{} parts", parts.len());
            }
        }
    }
}

/// The bytes of several slices, one after another.
trait Concat {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl Concat for Vec<IoSlice<'_>> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|part| part.iter().copied()).collect()
    }
}

/// The script: where ticks begin, then operations of two or three bytes each.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let budget = Budget::new(u64::MAX / 2);
    let mut now = script.pick(&[Tick(0), Tick(u32::MAX - 40), Tick((1 << 31) - 40)]);
    let mut pairs = [Pair::default(), Pair::default()];
    let mut number = 0;
    while !script.is_over() && number < 120 {
        number += 1;
        operate(&mut script, &mut pairs, &budget, &mut now, number);
        pairs.iter().for_each(Pair::check);
        let held: usize = pairs.iter().map(|pair| pair.outbox.held()).sum();
        assert!(budget.used() <= held as u64, "charged for more than is held");
    }
    for pair in &mut pairs {
        pair.take(usize::MAX, &budget);
        pair.check();
        check_wire(&pair.plain.wire);
        pair.outbox.clear(&budget);
    }
    assert_eq!(budget.used(), 0);
}

fn operate(
    script: &mut Script<'_>,
    pairs: &mut [Pair; 2],
    budget: &Budget,
    now: &mut Tick,
    number: u16,
) {
    let operation = script.byte();
    let argument = script.span() as usize;
    let pair = &mut pairs[usize::from(operation >> 7)];
    match operation % 16 {
        0..=2 => pair.push(&Frame::own(frame(0x82, argument, number)), 0, true, *now, budget),
        3 => {
            let bytes = frame(0x82, argument, number);
            let sent = if pair.outbox.is_empty() { bytes.len() / 2 } else { 0 };
            pair.push(&Frame::own(bytes), sent, true, *now, budget);
        }
        4 => pair.push(&Frame::own(frame(0x88, argument % 124, number)), 0, false, *now, budget),
        5 | 6 => {
            let shared = Frame::shared(frame(0x81, argument, number));
            let charged = budget.used();
            pairs[0].push(&shared, 0, true, *now, budget);
            let once = budget.used() - charged;
            pairs[1].push(&shared, 0, true, *now, budget);
            let twice = budget.used() - charged;
            assert_eq!(twice, 2 * once - shared.len() as u64, "a shared frame counts once");
        }
        7 | 8 => pair.push_control(&frame(0x8a, argument % 124, number), *now),
        9 if pair.plain.control.iter().all(|frame| frame[0] != 0x89) => {
            pair.push_control(&[0x89, 0], *now);
        }
        10 | 11 => pair.take(argument, budget),
        12 => *now = now.plus(Ticks(argument as u32)),
        13 => pair.drop_oldest(argument, usize::from(script.byte()) * 16, budget),
        14 => {
            let tick = now.minus(Ticks(argument as u32));
            let dropped = pair.plain.drop_data(|_, entry| entry.since.has_come(tick));
            assert_eq!(pair.outbox.drop_overdue(tick, budget), dropped);
        }
        15 if argument < 8 => {
            pair.outbox.clear(budget);
            // What was partly written stays so: nothing follows it, as the connection is gone.
            pair.plain = Plain::default();
        }
        _ => {}
    }
}

/// A whole frame with a number in its payload; the payload is at least two bytes.
fn frame(first: u8, length: usize, number: u16) -> Bytes {
    let payload = if length < 128 { length.max(2) } else { 100 + length / 8 };
    let mut bytes = match payload {
        0..126 => vec![first, payload as u8],
        _ => vec![first, 126, (payload >> 8) as u8, payload as u8],
    };
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.resize(bytes.len() + payload - 2, 0);
    bytes.into()
}

/// What the kernel took is whole frames, and each lane of them in the order it was queued.
fn check_wire(mut wire: &[u8]) {
    let mut last = [0, 0];
    while !wire.is_empty() {
        let (head, payload) = match wire[1] {
            126 => (4, usize::from(u16::from_be_bytes([wire[2], wire[3]]))),
            short => (2, usize::from(short)),
        };
        assert!(wire.len() >= head + payload, "a torn frame");
        if payload >= 2 {
            let number = u16::from_be_bytes([wire[head], wire[head + 1]]);
            let lane = usize::from(wire[0] == 0x8a);
            assert!(number > last[lane], "{number} behind {}", last[lane]);
            last[lane] = number;
        }
        wire = &wire[head + payload..];
    }
}
