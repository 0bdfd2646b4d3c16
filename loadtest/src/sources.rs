//! The local addresses that connections come from, so that ports do not run out.
//! Not the sockets themselves; those are in `generator::dial`.

use std::net::{IpAddr, Ipv4Addr};

use crate::error::Failure;
use crate::target::Target;

/// Local addresses, used in turn; none means that the kernel chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources(Vec<IpAddr>);

impl Sources {
    /// Reads addresses and ranges as typed; where there are none and the server is on loopback,
    /// takes as many of 127.0.0.0/8 as `ports` are wanted: more than `connections` where they come
    /// and go, since a port that was left is not free at once.
    ///
    /// Fails with [`Failure::Usage`] on what is no address, and with [`Failure::Ports`] where there
    /// are too few for the connections.
    pub fn resolve(
        typed: &[String],
        target: &Target,
        connections: usize,
        wanted: usize,
    ) -> Result<Sources, Failure> {
        let ports = ports_per_address();
        // connect(2) tries one half of the range before the other, and the fuller a half is the
        // longer it looks: with half of a half taken, a port is found at once.
        let easy = (ports / 4).max(1);
        let mut addresses = Vec::new();
        for range in typed {
            addresses.extend(read_range(range)?);
        }
        if addresses.is_empty()
            && wanted > easy
            && let IpAddr::V4(ip) = target.address.ip()
            && ip.is_loopback()
        {
            addresses = loopback(wanted.div_ceil(easy));
        }
        if addresses.len().max(1) * ports < connections {
            return Err(Failure::Ports { address: target.address });
        }
        if let Some(other) = addresses.iter().find(|ip| ip.is_ipv4() != target.address.is_ipv4()) {
            let families = format!("--source-addr {other} is not of the family of the target");
            return Err(Failure::Usage(families));
        }
        Ok(Sources(addresses))
    }

    /// The address for connection number `id`.
    pub fn of(&self, id: u32) -> Option<IpAddr> {
        match self.0.len() {
            0 => None,
            count => Some(self.0[id as usize % count]),
        }
    }
}

/// `count` loopback addresses. Which ones depends on the process, so that a run does not meet the
/// ports that the one before left in TIME_WAIT.
fn loopback(count: usize) -> Vec<IpAddr> {
    let first = u32::from(Ipv4Addr::new(127, 1, 0, 0)) + (std::process::id() % 60_000) * 128;
    (0..count as u32).map(|i| IpAddr::V4(Ipv4Addr::from(first + i))).collect()
}

fn read_range(text: &str) -> Result<Vec<IpAddr>, Failure> {
    let wrong = |why: &str| Failure::Usage(format!("--source-addr {text}: {why}"));
    let Some((first, last)) = text.split_once('-') else {
        return Ok(vec![text.parse().map_err(|_| wrong("not an IP address"))?]);
    };
    let not_v4 = |_| wrong("a range takes two IPv4 addresses");
    let first: Ipv4Addr = first.parse().map_err(not_v4)?;
    let last: Ipv4Addr = last.parse().map_err(not_v4)?;
    let (first, last) = (u32::from(first), u32::from(last));
    match last.checked_sub(first) {
        Some(0..=0xffff) => Ok((first..=last).map(|ip| IpAddr::V4(Ipv4Addr::from(ip))).collect()),
        Some(_) => Err(wrong("more than 65,536 addresses")),
        None => Err(wrong("the range ends before it begins")),
    }
}

/// How many ports one address has towards one destination.
fn ports_per_address() -> usize {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.unwrap_or_default();
    let mut bounds = range.split_whitespace().filter_map(|bound| bound.parse::<usize>().ok());
    match (bounds.next(), bounds.next()) {
        (Some(low), Some(high)) if low <= high => high - low + 1,
        // The kernel's default range, 32768 to 60999.
        _ => 28_232,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).expect("good")
    }

    #[test]
    fn few_connections_leave_the_choice_to_the_kernel() {
        let sources = Sources::resolve(&[], &target("ws://127.0.0.1:1/"), 64, 64).expect("enough");
        assert_eq!(sources.of(0), None);
    }

    #[test]
    fn many_on_loopback_are_spread() {
        let sources = Sources::resolve(&[], &target("ws://127.0.0.1:1/"), 1_000_000, 1_000_000);
        let sources = sources.expect("enough");
        let all: std::collections::HashSet<_> = (0..1000).filter_map(|id| sources.of(id)).collect();
        assert!(all.len() > 30 && all.iter().all(IpAddr::is_loopback), "{all:?}");
    }

    #[test]
    fn elsewhere_too_few_ports_are_told() {
        let result = Sources::resolve(&[], &target("ws://192.0.2.1:1/"), 100_000, 100_000);
        assert!(matches!(result, Err(Failure::Ports { .. })));
    }

    #[test]
    fn ranges_are_read() {
        let range = |text: &str| read_range(text).map(|addresses| addresses.len()).ok();
        assert_eq!(range("127.0.0.2-127.0.0.9"), Some(8));
        assert_eq!(range("::1"), Some(1));
        assert_eq!(range("127.0.0.9-127.0.0.2"), None);
        assert_eq!(range("10.0.0.0-11.0.0.0"), None);
        assert_eq!(range("localhost"), None);
    }
}
