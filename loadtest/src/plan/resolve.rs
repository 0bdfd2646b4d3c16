//! From flags to a plan: defaults that depend on others, and what contradicts.
//! Not the reading of single values; `args` has done that.

use std::sync::Arc;

use super::{Bulk, Patterns, Plan, Quest, Traffic, threads};
use crate::args::{
    Backoff, Broadcast, CommandLine, Connect, Drop, Echo, Herd, Idle, Lifecycle, Load, Match,
    Message, Mixed, Over, Rate, Scenario, Search, Zombies,
};
use crate::dist::Dist;
use crate::error::Failure;
use crate::generator::zombies::Crowd;
use crate::report;
use crate::script::{self, Act, Scene};
use crate::sources::Sources;
use crate::sys;
use crate::target::Target;
use crate::threshold::Threshold;
use crate::wire::payload::{Payloads, STAMP_DIGITS};
use crate::wire::template::Template;

/// Connections have 24 bits in a message's stamp.
const MOST_CONNECTIONS: usize = 1 << 24;

/// The highest rate that a search tries, unless told otherwise, in messages a second.
const MOST_RATE: f64 = 10_000_000.0;

/// Local ports that coming and going connections may have in use at a time: those they left stay
/// in TIME_WAIT for a minute.
const CHURN_PORTS: usize = 500_000;

impl Plan {
    /// Resolves a command line.
    ///
    /// Fails with [`Failure::Usage`] where flags contradict, and with the limit's own variant where
    /// this machine lacks descriptors or ports for what is asked.
    pub fn resolve(line: CommandLine) -> Result<Plan, Failure> {
        match line.scenario {
            Scenario::Echo(flags) => echo(flags),
            Scenario::Rate(flags) => rate(flags),
            Scenario::Idle(flags) => idle(flags),
            Scenario::Broadcast(flags) => broadcast(flags),
            Scenario::Connect(flags) => connect(flags),
            Scenario::Herd(flags) => herd(flags),
            Scenario::Search(flags) => search(flags),
            Scenario::Zombies(flags) => zombies(flags),
            Scenario::Mixed(flags) => mixed(flags),
            Scenario::Lifecycle(flags) => lifecycle(flags),
        }
    }

    fn base(
        scenario: &'static str,
        load: Load,
        message: &Message,
        script: Vec<Scene>,
    ) -> Result<Plan, Failure> {
        Plan::with_ports(scenario, load, message, script, 0)
    }

    /// As [`Plan::base`], with local ports for `ports` connections where those are more.
    fn with_ports(
        scenario: &'static str,
        load: Load,
        message: &Message,
        script: Vec<Scene>,
        ports: usize,
    ) -> Result<Plan, Failure> {
        check_load(&load)?;
        if let Some(path) = &load.report {
            report::html::check(path)?;
        }
        let target = Target::resolve(&load.url, &load.security, &load.upgrade)?;
        let limit = sys::raise_descriptor_limit().map_err(Failure::system("RLIMIT_NOFILE"))?;
        let (threads, private_tables) = threads(&load, load.connections, limit)?;
        let ports = ports.max(load.connections);
        let sources = Sources::resolve(&load.source_addr, &target, load.connections, ports)?;
        let usual = if load.subscribe.is_empty() { Match::Exact } else { Match::Stamp };
        let matching = message.r#match.unwrap_or(usual);
        let payloads = payloads(message, matching, load.seed)?;
        Ok(Plan {
            scenario,
            target,
            connections: load.connections,
            connect_rate: load.connect_rate.or(by_ramp(&load)),
            connect_timeout: load.connect_timeout,
            subscribe: load.subscribe,
            threads,
            private_tables,
            pin: load.pin,
            sources,
            traffic: Traffic::Echo,
            pipeline: 1,
            payloads: Arc::new(payloads),
            matching,
            bulk: None,
            backoff: Backoff::of_a_usual_client(),
            drop: Drop::Reset,
            zombies: None,
            patterns: None,
            probes: 0,
            ping_interval: std::time::Duration::from_secs(25),
            quest: None,
            seed: load.seed,
            server_pid: load.server_pid,
            output: load.output,
            report: load.report,
            thresholds: load.fail_if.into_iter().flatten().map(Threshold::opposite).collect(),
            quiet: load.quiet,
            script,
        })
    }
}

/// The message of scenarios that do not ask what it should be.
fn word() -> Message {
    Message { size: Dist::fixed(20.0), text: true, binary: false, message: None, r#match: None }
}

fn usage<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Usage(text.into()))
}

/// Things a second: no more than any machine does, and no fewer than one in eleven days.
fn positive(flag: &str, value: f64) -> Result<(), Failure> {
    if (1e-6..=1e9).contains(&value) {
        Ok(())
    } else {
        usage(format!("{flag} must be greater than 0, and is at most a billion"))
    }
}

fn check_load(load: &Load) -> Result<(), Failure> {
    if load.connections == 0 {
        return usage("--connections must be at least 1");
    }
    if load.connections > MOST_CONNECTIONS {
        return usage(format!("--connections is at most {MOST_CONNECTIONS}"));
    }
    if load.duration.is_zero() {
        return usage("--duration must be longer than 0");
    }
    load.connect_rate.map_or(Ok(()), |rate| positive("--connect-rate", rate))
}

/// The pace that a ramp asks for, in connections a second.
fn by_ramp(load: &Load) -> Option<f64> {
    let ramp = load.ramp.filter(|ramp| !ramp.is_zero())?;
    Some(load.connections as f64 / ramp.as_secs_f64())
}

fn payloads(message: &Message, matching: Match, seed: u64) -> Result<Payloads, Failure> {
    let text = !message.binary;
    let template = match (&message.message, matching) {
        (Some(template), _) => Some(template.as_str()),
        // The generator's own messages, with a mark before the stamp.
        (None, Match::Stamp) => Some("{stamp}{filler}"),
        (None, _) => None,
    };
    let Some(template) = template else { return Ok(Payloads::new(message.size, text, seed)) };
    let template = Template::parse(template).or_else(|why| usage(format!("--message: {why}")))?;
    if matching == Match::Stamp && !template.has_stamp() {
        return usage("--match stamp needs a {stamp} in --message");
    }
    Ok(Payloads::with_template(message.size, text, seed, template))
}

fn echo(flags: Echo) -> Result<Plan, Failure> {
    let Echo { load, message, pipeline } = flags;
    let script = script::load(Act::Echo, 0.0, load.warmup, load.duration);
    Ok(Plan { pipeline, ..Plan::base("echo", load, &message, script)? })
}

fn rate(flags: Rate) -> Result<Plan, Failure> {
    let Rate { load, message, rate } = flags;
    positive("--rate", rate)?;
    let script = script::load(Act::Rate, rate, load.warmup, load.duration);
    Plan::base("rate", load, &message, script)
}

fn idle(flags: Idle) -> Result<Plan, Failure> {
    let Idle { load, probes, ping_interval, final_echo, speak_then_hold, mute } = flags;
    let speaks = final_echo || mute || speak_then_hold.is_some();
    let plain = load.url.starts_with("tcp://");
    if plain && speaks {
        return usage(
            "over tcp:// idle connections only answer pings; leave out --final-echo, --mute and --speak-then-hold",
        );
    }
    if ping_interval.is_zero() {
        return usage("--ping-interval must be longer than 0");
    }
    let idle = script::Idle { speak_then_hold, final_echo, mute };
    let script = script::idle(load.warmup, load.duration, idle);
    let base = Plan::base("idle", load, &word(), script)?;
    let traffic = if plain { Traffic::Heartbeats } else { Traffic::Echo };
    // Nobody answers a ping over plain TCP.
    let probes = if plain || mute { 0 } else { probes.min(base.connections) };
    Ok(Plan { traffic, probes, ping_interval, ..base })
}

fn broadcast(flags: Broadcast) -> Result<Plan, Failure> {
    let Broadcast { load, message, publishers, rate } = flags;
    let publishers = publishers.min(load.connections as u32);
    positive("--rate", rate)?;
    let templated = message.message.is_some();
    let message = match message.r#match {
        // Who has sent it and which it is stands nowhere else.
        None if templated => Message { r#match: Some(Match::Stamp), ..message },
        _ => message,
    };
    if templated && message.r#match == Some(Match::Exact) {
        return usage("broadcast tells messages of a template by --match stamp or any");
    }
    if publishers > 1 && message.r#match == Some(Match::Any) {
        return usage(
            "broadcast by --match any needs --publishers 1: nothing else tells whose it is",
        );
    }
    if !templated && (message.size.least() as usize) < STAMP_DIGITS {
        return usage(format!("broadcast needs --size {STAMP_DIGITS} or more"));
    }
    let mut script = script::load(Act::Publish, rate, load.warmup, load.duration);
    if !load.subscribe.is_empty() {
        script.insert(1, script::subscribe());
    }
    let base = Plan::base("broadcast", load, &message, script)?;
    Ok(Plan { traffic: Traffic::FanOut { publishers }, ..base })
}

fn connect(flags: Connect) -> Result<Plan, Failure> {
    let Connect { load, message, churn } = flags;
    if churn {
        let script = script::churn(load.warmup, load.duration);
        return Plan::with_ports("connect", load, &message, script, CHURN_PORTS);
    }
    Plan::base("connect", load, &message, script::connect())
}

fn herd(flags: Herd) -> Result<Plan, Failure> {
    let Herd { load, drop, backoff } = flags;
    if !(0.0..=1.0).contains(&backoff.jitter) {
        return usage("--jitter is a part, from 0 to 1");
    }
    if backoff.backoff.is_zero() || backoff.backoff > backoff.backoff_max {
        return usage("--backoff must be longer than 0 and at most --backoff-max");
    }
    let script = script::herd(load.warmup, load.duration);
    let ports = 2 * load.connections;
    let base = Plan::with_ports("herd", load, &word(), script, ports)?;
    Ok(Plan { drop, backoff, ..base })
}

fn search(flags: Search) -> Result<Plan, Failure> {
    let Search { load, message, keep, over, start, most, precision, rate, tries } = flags;
    positive("--rate", rate)?;
    if !(precision > 0.0 && precision < 1.0) {
        return usage("--precision is a part, above 0 and below 1");
    }
    let usual_most = if over == Over::Rate { MOST_RATE } else { load.connections as f64 };
    let most = most.unwrap_or(usual_most);
    let start = start.unwrap_or(most.min(1_000.0));
    // Not a comparison that NaN passes.
    if !(1.0..=most).contains(&start) || !(1.0..=usual_most).contains(&most) {
        return usage(format!(
            "--start must be 1 or more, --most at least that and at most {usual_most}"
        ));
    }
    let keep: Vec<Threshold> = keep.into_iter().flatten().collect();
    for threshold in &keep {
        let step_needs = threshold.metric().unknown_to_a_step(load.server_pid.is_some());
        if let Some(why) = step_needs {
            return usage(format!("--keep {threshold}: {why}"));
        }
    }
    let first = if over == Over::Rate { load.connections } else { start as usize };
    let (warmup, duration) = (load.warmup, load.duration);
    let base = Plan::base("search", load, &message, script::search(first))?;
    let quest = Quest { over, keep, start, most, precision, tries, rate, warmup, duration };
    Ok(Plan { quest: Some(quest), ..base })
}

/// Zombies need descriptors and ports like the connections that behave.
fn zombies(flags: Zombies) -> Result<Plan, Failure> {
    let Zombies { load, message, rate, crowd } = flags;
    check_load(&load)?;
    positive("--rate", rate)?;
    let healthy = load.connections;
    let crowd = Crowd::resolve(crowd, healthy)?;
    let others = crowd.count > crowd.resets();
    // The ramp is that of the healthy; zombies come at a pace of their own.
    let connect_rate = load.connect_rate.or(by_ramp(&load));
    let load = Load { connect_rate, ramp: None, ..load };
    let longest = crowd.longest(load.connect_rate, load.connect_timeout);
    let kinds = (crowd.resets() > 0, others);
    let script = script::zombies(rate, load.warmup, kinds, longest);
    let load = Load { connections: healthy + crowd.count, ..load };
    let base = Plan::base("zombies", load, &message, script)?;
    if base.is_plain_tcp() {
        return usage("zombies need a WebSocket server: use ws:// or wss://");
    }
    Ok(Plan { connections: healthy, zombies: Some(crowd), ..base })
}

fn mixed(flags: Mixed) -> Result<Plan, Failure> {
    let Mixed { load, message, burst, gap, pause, life, away } = flags;
    let script = script::load(Act::Mixed, 0.0, load.warmup, load.duration);
    let base = Plan::with_ports("mixed", load, &message, script, CHURN_PORTS)?;
    Ok(Plan { patterns: Some(Patterns { burst, gap, pause, life, away }), ..base })
}

fn lifecycle(flags: Lifecycle) -> Result<Plan, Failure> {
    let Lifecycle { load, pause, bulk, bulk_at_a_time, bulk_size, fragment, bulk_at_most } = flags;
    if bulk_at_a_time == 0 || fragment == 0 || bulk_size == 0 {
        return usage("--bulk-at-a-time, --bulk-size and --fragment must be at least 1");
    }
    let script = script::lifecycle(load.duration, pause, bulk_at_most);
    let connections = bulk.min(load.connections);
    let bulk = Bulk { connections, at_a_time: bulk_at_a_time, size: bulk_size, fragment };
    Ok(Plan { bulk: Some(bulk), ..Plan::base("lifecycle", load, &word(), script)? })
}
