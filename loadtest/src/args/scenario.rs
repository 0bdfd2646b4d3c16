//! The scenarios and the flags that each has for itself.
//! Not the flags that all share; those are in the parent.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{Load, Message};
use crate::dist::{self, Dist};
use crate::generator::zombies;
use crate::threshold::Threshold;
use crate::units;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Scenario {
    /// Closed loop: every connection sends, waits for its own message back, and sends the next
    Echo(Echo),
    /// Open loop: messages go out when they are due, whatever the server does; latency counts from
    /// the time each was due (no coordinated omission)
    Rate(Rate),
    /// Hold connections that say nothing; pings, closings, the server's memory and CPU
    Idle(Idle),
    /// A few connections publish, all receive (--connections counts both)
    Broadcast(Broadcast),
    /// Open connections as fast as the server takes them, or with --churn come and go all the time
    Connect(Connect),
    /// All connections drop at once and come back as clients do, with backoff and jitter
    Herd(Herd),
    /// Peers that go wrong beside an open loop of those that behave: how soon does the server notice
    /// each kind? It ends when all are noticed, or watched long enough
    #[command(mut_arg("duration", zombies::without_duration))]
    Zombies(Zombies),
    /// Find the highest rate, or the most connections, at which what --keep says still holds
    Search(Search),
    /// Random patterns: sizes, bursts, pauses and lives drawn from distributions
    Mixed(Mixed),
    /// Open, idle, echo, large messages, close, others come: the server's memory after each
    Lifecycle(Lifecycle),
}

/// See [`Scenario::Echo`].
#[derive(Args, Debug)]
pub struct Echo {
    /// Flags of every scenario.
    #[command(flatten)]
    pub load: Load,
    /// What is sent.
    #[command(flatten)]
    pub message: Message,
    /// Messages in flight on each connection
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub pipeline: u32,
}

/// See [`Scenario::Rate`].
#[derive(Args, Debug)]
pub struct Rate {
    /// Flags of every scenario.
    #[command(flatten)]
    pub load: Load,
    /// What is sent.
    #[command(flatten)]
    pub message: Message,
    /// Messages a second, all connections together
    #[arg(long, default_value_t = 1_000.0, value_name = "R")]
    pub rate: f64,
}

/// See [`Scenario::Idle`].
#[derive(Args, Debug)]
pub struct Idle {
    /// Flags of every scenario.
    #[command(flatten)]
    pub load: Load,
    /// How many of the connections ping the server once a second, for heartbeat round trips
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub probes: usize,
    /// The server's ping interval: the slices of the report's heartbeat histogram are parts of it
    #[arg(long, default_value = "25s", value_name = "TIME", value_parser = units::duration)]
    pub ping_interval: Duration,
    /// At the end let every connection echo one message, to prove that it lives
    #[arg(long)]
    pub final_echo: bool,
    /// After the measurement let all echo a message at once, and hold them for so long again
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub speak_then_hold: Option<Duration>,
    /// Let all echo a message at once, then answer no ping: how soon does the server hang up?
    #[arg(long, conflicts_with_all = ["final_echo", "speak_then_hold"])]
    pub mute: bool,
}

/// See [`Scenario::Broadcast`].
#[derive(Args, Debug)]
pub struct Broadcast {
    /// Flags of every scenario.
    #[command(flatten)]
    pub load: Load,
    /// What is sent.
    #[command(flatten)]
    pub message: Message,
    /// How many of the connections publish
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub publishers: u32,
    /// Messages a second, all publishers together; latency counts from the intended time
    #[arg(long, default_value_t = 20.0, value_name = "R")]
    pub rate: f64,
}

/// See [`Scenario::Connect`].
#[derive(Args, Debug)]
pub struct Connect {
    /// Flags of every scenario.
    #[command(flatten)]
    pub load: Load,
    /// What each connection says, with --churn.
    #[command(flatten)]
    pub message: Message,
    /// For the whole run: connect, echo one message, close, and again; --connections at a time
    #[arg(long)]
    pub churn: bool,
}

/// See [`Scenario::Herd`].
#[derive(Args, Debug)]
pub struct Herd {
    /// Flags of every scenario.
    #[command(flatten)]
    pub load: Load,
    /// How they go
    #[arg(long, value_enum, default_value_t = Drop::Reset)]
    pub drop: Drop,
    /// When they come back.
    #[command(flatten)]
    pub backoff: Backoff,
}

/// How connections of a herd go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Drop {
    /// With a reset, as when a process or a proxy dies.
    Reset,
    /// With a FIN, as when a tab is closed.
    Fin,
}

/// When a client that lost its connection, or was refused, tries again.
#[derive(Args, Clone, Copy, Debug)]
pub struct Backoff {
    /// First pause before a client connects again; it doubles with each failure
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = units::duration)]
    pub backoff: Duration,
    /// Longest pause
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = units::duration)]
    pub backoff_max: Duration,
    /// How much of a pause is random, from 0 (all at the same time) to 1 (anywhere within it)
    #[arg(long, default_value_t = 1.0, value_name = "PART")]
    pub jitter: f64,
    /// Wait at least as long as a refusal's Retry-After says
    #[arg(long)]
    pub heed_retry_after: bool,
}

/// See [`Scenario::Zombies`].
#[derive(Args, Debug)]
pub struct Zombies {
    /// Flags of every scenario.
    #[command(flatten)]
    pub load: Load,
    /// What is sent by the connections that behave.
    #[command(flatten)]
    pub message: Message,
    /// Messages a second of those that behave, all together
    #[arg(long, default_value_t = 1_000.0, value_name = "R")]
    pub rate: f64,
    /// What goes wrong, and by when the server claims to notice.
    #[command(flatten)]
    pub crowd: zombies::Flags,
}

/// See [`Scenario::Search`].
#[derive(Args, Debug)]
pub struct Search {
    /// Flags of every scenario; --warmup and --duration are those of each step.
    #[command(flatten)]
    pub load: Load,
    /// What is sent.
    #[command(flatten)]
    pub message: Message,
    /// What must hold, such as 'p99<5ms'
    #[arg(long, value_name = "CONDITION", required = true, value_parser = Threshold::parse)]
    pub keep: Vec<Vec<Threshold>>,
    /// What is looked for
    #[arg(long, value_enum, default_value_t = Over::Rate)]
    pub over: Over,
    /// Where to begin: messages a second, or connections [default: 1000]
    #[arg(long, value_name = "N")]
    pub start: Option<f64>,
    /// Where to end at the latest [default: 10 million a second; or --connections]
    #[arg(long, value_name = "N")]
    pub most: Option<f64>,
    /// How near the answer must be
    #[arg(long, default_value_t = 0.03, value_name = "PART")]
    pub precision: f64,
    /// Messages a second, all connections together, where connections are looked for
    #[arg(long, default_value_t = 1_000.0, value_name = "R")]
    pub rate: f64,
    /// How often a step must fail before it counts as too much
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10))]
    pub tries: u32,
}

/// What a search varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Over {
    /// Messages a second, with all connections open.
    Rate,
    /// Connections, at the rate that --rate says.
    Connections,
}

/// See [`Scenario::Mixed`].
#[derive(Args, Debug)]
pub struct Mixed {
    /// Flags of every scenario.
    #[command(flatten)]
    pub load: Load,
    /// What is sent.
    #[command(flatten)]
    pub message: Message,
    /// Messages in a burst: N, A-B, exp:MEAN or lognormal:MEDIAN,SIGMA
    #[arg(long, default_value = "1-5", value_name = "DIST", value_parser = dist::counts)]
    pub burst: Dist,
    /// Time between the messages of a burst: TIME, A-B, exp:MEAN or lognormal:MEDIAN,SIGMA
    #[arg(long, default_value = "exp:50ms", value_name = "DIST", value_parser = dist::times)]
    pub gap: Dist,
    /// Time between bursts
    #[arg(long, default_value = "lognormal:1s,1", value_name = "DIST", value_parser = dist::times)]
    pub pause: Dist,
    /// How long a connection stays
    #[arg(long, default_value = "exp:20s", value_name = "DIST", value_parser = dist::times)]
    pub life: Dist,
    /// How long it stays away
    #[arg(long, default_value = "exp:2s", value_name = "DIST", value_parser = dist::times)]
    pub away: Dist,
}

/// See [`Scenario::Lifecycle`].
#[derive(Args, Debug)]
pub struct Lifecycle {
    /// Flags of every scenario.
    #[command(flatten)]
    pub load: Load,
    /// How long to rest before each look at the server's memory
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = units::duration)]
    pub pause: Duration,
    /// How many of the connections send a large message
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    pub bulk: usize,
    /// How many of those at a time
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub bulk_at_a_time: usize,
    /// How large it is
    #[arg(long, default_value = "1MiB", value_name = "SIZE", value_parser = units::size)]
    pub bulk_size: usize,
    /// The size of its fragments
    #[arg(long, default_value = "16KiB", value_name = "SIZE", value_parser = units::size)]
    pub fragment: usize,
    /// For how long to try
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = units::duration)]
    pub bulk_at_most: Duration,
}

impl Backoff {
    /// What the clients of scenarios do that have no flags for it.
    pub fn of_a_usual_client() -> Backoff {
        Backoff {
            backoff: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            jitter: 1.0,
            heed_retry_after: true,
        }
    }
}
