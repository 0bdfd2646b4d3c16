//! The command line as it is typed.
//! Not what it means: `plan` resolves it once, and nothing later looks here.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::generator::zombies;
use crate::units;

/// Drives a WebSocket server with very many connections and measures it.
#[derive(Debug, Parser)]
#[command(name = "pulsewheel-loadtest", version, max_term_width = 100)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub scenario: Scenario,
}

/// The scenarios and their own flags.
#[derive(Debug, Subcommand)]
pub enum Scenario {
    /// Closed loop: every connection sends, waits for its own message back, and sends the next
    Echo {
        /// Flags of every scenario.
        #[command(flatten)]
        load: Load,
        /// What is sent.
        #[command(flatten)]
        message: Message,
        /// Messages in flight on each connection
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
        pipeline: u32,
    },
    /// Hold connections that say nothing; count pings, closings, and the server's memory
    Idle {
        /// Flags of every scenario.
        #[command(flatten)]
        load: Load,
        /// At the end let every connection echo one message, to prove that it lives
        #[arg(long)]
        final_echo: bool,
        /// After the measurement let all echo a message at once, and hold them for so long again
        #[arg(long, value_name = "TIME", value_parser = units::duration)]
        speak_then_hold: Option<Duration>,
        /// Let all echo a message at once, then answer no ping: how soon does the server hang up?
        #[arg(long, conflicts_with_all = ["final_echo", "speak_then_hold"])]
        mute: bool,
    },
    /// A few connections publish, all receive (--connections counts both)
    Broadcast {
        /// Flags of every scenario.
        #[command(flatten)]
        load: Load,
        /// What is sent.
        #[command(flatten)]
        message: Message,
        /// How many of the connections publish
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
        publishers: u32,
        /// Messages a second, all publishers together; latency counts from the intended time
        #[arg(long, default_value_t = 20.0, value_name = "R")]
        rate: f64,
    },
    /// Peers that go wrong beside an echo in a closed loop: how soon does the server notice each?
    /// (--duration does not apply: it ends when all are noticed, or watched long enough)
    Zombies {
        /// Flags of every scenario.
        #[command(flatten)]
        load: Load,
        /// What is sent by the connections that behave.
        #[command(flatten)]
        message: Message,
        /// What goes wrong, and by when the server claims to notice.
        #[command(flatten)]
        zombies: zombies::Flags,
    },
    /// Open, idle, echo, large messages, close, others come: the server's memory after each
    Lifecycle {
        /// Flags of every scenario.
        #[command(flatten)]
        load: Load,
        /// How long to rest before each look at the server's memory
        #[arg(long, default_value = "2s", value_name = "TIME", value_parser = units::duration)]
        pause: Duration,
        /// How many of the connections send a large message
        #[arg(long, default_value_t = 2_000, value_name = "N")]
        bulk: usize,
        /// How many of those at a time
        #[arg(long, default_value_t = 128, value_name = "N")]
        bulk_at_a_time: usize,
        /// How large it is
        #[arg(long, default_value = "1MiB", value_name = "SIZE", value_parser = units::size)]
        bulk_size: usize,
        /// The size of its fragments
        #[arg(long, default_value = "16KiB", value_name = "SIZE", value_parser = units::size)]
        fragment: usize,
        /// For how long to try
        #[arg(long, default_value = "5m", value_name = "TIME", value_parser = units::duration)]
        bulk_at_most: Duration,
    },
}

/// Flags that every scenario takes.
#[derive(Args, Debug)]
pub struct Load {
    /// ws://HOST:PORT/PATH, or tcp://HOST:PORT for the same bytes without an upgrade
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// How many connections
    #[arg(long, short = 'c', default_value_t = 64, value_name = "N")]
    pub connections: usize,
    /// Connections opened a second, at most
    #[arg(long, value_name = "R")]
    pub connect_rate: Option<f64>,
    /// Give up on a connection that is not open after so long
    #[arg(long, default_value = "20s", value_name = "TIME", value_parser = units::duration)]
    pub connect_timeout: Duration,
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
    /// Say nothing while running
    #[arg(long, short = 'q')]
    pub quiet: bool,
    /// Makes contents and masking keys repeatable
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

/// What the messages are.
#[derive(Args, Clone, Copy, Debug)]
pub struct Message {
    /// Size of a message
    #[arg(long, default_value = "20", value_name = "SIZE", value_parser = units::size)]
    pub size: usize,
    /// Send text (the default)
    #[arg(long, conflicts_with = "binary")]
    pub text: bool,
    /// Send binary
    #[arg(long)]
    pub binary: bool,
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
        let Scenario::Echo { load, message, pipeline } = line.scenario else { panic!("echo") };
        assert_eq!((load.connections, load.pin, pipeline), (1000, vec![1, 2], 4));
        assert_eq!((message.size, message.binary), (16_384, true));
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
            "x idle --url ws://h:1/ --size 5",
            "x dance --url ws://h:1/",
        ] {
            assert!(CommandLine::try_parse_from(wrong.split_whitespace()).is_err(), "{wrong}");
        }
    }
}
