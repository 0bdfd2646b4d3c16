//! The slab of connections. A slot is reused; the generation in a token tells its tenants apart.
//! Not for sockets: the driver has a table of its own under the same tokens.

use slab::Slab;

use crate::conn::Conn;
use crate::io::Token;
use crate::mutation::{self, Mutation};

/// Generations stop short of what drivers use for their own events.
const LAST_GENERATION: u32 = u32::MAX - 1;

/// All connections of one reactor.
pub struct Slots {
    conns: Slab<Conn>,
    generations: Vec<u32>,
}

impl Slots {
    /// Room for `capacity` connections is reserved, not touched: an empty slot costs no memory.
    pub fn new(capacity: usize) -> Self {
        Slots { conns: Slab::with_capacity(capacity), generations: Vec::with_capacity(capacity) }
    }

    /// Moves a connection in.
    pub fn insert(&mut self, conn: Conn) -> Token {
        let index = self.conns.insert(conn);
        if self.generations.len() <= index {
            self.generations.resize(index + 1, 0);
        }
        self.token(index as u32)
    }

    /// The connection of that token, unless it is gone.
    #[inline]
    pub fn get(&mut self, token: Token) -> Option<&mut Conn> {
        if self.generations.get(token.index as usize) != Some(&token.generation)
            && !mutation::is(Mutation::LoseGeneration)
        {
            return None;
        }
        self.conns.get_mut(token.index as usize)
    }

    /// The connection in that slot.
    #[inline]
    pub fn at(&mut self, index: u32) -> Option<&mut Conn> {
        self.conns.get_mut(index as usize)
    }

    /// The token of the slot's present tenant.
    #[inline]
    pub fn token(&self, index: u32) -> Token {
        let generation = self.generations.get(index as usize).copied().unwrap_or(0);
        Token { index, generation }
    }

    /// Reads a little of each of these connections. They are about to be looked at one after the
    /// other, and where there are very many, none is in a cache: so their memory comes at the same
    /// time, and not each when the one before has come.
    pub fn warm(&self, indices: &[u32]) {
        let touched = indices.iter().fold(0, |touched, index| {
            let generation = self.generations.get(*index as usize).copied().unwrap_or(0);
            let conn = self.conns.get(*index as usize).map_or(0, Conn::outline);
            touched ^ generation ^ conn
        });
        std::hint::black_box(touched);
    }

    /// Moves a connection out; its token names nobody from now on.
    pub fn remove(&mut self, token: Token) -> Option<Conn> {
        self.get(token)?;
        let conn = self.conns.try_remove(token.index as usize)?;
        if let Some(generation) = self.generations.get_mut(token.index as usize) {
            *generation = if *generation >= LAST_GENERATION { 0 } else { *generation + 1 };
        }
        Some(conn)
    }

    /// How many connections there are, in whatever phase.
    pub fn len(&self) -> usize {
        self.conns.len()
    }

    /// One past the highest slot that was ever used.
    pub fn end(&self) -> u32 {
        self.generations.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Tick;
    use crate::proto::Peer;

    #[test]
    fn a_late_event_never_reaches_a_reused_slot() {
        let mut slots = Slots::new(4);
        let first = slots.insert(Conn::new(Peer::UNIX, Tick(0), false));
        slots.remove(first).unwrap();
        let second = slots.insert(Conn::new(Peer::UNIX, Tick(0), false));
        assert_eq!(first.index, second.index);
        assert!(slots.get(first).is_none() && slots.remove(first).is_none());
        assert!(slots.get(second).is_some());
    }
}
