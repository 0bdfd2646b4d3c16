//! Where the server listens: IPv4, IPv6 and Unix-domain addresses, and which of them collide.
//! Not for binding: sockets are made in `io`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::error::{Refusal, quoted};

/// Bytes that fit in `sun_path` beside its terminating NUL (unix(7)).
const LONGEST_UNIX_PATH: usize = 107;

/// An address that WebSocket clients connect to.
///
/// Written `127.0.0.1:9001`, `[::1]:9001` or `unix:/run/pulsewheel.sock`; `[::]:9001` takes IPv4
/// too. Port 0 lets the kernel choose one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A Unix-domain stream socket at this path.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether a client that asks for one address could be answered at the other.
    ///
    /// A wildcard covers every address of its family, and `[::]` covers IPv4 too. Port 0 meets
    /// nothing: each time it becomes another port.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(a), Self::Tcp(b)) => a.port() == b.port() && a.port() != 0 && covers(a, b),
            (Self::Unix(a), Self::Unix(b)) => a == b,
            _ => false,
        }
    }
}

fn covers(a: &SocketAddr, b: &SocketAddr) -> bool {
    let (x, y) = (a.ip().to_canonical(), b.ip().to_canonical());
    let wild = |ip: IpAddr, other: IpAddr| match ip {
        IpAddr::V4(v4) => v4.is_unspecified() && other.is_ipv4(),
        IpAddr::V6(v6) => v6.is_unspecified(),
    };
    // Two link-local addresses on different interfaces differ in their scope alone.
    let same = x == y && scope(a) == scope(b);
    same || wild(x, y) || wild(y, x)
}

fn scope(address: &SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    }
}

impl FromStr for ListenAddress {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        match text.strip_prefix("unix:") {
            Some(path) => parse_unix(path).map(Self::Unix),
            None => parse_tcp(text, ", or unix:/run/pulsewheel.sock").map(Self::Tcp),
        }
    }
}

/// Writes the address as it is typed.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn parse_unix(path: &str) -> Result<PathBuf, Refusal> {
    const LIKE: &str = "write it like unix:/run/pulsewheel.sock";
    if path.is_empty() || path.contains('\0') {
        return Err(Refusal::new(format!("{} is no path of a socket", quoted(path)), LIKE));
    }
    if path.len() > LONGEST_UNIX_PATH {
        return Err(Refusal::new(
            format!("{} is too long for a socket's path", quoted(path)),
            format!("write at most {LONGEST_UNIX_PATH} bytes"),
        ));
    }
    Ok(PathBuf::from(path))
}

/// Reads an IP address with its port; names are not resolved.
fn parse_tcp(text: &str, or: &str) -> Result<SocketAddr, Refusal> {
    text.parse().map_err(|_| {
        let port = text.strip_prefix(':').unwrap_or(text);
        if port.parse::<u16>().is_ok() {
            return Refusal::new(
                format!("{} lacks an address", quoted(text)),
                format!("write 127.0.0.1:{port} for this machine alone, or [::]:{port} for all"),
            );
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Refusal::new(
                format!("{} lacks a port", quoted(text)),
                format!("write it like {}", with_port(text, ip)),
            );
        }
        // A name may stand for several addresses, and for others tomorrow: what is bound would
        // no longer be what is written.
        Refusal::new(
            format!("{} is not an IP address with a port", quoted(text)),
            format!("write it like 127.0.0.1:9001 or [::]:9001{or}; names are not resolved"),
        )
    })
}

/// What was probably meant by an address without a port, or by an IPv6 address that has one but
/// no brackets to tell it apart.
fn with_port(text: &str, ip: IpAddr) -> SocketAddr {
    let apart = text.rsplit_once(':').and_then(|(ip, port)| {
        Some(SocketAddr::new(ip.parse::<Ipv6Addr>().ok()?.into(), port.parse().ok()?))
    });
    apart.unwrap_or(SocketAddr::new(ip, 9001))
}

/// Reads the admin address: an IP address with its port, or `off`.
pub(super) fn parse_admin(text: &str) -> Result<Option<SocketAddr>, Refusal> {
    let text = text.trim();
    if text == "off" {
        return Ok(None);
    }
    parse_tcp(text, ", or off").map(Some)
}
