//! Rows of who may come and who leaves when: limits, proxies, draining.
//! Not for logic: what a row's parts mean stands in `keys`.

use crate::config::keys::{Change, Key, Kind, Section, Spec};

#[rustfmt::skip] // One shape for all rows; rustfmt would fold the short ones.
pub(super) const ROWS: &[Spec] = &[
    Spec {
        key: Key::MaxConnectionsPerUser, section: Section::Admission,
        name: "max-connections-per-user", kind: Kind::CountOrOff, value: "N",
        default: &["off"], change: Change::Reload,
        meaning: "Connections that one user, by the token's iss and sub, may have at a time, or off",
        why: "Only the application knows how many devices and windows a user has.",
    },
    Spec {
        key: Key::UserLimitPolicy, section: Section::Admission,
        name: "user-limit-policy", kind: Kind::Text, value: "POLICY",
        default: &["refuse"], change: Change::Reload,
        meaning: "What a user's next connection leads to: refuse (429), or replace (the oldest is \
                  closed with 1008)",
        why: "Replacing is kinder to phones, whose last connection may be dead and not known to \
              be; but with a token that two share, each would throw the other out for ever.",
    },
    Spec {
        key: Key::MaxConnectionsPerIp, section: Section::Admission,
        name: "max-connections-per-ip", kind: Kind::CountOrOff, value: "N",
        default: &["off"], change: Change::Reload,
        meaning: "Connections that one address may have at a time, or off; more are answered 429",
        why: "A whole company or a mobile network may be one address. An IPv6 address counts as \
              its /64, which is what one subscriber has.",
    },
    Spec {
        key: Key::ConnectRatePerIp, section: Section::Admission,
        name: "connect-rate-per-ip", kind: Kind::Rate, value: "RATE",
        default: &["off"], change: Change::Reload,
        meaning: "New connections of one address, such as 10/s:50 (rate and burst), or off; more \
                  are answered 429",
        why: "As with their number: only you know who shares an address.",
    },
    Spec {
        key: Key::ConnectRate, section: Section::Admission,
        name: "connect-rate", kind: Kind::Rate, value: "RATE",
        default: &["off"], change: Change::Reload,
        meaning: "New connections of the whole process, such as 2000/s, or off; more are answered \
                  503 and told when to come back",
        why: "What the machine bears depends on what a connection costs your application. Set it \
              before the first restart with many clients.",
    },
    Spec {
        key: Key::MaxAddresses, section: Section::Admission,
        name: "max-addresses", kind: Kind::Number, value: "N",
        default: &["262144"], change: Change::Restart,
        meaning: "Addresses that are counted at a time; beyond it those without a connection are \
                  forgotten first",
        why: "About 25 MB when full. It need not be more than max-connections: an address is kept \
              while it has one, and until its rate is its own again.",
    },
    Spec {
        key: Key::TrustProxy, section: Section::Admission,
        name: "trust-proxy", kind: Kind::Texts, value: "CIDR",
        default: &[], change: Change::Reload,
        meaning: "A network of proxies that say whose connection they bring, or unix for those at \
                  a Unix socket; repeatable",
        why: "Whoever is believed can be anybody: write only what nobody else can connect from.",
    },
    Spec {
        key: Key::ForwardedHeader, section: Section::Admission,
        name: "forwarded-header", kind: Kind::Text, value: "HEADER",
        default: &["x-forwarded-for"], change: Change::Reload,
        meaning: "The header in which trusted proxies write it: x-forwarded-for or forwarded",
        why: "What most proxies write. The other one is not looked at, since a proxy that does not \
              write it hands on what the client wrote.",
    },
    Spec {
        key: Key::ProxyProtocol, section: Section::Admission,
        name: "proxy-protocol", kind: Kind::Switch, value: "",
        default: &["off"], change: Change::Restart,
        meaning: "Trusted proxies begin each connection with a PROXY header, version 1 or 2",
        why: "A proxy either sends it always or never, and one that does without would be refused.",
    },
    Spec {
        key: Key::DrainDelay, section: Section::Draining,
        name: "drain-delay", kind: Kind::Duration, value: "DURATION",
        default: &["0s"], change: Change::Reload,
        meaning: "Time after SIGTERM in which new connections are still served",
        why: "A single machine has nobody to wait for. Behind a load balancer write the time that \
              it needs to see /readyz fail and look away.",
    },
    Spec {
        key: Key::DrainWindow, section: Section::Draining,
        name: "drain-window", kind: Kind::Duration, value: "DURATION",
        default: &["10s"], change: Change::Reload,
        meaning: "Time over which a draining server closes its connections evenly",
        why: "Clients reconnect as soon as they are closed: all in one instant would be a herd. \
              With the close timeout it stays within the 30 seconds that orchestrators allow.",
    },
    Spec {
        key: Key::Takeover, section: Section::Draining,
        name: "takeover", kind: Kind::Switch, value: "",
        default: &["off"], change: Change::Restart,
        meaning: "Start on a port that another pulsewheel still serves, which is then drained",
        why: "SO_REUSEPORT would let a second server bind by accident and take half of the \
              connections, so a port in use is an error unless this is asked for.",
    },
];
