//! The table of users: which connections each has, the oldest first.
//! Not for who a user is; a checked token says that.
//!
//! One table serves all reactors, in shards with a lock each. It holds what there are connections for
//! and nothing else, so their limit is its own.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::UserPolicy;

/// Shards of the table.
const SHARDS: usize = 64;

/// A user in sixteen bytes, however long the name in the token is.
///
/// A part of a SHA-256 digest: nobody finds two names that meet, and a table in memory holds no
/// names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct User([u8; 16]);

impl User {
    /// The user of that name.
    pub fn named(name: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
        let mut user = [0; 16];
        for (byte, from) in user.iter_mut().zip(digest.as_ref()) {
            *byte = *from;
        }
        User(user)
    }
}

/// Where a connection of a user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Which reactor has it.
    pub reactor: usize,
    /// Its slot there.
    pub index: u32,
    /// How many connections the slot had before.
    pub generation: u32,
}

/// What became of a connection that a user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seated {
    /// It has its seat. These, the oldest, are to make room; each is named once.
    In(Vec<Seat>),
    /// The user has as many as may be.
    Refused,
}

/// What a user has.
#[derive(Debug, Default)]
struct Seats {
    /// The oldest first.
    staying: Vec<Seat>,
    /// Were told to make room and have not gone yet.
    leaving: Vec<Seat>,
}

/// Every user who has a connection.
#[derive(Debug)]
pub struct Users {
    shards: Vec<Mutex<HashMap<User, Seats, RandomState>>>,
    hash: RandomState,
    users: AtomicUsize,
}

impl Default for Users {
    fn default() -> Self {
        let hash = RandomState::new();
        let shards = (0..SHARDS).map(|_| Mutex::new(HashMap::with_hasher(hash.clone())));
        Users { shards: shards.collect(), hash, users: AtomicUsize::new(0) }
    }
}

impl Users {
    /// Users who have connections.
    pub fn len(&self) -> usize {
        self.users.load(Relaxed)
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Seats one more connection of a user who may have `most`; true with it if the user is new.
    pub fn enter(&self, user: User, seat: Seat, most: usize, policy: UserPolicy) -> (Seated, bool) {
        let mut shard = self.shard(user);
        let has = shard.get(&user).map_or(0, |seats| seats.staying.len());
        if has >= most && policy == UserPolicy::Refuse {
            return (Seated::Refused, false);
        }
        let is_new = !shard.contains_key(&user);
        let seats = shard.entry(user).or_default();
        // The limit may have been lowered since.
        let surplus = (has + 1).saturating_sub(most.max(1));
        let replaced: Vec<Seat> = seats.staying.drain(..surplus).collect();
        seats.leaving.extend_from_slice(&replaced);
        seats.staying.push(seat);
        self.users.fetch_add(usize::from(is_new), Relaxed);
        (Seated::In(replaced), is_new)
    }

    /// A connection of that user is gone. True if it was the last one.
    pub fn leave(&self, user: User, seat: Seat) -> bool {
        let mut shard = self.shard(user);
        let Some(seats) = shard.get_mut(&user) else { return false };
        seats.staying.retain(|other| *other != seat);
        seats.leaving.retain(|other| *other != seat);
        if !(seats.staying.is_empty() && seats.leaving.is_empty()) {
            return false;
        }
        shard.remove(&user);
        if shard.capacity() > 4 * shard.len().max(16) {
            let wanted = 2 * shard.len();
            shard.shrink_to(wanted);
        }
        self.users.fetch_sub(1, Relaxed);
        true
    }

    fn shard(&self, user: User) -> MutexGuard<'_, HashMap<User, Seats, RandomState>> {
        let index = (self.hash.hash_one(user) >> 32) as usize % self.shards.len();
        let shard = self.shards.get(index).unwrap_or_else(|| &self.shards[0]);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
