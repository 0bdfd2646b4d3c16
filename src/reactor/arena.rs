//! The bytes of one turn's output: appended to while it is made, then sealed so that a driver can
//! keep them alive while they leave.
//! Not for whose they are; the output's segments say that.

use bytes::Bytes;

/// A run of bytes in an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: usize,
    pub end: usize,
}

impl Range {
    pub fn len(self) -> usize {
        self.end - self.start
    }
}

/// Bytes in the order in which they were encoded. Its room stays from turn to turn.
#[derive(Debug, Default)]
pub struct Arena {
    sealed: Bytes,
    /// Appended since; positions in it count on from those that are sealed.
    open: Vec<u8>,
}

impl Arena {
    /// An arena whose first `room` bytes are at hand, not just reserved.
    pub fn new(room: usize) -> Self {
        let mut open = vec![1; room];
        open.clear();
        Arena { sealed: Bytes::new(), open }
    }

    /// Bytes that are in it.
    pub fn len(&self) -> usize {
        self.sealed.len() + self.open.len()
    }

    /// Bytes that it has room for while nothing in it is sealed.
    pub fn capacity(&self) -> usize {
        self.open.capacity()
    }

    /// Appends what `write` encodes.
    #[inline]
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range {
        let start = self.len();
        write(&mut self.open);
        Range { start, end: self.len() }
    }

    /// True if bytes that end there and bytes that begin there are one run.
    #[inline]
    pub fn is_joined_at(&self, position: usize) -> bool {
        position != self.sealed.len()
    }

    /// What is in it now will not move or change until `clear`.
    pub fn seal(&mut self) {
        if self.sealed.is_empty() && !self.open.is_empty() {
            self.sealed = Bytes::from(std::mem::take(&mut self.open));
        }
    }

    /// The bytes of a run.
    #[inline]
    pub fn get(&self, range: Range) -> &[u8] {
        let Range { start, end } = range;
        let bytes = match start.checked_sub(self.sealed.len()) {
            None => self.sealed.get(start..end),
            Some(start) => self.open.get(start..end - self.sealed.len()),
        };
        bytes.unwrap_or_default()
    }

    /// What keeps a run alive, if it is sealed.
    #[inline]
    pub fn owner(&self, range: Range) -> Option<&Bytes> {
        (range.end <= self.sealed.len()).then_some(&self.sealed)
    }

    /// Forgets all. The room stays, unless a driver still needs it.
    pub fn clear(&mut self) {
        let mut sealed = std::mem::take(&mut self.sealed);
        if !sealed.is_empty() && self.open.capacity() == 0 {
            // All but one, since to forget all of them gives up the room, and the others are copied.
            sealed.truncate(1);
            self.open = Vec::from(sealed);
        }
        self.open.clear();
    }

    /// Gives up room beyond `room` bytes. To be called when it is empty.
    pub fn shrink_to(&mut self, room: usize) {
        self.open.shrink_to(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_stay_where_they_are_and_what_comes_after_is_apart() {
        let mut arena = Arena::new(64);
        let first = arena.append(|out| out.extend_from_slice(b"first"));
        assert!(arena.is_joined_at(3) && arena.owner(first).is_none());
        arena.seal();
        let place = arena.get(first).as_ptr();
        let second = arena.append(|out| out.extend_from_slice(b"second"));
        assert!(!arena.is_joined_at(first.end) && arena.owner(second).is_none());
        assert_eq!((arena.get(first), arena.get(second)), (&b"first"[..], &b"second"[..]));
        assert_eq!(
            (arena.get(first).as_ptr(), arena.owner(first).unwrap().as_ptr()),
            (place, place)
        );
    }

    #[test]
    fn its_room_comes_back_once_nobody_needs_what_was_in_it() {
        let mut arena = Arena::new(64);
        let place = arena.open.as_ptr();
        arena.append(|out| out.push(1));
        arena.seal();
        arena.clear();
        assert_eq!((arena.open.as_ptr(), arena.len(), arena.capacity()), (place, 0, 64));
        arena.append(|out| out.push(1));
        arena.seal();
        let kept = arena.owner(Range { start: 0, end: 1 }).cloned();
        arena.clear();
        assert!(arena.open.as_ptr() != place && kept.unwrap()[..] == [1]);
    }
}
