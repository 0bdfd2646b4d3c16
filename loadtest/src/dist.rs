//! Distributions as people write them: sizes, counts and times that are drawn anew for each use.
//! Not the drawing's source of chance; callers bring their own number, so that a seed repeats a run.

use std::fmt;
use std::time::Duration;

use crate::units;

/// A distribution of non-negative numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dist {
    shape: Shape,
    /// No draw is beyond it.
    most: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Fixed(f64),
    Uniform(f64, f64),
    Exponential(f64),
    LogNormal { median: f64, sigma: f64 },
}

/// How far a long-tailed draw may go beyond its mean or median.
const TAIL: f64 = 64.0;

impl Dist {
    /// Always the same.
    pub fn fixed(value: f64) -> Dist {
        Dist { shape: Shape::Fixed(value), most: value }
    }

    /// Reads `N`, `A-B`, `exp:MEAN` or `lognormal:MEDIAN,SIGMA`, each long-tailed one with
    /// `,most=N` behind it where 64 times its mean or median is not wanted as the limit.
    fn parse(text: &str, unit: impl Fn(&str) -> Result<f64, String>) -> Result<Dist, String> {
        let (text, most) = match text.split_once(",most=") {
            Some((text, most)) => (text, Some(unit(most)?)),
            None => (text, None),
        };
        let (shape, usual) = if let Some(mean) = text.strip_prefix("exp:") {
            let mean = unit(mean)?;
            (Shape::Exponential(mean), mean * TAIL)
        } else if let Some(rest) = text.strip_prefix("lognormal:") {
            let (median, sigma) = rest
                .split_once(',')
                .ok_or("lognormal takes a median and a sigma: lognormal:256,1.2")?;
            let median = unit(median)?;
            let sigma: f64 = sigma.parse().map_err(|_| format!("`{sigma}` is no sigma"))?;
            if !(0.0..=4.0).contains(&sigma) {
                return Err(format!("sigma {sigma} is not between 0 and 4"));
            }
            (Shape::LogNormal { median, sigma }, median * TAIL)
        } else if let Some((low, high)) = text.split_once('-') {
            let (low, high) = (unit(low)?, unit(high)?);
            if low > high {
                return Err(format!("the range {text} ends before it begins"));
            }
            (Shape::Uniform(low, high), high)
        } else {
            let value = unit(text)?;
            (Shape::Fixed(value), value)
        };
        Ok(Dist { shape, most: most.unwrap_or(usual) })
    }

    /// The draw that belongs to `random`, which is taken for 64 random bits.
    pub fn draw(&self, random: u64) -> f64 {
        let value = match self.shape {
            Shape::Fixed(value) => value,
            Shape::Uniform(low, high) => low + (high - low) * unit_interval(random),
            Shape::Exponential(mean) => -mean * (1.0 - unit_interval(random)).ln(),
            Shape::LogNormal { median, sigma } => median * (sigma * standard_normal(random)).exp(),
        };
        value.min(self.most)
    }

    /// No draw is larger.
    pub fn most(&self) -> f64 {
        self.most
    }

    /// No draw is smaller.
    pub fn least(&self) -> f64 {
        match self.shape {
            Shape::Fixed(value) => value.min(self.most),
            Shape::Uniform(low, _) => low.min(self.most),
            Shape::Exponential(_) | Shape::LogNormal { .. } => 0.0,
        }
    }

    /// The one value there is, where all draws are alike.
    pub fn only(&self) -> Option<f64> {
        (self.least() == self.most()).then_some(self.most)
    }

    /// A draw of a time.
    pub fn time(&self, random: u64) -> Duration {
        Duration::from_secs_f64(self.draw(random))
    }
}

impl fmt::Display for Dist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Fixed(value) => write!(f, "{value}"),
            Shape::Uniform(low, high) => write!(f, "{low} to {high}"),
            Shape::Exponential(mean) => write!(f, "exponential, mean {mean}"),
            Shape::LogNormal { median, sigma } => {
                write!(f, "log-normal, median {median}, sigma {sigma}")
            }
        }
    }
}

/// A distribution of sizes in bytes: `20`, `100-2KiB`, `lognormal:256,1.2`.
pub fn sizes(text: &str) -> Result<Dist, String> {
    let dist = Dist::parse(text, |size| units::size(size).map(|bytes| bytes as f64))?;
    if dist.most() > units::MOST_BYTES as f64 {
        return Err("beyond 256MiB; set a limit with ,most=SIZE".to_owned());
    }
    Ok(dist)
}

/// A distribution of times: `100ms`, `10ms-2s`, `exp:1s`, `lognormal:1s,0.8`.
pub fn times(text: &str) -> Result<Dist, String> {
    let dist = Dist::parse(text, |time| units::duration(time).map(|time| time.as_secs_f64()))?;
    if dist.most() > 100.0 * 365.0 * 86_400.0 {
        return Err("beyond a hundred years; set a limit with ,most=TIME".to_owned());
    }
    Ok(dist)
}

/// A distribution of counts of at least one: `1`, `1-10`, `exp:3`.
pub fn counts(text: &str) -> Result<Dist, String> {
    let count = |text: &str| match text.parse::<u32>() {
        Ok(count @ 1..) => Ok(f64::from(count)),
        _ => Err(format!("`{text}` is no count of at least 1")),
    };
    Dist::parse(text, count)
}

/// 53 random bits as a number from 0 to below 1.
fn unit_interval(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// A draw from the standard normal distribution (Box and Muller, 1958), from both halves of the
/// random bits.
fn standard_normal(random: u64) -> f64 {
    let radius = (f64::from((random >> 32) as u32) + 1.0) / (f64::from(u32::MAX) + 1.0);
    let angle = f64::from(random as u32) / (f64::from(u32::MAX) + 1.0);
    (-2.0 * radius.ln()).sqrt() * (2.0 * std::f64::consts::PI * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::payload::scramble;

    fn draws(dist: &Dist) -> Vec<f64> {
        let mut all: Vec<f64> = (0..20_000).map(|i| dist.draw(scramble(i * 7 + 1))).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    #[test]
    fn draws_follow_what_was_written() {
        let fixed = sizes("1KiB").expect("good");
        assert_eq!((fixed.only(), fixed.draw(9)), (Some(1024.0), 1024.0));
        let range = draws(&sizes("100-2KiB").expect("good"));
        assert!(range[0] >= 100.0 && range[19_999] <= 2048.0);
        assert!((range[10_000] - 1074.0).abs() < 40.0, "{}", range[10_000]);
        let exponential = draws(&times("exp:1s").expect("good"));
        let mean = exponential.iter().sum::<f64>() / 20_000.0;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        let skewed = draws(&sizes("lognormal:256,1").expect("good"));
        assert!((skewed[10_000] / 256.0 - 1.0).abs() < 0.06, "{}", skewed[10_000]);
        // One sigma above the median is e times as much.
        assert!((skewed[16_827] / 256.0 / std::f64::consts::E - 1.0).abs() < 0.1);
    }

    #[test]
    fn no_draw_is_beyond_its_limit() {
        let dist = sizes("lognormal:1000,3,most=4KiB").expect("good");
        assert_eq!(draws(&dist)[19_999], 4096.0);
        assert_eq!(dist.most(), 4096.0);
    }

    #[test]
    fn what_is_no_distribution_is_told() {
        for wrong in ["", "9-3", "lognormal:5", "lognormal:5,x", "lognormal:5,9", "exp:", "1-"] {
            assert!(sizes(wrong).is_err(), "{wrong}");
        }
        assert!(sizes("lognormal:128MiB,1").is_err());
        assert!(counts("0").is_err() && counts("exp:3").is_ok());
        assert!(times("5").is_err() && times("10ms-2s").is_ok());
    }
}
