//! What a seed decides about a world before it begins: its size, its limits, its faults, its people.
//! Not what happens in it.

use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;
use pulsewheel::config::{Admission, Limits, Rate, RatePolicy, SlowConsumer};

use crate::households;
use crate::kernel::Shape;
use crate::manner::Manner;

/// One second in microseconds.
pub const SECOND: u64 = 1_000_000;

/// Every so many seeds a world is large and long.
const LARGE_EVERY: u64 = 64;

/// Probabilities of what the simulated kernel does to a driver.
#[derive(Clone, Debug)]
pub struct Faults {
    /// One way, in microseconds.
    pub latency: RangeInclusive<u64>,
    /// That a read or write takes only a part.
    pub partial: f64,
    /// That a write finds no room, and for how long at most.
    pub block: f64,
    pub block_for: u64,
    /// That readiness comes late, and by how much at most.
    pub late: f64,
    pub late_by: u64,
    /// That an event of a former connection comes.
    pub stale: f64,
    /// That a connection can't be adopted.
    pub adopt: f64,
    /// That writability is reported for nothing.
    pub spurious: f64,
}

impl Faults {
    /// A kernel that does nothing unusual.
    pub fn none(latency: RangeInclusive<u64>) -> Self {
        Faults {
            latency,
            partial: 0.0,
            block: 0.0,
            block_for: 1,
            late: 0.0,
            late_by: 1,
            stale: 0.0,
            adopt: 0.0,
            spurious: 0.0,
        }
    }

    /// The share that a read or write takes.
    pub fn part(&self, random: &mut Rng) -> f64 {
        if random.f64() < self.partial { random.f64() } else { 1.0 }
    }

    /// For how long a write finds no room.
    pub fn block(&self, random: &mut Rng) -> u64 {
        if random.f64() < self.block { random.u64(1..=self.block_for) } else { 0 }
    }

    /// By how much readiness is late.
    pub fn late_signal(&self, random: &mut Rng) -> u64 {
        if random.f64() < self.late { random.u64(1..=self.late_by) } else { 0 }
    }
}

/// A world as its seed decides it.
#[derive(Clone, Debug)]
pub struct Rules {
    pub reactors: usize,
    pub limits: Limits,
    /// What SIGHUPs will change the limits to, one after the other.
    pub reloads: Vec<Limits>,
    /// What addresses may have.
    pub admission: Admission,
    pub households: u32,
    pub faults: Faults,
    /// Which reactors have a ring, and of what sizes.
    pub rings: Vec<Option<Shape>>,
    pub mailbox_limit: usize,
    pub max_connections: usize,
    /// Room in each reactor's table.
    pub capacity: usize,
    pub descriptors: usize,
    pub clients: Vec<Manner>,
    /// Clients arrive within so many microseconds.
    pub arrivals: u64,
    /// How long clients do what they do, and how long the server then has to settle.
    pub span: u64,
    pub calm: u64,
    /// The drain comes amid all that.
    pub is_cut_short: bool,
    pub drain_window: Duration,
    /// The world's clock at its beginning.
    pub epoch: u64,
    /// Mean time between fates: stalls, shortages, reloads, publications.
    pub fates: u64,
    /// Longest delay of a wake-up.
    pub mail_delay: u64,
    /// Longest turn.
    pub turn: u64,
    pub largest_message: usize,
    /// A large world, which is looked at less often.
    pub is_large: bool,
}

impl Rules {
    /// The world of that seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed ^ 0x5eed);
        let is_large = seed.is_multiple_of(LARGE_EVERY);
        let latency = if random.bool() { 50..=2_000 } else { 200..=100_000 };
        let mut rules = Rules {
            reactors: random.usize(1..=3),
            limits: small_limits(&mut random),
            reloads: Vec::new(),
            admission: Admission::default(),
            households: 1,
            faults: faults(latency, &mut random),
            rings: Vec::new(),
            mailbox_limit: if random.bool() { 1 << 20 } else { random.usize(600..8_000) },
            max_connections: usize::MAX,
            capacity: 1 << 12,
            descriptors: usize::MAX,
            clients: Vec::new(),
            arrivals: random.u64(1..20 * SECOND),
            span: random.u64(30 * SECOND..240 * SECOND),
            calm: 0,
            is_cut_short: random.u8(0..4) == 0,
            drain_window: Duration::from_millis(random.u64(0..8_000)),
            epoch: epoch(&mut random),
            fates: random.u64(2 * SECOND..40 * SECOND),
            mail_delay: if random.bool() { 1 } else { random.u64(1..300_000) },
            turn: random.u64(1..2_000),
            largest_message: 0,
            is_large,
        };
        if !is_large && random.u8(0..5) == 0 {
            rules.delay();
        }
        if is_large {
            rules.enlarge(&mut random);
        }
        rules.people(&mut random);
        (rules.admission, rules.households) = households::draw(seed, rules.clients.len());
        rules.rings = rings(seed, rules.reactors, is_large);
        rules.change_minds(&mut random);
        rules.largest_message =
            rules.limits.max_message_size.min(rules.limits.outbox_limit / 2 - 16);
        rules.settle();
        rules
    }

    /// Readiness comes so late that only a last look before a verdict finds what has come. Messages
    /// are small then: one that stands waiting for its own rest would be late by right.
    fn delay(&mut self) {
        self.faults.partial = 0.0;
        self.faults.late = 0.3;
        self.faults.late_by = 8 * SECOND;
        self.limits.max_message_size = self.limits.max_message_size.min(1_024);
    }

    /// Thousands of connections for days.
    fn enlarge(&mut self, random: &mut Rng) {
        let hours = random.u64(24..72);
        self.span = hours * 3600 * SECOND;
        self.arrivals = random.u64(1..600) * SECOND;
        self.fates = 2 * 3600 * SECOND;
        let interval = Duration::from_secs(random.u64(2_400..7_200));
        self.limits.ping_interval = Some(interval);
        self.limits.pong_timeout = Some(Duration::from_secs(random.u64(5..60)));
        self.limits.outbox_budget = 1 << 30;
        self.limits.inbox_budget = 1 << 30;
        self.limits.message_rate_total = None;
        self.limits.idle_timeout = None;
        self.limits.max_lifetime = random.bool().then(|| Duration::from_secs(3600 * hours / 2));
    }

    fn people(&mut self, random: &mut Rng) {
        let count = if self.is_large {
            random.usize(1_000..3_000)
        } else if random.u8(0..8) == 0 {
            random.usize(100..250)
        } else {
            random.usize(4..60)
        };
        // A few manners in each world: what they do to each other is found sooner.
        let manners: Vec<Manner> =
            (0..random.usize(2..8)).map(|_| random.choice(Manner::ALL).unwrap()).collect();
        self.clients = (0..count)
            .map(|_| {
                if self.is_large && random.u8(0..50) > 0 {
                    Manner::Idle
                } else if random.u8(0..4) == 0 {
                    random.choice(Manner::ALL).unwrap()
                } else {
                    random.choice(manners.iter().copied()).unwrap()
                }
            })
            .collect();
        if random.u8(0..6) == 0 {
            self.max_connections = random.usize(1..=count);
        }
        if random.u8(0..6) == 0 {
            self.capacity = random.usize(1..=count);
        }
        if random.u8(0..4) == 0 {
            self.descriptors = random.usize(1..=count) + 20;
        }
    }

    /// Limits that a reload brings: other deadlines, rates and policies, the same sizes.
    fn change_minds(&mut self, random: &mut Rng) {
        if self.is_large || random.u8(0..3) > 0 {
            return;
        }
        for _ in 0..random.u8(1..4) {
            let sizes = self.limits;
            self.reloads.push(Limits {
                max_message_size: sizes.max_message_size,
                outbox_limit: sizes.outbox_limit,
                outbox_budget: sizes.outbox_budget,
                inbox_budget: sizes.inbox_budget,
                ..small_limits(random)
            });
        }
    }

    /// The limits at the beginning and those that reloads bring.
    pub fn every_limits(&self) -> impl Iterator<Item = &Limits> {
        std::iter::once(&self.limits).chain(&self.reloads)
    }

    /// How long the server may need until every good client has what it is owed.
    fn settle(&mut self) {
        let wait = |limits: &Limits| {
            limits.write_timeout + limits.handshake_timeout + limits.close_timeout
        };
        let longest = self.every_limits().map(wait).max().unwrap_or_default();
        self.calm = longest.as_micros() as u64 + 60 * SECOND;
    }

    /// True if a client may be made to wait for its rate.
    pub fn has_rates(&self) -> bool {
        let has_rate =
            |limits: &Limits| limits.message_rate.is_some() || limits.message_rate_total.is_some();
        self.every_limits().any(has_rate)
    }
}

/// About every other reactor has a ring. Drawn from numbers of their own, so that the rest of the
/// world is what it would be without.
fn rings(seed: u64, reactors: usize, is_large: bool) -> Vec<Option<Shape>> {
    let mut random = Rng::with_seed(seed ^ 0x4119);
    let draw = |_| random.bool().then(|| Shape::draw(&mut random, is_large));
    (0..reactors).map(draw).collect()
}

/// Some worlds begin shortly before ticks wrap, or the microseconds of a ping's clock.
fn epoch(random: &mut Rng) -> u64 {
    const WRAP: u64 = (1 << 32) * 10_000;
    match random.u8(0..4) {
        0 => WRAP - random.u64(1..100 * SECOND),
        1 => WRAP / 2 - random.u64(1..100 * SECOND),
        2 => (1 << 32) - random.u64(1..20 * SECOND),
        _ => random.u64(0..SECOND),
    }
}

fn faults(latency: RangeInclusive<u64>, random: &mut Rng) -> Faults {
    let mut faults = Faults::none(latency);
    let mut draw = |most: f64| if random.bool() { random.f64() * most } else { 0.0 };
    faults.partial = draw(0.7);
    faults.block = draw(0.3);
    faults.late = draw(0.5);
    faults.stale = draw(1.0);
    faults.adopt = draw(0.05);
    faults.spurious = draw(0.5);
    faults.block_for = random.u64(1..800_000);
    faults.late_by = random.u64(1..700_000);
    faults
}

fn small_limits(random: &mut Rng) -> Limits {
    let seconds = |random: &mut Rng, from: f64, to: f64| {
        Duration::from_millis((1000.0 * (from + random.f64() * (to - from))) as u64)
    };
    let ping = seconds(random, 2.0, 15.0);
    let message = 1 << random.u32(8..=15);
    let outbox = message * random.usize(2..8) + 1024;
    let rate = |random: &mut Rng| {
        let per_second = [0.05, 0.3, 1.0, 5.0, 50.0, 500.0][random.usize(0..6)];
        Rate { per_second, burst: random.u32(1..20) }
    };
    let is_tight = random.u8(0..4) == 0;
    Limits {
        handshake_timeout: seconds(random, 2.0, 10.0),
        ping_interval: (random.u8(0..8) > 0).then_some(ping),
        pong_timeout: (random.u8(0..8) > 0).then(|| ping.min(seconds(random, 2.0, 5.0))),
        idle_timeout: (random.u8(0..4) == 0).then(|| seconds(random, 5.0, 60.0)),
        message_timeout: seconds(random, 4.0, 15.0),
        write_timeout: seconds(random, 6.0, 20.0),
        close_timeout: seconds(random, 2.0, 8.0),
        max_lifetime: (random.u8(0..4) == 0).then(|| seconds(random, 20.0, 120.0)),
        max_message_size: message,
        outbox_limit: outbox,
        outbox_budget: if is_tight { outbox as u64 } else { 1 << 30 },
        inbox_budget: if is_tight { message as u64 } else { 1 << 30 },
        slow_consumer: [SlowConsumer::Close, SlowConsumer::DropOldest, SlowConsumer::DropNewest]
            [random.usize(0..3)],
        message_rate: (random.u8(0..4) == 0).then(|| rate(random)),
        message_rate_policy: if random.u8(0..3) > 0 {
            RatePolicy::Pause
        } else {
            RatePolicy::Close
        },
        message_rate_total: (random.u8(0..8) == 0).then(|| {
            let rate = rate(random);
            Rate { per_second: rate.per_second.max(5.0), ..rate }
        }),
    }
}
