//! What a completion driver knows of each connection: its socket, and the requests on it.
//! Not for bytes: those are in chunks and outboxes.

use super::ring::File;
use crate::io::Token;
use crate::mutation::{self, Mutation};

/// A receive is with the ring.
pub const ARMED: u8 = 1;
/// It is being cancelled; no second one may be armed before it has ended.
pub const CANCELLING: u8 = 1 << 1;
/// Receiving is turned off.
pub const PAUSED: u8 = 1 << 2;
/// The receive found no buffer, or has had its share, and is asked for anew with the next wait.
pub const STARVED: u8 = 1 << 3;
/// The end of the stream has been reported.
pub const ENDED: u8 = 1 << 4;
/// A wait for room is with the ring.
pub const ROOM: u8 = 1 << 5;
/// A wait for what follows the peer's end is with the ring.
pub const END: u8 = 1 << 6;
/// Something has come since the receive was asked for.
pub const HEARD: u8 = 1 << 7;

/// One connection.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    file: u32,
    generation: u32,
    pub flags: u8,
    /// In which of the last batches bytes were gathered for it.
    pub batch: u8,
    /// Events that wait to be handed out; it stops counting at the most.
    pub queued: u16,
}

const VACANT: u32 = u32::MAX;

impl Entry {
    /// Its socket.
    pub fn file(&self) -> File {
        File(self.file)
    }

    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }
}

/// All connections, by slot.
#[derive(Debug, Default)]
pub struct Entries {
    entries: Vec<Entry>,
    open: u64,
}

impl Entries {
    /// Reserves room for so many, without touching it.
    pub fn reserve(&mut self, connections: usize) {
        self.entries.reserve_exact(connections);
    }

    /// How many are open.
    pub fn open(&self) -> u64 {
        self.open
    }

    /// The connection of that token, unless it has gone.
    #[inline]
    pub fn get(&mut self, token: Token) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(token.index as usize)?;
        let is_same = entry.generation == token.generation || mutation::is(Mutation::ReachNewcomer);
        (is_same && entry.file != VACANT).then_some(entry)
    }

    /// A connection begins.
    pub fn insert(&mut self, token: Token, file: File) {
        let index = token.index as usize;
        if self.entries.len() <= index {
            let vacant = Entry { file: VACANT, generation: 0, flags: 0, batch: 0, queued: 0 };
            self.entries.resize(index + 1, vacant);
        }
        if let Some(entry) = self.entries.get_mut(index) {
            *entry =
                Entry { file: file.0, generation: token.generation, flags: 0, batch: 0, queued: 0 };
            self.open += 1;
        }
    }

    /// A connection ends; what it was.
    pub fn remove(&mut self, token: Token) -> Option<Entry> {
        let entry = self.get(token)?;
        let was = *entry;
        entry.file = VACANT;
        self.open -= 1;
        Some(was)
    }
}
