//! Which values make sense: each within its bounds, and all of them together.
//! Not for parsing: what is judged here are the values, so a program's own `Config` is judged too.

use std::time::Duration;

use super::address::ListenAddress;
use super::error::{Problem, Refusal, Source};
use super::fields::{self, MOST_REACTORS, show};
use super::gate;
use super::keys::{Key, Kind, spec};
use super::low::{Low, TypedRoute};
use super::quantity::{show_duration, show_size};
use super::settings::{Config, Route};
use crate::gate::Auth;

/// The longest duration. The wheel counts ticks in 32 bits; this leaves it room to spare.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The shortest ping interval: below it heartbeats are a load and no longer a sign of life.
const SHORTEST_PING_INTERVAL: Duration = Duration::from_millis(100);

/// The shortest of the other durations that must not be zero.
const SHORTEST: Duration = Duration::from_millis(1);

/// The most that one connection may hold each way, so that its counters fit in 32 bits.
const LARGEST_PER_CONNECTION: u64 = 1 << 30;

/// The most that a budget may allow; sums of budgets and what exceeds them cannot overflow.
const LARGEST_BUDGET: u64 = 1 << 40;

/// The most addresses, routes or subprotocols: they are searched one by one.
const LONGEST_LIST: usize = 256;

/// Where each value was typed, if it was.
pub(super) struct Sources<'a> {
    low: Option<&'a Low>,
}

impl<'a> Sources<'a> {
    pub(super) fn of(low: &'a Low) -> Self {
        Self { low: Some(low) }
    }

    /// For a `Config` that no one typed.
    pub(super) fn of_a_program() -> Self {
        Self { low: None }
    }

    pub(super) fn key(&self, key: Key) -> Source {
        let name = spec(key).name;
        let Some(low) = self.low else { return Source::Program(name) };
        let source = match key {
            Key::Route => low.routes().last().map(|(source, _)| source),
            _ => low.entries(key).last().map(|entry| &entry.source),
        };
        source.cloned().unwrap_or(Source::Default(name))
    }

    /// Whether somebody typed all of it, the routes too.
    pub(super) fn are_typed(&self) -> bool {
        self.low.is_some()
    }

    /// The source of one value of a list.
    fn listen(&self, i: usize) -> Source {
        self.low
            .and_then(|low| low.entries(Key::Listen).last()?.values.get(i))
            .map_or_else(|| self.key(Key::Listen), |given| given.source.clone())
    }

    fn route(&self, i: usize) -> Option<&TypedRoute> {
        self.low.and_then(|low| low.routes().last()?.1.get(i))
    }

    /// Of two keys that contradict each other the one to blame: the first, unless it is a default.
    fn blame(&self, first: Key, second: Key) -> Source {
        match self.key(first) {
            Source::Default(_) => self.key(second),
            source => source,
        }
    }
}

/// Judges each value by itself.
pub(super) fn bounds(config: &Config, sources: &Sources, problems: &mut Vec<Problem>) {
    let mut judge = |key: Key, verdict: Result<(), Refusal>| {
        if let Err(refusal) = verdict {
            problems.push(refusal.at(sources.key(key)));
        }
    };
    judge(Key::Reactors, reactors(config.reactors));
    judge(Key::MaxConnections, max_connections(config.max_connections));
    for (key, value, shortest) in durations(config) {
        judge(key, duration(key, value, shortest));
    }
    for (key, value, largest) in sizes(config) {
        judge(key, size(value, largest));
    }
    let others = config.compression.bounds().into_iter().chain(config.driver.bounds());
    for (key, refusal) in config.admission.bounds().into_iter().chain(others) {
        judge(key, Err(refusal));
    }
    let limits = &config.limits;
    for (key, rate) in [
        (Key::MessageRate, limits.message_rate),
        (Key::MessageRateTotal, limits.message_rate_total),
    ] {
        judge(key, rate.map_or(Ok(()), |rate| rate.check()));
    }
    gate::bounds(&config.gate, sources, problems);
}

fn reactors(reactors: usize) -> Result<(), Refusal> {
    if (1..=MOST_REACTORS).contains(&reactors) {
        return Ok(());
    }
    let remedy = format!("write 1 to {MOST_REACTORS}, or auto");
    Err(Refusal::new(format!("{reactors} reactors cannot be run"), remedy))
}

fn max_connections(most: Option<usize>) -> Result<(), Refusal> {
    // Tokens hold an index of 32 bits.
    let remedy = format!("write 1 to {}, or auto", u32::MAX);
    match most {
        Some(0) => Err(Refusal::new("0 refuses every client", remedy)),
        Some(most) if u32::try_from(most).is_err() => {
            Err(Refusal::new(format!("{most} is too many"), remedy))
        }
        _ => Ok(()),
    }
}

/// Every duration that is not off, with the shortest that makes sense.
fn durations(config: &Config) -> impl Iterator<Item = (Key, Duration, Duration)> {
    let (limits, drain) = (&config.limits, &config.drain);
    [
        (Key::HandshakeTimeout, Some(limits.handshake_timeout), SHORTEST),
        (Key::PingInterval, limits.ping_interval, SHORTEST_PING_INTERVAL),
        (Key::PongTimeout, limits.pong_timeout, SHORTEST),
        (Key::IdleTimeout, limits.idle_timeout, SHORTEST),
        (Key::MessageTimeout, Some(limits.message_timeout), SHORTEST),
        (Key::WriteTimeout, Some(limits.write_timeout), SHORTEST),
        (Key::CloseTimeout, Some(limits.close_timeout), SHORTEST),
        (Key::MaxLifetime, limits.max_lifetime, SHORTEST),
        (Key::DrainDelay, Some(drain.delay), Duration::ZERO),
        (Key::DrainWindow, Some(drain.window), Duration::ZERO),
    ]
    .into_iter()
    .filter_map(|(key, duration, shortest)| Some((key, duration?, shortest)))
}

fn duration(key: Key, value: Duration, shortest: Duration) -> Result<(), Refusal> {
    let (wrong, bound, limit) = if value < shortest {
        ("too short", "at least", shortest)
    } else if value > LONGEST {
        ("too long", "at most", LONGEST)
    } else {
        return Ok(());
    };
    let or_off = if spec(key).kind == Kind::DurationOrOff { ", or off" } else { "" };
    Err(Refusal::new(
        format!("{} is {wrong}", show_duration(value)),
        format!("write {bound} {}{or_off}", show_duration(limit)),
    ))
}

/// Every size, with the largest that makes sense.
fn sizes(config: &Config) -> [(Key, u64, u64); 5] {
    let limits = &config.limits;
    [
        (Key::MaxMessageSize, limits.max_message_size as u64, LARGEST_PER_CONNECTION),
        (Key::OutboxLimit, limits.outbox_limit as u64, LARGEST_PER_CONNECTION),
        (Key::OutboxBudget, limits.outbox_budget, LARGEST_BUDGET),
        (Key::InboxBudget, limits.inbox_budget, LARGEST_BUDGET),
        (Key::MailboxLimit, config.mailbox_limit as u64, LARGEST_BUDGET),
    ]
}

fn size(value: u64, largest: u64) -> Result<(), Refusal> {
    if value == 0 {
        return Err(Refusal::new("0 leaves no room for any message", "write a size like 256KiB"));
    }
    if value > largest {
        let remedy = format!("write at most {}", show_size(largest));
        return Err(Refusal::new(format!("{} is too large", show_size(value)), remedy));
    }
    Ok(())
}

/// Judges the values together.
pub(super) fn contradictions(
    config: &Config,
    sources: &Sources,
    known_handlers: &[&str],
    problems: &mut Vec<Problem>,
) {
    lengths(config, sources, problems);
    addresses(config, sources, problems);
    admin(config, sources, problems);
    heartbeat(config, sources, problems);
    budgets(config, sources, problems);
    let has_users = config.gate.auth != Auth::Off;
    for (key, refusal) in config.admission.contradictions(has_users) {
        problems.push(refusal.at(sources.key(key)));
    }
    gate::contradictions(config, sources, problems);
    if let Err(refusal) = fields::check_filter(&config.log.filter, false) {
        problems.push(refusal.at(sources.key(Key::LogLevel)));
    }
    for (i, route) in config.routes.iter().enumerate() {
        let earlier = &config.routes[..i];
        one_route(route, earlier, sources.route(i), sources, known_handlers, problems);
    }
}

fn lengths(config: &Config, sources: &Sources, problems: &mut Vec<Problem>) {
    let subprotocols = config.routes.iter().map(|route| route.subprotocols.len()).max();
    for (key, length, what, least) in [
        (Key::Listen, config.listen.len(), "addresses", 1),
        (Key::TlsCertFile, config.tls.len(), "certificates", 0),
        (Key::Route, config.routes.len(), "routes", 1),
        (Key::Subprotocol, subprotocols.unwrap_or(0), "subprotocols", 0),
        (Key::TrustProxy, config.admission.trust_proxy.len(), "networks", 0),
        (Key::AllowOrigin, config.gate.allowed_origins.len(), "origins", 0),
        (Key::RequireClaim, config.gate.required_claims.len(), "required claims", 0),
    ] {
        if !(least..=LONGEST_LIST).contains(&length) {
            let remedy = format!("write {least} to {LONGEST_LIST}");
            let refusal = Refusal::new(format!("there are {length} {what}"), remedy);
            problems.push(refusal.at(sources.key(key)));
        }
    }
}

fn addresses(config: &Config, sources: &Sources, problems: &mut Vec<Problem>) {
    for (i, address) in config.listen.iter().enumerate() {
        let Some(other) = config.listen[..i].iter().find(|other| address.meets(other)) else {
            continue;
        };
        let wrong = if address == other {
            format!("{address} is given twice")
        } else {
            format!("{address} and {other} are in each other's way")
        };
        problems.push(Refusal::new(wrong, "leave one of them away").at(sources.listen(i)));
    }
}

fn admin(config: &Config, sources: &Sources, problems: &mut Vec<Problem>) {
    let Some(admin) = config.admin else { return };
    let asked = ListenAddress::Tcp(admin);
    if let Some(i) = config.listen.iter().position(|address| address.meets(&asked)) {
        let (address, source) = (&config.listen[i], sources.blame(Key::Admin, Key::Listen));
        let wrong = format!("clients at {address} and admin at {admin} are in each other's way");
        problems
            .push(Refusal::new(wrong, "give the admin port another address, or off").at(source));
    }
    if !admin.ip().to_canonical().is_loopback() && config.admin_token.is_none() {
        let wrong = format!("{admin} is open to the network and asks for no token");
        let remedy = "give --admin-token-file, or an address on 127.0.0.1";
        problems.push(Refusal::new(wrong, remedy).at(sources.key(Key::Admin)));
    }
}

fn heartbeat(config: &Config, sources: &Sources, problems: &mut Vec<Problem>) {
    // A pong timeout without pings has no effect and does no harm.
    let (Some(interval), Some(timeout)) = (config.limits.ping_interval, config.limits.pong_timeout)
    else {
        return;
    };
    if timeout > interval {
        let (timeout, interval) = (show_duration(timeout), show_duration(interval));
        let wrong = format!("pong-timeout {timeout} is longer than ping-interval {interval}");
        let remedy = format!("set pong-timeout to {interval} or less, or raise ping-interval");
        let source = sources.blame(Key::PongTimeout, Key::PingInterval);
        problems.push(Refusal::new(wrong, remedy).at(source));
    }
}

fn budgets(config: &Config, sources: &Sources, problems: &mut Vec<Problem>) {
    let limits = &config.limits;
    let pairs = [
        (Key::OutboxBudget, limits.outbox_budget, Key::OutboxLimit, limits.outbox_limit),
        (Key::InboxBudget, limits.inbox_budget, Key::MaxMessageSize, limits.max_message_size),
    ];
    for (budget_key, budget, limit_key, limit) in pairs {
        if budget >= limit as u64 {
            continue;
        }
        let (budget_name, limit_name) = (spec(budget_key).name, spec(limit_key).name);
        let (budget, limit) = (show(config, budget_key), show(config, limit_key));
        let wrong = format!(
            "{budget_name} {budget} for all connections is below {limit_name} {limit} for one"
        );
        let remedy = format!("raise {budget_name} to {limit} or more, or lower {limit_name}");
        let source = sources.blame(budget_key, limit_key);
        problems.push(Refusal::new(wrong, remedy).at(source));
    }
}

fn one_route(
    route: &Route,
    earlier: &[Route],
    typed: Option<&TypedRoute>,
    sources: &Sources,
    known_handlers: &[&str],
    problems: &mut Vec<Problem>,
) {
    let at_path = || typed.map_or_else(|| sources.key(Key::Route), |t| t.path.source.clone());
    let at_handler = || typed.map_or_else(|| sources.key(Key::Route), |t| t.handler.source.clone());
    if let Err(refusal) = fields::check_path(&route.path) {
        problems.push(refusal.at(at_path()));
    }
    if earlier.iter().any(|other| other.path == route.path) {
        let wrong = format!("the path {} is given twice", route.path);
        problems.push(Refusal::new(wrong, "give it one handler").at(at_path()));
    }
    if let Err(refusal) = fields::check_handler(&route.handler, known_handlers) {
        problems.push(refusal.at(at_handler()));
    }
    for name in &route.subprotocols {
        // Typed ones have been refused with their own sources before.
        if let Err(refusal) = fields::check_subprotocol(name) {
            problems.push(refusal.at(at_path()));
        }
    }
}
