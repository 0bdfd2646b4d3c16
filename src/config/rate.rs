//! A rate with a burst, `100/s:200`: what a token bucket is filled by and how much it holds.
//! Not the bucket itself, which lives with the connection it holds back.

use std::fmt;
use std::str::FromStr;

use super::error::{Refusal, quoted};

/// Seconds in each unit that a rate may be written in.
const UNITS: [(&str, f64); 3] = [("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// How many messages or connections may come: the fill rate and the depth of a token bucket.
///
/// Written `100/s`, `100/s:200` (with a burst), `6000/m` or `10/h`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// So many per second, from one a day to a thousand million.
    pub per_second: f64,
    /// How many may come at once after silence, at least 1. Unless written it is what comes
    /// in a second, and at least 1.
    pub burst: u32,
}

impl Rate {
    /// The fastest rate, per second: its default burst still fits in 32 bits.
    const FASTEST: f64 = 1e9;
    /// The slowest rate, per second: one a day keeps the wait for a token well within
    /// the longest deadline that the wheel can hold.
    const SLOWEST: f64 = 1.0 / 86_400.0;

    /// The burst of a rate that is written without one.
    fn default_burst(per_second: f64) -> u32 {
        // A float cast saturates, so that even a rate out of bounds cannot wrap.
        (per_second.ceil() as u32).max(1)
    }

    /// Refuses a rate that lets nothing through, or that no token bucket can count.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.burst == 0 {
            return Err(Refusal::new(
                "a burst of 0 lets nothing through",
                "write a burst of 1 or more",
            ));
        }
        if self.per_second == 0.0 {
            return Err(Refusal::new(
                "a rate of 0 lets nothing through",
                "write a rate like 100/s",
            ));
        }
        if !(Self::SLOWEST..=Self::FASTEST).contains(&self.per_second) {
            return Err(Refusal::new(
                "the rate is out of bounds",
                "write at most 1000000000/s and at least one a day",
            ));
        }
        Ok(())
    }
}

impl FromStr for Rate {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let refuse = |why: &str| {
            Refusal::new(
                format!("{} {why}", quoted(text)),
                "write it like 100/s, or 100/s:200 with a burst",
            )
        };
        let (amount, rest) = text.trim().split_once('/').ok_or_else(|| refuse("is not a rate"))?;
        let (unit, burst) = match rest.split_once(':') {
            Some((unit, burst)) => (unit, Some(burst)),
            None => (rest, None),
        };
        // `f64` reads `inf`, `nan`, `1e5` and signs as well; people who write a rate do not.
        if amount.is_empty() || !amount.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(refuse("is not a rate"));
        }
        let amount: f64 = amount.parse().map_err(|_| refuse("is not a rate"))?;
        let (_, seconds) = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| refuse("has an unknown unit (there are /s, /m and /h)"))?;
        let per_second = amount / seconds;
        let burst = match burst {
            None => Self::default_burst(per_second),
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| refuse("has a burst above 4294967295"))?
            }
            Some(_) => return Err(refuse("has a burst that is no whole number")),
        };
        let rate = Self { per_second, burst };
        rate.check()
            .map_err(|why| Refusal::new(format!("{}: {}", quoted(text), why.wrong), why.remedy))?;
        Ok(rate)
    }
}

/// Writes the rate as it is typed, in the first unit that makes it a whole number.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (amount, unit) = UNITS
            .into_iter()
            .map(|(name, seconds)| ((self.per_second * seconds).round(), seconds, name))
            .find(|(amount, seconds, _)| amount / seconds == self.per_second)
            .map_or((self.per_second, "s"), |(amount, _, name)| (amount, name));
        write!(f, "{amount}/{unit}")?;
        if self.burst != Self::default_burst(self.per_second) {
            write!(f, ":{}", self.burst)?;
        }
        Ok(())
    }
}
