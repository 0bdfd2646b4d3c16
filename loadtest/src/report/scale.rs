//! Scales of a plot: where a value stands along an axis, and which values are marked on it.
//! Not the drawing; that is `plot`.

use crate::quantity::{Quantity, number};

/// About how many marks an axis has.
const MARKS: f64 = 6.0;
/// How far past the last whole nine the slowest value of all stands, in nines.
const PAST_LAST_NINE: f64 = 0.7;

/// How values are laid out along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Evenly from one value to another.
    Linear {
        /// At the beginning.
        from: f64,
        /// At the end.
        to: f64,
    },
    /// Each factor of ten as long as the next.
    Log {
        /// At the beginning; greater than 0.
        from: f64,
        /// At the end.
        to: f64,
    },
    /// Quantiles, each further nine as long as the one before: 0, 0.9, 0.99 and so on.
    Nines {
        /// Nines of the last quantile marked; the slowest value of all stands behind it.
        last: u32,
    },
}

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Where, from 0 to 1.
    pub at: f64,
    /// What is written beside it.
    pub label: String,
}

/// The least round number, of 1, 2 or 5 times a power of ten, that is not below `value`.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    // A hair's breadth of tolerance: 0.30000000000000004 is 0.3.
    let enough = |factor: &&f64| **factor * power >= value * (1.0 - 1e-9);
    factors.iter().find(enough).copied().unwrap_or(10.0) * power
}

/// The greatest round number that is not above `value`.
fn round_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let factors = [5.0, 2.0, 1.0];
    let few_enough = |factor: &&f64| **factor * power <= value * (1.0 + 1e-9);
    factors.iter().find(few_enough).copied().unwrap_or(1.0) * power
}

/// How far apart marks are on so long an axis.
fn step(length: f64, quantity: Quantity) -> f64 {
    let step = round_up(length / MARKS);
    // Nothing is half a thing.
    if quantity == Quantity::Count { step.max(1.0) } else { step }
}

impl Scale {
    /// From 0 to a round value that is not below `most`, as amounts are drawn.
    pub fn amounts(most: f64, quantity: Quantity) -> Scale {
        let unit = quantity.unit_for(most).size;
        if !(most.is_finite() && most > 0.0) {
            return Scale::Linear { from: 0.0, to: unit };
        }
        let step = step(most / unit, quantity);
        Scale::Linear { from: 0.0, to: (most / unit / step - 1e-9).ceil() * step * unit }
    }

    /// For values that may lie far apart: logarithmic where the largest is more than `ratio` times
    /// the smallest, and from 0 otherwise.
    pub fn spread(values: impl Iterator<Item = f64> + Clone, ratio: f64, of: Quantity) -> Scale {
        let most = values.clone().fold(0.0, f64::max);
        let least = values.filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        if least.is_finite() && most > ratio * least {
            Scale::Log { from: round_down(least), to: round_up(most) }
        } else {
            Scale::amounts(most, of)
        }
    }

    /// Where a value stands, from 0 to 1; what lies beyond an end is at that end.
    pub fn place(self, value: f64) -> f64 {
        let place = match self {
            Scale::Linear { from, to } => (value - from) / (to - from),
            Scale::Log { from, to } => (value.max(from) / from).ln() / (to / from).ln(),
            Scale::Nines { last } => {
                let end = f64::from(last) + PAST_LAST_NINE;
                if value >= 1.0 { 1.0 } else { -(1.0 - value).log10() / end }
            }
        };
        if place.is_nan() { 0.0 } else { place.clamp(0.0, 1.0) }
    }

    /// The marks, in the unit that [`Scale::unit`] names.
    pub fn ticks(self, quantity: Quantity) -> Vec<Tick> {
        let unit = quantity.unit_for(self.typical()).size;
        let tick = |value: f64| Tick { at: self.place(value * unit), label: short(value) };
        match self {
            Scale::Linear { from, to } => {
                let (from, to) = (from / unit, to / unit);
                let step = step(to - from, quantity);
                let first = (from / step).ceil() as i64;
                let last = (to / step + 1e-6).floor() as i64;
                (first..=last).map(|index| tick(index as f64 * step)).collect()
            }
            Scale::Log { from, to } => {
                let decades = (to / from).log10();
                let factors: &[f64] = match decades {
                    few if few < 2.5 => &[1.0, 2.0, 5.0],
                    _ => &[1.0],
                };
                let first = from.log10().floor() as i32;
                let last = to.log10().ceil() as i32;
                let powers = (first..=last).map(|power| 10f64.powi(power));
                let values = powers.flat_map(|power| factors.iter().map(move |f| f * power));
                let inside =
                    |value: &f64| *value >= from * (1.0 - 1e-9) && *value <= to * (1.0 + 1e-9);
                values.filter(inside).map(|value| tick(value / unit)).collect()
            }
            Scale::Nines { last } => {
                let nine = |count: u32| 1.0 - 10f64.powi(-(count as i32));
                let label = |quantile: f64| number(quantile * 100.0, last as usize + 2);
                let quantiles = [0.0, 0.5].into_iter().chain((1..=last).map(nine));
                let marks = quantiles.map(|q| Tick { at: self.place(q), label: label(q) });
                marks.chain([Tick { at: 1.0, label: "max".to_owned() }]).collect()
            }
        }
    }

    /// The name of the unit in which the marks are.
    pub fn unit(self, quantity: Quantity) -> &'static str {
        if matches!(self, Scale::Nines { .. }) {
            "%"
        } else {
            quantity.unit_for(self.typical()).name
        }
    }

    /// The value whose unit suits the whole axis.
    fn typical(self) -> f64 {
        match self {
            Scale::Linear { to, .. } => to,
            // Most of the axis lies below its last factor of ten.
            Scale::Log { to, .. } => to / 10.0,
            Scale::Nines { .. } => 1.0,
        }
    }
}

/// A round number in few characters: `50k`, `1.5M`.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => number(value / 1e6, 4) + "M",
        v if v >= 1e4 => number(value / 1e3, 4) + "k",
        _ => number(value, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, quantity: Quantity) -> Vec<String> {
        scale.ticks(quantity).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn marks_are_round_in_the_unit_of_the_axis() {
        let scale = Scale::amounts(3_700.0, Quantity::Micros);
        assert_eq!(labels(scale, Quantity::Micros), ["0", "1", "2", "3", "4"]);
        assert_eq!(scale.unit(Quantity::Micros), "ms");
        let scale = Scale::amounts(118_000.0, Quantity::PerSecond);
        assert_eq!(
            labels(scale, Quantity::PerSecond),
            ["0", "20k", "40k", "60k", "80k", "100k", "120k"]
        );
        let scale = Scale::amounts(17.0 * 1024.0 * 1024.0, Quantity::Bytes);
        assert_eq!(labels(scale, Quantity::Bytes), ["0", "5", "10", "15", "20"]);
        assert_eq!(scale.unit(Quantity::Bytes), "MiB");
        let scale = Scale::amounts(2.0, Quantity::Count);
        assert_eq!(labels(scale, Quantity::Count), ["0", "1", "2"]);
    }

    #[test]
    fn nothing_at_all_still_has_an_axis() {
        for most in [0.0, f64::NAN, f64::INFINITY, -1.0] {
            let scale = Scale::amounts(most, Quantity::Micros);
            assert_eq!((scale.place(0.0), scale.place(f64::NAN)), (0.0, 0.0));
            assert!(scale.ticks(Quantity::Micros).len() < 20, "{most}");
        }
    }

    #[test]
    fn every_nine_is_as_long_as_the_next() {
        let scale = Scale::Nines { last: 4 };
        let all = ["0", "50", "90", "99", "99.9", "99.99", "max"];
        assert_eq!(labels(scale, Quantity::Share), all);
        let (one, two) = (scale.place(0.9), scale.place(0.99));
        assert!((two - 2.0 * one).abs() < 1e-9);
        assert_eq!((scale.place(0.0), scale.place(1.0)), (0.0, 1.0));
    }

    #[test]
    fn values_far_apart_are_drawn_on_a_log_scale() {
        let scale = Scale::spread([90.0, 42_000.0].into_iter(), 20.0, Quantity::Micros);
        assert_eq!(scale, Scale::Log { from: 50.0, to: 50_000.0 });
        assert_eq!(labels(scale, Quantity::Micros), ["0.1", "1", "10"]);
        let scale = Scale::spread([90.0, 300.0].into_iter(), 20.0, Quantity::Micros);
        assert!(matches!(scale, Scale::Linear { .. }));
        let scale = Scale::spread([2_500.0, 900_000.0].into_iter(), 20.0, Quantity::Micros);
        assert_eq!(
            (labels(scale, Quantity::Micros).len(), scale.unit(Quantity::Micros)),
            (3, "ms")
        );
        let scale = Scale::spread([0.0, 0.0].into_iter(), 20.0, Quantity::Micros);
        assert!(matches!(scale, Scale::Linear { .. }));
    }
}
