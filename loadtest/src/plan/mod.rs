//! What a run is going to do: the command line resolved against this machine, once.
//! Not the flags as typed (`args`), nor the doing (`conductor`, `generator`).

mod resolve;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::args::{Backoff, Drop, Load, Match, Output, Over};
use crate::dist::Dist;
use crate::error::Failure;
use crate::generator::zombies::Crowd;
use crate::script::{Act, Scene};
use crate::sources::Sources;
use crate::target::{Scheme, Target};
use crate::threshold::Threshold;
use crate::wire::payload::Payloads;

/// Descriptors of a table that are not for connections: standard streams, polls, timers.
const RESERVED_DESCRIPTORS: u64 = 32;

/// What the messages of a run mean to their receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Each connection gets its own messages back, in order.
    Echo,
    /// Each connection gets the messages of all publishers.
    FanOut {
        /// How many connections publish: those with the lowest numbers.
        publishers: u32,
    },
    /// Nothing but pings and pongs.
    Heartbeats,
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

/// How connections of [`crate::script::Act::Mixed`] behave; each a distribution to draw from.
#[derive(Clone, Copy, Debug)]
pub struct Patterns {
    /// Messages of a burst.
    pub burst: Dist,
    /// Time between them.
    pub gap: Dist,
    /// Time between bursts.
    pub pause: Dist,
    /// How long a connection stays.
    pub life: Dist,
    /// How long it stays away.
    pub away: Dist,
}

/// What a search looks for.
#[derive(Clone, Debug)]
pub struct Quest {
    /// What is varied.
    pub over: Over,
    /// What must hold.
    pub keep: Vec<Threshold>,
    /// The first load to try.
    pub start: f64,
    /// The largest.
    pub most: f64,
    /// How near the answer must be, as a part of it.
    pub precision: f64,
    /// How often a load must fail to count as too much.
    pub tries: u32,
    /// Messages a second where connections are looked for.
    pub rate: f64,
    /// Length of a step's warm-up.
    pub warmup: Duration,
    /// Length of a step's measurement.
    pub duration: Duration,
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
    /// Sent by each connection when it has opened.
    pub subscribe: Vec<String>,
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
    /// What the messages are.
    pub payloads: Arc<Payloads>,
    /// How an answer is recognised.
    pub matching: Match,
    /// Large messages, where the script has any.
    pub bulk: Option<Bulk>,
    /// When lost connections come back.
    pub backoff: Backoff,
    /// How a herd drops its connections.
    pub drop: Drop,
    /// Peers that go wrong, where the script has any.
    pub zombies: Option<Crowd>,
    /// How mixed connections behave, where the script has any.
    pub patterns: Option<Patterns>,
    /// Connections that ping the server while all are held.
    pub probes: usize,
    /// The server's ping interval, as far as the operator has said.
    pub ping_interval: Duration,
    /// What is searched for, where the script leaves steps open.
    pub quest: Option<Quest>,
    /// Makes contents and draws repeatable.
    pub seed: u64,
    /// The process whose accounts are read.
    pub server_pid: Option<i32>,
    /// How to report.
    pub output: Output,
    /// Where to write the page with plots.
    pub report: Option<PathBuf>,
    /// What has to hold of the numbers.
    pub thresholds: Vec<Threshold>,
    /// Whether to be silent meanwhile.
    pub quiet: bool,
    /// What is done, in order.
    pub script: Vec<Scene>,
}

impl Plan {
    /// How many of `connections` thread `thread` has; their numbers are `thread`,
    /// `thread + threads`, and so on.
    pub fn share(&self, connections: usize, thread: usize) -> usize {
        share(connections, self.threads, thread)
    }

    /// Whether frames that come in are masked: a plain TCP echo returns what was sent.
    pub fn masked_answers(&self) -> bool {
        self.is_plain_tcp() && self.traffic == Traffic::Echo
    }

    /// Whether messages go out when they are due, so that latency counts from then.
    pub fn is_open_loop(&self) -> bool {
        let by_the_clock = |scene: &Scene| matches!(scene.act, Act::Rate | Act::Mixed);
        self.quest.is_some() || self.script.iter().any(by_the_clock)
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

/// How many threads, and whether each needs a descriptor table of its own.
fn threads(load: &Load, connections: usize, limit: u64) -> Result<(usize, bool), Failure> {
    let room = usize::try_from(limit.saturating_sub(RESERVED_DESCRIPTORS)).unwrap_or(usize::MAX);
    let enough = connections.div_ceil(room.max(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let usual = if load.pin.is_empty() { (cores / 2).max(1) } else { load.pin.len() };
    let threads = match load.threads {
        Some(threads) if (threads as usize) < enough => {
            let threads = threads as usize;
            return Err(Failure::Descriptors { wanted: connections, threads, limit, enough });
        }
        Some(threads) => threads as usize,
        None => usual.max(enough).min(connections),
    };
    // In one table each thread has its poll and its timer there, too.
    let crowded = connections + 2 * threads > room;
    Ok((threads, enough > 1 || crowded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{CommandLine, Scenario};
    use clap::Parser;

    fn load(flags: &str) -> Load {
        let line = format!("x idle --url ws://127.0.0.1:1/ {flags}");
        match CommandLine::try_parse_from(line.split_whitespace()).expect("good").scenario {
            Scenario::Idle(idle) => idle.load,
            _ => unreachable!("it was idle"),
        }
    }

    #[test]
    fn threads_follow_the_descriptor_limit() {
        let threads = |flags: &str| {
            let load = load(flags);
            super::threads(&load, load.connections, 20_000)
        };
        assert_eq!(threads("-c 50000 --pin 1").expect("fits"), (3, true));
        assert_eq!(threads("-c 10000 --pin 1").expect("fits"), (1, false));
        assert_eq!(threads("-c 1000000 --threads 56").expect("fits"), (56, true));
        let failure = threads("-c 50000 --threads 2").expect_err("too few");
        assert!(failure.to_string().contains("--threads 3"), "{failure}");
    }

    #[test]
    fn shares_add_up() {
        for (whole, threads) in [(10, 3), (1, 4), (50_000, 7)] {
            let sum: usize = (0..threads).map(|thread| share(whole, threads, thread)).sum();
            assert_eq!(sum, whole);
        }
    }

    fn resolve(line: &str) -> Result<Plan, Failure> {
        let line = CommandLine::try_parse_from(line.split(' ')).expect("well-formed");
        Plan::resolve(line)
    }

    #[test]
    fn contradictions_are_told() {
        for wrong in [
            "broadcast --url ws://127.0.0.1:1/ --size 8",
            "broadcast --url ws://127.0.0.1:1/ --size 8-100",
            "broadcast --url ws://127.0.0.1:1/ --rate 0",
            "broadcast --url ws://127.0.0.1:1/ --message hello",
            "broadcast --url ws://127.0.0.1:1/ --message hello --match any --publishers 2",
            "rate --url ws://127.0.0.1:1/ --rate 0",
            "rate --url ws://127.0.0.1:1/ --message hello --match stamp",
            "echo --url ws://127.0.0.1:1/ -c 0",
            "echo --url ws://127.0.0.1:1/ --connect-rate=-5",
            "herd --url ws://127.0.0.1:1/ --jitter 2",
            "idle --url tcp://127.0.0.1:1 --final-echo",
            "zombies --url tcp://127.0.0.1:1",
            "zombies --url ws://127.0.0.1:1/ --zombies 0",
            "search --url ws://127.0.0.1:1/ --keep p99<5ms --precision 0",
            "search --url ws://127.0.0.1:1/ --keep p99<5ms --start 50 --most 10",
            "search --url ws://127.0.0.1:1/ --keep p99<5ms --most nan",
            "search --url ws://127.0.0.1:1/ --keep connect_p99<5ms",
            "search --url ws://127.0.0.1:1/ --keep rss_bytes<16MiB",
            "zombies --url ws://127.0.0.1:1/ --connect-rate 1e-20",
            "zombies --url ws://127.0.0.1:1/ --drip 5ms",
            "lifecycle --url ws://127.0.0.1:1/ --fragment 0",
            "echo --url ws://127.0.0.1:1/ --insecure",
            "echo --url ws://127.0.0.1:1/ --header Upgrade:x",
            "echo --url tcp://127.0.0.1:1 --subprotocol chat",
        ] {
            let failure = resolve(&format!("x {wrong}")).expect_err(wrong);
            assert!(matches!(failure, Failure::Usage(_)), "{wrong}: {failure}");
        }
    }

    #[test]
    fn subscribing_makes_stamps_the_way_to_tell_messages() {
        let line = "x broadcast --url ws://127.0.0.1:1/ --subscribe s --message <{stamp}>";
        assert_eq!(resolve(line).expect("good").matching, Match::Stamp);
        let line = "x echo --url ws://127.0.0.1:1/";
        assert_eq!(resolve(line).expect("good").matching, Match::Exact);
    }
}
