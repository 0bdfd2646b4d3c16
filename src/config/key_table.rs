//! The rows of the table of keys, in the order in which help and `default-config` show them.
//! Not for logic: what a row's parts mean, and what derives from them, stands in `keys`.

use super::keys::{Change, Key, Kind, Section, Spec};

/// Every key, each at the index of its [`Key`].
#[rustfmt::skip] // One shape for all rows; rustfmt would fold the short ones.
pub(super) const KEYS: &[Spec] = &[
    Spec {
        key: Key::Config, section: Section::File,
        name: "config", kind: Kind::ConfigFile, value: "F",
        default: &[], change: Change::Restart,
        meaning: "A TOML file with any of these keys, written with _ for -",
        why: "The defaults serve without a file. `pulsewheel default-config` prints one to begin \
              with; SIGHUP reads it again.",
    },
    Spec {
        key: Key::Listen, section: Section::Listening,
        name: "listen", kind: Kind::Texts, value: "ADDR",
        default: &["127.0.0.1:9001"], change: Change::Restart,
        meaning: "Where WebSocket and HTTP clients connect: IP:PORT or unix:PATH; repeatable",
        why: "Loopback, so that a first try is not open to the network. `[::]:9001` takes IPv6 and \
              IPv4 from everywhere; port 0 lets the kernel choose. Names are not resolved, so that \
              what is bound is what is written.",
    },
    Spec {
        key: Key::Admin, section: Section::Listening,
        name: "admin", kind: Kind::Text, value: "ADDR",
        default: &["127.0.0.1:9002"], change: Change::Restart,
        meaning: "Where /metrics, /healthz, /readyz and /publish are served, or off",
        why: "A port of its own, so that clients never reach it, and loopback, since it can \
              publish. Anywhere else it needs --admin-token-file.",
    },
    Spec {
        key: Key::AdminTokenFile, section: Section::Listening,
        name: "admin-token-file", kind: Kind::Text, value: "FILE",
        default: &[], change: Change::Restart,
        meaning: "A file with the bearer token that the admin port asks for",
        why: "A file, since arguments and environments are shown to other users of the machine. \
              One line of at most 4 KiB; a relative path starts at the working directory.",
    },
    Spec {
        key: Key::TlsCertFile, section: Section::Tls,
        name: "tls-cert", kind: Kind::Texts, value: "FILE",
        default: &[], change: Change::Reload,
        meaning: "A PEM file with the server's certificate and those of who signed it; repeatable",
        why: "Without one, clients are spoken to in the clear. With several, the one that has the \
              name a client asks for is shown, else the first. SIGHUP reads the files again; only \
              turning TLS on or off needs a restart. The admin port and Unix sockets stay plain.",
    },
    Spec {
        key: Key::TlsKeyFile, section: Section::Tls,
        name: "tls-key", kind: Kind::Texts, value: "FILE",
        default: &[], change: Change::Reload,
        meaning: "A PEM file with the private key for the tls-cert in the same place; repeatable",
        why: "PKCS#8, PKCS#1 or SEC1, without a password: who could read the password could read \
              the key.",
    },
    Spec {
        key: Key::Reactors, section: Section::Reactors,
        name: "reactors", kind: Kind::Count, value: "N",
        default: &["auto"], change: Change::Restart,
        meaning: "Reactor threads, 1 to 1024; auto is the number of cores",
        why: "Reactors share nothing, so one per core uses the machine and more only switch. Each \
              has its own descriptor table, so more of them also hold more connections.",
    },
    Spec {
        key: Key::PinCores, section: Section::Reactors,
        name: "pin-cores", kind: Kind::Switch, value: "",
        default: &["off"], change: Change::Restart,
        meaning: "Pin each reactor to a core of its own",
        why: "A pinned reactor waits when anything else runs on its core. On a machine that serves \
              nothing else it keeps caches warm.",
    },
    Spec {
        key: Key::Driver, section: Section::Reactors,
        name: "driver", kind: Kind::Text, value: "DRIVER",
        default: &["epoll"], change: Change::Restart,
        meaning: "How reactors speak with the kernel: epoll, io_uring, or auto, which is io_uring where \
                  the kernel has all that it needs",
        why: "epoll is on every Linux. io_uring costs less time for each message, and memory of the \
              kernel's for each connection.",
    },
    Spec {
        key: Key::IoUringBuffers, section: Section::Reactors,
        name: "io-uring-buffers", kind: Kind::Size, value: "SIZE",
        default: &["1MiB"], change: Change::Restart,
        meaning: "Bytes that the kernel may receive into ahead of each reactor; io_uring only",
        why: "What a reactor's peers send in one of its turns fits, and lies in a core's cache.",
    },
    Spec {
        key: Key::MaxConnections, section: Section::Reactors,
        name: "max-connections", kind: Kind::Count, value: "N",
        default: &["auto"], change: Change::Restart,
        meaning: "Connections beyond which clients get 503 with Retry-After; auto is what the \
                  descriptor limit allows, less a reserve",
        why: "A refusal that a client can read is better than a connection that hangs, and the \
              reserve keeps a descriptor for saying so.",
    },
    Spec {
        key: Key::SharedDescriptors, section: Section::Reactors,
        name: "shared-descriptors", kind: Kind::Switch, value: "",
        default: &["off"], change: Change::Restart,
        meaning: "Let all reactors share the process's one descriptor table",
        why: "A table for each reactor removes a lock in the kernel and lets the process hold \
              reactors times RLIMIT_NOFILE connections. Share one where tools must see all \
              sockets in /proc/PID/fd.",
    },
    Spec {
        key: Key::HandshakeTimeout, section: Section::Deadlines,
        name: "handshake-timeout", kind: Kind::Duration, value: "DURATION",
        default: &["10s"], change: Change::Reload,
        meaning: "Total time from accept to a finished upgrade",
        why: "Long enough for a phone on a bad network. It is total time and not silence, so that \
              a client that drips its head byte by byte gains nothing.",
    },
    Spec {
        key: Key::PingInterval, section: Section::Deadlines,
        name: "ping-interval", kind: Kind::DurationOrOff, value: "DURATION",
        default: &["25s"], change: Change::Reload,
        meaning: "Silence of a peer before it is pinged, at least 100ms, or off",
        why: "Below the 30 seconds after which some NATs and proxies forget a quiet flow. Any \
              traffic counts as life, so busy peers are not pinged.",
    },
    Spec {
        key: Key::PongTimeout, section: Section::Deadlines,
        name: "pong-timeout", kind: Kind::DurationOrOff, value: "DURATION",
        default: &["10s"], change: Change::Reload,
        meaning: "Time from a ping to any byte back, at most the ping interval, or off",
        why: "Three retransmissions fit in, so that one lost packet kills nobody; a dead peer is \
              gone within interval and timeout together. Of no effect while pings are off.",
    },
    Spec {
        key: Key::IdleTimeout, section: Section::Deadlines,
        name: "idle-timeout", kind: Kind::DurationOrOff, value: "DURATION",
        default: &["off"], change: Change::Reload,
        meaning: "Time without a data message before a connection is closed, or off",
        why: "A quiet peer that answers pings is what long-lived connections are for.",
    },
    Spec {
        key: Key::MessageTimeout, section: Section::Deadlines,
        name: "message-timeout", kind: Kind::Duration, value: "DURATION",
        default: &["30s"], change: Change::Reload,
        meaning: "Time for an unfinished message, plus a second for each 4 KiB that arrived",
        why: "A half-sent message holds memory: this asks for a minimum rate, which any usable \
              network exceeds, and not for a maximum length.",
    },
    Spec {
        key: Key::WriteTimeout, section: Section::Deadlines,
        name: "write-timeout", kind: Kind::Duration, value: "DURATION",
        default: &["10s"], change: Change::Reload,
        meaning: "Age of the oldest unsent byte beyond which a peer is a slow consumer",
        why: "A peer that took nothing for so long is gone or hopelessly behind, and its queue is \
              memory that others need.",
    },
    Spec {
        key: Key::CloseTimeout, section: Section::Deadlines,
        name: "close-timeout", kind: Kind::Duration, value: "DURATION",
        default: &["5s"], change: Change::Reload,
        meaning: "Wait for the peer's close frame after ours",
        why: "A live peer answers within a round trip; the rest is patience with a busy one.",
    },
    Spec {
        key: Key::MaxLifetime, section: Section::Deadlines,
        name: "max-lifetime", kind: Kind::DurationOrOff, value: "DURATION",
        default: &["off"], change: Change::Reload,
        meaning: "Age at which a connection is closed, with a jitter of a tenth, or off",
        why: "Closing a healthy connection costs a reconnect. Set it to even out load behind a \
              balancer; the jitter keeps those that came together from leaving together.",
    },
    Spec {
        key: Key::MaxMessageSize, section: Section::Bounds,
        name: "max-message-size", kind: Kind::Size, value: "SIZE",
        default: &["1MiB"], change: Change::Reload,
        meaning: "Longest inbound message, at most 1GiB; a longer one is closed with 1009",
        why: "Far above what chat, feeds and telemetry send, and small enough that a thousand at \
              once are no emergency. Judged by the frame's header, before memory is reserved.",
    },
    Spec {
        key: Key::OutboxLimit, section: Section::Bounds,
        name: "outbox-limit", kind: Kind::Size, value: "SIZE",
        default: &["256KiB"], change: Change::Reload,
        meaning: "Bytes that one connection may hold unsent; an empty outbox takes any message",
        why: "Some seconds of a busy feed: enough to ride out a bad moment of the network, too \
              little to let a stalled reader collect an afternoon.",
    },
    Spec {
        key: Key::OutboxBudget, section: Section::Bounds,
        name: "outbox-budget", kind: Kind::Size, value: "SIZE",
        default: &["256MiB"], change: Change::Reload,
        meaning: "Bytes that all connections may hold unsent, a shared frame counted once",
        why: "A thousand full outboxes. Beyond it the largest backlog goes first, so that many \
              slow readers together cannot use up the machine.",
    },
    Spec {
        key: Key::InboxBudget, section: Section::Bounds,
        name: "inbox-budget", kind: Kind::Size, value: "SIZE",
        default: &["256MiB"], change: Change::Reload,
        meaning: "Bytes of unfinished heads, frames and messages in the whole process",
        why: "256 of the longest messages half-way in. Beyond it the largest unfinished message \
              is closed with 1009.",
    },
    Spec {
        key: Key::MailboxLimit, section: Section::Bounds,
        name: "mailbox-limit", kind: Kind::Size, value: "SIZE",
        default: &["8MiB"], change: Change::Restart,
        meaning: "Bytes queued in one reactor's mailbox before its publishers are read no further",
        why: "Several of the longest messages, so that reactors run ahead of each other for a \
              turn; beyond it the pressure belongs on the publisher's TCP, not in our memory.",
    },
    Spec {
        key: Key::SlowConsumer, section: Section::Bounds,
        name: "slow-consumer", kind: Kind::Text, value: "POLICY",
        default: &["close"], change: Change::Reload,
        meaning: "What a full outbox leads to: close, drop-oldest or drop-newest",
        why: "A client can recover from a lost connection, but not from a gap that nobody told it \
              about.",
    },
    Spec {
        key: Key::MessageRate, section: Section::Bounds,
        name: "message-rate", kind: Kind::Rate, value: "RATE",
        default: &["off"], change: Change::Reload,
        meaning: "Inbound messages of one connection, such as 100/s:200 (rate and burst), or off",
        why: "Only the application knows what is too much.",
    },
    Spec {
        key: Key::MessageRatePolicy, section: Section::Bounds,
        name: "message-rate-policy", kind: Kind::Text, value: "POLICY",
        default: &["pause"], change: Change::Reload,
        meaning: "What a connection beyond its rate meets: pause (read no further) or close (1008)",
        why: "Nothing is lost, and TCP carries the pressure back to the sender.",
    },
    Spec {
        key: Key::MessageRateTotal, section: Section::Bounds,
        name: "message-rate-total", kind: Kind::Rate, value: "RATE",
        default: &["off"], change: Change::Reload,
        meaning: "Inbound messages of the whole process, such as 50000/s, or off",
        why: "The machine's own limit is felt as latency, which a sender that waits for answers \
              adapts to by itself.",
    },
    Spec {
        key: Key::Compression, section: Section::Compression,
        name: "compression", kind: Kind::Text, value: "MODE",
        default: &["off"], change: Change::Restart,
        meaning: "permessage-deflate: off, shared (each message alone, no memory per connection) or \
                  dedicated (a context for each connection)",
        why: "It costs more processor time than all else that is done for a message. Shared is \
              right for nearly all who want it; dedicated where many small messages resemble each \
              other and memory is plenty.",
    },
    Spec {
        key: Key::CompressionMinSize, section: Section::Compression,
        name: "compression-min-size", kind: Kind::Size, value: "SIZE",
        default: &["256"], change: Change::Restart,
        meaning: "Messages of fewer bytes are sent as they are",
        why: "Below it little is saved, and a packet is a packet. With dedicated contexts a lower \
              one may pay.",
    },
    Spec {
        key: Key::CompressionLevel, section: Section::Compression,
        name: "compression-level", kind: Kind::Number, value: "N",
        default: &["2"], change: Change::Restart,
        meaning: "How hard it is tried, 1 (fast) to 9 (small)",
        why: "Most of what there is to save, for a fraction of the time that higher levels take.",
    },
    Spec {
        key: Key::CompressionWindow, section: Section::Compression,
        name: "compression-window", kind: Kind::Number, value: "BITS",
        default: &["12"], change: Change::Restart,
        meaning: "The window in which repetitions are found, 9 to 15 bits (512 bytes to 32 KiB)",
        why: "4 KiB hold the message and the last few before it. Each bit more doubles what a \
              window takes, in each dedicated context.",
    },
    Spec {
        key: Key::CompressionMemory, section: Section::Compression,
        name: "compression-memory", kind: Kind::Size, value: "SIZE",
        default: &["256MiB"], change: Change::Restart,
        meaning: "Bytes that all dedicated contexts may take; beyond it a new connection is given \
                  shared parameters",
        why: "Some 1,200 connections with the default window. It bounds what clients can make the \
              server keep by asking for compression.",
    },
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
    Spec {
        key: Key::AllowOrigin, section: Section::Gate,
        name: "allow-origin", kind: Kind::Texts, value: "ORIGIN",
        default: &["same-host"], change: Change::Reload,
        meaning: "Web pages that may connect: https://example.com, https://*.example.com, \
                  same-host, or * for all; repeatable",
        why: "A browser lets any page open a WebSocket anywhere and sends the user's cookies \
              along; pages of the host that is asked are those that belong here. The scheme is \
              not compared, since a proxy may end TLS.",
    },
    Spec {
        key: Key::RequireOrigin, section: Section::Gate,
        name: "require-origin", kind: Kind::Switch, value: "",
        default: &["off"], change: Change::Reload,
        meaning: "Refuse requests that say no Origin",
        why: "Browsers always say one. What is no browser has none to say, and could say any.",
    },
    Spec {
        key: Key::Auth, section: Section::Gate,
        name: "auth", kind: Kind::Text, value: "AUTH",
        default: &["off"], change: Change::Reload,
        meaning: "What clients must show before they are upgraded: off (nothing) or jwt (a token)",
        why: "A token needs someone who signs it, and a key to check it with.",
    },
    Spec {
        key: Key::JwtSecretFile, section: Section::Gate,
        name: "jwt-secret-file", kind: Kind::Text, value: "FILE",
        default: &[], change: Change::Reload,
        meaning: "A file with the secret that tokens are signed with (HS256, HS384 or HS512)",
        why: "A file, since arguments are shown to other users of the machine; the variable \
              PULSEWHEEL_JWT_SECRET may hold the secret itself instead. At least as many bytes as \
              the hash has: 32, 48 or 64.",
    },
    Spec {
        key: Key::JwtPublicKeyFile, section: Section::Gate,
        name: "jwt-public-key-file", kind: Kind::Text, value: "FILE",
        default: &[], change: Change::Reload,
        meaning: "A file with the public key, in PEM, of who signs tokens (RS256, ES256 or EdDSA)",
        why: "With a public key this server can check tokens and not make any. The key's type says \
              the algorithm.",
    },
    Spec {
        key: Key::JwtJwksFile, section: Section::Gate,
        name: "jwt-jwks-file", kind: Kind::Text, value: "FILE",
        default: &[], change: Change::Reload,
        meaning: "A file with a JWK set, of which a token names its key by kid",
        why: "For keys that are rotated: write the new set and send SIGHUP. A set that is broken \
              leaves the old one in use.",
    },
    Spec {
        key: Key::JwtAlgorithm, section: Section::Gate,
        name: "jwt-algorithm", kind: Kind::Text, value: "ALG",
        default: &["auto"], change: Change::Reload,
        meaning: "What tokens must be signed with: HS256, HS384, HS512, RS256, ES256, EdDSA, or \
                  auto for what suits the key",
        why: "HS256 for a secret, the key's own for all others. A token's own word for it is never \
              taken.",
    },
    Spec {
        key: Key::JwtAudience, section: Section::Gate,
        name: "jwt-audience", kind: Kind::Texts, value: "AUD",
        default: &[], change: Change::Reload,
        meaning: "Audiences of which a token must name one in its aud; repeatable",
        why: "Only who issues tokens knows the name of this service. Without one, a token that \
              names an audience is refused: it was made for someone else.",
    },
    Spec {
        key: Key::JwtIssuer, section: Section::Gate,
        name: "jwt-issuer", kind: Kind::Texts, value: "ISS",
        default: &[], change: Change::Reload,
        meaning: "Issuers of which one must stand in a token's iss; repeatable",
        why: "The key says who signed. Name the issuer where one key signs for several.",
    },
    Spec {
        key: Key::JwtLeeway, section: Section::Gate,
        name: "jwt-leeway", kind: Kind::Duration, value: "DURATION",
        default: &["0s"], change: Change::Reload,
        meaning: "How far the clocks of who signs and who checks may differ, at most 10m",
        why: "Clocks that are set agree to less than a token's second; whoever wants leeway should \
              know that expired tokens are then taken.",
    },
    Spec {
        key: Key::TokenFrom, section: Section::Gate,
        name: "token-from", kind: Kind::Texts, value: "PLACE",
        default: &["header", "subprotocol", "query"], change: Change::Reload,
        meaning: "Where a token may stand: header (Authorization: Bearer), subprotocol \
                  (bearer.<token>) or query (?token=); repeatable",
        why: "Programs send the header, which pages can't. Narrow it where addresses are logged on \
              the way.",
    },
    Spec {
        key: Key::RequireClaim, section: Section::Gate,
        name: "require-claim", kind: Kind::Texts, value: "PATH=NAME[=VALUE]",
        default: &[], change: Change::Reload,
        meaning: "A claim that a token must have on a path, such as /admin=role=admin; repeatable",
        why: "Which claims there are is between the application and who signs. A list satisfies it \
              by one of its members, and scope by one of its words.",
    },
    Spec {
        key: Key::LogLevel, section: Section::Logging,
        name: "log-level", kind: Kind::Text, value: "LEVEL",
        default: &["info"], change: Change::Reload,
        meaning: "off, error, warn, info, debug, trace, or a filter: info,pulsewheel::conn=debug",
        why: "A line a minute, and whatever an operator should act on; debug adds a line for each \
              closed connection. RUST_LOG works too: weaker than this key's flag and variable, \
              stronger than the file.",
    },
    Spec {
        key: Key::LogFormat, section: Section::Logging,
        name: "log-format", kind: Kind::Text, value: "FORMAT",
        default: &["text"], change: Change::Restart,
        meaning: "Log lines as text for people or json for machines",
        why: "The first reader is a person at a terminal.",
    },
    Spec {
        key: Key::Subprotocol, section: Section::Routes,
        name: "subprotocol", kind: Kind::Texts, value: "NAME",
        default: &[], change: Change::Restart,
        meaning: "What the server offers to select, the preferred first; repeatable",
        why: "A subprotocol is a promise that only the application can keep. These apply to the \
              routes that have no list of their own in the file.",
    },
    Spec {
        key: Key::Route, section: Section::Routes,
        name: "route", kind: Kind::Routes, value: "PATH=HANDLER",
        default: &["/echo=echo", "/broadcast=broadcast"], change: Change::Restart,
        meaning: "What is served where; repeatable. Handlers: echo, broadcast",
        why: "A first try has something to talk to. Routes given anywhere replace the pair. In the \
              file each is a table with its path, its handler and, where it has its own, its \
              subprotocols = [\"chat.v2\", \"chat.v1\"].",
    },
];
