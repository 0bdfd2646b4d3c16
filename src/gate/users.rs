//! The table of users: which connections each has, the oldest first.
//! Not for who a user is; a checked token says that.
//!
//! One table serves all reactors, in shards with a lock each. It holds what there are connections for
//! and nothing else, so their limit is its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
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

/// Who makes room for another connection of the same user. Each is named once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Displaced {
    /// The oldest, to be closed.
    pub replaced: Vec<Seat>,
    /// Were closing already, and are more than a user may have of those too: to be reset.
    pub cut: Vec<Seat>,
    /// The user was not in the table before.
    pub is_new: bool,
}

/// What a user has.
#[derive(Debug, Default)]
struct Seats {
    /// The oldest first.
    staying: Vec<Seat>,
    /// Are closing, or were told to make room, and have not gone yet; the first of them first. They
    /// are not counted against the next one, but may be no more than a user may have.
    leaving: Vec<Seat>,
}

impl Seats {
    /// Takes out those who must go so that `more` of `most` can be among the leaving.
    fn make_room(&mut self, more: usize, most: usize) -> Vec<Seat> {
        let keep = most.saturating_sub(more);
        let surplus = self.leaving.len().saturating_sub(keep);
        self.leaving.drain(..surplus).collect()
    }
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

    /// Seats one more connection of a user who may have `most`; `None` if it is refused.
    pub fn enter(
        &self,
        user: User,
        seat: Seat,
        most: usize,
        policy: UserPolicy,
    ) -> Option<Displaced> {
        let mut shard = self.shard(user);
        let has = shard.get(&user).map_or(0, |seats| seats.staying.len());
        if has >= most && policy == UserPolicy::Refuse {
            return None;
        }
        let (seats, is_new) = self.seats(&mut shard, user);
        // The limit may have been lowered since.
        let surplus = has.saturating_add(1).saturating_sub(most.max(1));
        let replaced: Vec<Seat> = seats.staying.drain(..surplus).collect();
        let cut = seats.make_room(replaced.len(), most);
        seats.leaving.extend_from_slice(&replaced);
        seats.staying.push(seat);
        Some(Displaced { replaced, cut, is_new })
    }

    /// A connection of that user, who may have `most`, closes: its place is the next one's, although
    /// it may take its time to go.
    pub fn close(&self, user: User, seat: Seat, most: usize) -> Displaced {
        let mut shard = self.shard(user);
        let (seats, is_new) = self.seats(&mut shard, user);
        if seats.leaving.contains(&seat) {
            return Displaced::default();
        }
        seats.staying.retain(|other| *other != seat);
        let cut = seats.make_room(1, most);
        seats.leaving.push(seat);
        Displaced { replaced: Vec::new(), cut, is_new }
    }

    /// What a user has, and whether the table knows that since now.
    fn seats<'a>(&self, shard: &'a mut Shard, user: User) -> (&'a mut Seats, bool) {
        match shard.entry(user) {
            Entry::Occupied(seats) => (seats.into_mut(), false),
            Entry::Vacant(place) => {
                self.users.fetch_add(1, Relaxed);
                (place.insert(Seats::default()), true)
            }
        }
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

    fn let_in(is_new: bool) -> Option<Displaced> {
        Some(Displaced { is_new, ..Displaced::default() })
    }

    #[test]
    fn the_next_one_is_refused_until_one_leaves() {
        let (users, ada) = (Users::default(), User::named("ada"));
        let enter = |index| users.enter(ada, seat(index), 2, UserPolicy::Refuse);
        assert_eq!((enter(1), enter(2), enter(3)), (let_in(true), let_in(false), None));
        let other = users.enter(User::named("eve"), seat(3), 2, UserPolicy::Refuse);
        assert_eq!(other, let_in(true));
        assert!(!users.leave(ada, seat(1)));
        assert_eq!(enter(4), let_in(false));
        assert!(!users.leave(ada, seat(2)) && users.leave(ada, seat(4)));
        assert!(!users.leave(ada, seat(4)), "it is gone");
        assert_eq!(users.len(), 1);
    }

    #[test]
    fn one_that_closes_gives_its_place_back_before_it_is_gone() {
        let (users, ada) = (Users::default(), User::named("ada"));
        let enter = |index, policy| users.enter(ada, seat(index), 2, policy);
        enter(1, UserPolicy::Refuse);
        enter(2, UserPolicy::Refuse);
        assert_eq!(users.close(ada, seat(2), 2), Displaced::default());
        assert_eq!(users.close(ada, seat(2), 2), Displaced::default(), "it says so twice");
        assert_eq!(enter(3, UserPolicy::Refuse), let_in(false));
        assert_eq!(enter(4, UserPolicy::Refuse), None);
        users.close(ada, seat(3), 2);
        assert_eq!(enter(5, UserPolicy::Replace), let_in(false), "nobody alive goes for it");
    }

    /// Else a user could have as many as it likes that will not go.
    #[test]
    fn those_who_are_leaving_are_no_more_than_a_user_may_have() {
        let (users, ada) = (Users::default(), User::named("ada"));
        let cut = |index| users.enter(ada, seat(index), 2, UserPolicy::Replace).unwrap().cut;
        for index in 1..=4 {
            assert_eq!(cut(index), []);
        }
        for index in 5..=9 {
            assert_eq!(cut(index), [seat(index - 4)], "for the one that {index} replaces");
        }
        // 6 and 7 are leaving, 8 and 9 stay.
        assert_eq!(users.close(ada, seat(9), 2).cut, [seat(6)]);
        assert_eq!(users.close(ada, seat(8), 2).cut, [seat(7)]);
        assert_eq!(cut(10), []);
        for index in 1..10 {
            assert!(!users.leave(ada, seat(index)), "{index}");
        }
        assert!(users.leave(ada, seat(10)) && users.is_empty());
    }

    #[test]
    fn the_oldest_makes_room_once_and_goes_when_it_goes() {
        let (users, ada) = (Users::default(), User::named("ada"));
        let enter = |index| users.enter(ada, seat(index), 2, UserPolicy::Replace).unwrap().replaced;
        enter(1);
        enter(2);
        assert_eq!(enter(3), [seat(1)]);
        assert_eq!(enter(4), [seat(2)], "the first one was told before");
        // Those who were told go late, or in another order: they were counted out already.
        users.leave(ada, seat(2));
        assert_eq!(enter(5), [seat(3)]);
        for index in [1, 3, 4] {
            assert!(!users.leave(ada, seat(index)));
        }
        assert_eq!(enter(6), [], "there is room");
        assert!(!users.leave(ada, seat(5)) && users.leave(ada, seat(6)));
        assert!(users.is_empty());
    }

    #[test]
    fn a_limit_that_was_lowered_replaces_several() {
        let (users, ada) = (Users::default(), User::named("ada"));
        for index in 0..5 {
            users.enter(ada, seat(index), 9, UserPolicy::Replace);
        }
        let displaced = users.enter(ada, seat(5), 2, UserPolicy::Replace).unwrap();
        // They are told: who was just told is not reset for the others.
        assert_eq!((displaced.replaced, displaced.cut), ((0..4).map(seat).collect(), vec![]));
    }
}
