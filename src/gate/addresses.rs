//! The table of addresses: how many connections each has, and how fast it has been making them.
//! Not for who a connection's client is; by now that is known.
//!
//! One table serves all reactors, in shards with a lock each; only arrivals and departures come here.
//! It is bounded: an entry is there while its address has connections or has used up some of its
//! rate, and of the latter the one that loses least goes when there is no room. Entries of the rate
//! expire on a reactor's wheel, a shard at a time.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
#[cfg(not(feature = "simulation"))]
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pace::{Nanos, Pace};

/// In the simulator a seed says all; no server is built with it.
#[cfg(feature = "simulation")]
type RandomState = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

/// Shards of the table: six bits choose one.
pub const SHARDS: u32 = 64;

/// Entries that one look at a shard takes out at most; the rest waits for the next look.
const PURGED_AT_ONCE: usize = 1024;

/// What counts as one address: an IPv4 address, or the /64 network of an IPv6 address, which is what
/// one subscriber has. IPv4 within IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressBlock([u8; 16]);

impl From<IpAddr> for AddressBlock {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => AddressBlock(v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => {
                let network = u128::from(v6) & !u128::from(u64::MAX);
                AddressBlock(network.to_be_bytes())
            }
        }
    }
}

/// What one address may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections at a time.
    pub most: Option<usize>,
    /// Connections in a time.
    pub pace: Option<Pace>,
}

impl AddressLimits {
    /// True if nothing is limited.
    pub fn are_off(&self) -> bool {
        self.most.is_none() && self.pace.is_none()
    }
}

/// Why an address may not have another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It has as many as it may.
    Full,
    /// It has made them faster than it may; when it may again.
    TooFast(Nanos),
    /// All connections together came faster than they may; when to come back.
    Crowded(Nanos),
    /// Its connections can't be counted: every place in the table belongs to an address that has
    /// some. To let it in uncounted would be a way around the limit.
    NoPlace,
}

/// A shard that wants to be looked at, by whoever is told so, once it has something to expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Which one, below [`SHARDS`].
    pub shard: u32,
    /// When its first entry expires.
    pub due: Nanos,
}

/// What entering, leaving or a look has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Entries that are new.
    pub added: u64,
    /// Entries that are gone, evicted ones included.
    pub removed: u64,
    /// Entries that had to make room before their time.
    pub evicted: u64,
    /// The connection holds a place and must [leave](Addresses::leave).
    pub holds: bool,
    /// Have the wheel look at that shard.
    pub watch: Option<Watch>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    connections: u32,
    /// When its token bucket is full again.
    full_at: Nanos,
}

#[derive(Debug)]
struct Shard {
    entries: HashMap<AddressBlock, Entry, RandomState>,
    /// Entries without connections, the one that is soonest forgotten first.
    idle: BTreeSet<(Nanos, AddressBlock)>,
    /// Some wheel has an entry for this shard, for the first that was to expire when it was made. One
    /// that comes later and expires sooner waits with it, at most as long as a bucket takes to fill.
    is_watched: bool,
}

/// Every address that counts for something.
#[derive(Debug)]
pub struct Addresses {
    shards: Box<[Mutex<Shard>; SHARDS as usize]>,
    hash: RandomState,
    entries: AtomicUsize,
    limit: usize,
}

impl Addresses {
    /// An empty table of at most `limit` entries.
    pub fn new(limit: usize) -> Self {
        // Keys that clients choose meet in one bucket only if they know these random numbers.
        let hash = RandomState::default();
        let shard = |_: usize| {
            Mutex::new(Shard {
                entries: HashMap::with_hasher(hash.clone()),
                idle: BTreeSet::new(),
                is_watched: false,
            })
        };
        let shards = Box::new(std::array::from_fn(shard));
        Addresses { shards, hash, entries: AtomicUsize::new(0), limit }
    }

    /// Addresses that are in the table.
    pub fn len(&self) -> usize {
        self.entries.load(Relaxed)
    }

    /// Every entry: its connections, and when its token bucket is full again.
    #[cfg(feature = "simulation")]
    pub fn tally(&self) -> Vec<(AddressBlock, usize, Nanos)> {
        let of = |index| {
            let shard = self.lock(index);
            let entry = |(address, entry): (&AddressBlock, &Entry)| {
                (*address, entry.connections as usize, entry.full_at)
            };
            shard.entries.iter().map(entry).collect::<Vec<_>>()
        };
        (0..SHARDS).flat_map(of).collect()
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts a connection of that address, if it may have one more and `turnstile`, which is asked
    /// last, lets it through. Who is denied costs the address nothing.
    ///
    /// # Errors
    /// [`Excess`]: refuse the connection.
    pub fn enter(
        &self,
        address: AddressBlock,
        limits: AddressLimits,
        now: Nanos,
        turnstile: impl FnOnce() -> Result<(), Nanos>,
    ) -> Result<Change, Excess> {
        let index = self.shard_of(address);
        let mut change = Change { holds: limits.most.is_some(), ..Change::default() };
        let mut shard = self.lock(index);
        let full_at = match shard.entries.get(&address) {
            Some(entry) => {
                let full_at = judge(entry, limits, now)?;
                turnstile().map_err(Excess::Crowded)?;
                full_at
            }
            None => {
                turnstile().map_err(Excess::Crowded)?;
                // What makes room may stand in another shard, and two locks would be one too many.
                drop(shard);
                change.evicted = self.reserve(index)?;
                change.removed = change.evicted;
                shard = self.lock(index);
                // Another reactor may have put it there meanwhile.
                let entry = shard.entries.get(&address).copied();
                let full_at = judge(&entry.unwrap_or_default(), limits, now);
                change.added = u64::from(entry.is_none() && full_at.is_ok());
                if change.added == 0 {
                    self.entries.fetch_sub(1, Relaxed);
                }
                full_at?
            }
        };
        shard.put(address, full_at, change.holds);
        change.watch = shard.watch(index);
        Ok(change)
    }

    /// A connection that entered is gone.
    pub fn leave(&self, address: AddressBlock, now: Nanos) -> Change {
        let mut change = Change::default();
        let index = self.shard_of(address);
        let mut shard = self.lock(index);
        let Some(entry) = shard.entries.get_mut(&address) else { return change };
        entry.connections = entry.connections.saturating_sub(1);
        if entry.connections > 0 {
            return change;
        }
        let full_at = entry.full_at;
        if full_at <= now {
            shard.remove(address, full_at);
            self.entries.fetch_sub(1, Relaxed);
            change.removed = 1;
        } else {
            shard.idle.insert((full_at, address));
            change.watch = shard.watch(index);
        }
        change
    }

    /// Forgets those of a shard whose rate is theirs again. Whoever was told to watch it calls this.
    pub fn look(&self, index: u32, now: Nanos) -> Change {
        let mut shard = self.lock(index);
        let mut change = Change::default();
        let mut removed = 0;
        while removed < PURGED_AT_ONCE
            && let Some(&(full_at, address)) = shard.idle.first()
            && full_at <= now
        {
            shard.remove(address, full_at);
            removed = removed.saturating_add(1);
        }
        self.entries.fetch_sub(removed, Relaxed);
        change.removed = removed as u64;
        shard.give_back();
        shard.is_watched = false;
        change.watch = shard.watch(index);
        change
    }

    /// Takes a place for a new entry, of an idle one if need be: how many went for it.
    fn reserve(&self, first: u32) -> Result<u64, Excess> {
        let is_free = |entries: usize| (entries < self.limit).then(|| entries.saturating_add(1));
        if self.entries.fetch_update(Relaxed, Relaxed, is_free).is_ok() {
            return Ok(0);
        }
        for offset in 0..SHARDS {
            let mut shard = self.lock(first.wrapping_add(offset));
            if let Some((full_at, address)) = shard.idle.first().copied() {
                // Its place is the new one's: the sum stays.
                shard.remove(address, full_at);
                return Ok(1);
            }
        }
        Err(Excess::NoPlace)
    }

    fn shard_of(&self, address: AddressBlock) -> u32 {
        // The high bits: the low ones choose within a shard's own table.
        (self.hash.hash_one(address) >> 58) as u32
    }

    fn lock(&self, index: u32) -> MutexGuard<'_, Shard> {
        let [first, ..] = &*self.shards;
        let shard = self.shards.get((index & (SHARDS - 1)) as usize).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When its bucket will be full, once the connection is counted.
fn judge(entry: &Entry, limits: AddressLimits, now: Nanos) -> Result<Nanos, Excess> {
    if limits.most.is_some_and(|most| entry.connections as usize >= most) {
        return Err(Excess::Full);
    }
    match limits.pace {
        Some(pace) => pace.take(entry.full_at, now).map_err(Excess::TooFast),
        None => Ok(entry.full_at),
    }
}

impl Shard {
    fn put(&mut self, address: AddressBlock, full_at: Nanos, holds: bool) {
        let entry = self.entries.entry(address).or_default();
        let (was_idle, before) = (entry.connections == 0, entry.full_at);
        entry.full_at = entry.full_at.max(full_at);
        entry.connections = entry.connections.saturating_add(u32::from(holds));
        let (is_idle, after) = (entry.connections == 0, entry.full_at);
        if was_idle {
            self.idle.remove(&(before, address));
        }
        if is_idle {
            self.idle.insert((after, address));
        }
    }

    fn remove(&mut self, address: AddressBlock, full_at: Nanos) {
        self.idle.remove(&(full_at, address));
        self.entries.remove(&address);
    }

    /// What a flood needed is not kept.
    fn give_back(&mut self) {
        let wanted = self.entries.len().max(16).saturating_mul(2);
        if self.entries.capacity() / 2 > wanted {
            self.entries.shrink_to(wanted);
        }
    }

    /// The first to be told has it looked at; nobody else is told until then.
    fn watch(&mut self, shard: u32) -> Option<Watch> {
        let &(due, _) = self.idle.first()?;
        (!std::mem::replace(&mut self.is_watched, true)).then_some(Watch { shard, due })
    }
}

#[cfg(test)]
mod tests;
