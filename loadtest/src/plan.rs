//! What a run is going to do: the command line resolved against this machine, once.
//! Not the flags as typed (`args`), nor the doing (`conductor`, `generator`).

use std::time::Duration;

use crate::args::{CommandLine, Load, Message, Output, Scenario};
use crate::error::Failure;
use crate::generator::zombies::{Crowd, Flags};
use crate::script::{self, Idle, Scene};
use crate::sources::Sources;
use crate::sys;
use crate::target::{Scheme, Target};
use crate::wire::payload::STAMP_DIGITS;

/// Descriptors of a table that are not for connections: standard streams, polls, timers.
const RESERVED_DESCRIPTORS: u64 = 32;

/// What the messages of a run mean to their receivers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Traffic {
    /// Each connection gets its own messages back, in order.
    Echo,
    /// Each connection gets the messages of all publishers.
    FanOut {
        /// How many connections publish: those with the lowest numbers.
        publishers: u32,
        /// Messages a second, all together.
        rate: f64,
    },
}

/// Large messages, as [`crate::script::Act::Bulk`] sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bulk {
    /// How many connections send one.
    pub connections: usize,
    /// How many of them at a time.
    pub at_a_time: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Bytes of each of its fragments.
    pub fragment: usize,
}

/// A run, resolved.
#[derive(Debug)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: &'static str,
    /// Where to.
    pub target: Target,
    /// How many connections.
    pub connections: usize,
    /// Connections opened a second, at most.
    pub connect_rate: Option<f64>,
    /// Give up on a connection that is not open after so long.
    pub connect_timeout: Duration,
    /// Generator threads.
    pub threads: usize,
    /// Whether each thread needs a descriptor table of its own.
    pub private_tables: bool,
    /// Cores to pin the threads to, in turn; empty for none.
    pub pin: Vec<usize>,
    /// Local addresses.
    pub sources: Sources,
    /// What messages mean to their receivers.
    pub traffic: Traffic,
    /// Messages in flight on each connection, in closed loops.
    pub pipeline: u32,
    /// Bytes of a message.
    pub size: usize,
    /// Text or binary.
    pub text: bool,
    /// Large messages, where the script has any.
    pub bulk: Option<Bulk>,
    /// Peers that go wrong, where the script has any.
    pub zombies: Option<Crowd>,
    /// Makes contents repeatable.
    pub seed: u64,
    /// The process whose accounts are read.
    pub server_pid: Option<i32>,
    /// How to report.
    pub output: Output,
    /// Whether to be silent meanwhile.
    pub quiet: bool,
    /// What is done, in order.
    pub script: Vec<Scene>,
}

impl Plan {
    /// Resolves a command line.
    ///
    /// Fails with [`Failure::Usage`] where flags contradict, and with the limit's own variant where
    /// this machine lacks descriptors or ports for what is asked.
    pub fn resolve(line: CommandLine) -> Result<Plan, Failure> {
        let word = Message { size: 20, text: true, binary: false };
        match line.scenario {
            Scenario::Echo { load, message, pipeline } => {
                let script = script::echo(load.warmup, load.duration);
                Ok(Plan { pipeline, ..Plan::base("echo", load, message, script)? })
            }
            Scenario::Idle { load, final_echo, speak_then_hold, mute } => {
                let idle = Idle { speak_then_hold, final_echo, mute };
                let script = script::idle(load.warmup, load.duration, idle);
                Plan::base("idle", load, word, script)
            }
            Scenario::Broadcast { load, message, publishers, rate } => {
                let publishers = publishers.min(load.connections as u32);
                if message.size < STAMP_DIGITS {
                    let least = format!("broadcast needs --size {STAMP_DIGITS} or more");
                    return Err(Failure::Usage(least));
                }
                positive("--rate", rate)?;
                let script = script::broadcast(load.warmup, load.duration);
                let base = Plan::base("broadcast", load, message, script)?;
                Ok(Plan { traffic: Traffic::FanOut { publishers, rate }, ..base })
            }
            Scenario::Zombies { load, message, zombies } => {
                Plan::with_zombies(load, message, zombies)
            }
            Scenario::Lifecycle {
                load,
                pause,
                bulk,
                bulk_at_a_time,
                bulk_size,
                fragment,
                bulk_at_most,
            } => {
                if bulk_at_a_time == 0 || fragment == 0 || bulk_size == 0 {
                    let zero = "--bulk-at-a-time, --bulk-size and --fragment must be at least 1";
                    return Err(Failure::Usage(zero.to_owned()));
                }
                let script = script::lifecycle(load.duration, pause, bulk_at_most);
                let connections = bulk.min(load.connections);
                let bulk =
                    Bulk { connections, at_a_time: bulk_at_a_time, size: bulk_size, fragment };
                Ok(Plan { bulk: Some(bulk), ..Plan::base("lifecycle", load, word, script)? })
            }
        }
    }

    /// Zombies need descriptors and ports like the connections that behave.
    fn with_zombies(load: Load, message: Message, flags: Flags) -> Result<Plan, Failure> {
        let healthy = load.connections;
        let crowd = Crowd::resolve(flags, healthy)?;
        if healthy == 0 || healthy > 1 << 24 {
            return Err(Failure::Usage("--connections is 1 to 16777216".to_owned()));
        }
        if let Some(rate) = load.connect_rate {
            positive("--connect-rate", rate)?;
        }
        let others = crowd.count > crowd.resets();
        let longest = crowd.longest(load.connect_rate, load.connect_timeout);
        let script = script::zombies(load.warmup, crowd.resets() > 0, others, longest);
        let load = Load { connections: healthy + crowd.count, ..load };
        let base = Plan::base("zombies", load, message, script)?;
        if base.is_plain_tcp() {
            return Err(Failure::Usage("zombies need a WebSocket server: use ws://".to_owned()));
        }
        Ok(Plan { connections: healthy, zombies: Some(crowd), ..base })
    }

    fn base(
        scenario: &'static str,
        load: Load,
        message: Message,
        script: Vec<Scene>,
    ) -> Result<Plan, Failure> {
        if load.connections == 0 {
            return Err(Failure::Usage("--connections must be at least 1".to_owned()));
        }
        if load.connections > 1 << 24 {
            return Err(Failure::Usage("--connections is at most 16777216".to_owned()));
        }
        if load.duration.is_zero() {
            return Err(Failure::Usage("--duration must be longer than 0".to_owned()));
        }
        if let Some(rate) = load.connect_rate {
            positive("--connect-rate", rate)?;
        }
        let target = Target::parse(&load.url)?;
        let limit = sys::raise_descriptor_limit().map_err(Failure::system("RLIMIT_NOFILE"))?;
        let (threads, private_tables) = threads(&load, limit)?;
        let sources = Sources::resolve(&load.source_addr, &target, load.connections)?;
        Ok(Plan {
            scenario,
            target,
            connections: load.connections,
            connect_rate: load.connect_rate,
            connect_timeout: load.connect_timeout,
            threads,
            private_tables,
            pin: load.pin,
            sources,
            traffic: Traffic::Echo,
            pipeline: 1,
            size: message.size,
            text: !message.binary,
            bulk: None,
            zombies: None,
            seed: load.seed,
            server_pid: load.server_pid,
            output: load.output,
            quiet: load.quiet,
            script,
        })
    }

    /// How many of the connections thread `thread` has; their numbers are `thread`,
    /// `thread + threads`, and so on.
    pub fn share(&self, thread: usize) -> usize {
        share(self.connections, self.threads, thread)
    }

    /// Whether frames that come in are masked: a plain TCP echo returns what was sent.
    pub fn masked_answers(&self) -> bool {
        self.is_plain_tcp() && self.traffic == Traffic::Echo
    }

    /// Whether there is no upgrade and no closing handshake.
    pub fn is_plain_tcp(&self) -> bool {
        self.target.scheme == Scheme::PlainTcp
    }
}

/// The part of `whole` that falls to `thread` of `threads`; the parts add up.
pub fn share(whole: usize, threads: usize, thread: usize) -> usize {
    whole / threads + usize::from(thread < whole % threads)
}

fn positive(flag: &str, value: f64) -> Result<(), Failure> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(Failure::Usage(format!("{flag} must be greater than 0")))
    }
}

/// How many threads, and whether each needs a descriptor table of its own.
fn threads(load: &Load, limit: u64) -> Result<(usize, bool), Failure> {
    let room = usize::try_from(limit.saturating_sub(RESERVED_DESCRIPTORS)).unwrap_or(usize::MAX);
    let enough = load.connections.div_ceil(room.max(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let usual = if load.pin.is_empty() { (cores / 2).max(1) } else { load.pin.len() };
    let threads = match load.threads {
        Some(threads) if (threads as usize) < enough => {
            let threads = threads as usize;
            return Err(Failure::Descriptors { wanted: load.connections, threads, limit, enough });
        }
        Some(threads) => threads as usize,
        None => usual.max(enough).min(load.connections),
    };
    Ok((threads, enough > 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn load(flags: &str) -> Load {
        let line = format!("x idle --url ws://127.0.0.1:1/ {flags}");
        match CommandLine::try_parse_from(line.split_whitespace()).expect("good").scenario {
            Scenario::Idle { load, .. } => load,
            _ => unreachable!("it was idle"),
        }
    }

    #[test]
    fn threads_follow_the_descriptor_limit() {
        let (count, private) = threads(&load("-c 50000 --pin 1"), 20_000).expect("fits");
        assert_eq!((count, private), (3, true));
        let (count, private) = threads(&load("-c 10000 --pin 1"), 20_000).expect("fits");
        assert_eq!((count, private), (1, false));
        let (count, private) = threads(&load("-c 1000000 --threads 56"), 20_000).expect("fits");
        assert_eq!((count, private), (56, true));
        let failure = threads(&load("-c 50000 --threads 2"), 20_000).expect_err("too few");
        assert!(failure.to_string().contains("--threads 3"), "{failure}");
    }

    #[test]
    fn shares_add_up() {
        for (whole, threads) in [(10, 3), (1, 4), (50_000, 7)] {
            let sum: usize = (0..threads).map(|thread| share(whole, threads, thread)).sum();
            assert_eq!(sum, whole);
        }
    }

    #[test]
    fn contradictions_are_told() {
        for wrong in [
            "x broadcast --url ws://127.0.0.1:1/ --size 8",
            "x broadcast --url ws://127.0.0.1:1/ --rate 0",
            "x echo --url ws://127.0.0.1:1/ -c 0",
            "x echo --url ws://127.0.0.1:1/ --connect-rate -5",
            "x echo --url wss://127.0.0.1:1/",
            "x lifecycle --url ws://127.0.0.1:1/ --fragment 0",
            "x zombies --url tcp://127.0.0.1:1",
            "x zombies --url ws://127.0.0.1:1/ --zombies 0",
        ] {
            let line =
                CommandLine::try_parse_from(wrong.replace("-rate -5", "-rate=-5").split(' '));
            let failure = Plan::resolve(line.expect("well-formed")).expect_err(wrong);
            assert!(matches!(failure, Failure::Usage(_)), "{wrong}: {failure}");
        }
    }
}
