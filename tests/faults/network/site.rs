//! The server's namespace, and hosts behind routers that reach it.
//! Not for the server itself or its peers; this is the ground they stand on.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use crate::netns::{Entered, Namespace, require};

/// Where the server listens, reached over every router.
pub const SERVER: &str = "10.77.0.1";

/// The namespace of the server. The test's thread is in it, so the server it starts is too.
pub struct Site {
    // Left before it is taken away: fields go in this order.
    _entered: Entered,
    namespace: Namespace,
}

impl Site {
    /// A server's namespace without hosts.
    pub fn new() -> Self {
        require(&["ip", "nft"]);
        let namespace = Namespace::new("server");
        namespace.ip(&format!("addr add {SERVER}/32 dev lo"));
        Site { _entered: namespace.enter(), namespace }
    }

    /// The namespace itself.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Host number `n`, 1 to 254, behind a router of its own.
    pub fn host(&self, n: u8) -> Host {
        let router = Namespace::new(&format!("router{n}"));
        router.sysctl("ipv4/ip_forward", "1");
        let server = &self.namespace;
        let name = router.name();
        server.ip(&format!("link add to{n} type veth peer name north netns {name}"));
        server.ip(&format!("addr add 10.77.{n}.1/24 dev to{n}"));
        server.ip(&format!("link set to{n} up"));
        router.ip(&format!("addr add 10.77.{n}.2/24 dev north"));
        router.ip("link set north up");
        router.ip(&format!("route add {SERVER} via 10.77.{n}.1"));
        server.ip(&format!("route add 10.78.{n}.0/24 via 10.77.{n}.2"));
        let mut host = Host { n, peers: None, router };
        host.appear();
        host
    }
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the server to its peers.
    ToPeers,
    /// From the peers to the server.
    ToServer,
    /// Both.
    Both,
}

/// A host with peers on it, and the router before it.
pub struct Host {
    n: u8,
    peers: Option<Namespace>,
    router: Namespace,
}

impl Host {
    /// The namespace of the peers.
    pub fn peers(&self) -> &Namespace {
        self.peers.as_ref().expect("the host is there")
    }

    /// Does something on a thread of that host: sockets opened in it are the host's.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.peers().within(work)
    }

    /// Its address.
    pub fn address(&self) -> IpAddr {
        Ipv4Addr::new(10, 78, self.n, 2).into()
    }

    /// The router before it.
    pub fn router(&self) -> &Namespace {
        &self.router
    }

    /// Takes the cable out: the router can reach the host no more. No packet and no word of it.
    pub fn unplug(&self) {
        self.peers().ip("link set eth down");
    }

    /// Takes the cable out at the server: it has no way to the host any more, and knows it.
    pub fn unplug_server(&self) {
        let name = format!("to{}", self.n);
        let output = Command::new("ip").args(["link", "set", &name, "down"]).output();
        // The test's thread is in the server's namespace, and so is what it runs.
        assert!(output.is_ok_and(|output| output.status.success()), "{name} can be taken down");
    }

    /// Has the router drop every packet on this way, by a firewall rule.
    pub fn firewall(&self, way: Way) {
        self.rule(match way {
            Way::ToPeers => "iifname north drop",
            Way::ToServer => "oifname north drop",
            Way::Both => "drop",
        });
    }

    /// Has the router answer every packet of the server with a word of its own: `reject with ...`.
    pub fn reject(&self, with: &str) {
        self.rule(&format!("iifname north meta l4proto tcp reject with {with}"));
    }

    fn rule(&self, rule: &str) {
        let chain = "{ type filter hook forward priority 0; policy accept; }";
        self.router.nft(&format!(
            "add table ip faults; add chain ip faults cut {chain}; add rule ip faults cut {rule}"
        ));
    }

    /// Has the router drop every packet on this way, by a route to nowhere.
    pub fn blackhole(&self, way: Way) {
        if way != Way::ToServer {
            self.router.ip(&format!("route add blackhole 10.78.{}.2/32", self.n));
        }
        if way != Way::ToPeers {
            self.router.ip(&format!("route replace blackhole {SERVER}/32"));
        }
    }

    /// Takes back what [`firewall`](Self::firewall) did.
    pub fn open_firewall(&self) {
        self.router.nft("delete table ip faults");
    }

    /// The host is gone at once, as without power: nothing it would say is heard. Who holds
    /// sockets of it should drop them only afterwards.
    pub fn vanish(&mut self) {
        self.router.ip("link del south");
        self.peers = None;
    }

    /// A host with the same address that knows nothing of the one before.
    pub fn appear(&mut self) {
        assert!(self.peers.is_none(), "the host is there");
        let n = self.n;
        let peers = Namespace::new(&format!("host{n}"));
        let name = peers.name();
        self.router.ip(&format!("link add south type veth peer name eth netns {name}"));
        self.router.ip(&format!("addr add 10.78.{n}.1/24 dev south"));
        self.router.ip("link set south up");
        peers.ip(&format!("addr add 10.78.{n}.2/24 dev eth"));
        peers.ip("link set eth up");
        peers.ip(&format!("route add default via 10.78.{n}.1"));
        self.peers = Some(peers);
    }
}
