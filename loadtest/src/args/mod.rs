//! The command line as it is typed.
//! Not what it means: `plan` resolves it once, and nothing later looks here.

mod scenario;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};

use crate::dist::{self, Dist};
use crate::threshold::Threshold;
use crate::units;

pub use scenario::{
    Backoff, Broadcast, Connect, Drop, Echo, Herd, Idle, Lifecycle, Mixed, Over, Rate, Scenario,
    Search, Zombies,
};

/// Drives a WebSocket server with very many connections and measures it.
#[derive(Debug, Parser)]
#[command(name = "pulsewheel-loadtest", version, max_term_width = 100)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub scenario: Scenario,
}

/// Flags that every scenario takes.
#[derive(Args, Debug)]
pub struct Load {
    /// ws://HOST:PORT/PATH or wss://..., or tcp://HOST:PORT for the same bytes without an upgrade
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// How the connections are encrypted.
    #[command(flatten)]
    pub security: Security,
    /// What the upgrade request says.
    #[command(flatten)]
    pub upgrade: Upgrade,
    /// How many connections
    #[arg(long, short = 'c', default_value_t = 64, value_name = "N")]
    pub connections: usize,
    /// Connections opened a second, at most
    #[arg(long, value_name = "R")]
    pub connect_rate: Option<f64>,
    /// Open the connections evenly over so long, instead of at a --connect-rate
    #[arg(long, value_name = "TIME", value_parser = units::duration, conflicts_with = "connect_rate")]
    pub ramp: Option<Duration>,
    /// Give up on a connection that is not open after so long
    #[arg(long, default_value = "20s", value_name = "TIME", value_parser = units::duration)]
    pub connect_timeout: Duration,
    /// Send this, as text, when a connection has opened (a subscription, a login); repeatable.
    /// Messages are then told by the stamp they carry, and others, such as the answer to this, pass
    #[arg(long, value_name = "MESSAGE")]
    pub subscribe: Vec<String>,
    /// Time before the measurement, under the same load
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = units::duration)]
    pub warmup: Duration,
    /// Length of the measurement
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = units::duration)]
    pub duration: Duration,
    /// Generator threads [default: one for each pinned core, or half the cores; more where one
    /// descriptor table can't hold the connections]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// Connect from these addresses: A, A-B or A,B (repeatable) [default: chosen by itself]
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub source_addr: Vec<String>,
    /// Read CPU time, memory and threads of this process
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<i32>,
    /// Pin the generator threads to these cores, in turn
    #[arg(long, value_name = "CORE,..", value_delimiter = ',')]
    pub pin: Vec<usize>,
    /// How to report, on standard output
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Write a page with plots, which needs no network
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Exit with 3 where this holds, or is not measured: METRIC OP VALUE, such as 'p99>5ms'
    /// (repeatable; of several joined with `,` or `and`, each counts by itself)
    #[arg(long, value_name = "CONDITION", value_parser = Threshold::parse)]
    pub fail_if: Vec<Vec<Threshold>>,
    /// Say nothing while running
    #[arg(long, short = 'q')]
    pub quiet: bool,
    /// Makes contents, sizes, pauses and masking keys repeatable
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

/// Whether and how the connections are encrypted.
#[derive(Args, Clone, Debug, Default)]
pub struct Security {
    /// Use TLS where the URL says ws:// or tcp:// (wss:// always does)
    #[arg(long)]
    pub tls: bool,
    /// Take any certificate, whoever shows it
    #[arg(long, conflicts_with = "tls_ca")]
    pub insecure: bool,
    /// Trust the certificates in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
}

/// What the upgrade request says beside what it must.
#[derive(Args, Clone, Debug, Default)]
pub struct Upgrade {
    /// Send this header with every upgrade request (repeatable)
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// Offer this subprotocol (repeatable, the preferred first); a server that selects none of
    /// those offered counts as refusing
    #[arg(long, value_name = "NAME")]
    pub subprotocol: Vec<String>,
}

/// What the messages are.
#[derive(Args, Clone, Debug)]
pub struct Message {
    /// Size of a message: SIZE, A-B, exp:MEAN or lognormal:MEDIAN,SIGMA, also with ,most=SIZE
    #[arg(long, default_value = "20", value_name = "DIST", value_parser = dist::sizes)]
    pub size: Dist,
    /// Send text (the default)
    #[arg(long, conflicts_with = "binary")]
    pub text: bool,
    /// Send binary
    #[arg(long)]
    pub binary: bool,
    /// Send this instead of messages of the generator's own: text with {stamp}, {connection},
    /// {sequence}, {random:N}, {filler:N}, or {filler} for as much as --size leaves
    #[arg(long, value_name = "TEMPLATE")]
    pub message: Option<String>,
    /// How a message that comes is told to be the one awaited [default: stamp with --subscribe,
    /// else exact]
    #[arg(long, value_enum, value_name = "HOW")]
    pub r#match: Option<Match>,
}

/// How an answer is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Match {
    /// It is, byte for byte, what was sent.
    Exact,
    /// It carries the stamp that was sent; messages without one are ignored.
    Stamp,
    /// Any message is the answer to the oldest one without.
    Any,
}

/// How to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table to read.
    Text,
    /// One JSON document.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn flags_are_read_with_their_units() {
        let line = "x echo --url ws://h:1/ -c 1000 --size 16KiB --binary --pipeline 4 --pin 1,2 \
                    --duration 1m30s --output json";
        let line = CommandLine::try_parse_from(line.split_whitespace()).expect("good");
        let Scenario::Echo(Echo { load, message, pipeline }) = line.scenario else {
            panic!("echo")
        };
        assert_eq!((load.connections, load.pin, pipeline), (1000, vec![1, 2], 4));
        assert_eq!((message.size.only(), message.binary), (Some(16_384.0), true));
        assert_eq!(load.duration, Duration::from_secs(90));
        assert_eq!(load.output, Output::Json);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for wrong in [
            "x",
            "x echo",
            "x echo --url ws://h:1/ --pipeline 0",
            "x echo --url ws://h:1/ --text --binary",
            "x echo --url ws://h:1/ --duration ten",
            "x echo --url ws://h:1/ --size 9-3",
            "x idle --url ws://h:1/ --size 5",
            "x idle --url ws://h:1/ --ramp 5s --connect-rate 10",
            "x search --url ws://h:1/",
            "x mixed --url ws://h:1/ --pause lognormal:1s",
            "x dance --url ws://h:1/",
        ] {
            assert!(CommandLine::try_parse_from(wrong.split_whitespace()).is_err(), "{wrong}");
        }
    }
}
