//! Who shares an address, and what an address may have: worlds in which arrivals are counted.
//! Not for what one reactor holds; see `invariants`.

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};

use fastrand::Rng;
use pulsewheel::Peer;
use pulsewheel::config::{Admission, Rate};
use pulsewheel::gate::addresses::AddressBlock;

use crate::net::SocketId;
use crate::rules::{Rules, SECOND};
use crate::world::World;

/// How much later than at its time an entry may be forgotten, but for stalls and for another one's
/// bucket, which its shard may be waiting for.
const FORGOTTEN_WITHIN: u64 = 5 * SECOND;

/// The address that a stream comes from: the network is its household's, the rest names the stream.
pub fn peer_of(household: u32, socket: SocketId) -> Peer {
    let network = (0xfd00 << 112) | (u128::from(household) << 64);
    SocketAddr::from((Ipv6Addr::from(network | u128::from(socket.0)), 1)).into()
}

/// The stream that comes from that address.
pub fn socket_of(peer: Peer) -> Option<SocketId> {
    match peer.address()? {
        SocketAddr::V4(_) => None,
        SocketAddr::V6(v6) => Some(SocketId(u128::from(*v6.ip()) as u32)),
    }
}

/// Limits of arrivals for a world of so many clients, and among how many households they live. Drawn
/// from numbers of their own, so that the rest of the world is what it would be without.
pub fn draw(seed: u64, clients: usize) -> (Admission, u32) {
    let mut random = Rng::with_seed(seed ^ 0xadd2);
    let households = random.usize(1..=clients / 2 + 1);
    let mut rules = Admission::default();
    if random.u8(0..3) > 0 {
        return (rules, households as u32);
    }
    let rate = |random: &mut Rng, slowest: f64| Rate {
        per_second: slowest * f64::from(1 << random.u32(0..6)),
        burst: random.u32(1..8),
    };
    rules.max_connections_per_ip = random.bool().then(|| random.usize(1..8));
    rules.connect_rate_per_ip = random.bool().then(|| rate(&mut random, 0.05));
    rules.connect_rate = (random.u8(0..4) == 0).then(|| rate(&mut random, 1.0));
    if random.bool() {
        rules.max_addresses = random.usize(1..=households);
    }
    (rules, households as u32)
}

impl Rules {
    /// True if a good client may be refused with that status.
    pub fn may_refuse(&self, status: u16) -> bool {
        let counts = self.admission.max_connections_per_ip.is_some()
            || self.admission.connect_rate_per_ip.is_some();
        status == 503 || (status == 429 && counts)
    }
}

impl World {
    /// The table of addresses says what all reactors together hold, within its bounds, and forgets
    /// in time.
    pub fn are_addresses_counted(&mut self) -> Result<(), String> {
        if self.rules.admission == Admission::default() {
            return Ok(());
        }
        let mut held: BTreeMap<AddressBlock, usize> = BTreeMap::new();
        let mut all_turn = self.drain_began.is_none();
        for station in &mut self.stations {
            let Some(reactor) = &mut station.reactor else {
                all_turn = false;
                continue;
            };
            for address in reactor.audit().addresses() {
                *held.entry(address).or_default() += 1;
            }
        }
        let addresses = &self.shared.census.addresses;
        let tally = addresses.tally();
        if addresses.len() != tally.len() || tally.len() > self.rules.admission.max_addresses {
            return Err(format!("{} addresses counted as {}", tally.len(), addresses.len()));
        }
        let lost = self.lost.iter().max().copied().unwrap_or_default();
        let fill = |rate: Rate| (f64::from(rate.burst) / rate.per_second * 1e6) as u64;
        let longest = self.rules.admission.connect_rate_per_ip.map_or(0, fill);
        let patience = lost + longest + FORGOTTEN_WITHIN;
        let now = self.net.borrow().now;
        for (address, connections, full_at) in tally {
            let found = held.remove(&address).unwrap_or_default();
            if found != connections {
                return Err(format!("{address:?} has {found} connections, {connections} counted"));
            }
            if self.rules.admission.max_connections_per_ip.is_some_and(|most| found > most) {
                return Err(format!("{address:?} has {found} connections"));
            }
            let late = now.saturating_sub(self.disturbed_until.max(full_at / 1000));
            if all_turn && connections == 0 && late > patience {
                return Err(format!("{address:?} is {late} microseconds late to be forgotten"));
            }
        }
        match held.first_key_value() {
            None => Ok(()),
            Some((address, found)) => Err(format!("{found} of {address:?} are not counted")),
        }
    }
}
