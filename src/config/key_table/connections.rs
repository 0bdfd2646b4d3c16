//! Rows of what connections are held to: deadlines, bounds, compression.
//! Not for logic: what a row's parts mean stands in `keys`.

use crate::config::keys::{Change, Key, Kind, Section, Spec};

#[rustfmt::skip] // One shape for all rows; rustfmt would fold the short ones.
pub(super) const ROWS: &[Spec] = &[
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
];
