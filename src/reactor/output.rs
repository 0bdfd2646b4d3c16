//! What this turn has produced, for whom: bytes in one arena, shared frames, and who gets which.
//! Not for what the kernel would not take: that moves to the connection's outbox.
//!
//! It spares the usual message every allocation: an echo is encoded into the arena, written from
//! there at the end of the turn, and forgotten.

use std::io::IoSlice;

use super::arena::{Arena, Range};
use crate::conn::{Frame, NOWHERE};
use crate::io::{Part, Token};

/// The arena is written out early when it holds this many bytes.
const ARENA_LIMIT: usize = 128 * 1024;

/// So many pieces of output may stand in one turn before it is written out early.
const SEGMENT_LIMIT: usize = 128 * 1024;

/// The arena's room never falls below this, in bytes: a receive buffer's worth.
const ARENA_KEPT: usize = 64 * 1024;

/// The lists' room never falls below this, in elements: a turn's worth of events.
const SEGMENTS_KEPT: usize = 1024;

/// After so many flushes in a row that used less than a quarter of the room, half of it is given up:
/// one large message or fan-out must not cost its size for good, and steady ones not a fetch of
/// pages in each turn.
const CALM_FLUSHES: u32 = 64;

/// One connection's output of this turn: a chain of segments.
#[derive(Clone, Copy, Debug)]
pub struct Touched {
    pub token: Token,
    first: u32,
    last: u32,
    /// Bytes in the chain.
    pub bytes: usize,
    /// Data messages in the chain.
    pub messages: u32,
}

/// A run of bytes that belongs to one connection.
#[derive(Clone, Copy, Debug)]
struct Segment {
    next: u32,
    piece: Piece,
}

/// Where a segment's bytes are.
#[derive(Clone, Copy, Debug)]
enum Piece {
    /// Whole WebSocket frames in the arena.
    Frames(Range),
    /// An HTTP answer or a close frame in the arena: nothing in it may be dropped.
    Fixed(Range),
    /// A frame for many.
    Shared(u32),
}

/// A segment's bytes, ready to be kept elsewhere.
pub enum Kept<'a> {
    /// Whole frames of one connection.
    Frames(&'a [u8]),
    /// Bytes that may not be dropped.
    Fixed(&'a [u8]),
    /// A frame for many.
    Shared(&'a Frame),
}

impl<'a> Kept<'a> {
    /// Its bytes but for the first `gone`.
    pub fn after(&self, gone: usize) -> &'a [u8] {
        let bytes = match self {
            Kept::Frames(bytes) | Kept::Fixed(bytes) => bytes,
            Kept::Shared(frame) => &frame.bytes()[..],
        };
        bytes.get(gone..).unwrap_or_default()
    }
}

/// One turn's output. Its vectors keep their room from turn to turn.
#[derive(Default)]
pub struct Output {
    arena: Arena,
    segments: Vec<Segment>,
    frames: Vec<Frame>,
    touched: Vec<Touched>,
    /// Flushes in a row that needed little.
    calm: u32,
}

impl Output {
    /// An empty output whose arena is at hand, not just reserved.
    pub fn new() -> Self {
        let arena = Arena::new(ARENA_KEPT);
        Output { arena, segments: Vec::new(), frames: Vec::new(), touched: Vec::new(), calm: 0 }
    }

    /// The entry for a connection, whose place in the list `place` remembers.
    fn touch(&mut self, token: Token, place: &mut u32) -> usize {
        if *place == NOWHERE {
            *place = self.touched.len() as u32;
            let none = Touched { token, first: NOWHERE, last: NOWHERE, bytes: 0, messages: 0 };
            self.touched.push(none);
        }
        *place as usize
    }

    /// Has the connection flushed at the end of the turn, though nothing new is in the arena.
    pub fn mark(&mut self, token: Token, place: &mut u32) {
        self.touch(token, place);
    }

    /// Appends what `write` encodes: `messages` whole frames.
    #[inline]
    pub fn frames(
        &mut self,
        token: Token,
        place: &mut u32,
        messages: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let range = self.arena.append(write);
        let at = self.touch(token, place);
        self.append(at, Piece::Frames(range), range.len(), messages);
    }

    /// Appends bytes that are not data and may not be dropped.
    pub fn fixed(&mut self, token: Token, place: &mut u32, write: impl FnOnce(&mut Vec<u8>)) {
        let range = self.arena.append(write);
        let at = self.touch(token, place);
        self.append(at, Piece::Fixed(range), range.len(), 0);
    }

    /// Keeps a frame for the turn; the number to give to `shared`.
    pub fn share(&mut self, frame: Frame) -> u32 {
        self.frames.push(frame);
        (self.frames.len() - 1) as u32
    }

    /// Appends a shared frame.
    #[inline]
    pub fn shared(&mut self, token: Token, place: &mut u32, frame: u32, length: usize) {
        let at = self.touch(token, place);
        self.append(at, Piece::Shared(frame), length, 1);
    }

    fn append(&mut self, at: usize, piece: Piece, bytes: usize, messages: u32) {
        let Some(touched) = self.touched.get_mut(at) else { return };
        touched.bytes += bytes;
        touched.messages += messages;
        let last = self.segments.get_mut(touched.last as usize);
        // Neighbours in the arena become one write.
        if let (Some(segment), Piece::Frames(new)) = (last, piece)
            && let Piece::Frames(last) = &mut segment.piece
            && last.end == new.start
            && self.arena.is_joined_at(new.start)
        {
            last.end = new.end;
            return;
        }
        let new = self.segments.len() as u32;
        match self.segments.get_mut(touched.last as usize) {
            Some(last) => last.next = new,
            None => touched.first = new,
        }
        touched.last = new;
        self.segments.push(Segment { next: NOWHERE, piece });
    }

    /// Bytes that a connection has in this turn's output.
    #[inline]
    pub fn bytes_for(&self, place: u32) -> usize {
        self.touched.get(place as usize).map_or(0, |touched| touched.bytes)
    }

    /// True once this turn's output should be written before more is made.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.arena.len() >= ARENA_LIMIT || self.segments.len() >= SEGMENT_LIMIT
    }

    /// How many connections have output.
    pub fn len(&self) -> usize {
        self.touched.len()
    }

    /// Whose entry that is.
    #[inline]
    pub fn token(&self, place: usize) -> Option<Token> {
        self.touched.get(place).map(|touched| touched.token)
    }

    /// Takes one connection's chain; its entry stays, empty.
    #[inline]
    pub fn take(&mut self, place: usize) -> Option<Touched> {
        let touched = self.touched.get_mut(place)?;
        let taken = *touched;
        *touched = Touched { first: NOWHERE, last: NOWHERE, bytes: 0, messages: 0, ..taken };
        Some(taken)
    }

    /// Nothing more is made before this is written: a driver may keep the bytes alive for that long.
    pub fn seal(&mut self) {
        self.arena.seal();
    }

    /// The bytes of a chain that is a single piece, as nearly all are.
    #[inline]
    pub fn only_part(&self, chain: &Touched) -> Option<Part<'_>> {
        if chain.first != chain.last {
            return None;
        }
        let segment = self.segments.get(chain.first as usize)?;
        let owner = match segment.piece {
            Piece::Frames(range) | Piece::Fixed(range) => self.arena.owner(range),
            Piece::Shared(frame) => self.frames.get(frame as usize).map(Frame::bytes),
        };
        Some(Part::new(self.slice(segment), owner))
    }

    /// The chain of an entry that was taken.
    pub fn chain(&self, place: usize) -> Option<Touched> {
        self.touched.get(place).copied()
    }

    /// Puts a chain back that was taken, to be looked up by who settles it.
    #[inline]
    pub fn put_back(&mut self, place: usize, chain: Touched) {
        if let Some(touched) = self.touched.get_mut(place) {
            *touched = chain;
        }
    }

    /// The slices of a chain, up to `room` of them.
    pub fn slices(&self, chain: &Touched, room: usize) -> Vec<IoSlice<'_>> {
        let mut next = chain.first;
        let segments = std::iter::from_fn(|| {
            let segment = self.segments.get(next as usize)?;
            next = segment.next;
            Some(IoSlice::new(self.slice(segment)))
        });
        segments.take(room).collect()
    }

    fn slice(&self, segment: &Segment) -> &[u8] {
        match self.kept(segment) {
            Kept::Frames(bytes) | Kept::Fixed(bytes) => bytes,
            Kept::Shared(frame) => frame.bytes(),
        }
    }

    /// The segments of a chain with how many of their first bytes are gone, given that `sent`
    /// bytes of the chain are.
    pub fn unsent<'a>(
        &'a self,
        chain: &Touched,
        sent: usize,
    ) -> impl Iterator<Item = (Kept<'a>, usize)> {
        let mut next = chain.first;
        let mut sent = sent;
        std::iter::from_fn(move || {
            loop {
                let segment = self.segments.get(next as usize)?;
                next = segment.next;
                let kept = self.kept(segment);
                let length = match &kept {
                    Kept::Frames(bytes) | Kept::Fixed(bytes) => bytes.len(),
                    Kept::Shared(frame) => frame.len(),
                };
                let gone = sent.min(length);
                sent -= gone;
                if gone < length {
                    return Some((kept, gone));
                }
            }
        })
    }

    fn kept(&self, segment: &Segment) -> Kept<'_> {
        match segment.piece {
            Piece::Frames(range) => Kept::Frames(self.arena.get(range)),
            Piece::Fixed(range) => Kept::Fixed(self.arena.get(range)),
            Piece::Shared(frame) => match self.frames.get(frame as usize) {
                Some(frame) => Kept::Shared(frame),
                None => Kept::Fixed(&[]),
            },
        }
    }

    /// Forgets all: everything was written or kept.
    pub fn clear(&mut self) {
        let used = self.arena.len();
        // Before it is empty again its room is not told.
        self.arena.clear();
        let is_calm = used < self.arena.capacity() / 4
            && self.touched.len() < self.touched.capacity().max(SEGMENTS_KEPT) / 4;
        self.calm = if is_calm { self.calm + 1 } else { 0 };
        self.touched.clear();
        self.segments.clear();
        self.frames.clear();
        if self.calm >= CALM_FLUSHES {
            self.calm = 0;
            self.arena.shrink_to(ARENA_KEPT.max(self.arena.capacity() / 2));
            self.segments.shrink_to(SEGMENTS_KEPT.max(self.segments.capacity() / 2));
            self.touched.shrink_to(SEGMENTS_KEPT.max(self.touched.capacity() / 2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_large_turn_needed_is_given_up_after_calm_ones() {
        let mut output = Output::new();
        let token = Token { index: 0, generation: 0 };
        let mut turn = |bytes: usize| {
            output.frames(token, &mut { NOWHERE }, 1, |out| out.resize(out.len() + bytes, 0));
            output.seal();
            output.clear();
            output.arena.capacity()
        };
        let large = turn(1 << 20);
        assert!(large >= 1 << 20 && turn(1) == large, "steady ones keep it");
        for _ in 0..10 * CALM_FLUSHES {
            turn(1);
        }
        assert_eq!(turn(1), ARENA_KEPT);
    }
}
