//! Which connection holds the most, when someone must give way.
//! Not for exact order: sizes are compared by their power of two.

use std::collections::BTreeSet;

/// Connections that hold bytes, by the power of two of how many.
#[derive(Debug, Default)]
pub struct Ranks {
    held: BTreeSet<(u8, u32)>,
    bytes: u64,
}

/// The power of two of a number of bytes, from 1; 0 for none.
fn class(bytes: usize) -> u8 {
    bytes.checked_ilog2().map_or(0, |log| log as u8 + 1)
}

impl Ranks {
    /// A connection now holds `now` bytes instead of `before`; `rank` is its place, kept by it.
    pub fn change(&mut self, index: u32, rank: &mut u8, before: usize, now: usize) {
        self.bytes = self.bytes + now as u64 - before as u64;
        let new = class(now);
        if new == *rank {
            return;
        }
        if *rank > 0 {
            self.held.remove(&(*rank, index));
        }
        if new > 0 {
            self.held.insert((new, index));
        }
        *rank = new;
    }

    /// The slot of the connection that holds the most, within a factor of two.
    pub fn largest(&self) -> Option<u32> {
        self.held.last().map(|(_, index)| *index)
    }

    /// Bytes held by all; a shared frame counts for each that holds it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_found_as_sizes_change() {
        let mut ranks = Ranks::default();
        let mut held = [(0u8, 0usize); 100];
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..10_000 {
            let index = random.usize(0..100);
            let (rank, before) = &mut held[index];
            let now = if random.bool() { 0 } else { random.usize(1..1 << 20) };
            ranks.change(index as u32, rank, *before, now);
            *before = now;
            assert_eq!(ranks.bytes(), held.iter().map(|(_, n)| *n as u64).sum::<u64>());
            let most = held.iter().map(|(_, n)| *n).max().unwrap();
            let found = ranks.largest().map_or(0, |index| held[index as usize].1);
            assert!(found * 2 >= most);
        }
    }
}
