//! Where a connection comes from, in 18 bytes; and how far the host there has come.
//! Not for proxies: whoever speaks to the socket is the peer.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The remote address of a connection, IPv4 kept as its IPv6-mapped form.
///
/// `SocketAddr` takes 32 bytes; an idle connection can't afford them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    ip: [u8; 16],
    port: u16,
}

/// What a peer's kernel has acknowledged of what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Bytes of the stream, ever.
    pub bytes: u64,
    /// How long ago the last acknowledgement came, to the millisecond.
    pub last: Duration,
}

impl Peer {
    /// A peer on a Unix socket, which has no address.
    pub const UNIX: Peer = Peer { ip: [0; 16], port: 0 };

    /// The peer's address, or `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        if *self == Peer::UNIX {
            return None;
        }
        Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(self.ip)).to_canonical(), self.port))
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Peer { ip: ip.octets(), port: address.port() }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("unix"),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were_given() {
        for text in ["127.0.0.1:9001", "[2001:db8::1]:443", "[::1]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Peer::from(address).address(), Some(address));
            assert_eq!(Peer::from(address).to_string(), text);
        }
        assert_eq!(Peer::UNIX.to_string(), "unix");
        assert_eq!(size_of::<Peer>(), 18);
    }
}
