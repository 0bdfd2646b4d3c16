//! What is meant: the types that the rest of the server reads, every value checked and in one unit.
//! Not what was typed: no text, no source of a value and no "unset" comes this far.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::address::ListenAddress;
use super::admission::Admission;
use super::check;
use super::compression::Compression;
use super::driver::DriverSettings;
use super::error::{ConfigErrors, Refusal, nearest, quoted};
use super::high;
use super::low::Low;
use super::rate::Rate;
use super::token::AdminToken;
use crate::gate;
use crate::proto::tls::Certificate;

/// The handlers that the documented default routes name.
const BUILT_IN_HANDLERS: [&str; 2] = ["echo", "broadcast"];

/// One whole configuration.
///
/// `Config::default()` holds the documented defaults. A program that fills one in by itself should
/// call [`Config::check`] before it serves; what [`load`](super::load) gives is checked already.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where WebSocket and HTTP clients connect. Not empty, and no two of them meet.
    pub listen: Vec<ListenAddress>,
    /// Where metrics and health are served; `None` when off.
    pub admin: Option<SocketAddr>,
    /// What clients of the admin port must show; always there when `admin` is not loopback.
    pub admin_token: Option<AdminToken>,
    /// What is shown to clients over TCP, the first one by default; empty when TLS is off. At most
    /// 256 of them.
    pub tls: Vec<Certificate>,
    /// Reactor threads, 1 to 1024.
    pub reactors: usize,
    /// Whether each reactor is pinned to a core of its own.
    pub pin_cores: bool,
    /// How each reactor speaks with the kernel.
    pub driver: DriverSettings,
    /// Connections beyond which clients are refused with 503; `None` for as many as the descriptor
    /// limit allows, less a reserve. Never 0.
    pub max_connections: Option<usize>,
    /// Whether all reactors share the process's descriptor table.
    pub shared_descriptors: bool,
    /// Whether to start on a port that another process still serves.
    pub takeover: bool,
    /// Bytes queued in one reactor's mailbox beyond which its publishers are read no further.
    pub mailbox_limit: usize,
    /// Deadlines and bounds of connections.
    pub limits: Limits,
    /// Whether and how messages are compressed.
    pub compression: Compression,
    /// How many may come, from where and how fast.
    pub admission: Admission,
    /// How the server goes away.
    pub drain: Drain,
    /// Who may come in. SIGHUP can change all of it.
    pub gate: gate::Settings,
    /// What is logged, and how.
    pub log: LogSettings,
    /// What is served where. Not empty, and no two have the same path.
    pub routes: Vec<Route>,
    /// What the operator should know of what was read; the server logs it when it starts.
    pub warnings: Vec<String>,
}

impl Config {
    /// Refuses what the command line would refuse too: values out of bounds, values that contradict
    /// each other, routes to a handler that is not among `known_handlers`.
    ///
    /// # Errors
    ///
    /// Every problem found, each with the name of its flag.
    pub fn check(&self, known_handlers: &[&str]) -> Result<(), ConfigErrors> {
        let mut problems = Vec::new();
        let sources = check::Sources::of_a_program();
        check::bounds(self, &sources, &mut problems);
        check::contradictions(self, &sources, known_handlers, &mut problems);
        ConfigErrors::unless_empty(problems)
    }
}

impl Default for Config {
    fn default() -> Self {
        let mut problems = Vec::new();
        let config = high::resolve(&Low::of_defaults(), &BUILT_IN_HANDLERS, &mut problems);
        debug_assert_eq!(problems, [], "a default is refused");
        config
    }
}

/// Deadlines and bounds of connections. SIGHUP can change all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// From accept to the end of the upgrade. Above zero.
    pub handshake_timeout: Duration,
    /// Silence before a ping; `None` when off. At least 100 ms.
    pub ping_interval: Option<Duration>,
    /// From a ping to the verdict that the peer is dead; `None` when off. At most `ping_interval`.
    pub pong_timeout: Option<Duration>,
    /// From the last data message to the close; `None` when off.
    pub idle_timeout: Option<Duration>,
    /// From the first byte of an unfinished message to the close, before the second that each
    /// 4 KiB add. Above zero.
    pub message_timeout: Duration,
    /// Age of the oldest unsent byte beyond which a peer is a slow consumer. Above zero.
    pub write_timeout: Duration,
    /// From our close frame to the end of the wait for the peer's. Above zero.
    pub close_timeout: Duration,
    /// From accept to the close, before a jitter of a tenth; `None` when off.
    pub max_lifetime: Option<Duration>,
    /// Bytes of the longest inbound message, 1 to 2^30.
    pub max_message_size: usize,
    /// Bytes that one connection may hold unsent, 1 to 2^30; an empty outbox takes one message of
    /// any legal size.
    pub outbox_limit: usize,
    /// Bytes that all connections together may hold unsent, a shared frame counted once. At least
    /// `outbox_limit`.
    pub outbox_budget: u64,
    /// Bytes that all connections together may hold of unfinished heads, frames and messages. At
    /// least `max_message_size`.
    pub inbox_budget: u64,
    /// What happens to a connection whose outbox is full.
    pub slow_consumer: SlowConsumer,
    /// Inbound messages of one connection; `None` when unlimited.
    pub message_rate: Option<Rate>,
    /// What happens to a connection that is beyond its rate.
    pub message_rate_policy: RatePolicy,
    /// Inbound messages of the whole process; `None` when unlimited.
    pub message_rate_total: Option<Rate>,
}

/// The documented defaults.
impl Default for Limits {
    fn default() -> Self {
        Config::default().limits
    }
}

/// The documented defaults.
impl Default for Admission {
    fn default() -> Self {
        Config::default().admission
    }
}

/// The documented defaults.
impl Default for Compression {
    fn default() -> Self {
        Config::default().compression
    }
}

/// How the server goes away. SIGHUP can change both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long new connections are still served once `/readyz` has turned 503.
    pub delay: Duration,
    /// Over how long the connections are then closed; zero closes all of them at once.
    pub window: Duration,
}

/// The documented defaults.
impl Default for Drain {
    fn default() -> Self {
        Config::default().drain
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A level or a filter in `env_logger`'s language, such as `info,pulsewheel::reactor=debug`.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The documented defaults.
impl Default for LogSettings {
    fn default() -> Self {
        Config::default().log
    }
}

/// A path and what is served there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The request's path without its query; begins with `/`.
    pub path: String,
    /// The name that the handler was registered under.
    pub handler: String,
    /// Subprotocols that the server offers to select here, the preferred one first; each is a
    /// token of RFC 9110, section 5.6.2.
    pub subprotocols: Vec<String>,
}

/// Writes `PATH=HANDLER`, and the subprotocols in parentheses where there are any.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.path, self.handler)?;
        if !self.subprotocols.is_empty() {
            write!(f, " ({})", self.subprotocols.join(", "))?;
        }
        Ok(())
    }
}

/// What happens to a connection whose outbox is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowConsumer {
    /// Reset it at once: it would not read a close frame either.
    Close,
    /// Drop its oldest queued frame that has not begun to leave.
    DropOldest,
    /// Drop the frame that found no room.
    DropNewest,
}

/// What happens to a connection that sends more messages than its rate allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatePolicy {
    /// Stop reading from it until tokens return.
    Pause,
    /// Close it with 1008.
    Close,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level, target and message, for people.
    Text,
    /// One JSON object to a line, for machines.
    Json,
}

/// A value that is one of a few words.
pub(super) trait Choice: Copy + PartialEq + 'static {
    /// Each word and its meaning.
    const WORDS: &'static [(&'static str, Self)];

    /// Reads one of the words.
    fn parse(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        if let Some((_, choice)) = Self::WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(*choice);
        }
        let words = || Self::WORDS.iter().map(|(word, _)| *word);
        Err(match nearest(text, words()) {
            Some(word) => Refusal::new(
                format!("{} is unknown", quoted(text)),
                format!("did you mean {word}?"),
            ),
            None => Refusal::new(
                format!("{} is unknown", quoted(text)),
                format!("write one of {}", words().collect::<Vec<_>>().join(", ")),
            ),
        })
    }

    /// The word for this choice.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, choice)| *choice == self).map_or("", |(word, _)| word)
    }
}

impl Choice for SlowConsumer {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("close", Self::Close),
        ("drop-oldest", Self::DropOldest),
        ("drop-newest", Self::DropNewest),
    ];
}

impl Choice for RatePolicy {
    const WORDS: &'static [(&'static str, Self)] =
        &[("pause", Self::Pause), ("close", Self::Close)];
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

/// Switches are words too: outside TOML there is no boolean to write.
impl Choice for bool {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("true", true),
        ("false", false),
        ("on", true),
        ("off", false),
        ("yes", true),
        ("no", false),
        ("1", true),
        ("0", false),
    ];
}
