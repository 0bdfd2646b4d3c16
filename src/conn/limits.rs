//! The limits a connection lives under, in the units it counts in: ticks and bytes.
//! Not for what was typed: `config` reads that; this is made from it once, and again on SIGHUP.

use std::time::Duration;

use super::bucket::Pace;
use super::tick::Ticks;
use crate::config::{self, RatePolicy, SlowConsumer};

/// Every deadline and bound of one connection; see `config::Limits` for each one's meaning.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "named and documented in config::Limits")]
pub struct Limits {
    pub handshake: Ticks,
    pub ping: Option<Ticks>,
    pub pong: Option<Ticks>,
    pub idle: Option<Ticks>,
    pub message: Ticks,
    pub write: Ticks,
    pub close: Ticks,
    pub lifetime: Option<Ticks>,
    pub message_size: usize,
    pub outbox: usize,
    pub slow_consumer: SlowConsumer,
    pub rate: Option<Pace>,
    pub rate_policy: RatePolicy,
}

impl From<&config::Limits> for Limits {
    fn from(typed: &config::Limits) -> Self {
        Limits {
            handshake: deadline(typed.handshake_timeout),
            ping: typed.ping_interval.map(Ticks::from_duration),
            pong: typed.pong_timeout.map(deadline),
            idle: typed.idle_timeout.map(deadline),
            message: deadline(typed.message_timeout),
            write: deadline(typed.write_timeout),
            close: deadline(typed.close_timeout),
            lifetime: typed.max_lifetime.map(deadline),
            message_size: typed.max_message_size,
            outbox: typed.outbox_limit,
            slow_consumer: typed.slow_consumer,
            rate: typed.message_rate.map(Pace::from),
            rate_policy: typed.message_rate_policy,
        }
    }
}

/// A span that has passed for certain: the tick in which it begins has begun before it.
fn deadline(span: Duration) -> Ticks {
    Ticks::from_duration(span).and(Ticks(1))
}
