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

/// Shards of the table: six bits choose one.
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

type Shard = HashMap<User, Seats, RandomState>;

/// Every user who has a connection.
#[derive(Debug)]
pub struct Users {
    shards: Box<[Mutex<Shard>; SHARDS]>,
    hash: RandomState,
    users: AtomicUsize,
}

impl Default for Users {
    fn default() -> Self {
        let hash = RandomState::new();
        let shard = |_| Mutex::new(HashMap::with_hasher(hash.clone()));
        Users {
            shards: Box::new(std::array::from_fn(shard)),
            hash: hash.clone(),
            users: AtomicUsize::new(0),
        }
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
        let surplus = has.saturating_add(1).saturating_sub(most.max(1));
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
        let wanted = shard.len().max(16).saturating_mul(2);
        if shard.capacity() / 2 > wanted {
            shard.shrink_to(wanted);
        }
        self.users.fetch_sub(1, Relaxed);
        true
    }

    fn shard(&self, user: User) -> MutexGuard<'_, Shard> {
        let [first, ..] = &*self.shards;
        let index = (self.hash.hash_one(user) >> 58) as usize;
        let shard = self.shards.get(index).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(index: u32) -> Seat {
        Seat { reactor: 0, index, generation: 0 }
    }

    #[test]
    fn the_next_one_is_refused_until_one_leaves() {
        let (users, ada) = (Users::default(), User::named("ada"));
        let enter = |index| users.enter(ada, seat(index), 2, UserPolicy::Refuse);
        assert_eq!(enter(1), (Seated::In(Vec::new()), true));
        assert_eq!(enter(2), (Seated::In(Vec::new()), false));
        assert_eq!(enter(3), (Seated::Refused, false));
        let other = users.enter(User::named("eve"), seat(3), 2, UserPolicy::Refuse);
        assert_eq!(other, (Seated::In(Vec::new()), true));
        assert!(!users.leave(ada, seat(1)));
        assert_eq!(enter(4), (Seated::In(Vec::new()), false));
        assert!(!users.leave(ada, seat(2)) && users.leave(ada, seat(4)));
        assert!(!users.leave(ada, seat(4)), "it is gone");
        assert_eq!(users.len(), 1);
    }

    #[test]
    fn the_oldest_makes_room_once_and_goes_when_it_goes() {
        let (users, ada) = (Users::default(), User::named("ada"));
        let enter = |index| users.enter(ada, seat(index), 2, UserPolicy::Replace).0;
        enter(1);
        enter(2);
        assert_eq!(enter(3), Seated::In(vec![seat(1)]));
        assert_eq!(enter(4), Seated::In(vec![seat(2)]), "the first one was told before");
        // Those who were told go late, or in another order: they were counted out already.
        users.leave(ada, seat(2));
        assert_eq!(enter(5), Seated::In(vec![seat(3)]));
        for index in [1, 3, 4] {
            assert!(!users.leave(ada, seat(index)));
        }
        assert_eq!(enter(6), Seated::In(Vec::new()), "there is room");
        assert!(!users.leave(ada, seat(5)) && users.leave(ada, seat(6)));
        assert!(users.is_empty());
    }

    #[test]
    fn a_limit_that_was_lowered_replaces_several() {
        let (users, ada) = (Users::default(), User::named("ada"));
        for index in 0..5 {
            users.enter(ada, seat(index), 9, UserPolicy::Replace);
        }
        let (seated, _) = users.enter(ada, seat(5), 2, UserPolicy::Replace);
        assert_eq!(seated, Seated::In((0..4).map(seat).collect()));
    }
}
