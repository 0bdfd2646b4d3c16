//! How many connections may come, from where and how fast, and which proxies are believed.
//! Not the counting, which the gate does, nor what one connection may do once it is in.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::error::{Problem, Refusal, quoted};
use super::fields::{AUTO, OFF, joined, parse_count, switch, unless_off};
use super::keys::Key;
use super::low::Given;
use super::rate::Rate;
use super::settings::Choice;

/// The most connections that a limit for one address or one user may allow.
const MOST: usize = u32::MAX as usize;

/// The most addresses that the table may hold: a hundred bytes each.
const MOST_ADDRESSES: usize = 1 << 26;

/// Limits of those who come in. All are off by default.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// Connections that one user may have; `None` when unlimited. Never 0.
    pub max_connections_per_user: Option<usize>,
    /// What happens to the next one.
    pub user_limit_policy: UserPolicy,
    /// Connections that one address may have; `None` when unlimited. Never 0.
    pub max_connections_per_ip: Option<usize>,
    /// Connections of one address in a time; `None` when unlimited.
    pub connect_rate_per_ip: Option<Rate>,
    /// Connections of all in a time; `None` when unlimited.
    pub connect_rate: Option<Rate>,
    /// Addresses that are counted at a time, 1 to 2^26.
    pub max_addresses: usize,
    /// Proxies whose word is taken for whose connection they bring.
    pub trust_proxy: Vec<Proxy>,
    /// The header that they write.
    pub forwarded_header: ForwardedHeader,
    /// Whether they begin each connection with a PROXY header.
    pub proxy_protocol: bool,
}

/// What happens when a user who has as many connections as may be opens one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserPolicy {
    /// It is answered 429.
    Refuse,
    /// The oldest one is closed with 1008 for it.
    Replace,
}

impl Choice for UserPolicy {
    const WORDS: &'static [(&'static str, Self)] =
        &[("refuse", Self::Refuse), ("replace", Self::Replace)];
}

/// The header that the proxies in front write. Only one is looked at: a proxy hands on what it does
/// not know, so the other may be the client's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For: 203.0.113.9, 10.0.0.1`
    XForwardedFor,
    /// `Forwarded: for=203.0.113.9;proto=https, for=10.0.0.1` (RFC 7239)
    Forwarded,
}

impl ForwardedHeader {
    /// The header's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "X-Forwarded-For",
            Self::Forwarded => "Forwarded",
        }
    }
}

impl Choice for ForwardedHeader {
    const WORDS: &'static [(&'static str, Self)] =
        &[("x-forwarded-for", Self::XForwardedFor), ("forwarded", Self::Forwarded)];
}

/// A proxy, or a network of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// Whoever connects from these addresses.
    Network(IpNet),
    /// Whoever connects to a Unix socket.
    Unix,
}

impl Proxy {
    /// True if this is the one at that address, given in its canonical form; `None` is a Unix socket.
    #[must_use]
    pub fn is_at(&self, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Self::Network(network), Some(ip)) => network.contains(&ip),
            (Self::Unix, None) => true,
            _ => false,
        }
    }
}

impl FromStr for Proxy {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let network = match text.parse::<IpAddr>() {
            Ok(ip) => IpNet::from(ip),
            Err(_) => text.parse::<IpNet>().map_err(|_| {
                Refusal::new(
                    format!("{} is no network", quoted(text)),
                    "write it like 10.0.0.0/8, 192.0.2.7, 2001:db8::/32 or unix",
                )
            })?,
        };
        if let IpNet::V6(v6) = network
            && v6.addr().to_ipv4_mapped().is_some()
        {
            let wrong = format!("{} is an IPv4 address in IPv6 form", quoted(text));
            return Err(Refusal::new(wrong, "write it as IPv4, like 10.0.0.0/8"));
        }
        if network != network.trunc() {
            let wrong = format!("{} has bits behind its prefix", quoted(text));
            return Err(Refusal::new(wrong, format!("write {} or one address", network.trunc())));
        }
        Ok(Self::Network(network))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => write!(f, "{network}"),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl Admission {
    /// What the defaults are written over.
    pub(super) fn blank() -> Self {
        Admission {
            max_connections_per_user: None,
            user_limit_policy: UserPolicy::Refuse,
            max_connections_per_ip: None,
            connect_rate_per_ip: None,
            connect_rate: None,
            max_addresses: 0,
            trust_proxy: Vec::new(),
            forwarded_header: ForwardedHeader::XForwardedFor,
            proxy_protocol: false,
        }
    }

    /// Puts the one value of a key into its field.
    pub(super) fn set(&mut self, key: Key, text: &str) -> Result<(), Refusal> {
        let rate = |text| unless_off(text, str::parse::<Rate>);
        match key {
            Key::MaxConnectionsPerUser => self.max_connections_per_user = parse_most(text)?,
            Key::UserLimitPolicy => self.user_limit_policy = Choice::parse(text)?,
            Key::MaxConnectionsPerIp => self.max_connections_per_ip = parse_most(text)?,
            Key::ConnectRatePerIp => self.connect_rate_per_ip = rate(text)?,
            Key::ConnectRate => self.connect_rate = rate(text)?,
            Key::MaxAddresses => self.max_addresses = parse_number(text)?,
            Key::ForwardedHeader => self.forwarded_header = Choice::parse(text)?,
            Key::ProxyProtocol => self.proxy_protocol = Choice::parse(text)?,
            _ => {}
        }
        Ok(())
    }

    /// What a key's field holds, as it is typed.
    pub(super) fn show(&self, key: Key) -> String {
        let most = |most: Option<usize>| most.map_or(OFF.to_string(), |most| most.to_string());
        let rate = |rate: Option<Rate>| rate.map_or(OFF.to_string(), |rate| rate.to_string());
        match key {
            Key::MaxConnectionsPerUser => most(self.max_connections_per_user),
            Key::UserLimitPolicy => self.user_limit_policy.word().to_string(),
            Key::MaxConnectionsPerIp => most(self.max_connections_per_ip),
            Key::ConnectRatePerIp => rate(self.connect_rate_per_ip),
            Key::ConnectRate => rate(self.connect_rate),
            Key::MaxAddresses => self.max_addresses.to_string(),
            Key::TrustProxy if self.trust_proxy.is_empty() => "none".to_string(),
            Key::TrustProxy => joined(&self.trust_proxy),
            Key::ForwardedHeader => self.forwarded_header.word().to_string(),
            Key::ProxyProtocol => switch(self.proxy_protocol),
            _ => String::new(),
        }
    }

    /// Judges each value by itself.
    pub(super) fn bounds(&self) -> Vec<(Key, Refusal)> {
        let mut refused = Vec::new();
        for (key, most) in [
            (Key::MaxConnectionsPerUser, self.max_connections_per_user),
            (Key::MaxConnectionsPerIp, self.max_connections_per_ip),
        ] {
            let remedy = format!("write 1 to {MOST}, or off");
            match most {
                Some(0) => refused.push((key, Refusal::new("0 refuses every client", remedy))),
                Some(most) if most > MOST => {
                    refused.push((key, Refusal::new(format!("{most} is too many"), remedy)));
                }
                _ => {}
            }
        }
        for (key, rate) in [
            (Key::ConnectRatePerIp, self.connect_rate_per_ip),
            (Key::ConnectRate, self.connect_rate),
        ] {
            if let Some(Err(refusal)) = rate.map(|rate| rate.check()) {
                refused.push((key, refusal));
            }
        }
        if !(1..=MOST_ADDRESSES).contains(&self.max_addresses) {
            let wrong = format!("{} addresses cannot be counted", self.max_addresses);
            let remedy = format!("write 1 to {MOST_ADDRESSES}");
            refused.push((Key::MaxAddresses, Refusal::new(wrong, remedy)));
        }
        refused
    }

    /// What may be meant, and seldom is.
    pub(super) fn warnings(&self, max_connections: Option<usize>) -> Vec<String> {
        let mut warnings = Vec::new();
        let is_everyone =
            |proxy: &&Proxy| matches!(proxy, Proxy::Network(network) if network.prefix_len() == 0);
        for proxy in self.trust_proxy.iter().filter(is_everyone) {
            warnings.push(format!(
                "trust-proxy: with {proxy} whoever connects may say whose connection it is; name what \
                 nobody but the proxies can connect from"
            ));
        }
        if self.max_connections_per_ip.is_some()
            && let Some(connections) = max_connections
            && connections > self.max_addresses
        {
            let addresses = self.max_addresses;
            warnings.push(format!(
                "max-addresses: once {addresses} addresses have a connection the next one is refused \
                 with 503, and max-connections is {connections}; write max-addresses {connections}"
            ));
        }
        warnings
    }

    /// Judges the values together; `has_users` says whether tokens tell who is who.
    pub(super) fn contradictions(&self, has_users: bool) -> Vec<(Key, Refusal)> {
        let mut refused = Vec::new();
        if self.proxy_protocol && self.trust_proxy.is_empty() {
            let wrong = "proxy-protocol is on and no proxy is trusted to use it";
            let remedy = "give --trust-proxy with the network that the proxies connect from";
            refused.push((Key::ProxyProtocol, Refusal::new(wrong, remedy)));
        }
        if self.max_connections_per_user.is_some() && !has_users {
            let wrong = "users are told apart by their tokens, and auth is off";
            let remedy = "give --auth jwt and a key, or max-connections-per-user off";
            refused.push((Key::MaxConnectionsPerUser, Refusal::new(wrong, remedy)));
        }
        refused
    }
}

/// Reads the networks of `--trust-proxy`.
pub(super) fn proxies(values: &[Given], problems: &mut Vec<Problem>) -> Vec<Proxy> {
    let mut proxies: Vec<Proxy> = Vec::new();
    for value in values {
        match value.text.parse() {
            Ok(proxy) if proxies.contains(&proxy) => {
                let refusal = Refusal::new(format!("{proxy} is given twice"), "write it once");
                problems.push(refusal.at(value.source.clone()));
            }
            Ok(proxy) => proxies.push(proxy),
            Err(refusal) => problems.push(refusal.at(value.source.clone())),
        }
    }
    proxies
}

/// A whole number, or `None` for `off`.
fn parse_most(text: &str) -> Result<Option<usize>, Refusal> {
    if text.trim() == OFF { Ok(None) } else { parse_number_or(text, OFF).map(Some) }
}

fn parse_number(text: &str) -> Result<usize, Refusal> {
    parse_number_or(text, "more")
}

fn parse_number_or(text: &str, other: &str) -> Result<usize, Refusal> {
    let remedy = format!("write a number like 4, or {other}");
    match parse_count(text) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(Refusal::new(format!("{} is not a whole number", quoted(AUTO)), remedy)),
        Err(refusal) => Err(Refusal::new(refusal.wrong, remedy)),
    }
}
