//! Rows of the log, and what is served where.
//! Not for logic: what a row's parts mean stands in `keys`.

use crate::config::keys::{Change, Key, Kind, Section, Spec};

#[rustfmt::skip] // One shape for all rows; rustfmt would fold the short ones.
pub(super) const ROWS: &[Spec] = &[
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
