//! Who is here and how fast they came: what all reactors count together, and by which rules.
//! Not the tables themselves, nor what a refused client is told.

use std::net::IpAddr;

use super::addresses::{AddressBlock, AddressLimits, Addresses, Change, Excess};
use super::pace::{Nanos, Pace, Turnstile};
use super::users::Users;
use crate::config::{self, ForwardedHeader, Proxy, UserPolicy};

/// The rules for arrivals, in the units they are counted in. SIGHUP brings new ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// Of one address.
    pub addresses: AddressLimits,
    /// Of all together.
    pub pace: Option<Pace>,
    /// Connections of one user, and what the next one leads to.
    pub users: Option<(usize, UserPolicy)>,
    /// Who is believed about whose connection it brings.
    pub trusted: Vec<Proxy>,
    /// Where they say it.
    pub header: ForwardedHeader,
    /// Whether they begin with a PROXY header.
    pub proxy_protocol: bool,
}

impl From<&config::Admission> for Admission {
    fn from(typed: &config::Admission) -> Self {
        let most = typed.max_connections_per_user;
        Admission {
            addresses: AddressLimits {
                most: typed.max_connections_per_ip,
                pace: typed.connect_rate_per_ip.map(Pace::from),
            },
            pace: typed.connect_rate.map(Pace::from),
            users: most.map(|most| (most, typed.user_limit_policy)),
            trusted: typed.trust_proxy.clone(),
            header: typed.forwarded_header,
            proxy_protocol: typed.proxy_protocol,
        }
    }
}

impl Admission {
    /// True if nobody is counted, and nobody's word taken.
    pub fn is_off(&self) -> bool {
        let is_uncounted = self.addresses.are_off() && self.pace.is_none() && self.users.is_none();
        is_uncounted && self.trusted.is_empty()
    }

    /// True if that address is a trusted proxy's; `None` is a Unix socket.
    pub fn trusts(&self, address: Option<IpAddr>) -> bool {
        self.trusted.iter().any(|proxy| proxy.is_at(address))
    }
}

/// What a server's reactors count together.
#[derive(Debug)]
pub struct Census {
    /// By address.
    pub addresses: Addresses,
    /// By user.
    pub users: Users,
    /// All of them.
    pub turnstile: Turnstile,
}

impl Census {
    /// One that counts at most so many addresses at a time.
    pub fn new(addresses: usize) -> Self {
        Census {
            addresses: Addresses::new(addresses),
            users: Users::default(),
            turnstile: Turnstile::default(),
        }
    }

    /// Counts an arrival from that address, or from none (a Unix socket), which is not counted.
    ///
    /// # Errors
    /// [`Excess`]: refuse the connection.
    pub fn arrive(
        &self,
        address: Option<IpAddr>,
        rules: &Admission,
        now: Nanos,
    ) -> Result<Change, Excess> {
        let turnstile = || rules.pace.map_or(Ok(()), |pace| self.turnstile.pass(&pace, now));
        match address {
            Some(address) if !rules.addresses.are_off() => {
                let block = AddressBlock::from(address);
                self.addresses.enter(block, rules.addresses, now, turnstile)
            }
            _ => turnstile().map(|()| Change::default()).map_err(Excess::Crowded),
        }
    }
}
