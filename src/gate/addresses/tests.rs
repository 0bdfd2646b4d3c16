//! The table of addresses: its limits, its bound, and that nothing is left in it.
//! Not sockets; the whole server is tried in `tests/limits.rs`.

use std::net::Ipv4Addr;

use super::*;
use crate::config::Rate;

const SECOND: Nanos = 1_000_000_000;

fn address(n: u32) -> AddressBlock {
    AddressBlock::from(IpAddr::V4(Ipv4Addr::from(n)))
}

fn at_most(most: usize) -> AddressLimits {
    AddressLimits { most: Some(most), pace: None }
}

fn at_rate(per_second: f64, burst: u32) -> AddressLimits {
    AddressLimits { most: None, pace: Some(Pace::from(Rate { per_second, burst })) }
}

fn free() -> Result<(), Nanos> {
    Ok(())
}

#[test]
fn an_address_is_a_whole_one_of_ipv4_or_a_network_of_ipv6() {
    let block = |text: &str| AddressBlock::from(text.parse::<IpAddr>().unwrap());
    assert_eq!(block("2001:db8:0:1::7"), block("2001:db8:0:1:ffff::9"));
    assert_ne!(block("2001:db8:0:1::7"), block("2001:db8:0:2::7"));
    assert_eq!(block("::ffff:192.0.2.7"), block("192.0.2.7"));
    assert_ne!(block("192.0.2.7"), block("192.0.2.8"));
    assert_ne!(block("::7"), block("0.0.0.0"), "its bits are zero, but it is no IPv4");
}

#[test]
fn the_next_one_is_denied_until_one_leaves() {
    let table = Addresses::new(10);
    let enter = || table.enter(address(1), at_most(2), 0, free);
    let change = enter().unwrap();
    assert_eq!((change.added, change.holds), (1, true));
    assert_eq!(enter().unwrap().added, 0);
    assert_eq!(enter(), Err(Excess::Full));
    assert!(table.enter(address(2), at_most(2), 0, free).is_ok(), "another has its own");
    assert_eq!(table.leave(address(1), 0).removed, 0);
    assert!(enter().is_ok());
    for _ in 0..2 {
        table.leave(address(1), 0);
    }
    assert_eq!(table.len(), 1);
    assert_eq!(table.leave(address(2), 0).removed, 1);
    assert!(table.is_empty());
}

#[test]
fn an_address_is_forgotten_once_its_rate_is_its_own_again_and_not_before() {
    let table = Addresses::new(10);
    let limits = at_rate(1.0, 3);
    let enter = |now| table.enter(address(1), limits, now, free);
    let watch = enter(0).unwrap().watch.expect("somebody must forget it");
    assert_eq!(watch.due, SECOND);
    assert_eq!(enter(0).unwrap().watch, None, "it is watched");
    assert!(enter(0).is_ok());
    assert_eq!(enter(0), Err(Excess::TooFast(SECOND)));
    let change = table.look(watch.shard, 2 * SECOND);
    assert_eq!((change.removed, change.watch.map(|w| w.due)), (0, Some(3 * SECOND)));
    let change = table.look(watch.shard, 3 * SECOND);
    assert_eq!((change.removed, change.watch), (1, None));
    assert!(table.is_empty());
}

#[test]
fn who_has_used_up_its_rate_is_kept_when_its_connections_are_gone() {
    let table = Addresses::new(10);
    let limits = AddressLimits { most: Some(9), ..at_rate(1.0, 2) };
    let enter = |now| table.enter(address(1), limits, now, free);
    assert_eq!(enter(0).unwrap().watch, None, "it has a connection");
    assert!(enter(0).is_ok());
    assert_eq!(table.leave(address(1), 0), Change::default());
    let change = table.leave(address(1), 0);
    assert_eq!((change.removed, change.watch.map(|w| w.due)), (0, Some(2 * SECOND)));
    assert_eq!(enter(SECOND / 2), Err(Excess::TooFast(SECOND / 2)));
    assert!(enter(SECOND).is_ok());
    let shard = table.shard_of(address(1));
    assert_eq!(table.look(shard, 9 * SECOND).removed, 0, "it has a connection again");
    assert_eq!(table.leave(address(1), 9 * SECOND).removed, 1);
}

#[test]
fn who_is_denied_costs_its_address_nothing_and_takes_no_token_of_others() {
    let table = Addresses::new(10);
    let limits = at_rate(1.0, 1);
    for _ in 0..3 {
        let crowded = table.enter(address(1), limits, 0, || Err(7));
        assert_eq!(crowded, Err(Excess::Crowded(7)));
    }
    assert!(table.is_empty());
    assert!(table.enter(address(1), limits, 0, free).is_ok());
    let denied = table.enter(address(1), limits, 0, || panic!("it is asked last"));
    assert!(matches!(denied, Err(Excess::TooFast(_))));
}

#[test]
fn a_flood_of_addresses_stays_within_the_bound_and_each_is_let_in() {
    let table = Addresses::new(1_000);
    let limits = at_rate(1.0, 5);
    let (mut evicted, mut watched) = (0, BTreeSet::new());
    for n in 0..100_000 {
        let change = table.enter(address(n), limits, u64::from(n), free).unwrap();
        evicted += change.evicted;
        watched.extend(change.watch.map(|watch| watch.shard));
        assert!(table.len() <= 1_000);
    }
    assert_eq!((table.len(), evicted), (1_000, 99_000));
    for shard in watched {
        assert_eq!(table.look(shard, 100 * SECOND).watch, None);
    }
    assert!(table.is_empty());
    let capacity: usize = table.shards.iter().map(|s| s.lock().unwrap().entries.capacity()).sum();
    assert!(capacity < 64 * 64, "room for {capacity} is kept");
}

/// The one that goes is the one whose rate is nearly its own again.
#[test]
fn of_those_without_connections_the_one_that_loses_least_makes_room() {
    let table = Addresses::new(1);
    let limits = AddressLimits { most: Some(9), ..at_rate(1.0, 5) };
    table.enter(address(1), limits, 0, free).unwrap();
    assert_eq!(table.enter(address(2), limits, 0, free), Err(Excess::NoPlace));
    table.leave(address(1), 0);
    assert_eq!(table.enter(address(2), limits, 0, free).unwrap().evicted, 1);
    let known = |n| table.lock(table.shard_of(address(n))).entries.contains_key(&address(n));
    assert!(known(2) && !known(1));
}

#[test]
fn many_at_once_are_counted_as_one_after_the_other() {
    let table = Addresses::new(8);
    let limits = AddressLimits { most: Some(3), ..at_rate(1e6, 100) };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let table = &table;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                let mut held = Vec::new();
                for step in 0..20_000u64 {
                    let n = random.u32(0..20);
                    if random.bool() && held.len() < 20 {
                        held.extend(table.enter(address(n), limits, step, free).ok().map(|_| n));
                    } else if let Some(n) = held.pop() {
                        table.leave(address(n), step);
                    }
                    assert!(table.len() <= 8);
                    table.look(random.u32(0..SHARDS), step);
                }
                held.into_iter().for_each(|n| {
                    table.leave(address(n), 1 << 40);
                });
            });
        }
    });
    for shard in 0..SHARDS {
        table.look(shard, 1 << 50);
    }
    assert!(table.is_empty(), "{table:?}");
    let left: usize = table.shards.iter().map(|shard| shard.lock().unwrap().entries.len()).sum();
    assert_eq!(left, 0);
}
